//! What is wrong with a value, as Go's library tells it.

use crate::document::Json;
use crate::number::Number;
use crate::schema::{Pattern, Types};

/// A schema that a value does not meet.
#[derive(Debug, Default)]
pub(crate) struct Failure {
    /// The place in the value, quoted.
    pub(crate) place: String,
    pub(crate) kind: Kind,
    pub(crate) causes: Vec<Failure>,
}

#[derive(Debug, Default)]
pub(crate) enum Kind {
    /// Several keywords of one schema.
    #[default]
    Group,
    /// The schema that another one refers to.
    Reference,
    /// A keyword: what it says.
    Keyword(String),
}

impl Failure {
    fn put(&self, indent: usize, out: &mut String) {
        let is_shown = !matches!(self.kind, Kind::Reference) || self.causes.len() != 1;
        if is_shown {
            if indent > 0 {
                out.push('\n');
                out.push_str(&"  ".repeat(indent - 1));
                out.push_str("- ");
            }
            let text = match &self.kind {
                Kind::Group | Kind::Reference => "validation failed",
                Kind::Keyword(text) => text,
            };
            out.push_str(&format!("at {}: {text}", self.place));
        }
        put_all(&self.causes, indent + usize::from(is_shown), out);
    }
}

fn put_all(failures: &[Failure], indent: usize, out: &mut String) {
    for failure in failures {
        failure.put(indent, out);
    }
}

/// What does not meet a whole schema: a list item a line, each after a line break.
pub(crate) fn lines(failure: Failure) -> String {
    let mut out = String::new();
    match failure.kind {
        Kind::Group => put_all(&failure.causes, 1, &mut out),
        _ => failure.put(1, &mut out),
    }
    out
}

/// In single quotes, with Go's escapes.
pub(crate) fn quote(text: &str) -> String {
    let quoted = strconv::quote(text.as_bytes()).replace("\\\"", "\"").replace('\'', "\\'");
    let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    format!("'{inner}'")
}

fn quote_all<'t>(texts: impl IntoIterator<Item = &'t str>) -> String {
    texts.into_iter().map(quote).collect::<Vec<_>>().join(", ")
}

/// A scalar, or the word for what is none.
pub(crate) fn display(value: &Json) -> String {
    match value {
        Json::Null => "<nil>".to_owned(),
        Json::Bool(value) => value.to_string(),
        Json::Number(number) => number.text().to_owned(),
        Json::String(text) => quote(text),
        Json::Array(_) | Json::Object(_) => "value".to_owned(),
    }
}

/// A count with commas, as in English.
fn count(value: usize) -> String {
    grouped(&value.to_string())
}

fn grouped(digits: &str) -> String {
    let mut out = String::with_capacity(digits.len() * 2);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A float as in English: with commas, or times a power of ten.
fn float(number: &Number) -> String {
    let text = strconv::format_float(number.as_f64(), 'g', None);
    let (sign, text) = text.strip_prefix('-').map_or(("", text.as_str()), |text| ("-", text));
    if let Some((digits, exponent)) = text.split_once('e') {
        let power = exponent.trim_start_matches('+').chars().map(|c| match c {
            '-' => '⁻',
            '1' => '¹',
            '2' => '²',
            '3' => '³',
            digit => char::from_u32(0x2070 + digit.to_digit(10).unwrap_or_default()).unwrap_or(digit),
        });
        return format!("{sign}{digits}×10{}", power.collect::<String>());
    }
    match text.split_once('.') {
        Some((whole, fraction)) => format!("{sign}{}.{fraction}", grouped(whole)),
        None => format!("{sign}{}", grouped(text)),
    }
}

fn indexes(found: &[usize]) -> String {
    found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

pub(crate) fn wrong_type(got: &str, want: Types) -> String {
    format!("got {got}, want {}", want.names().join(" or "))
}

pub(crate) fn wrong_constant(want: &Json) -> String {
    match want {
        Json::Array(_) | Json::Object(_) => "'const' failed".to_owned(),
        want => format!("value must be {}", display(want)),
    }
}

pub(crate) fn none_of(wanted: &[Json]) -> String {
    if wanted.iter().any(|value| matches!(value, Json::Array(_) | Json::Object(_))) {
        return "'enum' failed".to_owned();
    }
    match wanted {
        [one] => format!("value must be {}", display(one)),
        all => {
            let all: Vec<_> = all.iter().map(display).collect();
            format!("value must be one of {}", all.join(", "))
        }
    }
}

pub(crate) fn wrong_count(keyword: &str, got: usize, want: usize) -> String {
    format!("{keyword}: got {}, want {}", count(got), count(want))
}

pub(crate) fn wrong_number(keyword: &str, got: &Number, want: &Number) -> String {
    format!("{keyword}: got {}, want {}", float(got), float(want))
}

pub(crate) fn missing(names: &[&str]) -> String {
    let word = if names.len() == 1 { "property" } else { "properties" };
    format!("missing {word} {}", quote_all(names.iter().copied()))
}

pub(crate) fn missing_beside(names: &[&str], present: &str) -> String {
    format!("properties {} required, if {} exists", quote_all(names.iter().copied()), quote(present))
}

pub(crate) fn additional_properties(names: &[&str]) -> String {
    format!("additional properties {} not allowed", quote_all(names.iter().copied()))
}

pub(crate) fn additional_items(number: usize) -> String {
    format!("last {} additionalItem(s) not allowed", count(number))
}

pub(crate) fn property_name(name: &str) -> String {
    format!("invalid propertyName {}", quote(name))
}

pub(crate) fn equal_items(first: usize, second: usize) -> String {
    format!("items at {} and {} are equal", count(first), count(second))
}

pub(crate) fn too_few_contained(matched: &[usize], want: usize) -> String {
    let want = count(want);
    match matched {
        [] => format!("min {want} items required to match contains schema, but none matched"),
        found => format!(
            "min {want} items required to match contains schema, but matched {} items at {}",
            count(found.len()),
            indexes(found)
        ),
    }
}

pub(crate) fn too_many_contained(matched: &[usize], want: usize) -> String {
    format!(
        "max {} items required to match contains schema, but matched {} items at {}",
        count(want),
        count(matched.len()),
        indexes(matched)
    )
}

pub(crate) fn pattern(text: &str, pattern: &Pattern) -> String {
    format!("{} does not match pattern {}", quote(text), quote(&pattern.text))
}

pub(crate) fn format_of(value: &Json, name: &str, why: &str) -> String {
    format!("{} is not valid {name}: {why}", display(value))
}

pub(crate) fn one_of(first: usize, second: usize) -> String {
    format!("'oneOf' failed, subschemas {}, {} matched", count(first), count(second))
}

pub(crate) fn cycle(url: &str, here: &str, there: &str) -> String {
    let url = crate::pointer::quoted(url);
    format!("both {here} and {there} resolve to {url} causing reference cycle")
}
