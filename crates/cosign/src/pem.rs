//! Blocks of PEM. Go's reader, which Flux uses, does not mind how lines are broken.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Label and content of each block, up to the first one that is none.
pub(crate) fn blocks(pem: &[u8]) -> impl Iterator<Item = (&str, Vec<u8>)> {
    let mut rest = std::str::from_utf8(pem).unwrap_or_default();
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once("-----BEGIN ")?;
        let (label, after) = after.split_once("-----")?;
        let (body, after) = after.split_once("-----END ")?;
        rest = after;
        let body: String = body.split_ascii_whitespace().collect();
        Some((label, STANDARD.decode(body).ok()?))
    })
}
