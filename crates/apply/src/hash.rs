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

fn short(hasher: &blake3::Hasher) -> u64 {
    let bytes = hasher.finalize();
    bytes.as_bytes().iter().take(8).fold(0, |n, b| (n << 8) | u64::from(*b))
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
