//! What tells sources and contents apart.

use artifact::digest::{Algorithm, Hasher};

/// The artifact of a source, as its generator saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedSource {
    /// Digest of the artifact.
    pub digest: String,
    /// Its revision.
    pub revision: String,
    /// Where it is served.
    pub url: String,
    /// The revision in its origin, if its metadata has one.
    pub origin_revision: Option<String>,
}

/// The digest of what all sources have, each with its alias: what `status.observedSourcesDigest` holds.
pub fn sources_digest<'a>(sources: impl IntoIterator<Item = (&'a str, &'a ObservedSource)>) -> String {
    let mut parts: Vec<_> = sources
        .into_iter()
        .map(|(alias, ObservedSource { digest, revision, url, .. })| {
            (alias, format!("{alias}=[digest={digest},revision={revision},url={url}]"))
        })
        .collect();
    parts.sort();
    let parts: Vec<_> = parts.into_iter().map(|(_, part)| part).collect();
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(parts.join("|").as_bytes());
    hasher.finish().to_string()
}

/// The Adler-32 sum of these bytes.
pub(crate) fn adler32(bytes: &[u8]) -> u32 {
    let mut sum = Adler::default();
    sum.update(bytes);
    sum.finish()
}

/// An Adler-32 sum in the making.
pub(crate) struct Adler {
    low: u32,
    high: u32,
}

/// The largest prime below 2^16.
const ADLER_MODULUS: u32 = 65_521;
/// After how many bytes the sums have to be reduced, so that they stay below 2^32.
const ADLER_CHUNK: usize = 5552;

impl Default for Adler {
    fn default() -> Self {
        Self { low: 1, high: 0 }
    }
}

impl Adler {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(ADLER_CHUNK) {
            for byte in chunk {
                self.low += u32::from(*byte);
                self.high += self.low;
            }
            self.low %= ADLER_MODULUS;
            self.high %= ADLER_MODULUS;
        }
    }

    pub(crate) fn finish(&self) -> u32 {
        self.high << 16 | self.low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(digest: &str, revision: &str, url: &str) -> ObservedSource {
        let [digest, revision, url] = [digest, revision, url].map(str::to_owned);
        ObservedSource { digest, revision, url, origin_revision: None }
    }

    /// By Go's hash/adler32.
    #[test]
    fn adler_sums_are_those_of_zlib() {
        assert_eq!(adler32(b""), 1);
        assert_eq!(adler32(b"Wikipedia"), 0x11e6_0398);
        assert_eq!(adler32(&[0xff; 20_000]), 0x9f51_d664);
    }

    #[test]
    fn sources_digest_depends_on_digest_revision_and_url_and_not_on_the_order() {
        let (a, b) =
            (observed("sha256:1", "main@sha1:1", "http://a"), observed("sha256:2", "v1", "http://b"));
        let both = sources_digest([("a", &a), ("b", &b)]);
        assert_eq!(both, sources_digest([("b", &b), ("a", &a)]));
        // sha256sum of `a=[digest=sha256:1,revision=main@sha1:1,url=http://a]`.
        let digest = "sha256:f3b6fce2829175b445d67338edae308edcef0c608dbf10b6f200b547fbc39897";
        assert_eq!(sources_digest([("a", &a)]), digest);
        for other in [
            observed("sha256:3", "v1", "http://b"),
            observed("sha256:2", "v2", "http://b"),
            observed("sha256:2", "v1", "http://c"),
        ] {
            assert_ne!(both, sources_digest([("a", &a), ("b", &other)]));
        }
        let of_origin = ObservedSource { origin_revision: Some("x".to_owned()), ..b };
        assert_eq!(both, sources_digest([("a", &a), ("b", &of_origin)]));
    }
}
