//! What the tests of all stores share.
#![allow(dead_code, clippy::unwrap_used)]

use std::time::Duration;

use bucket::{Client, ListError, Object, RequestError};
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
