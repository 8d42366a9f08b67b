//! What Google answers, in JSON.

use serde::Deserialize;

use crate::Object;
use crate::list::Page;

const MALFORMED: &str = "it is no list of objects";

/// What the service calls a list.
const KIND: &str = "storage#objects";

#[derive(Deserialize)]
struct Listing {
    kind: String,
    #[serde(default)]
    items: Vec<Item>,
    #[serde(default, rename = "nextPageToken")]
    next: String,
}

/// Numbers are texts.
#[derive(Deserialize)]
struct Item {
    name: String,
    etag: String,
    generation: String,
    size: String,
}

impl Item {
    fn object(self) -> Option<Object> {
        let (size, generation) = (self.size.parse().ok()?, self.generation.parse().ok()?);
        let object = Object {
            key: self.name,
            etag: self.etag,
            size,
            generation: Some(generation),
            ..Object::default()
        };
        Some(object).filter(|object| !object.key.is_empty())
    }
}

/// Reads a page of a list.
pub fn page(json: &[u8]) -> Result<Page, &'static str> {
    let Listing { kind, items, next } = serde_json::from_slice(json).map_err(|_| MALFORMED)?;
    if kind != KIND {
        return Err(MALFORMED);
    }
    let objects: Option<Vec<Object>> = items.into_iter().map(Item::object).collect();
    Ok(Page { objects: objects.ok_or(MALFORMED)?, next: Some(next).filter(|next| !next.is_empty()) })
}

/// Reads what is told of one object.
pub fn object(json: &[u8]) -> Result<Object, &'static str> {
    let item = serde_json::from_slice::<Item>(json).ok();
    item.and_then(Item::object).ok_or("the answer tells of no object")
}

/// Message and reason of an error. Errors of contents are plain text.
pub fn error(body: &[u8]) -> (String, String) {
    #[derive(Deserialize)]
    struct Answer {
        error: Described,
    }
    #[derive(Deserialize)]
    struct Described {
        #[serde(default)]
        message: String,
        #[serde(default)]
        errors: Vec<Reason>,
    }
    #[derive(Deserialize)]
    struct Reason {
        #[serde(default)]
        reason: String,
    }
    match serde_json::from_slice::<Answer>(body) {
        Ok(Answer { error }) => {
            let reason = error.errors.into_iter().next().map(|error| error.reason);
            (error.message, reason.unwrap_or_default())
        }
        Err(_) => (String::from_utf8_lossy(body).trim().to_owned(), String::new()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_objects_and_says_where_the_next_one_begins() {
        let text = br#"{"kind": "storage#objects", "nextPageToken": "t=", "items": [
            {"name": "a/b", "etag": "CJ+/=", "generation": "1700000000000001", "size": "12", "kind": "x"}]}"#;
        let object = Object {
            key: "a/b".to_owned(),
            etag: "CJ+/=".to_owned(),
            size: 12,
            generation: Some(1_700_000_000_000_001),
            unpacked: None,
        };
        assert_eq!(page(text).unwrap(), Page { objects: vec![object], next: Some("t=".to_owned()) });
        assert_eq!(page(br#"{"kind": "storage#objects"}"#).unwrap(), Page::default());
        let item = |name: &str, size: &str| {
            format!(
                r#"{{"kind": "storage#objects", "items": [{{"name": "{name}", "etag": "e", "generation": "1", "size": "{size}"}}]}}"#
            )
        };
        for text in [
            "",
            "[]",
            "{}",
            r#"{"kind": "storage#buckets"}"#,
            "<html>",
            &item("", "1"),
            &item("a", "-1"),
            r#"{"items": [{"name": "a"}]}"#,
        ] {
            assert_eq!(page(text.as_bytes()), Err(MALFORMED), "{text}");
        }
    }

    #[test]
    fn errors_have_a_message_and_a_reason() {
        let text = br#"{"error": {"code": 403, "message": "no", "errors": [{"reason": "forbidden"}]}}"#;
        assert_eq!(error(text), ("no".to_owned(), "forbidden".to_owned()));
        assert_eq!(error(b"No such object: b/o\n"), ("No such object: b/o".to_owned(), String::new()));
        assert_eq!(error(br#"{"error": {}}"#), (String::new(), String::new()));
    }
}
