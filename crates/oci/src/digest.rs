//! Digests of content: `sha256:` and 64 hexadecimal digits in lower case.
//!
//! OCI image specification, descriptor.md, "Digests". Like go-containerregistry, this crate knows SHA-256 alone.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{Context, SHA256};

/// Hexadecimal digits of a SHA-256 hash.
const SHA256_DIGITS: usize = 64;
/// Characters of a text that is no digest that an error repeats.
const SHOWN_CHARACTERS: usize = 200;

/// Why a text is not a digest. The texts are those of go-containerregistry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// Algorithm, colon or hash is missing.
    #[error("cannot parse hash: {0:?}")]
    Format(String),
    /// The algorithm is not `sha256`.
    #[error("unsupported hash: {0:?}")]
    Algorithm(String),
    /// The hash has other characters than `0-9a-f`.
    #[error("found non-hex character in hash: {0}")]
    Character(char),
    /// The hash has not 64 digits.
    #[error("wrong number of hex digits for sha256: {0}")]
    Length(String),
}

/// A SHA-256 digest.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    hex: String,
}

/// Computes the digest of bytes as they arrive.
#[derive(Clone)]
pub(crate) struct Hasher(Context);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Digest {
        let mut hasher = Hasher::new();
        hasher.update(bytes);
        hasher.finish()
    }

    /// The hash without the algorithm.
    pub fn hex(&self) -> &str {
        &self.hex
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Digest, DigestError> {
        let shown = |text: &str| text.chars().take(SHOWN_CHARACTERS).collect::<String>();
        let (algorithm, hex) = match text.split_once(':') {
            Some((algorithm, hex)) if !algorithm.is_empty() && !hex.is_empty() => (algorithm, hex),
            _ => return Err(DigestError::Format(shown(text))),
        };
        if let Some(other) = hex.chars().find(|c| !matches!(c, '0'..='9' | 'a'..='f')) {
            return Err(DigestError::Character(other));
        }
        if algorithm != "sha256" {
            return Err(DigestError::Algorithm(shown(algorithm)));
        }
        if hex.len() != SHA256_DIGITS {
            return Err(DigestError::Length(shown(hex)));
        }
        Ok(Digest { hex: hex.to_owned() })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher")
    }
}

impl Hasher {
    pub(crate) fn new() -> Hasher {
        Hasher(Context::new(&SHA256))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> Digest {
        let hash = self.0.finish();
        Digest { hex: hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect() }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_read_as_go_containerregistry_reads_them() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(empty.parse::<Digest>().unwrap(), Digest::of(b""));
        assert_eq!(Digest::of(b"").to_string(), empty);
        for (text, error) in [
            ("", r#"cannot parse hash: """#),
            ("latest", r#"cannot parse hash: "latest""#),
            ("sha256:", r#"cannot parse hash: "sha256:""#),
            (":abc", r#"cannot parse hash: ":abc""#),
            ("sha256:abc", "wrong number of hex digits for sha256: abc"),
            ("sha256:XYZ", "found non-hex character in hash: X"),
            ("sha256:abc/../def", "found non-hex character in hash: /"),
            ("sha512:abc", r#"unsupported hash: "sha512""#),
        ] {
            assert_eq!(text.parse::<Digest>().unwrap_err().to_string(), error);
        }
        let long = "x".repeat(1 << 20);
        assert!(long.parse::<Digest>().unwrap_err().to_string().len() < 300);
    }
}
