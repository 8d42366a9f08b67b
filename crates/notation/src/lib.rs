//! Signatures that Notation makes of artifacts in registries, judged by a trust policy. Bytes go in, a verdict comes out: how they are
//! found and fetched is for the caller.
//!
//! ```text
//! trustpolicy.json ── Document ── Statement of a repository ─┐
//! *.crt, *.pem ────── TrustStore ────────────────────────────┼─ verify ─▶ Outcome
//! a referrer's blob (JWS or COSE) ── and the Target ─────────┘
//! ```
//!
//! # Guarantees
//! - A signature counts for the artifact that it was made of alone: type, digest and size of its manifest are signed.
//! - What is signed is read only after its signature was found to be good, and its certificates to be a chain.
//! - What must be understood and is not, is refused: critical headers, programs that would have to verify.
//!
//! # Caveats
//! - Nobody is asked whether a certificate was revoked. One that names an OCSP responder or a list fails the check `revocation`, and one
//!   of an authority of timestamps the check `authenticTimestamp`.
//! - As with notation-go, a certificate is trusted if its chain has a trusted one, and name constraints are not looked at.

mod certificate;
mod chain;
mod cms;
mod cose;
mod envelope;
mod jws;
mod key;
mod level;
mod name;
mod policy;
mod policy_error;
mod scope;
mod subject;
mod timestamp;
mod trust;
mod verify;

pub use certificate::{CertificateError, IssuerError, MAX_CERTIFICATE_BYTES};
pub use chain::{ChainError, MAX_CHAIN, Place, PurposeError};
pub use cms::{CmsError, SignatureError};
pub use cose::{CoseError, TimeError};
pub use envelope::{COSE_MEDIA_TYPE, EnvelopeError, JWS_MEDIA_TYPE, MAX_ENVELOPE_BYTES};
pub use jws::JwsError;
pub use key::KeyError;
pub use level::{Check, Level, LevelError};
pub use name::{NameError, SyntaxError};
pub use policy::{Document, MAX_STATEMENTS, MAX_VALUES, Statement};
pub use policy_error::{PolicyError, StatementError};
pub use scope::ScopeError;
pub use timestamp::{TimestampError, TokenError};
pub use trust::{MAX_CERTIFICATES, TrustError, TrustStore};
pub use verify::{CheckError, Outcome, Target, VerifyError, verify};

/// The type of manifests that hold a signature.
pub const ARTIFACT_TYPE: &str = "application/vnd.cncf.notary.signature";

/// As Go's `%q` writes a text.
fn quote(text: &str) -> String {
    strconv::quote(text.as_bytes())
}
