//! Glob matching where `*` crosses `/`.

use crate::Error;
use crate::functions::{Steps, decode};

/// A malformed pattern.
struct BadPattern;

/// How a chunk compares with the beginning of a name.
enum Match<'a> {
    BadPattern,
    None,
    /// It fits, and this remains of the name.
    Tail(&'a [u8]),
}

/// Whether the pattern matches all of `name`; `None` when it is found to be malformed.
///
/// The pattern is a row of chunks, each with an optional `*` before it; a chunk takes the first place it fits.
pub(crate) fn matches(
    mut pattern: &[u8],
    mut name: &[u8],
    steps: &mut Steps<'_>,
) -> Result<Option<bool>, Error> {
    'chunks: while !pattern.is_empty() {
        let (star, chunk, rest) = next_chunk(pattern);
        pattern = rest;
        if star && chunk.is_empty() {
            return Ok(Some(true));
        }
        let offsets = if star { 0..=name.len() } else { 0..=0 };
        for offset in offsets {
            match match_chunk(chunk, name.get(offset..).unwrap_or_default(), steps)? {
                Match::BadPattern => return Ok(None),
                // The last chunk must reach the end of the name.
                Match::Tail(tail) if tail.is_empty() || !pattern.is_empty() => {
                    name = tail;
                    continue 'chunks;
                }
                Match::Tail(_) | Match::None => {}
            }
        }
        return Ok(Some(false));
    }
    Ok(Some(name.is_empty()))
}

/// Leading stars, the text up to the next star outside brackets, and the remainder.
fn next_chunk(pattern: &[u8]) -> (bool, &[u8], &[u8]) {
    let stars = pattern.iter().take_while(|byte| **byte == b'*').count();
    let pattern = pattern.get(stars..).unwrap_or_default();
    let (mut in_range, mut position) = (false, 0);
    while let Some(byte) = pattern.get(position) {
        match byte {
            b'\\' if position + 1 < pattern.len() => position += 1,
            b'[' => in_range = true,
            b']' => in_range = false,
            b'*' if !in_range => break,
            _ => {}
        }
        position += 1;
    }
    let (chunk, rest) = pattern.split_at_checked(position).unwrap_or((pattern, &[]));
    (stars > 0, chunk, rest)
}

fn match_chunk<'a>(mut chunk: &[u8], mut name: &'a [u8], steps: &mut Steps<'_>) -> Result<Match<'a>, Error> {
    while let [first, rest @ ..] = chunk {
        steps.take()?;
        let Some((c, length)) = decode(name) else { return Ok(Match::None) };
        let (fits, rest, length) = match (first, rest) {
            (b'[', rest) => match match_class(rest, c) {
                Ok((matched, rest)) => (matched, rest, length),
                Err(BadPattern) => return Ok(Match::BadPattern),
            },
            (b'?', rest) => (true, rest, length),
            (b'\\', []) => return Ok(Match::BadPattern),
            (b'\\', [escaped, rest @ ..]) => (name.first() == Some(escaped), rest, 1),
            (literal, rest) => (name.first() == Some(literal), rest, 1),
        };
        if !fits {
            return Ok(Match::None);
        }
        chunk = rest;
        name = name.get(length..).unwrap_or_default();
    }
    Ok(Match::Tail(name))
}

/// Whether the class behind `[` holds the character, and what follows its `]`.
fn match_class(class: &[u8], c: char) -> Result<(bool, &[u8]), BadPattern> {
    let (negated, mut class) = match class.strip_prefix(b"^") {
        Some(rest) => (true, rest),
        None => (false, class),
    };
    let mut found = false;
    let mut first = true;
    loop {
        if let (false, [b']', rest @ ..]) = (first, class) {
            return Ok((found != negated, rest));
        }
        let (low, rest) = class_character(class)?;
        let (high, rest) = match rest.strip_prefix(b"-") {
            Some(rest) => class_character(rest)?,
            None => (low, rest),
        };
        found |= (low..=high).contains(&c);
        class = rest;
        first = false;
    }
}

/// One possibly escaped character of a class; something must follow it.
fn class_character(class: &[u8]) -> Result<(char, &[u8]), BadPattern> {
    let class = match class {
        [] | [b'-' | b']', ..] => return Err(BadPattern),
        [b'\\', rest @ ..] => rest,
        class => class,
    };
    let (c, length) = decode(class).ok_or(BadPattern)?;
    let rest = class.get(length..).unwrap_or_default();
    if rest.is_empty() || c == char::REPLACEMENT_CHARACTER && length == 1 {
        Err(BadPattern)
    } else {
        Ok((c, rest))
    }
}
