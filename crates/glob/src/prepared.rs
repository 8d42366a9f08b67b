//! Globs that are compared with many names.

use std::convert::Infallible;

use crate::{Verdict, compare_class, matches};

/// A well-formed pattern. Most patterns in use are a plain name or `*.ext`, which need no general matching.
#[derive(Clone, Debug)]
pub struct Glob(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Anything,
    Exact(Vec<u8>),
    Suffix(Vec<u8>),
    Pattern(Vec<u8>),
}

impl Glob {
    /// Reads a pattern; `None` when any element of it is malformed.
    pub fn parse(pattern: &[u8]) -> Option<Glob> {
        let stars = pattern.iter().take_while(|byte| **byte == b'*').count();
        let mut rest = pattern.get(stars..)?;
        // What follows the stars at the beginning, as long as that is no more than bytes.
        let mut literal = Some(Vec::new());
        while let Some((first, after)) = rest.split_first() {
            let (byte, after) = match first {
                b'*' | b'?' => (None, after),
                b'[' => (None, compare_class(after, char::default()).ok()?.1),
                b'\\' => after.split_first().map(|(escaped, after)| (Some(*escaped), after))?,
                byte => (Some(*byte), after),
            };
            literal = literal.zip(byte).map(|(mut bytes, byte)| {
                bytes.push(byte);
                bytes
            });
            rest = after;
        }
        Some(Glob(match literal {
            None => Kind::Pattern(pattern.to_vec()),
            Some(bytes) if stars == 0 => Kind::Exact(bytes),
            Some(bytes) if bytes.is_empty() => Kind::Anything,
            Some(bytes) => Kind::Suffix(bytes),
        }))
    }

    /// Whether the pattern takes all of `name`.
    pub fn matches(&self, name: &[u8]) -> bool {
        match &self.0 {
            Kind::Anything => true,
            Kind::Exact(bytes) => bytes == name,
            Kind::Suffix(bytes) => name.ends_with(bytes),
            Kind::Pattern(pattern) => {
                let Ok(verdict) = matches(pattern, name, || Ok::<_, Infallible>(()));
                verdict == Verdict::Match
            }
        }
    }
}
