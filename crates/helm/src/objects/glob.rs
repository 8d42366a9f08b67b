//! Globs of `.Files.Glob`, as `github.com/gobwas/glob` reads them with `/` as the separator.
//!
//! | Element | What it takes |
//! |---|---|
//! | `*` | any characters but `/` |
//! | `**` | any characters |
//! | `?` | one character but `/` |
//! | `[abc]`, `[a-z]`, `[!a-z]` | one character of these, or none of them |
//! | `{a,b*}` | one of these patterns |
//! | `\` | the next character as it is |

use regex::bytes::{Regex, RegexBuilder};

/// The most bytes that a pattern takes as an automaton.
const SIZE: usize = 1 << 20;

/// A pattern. One that is malformed takes everything, as in Helm.
pub(super) struct Glob(Option<Regex>);

impl Glob {
    pub(super) fn new(pattern: &[u8]) -> Self {
        let pattern = String::from_utf8_lossy(pattern);
        let expression = translate(&pattern).map(|body| format!(r"\A(?:{body})\z"));
        let compile = |expression: String| {
            RegexBuilder::new(&expression).dot_matches_new_line(true).size_limit(SIZE).build().ok()
        };
        Self(expression.and_then(compile))
    }

    pub(super) fn matches(&self, name: &[u8]) -> bool {
        self.0.as_ref().is_none_or(|expression| expression.is_match(name))
    }
}

/// The pattern as a regular expression; `None` if it is malformed.
fn translate(pattern: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = pattern.chars().peekable();
    let mut depth = 0_usize;
    while let Some(c) = chars.next() {
        match c {
            '*' if chars.peek() == Some(&'*') => {
                while chars.next_if_eq(&'*').is_some() {}
                out.push_str(".*");
            }
            '*' => out.push_str("[^/]*"),
            '?' => out.push_str("[^/]"),
            '[' => class(&mut chars, &mut out)?,
            '{' => {
                depth += 1;
                out.push_str("(?:");
            }
            '}' if depth > 0 => {
                depth -= 1;
                out.push(')');
            }
            ',' if depth > 0 => out.push('|'),
            '\\' => push_literal(chars.next()?, &mut out),
            c => push_literal(c, &mut out),
        }
    }
    (depth == 0).then_some(out)
}

fn push_literal(c: char, out: &mut String) {
    out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
}

/// What follows a `[`.
fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) -> Option<()> {
    out.push('[');
    if chars.next_if_eq(&'!').is_some() {
        out.push('^');
    }
    let mut items = Vec::new();
    loop {
        match chars.next()? {
            // Unlike elsewhere, the first character cannot be the end.
            ']' if items.is_empty() => return None,
            ']' => break,
            '\\' => items.push(chars.next()?),
            c => items.push(c),
        }
    }
    match items.as_slice() {
        [low, '-', high] if low <= high => {
            push_literal(*low, out);
            out.push('-');
            push_literal(*high, out);
        }
        [_, '-', _] => return None,
        items => items.iter().for_each(|c| push_class_item(*c, out)),
    }
    out.push(']');
    Some(())
}

fn push_class_item(c: char, out: &mut String) {
    // `&&`, `--` and `~~` mean something within a class.
    if c.is_ascii_punctuation() {
        out.push('\\');
    }
    out.push(c);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_as_those_of_gobwas() {
        for (pattern, name, expected) in [
            ("*", "a.txt", true),
            ("*", "a/b.txt", false),
            ("**", "a/b/c.txt", true),
            ("a/**.txt", "a/b/c.txt", true),
            ("a/?.txt", "a/b.txt", true),
            ("a/?.txt", "a//.txt", false),
            ("{a,b}/*.yaml", "b/x.yaml", true),
            ("{a,b}/*.yaml", "c/x.yaml", false),
            ("[a-c].txt", "b.txt", true),
            ("[!a-c].txt", "b.txt", false),
            ("[!a-c].txt", "d.txt", true),
            ("[ab&&b].txt", "&.txt", true),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("a.b", "axb", false),
            // Malformed: everything.
            ("[", "anything/at/all", true),
            ("{a", "anything", true),
            ("[]].txt", "anything", true),
        ] {
            assert_eq!(Glob::new(pattern.as_bytes()).matches(name.as_bytes()), expected, "{pattern} {name}");
        }
    }
}
