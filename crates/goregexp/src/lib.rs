//! Regular expressions as Go's package `regexp` takes them, for the crate `regex`.

#![forbid(unsafe_code)]

mod pattern;

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
            _ => Fault("invalid character class range", pattern.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests;
