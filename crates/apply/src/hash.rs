//! Short digests of JSON values, for comparison within one process.

use std::io::{self, Write};

use serde_json::Value;

/// First eight bytes of the BLAKE3 digest of the value's text. Key order counts.
pub(crate) fn json(value: &Value) -> u64 {
    let mut hasher = blake3::Hasher::new();
    // Neither a map of a parsed value nor the hasher can fail.
    let _ = serde_json::to_writer(HashWriter(&mut hasher), value);
    short(&hasher)
}

/// Digest over a list of digests.
pub(crate) fn combine(parts: impl IntoIterator<Item = u64>) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&part.to_le_bytes());
    }
    short(&hasher)
}

/// First eight bytes of the digest.
pub(crate) fn short(hasher: &blake3::Hasher) -> u64 {
    let bytes = hasher.finalize();
    bytes.as_bytes().iter().take(8).fold(0, |n, b| (n << 8) | u64::from(*b))
}

/// Takes in a value so that key order and null fields make no difference.
pub(crate) fn feed_canonical(hasher: &mut blake3::Hasher, value: &Value) {
    match value {
        Value::Array(items) => {
            hasher.update(b"[");
            items.iter().for_each(|item| feed_canonical(hasher, item));
            hasher.update(b"]");
        }
        Value::Object(fields) => feed_fields(hasher, fields.iter()),
        // Scalars end with a byte that JSON text does not hold.
        scalar => {
            let _ = serde_json::to_writer(HashWriter(hasher), scalar);
            hasher.update(&[0]);
        }
    }
}

/// Takes in fields as [`feed_canonical`] takes in an object of them.
pub(crate) fn feed_fields<'a>(
    hasher: &mut blake3::Hasher,
    fields: impl Iterator<Item = (&'a String, &'a Value)>,
) {
    let mut fields: Vec<_> = fields.filter(|(_, value)| !value.is_null()).collect();
    fields.sort_by_key(|(name, _)| *name);
    hasher.update(b"{");
    for (name, value) in fields {
        hasher.update(name.as_bytes()).update(&[0]);
        feed_canonical(hasher, value);
    }
    hasher.update(b"}");
}

struct HashWriter<'a>(&'a mut blake3::Hasher);

impl Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn canonical(value: Value) -> u64 {
        let mut hasher = blake3::Hasher::new();
        feed_canonical(&mut hasher, &value);
        short(&hasher)
    }

    #[test]
    fn key_order_and_null_fields_make_no_difference() {
        assert_eq!(
            canonical(json!({"a": 1, "b": {"c": 2, "d": 3}})),
            canonical(json!({"b": {"d": 3, "c": 2, "e": null}, "a": 1}))
        );
    }

    #[test]
    fn structure_and_item_order_make_a_difference() {
        let all = [
            json!([1, 2]),
            json!([2, 1]),
            json!([[1], 2]),
            json!([12]),
            json!(["1", 2]),
            json!({"a": "b"}),
            json!({"ab": ""}),
            json!({"a": {"b": 1}}),
            json!({"a": {}, "b": 1}),
            json!([]),
            json!({}),
            json!([null]),
            json!(null),
        ];
        let digests: std::collections::HashSet<u64> = all.iter().cloned().map(canonical).collect();
        assert_eq!(digests.len(), all.len());
    }
}
