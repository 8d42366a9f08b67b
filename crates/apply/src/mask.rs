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

/// Values that must not be shown. Clones share them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Mask(Arc<BTreeSet<String>>);

impl Mask {
    /// Hides these values; empty ones cannot be seen anyway.
    pub fn new<T: AsRef<[u8]>>(values: impl IntoIterator<Item = T>) -> Self {
        let text = |value: T| std::str::from_utf8(value.as_ref()).ok().map(str::to_owned);
        Mask(Arc::new(values.into_iter().filter_map(text).collect()))
    }

    /// This and another one.
    #[must_use]
    pub fn and(&self, other: &Mask) -> Mask {
        Mask(Arc::new(self.0.union(&other.0).cloned().collect()))
    }

    /// This, and what a Secret holds; nothing more for objects of other kinds.
    pub fn with_data_of(&self, object: &Value) -> Mask {
        let is = |field, text| object.get(field).and_then(Value::as_str) == Some(text);
        if !is("kind", "Secret") || !is("apiVersion", "v1") {
            return self.clone();
        }
        let mut values = BTreeSet::clone(&self.0);
        for field in ["data", "stringData"] {
            object.get(field).into_iter().for_each(|value| add_leaves(&mut values, value));
        }
        Mask(Arc::new(values))
    }

    /// The text without the values.
    pub fn apply(&self, text: &str) -> String {
        let spelt: BTreeSet<String> = self.0.iter().flat_map(|value| spellings(value)).collect();
        let mut shown: Vec<_> = spelt.iter().filter(|spelt| text.contains(spelt.as_str())).collect();
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
/// or tag is called, and each of these as it stands between quotes.
fn spellings(value: &str) -> Vec<String> {
    let line = value.replace('\n', "");
    let name = line.trim_start_matches(['*', '&', '!']).split_whitespace().next().unwrap_or_default();
    let name = if line.starts_with(name) { "" } else { name };
    let encoded = STANDARD.encode(value);
    let texts = [value, value.trim(), &line, name, &encoded].into_iter().filter(|text| !text.is_empty());
    texts.flat_map(|text| [text.to_owned(), text.escape_debug().to_string()]).collect()
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
        write!(f, "Mask({} values)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_masked_wherever_they_stand() {
        let mask = Mask::new(["hunter2", "hunter2-long", "7", "", "a\"b c", "  padded\n"]);
        for (text, shown) in [
            ("got \"hunter2\"", "got \"*****\""),
            ("xhunter2y hunter2-long", "x*****y *****"),
            ("Value:7} v17 7", "Value:*****} v17 *****"),
            ("got \"a\\\"b c\"", "got \"*****\""),
            ("padded", "*****"),
            ("got \"aHVudGVyMg==\"", "got \"*****\""),
            ("nothing", "nothing"),
        ] {
            assert_eq!(mask.apply(text), shown);
        }
        assert!(!format!("{mask:?}").contains("hunter2"));
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
