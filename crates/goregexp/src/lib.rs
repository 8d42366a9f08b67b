//! Regular expressions as Go's package `regexp` takes them, for the crate `regex`.

#![forbid(unsafe_code)]

mod pattern;

use std::collections::BTreeSet;

use regex::bytes::{Regex, RegexBuilder};

pub use pattern::{Fault, Translated, translate};

impl Translated {
    /// The expression, ready to search in bytes. `pattern` is what it was translated from, for messages.
    ///
    /// # Errors
    /// It takes too much memory, or names a class of Unicode that there is not.
    pub fn build(&self, pattern: &str) -> Result<Regex, Fault> {
        RegexBuilder::new(&self.text).build().map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => Fault("expression too large", pattern.to_owned()),
            // Classes of Unicode are all that was not looked at.
            _ => match self.check_classes() {
                Err(fault) => fault,
                Ok(_) => Fault("invalid character class range", pattern.to_owned()),
            },
        })
    }

    /// Looks whether there are all the classes of Unicode that it names, and counts them: what else can be wrong with an expression is known
    /// when it is translated. That takes less than building it.
    ///
    /// # Errors
    /// There is no such class.
    pub fn check_classes(&self) -> Result<usize, Fault> {
        let mut known = BTreeSet::new();
        for class in classes(&self.text) {
            if known.contains(class) {
                continue;
            }
            if RegexBuilder::new(class).build().is_err() {
                return Err(Fault("invalid character class range", class.to_owned()));
            }
            known.insert(class);
        }
        Ok(known.len())
    }
}

/// `\p{Greek}` and the like in a translated expression.
fn classes(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let (_, escape) = rest.split_once('\\')?;
            let start = rest.get(rest.len() - escape.len() - 1..)?;
            if escape.starts_with("p{") || escape.starts_with("P{") {
                let length = start.find('}')? + 1;
                rest = start.get(length..)?;
                return start.get(..length);
            }
            let next = escape.chars().next()?;
            rest = escape.get(next.len_utf8()..)?;
        }
    })
}

#[cfg(test)]
mod tests;
