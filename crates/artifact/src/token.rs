//! The token that artifacts may be kept behind: source-controller asks for it, kustomize-controller sends it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::HeaderValue;
use secret::Secret;
use tokio::{fs::File, io::AsyncReadExt};

/// Bytes that a token may have; it has to fit into the headers of a request.
const MAX_TOKEN_BYTES: u64 = 4096;
const SCHEME: &str = "Bearer ";

/// No token can be read from a file.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("failed to read the artifact token from '{path}'")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// What the file holds is no token.
    #[error("'{path}' holds no artifact token: {why}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
}

/// A token in a file, which may be replaced at any time: it is read whenever it is used.
///
/// While the file cannot be read, or holds no token, the last one counts.
#[derive(Debug)]
pub struct TokenFile {
    path: PathBuf,
    last: Mutex<Last>,
}

#[derive(Debug)]
struct Last {
    token: Secret,
    /// Whether the file was bad when it was read last. That is worth one line in the log, not one for each request.
    is_stale: bool,
}

impl TokenFile {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// When there is no token in it.
    pub async fn open(path: &Path) -> Result<Self, TokenError> {
        let last = Last { token: read(path).await?, is_stale: false };
        Ok(Self { path: path.to_owned(), last: Mutex::new(last) })
    }

    /// The header that a request shows the token with.
    pub(crate) async fn header(&self) -> Option<HeaderValue> {
        let token = self.current().await;
        let mut value = HeaderValue::try_from(format!("{SCHEME}{}", token.expose())).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Whether a request with this header shows the token. How long the answer takes tells nothing of the token but its length.
    pub(crate) async fn admits(&self, header: Option<&HeaderValue>) -> bool {
        let shown = header.map(HeaderValue::as_bytes).and_then(|value| value.split_at_checked(SCHEME.len()));
        let Some((scheme, shown)) = shown else { return false };
        let token = self.current().await;
        scheme.eq_ignore_ascii_case(SCHEME.as_bytes())
            && verify_slices_are_equal(shown, token.expose().as_bytes()).is_ok()
    }

    async fn current(&self) -> Secret {
        let read = read(&self.path).await;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(token) => *last = Last { token, is_stale: false },
            Err(_) if last.is_stale => {}
            Err(error) => {
                tracing::warn!(error = net::chain(&error), "the artifact token stays as it was");
                last.is_stale = true;
            }
        }
        last.token.clone()
    }
}

/// The content of a file without white space around it.
async fn read(path: &Path) -> Result<Secret, TokenError> {
    let wrong = |why| TokenError::Content { path: path.to_owned(), why };
    let failed = |source| TokenError::Read { path: path.to_owned(), source };
    let file = File::open(path).await.map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(MAX_TOKEN_BYTES + 1).read_to_end(&mut bytes).await.map_err(failed)?;
    if bytes.len() as u64 > MAX_TOKEN_BYTES {
        return Err(wrong("it has more than 4096 bytes"));
    }
    let token = bytes.trim_ascii();
    if token.is_empty() {
        return Err(wrong("it is empty"));
    }
    match std::str::from_utf8(token) {
        Ok(token) if token.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(Secret::new(token)),
        _ => Err(wrong("it has characters other than visible ASCII")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;

    async fn opened(content: &[u8]) -> Result<TokenFile, TokenError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, content).unwrap();
        TokenFile::open(&path).await
    }

    #[tokio::test]
    async fn token_file_holds_one_token_of_visible_characters() {
        assert_eq!(opened(b" s3cret\r\n").await.unwrap().current().await.expose(), "s3cret");
        let long = [b'x'; 4097];
        for (content, why) in [
            (&b""[..], "it is empty"),
            (b" \n", "it is empty"),
            (&long, "it has more than 4096 bytes"),
            (b"canary\ncanary", "it has characters other than visible ASCII"),
            (b"canary\xff", "it has characters other than visible ASCII"),
        ] {
            let error = opened(content).await.unwrap_err().to_string();
            assert!(error.ends_with(&format!("/token' holds no artifact token: {why}")), "{error}");
        }
        let error = TokenFile::open(Path::new("/missing/token")).await.unwrap_err().to_string();
        assert_eq!(error, "failed to read the artifact token from '/missing/token'");
    }

    #[tokio::test]
    async fn token_file_is_never_shown() {
        let token = opened(b"canary").await.unwrap();
        let shown = format!("{token:?} {:?}", token.header().await);
        assert!(!shown.contains("canary"), "{shown}");
    }

    #[tokio::test]
    async fn token_file_that_is_bad_for_a_while_leaves_the_last_token() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "one").unwrap();
        let token = TokenFile::open(&path).await.unwrap();
        let is = async |expected: &str| assert_eq!(token.current().await.expose(), expected);
        fs::write(&path, "").unwrap();
        is("one").await;
        fs::remove_file(&path).unwrap();
        is("one").await;
        fs::write(&path, "two").unwrap();
        is("two").await;
    }

    #[tokio::test]
    async fn token_file_admits_its_token_alone() {
        let token = opened(b"s3cret").await.unwrap();
        for (header, expected) in [
            (Some("Bearer s3cret"), true),
            (Some("bearer s3cret"), true),
            (Some("Bearer s3cre"), false),
            (Some("Bearer s3cret1"), false),
            (Some("Bearer "), false),
            (Some("Basic s3cret"), false),
            (Some("s3cret"), false),
            (Some(""), false),
            (None, false),
        ] {
            let value = header.map(|header| HeaderValue::try_from(header).unwrap());
            assert_eq!(token.admits(value.as_ref()).await, expected, "{header:?}");
        }
    }
}
