//! Digests: `<algorithm>:<lower-case hex>`, as they stand in an artifact's status.

use std::{fmt, io, str::FromStr};

use aws_lc_rs::digest as sha;

/// A hash algorithm. The names are those of `--artifact-digest-algo`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// SHA-1; accepted for writing only, because it is broken for verification.
    Sha1,
    /// SHA-256, the default.
    #[default]
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
    /// BLAKE3 with 32 bytes of output.
    Blake3,
}

/// Why a text is not a digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// The text is empty.
    #[error("empty digest")]
    Empty,
    /// There is no `:` between algorithm and hash.
    #[error("failed to parse digest '{0}': invalid checksum digest format")]
    Format(String),
    /// The algorithm is not one of [`Algorithm`], or not fit for verification.
    #[error("failed to parse digest '{0}': unsupported digest algorithm")]
    Algorithm(String),
    /// The hash has not the algorithm's length.
    #[error("failed to parse digest '{0}': invalid checksum digest length")]
    Length(String),
}

/// An algorithm's name that is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unsupported digest algorithm: {0}")]
pub struct UnknownAlgorithm(pub String);

/// A parsed digest. Its text form is `<algorithm>:<hex>`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    hex: String,
}

/// Hashes bytes as they stream by.
#[derive(Clone)]
pub struct Hasher(State);

/// Hashes and counts what passes to a sink.
pub(crate) struct HashingWriter<W> {
    inner: W,
    hasher: Hasher,
    size: u64,
}

#[derive(Clone)]
enum State {
    Sha(Algorithm, sha::Context),
    Blake3(Box<blake3::Hasher>),
}

// === impl Algorithm ===

impl Algorithm {
    /// The name as it stands before the colon.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
            Self::Blake3 => "blake3",
        }
    }

    fn hex_len(self) -> usize {
        match self {
            Self::Sha1 => 40,
            Self::Sha256 | Self::Blake3 => 64,
            Self::Sha384 => 96,
            Self::Sha512 => 128,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
        [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512, Self::Blake3]
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
            .ok_or_else(|| UnknownAlgorithm(name.to_owned()))
    }
}

// === impl Digest ===

impl Digest {
    /// Parses what a consumer was told to verify: as [`FromStr`], but a bare hash means SHA-256, and SHA-1 is
    /// refused.
    pub fn parse_for_verification(text: &str) -> Result<Self, DigestError> {
        let digest: Self = match text {
            "" => return Err(DigestError::Empty),
            bare if !bare.contains(':') => format!("sha256:{bare}").parse()?,
            full => full.parse()?,
        };
        match digest.algorithm {
            Algorithm::Sha1 => Err(DigestError::Algorithm(text.to_owned())),
            _ => Ok(digest),
        }
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The hash in lower-case hexadecimal digits.
    pub fn hex(&self) -> &str {
        &self.hex
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        if text.is_empty() {
            return Err(DigestError::Empty);
        }
        let (name, hex) = text.split_once(':').ok_or_else(|| DigestError::Format(text.to_owned()))?;
        let algorithm: Algorithm = name.parse().map_err(|_| DigestError::Algorithm(text.to_owned()))?;
        if hex.len() != algorithm.hex_len() {
            return Err(DigestError::Length(text.to_owned()));
        }
        if !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(DigestError::Format(text.to_owned()));
        }
        Ok(Self { algorithm, hex: hex.to_owned() })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm, self.hex)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// === impl Hasher ===

impl Hasher {
    /// A hasher that has seen no bytes.
    pub fn new(algorithm: Algorithm) -> Self {
        let sha = match algorithm {
            Algorithm::Sha1 => &sha::SHA1_FOR_LEGACY_USE_ONLY,
            Algorithm::Sha256 => &sha::SHA256,
            Algorithm::Sha384 => &sha::SHA384,
            Algorithm::Sha512 => &sha::SHA512,
            Algorithm::Blake3 => return Self(State::Blake3(Default::default())),
        };
        Self(State::Sha(algorithm, sha::Context::new(sha)))
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha(_, context) => context.update(bytes),
            State::Blake3(hasher) => {
                hasher.update(bytes);
            }
        }
    }

    /// The digest of all bytes added.
    pub fn finish(self) -> Digest {
        let (algorithm, hex) = match self.0 {
            State::Sha(algorithm, context) => (algorithm, hex(context.finish().as_ref())),
            State::Blake3(hasher) => (Algorithm::Blake3, hasher.finalize().to_hex().to_string()),
        };
        Digest { algorithm, hex }
    }
}

// === impl HashingWriter ===

impl<W: io::Write> HashingWriter<W> {
    pub(crate) fn new(inner: W, algorithm: Algorithm) -> Self {
        Self { inner, hasher: Hasher::new(algorithm), size: 0 }
    }

    /// Bytes written so far.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Flushes the sink; gives the digest and number of the bytes written, and the sink back.
    pub(crate) fn finish(mut self) -> io::Result<(Digest, u64, W)> {
        self.inner.flush()?;
        Ok((self.hasher.finish(), self.size, self.inner))
    }
}

impl<W: io::Write> io::Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.hasher.update(bytes.get(..n).unwrap_or_default());
        self.size += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest_of(algorithm: Algorithm, bytes: &[u8]) -> String {
        let mut hasher = Hasher::new(algorithm);
        let (head, tail) = bytes.split_at(bytes.len() / 2);
        hasher.update(head);
        hasher.update(tail);
        hasher.finish().to_string()
    }

    #[test]
    fn digests_of_abc_are_the_published_ones() {
        let expected = [
            (Algorithm::Sha1, "sha1:a9993e364706816aba3e25717850c26c9cd0d89d"),
            (Algorithm::Sha256, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                Algorithm::Sha384,
                "sha384:cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
            ),
            (
                Algorithm::Sha512,
                "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            ),
            (Algorithm::Blake3, "blake3:6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"),
        ];
        for (algorithm, text) in expected {
            assert_eq!(digest_of(algorithm, b"abc"), text);
            assert_eq!(text.parse::<Digest>().map(|digest| digest.to_string()), Ok(text.to_owned()));
            assert_eq!(algorithm.name().parse(), Ok(algorithm));
        }
    }

    #[test]
    fn parsing_refuses_what_is_not_exactly_a_digest() {
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        for (text, expected) in [
            (String::new(), DigestError::Empty),
            (hex.to_owned(), DigestError::Format(hex.to_owned())),
            (format!("md5:{hex}"), DigestError::Algorithm(format!("md5:{hex}"))),
            (format!("SHA256:{hex}"), DigestError::Algorithm(format!("SHA256:{hex}"))),
            (format!("sha256:{}", &hex[1..]), DigestError::Length(format!("sha256:{}", &hex[1..]))),
            (format!("sha512:{hex}"), DigestError::Length(format!("sha512:{hex}"))),
            (
                format!("sha256:{}", hex.to_uppercase()),
                DigestError::Format(format!("sha256:{}", hex.to_uppercase())),
            ),
            (format!("sha256:{}:", &hex[1..]), DigestError::Format(format!("sha256:{}:", &hex[1..]))),
        ] {
            assert_eq!(text.parse::<Digest>(), Err(expected));
        }
    }

    #[test]
    fn a_consumer_takes_a_bare_hash_as_sha256_and_refuses_sha1() {
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::parse_for_verification(hex), format!("sha256:{hex}").parse());
        assert_eq!(Digest::parse_for_verification(""), Err(DigestError::Empty));
        let sha1 = "sha1:a9993e364706816aba3e25717850c26c9cd0d89d";
        assert_eq!(Digest::parse_for_verification(sha1), Err(DigestError::Algorithm(sha1.to_owned())));
    }
}
