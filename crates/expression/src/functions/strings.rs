//! Strings: the standard functions and the extension library.

use super::{Overload, format::format, global, member, mismatch};
use crate::{
    evaluate::{Failure, Meter, Outcome},
    value::{
        List,
        Type::{Bool, Int, List as ListType, String as Text},
        Value,
    },
};

pub(super) fn named(name: &str) -> Option<&'static [Overload]> {
    Some(match name {
        "contains" => const { &[member(&[Text, Text], Bool, |m, v| test(m, v, |a, b| a.contains(b)))] },
        "startsWith" => const { &[member(&[Text, Text], Bool, |m, v| test(m, v, |a, b| a.starts_with(b)))] },
        "endsWith" => const { &[member(&[Text, Text], Bool, |m, v| test(m, v, |a, b| a.ends_with(b)))] },
        "matches" => const { &[member(&[Text, Text], Bool, matches), global(&[Text, Text], Bool, matches)] },
        "charAt" => const { &[member(&[Text, Int], Text, char_at)] },
        "indexOf" => {
            const { &[member(&[Text, Text], Int, index_of), member(&[Text, Text, Int], Int, index_of)] }
        }
        "lastIndexOf" => {
            const { &[member(&[Text, Text], Int, last_index_of), member(&[Text, Text, Int], Int, last_index_of)] }
        }
        "join" => const { &[member(&[ListType], Text, join), member(&[ListType, Text], Text, join)] },
        "lowerAscii" => const { &[member(&[Text], Text, |m, v| map(m, v, |t| t.to_ascii_lowercase()))] },
        "upperAscii" => const { &[member(&[Text], Text, |m, v| map(m, v, |t| t.to_ascii_uppercase()))] },
        "trim" => const { &[member(&[Text], Text, |m, v| map(m, v, |t| t.trim().to_owned()))] },
        "reverse" => const { &[member(&[Text], Text, |m, v| map(m, v, |t| t.chars().rev().collect()))] },
        "strings.quote" => const { &[global(&[Text], Text, |m, v| map(m, v, quote))] },
        "replace" => {
            const { &[member(&[Text, Text, Text], Text, replace), member(&[Text, Text, Text, Int], Text, replace)] }
        }
        "split" => {
            const { &[member(&[Text, Text], ListType, split), member(&[Text, Text, Int], ListType, split)] }
        }
        "substring" => {
            const { &[member(&[Text, Int], Text, substring), member(&[Text, Int, Int], Text, substring)] }
        }
        "format" => const { &[member(&[Text, ListType], Text, formatted)] },
        _ => return None,
    })
}

/// Searching costs as much as the longer text has bytes.
fn test<'a>(meter: &mut Meter, values: &[Value<'a>], answer: fn(&str, &str) -> bool) -> Outcome<'a> {
    let [Value::String(a), Value::String(b)] = values else { return mismatch() };
    meter.text(a.len() + b.len())?;
    Ok(Value::Bool(answer(a, b)))
}

fn map<'a>(meter: &mut Meter, values: &[Value<'a>], made: fn(&str) -> String) -> Outcome<'a> {
    let [Value::String(text)] = values else { return mismatch() };
    meter.text(2 * text.len())?;
    Ok(Value::text(made(text)))
}

fn matches<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::String(text), Value::String(pattern)] = values else { return mismatch() };
    meter.matches(text, pattern).map(Value::Bool)
}

fn outside() -> Failure {
    Failure::error("index out of range")
}

/// An index that counts characters as one that counts bytes; the end is allowed.
fn offset(text: &str, index: i64) -> Result<usize, Failure> {
    let count = usize::try_from(index).map_err(|_| outside())?;
    let mut offsets = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    offsets.nth(count).ok_or_else(outside)
}

/// How many characters there are before an offset in bytes.
fn position(text: &str, offset: Option<usize>) -> Value<'static> {
    let count = |end| i64::try_from(text.get(..end).unwrap_or(text).chars().count()).unwrap_or(i64::MAX);
    Value::Int(offset.map_or(-1, count))
}

fn char_at<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::String(text), Value::Int(index)] = values else { return mismatch() };
    meter.text(text.len())?;
    let at = offset(text, *index)?;
    Ok(Value::text(text.get(at..).unwrap_or_default().chars().take(1).collect::<String>()))
}

fn index_of<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let (text, wanted, from) = match values {
        [Value::String(text), Value::String(wanted)] => (text, wanted, 0),
        [Value::String(text), Value::String(wanted), Value::Int(from)] => (text, wanted, *from),
        _ => return mismatch(),
    };
    meter.text(text.len() + wanted.len())?;
    let from = offset(text, from)?;
    let found = text.get(from..).unwrap_or_default().find(&**wanted);
    Ok(position(text, found.map(|at| from + at)))
}

fn last_index_of<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let (text, wanted, until) = match values {
        [Value::String(text), Value::String(wanted)] => (text, wanted, None),
        [Value::String(text), Value::String(wanted), Value::Int(until)] => (text, wanted, Some(*until)),
        _ => return mismatch(),
    };
    meter.text(text.len() + wanted.len())?;
    // It may begin at the index at the latest.
    let end = match until {
        Some(until) => (offset(text, until)? + wanted.len()).min(text.len()),
        None => text.len(),
    };
    let end = (end..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    Ok(position(text, text.get(..end).unwrap_or_default().rfind(&**wanted)))
}

fn texts<'a>(list: &List<'a>, meter: &mut Meter) -> Result<Vec<Value<'a>>, Failure> {
    let mut items = Vec::new();
    for item in list.iter() {
        match &item {
            Value::String(text) => meter.text(text.len())?,
            _ => return Err(Failure::error("no such overload")),
        }
        items.push(item);
    }
    Ok(items)
}

fn join<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let (list, between) = match values {
        [Value::List(list)] => (list, ""),
        [Value::List(list), Value::String(between)] => (list, &**between),
        _ => return mismatch(),
    };
    let mut joined = String::new();
    for (index, item) in texts(list, meter)?.iter().enumerate() {
        if index > 0 {
            meter.text(between.len())?;
            joined.push_str(between);
        }
        if let Value::String(text) = item {
            joined.push_str(text);
        }
    }
    Ok(Value::text(joined))
}

fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn replace<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let (text, old, new, times) = match values {
        [Value::String(text), Value::String(old), Value::String(new)] => (text, old, new, -1),
        [Value::String(text), Value::String(old), Value::String(new), Value::Int(n)] => (text, old, new, *n),
        _ => return mismatch(),
    };
    meter.text(text.len() + old.len())?;
    let times = usize::try_from(times).unwrap_or(usize::MAX);
    let found = text.match_indices(&**old).take(times).count();
    meter.text(text.len().saturating_add(found.saturating_mul(new.len())))?;
    Ok(Value::text(text.replacen(&**old, new, times)))
}

fn split<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let (text, between, times) = match values {
        [Value::String(text), Value::String(between)] => (text, between, -1),
        [Value::String(text), Value::String(between), Value::Int(n)] => (text, between, *n),
        _ => return mismatch(),
    };
    meter.text(text.len() + between.len())?;
    let times = usize::try_from(times).unwrap_or(usize::MAX);
    let pieces: Box<dyn Iterator<Item = &str>> = if times == 0 {
        Box::new(std::iter::empty())
    } else if between.is_empty() {
        // Between all characters, the rest in the last piece.
        let last = times.saturating_sub(1);
        let at = text.char_indices().map(|(at, _)| at).nth(last).unwrap_or(text.len());
        let (head, tail) = text.split_at_checked(at).unwrap_or((text, ""));
        let head = head.char_indices().map(|(at, c)| head.get(at..at + c.len_utf8()).unwrap_or_default());
        Box::new(head.chain(Some(tail).filter(|tail| !tail.is_empty())))
    } else {
        Box::new(text.splitn(times, &**between))
    };
    let mut list = Vec::new();
    for piece in pieces {
        meter.text(piece.len())?;
        list.push(Value::text(piece));
    }
    Ok(Value::list(list))
}

fn substring<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let (text, from, to) = match values {
        [Value::String(text), Value::Int(from)] => (text, *from, None),
        [Value::String(text), Value::Int(from), Value::Int(to)] => (text, *from, Some(*to)),
        _ => return mismatch(),
    };
    meter.text(2 * text.len())?;
    let start = offset(text, from)?;
    let end = to.map_or(Ok(text.len()), |to| offset(text, to))?;
    match text.get(start..end) {
        Some(part) => Ok(Value::text(part)),
        None => Err(Failure::error("invalid substring range")),
    }
}

fn formatted<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::String(text), Value::List(arguments)] = values else { return mismatch() };
    format(text, arguments, meter).map(Value::text)
}
