//! The operators, on bytes as in Go.

use glob::{Verdict, first_char};
use memchr::memmem::Finder;

use crate::Error;

/// Steps of glob matching that may still be taken: one for each character compared.
pub(crate) struct Steps<'a> {
    pub left: &'a mut usize,
    pub limit: usize,
}

impl Steps<'_> {
    pub fn take(&mut self) -> Result<(), Error> {
        match self.left.checked_sub(1) {
            Some(left) => {
                *self.left = left;
                Ok(())
            }
            None => Err(Error::Limit { what: "steps of pattern matching", limit: self.limit }),
        }
    }
}

fn chars(mut bytes: &[u8]) -> impl Iterator<Item = char> {
    std::iter::from_fn(move || {
        let (c, length) = first_char(bytes)?;
        bytes = bytes.get(length..)?;
        Some(c)
    })
}

/// Go maps one character to one; what Unicode maps to several stays.
pub(crate) fn lower(c: char) -> char {
    let mut mapped = c.to_lowercase();
    match (c, mapped.next(), mapped.next()) {
        ('\u{130}', ..) => 'i',
        (_, Some(lower), None) => lower,
        _ => c,
    }
}

/// Go maps one character to one; what Unicode maps to several stays, save Greek with its iota below.
pub(crate) fn upper(c: char) -> char {
    let mut mapped = c.to_uppercase();
    match (c, mapped.next(), mapped.next()) {
        (_, Some(upper), None) => upper,
        ('\u{1F80}'..='\u{1FAF}', ..) => char::from_u32(u32::from(c) | 8).unwrap_or(c),
        ('\u{1FB3}' | '\u{1FC3}' | '\u{1FF3}', ..) => char::from_u32(u32::from(c) + 9).unwrap_or(c),
        _ => c,
    }
}

pub(crate) fn map_all(value: &[u8], map: fn(char) -> char) -> Vec<u8> {
    chars(value).map(map).collect::<String>().into_bytes()
}

pub(crate) fn map_first(value: &[u8], map: fn(char) -> char) -> Vec<u8> {
    let Some((c, length)) = first_char(value) else { return Vec::new() };
    let mut mapped = map(c).to_string().into_bytes();
    mapped.extend_from_slice(value.get(length..).unwrap_or_default());
    mapped
}

/// A number as Go's `strconv.Atoi` reads it.
fn number(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// `value[position..][..length]`; a negative length counts from the end of the value, and an argument that is no number leaves the
/// value whole.
pub(crate) fn substring<'a>(value: &'a [u8], position: &[u8], length: Option<&[u8]>) -> &'a [u8] {
    let Some(position) = number(position) else { return value };
    let size = value.len() as i64;
    let start = if position < 0 { size.saturating_add(position).max(0) } else { position };
    let mut end = size;
    if let Some(length) = length {
        let Some(length) = number(length) else { return value };
        end = if length < 0 { size } else { start }.saturating_add(length);
    }
    let (start, end) = (start.min(size) as usize, end.clamp(0, size) as usize);
    value.get(start..end.max(start)).unwrap_or_default()
}

/// Go's `strings.Replace`: an empty `old` matches before each character and at the end.
pub(crate) fn replace(
    value: &[u8],
    old: &[u8],
    new: &[u8],
    times: usize,
    max: usize,
) -> Result<Vec<u8>, Error> {
    let mut result = Vec::with_capacity(value.len());
    let mut rest = value;
    let finder = Finder::new(old);
    for _ in 0..times {
        let Some((before, tail)) = finder.find(rest).and_then(|at| rest.split_at_checked(at)) else { break };
        result.extend_from_slice(before);
        result.extend_from_slice(new);
        if result.len() > max {
            return Err(Error::Limit { what: "bytes of output", limit: max });
        }
        rest = tail.get(old.len()..).unwrap_or_default();
        if old.is_empty() {
            let Some((_, length)) = first_char(rest) else { break };
            let (character, tail) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            result.extend_from_slice(character);
            rest = tail;
        }
    }
    result.extend_from_slice(rest);
    Ok(result)
}

/// Cuts the shortest or longest prefix that matches the glob; the empty prefix never does. A bad pattern cuts nothing.
pub(crate) fn trim_prefix<'a>(
    value: &'a [u8],
    pattern: &[u8],
    longest: bool,
    mut steps: Steps<'_>,
) -> Result<&'a [u8], Error> {
    let mut cut = None;
    for end in (1..=value.len()).rev() {
        let prefix = value.get(..end).unwrap_or_default();
        match glob::matches(pattern, prefix, || steps.take())? {
            Verdict::Malformed => return Ok(value),
            Verdict::Differs => {}
            Verdict::Match => {
                cut = Some(end);
                if longest {
                    break;
                }
            }
        }
    }
    Ok(cut.and_then(|end| value.get(end..)).unwrap_or(value))
}

/// The same at the end of the value: the original reverses value and pattern, character by character.
pub(crate) fn trim_suffix(
    value: &[u8],
    pattern: &[u8],
    longest: bool,
    steps: Steps<'_>,
) -> Result<Vec<u8>, Error> {
    let (value, pattern) = (reverse(value), reverse(pattern));
    Ok(reverse(trim_prefix(&value, &pattern, longest, steps)?))
}

fn reverse(value: &[u8]) -> Vec<u8> {
    let characters: Vec<char> = chars(value).collect();
    characters.into_iter().rev().collect::<String>().into_bytes()
}
