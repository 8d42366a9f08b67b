//! Secret values in messages. What the API server says of an object may quote its values.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// What stands for a secret value, as in Flux.
const MASK: &str = "*****";
/// Shorter values are masked as whole words only: single characters are everywhere, and no secrets.
const MIN_PART_BYTES: usize = 4;

/// How many ways there are to spell a value, at most.
const SPELLINGS: usize = 20;
/// Most bytes of all values as they may be spelt, which are made for each message.
const MAX_SPELT_BYTES: usize = 64 << 20;
/// Most bytes of a message that are looked at, once for each spelling: some milliseconds.
const MAX_SEARCHED_BYTES: usize = 64 << 20;
/// What is shown of a message that takes too long to search.
const WITHHELD: &str = "(not shown: there are too many secret values to look for)";

/// Values that must not be shown. Clones share them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Mask(Vec<Arc<Values>>);

#[derive(Default, PartialEq, Eq)]
struct Values {
    values: BTreeSet<String>,
    bytes: usize,
}

impl Values {
    fn new(values: BTreeSet<String>) -> Self {
        let bytes = values.iter().map(String::len).sum();
        Self { values, bytes }
    }
}

impl Mask {
    /// Hides these values; empty ones cannot be seen anyway.
    pub fn new<T: AsRef<[u8]>>(values: impl IntoIterator<Item = T>) -> Self {
        let text = |value: T| std::str::from_utf8(value.as_ref()).ok().map(str::to_owned);
        Mask::of(values.into_iter().filter_map(text).collect())
    }

    fn of(values: BTreeSet<String>) -> Self {
        Mask(if values.is_empty() { Vec::new() } else { vec![Arc::new(Values::new(values))] })
    }

    /// This and another one.
    #[must_use]
    pub fn and(&self, other: &Mask) -> Mask {
        Mask(self.0.iter().chain(&other.0).cloned().collect())
    }

    /// This, and what a Secret holds; nothing more for objects of other kinds.
    pub fn with_data_of(&self, object: &Value) -> Mask {
        let is = |field, text| object.get(field).and_then(Value::as_str) == Some(text);
        if !is("kind", "Secret") || !is("apiVersion", "v1") {
            return self.clone();
        }
        let mut values = BTreeSet::new();
        for field in ["data", "stringData"] {
            object.get(field).into_iter().for_each(|value| add_leaves(&mut values, value));
        }
        self.and(&Mask::of(values))
    }

    /// The text without the values, or nothing of it if there are too many of them.
    pub fn apply(&self, text: &str) -> String {
        let sum = |of: fn(&Values) -> usize| self.0.iter().map(|values| of(values)).sum::<usize>();
        let (values, bytes) = (sum(|values| values.values.len()), sum(|values| values.bytes));
        if bytes.saturating_mul(SPELLINGS) > MAX_SPELT_BYTES
            || values.saturating_mul(SPELLINGS).saturating_mul(text.len()) > MAX_SEARCHED_BYTES
        {
            return WITHHELD.to_owned();
        }
        // Those of one value after another, for together they are many times as large as the values.
        let spelt = self.0.iter().flat_map(|values| &values.values).flat_map(|value| spellings(value));
        let shown: BTreeSet<String> = spelt.filter(|spelt| text.contains(spelt.as_str())).collect();
        let mut shown: Vec<_> = shown.iter().collect();
        // One may be a part of another.
        shown.sort_by_key(|spelt| std::cmp::Reverse(spelt.len()));
        shown.into_iter().fold(text.to_owned(), |text, spelt| match spelt.len() {
            ..MIN_PART_BYTES => mask_words(&text, spelt),
            _ => text.replace(spelt, MASK),
        })
    }
}

fn add_leaves(values: &mut BTreeSet<String>, value: &Value) {
    match value {
        Value::Null => {}
        Value::Array(items) => items.iter().for_each(|item| add_leaves(values, item)),
        Value::Object(fields) => fields.values().for_each(|field| add_leaves(values, field)),
        Value::Bool(_) | Value::Number(_) => drop(values.insert(value.to_string())),
        Value::String(text) => {
            values.insert(text.clone());
            values.extend(STANDARD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok()));
        }
    }
}

/// How a value may stand in a message: as it is, in base64 as templates put it, in one line as substitution puts it, as a YAML alias
/// or tag is called, and each of these as it stands between quotes, those of JSON and of Go's JSON too.
fn spellings(value: &str) -> Vec<String> {
    let line = value.replace('\n', "");
    let name = line.trim_start_matches(['*', '&', '!']).split_whitespace().next().unwrap_or_default();
    let name = if line.starts_with(name) { "" } else { name };
    let encoded = STANDARD.encode(value);
    let texts = [value, value.trim(), &line, name, &encoded].into_iter().filter(|text| !text.is_empty());
    texts
        .flat_map(|text| [text.to_owned(), text.escape_debug().to_string(), json(text), go_json(text)])
        .collect()
}

/// A text as it stands between the quotes of JSON.
fn json(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned()
}

/// The same as Go writes it.
fn go_json(text: &str) -> String {
    json(text).replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// Masks a value where it is no part of a word.
fn mask_words(text: &str, value: &str) -> String {
    let (mut masked, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once(value) {
        masked.push_str(before);
        let in_word = masked.ends_with(char::is_alphanumeric) || after.starts_with(char::is_alphanumeric);
        masked.push_str(if in_word { value } else { MASK });
        rest = after;
    }
    masked.push_str(rest);
    masked
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mask({} values)", self.0.iter().map(|values| values.values.len()).sum::<usize>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_masked_wherever_they_stand() {
        let mask = Mask::new(["hunter2", "hunter2-long", "7", "", "a\"b c", "  padded\n", "<a&b>\u{1}"]);
        for (text, shown) in [
            ("got \"hunter2\"", "got \"*****\""),
            ("xhunter2y hunter2-long", "x*****y *****"),
            ("Value:7} v17 7", "Value:*****} v17 *****"),
            ("got \"a\\\"b c\"", "got \"*****\""),
            ("padded", "*****"),
            ("got \"aHVudGVyMg==\"", "got \"*****\""),
            (
                "got <a&b> \"<a&b>\\u0001\" \"\\u003ca\\u0026b\\u003e\\u0001\"",
                "got <a&b> \"*****\" \"*****\"",
            ),
            ("nothing", "nothing"),
        ] {
            assert_eq!(mask.apply(text), shown);
        }
        assert!(!format!("{mask:?}").contains("hunter2"));
    }

    #[test]
    fn a_message_that_takes_too_long_to_search_is_not_shown() {
        let values = |count: usize, bytes: usize| {
            Mask::new((0..count).map(move |number| format!("{number}{}", "0".repeat(bytes))))
        };
        let text = "x".repeat(1000);
        assert_eq!(values(3000, 10).apply(&text), text);
        assert_eq!(values(4000, 10).apply(&text), WITHHELD);
        assert_eq!(values(2, 1 << 20).and(&values(1, 1 << 20)).apply("x"), "x");
        assert_eq!(values(2, 1 << 20).and(&values(2, 1 << 20)).apply("x"), WITHHELD);
    }

    #[test]
    fn what_a_secret_holds_is_masked() {
        let object = |api_version: &str, kind: &str| {
            json!({
                "apiVersion": api_version, "kind": kind, "metadata": {"name": "a"},
                "data": {"a": "aHVudGVyMg==", "b": 12345}, "stringData": {"c": {"d": ["nested"]}, "e": true},
            })
        };
        let text = "hunter2 aHVudGVyMg== Value:12345 map[d:nested] true a";
        let mask = Mask::default();
        let shown = "***** ***** Value:***** map[d:*****] ***** a";
        assert_eq!(mask.with_data_of(&object("v1", "Secret")).apply(text), shown);
        assert_eq!(mask.with_data_of(&object("v1", "ConfigMap")).apply(text), text);
        assert_eq!(mask.with_data_of(&object("x/v1", "Secret")).apply(text), text);
    }
}
