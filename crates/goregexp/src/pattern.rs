//! From Go's syntax of regular expressions to that of the crate `regex`, with Go's words for what is wrong.
//!
//! Both are RE2's by origin. Here `\d`, `\w`, `\s` and `\b` are about ASCII only, octal escapes and `\Q…\E` are known, `{` is text
//! where it counts nothing, and classes have no set operations.

use std::fmt::{self, Display, Formatter};

/// The most times that something is repeated, by all repetitions around it together.
const MOST_REPEATS: usize = 1000;

/// The most groups within each other.
const MOST_NESTED: usize = 1000;

/// The most of [`Translated::weight`].
const MOST_WEIGHT: usize = 100_000;

/// What a class of Unicode weighs, and one that can be any other character.
const UNICODE_WEIGHT: usize = 200;
const ANY_WEIGHT: usize = 10;

/// An expression for the crate `regex`.
#[derive(Debug)]
pub struct Translated {
    /// In the syntax of the crate `regex`.
    pub text: String,
    /// About how many states it has.
    pub weight: usize,
}

/// What is wrong, and the part of the expression that it is about. Its text is Go's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault(pub(crate) &'static str, pub(crate) String);

impl std::error::Error for Fault {}

impl Display for Fault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "error parsing regexp: {}: `{}`", self.0, self.1)
    }
}

/// What can be repeated.
#[derive(Debug, Clone, Copy)]
struct Atom {
    weight: usize,
    /// How often repetitions within repeat something.
    repeats: usize,
}

/// A group that is open.
#[derive(Debug, Default)]
struct Group {
    weight: usize,
    repeats: usize,
    last: Option<Atom>,
}

impl Group {
    fn push(&mut self, atom: Atom) {
        self.close_last();
        self.last = Some(atom);
    }

    fn close_last(&mut self) {
        if let Some(atom) = self.last.take() {
            self.weight = self.weight.saturating_add(atom.weight);
            self.repeats = self.repeats.max(atom.repeats);
        }
    }
}

struct Parser<'p> {
    whole: &'p str,
    rest: &'p str,
    out: String,
    groups: Vec<Group>,
    /// Where the last repetition begins, if nothing is behind it yet.
    last_repetition: Option<&'p str>,
}

/// Translates an expression.
///
/// # Errors
/// Go would not take it either, or it would have too many states.
pub fn translate(pattern: &str) -> Result<Translated, Fault> {
    let mut parser = Parser {
        whole: pattern,
        rest: pattern,
        out: String::with_capacity(pattern.len() * 2),
        groups: vec![Group::default()],
        last_repetition: None,
    };
    while let Some(c) = parser.rest.chars().next() {
        parser.next(c)?;
    }
    match parser.groups.as_mut_slice() {
        [group] => {
            group.close_last();
            if group.weight > MOST_WEIGHT {
                return Err(Fault("expression too large", String::new()));
            }
            Ok(Translated { text: parser.out, weight: group.weight })
        }
        _ => Err(Fault("missing closing )", pattern.to_owned())),
    }
}

impl<'p> Parser<'p> {
    fn next(&mut self, c: char) -> Result<(), Fault> {
        let repetition = self.last_repetition.take();
        match c {
            '(' => self.open(),
            ')' => self.close(),
            '|' => {
                self.take(1);
                self.out.push('|');
                if let Some(group) = self.groups.last_mut() {
                    group.close_last();
                }
                Ok(())
            }
            '[' => self.class(),
            '\\' => self.escape(),
            '*' | '+' | '?' => {
                let start = self.rest;
                self.take(1);
                self.repetition(start, repetition, if c == '?' { 1 } else { 2 }, 1)
            }
            '{' => match counts(self.rest) {
                None => {
                    self.take(1);
                    self.literal('{');
                    Ok(())
                }
                Some((least, most, length)) => {
                    let start = self.rest;
                    let text = self.take(length);
                    let times = most.unwrap_or(least);
                    if times > MOST_REPEATS || least > times {
                        return Err(Fault("invalid repeat count", text.to_owned()));
                    }
                    self.repetition(start, repetition, times.max(1), times)
                }
            },
            '.' => {
                self.take(1);
                self.out.push('.');
                self.atom(ANY_WEIGHT);
                Ok(())
            }
            '^' | '$' => {
                self.take(1);
                self.out.push(c);
                self.atom(1);
                Ok(())
            }
            c => {
                self.take(c.len_utf8());
                self.literal(c);
                Ok(())
            }
        }
    }

    fn take(&mut self, length: usize) -> &'p str {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    fn atom(&mut self, weight: usize) {
        if let Some(group) = self.groups.last_mut() {
            group.push(Atom { weight, repeats: 1 });
        }
    }

    fn literal(&mut self, c: char) {
        put_literal(&mut self.out, c);
        self.atom(1);
    }

    /// A repetition, whose text was taken but for the `?` that makes it lazy.
    fn repetition(
        &mut self,
        start: &'p str,
        before: Option<&'p str>,
        copies: usize,
        times: usize,
    ) -> Result<(), Fault> {
        let until_here =
            |from: &str, rest: &str| from.get(..from.len() - rest.len()).unwrap_or_default().to_owned();
        if self.rest.starts_with('?') {
            self.take(1);
        }
        let text = until_here(start, self.rest);
        if let Some(before) = before {
            return Err(Fault("invalid nested repetition operator", until_here(before, self.rest)));
        }
        let atom = self.groups.last_mut().and_then(|group| group.last.as_mut());
        let Some(atom) = atom else {
            return Err(Fault("missing argument to repetition operator", text));
        };
        atom.weight = atom.weight.saturating_mul(copies);
        atom.repeats = atom.repeats.saturating_mul(times.max(1));
        if atom.repeats > MOST_REPEATS {
            return Err(Fault("invalid repeat count", text));
        }
        self.out.push_str(&text);
        self.last_repetition = Some(start);
        Ok(())
    }

    fn open(&mut self) -> Result<(), Fault> {
        if self.groups.len() > MOST_NESTED {
            return Err(Fault("expression nests too deeply", self.whole.to_owned()));
        }
        if !self.rest.starts_with("(?") {
            self.take(1);
            self.out.push('(');
            self.groups.push(Group::default());
            return Ok(());
        }
        let start = self.rest;
        for prefix in ["(?P<", "(?<"] {
            let Some(named) = start.strip_prefix(prefix) else { continue };
            let Some((name, _)) = named.split_once('>') else {
                return Err(Fault("invalid named capture", start.to_owned()));
            };
            let text = start.get(..prefix.len() + name.len() + 1).unwrap_or_default();
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty() || !name.chars().all(is_word) {
                return Err(Fault("invalid named capture", text.to_owned()));
            }
            if self.out.contains(&format!("(?P<{name}>")) {
                return Err(Fault("duplicate capture group name", name.to_owned()));
            }
            self.take(text.len());
            self.out.push_str(&format!("(?P<{name}>"));
            self.groups.push(Group::default());
            return Ok(());
        }
        self.take(2);
        let (mut is_negative, mut has_flag) = (false, false);
        loop {
            let Some(c) = self.rest.chars().next() else {
                return Err(Fault("missing closing )", self.whole.to_owned()));
            };
            self.take(c.len_utf8());
            match c {
                'i' | 'm' | 's' | 'U' => has_flag = true,
                '-' if !is_negative => (is_negative, has_flag) = (true, false),
                ':' | ')' if !is_negative || has_flag => {
                    let text = start.get(..start.len() - self.rest.len()).unwrap_or_default();
                    // Without flags there is nothing to set.
                    self.out.push_str(if text == "(?)" { "(?:)" } else { text });
                    match c {
                        ':' => self.groups.push(Group::default()),
                        _ => {
                            if let Some(group) = self.groups.last_mut() {
                                group.close_last();
                            }
                        }
                    }
                    return Ok(());
                }
                _ => {
                    let text = start.get(..start.len() - self.rest.len()).unwrap_or_default();
                    return Err(Fault("invalid or unsupported Perl syntax", text.to_owned()));
                }
            }
        }
    }

    fn close(&mut self) -> Result<(), Fault> {
        self.take(1);
        let Some(mut group) = self.groups.pop() else { return Ok(()) };
        group.close_last();
        let Some(around) = self.groups.last_mut() else {
            return Err(Fault("unexpected )", self.whole.to_owned()));
        };
        self.out.push(')');
        around.push(Atom { weight: group.weight + 2, repeats: group.repeats.max(1) });
        Ok(())
    }

    fn escape(&mut self) -> Result<(), Fault> {
        match self.rest.chars().nth(1) {
            Some(c @ ('A' | 'z')) => {
                self.take(2);
                self.out.extend(['\\', c]);
                self.atom(1);
            }
            Some(c @ ('b' | 'B')) => {
                self.take(2);
                self.out.push_str(&format!("(?-u:\\{c})"));
                self.atom(1);
            }
            Some('C') => {
                self.take(2);
                self.out.push_str("(?s-u:.)");
                self.atom(1);
            }
            Some('Q') => {
                self.take(2);
                let (text, after) = self.rest.split_once("\\E").unwrap_or((self.rest, ""));
                for c in text.chars() {
                    self.literal(c);
                }
                self.rest = after;
            }
            _ => {
                if let Some((class, weight)) = self.named_class()? {
                    self.out.push_str(&class);
                    self.atom(weight);
                } else {
                    let c = self.escaped()?;
                    self.literal(c);
                }
            }
        }
        Ok(())
    }

    /// `\d` and the like, `\pL`, `\p{Greek}`; its weight.
    fn named_class(&mut self) -> Result<Option<(String, usize)>, Fault> {
        let mut characters = self.rest.chars();
        let (Some('\\'), Some(c)) = (characters.next(), characters.next()) else { return Ok(None) };
        let class = match c {
            'd' => "[0-9]",
            'D' => "[^0-9]",
            'w' => "[0-9A-Za-z_]",
            'W' => "[^0-9A-Za-z_]",
            's' => r"[\t\n\x0C\r ]",
            'S' => r"[^\t\n\x0C\r ]",
            'p' | 'P' => {
                let start = self.rest;
                self.take(2);
                let invalid = |text: &str| Err(Fault("invalid character class range", text.to_owned()));
                let name = match self.rest.strip_prefix('{') {
                    Some(braced) => match braced.split_once('}') {
                        Some((name, _)) => {
                            self.take(name.len() + 2);
                            name
                        }
                        None => return invalid(start),
                    },
                    None => match self.rest.chars().next() {
                        Some(c) => self.take(c.len_utf8()),
                        None => return invalid(start),
                    },
                };
                let (is_negated, name) = match name.strip_prefix('^') {
                    Some(name) => (c == 'p', name),
                    None => (c == 'P', name),
                };
                if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                    let text = start.get(..start.len() - self.rest.len()).unwrap_or_default();
                    return invalid(text);
                }
                let class = if is_negated { 'P' } else { 'p' };
                return Ok(Some((format!("\\{class}{{{name}}}"), UNICODE_WEIGHT)));
            }
            _ => return Ok(None),
        };
        self.take(2);
        Ok(Some((class.to_owned(), if c.is_ascii_uppercase() { ANY_WEIGHT } else { 1 })))
    }

    /// An escape that is one character.
    fn escaped(&mut self) -> Result<char, Fault> {
        let start = self.rest;
        self.take(1);
        let Some(c) = self.rest.chars().next() else {
            return Err(Fault("trailing backslash at end of expression", String::new()));
        };
        self.take(c.len_utf8());
        let octal = |parser: &mut Self, first: u32| {
            let mut value = first;
            for _ in 0..2 {
                let Some(digit) = parser.rest.chars().next().and_then(|c| c.to_digit(8)) else { break };
                value = value * 8 + digit;
                parser.take(1);
            }
            char::from_u32(value)
        };
        let value = match c {
            // A digit alone would refer to a group.
            '1'..='7' if self.rest.starts_with(|c: char| c.is_digit(8)) => {
                octal(self, c.to_digit(8).unwrap_or_default())
            }
            '0' => octal(self, 0),
            'x' => self.hexadecimal(),
            'a' => Some('\u{7}'),
            'f' => Some('\u{c}'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'v' => Some('\u{b}'),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(c),
            _ => None,
        };
        value.ok_or_else(|| {
            let text = start.get(..start.len() - self.rest.len()).unwrap_or_default();
            Fault("invalid escape sequence", text.to_owned())
        })
    }

    fn hexadecimal(&mut self) -> Option<char> {
        let digits = match self.rest.strip_prefix('{') {
            Some(braced) => {
                let (digits, _) = braced.split_once('}')?;
                self.take(digits.len() + 2);
                digits
            }
            None => self.take(2),
        };
        let are_digits = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_hexdigit());
        are_digits.then(|| u32::from_str_radix(digits, 16).ok().and_then(char::from_u32)).flatten()
    }

    fn class(&mut self) -> Result<(), Fault> {
        let start = self.rest;
        let missing = || Fault("missing closing ]", start.to_owned());
        self.take(1);
        self.out.push('[');
        let is_negated = self.rest.starts_with('^');
        if is_negated {
            self.take(1);
            self.out.push('^');
        }
        let mut weight = if is_negated { ANY_WEIGHT } else { 1 };
        let mut is_first = true;
        while is_first || !self.rest.starts_with(']') {
            is_first = false;
            if self.rest.is_empty() {
                return Err(missing());
            }
            if let Some((name, _)) = self.rest.strip_prefix("[:").and_then(|rest| rest.split_once(":]")) {
                const NAMES: [&str; 14] = [
                    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
                    "space", "upper", "word", "xdigit",
                ];
                let text = self.take(name.len() + 4);
                if !NAMES.contains(&name.strip_prefix('^').unwrap_or(name)) {
                    return Err(Fault("invalid character class range", text.to_owned()));
                }
                self.out.push_str(text);
                continue;
            }
            if let Some((class, of_class)) = self.named_class()? {
                self.out.push_str(&class);
                weight = weight.max(of_class);
                continue;
            }
            let range = self.rest;
            let low = self.class_character(start)?;
            put_literal(&mut self.out, low);
            let is_range = self.rest.starts_with('-') && !self.rest.starts_with("-]") && self.rest.len() > 1;
            if is_range {
                self.take(1);
                let high = self.class_character(start)?;
                if high < low {
                    let text = range.get(..range.len() - self.rest.len()).unwrap_or_default();
                    return Err(Fault("invalid character class range", text.to_owned()));
                }
                self.out.push('-');
                put_literal(&mut self.out, high);
                if !high.is_ascii() {
                    weight = weight.max(ANY_WEIGHT);
                }
            }
        }
        self.take(1);
        self.out.push(']');
        self.atom(weight);
        Ok(())
    }

    fn class_character(&mut self, start: &str) -> Result<char, Fault> {
        match self.rest.chars().next() {
            None => Err(Fault("missing closing ]", start.to_owned())),
            Some('\\') => self.escaped(),
            Some(c) => {
                self.take(c.len_utf8());
                Ok(c)
            }
        }
    }
}

/// `{n}`, `{n,}` or `{n,m}`: the numbers, and the length of it all. It is text if it is anything else.
fn counts(text: &str) -> Option<(usize, Option<usize>, usize)> {
    let (inner, _) = text.strip_prefix('{')?.split_once('}')?;
    let number = |text: &str| {
        let is_number = !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && (text.len() == 1 || !text.starts_with('0'));
        // What is too large is refused later.
        is_number.then(|| text.parse().unwrap_or(usize::MAX))
    };
    let (least, most) = match inner.split_once(',') {
        None => (number(inner)?, Some(number(inner)?)),
        Some((least, "")) => (number(least)?, None),
        Some((least, most)) => (number(least)?, Some(number(most)?)),
    };
    Some((least, most, inner.len() + 2))
}

fn put_literal(out: &mut String, c: char) {
    if r"\.+*?()|[]{}^$#&-~".contains(c) {
        out.push('\\');
    }
    out.push(c);
}
