//! What a bucket may cost: bytes, entries, waits.

use std::time::Duration;

/// Upper bounds for what the server of one bucket answers. Exceeding one fails the operation.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Time without a byte, both before an answer and within it.
    pub idle_timeout: Duration,
    /// Bytes of one page of a list. A page of 1000 keys of 1024 bytes that are escaped is smaller.
    pub page_bytes: usize,
    /// Pages of one list.
    pub pages: usize,
    /// Objects of one list, those included that nobody wants.
    pub objects: usize,
    /// Bytes of one object.
    pub object_bytes: u64,
    /// Bytes that are read of an error's body.
    pub error_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            idle_timeout: Duration::from_secs(30),
            page_bytes: 16 << 20,
            pages: 5000,
            objects: 200_000,
            object_bytes: 1 << 30,
            error_bytes: 64 << 10,
        }
    }
}
