//! Downloading an artifact: bounded, retried, and verified while it streams in.
//!
//! Nothing is unpacked before the digest of all bytes is known to match, and what is unpacked then is the very
//! bytes that were hashed: they sit in memory or in a temporary file that has no name.

use std::{
    io::{self, Read, Seek, SeekFrom, Write},
    sync::Arc,
    time::Duration,
};

use budget::{Budget, Grant, Limits, Request};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header::AUTHORIZATION};
use net::{Backoff, HostPattern};
use reqwest::{Client, redirect};
use tempfile::SpooledTempFile;
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep, timeout_at},
};
use url::Url;

use crate::{
    digest::{Algorithm, Digest, DigestError, HashingWriter},
    token::TokenFile,
};

/// As many as Go's client follows.
const MAX_REDIRECTS: usize = 10;
/// Chunks received but not yet hashed.
const SPOOL_QUEUE_CHUNKS: usize = 16;

/// How downloads behave.
#[derive(Clone, Debug)]
pub struct Options {
    /// Attempts after the first: `--http-retry`.
    pub retries: u32,
    /// Waits between attempts, unless the server asks for a longer one.
    pub backoff: Backoff,
    /// Attempts at once, and archives that are not unpacked yet; further attempts wait.
    pub concurrent: u32,
    /// How many of these may be of one tenant.
    pub share: u32,
    /// Bytes of an archive.
    pub max_bytes: u64,
    /// Bytes of an archive kept in memory; larger ones go to an unlinked temporary file.
    pub memory_bytes: usize,
    /// How long a connection may take to open, or the server to send nothing.
    pub idle_timeout: Duration,
    /// How long all attempts may take together, waits included.
    pub deadline: Duration,
    /// Host, and port if any, that replace those of every URL: `SOURCE_CONTROLLER_LOCALHOST`.
    pub source_controller_host: Option<String>,
    /// The same for URLs that contain `//source-watcher`: `SOURCE_WATCHER_LOCALHOST`.
    pub source_watcher_host: Option<String>,
    /// The hosts that are asked, after the replacement of the two before: `--artifact-hosts`. Empty means all.
    pub hosts: Vec<HostPattern>,
    /// What requests show: `--artifact-token-file`. It is for [`Self::hosts`], so there have to be some.
    pub token: Option<Arc<TokenFile>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            retries: 9,
            backoff: Backoff { first: Duration::from_secs(5), longest: Duration::from_secs(30) },
            concurrent: 16,
            share: 8,
            max_bytes: 1 << 30,
            memory_bytes: 4 << 20,
            idle_timeout: Duration::from_secs(30),
            deadline: Duration::from_secs(600),
            source_controller_host: None,
            source_watcher_host: None,
            hosts: Vec::new(),
            token: None,
        }
    }
}

/// Why a download failed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The URL is malformed, not http(s), or carries user information. It is not shown, because of the latter.
    #[error("failed to create a new request: {0}")]
    Url(&'static str),
    /// The URL is at another host than those of [`Options::hosts`].
    #[error("failed to create a new request: host '{0}' is not one of --artifact-hosts")]
    Host(String),
    /// The digest cannot be verified.
    #[error("failed to verify archive: {0}")]
    Digest(#[from] DigestError),
    /// The server answered 404.
    #[error("file not found")]
    NotFound,
    /// The server answered something else than 200; to the last attempt if the answer is one that is retried.
    #[error("failed to download archive from {url} (status: {status})")]
    Status {
        /// The URL asked for, redacted.
        url: String,
        /// Code and reason.
        status: StatusCode,
    },
    /// No answer or only a part of it, or a redirect to elsewhere.
    #[error("failed to download archive from {url}")]
    Request {
        /// The URL asked for, redacted.
        url: String,
        /// What the client said.
        #[source]
        source: reqwest::Error,
    },
    /// Other downloads left no room.
    #[error("no download could begin within {0:?}")]
    Busy(Duration),
    /// The archive is larger than [`Options::max_bytes`].
    #[error("artifact is greater than the max download size of {0} bytes")]
    TooLarge(u64),
    /// The content is not what the digest says.
    #[error(
        "failed to verify archive: computed digest doesn't match provided '{0}' \
         (check whether file size exceeds max download size)"
    )]
    Mismatch(Digest),
    /// The temporary file could not be written.
    #[error("failed to copy temp contents")]
    Spool(#[source] io::Error),
}

/// A downloaded archive whose bytes match its digest and can no longer change. It counts as a download until it is dropped, so
/// that archives which wait to be unpacked cannot pile up.
pub struct Verified {
    spool: SpooledTempFile,
    size: u64,
    _grant: Grant,
}

/// Downloads archives. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Fetcher {
    client: Client,
    attempts: Budget,
    options: Options,
}

/// A failed attempt.
enum Failure {
    Final(FetchError),
    /// Another attempt may go better, not before the server's own wish.
    Passing(FetchError, Option<Duration>),
}

// === impl Verified ===

impl Verified {
    /// Number of bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The next read begins with the first byte.
    ///
    /// # Errors
    /// When the temporary file fails.
    pub fn rewind(&mut self) -> io::Result<()> {
        self.spool.rewind()
    }
}

impl Read for Verified {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.spool.read(buffer)
    }
}

// === impl Fetcher ===

impl Fetcher {
    /// Builds the HTTP client, which follows redirects only within one origin.
    pub fn new(options: Options) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .redirect(redirect::Policy::custom(same_origin))
            .connect_timeout(options.idle_timeout)
            .read_timeout(options.idle_timeout)
            .referer(false)
            // An archive is verified as it was stored, so no transfer compression may be undone underneath.
            .no_gzip()
            .no_brotli()
            .no_deflate()
            .no_zstd()
            .build()?;
        let limits = Limits { process: options.concurrent.into(), tenant: options.share.into() };
        Ok(Self { client, attempts: Budget::new(limits), options })
    }

    /// What attempts draw on.
    pub fn budget(&self) -> &Budget {
        &self.attempts
    }

    /// Downloads `url` for `tenant` and verifies `digest` (see [`Digest::parse_for_verification`]).
    ///
    /// Failed connections, broken answers, 429 and 5xx (but 501) are tried again. Who waits before the next attempt holds nobody
    /// else up.
    pub async fn fetch(&self, url: &str, digest: &str, tenant: &str) -> Result<Verified, FetchError> {
        let digest = Digest::parse_for_verification(digest)?;
        let url = target(url, &self.options)?;
        let deadline = Instant::now() + self.options.deadline;
        let mut retries = 0;
        loop {
            let grant = timeout_at(deadline, self.attempts.acquire(Request::new(tenant, 1))).await;
            let Ok(grant) = grant else { return Err(FetchError::Busy(self.options.deadline)) };
            let (error, asked) = match self.attempt(&url, &digest, deadline).await {
                Ok((spool, size)) => return Ok(Verified { spool, size, _grant: grant }),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing(error, asked)) => (error, asked),
            };
            drop(grant);
            let wait = asked.unwrap_or_else(|| self.options.backoff.after(retries + 1));
            if retries == self.options.retries || Instant::now() + wait >= deadline {
                return Err(error);
            }
            retries += 1;
            tracing::debug!(%error, retries, ?wait, "download failed, trying again");
            sleep(wait).await;
        }
    }

    /// What a request shows to one of the listed hosts, which are the only ones that are asked then.
    async fn authorization(&self) -> Option<HeaderValue> {
        match &self.options.token {
            Some(token) if !self.options.hosts.is_empty() => token.header().await,
            _ => None,
        }
    }

    /// The bytes of the archive and their number.
    async fn attempt(
        &self,
        url: &Url,
        digest: &Digest,
        deadline: Instant,
    ) -> Result<(SpooledTempFile, u64), Failure> {
        let broken = |source: reqwest::Error| {
            let is_redirect = source.is_redirect();
            let error = FetchError::Request { url: net::redact(url.as_str()), source: source.without_url() };
            if is_redirect { Failure::Final(error) } else { Failure::Passing(error, None) }
        };
        let mut request = self.client.get(url.clone()).timeout(deadline - Instant::now());
        if let Some(header) = self.authorization().await {
            request = request.header(AUTHORIZATION, header);
        }
        let mut response = request.send().await.map_err(broken)?;
        let status = response.status();
        if status != StatusCode::OK {
            let error = FetchError::Status { url: net::redact(url.as_str()), status };
            return Err(match status {
                StatusCode::NOT_FOUND => Failure::Final(FetchError::NotFound),
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                    Failure::Passing(error, net::retry_after(response.headers()))
                }
                StatusCode::NOT_IMPLEMENTED => Failure::Final(error),
                // One of us has another token for now: files of Secrets are not replaced in all Pods at once.
                StatusCode::UNAUTHORIZED if self.options.token.is_some() => Failure::Passing(error, None),
                _ if status.is_server_error() => Failure::Passing(error, None),
                _ => Failure::Final(error),
            });
        }
        let too_large = || Failure::Final(FetchError::TooLarge(self.options.max_bytes));
        if response.content_length().is_some_and(|length| length > self.options.max_bytes) {
            return Err(too_large());
        }
        let (chunks, spool) = spool(digest.algorithm(), self.options.memory_bytes);
        let mut size = 0;
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            size += chunk.len() as u64;
            if size > self.options.max_bytes {
                return Err(too_large());
            }
            if chunks.send(chunk).await.is_err() {
                // The spool ended early; it says below why.
                break;
            }
        }
        drop(chunks);
        let spooled = spool.await.map_err(io::Error::other).and_then(|result| result);
        let (actual, spool) = spooled.map_err(|error| Failure::Final(FetchError::Spool(error)))?;
        if actual != *digest {
            return Err(Failure::Final(FetchError::Mismatch(digest.clone())));
        }
        Ok((spool, size))
    }
}

/// The URL to ask for: http or https, without credentials, its host replaced if so configured, and one that may be asked.
fn target(url: &str, options: &Options) -> Result<Url, FetchError> {
    let replacement = match url.contains("//source-watcher") {
        true => &options.source_watcher_host,
        false => &options.source_controller_host,
    };
    let mut url = Url::parse(url).map_err(|_| FetchError::Url("malformed URL"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(FetchError::Url("URL is neither http nor https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(FetchError::Url("URL carries credentials"));
    }
    if let Some(host) = replacement {
        let invalid = FetchError::Url("malformed host override");
        let Ok(other) = Url::parse(&format!("{}://{host}", url.scheme())) else { return Err(invalid) };
        if url.set_host(other.host_str()).is_err() || url.set_port(other.port()).is_err() {
            return Err(invalid);
        }
    }
    if !options.hosts.is_empty() && !options.hosts.iter().any(|host| host.matches(&url)) {
        let host = url.host_str().unwrap_or_default();
        return Err(FetchError::Host(url.port().map_or(host.to_owned(), |port| format!("{host}:{port}"))));
    }
    Ok(url)
}

fn same_origin(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let asked = attempt.previous().first().map(Url::origin);
    if attempt.previous().len() > MAX_REDIRECTS {
        return attempt.error("too many redirects");
    }
    if asked != Some(attempt.url().origin()) {
        return attempt.error("redirect to another host");
    }
    attempt.follow()
}

/// Hashes and keeps the chunks sent to it, off the runtime. Ends when the sender is dropped.
fn spool(
    algorithm: Algorithm,
    memory_bytes: usize,
) -> (mpsc::Sender<Bytes>, JoinHandle<io::Result<(Digest, SpooledTempFile)>>) {
    let (chunks, mut received) = mpsc::channel::<Bytes>(SPOOL_QUEUE_CHUNKS);
    let spool = tokio::task::spawn_blocking(move || {
        let mut writer = HashingWriter::new(SpooledTempFile::new(memory_bytes), algorithm);
        while let Some(chunk) = received.blocking_recv() {
            writer.write_all(&chunk)?;
        }
        let (digest, _, mut spool) = writer.finish()?;
        spool.seek(SeekFrom::Start(0))?;
        Ok((digest, spool))
    });
    (chunks, spool)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_replaced_by_the_one_configured_for_the_source() {
        let options = Options {
            source_controller_host: Some("localhost:9090".to_owned()),
            source_watcher_host: Some("127.0.0.1".to_owned()),
            ..Options::default()
        };
        for (url, expected) in [
            ("http://source-controller.flux-system.svc.cluster.local./a/b", "http://localhost:9090/a/b"),
            ("http://source-watcher.flux-system.svc:80/a?b=c", "http://127.0.0.1/a?b=c"),
            ("https://other:8443/a", "https://localhost:9090/a"),
        ] {
            assert_eq!(target(url, &options).map(String::from).ok().as_deref(), Some(expected));
        }
        let url = "http://source-controller.flux-system.svc.cluster.local./a";
        assert_eq!(target(url, &Options::default()).map(String::from).ok().as_deref(), Some(url));
    }

    #[test]
    fn urls_that_are_not_plain_http_are_refused_and_not_shown() {
        for url in [
            "",
            "/a",
            "file:///etc/passwd",
            "ftp://host/a",
            "http://user:secret@host/a",
            "http://user@host/a",
        ] {
            let error = target(url, &Options::default()).err().map(|error| error.to_string());
            assert!(
                error.is_some_and(|text| !text.contains("secret") && text.contains("new request")),
                "{url}"
            );
        }
        let options = Options { source_controller_host: Some("not a host".to_owned()), ..Options::default() };
        assert!(matches!(target("http://host/a", &options), Err(FetchError::Url("malformed host override"))));
    }

    #[test]
    fn urls_at_hosts_that_are_not_listed_are_refused() {
        let hosts = ["source-controller.flux-system.svc.cluster.local.", "*.sources.example:8080"];
        let hosts: Vec<HostPattern> = hosts.into_iter().filter_map(|host| host.parse().ok()).collect();
        let options = Options { hosts, ..Options::default() };
        let refused =
            |url: &str, options: &Options| target(url, options).err().map(|error| error.to_string());
        for url in [
            "http://source-controller.flux-system.svc.cluster.local./a",
            "http://SOURCE-CONTROLLER.flux-system.svc.cluster.local/a",
            "http://a.sources.example:8080/a",
        ] {
            assert_eq!(refused(url, &options), None, "{url}");
        }
        for (url, host) in [
            ("http://evil.example/a?token=canary", "evil.example"),
            ("http://a.sources.example/a", "a.sources.example"),
            ("http://169.254.169.254:81/latest", "169.254.169.254:81"),
        ] {
            let text =
                format!("failed to create a new request: host '{host}' is not one of --artifact-hosts");
            assert_eq!(refused(url, &options), Some(text));
        }
        // What counts is the host that is asked in the end.
        let replaced = Options { source_controller_host: Some("localhost:9090".to_owned()), ..options };
        assert!(refused("http://source-controller.flux-system.svc.cluster.local./a", &replaced).is_some());
        let localhost = Options { hosts: "localhost".parse().into_iter().collect(), ..replaced };
        assert_eq!(refused("http://source-controller.flux-system.svc.cluster.local./a", &localhost), None);
    }
}
