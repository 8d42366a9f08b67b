//! Strings. They are bytes: `trunc`, `substr`, `abbrev` and `wrap` cut between any two.

use gotemplate::Value;
use gotemplate::value::Type;
use memchr::memmem;

use crate::call::{Call, Outcome, STRINGS, Table};
use crate::string_lists::is_nil_of_strings;
use crate::{case, wrap};

const TEXT: Type = Type::String;

pub(crate) fn add(table: &mut Table) {
    let one = |table: &mut Table, name, body: fn(&Call<'_>) -> Outcome| {
        table.add(name, &[TEXT], TEXT, body);
    };
    let two = |table: &mut Table, name, body: fn(&Call<'_>) -> Outcome| {
        table.add(name, &[TEXT, TEXT], TEXT, body);
    };
    let counted = |table: &mut Table, name, body: fn(&Call<'_>) -> Outcome| {
        table.add(name, &[Type::Int, TEXT], TEXT, body);
    };
    let test = |table: &mut Table, name, test: fn(&[u8], &[u8]) -> bool| {
        table.add(name, &[TEXT, TEXT], Type::Bool, move |call| Ok(test(call.text(1), call.text(0)).into()));
    };

    table.add("hello", &[], TEXT, |call| call.string("Hello!"));
    one(table, "trim", |call| call.string(trim(call.text(0), char::is_whitespace)));
    one(table, "upper", |call| call.string(case::upper(call.text(0))));
    one(table, "lower", |call| call.string(case::lower(call.text(0))));
    one(table, "title", |call| call.string(case::title(call.text(0))));
    one(table, "untitle", |call| call.string(case::untitle(call.text(0))));
    one(table, "swapcase", |call| call.string(case::swap(call.text(0))));
    for (name, connector) in [("snakecase", '_'), ("kebabcase", '-')] {
        table.add(name, &[TEXT], TEXT, move |call| {
            let characters = call.text(0).len().saturating_mul(size_of::<char>());
            call.context.charge(characters)?;
            let joined = case::joined(call.text(0), connector);
            call.context.give_back(characters);
            call.string(joined)
        });
    }
    one(table, "camelcase", |call| call.string(case::pascal(call.text(0))));
    one(table, "nospace", |call| call.string(no_space(call.text(0))));
    one(table, "initials", |call| call.string(initials(call.text(0))));

    for name in ["trimAll", "trimall"] {
        two(table, name, |call| {
            let cut: Vec<char> = characters(call.text(0)).map(|(c, _)| c).collect();
            call.context.step(cut.len())?;
            // Each end is searched in all of `cut`.
            let trimmed = trim(call.text(1), |c| cut.contains(&c));
            call.context.step((call.text(1).len() - trimmed.len() + 2).saturating_mul(cut.len()) / 16)?;
            call.string(trimmed)
        });
    }
    two(table, "trimSuffix", |call| {
        let text = call.text(1);
        call.string(text.strip_suffix(call.text(0)).unwrap_or(text))
    });
    two(table, "trimPrefix", |call| {
        let text = call.text(1);
        call.string(text.strip_prefix(call.text(0)).unwrap_or(text))
    });
    table.add("replace", &[TEXT, TEXT, TEXT], TEXT, replace);

    counted(table, "trunc", |call| call.string(truncate(call.int(0), call.text(1))));
    counted(table, "repeat", |call| repeat(call, call.text(1)));
    counted(table, "indent", |call| indent(call, b""));
    counted(table, "nindent", |call| indent(call, b"\n"));
    counted(table, "abbrev", |call| call.string(wrap::abbreviate(call.text(1), 0, call.int(0))));
    counted(table, "wrap", |call| wrap::wrap(call, call.text(1), b"\n", false));
    table.add("abbrevboth", &[Type::Int, Type::Int, TEXT], TEXT, |call| {
        let (left, right) = (call.int(0), call.int(1));
        if right < 4 || left > 0 && right < 7 {
            return call.string(call.text(2));
        }
        call.string(wrap::abbreviate(call.text(2), left, right))
    });
    table.add("wrapWith", &[Type::Int, TEXT, TEXT], TEXT, |call| {
        let separator = if call.text(1).is_empty() { b"\n" } else { call.text(1) };
        wrap::wrap(call, call.text(2), separator, true)
    });
    table.add("substr", &[Type::Int, Type::Int, TEXT], TEXT, substring);
    table.add("plural", &[TEXT, TEXT, Type::Int], TEXT, |call| {
        call.string(if call.int(2) == 1 { call.text(0) } else { call.text(1) })
    });

    test(table, "contains", |text, part| memmem::find(text, part).is_some());
    test(table, "hasPrefix", |text, part| text.starts_with(part));
    test(table, "hasSuffix", |text, part| text.ends_with(part));

    table.add_variadic("quote", &[], Type::Any, TEXT, |call| {
        joined(call, |value| Ok(strconv::quote(&call.strval(value)?).into_bytes()))
    });
    table.add_variadic("squote", &[], Type::Any, TEXT, |call| {
        joined(call, |value| Ok([b"'", &*call.context.print(std::slice::from_ref(value))?, b"'"].concat()))
    });
    table.add_variadic("cat", &[], Type::Any, TEXT, |call| {
        joined(call, |value| Ok(call.context.print(std::slice::from_ref(value))?.to_vec()))
    });
    table.add("toString", &[Type::Any], TEXT, |call| Ok(Value::String(call.strval(call.value(0))?)));
    table.add("toStrings", &[Type::Any], STRINGS, |call| match call.value(0) {
        nil if is_nil_of_strings(nil) => Ok(nil.clone()),
        value => call.strings(call.strslice(value)?),
    });
}

/// The characters of a text and their lengths; what is no UTF-8 is U+FFFD of length 1.
pub(crate) fn characters(text: &[u8]) -> impl Iterator<Item = (char, usize)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (c, length) = strconv::decode(rest)?;
        rest = rest.get(length..)?;
        Some((c, length))
    })
}

fn trim(text: &[u8], is_cut: impl Fn(char) -> bool) -> &[u8] {
    let front: usize = characters(text).take_while(|(c, _)| is_cut(*c)).map(|(_, length)| length).sum();
    let mut text = text.get(front..).unwrap_or_default();
    while let Some((c, length)) = last_character(text) {
        if !is_cut(c) {
            break;
        }
        text = text.get(..text.len() - length).unwrap_or_default();
    }
    text
}

/// As `utf8.DecodeLastRune`.
fn last_character(text: &[u8]) -> Option<(char, usize)> {
    for length in 1..=text.len().min(4) {
        let end = text.get(text.len() - length..)?;
        if let Some((c, found)) = strconv::decode(end)
            && found == length
            && (length > 1 || c != char::REPLACEMENT_CHARACTER)
        {
            return Some((c, length));
        }
    }
    (!text.is_empty()).then_some((char::REPLACEMENT_CHARACTER, 1))
}

/// Without white space. It reads bytes as if they were characters, and garbles what is not ASCII if it drops anything.
fn no_space(text: &[u8]) -> Vec<u8> {
    let kept: String = text.iter().map(|byte| char::from(*byte)).filter(|c| !c.is_whitespace()).collect();
    if kept.chars().count() == text.len() { text.to_vec() } else { kept.into_bytes() }
}

/// The first byte of each word.
fn initials(text: &[u8]) -> String {
    let mut after_gap = true;
    let mut initials = String::new();
    for c in text.iter().map(|byte| char::from(*byte)) {
        let is_gap = c.is_whitespace();
        if after_gap && !is_gap {
            initials.push(c);
        }
        after_gap = is_gap;
    }
    initials
}

fn truncate(count: i64, text: &[u8]) -> &[u8] {
    let length = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    match count < 0 {
        true if length < text.len() => text.get(text.len() - length..),
        false if length < text.len() => text.get(..length),
        _ => None,
    }
    .unwrap_or(text)
}

fn substring(call: &Call<'_>) -> Outcome {
    let (start, end, text) = (call.int(0), call.int(1), call.text(2));
    let out_of_range = |range: String| format!("runtime error: slice bounds out of range [{range}").into();
    let length = text.len();
    let position = |index: i64| usize::try_from(index).ok().filter(|index| *index <= length);
    let Ok(start) = usize::try_from(start) else {
        let Some(end) = position(end) else {
            let with_length = if end < 0 { String::new() } else { format!(" with length {length}") };
            return Err(out_of_range(format!(":{end}]{with_length}")));
        };
        return call.string(text.get(..end).unwrap_or_default());
    };
    let end = position(end).unwrap_or(length);
    match text.get(start..end) {
        Some(text) => call.string(text),
        None => Err(out_of_range(format!("{start}:{end}]"))),
    }
}

fn repeat(call: &Call<'_>, text: &[u8]) -> Outcome {
    let count = usize::try_from(call.int(0)).map_err(|_| "strings: negative Repeat count")?;
    call.context.charge(text.len().saturating_mul(count))?;
    Ok(Value::String(text.repeat(count).into()))
}

/// Every line moved to the right, behind a beginning.
fn indent(call: &Call<'_>, beginning: &[u8]) -> Outcome {
    let spaces = usize::try_from(call.int(0)).map_err(|_| "strings: negative Repeat count")?;
    let text = call.text(1);
    let lines = memchr::memchr_iter(b'\n', text).count() + 1;
    let length = lines.saturating_mul(spaces).saturating_add(text.len() + beginning.len());
    call.context.charge(length)?;
    let mut indented = Vec::with_capacity(length);
    indented.extend_from_slice(beginning);
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        if index > 0 {
            indented.push(b'\n');
        }
        indented.resize(indented.len() + spaces, b' ');
        indented.extend_from_slice(line);
    }
    Ok(Value::String(indented.into()))
}

fn replace(call: &Call<'_>) -> Outcome {
    let (old, new, text) = (call.text(0), call.text(1), call.text(2));
    // An empty text is found before each character and at the end.
    let places = || -> Box<dyn Iterator<Item = usize>> {
        if !old.is_empty() {
            return Box::new(memmem::find_iter(text, old));
        }
        let starts = characters(text).scan(0, |at, (_, length)| Some(std::mem::replace(at, *at + length)));
        Box::new(starts.chain([text.len()]))
    };
    call.context.step(text.len() / 8)?;
    call.context.charge(text.len().saturating_add(places().count().saturating_mul(new.len())))?;
    let mut replaced = Vec::new();
    let mut from = 0;
    for place in places() {
        replaced.extend_from_slice(text.get(from..place).unwrap_or_default());
        replaced.extend_from_slice(new);
        from = place + old.len();
    }
    replaced.extend_from_slice(text.get(from..).unwrap_or_default());
    Ok(Value::String(replaced.into()))
}

/// The arguments that are not nil, each in its form, with spaces between them.
fn joined(call: &Call<'_>, form: impl Fn(&Value) -> Result<Vec<u8>, gotemplate::Error>) -> Outcome {
    let values = call.values.iter().filter(|value| !matches!(value, Value::Nil));
    let mut texts = Vec::new();
    for value in values {
        let text = form(value)?;
        call.context.charge(text.len())?;
        texts.push(text);
    }
    call.string(texts.join(&b' '))
}
