//! The certificates that are trusted. As with Flux, all of them stand in every trust store that a trust policy names.

use crate::certificate::{Certificate, CertificateError};

/// Certificates that may be trusted.
pub const MAX_CERTIFICATES: usize = 100;

/// Why there is no certificate to trust.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// One of them is none.
    #[error("failed to parse certificate '{store}': {source}")]
    Certificate {
        /// The trust store.
        store: String,
        /// What is wrong.
        source: CertificateError,
    },
    /// There are too many.
    #[error("trust store '{0}' has more than {MAX_CERTIFICATES} certificates")]
    TooMany(String),
}

/// The trusted certificates.
#[derive(Debug)]
pub struct TrustStore(Result<Vec<Certificate>, Fault>);

#[derive(Clone, Copy, Debug)]
enum Fault {
    Certificate(CertificateError),
    TooMany,
}

impl TrustStore {
    /// The certificates of entries, each with one in PEM, or some in DER. What is wrong with them is told when they are used.
    pub fn new<'a>(entries: impl IntoIterator<Item = &'a [u8]>) -> TrustStore {
        let mut certificates = Vec::new();
        for entry in entries {
            match Certificate::from_entry(entry) {
                Ok(found) => certificates.extend(found),
                Err(error) => return TrustStore(Err(Fault::Certificate(error))),
            }
            if certificates.len() > MAX_CERTIFICATES {
                return TrustStore(Err(Fault::TooMany));
            }
        }
        TrustStore(Ok(certificates))
    }

    /// The certificates of the trust store with this name.
    ///
    /// # Errors
    /// When one of them is none, or there are too many.
    pub(crate) fn certificates(&self, store: &str) -> Result<&[Certificate], TrustError> {
        match &self.0 {
            Ok(certificates) => Ok(certificates),
            Err(Fault::Certificate(source)) => {
                Err(TrustError::Certificate { store: store.to_owned(), source: *source })
            }
            Err(Fault::TooMany) => Err(TrustError::TooMany(store.to_owned())),
        }
    }
}
