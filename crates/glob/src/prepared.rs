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
    Pattern {
        /// The bytes that every name begins and ends with. Most names differ in them.
        prefix: Vec<u8>,
        suffix: Vec<u8>,
        pattern: Vec<u8>,
    },
}

impl Glob {
    /// Reads a pattern; `None` when any element of it is malformed.
    pub fn parse(pattern: &[u8]) -> Option<Glob> {
        let mut rest = pattern;
        // The bytes up to the first element that is more than a byte, and those from the last one on.
        let (mut prefix, mut literal) = (None, Vec::new());
        let mut is_only_stars = true;
        while let Some((first, after)) = rest.split_first() {
            let (byte, after) = match first {
                b'*' => (None, after),
                b'?' => {
                    is_only_stars = false;
                    (None, after)
                }
                b'[' => {
                    is_only_stars = false;
                    (None, compare_class(after, char::default()).ok()?.1)
                }
                b'\\' => after.split_first().map(|(escaped, after)| (Some(*escaped), after))?,
                byte => (Some(*byte), after),
            };
            match byte {
                Some(byte) => literal.push(byte),
                None => {
                    let before = std::mem::take(&mut literal);
                    is_only_stars &= before.is_empty();
                    prefix.get_or_insert(before);
                }
            }
            rest = after;
        }
        Some(Glob(match prefix {
            None => Kind::Exact(literal),
            Some(_) if is_only_stars && literal.is_empty() => Kind::Anything,
            Some(_) if is_only_stars => Kind::Suffix(literal),
            Some(prefix) => Kind::Pattern { prefix, suffix: literal, pattern: pattern.to_vec() },
        }))
    }

    /// Whether the pattern takes all of `name`.
    pub fn matches(&self, name: &[u8]) -> bool {
        let Ok(is_match) = self.matches_by_steps(name, || Ok::<_, Infallible>(()));
        is_match
    }

    /// The same; calls `step` before each comparison of an element other than `*`. Plain names and `*.ext` take no step.
    ///
    /// # Errors
    /// Those of `step`, which end the comparison.
    pub fn matches_by_steps<E>(&self, name: &[u8], step: impl FnMut() -> Result<(), E>) -> Result<bool, E> {
        Ok(match &self.0 {
            Kind::Anything => true,
            Kind::Exact(bytes) => bytes == name,
            Kind::Suffix(bytes) => name.ends_with(bytes),
            Kind::Pattern { prefix, suffix, pattern } => {
                name.starts_with(prefix)
                    && name.ends_with(suffix)
                    && matches(pattern, name, step)? == Verdict::Match
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_at_an_end_take_no_steps() {
        for (pattern, name) in [
            ("exact", "other"),
            ("*.md", "a.txt"),
            ("test-*.yaml", "a.yaml"),
            ("test-*.yaml", "test-a.txt"),
            ("*a*a*a*b", "aaaa"),
            ("v[0-9]?-*", "w12-a"),
            ("a\\*b*", "acb"),
        ] {
            let matched = Glob::parse(pattern.as_bytes())
                .map(|glob| glob.matches_by_steps(name.as_bytes(), || Err("a step")));
            assert_eq!(matched, Some(Ok(false)), "{pattern} {name}");
        }
        let glob = Glob::parse(b"test-*.yaml");
        let mut steps = 0;
        let matched = glob.map(|glob| {
            glob.matches_by_steps(b"test-a.yaml", || {
                steps += 1;
                Ok::<_, Infallible>(())
            })
        });
        assert_eq!((matched, steps), (Some(Ok(true)), 11));
    }
}
