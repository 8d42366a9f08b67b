//! Downloading an artifact: bounded, retried, and verified while it streams in.

use std::{
    io::{self, Read},
    time::Duration,
};

use crate::digest::{Digest, DigestError};

/// How downloads behave.
#[derive(Clone, Debug)]
pub struct Options {
    /// Attempts after the first: `--http-retry`.
    pub retries: u32,
    /// Wait before the first retry; doubles each time.
    pub backoff_min: Duration,
    /// Longest wait between attempts.
    pub backoff_max: Duration,
    /// Bytes of an archive.
    pub max_bytes: u64,
    /// Bytes of an archive kept in memory; larger ones go to an unlinked temporary file.
    pub memory_bytes: usize,
    /// How long a connection may take to open, or the server to send nothing.
    pub idle_timeout: Duration,
    /// How long one attempt may take in all.
    pub attempt_timeout: Duration,
    /// Host and port that replace those of every URL: `SOURCE_CONTROLLER_LOCALHOST`.
    pub source_controller_host: Option<String>,
    /// The same for URLs that contain `//source-watcher`: `SOURCE_WATCHER_LOCALHOST`.
    pub source_watcher_host: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            retries: 9,
            backoff_min: Duration::from_secs(5),
            backoff_max: Duration::from_secs(30),
            max_bytes: 1 << 30,
            memory_bytes: 4 << 20,
            idle_timeout: Duration::from_secs(30),
            attempt_timeout: Duration::from_secs(600),
            source_controller_host: None,
            source_watcher_host: None,
        }
    }
}

/// Why a download failed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The URL is malformed, not http(s), or carries user information.
    #[error("failed to create a new request: {0}")]
    Url(&'static str),
    /// The digest cannot be verified.
    #[error("failed to verify archive: {0}")]
    Digest(#[from] DigestError),
    /// The server answered 404.
    #[error("file not found")]
    NotFound,
    /// The server answered something else than 200, to the last attempt if such an answer is retried.
    #[error("failed to download archive from {url} (status: {status})")]
    Status {
        /// The URL asked for.
        url: String,
        /// Code and reason.
        status: String,
    },
    /// No answer, to the last attempt.
    #[error("failed to download archive from {url}")]
    Request {
        /// The URL asked for.
        url: String,
        /// What the client said.
        #[source]
        source: reqwest::Error,
    },
    /// The archive is larger than [`Options::max_bytes`].
    #[error("artifact is greater than the max download size of {0} bytes")]
    TooLarge(u64),
    /// The content is not what the digest says.
    #[error(
        "failed to verify archive: computed digest doesn't match provided '{0}' (check whether file size exceeds max download size)"
    )]
    Mismatch(Digest),
    /// An attempt took too long.
    #[error("failed to download archive from {url}: deadline exceeded")]
    Deadline {
        /// The URL asked for.
        url: String,
    },
    /// The spool file could not be written.
    #[error("failed to copy temp contents")]
    Spool(#[source] io::Error),
}

/// A downloaded archive whose bytes match its digest and can no longer change.
pub struct Verified {
    spool: tempfile::SpooledTempFile,
    size: u64,
}

/// Downloads archives.
pub struct Fetcher {
    options: Options,
}

impl Verified {
    /// Number of bytes.
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl Read for Verified {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.spool.read(buffer)
    }
}

impl Fetcher {
    /// Builds the HTTP client.
    pub fn new(options: Options) -> Result<Self, reqwest::Error> {
        Ok(Self { options })
    }

    /// Downloads `url` and verifies `digest` (see [`Digest::parse_for_verification`]).
    pub async fn fetch(&self, _url: &str, _digest: &str) -> Result<Verified, FetchError> {
        let _ = &self.options;
        unimplemented!()
    }
}
