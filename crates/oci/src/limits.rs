//! What a registry may cost: bytes, entries, waits.

use std::time::Duration;

/// Upper bounds for the answers of one registry. Exceeding one fails the operation.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Time for reaching a server, or the proxy before it, TLS included.
    pub connect_timeout: Duration,
    /// Time without a byte, both before an answer and within it.
    pub idle_timeout: Duration,
    /// Bytes of one manifest or index. Registries accept 4 MiB (OCI distribution specification, "Pushing Manifests");
    /// go-containerregistry reads 100 MiB.
    pub manifest_bytes: u64,
    /// Bytes of one layer or other blob.
    pub blob_bytes: u64,
    /// Bytes of all pages of one list of tags.
    pub tag_bytes: u64,
    /// Tags of one list.
    pub tags: usize,
    /// Pages of one list of tags.
    pub tag_pages: usize,
    /// Tags that are asked for in one page; a registry may send fewer or more.
    pub tags_per_page: usize,
    /// Bytes of all pages of one list of referrers.
    pub referrer_bytes: u64,
    /// Referrers of one list.
    pub referrers: usize,
    /// Pages of one list of referrers.
    pub referrer_pages: usize,
    /// Bytes of a token server's answer.
    pub token_bytes: u64,
    /// Bytes of all `WWW-Authenticate` headers of one answer.
    pub challenge_bytes: usize,
    /// Bytes that are read of an error's body; no more than its first 1024 characters are repeated.
    pub error_bytes: u64,
    /// Redirects of one request.
    pub redirects: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connect_timeout: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(30),
            manifest_bytes: 4 << 20,
            blob_bytes: 1 << 30,
            tag_bytes: 32 << 20,
            tags: 200_000,
            tag_pages: 1000,
            tags_per_page: 1000,
            referrer_bytes: 8 << 20,
            referrers: 1000,
            referrer_pages: 100,
            token_bytes: 64 << 10,
            challenge_bytes: 8 << 10,
            error_bytes: 64 << 10,
            redirects: 10,
        }
    }
}
