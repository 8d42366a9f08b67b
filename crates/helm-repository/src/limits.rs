//! What a repository may cost.

use std::time::Duration;

/// Upper bounds for one repository. Exceeding one fails the operation.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of an index, uncompressed.
    pub index_bytes: u64,
    /// Versions of all charts of an index.
    pub versions: usize,
    /// Anchors, and aliases, in an index that is YAML.
    pub aliases: usize,
    /// Values within values.
    pub depth: usize,
    /// Time for reaching a server, or the proxy before it, TLS included.
    pub connect_timeout: Duration,
    /// Time without a byte, both before an answer and within it.
    pub idle_timeout: Duration,
    /// Redirects of one request.
    pub redirects: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            index_bytes: 50 << 20,
            versions: 250_000,
            aliases: 1000,
            depth: 32,
            connect_timeout: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(30),
            redirects: 10,
        }
    }
}
