//! Lists of strings.

use gotemplate::Value;
use gotemplate::value::{Text, Type};
use memchr::memmem;

use crate::call::{Call, Outcome, STRINGS, TEXT_COST, Table};
use crate::convert::items;
use crate::strings::characters;

const TEXT: Type = Type::String;

pub(crate) fn add(table: &mut Table) {
    table.add("join", &[TEXT, Type::Any], TEXT, |call| {
        let texts = call.strslice(call.value(1))?;
        call.context.charge(call.text(0).len().saturating_mul(texts.len()))?;
        call.context.charge(texts.iter().map(|text| text.len()).sum())?;
        let texts: Vec<&[u8]> = texts.iter().map(|text| &**text).collect();
        Ok(Value::String(texts.join(call.text(0)).into()))
    });
    table.add("sortAlpha", &[Type::Any], STRINGS, |call| {
        let value = call.value(0);
        if items(value).is_none() {
            return call.strings(vec![call.strval(value)?]);
        }
        if is_nil_of_strings(value) {
            return Ok(value.clone());
        }
        let mut texts = call.strslice(value)?;
        call.context.step(texts.len().saturating_mul(texts.len().max(1).ilog2() as usize))?;
        texts.sort();
        call.strings(texts)
    });
    table.add("splitList", &[TEXT, TEXT], STRINGS, |call| {
        call.strings(split(call, call.text(0), call.text(1), usize::MAX)?)
    });
    table.add("split", &[TEXT, TEXT], Type::Map(&TEXT), |call| {
        numbered(call, split(call, call.text(0), call.text(1), usize::MAX)?)
    });
    table.add("splitn", &[TEXT, Type::Int, TEXT], Type::Map(&TEXT), |call| {
        // A negative count is no limit.
        let most = usize::try_from(call.int(1)).unwrap_or(usize::MAX);
        numbered(call, split(call, call.text(0), call.text(2), most)?)
    });
}

/// Whether it is the `nil` of `[]string`, which sprig's `strslice` hands on as it is.
pub(crate) fn is_nil_of_strings(value: &Value) -> bool {
    matches!(value, Value::List(list) if list.is_nil() && *list.element() == Type::String)
}

/// `strings.SplitN`: an empty separator is between any two characters.
fn split(
    call: &Call<'_>,
    separator: &[u8],
    text: &[u8],
    most: usize,
) -> Result<Vec<Text>, gotemplate::Error> {
    if most == 0 {
        return Ok(Vec::new());
    }
    // Where parts end, and where the next ones begin.
    let ends = || -> Box<dyn Iterator<Item = (usize, usize)>> {
        if !separator.is_empty() {
            let found = memmem::find_iter(text, separator);
            return Box::new(found.map(|start| (start, start + separator.len())).take(most - 1));
        }
        let ends = characters(text).scan(0, |at, (_, length)| {
            *at += length;
            Some((*at, *at))
        });
        Box::new(ends.take_while(|(end, _)| *end < text.len()).take(most - 1))
    };
    call.context.step(text.len() / 8)?;
    let count = ends().count() + 1;
    call.context.charge(count.saturating_mul(TEXT_COST))?;
    if separator.is_empty() && text.is_empty() {
        return Ok(Vec::new());
    }
    let mut parts = Vec::with_capacity(count);
    let mut from = 0;
    for (end, next) in ends() {
        parts.push(text.get(from..end).unwrap_or_default().into());
        from = next;
    }
    parts.push(text.get(from..).unwrap_or_default().into());
    Ok(parts)
}

/// As a map from `_0`, `_1` and so on.
fn numbered(call: &Call<'_>, parts: Vec<Text>) -> Outcome {
    call.context.charge(parts.iter().map(|part| part.len()).sum())?;
    let entries = parts.into_iter().enumerate();
    let entries = entries.map(|(index, part)| (format!("_{index}").into(), Value::String(part)));
    call.entries(&TEXT, entries.collect())
}
