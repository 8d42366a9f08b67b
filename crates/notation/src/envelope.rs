//! Signature envelopes: what both forms have in common (notation specification, "Signature Specification").

use jiff::Timestamp;

use crate::certificate::{Certificate, CertificateError};
use crate::chain::{self, ChainError, Purpose};
use crate::cose::{self, CoseError};
use crate::jws::{self, JwsError};
use crate::key::{Algorithm, KeyError};
use crate::quote;

/// The media type of envelopes in JSON.
pub const JWS_MEDIA_TYPE: &str = "application/jose+json";
/// The media type of envelopes in CBOR.
pub const COSE_MEDIA_TYPE: &str = "application/cose";
/// Bytes that an envelope may have.
pub const MAX_ENVELOPE_BYTES: u64 = 1 << 20;
/// What is signed, in the one form that there is.
const PAYLOAD_TYPE: &str = "application/vnd.cncf.notary.payload.v1+json";
/// The headers for programs that verify in place of Notation.
pub(crate) const PLUGIN: &str = "io.cncf.notary.verificationPlugin";
/// Headers with what is known of a signature.
pub(crate) const SCHEME: &str = "io.cncf.notary.signingScheme";
pub(crate) const SIGNING_TIME: &str = "io.cncf.notary.signingTime";
pub(crate) const AUTHENTIC_SIGNING_TIME: &str = "io.cncf.notary.authenticSigningTime";
pub(crate) const EXPIRY: &str = "io.cncf.notary.expiry";
pub(crate) const TIMESTAMP: &str = "io.cncf.notary.timestampSignature";
/// Go's zero time stands for none.
const NO_TIME: i64 = -62_135_596_800;

/// Why an envelope is not whole, or its certificates have not signed it. The texts are notation-core-go's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// It is neither of the two forms.
    #[error(
        "unable to parse the digital signature, error : signature envelope format with media type {} is not supported",
        quote(.0)
    )]
    MediaType(String),
    /// It is too large.
    #[error(
        "unable to parse the digital signature, error : envelope is larger than {MAX_ENVELOPE_BYTES} bytes"
    )]
    TooLarge,
    /// The form of JSON is wrong.
    #[error(transparent)]
    Jws(#[from] JwsError),
    /// The form of CBOR is wrong.
    #[error(transparent)]
    Cose(#[from] CoseError),
    /// There are no certificates.
    #[error("certificate chain is not present")]
    NoChain,
    /// There are too many certificates.
    #[error("certificate-chain is invalid, {}", ChainError::TooLong)]
    LongChain,
    /// The first certificate is none.
    #[error("malformed leaf certificate")]
    Leaf,
    /// Another certificate is none.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The key of the first certificate cannot sign envelopes.
    #[error("{0}")]
    Key(KeyError),
    /// The signature is not one of that key.
    #[error("signature is invalid. Error: verification error")]
    Signature,
    /// The scheme is unknown.
    #[error("unsupported SigningScheme: `{0}`")]
    Scheme(String),
    /// Headers that must be understood do not say so.
    #[error("these required headers are not marked as critical: [{}]", .0.join(" "))]
    NotCritical(Vec<&'static str>),
    /// Nothing is signed.
    #[error("content not present")]
    NoContent,
    /// It does not tell when it was signed.
    #[error("signing-time not present")]
    NoSigningTime,
    /// It expires before it is signed.
    #[error("expiry cannot be equal or before the signing time")]
    EarlyExpiry,
    /// The certificates are no chain.
    #[error("certificate-chain is invalid, {0}")]
    Chain(#[from] ChainError),
    /// It is signed in another way than its key tells.
    #[error(
        "mismatch between signature algorithm derived from signing certificate ({certificate}) and signing algorithm specified \
         ({header}s)"
    )]
    Algorithm {
        /// By the certificate, as notation-core-go numbers them.
        certificate: u8,
        /// By the header.
        header: u8,
    },
    /// Something else is signed.
    #[error("payload content type {} not supported", quote(.0))]
    PayloadType(String),
}

/// What the certificates of a signature are trusted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// `notary.x509`: whoever signs tells the time.
    X509,
    /// `notary.x509.signingAuthority`: an authority signs for somebody, and vouches for the time.
    SigningAuthority,
}

impl Scheme {
    pub(crate) fn of(name: &str) -> Result<Scheme, EnvelopeError> {
        match name {
            "notary.x509" => Ok(Scheme::X509),
            "notary.x509.signingAuthority" => Ok(Scheme::SigningAuthority),
            _ => Err(EnvelopeError::Scheme(name.to_owned())),
        }
    }
}

/// An attribute that this crate does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attribute {
    pub(crate) key: String,
    /// Whoever does not understand it must refuse the signature.
    pub(crate) is_critical: bool,
    /// Its value, if that is a text.
    pub(crate) text: Option<String>,
}

/// An envelope whose signature is good.
#[derive(Debug)]
pub(crate) struct Envelope {
    pub(crate) payload: Vec<u8>,
    pub(crate) content_type: String,
    pub(crate) algorithm: Algorithm,
    pub(crate) scheme: Scheme,
    pub(crate) signing_time: Option<Timestamp>,
    pub(crate) expiry: Option<Timestamp>,
    pub(crate) attributes: Vec<Attribute>,
    /// The certificate that has signed comes first.
    pub(crate) chain: Vec<Certificate>,
    pub(crate) signature: Vec<u8>,
    /// A timestamp of that by a third party; empty if there is none.
    pub(crate) timestamp: Vec<u8>,
}

impl Envelope {
    /// Reads an envelope and verifies its signature and its chain of certificates. Nothing is said of whom these belong to.
    ///
    /// # Errors
    /// Why it is not whole.
    pub(crate) fn open(media_type: &str, bytes: &[u8]) -> Result<Envelope, EnvelopeError> {
        if bytes.len() as u64 > MAX_ENVELOPE_BYTES {
            return Err(EnvelopeError::TooLarge);
        }
        let envelope = match media_type {
            JWS_MEDIA_TYPE => jws::open(bytes)?,
            COSE_MEDIA_TYPE => cose::open(bytes)?,
            _ => return Err(EnvelopeError::MediaType(media_type.to_owned())),
        };
        envelope.check()?;
        Ok(envelope)
    }

    fn check(&self) -> Result<(), EnvelopeError> {
        if self.payload.is_empty() {
            return Err(EnvelopeError::NoContent);
        }
        let signing_time = self.signing_time.filter(is_time).ok_or(EnvelopeError::NoSigningTime)?;
        if self.expiry().is_some_and(|expiry| expiry <= signing_time) {
            return Err(EnvelopeError::EarlyExpiry);
        }
        chain::check(&self.chain, Purpose::Artifacts)?;
        let leaf = self.chain.first().ok_or(EnvelopeError::NoChain)?;
        let by_key = leaf.key().algorithm().map_err(EnvelopeError::Key)?;
        if by_key != self.algorithm {
            let (certificate, header) = (by_key as u8, self.algorithm as u8);
            return Err(EnvelopeError::Algorithm { certificate, header });
        }
        let is_known = self.content_type == PAYLOAD_TYPE;
        is_known.then_some(()).ok_or_else(|| EnvelopeError::PayloadType(self.content_type.clone()))
    }

    /// When it expires, if ever.
    pub(crate) fn expiry(&self) -> Option<Timestamp> {
        self.expiry.filter(is_time)
    }

    /// An attribute that this crate does not know.
    pub(crate) fn attribute(&self, key: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.key == key)
    }
}

/// Whether a time is one for Go.
pub(crate) fn is_time(time: &Timestamp) -> bool {
    time.as_second() != NO_TIME || time.subsec_nanosecond() != 0
}

/// Reads the certificates of an envelope, of which there must be some.
pub(crate) fn read_chain<T: AsRef<[u8]>>(certificates: &[T]) -> Result<Vec<Certificate>, EnvelopeError> {
    if certificates.len() > chain::MAX_CHAIN {
        return Err(EnvelopeError::LongChain);
    }
    let (leaf, others) = certificates.split_first().ok_or(EnvelopeError::NoChain)?;
    let leaf = Certificate::from_der(leaf.as_ref()).map_err(|_| EnvelopeError::Leaf)?;
    let others = others.iter().map(|other| Certificate::from_der(other.as_ref()));
    Ok(std::iter::once(Ok(leaf)).chain(others).collect::<Result<_, _>>()?)
}

/// The headers that must be marked as ones to understand.
pub(crate) fn required(scheme: Scheme, expires: bool) -> Vec<&'static str> {
    let is_authority = scheme == Scheme::SigningAuthority;
    let headers = [(SCHEME, true), (EXPIRY, expires), (AUTHENTIC_SIGNING_TIME, is_authority)];
    headers.into_iter().filter(|(_, is_required)| *is_required).map(|(header, _)| header).collect()
}
