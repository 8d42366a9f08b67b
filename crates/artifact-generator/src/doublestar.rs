//! Globs as the Go library doublestar reads them: `**` as a component takes any number of components, and `{a,b}` stands for
//! alternatives. One component is compared as by Go's `path.Match`.
//!
//! A trailing slash, which no path has, matches nothing here.

use glob::{Glob, Verdict};

use crate::meter::{LimitError, Limits, Meter, within};

/// A glob.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    alternatives: Vec<Vec<Component>>,
    /// Whether it has a slash.
    has_separator: bool,
}

#[derive(Clone, Debug)]
enum Component {
    /// `**`
    AnyNumber,
    One(Vec<u8>),
}

/// Why a glob is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PatternError {
    /// An element of it is malformed.
    #[error("syntax error in pattern")]
    Malformed,
    /// It stands for too many globs, or is too long.
    #[error(transparent)]
    Limit(#[from] LimitError),
}

impl Pattern {
    /// Reads a glob.
    pub(crate) fn parse(pattern: &str, limits: &Limits) -> Result<Pattern, PatternError> {
        within("bytes of a glob", pattern.len() as u64, limits.glob_bytes as u64)?;
        let mut texts = Vec::new();
        alternatives(pattern.as_bytes().to_vec(), 0, limits, &mut texts)?;
        let alternatives = texts.iter().map(|text| text.split(|byte| *byte == b'/').map(component).collect());
        Ok(Pattern {
            alternatives: alternatives.collect::<Result<_, _>>()?,
            has_separator: pattern.contains('/'),
        })
    }

    /// Whether the glob takes the whole path.
    pub(crate) fn matches(&self, path: &[u8], meter: &mut Meter<'_>) -> Result<bool, LimitError> {
        let components: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
        for alternative in &self.alternatives {
            if compare(alternative, &components, meter)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the glob excludes the path: it takes the path, or has no slash and takes its last component.
    pub(crate) fn excludes(&self, path: &[u8], meter: &mut Meter<'_>) -> Result<bool, LimitError> {
        Ok(self.matches(path, meter)?
            || !self.has_separator && self.matches(crate::tree::split(path).1, meter)?)
    }
}

fn component(text: &[u8]) -> Result<Component, PatternError> {
    if text == b"**" {
        return Ok(Component::AnyNumber);
    }
    // path.Match has one way to negate a class, and doublestar two.
    let mut own = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        own.push(*byte);
        rest = after;
        match (byte, after) {
            (b'\\', [escaped, after @ ..]) => {
                own.push(*escaped);
                rest = after;
            }
            (b'[', [b'!', after @ ..]) => {
                own.push(b'^');
                rest = after;
            }
            _ => {}
        }
    }
    if Glob::parse(&own).is_none() {
        return Err(PatternError::Malformed);
    }
    Ok(Component::One(own))
}

/// As for the bytes of one component: only the last `**` is ever widened.
fn compare(pattern: &[Component], path: &[&[u8]], meter: &mut Meter<'_>) -> Result<bool, LimitError> {
    let (mut rest, mut left) = (pattern, path);
    let mut widened = None;
    loop {
        match (rest, left) {
            ([], []) => return Ok(true),
            ([Component::AnyNumber, after @ ..], _) => {
                widened = Some((after, left));
                rest = after;
                continue;
            }
            ([Component::One(glob), after @ ..], [name, following @ ..])
                if glob::matches(glob, name, || meter.step())? == Verdict::Match =>
            {
                (rest, left) = (after, following);
                continue;
            }
            _ => {}
        }
        match widened {
            Some((after, [_, from @ ..])) => {
                widened = Some((after, from));
                (rest, left) = (after, from);
            }
            _ => return Ok(false),
        }
    }
}

/// The globs without braces that a glob with braces stands for. The bytes before `from` have none any more.
fn alternatives(
    text: Vec<u8>,
    from: usize,
    limits: &Limits,
    found: &mut Vec<Vec<u8>>,
) -> Result<(), PatternError> {
    let Some((open, closing, commas)) = braces(&text, from)? else {
        found.push(text);
        let count = found.len() as u64;
        return Ok(within("alternatives of a glob", count, limits.glob_alternatives as u64)?);
    };
    let ends = commas.iter().copied().chain([closing]);
    let mut begin = open + 1;
    for end in ends {
        let parts = [text.get(..open), text.get(begin..end), text.get(closing + 1..)];
        let replaced = parts.map(Option::unwrap_or_default).concat();
        alternatives(replaced, open, limits, found)?;
        begin = end + 1;
    }
    Ok(())
}

/// The first pair of braces at or after `from`, and the commas between its alternatives.
#[allow(clippy::type_complexity, reason = "three places in one text")]
fn braces(text: &[u8], from: usize) -> Result<Option<(usize, usize, Vec<usize>)>, PatternError> {
    let (mut open, mut depth, mut commas) = (None, 0_usize, Vec::new());
    let mut at = from;
    while let Some(byte) = text.get(at) {
        match byte {
            b'\\' => at += 1,
            b'[' => at = end_of_class(text, at)?,
            b'{' => {
                open = open.or(Some(at));
                depth += 1;
            }
            b',' if depth == 1 => commas.push(at),
            b'}' => match (depth, open) {
                (1, Some(open)) => return Ok(Some((open, at, commas))),
                (0, _) | (_, None) => return Err(PatternError::Malformed),
                _ => depth -= 1,
            },
            _ => {}
        }
        at += 1;
    }
    if depth > 0 { Err(PatternError::Malformed) } else { Ok(None) }
}

/// The place of the bracket that ends the class which begins at `at`.
fn end_of_class(text: &[u8], at: usize) -> Result<usize, PatternError> {
    let mut end = at + 1;
    while let Some(byte) = text.get(end) {
        match byte {
            b'\\' => end += 1,
            b']' => return Ok(end),
            _ => {}
        }
        end += 1;
    }
    Err(PatternError::Malformed)
}
