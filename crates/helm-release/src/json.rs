//! Structs of Go that are there as JSON, and how much a JSON text holds.

use serde_json::{Map, Value};
use yaml::{JsonFields, json_list};

/// A struct whose fields are there in their order, and those of the structs in its lists. Maps within are sorted.
pub(crate) fn ordered(fields: &Map<String, Value>) -> String {
    object(fields, |value| match value {
        Value::Array(items) if items.iter().all(Value::is_object) => {
            let structs = items.iter().filter_map(Value::as_object);
            json_list(&structs.map(|fields| object(fields, yaml::canonical_json)).collect::<Vec<_>>())
        }
        value => yaml::canonical_json(value),
    })
}

fn object(fields: &Map<String, Value>, write: impl Fn(&Value) -> String) -> String {
    let mut out = JsonFields::default();
    for (name, value) in fields {
        out.raw(name, &write(value));
    }
    out.finish()
}

/// How many values a JSON text has, those in lists and objects included. Of what is no JSON it counts what could be some.
pub(crate) fn count(text: &[u8]) -> usize {
    let (mut count, mut is_text, mut is_escaped, mut is_opened) = (1, false, false, false);
    for byte in text {
        if is_text {
            is_text = is_escaped || *byte != b'"';
            is_escaped = !is_escaped && *byte == b'\\';
            continue;
        }
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => continue,
            b',' => count += 1,
            b'}' | b']' => {}
            _ if is_opened => count += 1,
            _ => {}
        }
        is_opened = matches!(byte, b'{' | b'[');
        is_text = *byte == b'"';
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_counts_and_what_texts_say_does_not() {
        for (text, values) in [
            ("1", 1),
            ("[]", 1),
            ("[ ]", 1),
            ("[1]", 2),
            ("[[], {}, [[ ]]]", 5),
            (r#"{"a": 1, "b": [2, 3]}"#, 5),
            (r#"{"a,b": "x,[{,\",\\", "c": {"d": null}}"#, 4),
            (r#"[{},{},{}]"#, 4),
        ] {
            assert_eq!(count(text.as_bytes()), values, "{text}");
        }
    }
}
