//! Globs as Go's `path.Match` reads them, on bytes; only that `*`, `?` and classes take `/` as well. Who compares the components
//! of a path hands over one at a time.
//!
//! | Element | What it takes |
//! |---|---|
//! | `*` | any bytes, or none |
//! | `?` | one character |
//! | `[a-z]`, `[^a-z]` | one character within these ranges, or outside of them |
//! | `\` | the next byte as it is |
//! | any other byte | itself |
//!
//! A byte of a name that is no UTF-8 counts as the character U+FFFD; in a class of a pattern it is an error. Matching needs no
//! memory, and no more than pattern length × name length steps.
//!
//! A [`Glob`] is prepared once and compared often. [`matches()`] compares a pattern that is used once, counts its steps, and
//! notices a malformed element only when it comes to it, as Go did before 1.16.

mod prepared;

pub use prepared::Glob;

/// How a pattern and a name compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The pattern takes all of the name.
    Match,
    /// It does not.
    Differs,
    /// An element that the comparison came to is malformed.
    Malformed,
}

/// A malformed element of a pattern.
struct Malformed;

/// How the first element of a pattern and the beginning of a name compare.
enum Step<'p, 'n> {
    Malformed,
    Differs,
    /// It fits, and this remains of pattern and name.
    Fits(&'p [u8], &'n [u8]),
}

/// Compares a pattern with all of `name`. Calls `step` before each comparison of an element other than `*`.
///
/// # Errors
/// Those of `step`, which end the comparison.
pub fn matches<E>(
    pattern: &[u8],
    name: &[u8],
    mut step: impl FnMut() -> Result<(), E>,
) -> Result<Verdict, E> {
    let (mut rest, mut tail) = (pattern, name);
    // What follows the last star, and where in the name that was last tried. Only the last star is ever widened: what comes
    // before it already matched at the earliest place, and a later place cannot leave more choice.
    let mut star = None;
    loop {
        match rest {
            [] if tail.is_empty() => return Ok(Verdict::Match),
            [] => {}
            [b'*'] => return Ok(Verdict::Match),
            [b'*', after @ ..] => {
                star = Some((after, tail));
                rest = after;
                continue;
            }
            _ => {
                step()?;
                match compare(rest, tail) {
                    Step::Malformed => return Ok(Verdict::Malformed),
                    Step::Differs => {}
                    Step::Fits(next, left) => {
                        (rest, tail) = (next, left);
                        continue;
                    }
                }
            }
        }
        match star {
            Some((after, [_, from @ ..])) => {
                star = Some((after, from));
                (rest, tail) = (after, from);
            }
            _ => return Ok(Verdict::Differs),
        }
    }
}

/// The first character and its length; a byte that is no UTF-8 is U+FFFD and one byte long, as in Go.
pub fn first_char(bytes: &[u8]) -> Option<(char, usize)> {
    if let Some(byte) = bytes.first().filter(|byte| byte.is_ascii()) {
        return Some((char::from(*byte), 1));
    }
    // No character is longer than four bytes.
    let chunk = bytes.get(..bytes.len().min(4))?.utf8_chunks().next()?;
    Some(match chunk.valid().chars().next() {
        Some(c) => (c, c.len_utf8()),
        None => (char::REPLACEMENT_CHARACTER, 1),
    })
}

/// The first element is not a star. A name that has ended differs from whatever it is.
fn compare<'p, 'n>(pattern: &'p [u8], name: &'n [u8]) -> Step<'p, 'n> {
    let Some((character, length)) = first_char(name) else { return Step::Differs };
    let (fits, rest, length) = match pattern {
        [b'[', class @ ..] => match compare_class(class, character) {
            Ok((fits, rest)) => (fits, rest, length),
            Err(Malformed) => return Step::Malformed,
        },
        [b'?', rest @ ..] => (true, rest, length),
        [b'\\'] => return Step::Malformed,
        [b'\\', byte, rest @ ..] | [byte, rest @ ..] => (name.first() == Some(byte), rest, 1),
        [] => return Step::Differs,
    };
    if fits { Step::Fits(rest, name.get(length..).unwrap_or_default()) } else { Step::Differs }
}

/// Whether the class behind `[` takes the character, and what follows its `]`.
fn compare_class(class: &[u8], character: char) -> Result<(bool, &[u8]), Malformed> {
    let (negated, mut class) = match class {
        [b'^', rest @ ..] => (true, rest),
        class => (false, class),
    };
    let (mut within, mut is_empty) = (false, true);
    loop {
        if let ([b']', rest @ ..], false) = (class, is_empty) {
            return Ok((within != negated, rest));
        }
        let (low, rest) = class_char(class)?;
        let (high, rest) = match rest {
            [b'-', rest @ ..] => class_char(rest)?,
            rest => (low, rest),
        };
        within |= (low..=high).contains(&character);
        (class, is_empty) = (rest, false);
    }
}

/// One possibly escaped character of a class.
fn class_char(class: &[u8]) -> Result<(char, &[u8]), Malformed> {
    let class = match class {
        [b'-' | b']', ..] => return Err(Malformed),
        [b'\\', rest @ ..] => rest,
        class => class,
    };
    match first_char(class) {
        None | Some((char::REPLACEMENT_CHARACTER, 1)) => Err(Malformed),
        Some((character, length)) => Ok((character, class.get(length..).unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    fn verdict(pattern: &[u8], name: &[u8]) -> Verdict {
        let Ok(verdict) = matches(pattern, name, || Ok::<_, Infallible>(()));
        verdict
    }

    #[test]
    fn patterns_are_read_as_in_go() {
        use Verdict::{Differs, Malformed, Match};
        // The table of Go's path/match_test.go; where `/` is involved, what a star that takes it makes of it.
        for (pattern, name, expected) in [
            ("", "", Match),
            ("", "a", Differs),
            ("abc", "abc", Match),
            ("*", "", Match),
            ("*", "abc", Match),
            ("*c", "abc", Match),
            ("a*", "a", Match),
            ("a*", "abc", Match),
            ("a*", "ab/c", Match),
            ("a*/b", "abc/b", Match),
            ("a*/b", "a/c/b", Match),
            ("a*b*c*d*e*/f", "axbxcxdxe/f", Match),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/f", Match),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", Differs),
            ("a*b?c*x", "abxbbxdbxebxczzx", Match),
            ("a*b?c*x", "abxbbxdbxebxczzy", Differs),
            ("ab[c]", "abc", Match),
            ("ab[b-d]", "abc", Match),
            ("ab[e-g]", "abc", Differs),
            ("ab[^c]", "abc", Differs),
            ("ab[^b-d]", "abc", Differs),
            ("ab[^e-g]", "abc", Match),
            ("a\\*b", "a*b", Match),
            ("a\\*b", "ab", Differs),
            ("a?b", "a☺b", Match),
            ("a[^a]b", "a☺b", Match),
            ("a???b", "a☺b", Differs),
            ("a[^a][^a][^a]b", "a☺b", Differs),
            ("[a-ζ]*", "α", Match),
            ("*[a-ζ]", "A", Differs),
            ("a?b", "a/b", Match),
            ("a[^x]b", "a/b", Match),
            ("[\\]a]", "]", Match),
            ("[\\-]", "-", Match),
            ("[x\\-]", "x", Match),
            ("[x\\-]", "-", Match),
            ("[x\\-]", "z", Differs),
            ("[\\-x]", "a", Differs),
            ("[z-a]", "m", Differs),
            ("[^]", "a", Malformed),
            ("[]a]", "]", Malformed),
            ("[-]", "-", Malformed),
            ("[x-]", "x", Malformed),
            ("[-x]", "x", Malformed),
            ("[a-b-c]", "a", Malformed),
            ("[", "a", Malformed),
            ("[^", "a", Malformed),
            ("[^bc", "a", Malformed),
            ("\\", "a", Malformed),
            ("a[", "ab", Malformed),
            ("[a*b", "a", Malformed),
            ("[a*]*[]", "*x", Malformed),
            ("*x", "xxx", Match),
            ("**[^b]", "ab", Differs),
            // Nothing comes to the malformed element.
            ("a[", "a", Differs),
            ("a[", "x", Differs),
            ("\\", "", Differs),
            ("[a]b[", "cb[", Differs),
        ] {
            assert_eq!(verdict(pattern.as_bytes(), name.as_bytes()), expected, "{pattern:?} {name:?}");
            // What is prepared is looked at to its end.
            let glob = Glob::parse(pattern.as_bytes());
            let is_match = glob.is_some_and(|glob| glob.matches(name.as_bytes()));
            assert_eq!(is_match, expected == Match, "{pattern:?} {name:?}");
        }
    }

    #[test]
    fn names_need_not_be_utf8_but_classes_must() {
        for (pattern, name, expected) in [
            (&b"a?b"[..], &b"a\xffb"[..], Verdict::Match),
            (b"a\xffb", b"a\xffb", Verdict::Match),
            (b"[^a]", b"\xff", Verdict::Match),
            ("[\u{fffd}]".as_bytes(), b"\xff", Verdict::Match),
            (b"?", b"\xe2\x98", Verdict::Differs),
            (b"*\x98\xba", "☺".as_bytes(), Verdict::Match),
            (b"[\xff]", b"\xff", Verdict::Malformed),
        ] {
            assert_eq!(verdict(pattern, name), expected, "{pattern:?} {name:?}");
        }
    }

    #[test]
    fn steps_are_counted_and_bounded() {
        let steps = |pattern: &[u8], name: &[u8]| {
            let mut steps = 0;
            let Ok(_) = matches(pattern, name, || {
                steps += 1;
                Ok::<_, Infallible>(())
            });
            steps
        };
        assert_eq!(steps(b"abc", b"abc"), 3);
        assert_eq!(steps(b"*", b"abc"), 0);
        assert_eq!(steps(b"*c", b"abc"), 3);
        assert_eq!(steps(b"*x", b"abc"), 4);
        let (pattern, name) = (b"a*".repeat(500), b"a".repeat(5000));
        assert!(steps(&[&pattern[..], b"b"].concat(), &name) <= 1001 * 5001);
        assert_eq!(matches(b"abc", b"abc", || Err("too many")), Err("too many"));
    }

    /// By trying every place of every star.
    fn naive(pattern: &[u8], name: &[u8]) -> bool {
        match pattern {
            [] => name.is_empty(),
            [b'*', rest @ ..] => (0..=name.len()).any(|at| naive(rest, name.get(at..).unwrap_or_default())),
            _ => match compare(pattern, name) {
                Step::Fits(rest, tail) => naive(rest, tail),
                Step::Differs | Step::Malformed => false,
            },
        }
    }

    proptest! {
        #[test]
        fn prepared_globs_and_patterns_agree(pattern in r"[ab*?\[\]\\^é-]{0,8}", name in "[ab*é]{0,8}") {
            let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
            let verdict = verdict(pattern, name);
            match Glob::parse(pattern) {
                Some(glob) => {
                    prop_assert_eq!(verdict == Verdict::Match, naive(pattern, name));
                    prop_assert_ne!(verdict, Verdict::Malformed);
                    prop_assert_eq!(glob.matches(name), verdict == Verdict::Match);
                }
                None => prop_assert_ne!(verdict, Verdict::Match),
            }
        }
    }
}
