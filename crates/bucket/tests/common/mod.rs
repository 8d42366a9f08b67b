//! What the tests of all stores share.
#![allow(dead_code, clippy::unwrap_used)]

use std::io::Read;
use std::time::Duration;

use bucket::{Client, ListError, Object, RequestError};
use e2e::object_store::{ObjectStore, gzip};
use net::Deadline;

/// Keys that not every client gets right.
pub const ODD_KEYS: [&str; 11] =
    ["a b+c", "a//b", "/lead", "é/ü?x=y&z#f", "%41", "per%cent", "a<b>&c", "q\"u'o", "~!*()", "+", "a=b"];

pub fn minute() -> Deadline {
    Deadline::new(Duration::from_secs(60))
}

pub async fn listed(client: &Client, prefix: &str) -> Result<Vec<Object>, ListError> {
    let mut objects = Vec::new();
    let mut take = |object| {
        objects.push(object);
        Ok::<_, ListError>(())
    };
    client.list(prefix, &minute(), &mut take).await?;
    Ok(objects)
}

/// Etag and content of an object, if it is there.
pub async fn content(client: &Client, object: &Object) -> Result<Option<(String, String)>, RequestError> {
    let Some(mut body) = client.get(object, &minute()).await? else { return Ok(None) };
    let mut bytes = Vec::new();
    while let Some(chunk) = body.chunk().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some((body.etag().to_owned(), String::from_utf8(bytes).unwrap())))
}

/// Asserts that an object is as it was listed, has this etag, and the text `of <key>`.
pub async fn assert_content(client: &Client, object: &Object, expected: Option<String>) {
    let (etag, text) = content(client, object).await.unwrap().unwrap();
    assert_eq!((etag.as_str(), text), (object.etag.as_str(), format!("of {}", object.key)));
    assert_eq!(Some(object.etag.clone()), expected);
}

/// Asserts that [`ODD_KEYS`], and no others, are listed and fetched; `etag` tells what the store has.
pub async fn assert_odd_keys(client: &Client, etag: impl Fn(&str) -> Option<String>) {
    let objects = listed(client, "").await.unwrap();
    let mut expected = ODD_KEYS;
    expected.sort_unstable();
    assert_eq!(objects.iter().map(|object| object.key.as_str()).collect::<Vec<_>>(), expected);
    for object in &objects {
        assert_content(client, object, etag(&object.key)).await;
    }
    assert_eq!(listed(client, "a b").await.unwrap().len(), 1);
}

/// Asserts which objects of a store count as packed, and that all come as they are stored.
pub async fn assert_packed(client: &Client, server: &ObjectStore, unpacks: bool) {
    let packed = gzip(b"content");
    for (key, content, encoding) in [
        ("a", &packed[..], "gzip"),
        ("b", &packed, "GZIP"),
        ("c", &packed, "br"),
        ("d", &packed, "gzip, gzip"),
        ("e", b"", "gzip"),
    ] {
        server.put_encoded(key, content, encoding);
    }
    server.put("f", "plain");
    for object in listed(client, "").await.unwrap() {
        let mut body = client.get(&object, &minute()).await.unwrap().unwrap();
        let is_packed = unpacks && matches!(object.key.as_str(), "a" | "b");
        assert_eq!((body.is_packed(), body.size()), (is_packed, object.size), "{}", object.key);
        let mut bytes = Vec::new();
        while let Some(chunk) = body.chunk().await.unwrap() {
            bytes.extend_from_slice(&chunk);
        }
        assert_eq!(bytes.len() as u64, object.size, "{}", object.key);
        if is_packed {
            let mut text = String::new();
            bucket::unpacked(bytes.as_slice()).read_to_string(&mut text).unwrap();
            assert_eq!(text, "content");
        }
    }
}
