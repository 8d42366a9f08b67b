//! Regular expressions of RE2, as Go's package `regexp` takes them.

use std::borrow::Cow;

use ::regex::bytes::{Captures, Match, Regex};
use gotemplate::value::{Text, Type};
use gotemplate::{Error, Value};

use crate::call::{Call, Outcome, STRINGS, TEXT_COST, Table};

const TEXT: Type = Type::String;

/// What a state takes to make, in steps.
const STEPS_PER_WEIGHT: usize = 10;

/// What the smallest expression takes to make, in steps.
const STEPS_PER_EXPRESSION: usize = 250;

pub(crate) fn add(table: &mut Table) {
    // A bad expression matches nothing.
    table.add("regexMatch", &[TEXT, TEXT], Type::Bool, |call| match compile(call)? {
        Ok(regex) => Ok(regex.is_match(searched(call, 1)?).into()),
        Err(_) => Ok(false.into()),
    });
    table.add("mustRegexMatch", &[TEXT, TEXT], Type::Bool, |call| {
        Ok(compile(call)??.is_match(searched(call, 1)?).into())
    });
    table.add("regexQuoteMeta", &[TEXT], TEXT, |call| {
        let mut quoted = Vec::with_capacity(call.text(0).len());
        for byte in call.text(0) {
            if br"\.+*?()|[]{}^$".contains(byte) {
                quoted.push(b'\\');
            }
            quoted.push(*byte);
        }
        call.string(quoted)
    });
    // Those with `must` return an error, the others panic with more words.
    for raises in [false, true] {
        let mut function =
            |name: &str, parameters: &[Type], result, body: fn(&Call<'_>, Regex) -> Outcome| {
                let must_name = format!("mustR{}", name.get(1..).unwrap_or_default());
                let name = if raises { &must_name } else { name };
                table.add(name, parameters, result, move |call| {
                    let regex = compile(call)?.map_err(|message| match raises {
                        true => message,
                        false => format!("regexp: Compile({}): {message}", quoted(call.text(0))),
                    })?;
                    body(call, regex)
                });
            };
        function("regexFind", &[TEXT, TEXT], TEXT, |call, regex| {
            let found = regex.find(searched(call, 1)?);
            call.string(found.map_or(&[] as &[u8], |found| found.as_bytes()))
        });
        function("regexFindAll", &[TEXT, TEXT, Type::Int], STRINGS, |call, regex| {
            let most = usize::try_from(call.int(2)).unwrap_or(usize::MAX);
            let found = matches(&regex, searched(call, 1)?).take(most);
            collected(call, found.map(|found| found.as_bytes()))
        });
        function("regexReplaceAll", &[TEXT; 3], TEXT, |call, regex| {
            replace(call, &regex, |captures, out| expand(call, &regex, captures, out))
        });
        function("regexReplaceAllLiteral", &[TEXT; 3], TEXT, |call, regex| {
            replace(call, &regex, |_, out| {
                out.extend_from_slice(call.text(2));
                Ok(())
            })
        });
        function("regexSplit", &[TEXT, TEXT, Type::Int], STRINGS, split);
    }
}

/// The expression of the first argument, or Go's words for what is wrong with it.
fn compile(call: &Call<'_>) -> Result<Result<Regex, String>, Error> {
    let pattern = String::from_utf8_lossy(call.text(0));
    call.context.step(pattern.len())?;
    let translated = match goregexp::translate(&pattern) {
        Ok(translated) => translated,
        Err(error) => return Ok(Err(error.to_string())),
    };
    // What the program will take; how long it takes to make it follows from that.
    call.context.step(STEPS_PER_EXPRESSION + translated.weight * STEPS_PER_WEIGHT)?;
    Ok(translated.build(&pattern).map_err(|fault| fault.to_string()))
}

fn quoted(pattern: &[u8]) -> String {
    if strconv::can_backquote(pattern) {
        format!("`{}`", String::from_utf8_lossy(pattern))
    } else {
        strconv::quote(pattern)
    }
}

/// The text of an argument that is about to be searched.
fn searched<'a>(call: &Call<'a>, index: usize) -> Result<&'a [u8], Error> {
    let text = call.text(index);
    // In the worst case each byte meets each state.
    call.context.step(text.len().saturating_mul(1 + call.text(0).len() / 16))?;
    Ok(text)
}

/// Whether it does not lie within a character, as an empty match can.
fn is_whole(text: &[u8], found: &Match<'_>) -> bool {
    let is_continuation = |byte: &u8| byte & 0b1100_0000 == 0b1000_0000;
    !found.is_empty() || !text.get(found.start()).is_some_and(is_continuation)
}

fn matches<'r, 't>(regex: &'r Regex, text: &'t [u8]) -> impl Iterator<Item = Match<'t>> + use<'r, 't> {
    regex.find_iter(text).filter(move |found| is_whole(text, found))
}

fn collected<'t>(call: &Call<'_>, found: impl Iterator<Item = &'t [u8]>) -> Outcome {
    let mut texts: Vec<Text> = Vec::new();
    for text in found {
        call.context.charge(TEXT_COST)?;
        texts.push(text.into());
    }
    if texts.is_empty() { Ok(STRINGS.zero()) } else { call.strings(texts) }
}

fn replace(
    call: &Call<'_>,
    regex: &Regex,
    put: impl Fn(&Captures<'_>, &mut Vec<u8>) -> Result<(), Error>,
) -> Outcome {
    let text = searched(call, 1)?;
    let mut replaced = Vec::new();
    let (mut from, mut charged) = (0, 0);
    for captures in regex.captures_iter(text) {
        let Some(found) = captures.get(0).filter(|found| is_whole(text, found)) else { continue };
        replaced.extend_from_slice(text.get(from..found.start()).unwrap_or_default());
        put(&captures, &mut replaced)?;
        from = found.end();
        call.context.charge(replaced.len() - charged)?;
        charged = replaced.len();
    }
    let rest = text.get(from..).unwrap_or_default();
    call.context.charge(rest.len())?;
    replaced.extend_from_slice(rest);
    Ok(Value::String(replaced.into()))
}

/// Writes a replacement: `$1`, `${1}` and `$name` stand for groups, `$$` for a `$`.
fn expand(call: &Call<'_>, regex: &Regex, captures: &Captures<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
    let mut rest = call.text(2);
    while let Some(at) = memchr::memchr(b'$', rest) {
        let (before, after) = rest.split_at(at);
        out.extend_from_slice(before);
        rest = after.get(1..).unwrap_or_default();
        if let [b'$', after @ ..] = rest {
            out.push(b'$');
            rest = after;
            continue;
        }
        match group_name(rest) {
            None => out.push(b'$'),
            Some((name, after)) => {
                let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
                let has_leading_zero = name.len() > 1 && name.starts_with('0');
                let group = match is_number && !has_leading_zero {
                    true => name.parse().ok().and_then(|index: usize| captures.get(index)),
                    false if regex.capture_names().flatten().any(|known| known == &*name) => {
                        captures.name(&name)
                    }
                    false => None,
                };
                let text = group.map_or(&[] as &[u8], |group| group.as_bytes());
                call.context.charge(text.len())?;
                out.extend_from_slice(text);
                rest = after;
            }
        }
    }
    out.extend_from_slice(rest);
    Ok(())
}

/// The name behind a `$`, and what follows.
fn group_name(rest: &[u8]) -> Option<(Cow<'_, str>, &[u8])> {
    let (in_braces, from) = match rest {
        [b'{', after @ ..] => (true, after),
        _ => (false, rest),
    };
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let words = crate::strings::characters(from).take_while(|(c, _)| is_word(*c));
    let length: usize = words.map(|(_, length)| length).sum();
    let (name, after) = from.split_at(length);
    let after = match in_braces {
        true => after.strip_prefix(b"}")?,
        false => after,
    };
    (!name.is_empty()).then(|| (String::from_utf8_lossy(name), after))
}

fn split(call: &Call<'_>, regex: Regex) -> Outcome {
    let text = searched(call, 1)?;
    let most = match call.int(2) {
        0 => return Ok(STRINGS.zero()),
        most => usize::try_from(most).unwrap_or(usize::MAX),
    };
    if text.is_empty() && !call.text(0).is_empty() {
        return call.strings(vec![Text::default()]);
    }
    let mut parts: Vec<Text> = Vec::new();
    let (mut from, mut end) = (0, 0);
    for found in matches(&regex, text).take(most) {
        if parts.len() == most - 1 {
            break;
        }
        end = found.start();
        // An empty match at the beginning splits nothing.
        if found.end() != 0 {
            call.context.charge(size_of::<Text>())?;
            parts.push(text.get(from..end).unwrap_or_default().into());
        }
        from = found.end();
    }
    if end != text.len() {
        parts.push(text.get(from..).unwrap_or_default().into());
    }
    call.strings(parts)
}
