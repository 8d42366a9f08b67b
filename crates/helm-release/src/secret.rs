//! A revision as a Secret.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use crate::json;
use crate::release::Release;

/// The type of the Secret.
pub const SECRET_TYPE: &str = "helm.sh/release.v1";
/// The key of the Secret's data.
pub const KEY: &str = "release";
/// The value of label `owner`.
pub const OWNER: &str = "helm";

/// Labels that the storage sets itself.
const SYSTEM_LABELS: [&str; 6] = ["name", "owner", "status", "version", "createdAt", "modifiedAt"];

const GZIP: [u8; 3] = [0x1f, 0x8b, 0x08];

/// The most bytes that a Secret holds, by the API server.
const LARGEST: usize = 1 << 20;

/// What a stored revision may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes behind the compression. A Secret of 1 MiB could have a thousand times as many.
    pub bytes: u64,
    /// Values of the JSON. Some bytes of text, such as those of an empty hook, may take some hundred in memory.
    pub values: usize,
}

impl Default for Limits {
    /// As many values as a chart of 20,000 files has, and a hundred thousand more; some 100 MiB of memory at the worst, besides texts.
    fn default() -> Self {
        Self { bytes: 64 << 20, values: 200_000 }
    }
}

impl Limits {
    fn check(&self, json: &[u8]) -> Result<(), LimitError> {
        if json.len() as u64 > self.bytes {
            return Err(LimitError::Bytes(self.bytes));
        }
        if json::count(json) > self.values {
            return Err(LimitError::Values(self.values));
        }
        Ok(())
    }
}

/// A revision asks for too much.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LimitError {
    /// It is too large.
    #[error("the release has more than {0} bytes")]
    Bytes(u64),
    /// It has too many values.
    #[error("the release has more than {0} values")]
    Values(usize),
}

/// A revision cannot be stored.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// It is too large. The words are those of the API server, which would refuse it.
    #[error("Secret {name:?} is invalid: data: Too long: may not be more than {LARGEST} bytes")]
    TooLarge {
        /// The Secret.
        name: String,
    },
    /// It could not be read again.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// It cannot be compressed.
    #[error("failed to compress the release")]
    Compress(#[source] std::io::Error),
}

/// A Secret holds no revision.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// It is no base64.
    #[error("the release is no base64")]
    Base64(#[source] base64::DecodeError),
    /// It cannot be decompressed.
    #[error("failed to decompress the release")]
    Decompress(#[source] std::io::Error),
    /// It asks for too much.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// It is no release. What is in it is not told, for it may be a secret.
    #[error("the release is no JSON of a release: line {line}, column {column}")]
    Json {
        /// Where.
        line: usize,
        /// Where in it.
        column: usize,
    },
}

/// Which label tells when a Secret was written, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamp {
    /// The Secret is new.
    Created(i64),
    /// It was there.
    Modified(i64),
}

/// The name of the Secret of a revision.
pub fn secret_name(release: &str, revision: i64) -> String {
    format!("sh.helm.release.v1.{release}.v{revision}")
}

/// The labels of the Secret of a revision.
pub fn labels(release: &Release, stamp: Stamp) -> BTreeMap<String, String> {
    let mut labels = release.labels.clone();
    let (name, seconds) = match stamp {
        Stamp::Created(seconds) => ("createdAt", seconds),
        Stamp::Modified(seconds) => ("modifiedAt", seconds),
    };
    labels.extend(
        [
            (name, seconds.to_string()),
            ("name", release.name.clone()),
            ("owner", OWNER.to_owned()),
            ("status", release.info.status.name().to_owned()),
            ("version", release.version.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    labels
}

/// The value of [`KEY`] in the Secret of a revision.
///
/// # Errors
/// The API server would refuse it, or [`decode`] would.
pub fn encode(release: &Release, limits: &Limits) -> Result<Vec<u8>, EncodeError> {
    let json = release.to_json();
    limits.check(json.as_bytes())?;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(json.as_bytes()).and_then(|()| encoder.finish());
    let text = STANDARD.encode(written.map_err(EncodeError::Compress)?);
    if text.len() > LARGEST {
        return Err(EncodeError::TooLarge { name: secret_name(&release.name, release.version) });
    }
    Ok(text.into_bytes())
}

/// The revision of a Secret.
///
/// # Errors
/// It holds none.
pub fn decode(
    data: &[u8],
    labels: &BTreeMap<String, String>,
    limits: &Limits,
) -> Result<Release, DecodeError> {
    let mut bytes = STANDARD.decode(data).map_err(DecodeError::Base64)?;
    // Helm 2 did not compress.
    if bytes.starts_with(&GZIP) {
        let mut plain = Vec::new();
        let mut decoder = GzDecoder::new(bytes.as_slice()).take(limits.bytes.saturating_add(1));
        decoder.read_to_end(&mut plain).map_err(DecodeError::Decompress)?;
        bytes = plain;
    }
    limits.check(&bytes)?;
    let mut release: Release = serde_json::from_slice(&bytes)
        .map_err(|error| DecodeError::Json { line: error.line(), column: error.column() })?;
    let own = labels.iter().filter(|(name, _)| !SYSTEM_LABELS.contains(&name.as_str()));
    release.labels = own.map(|(name, value)| (name.clone(), value.clone())).collect();
    Ok(release)
}
