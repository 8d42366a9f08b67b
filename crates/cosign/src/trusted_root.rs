//! What signatures without keys are judged by: authorities of certificates and of timestamps, and logs, with the times at which
//! they count.

use sigstore_verify::Verifier;
use sigstore_verify::trust_root::TrustedRoot as Root;

/// Bytes of a trusted root.
pub const TRUSTED_ROOT_BYTES: usize = 1 << 18;
/// Logs, and authorities, of one kind that it may name.
pub const MAX_AUTHORITIES: usize = 32;
/// Certificates of one authority.
pub const MAX_CHAIN: usize = 10;

/// The media types of trusted roots (sigstore's protobuf-specs, `TrustedRoot`).
const MEDIA_TYPES: [&str; 3] = [
    "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
    "application/vnd.dev.sigstore.trustedroot.v0.1+json",
    "application/vnd.dev.sigstore.trustedroot.v0.2+json",
];

/// Why a text is no trusted root.
#[derive(Debug, thiserror::Error)]
pub enum TrustedRootError {
    /// It is longer than any.
    #[error("more than {TRUSTED_ROOT_BYTES} bytes")]
    Size,
    /// Not the JSON of a trusted root. The text does not quote it.
    #[error("line {line}, column {column} is not understood")]
    Json {
        /// Where.
        line: usize,
        /// Where in the line.
        column: usize,
    },
    /// Something else, or another version.
    #[error("unsupported TrustedRoot media type: {0}")]
    MediaType(String),
    /// It names too many logs or authorities.
    #[error(
        "more than {MAX_AUTHORITIES} logs or authorities of one kind, or {MAX_CHAIN} certificates of one of them"
    )]
    TooMany,
    /// A key or certificate cannot be used.
    #[error(transparent)]
    Material(Box<sigstore_verify::Error>),
    /// A signature that no log has recorded does not count.
    #[error("no transparency log entries found in trusted root")]
    NoLog,
}

/// Authorities and logs that are trusted.
pub struct TrustedRoot {
    pub(crate) verifier: Verifier,
}

impl std::fmt::Debug for TrustedRoot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TrustedRoot").finish_non_exhaustive()
    }
}

impl TrustedRoot {
    /// Reads the JSON of a trusted root.
    ///
    /// # Errors
    /// For what is none, is too large, or has a key or certificate that cannot be used.
    pub fn parse(json: &[u8]) -> Result<TrustedRoot, TrustedRootError> {
        if json.len() > TRUSTED_ROOT_BYTES {
            return Err(TrustedRootError::Size);
        }
        let root: Root = serde_json::from_slice(json)
            .map_err(|error| TrustedRootError::Json { line: error.line(), column: error.column() })?;
        if !MEDIA_TYPES.contains(&root.media_type.as_str()) {
            return Err(TrustedRootError::MediaType(crate::text::shown(&root.media_type)));
        }
        let chains = || {
            let fulcio = root.certificate_authorities.iter().map(|authority| &authority.cert_chain);
            fulcio.chain(root.timestamp_authorities.iter().map(|authority| &authority.cert_chain))
        };
        let most = [
            root.tlogs.len(),
            root.ctlogs.len(),
            root.certificate_authorities.len(),
            root.timestamp_authorities.len(),
        ];
        if most.into_iter().any(|count| count > MAX_AUTHORITIES)
            || chains().any(|chain| chain.certificates.len() > MAX_CHAIN)
        {
            return Err(TrustedRootError::TooMany);
        }
        if root.tlogs.is_empty() {
            return Err(TrustedRootError::NoLog);
        }
        let verifier = Verifier::new(&root).map_err(|error| TrustedRootError::Material(Box::new(error)))?;
        Ok(TrustedRoot { verifier })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use serde_json::{Value, json};
    use sigstore_verify::trust_root::SIGSTORE_PRODUCTION_TRUSTED_ROOT;

    use super::*;

    fn error(root: &Value) -> String {
        TrustedRoot::parse(root.to_string().as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn the_root_of_the_public_instance_is_one() {
        assert!(TrustedRoot::parse(SIGSTORE_PRODUCTION_TRUSTED_ROOT.as_bytes()).is_ok());
    }

    #[test]
    fn what_is_no_trusted_root_is_an_error_that_does_not_quote_it() {
        let good: Value = serde_json::from_str(SIGSTORE_PRODUCTION_TRUSTED_ROOT).unwrap();
        let changed = |pointer: &str, value: Value| {
            let mut root = good.clone();
            *root.pointer_mut(pointer).unwrap() = value;
            error(&root)
        };
        assert_eq!(TrustedRoot::parse(b"{").unwrap_err().to_string(), "line 1, column 1 is not understood");
        let unsupported = "unsupported TrustedRoot media type: x";
        assert_eq!(changed("/mediaType", json!("x")), unsupported);
        let text = changed("/tlogs/0/publicKey/rawBytes", json!("s3cret!"));
        assert!(text.ends_with("is not understood") && !text.contains("s3cret"), "{text}");
        assert!(!changed("/tlogs/0/publicKey/rawBytes", json!("AAAA")).is_empty());
        assert!(
            !changed("/certificateAuthorities/0/certChain/certificates/0/rawBytes", json!("AAAA")).is_empty()
        );
        assert_eq!(changed("/tlogs", json!([])), "no transparency log entries found in trusted root");
    }

    #[test]
    fn a_trusted_root_has_limits() {
        let mut root: Value = serde_json::from_str(SIGSTORE_PRODUCTION_TRUSTED_ROOT).unwrap();
        let authority = root.pointer("/certificateAuthorities/0").unwrap().clone();
        let most = |count| Value::Array(vec![authority.clone(); count]);
        root["certificateAuthorities"] = most(MAX_AUTHORITIES);
        assert!(TrustedRoot::parse(root.to_string().as_bytes()).is_ok());
        root["certificateAuthorities"] = most(MAX_AUTHORITIES + 1);
        let text = "more than 32 logs or authorities of one kind, or 10 certificates of one of them";
        assert_eq!(error(&root), text);
        root["certificateAuthorities"] = most(1);
        let certificate = root.pointer("/certificateAuthorities/0/certChain/certificates/0").unwrap().clone();
        root["certificateAuthorities"][0]["certChain"]["certificates"] =
            json!(vec![certificate; MAX_CHAIN + 1]);
        assert_eq!(error(&root), text);
        let long = vec![b' '; TRUSTED_ROOT_BYTES + 1];
        assert_eq!(TrustedRoot::parse(&long).unwrap_err().to_string(), "more than 262144 bytes");
    }
}
