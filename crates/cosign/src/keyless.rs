//! Signatures without keys: by who owned a certificate at the time that a log or an authority of timestamps vouches for.
//!
//! ```text
//! certificate ── chain to an authority of the trusted root, at each of the times; embedded timestamp of a certificate log
//!     │ names, issuer ── one of the identities
//!     ▼ key
//! signature ── entry of a log: proof or promise of inclusion, signed by the log; the entry is of this very signature
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use sigstore_verify::VerificationPolicy;
use sigstore_verify::types::bundle::{
    InclusionPromise, LogId, MediaType, MessageSignature, TransparencyLogEntry, VerificationMaterial,
    VerificationMaterialContent, X509Certificate,
};
use sigstore_verify::types::{
    Artifact, Bundle, CanonicalizedBody, DerCertificate, KindVersion, LogIndex, LogKeyId, Sha256Hash,
    SignatureBytes, SignatureContent, SignedTimestamp,
};

use crate::identity::{Identities, Owner, subjects};
use crate::text::shown;
use crate::trusted_root::TrustedRoot;
use crate::{CERTIFICATE_ANNOTATION, pem};

/// The annotation of a layer of simple signing that holds the certificates above that of the author.
pub const CHAIN_ANNOTATION: &str = "dev.sigstore.cosign/chain";
/// The annotation that holds what the log has promised.
pub const LOG_ANNOTATION: &str = "dev.sigstore.cosign/bundle";

/// Certificates of one signature.
pub const MAX_CERTIFICATES: usize = 10;
/// Entries of logs, and timestamps, of one signature.
pub const MAX_WITNESSES: usize = 32;
/// Names of a certificate that an error tells.
const SHOWN_SUBJECTS: usize = 5;

/// Why a signature without a key does not count.
#[derive(Debug, thiserror::Error)]
pub enum KeylessError {
    /// Nobody is trusted.
    #[error("can't verify identities without providing at least one identity")]
    NoIdentity,
    /// There are too many certificates, entries of logs or timestamps.
    #[error("more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// An annotation of simple signing is missing.
    #[error("a signature lacks the annotation {0}")]
    Annotation(&'static str),
    /// An annotation of simple signing does not hold what it is for.
    #[error("annotation {0} of a signature is not understood")]
    Malformed(&'static str),
    /// Certificate, log, timestamp or signature are not good.
    #[error(transparent)]
    Verification(#[from] Box<sigstore_verify::Error>),
    /// The certificate is of somebody else.
    #[error(
        "none of the expected identities matched what was in the certificate, got subjects [{subjects}] with issuer {issuer}"
    )]
    Identity {
        /// The names in the certificate.
        subjects: String,
        /// Who vouches for them.
        issuer: String,
    },
}

/// Who is trusted to sign without a key.
#[derive(Clone, Debug)]
pub struct Keyless {
    /// Authorities and logs.
    pub root: Arc<TrustedRoot>,
    /// Who may have signed. If none is named, bundles count of nobody, and simple signing of everybody, as with Flux.
    pub identities: Identities,
}

/// What a log promises, as cosign writes it to [`LOG_ANNOTATION`].
#[derive(Deserialize)]
struct LogPromise {
    #[serde(rename = "SignedEntryTimestamp")]
    signature: String,
    #[serde(rename = "Payload")]
    entry: LogEntry,
}

#[derive(Deserialize)]
struct LogEntry {
    body: String,
    #[serde(rename = "integratedTime")]
    time: i64,
    #[serde(rename = "logIndex")]
    index: u64,
    #[serde(rename = "logID")]
    log: String,
}

impl Keyless {
    /// Whether a bundle is good and about the SHA-256 in `digest`.
    pub(crate) fn verify_bundle(&self, bundle: &Bundle, digest: Sha256Hash) -> Result<(), KeylessError> {
        if self.identities.is_empty() {
            return Err(KeylessError::NoIdentity);
        }
        self.verify(Artifact::from(digest), bundle)
    }

    /// Whether `signature` is a good one of `payload`, by what the annotations of its layer say.
    pub(crate) fn verify_payload(
        &self,
        payload: &[u8],
        signature: Vec<u8>,
        annotations: &BTreeMap<String, String>,
    ) -> Result<(), KeylessError> {
        // What cosign wrote in annotations is what the first version of bundles held. The time is that of the log.
        let material = VerificationMaterial::new(certificates(annotations)?)
            .with_tlog_entries(vec![log_entry(annotations)?]);
        let content =
            SignatureContent::MessageSignature(MessageSignature::new(SignatureBytes::new(signature)));
        self.verify(Artifact::from(payload), &Bundle::new(MediaType::Bundle0_1, material, content))
    }

    fn verify(&self, artifact: Artifact<'_>, bundle: &Bundle) -> Result<(), KeylessError> {
        let material = &bundle.verification_material;
        let witnesses =
            [material.tlog_entries.len(), material.timestamp_verification_data.rfc3161_timestamps.len()];
        if witnesses.into_iter().any(|count| count > MAX_WITNESSES) {
            return Err(KeylessError::TooMany {
                what: "entries of logs or timestamps",
                limit: MAX_WITNESSES,
            });
        }
        let result = self.root.verifier.verify(artifact, bundle, &VerificationPolicy::any_identity());
        let result = result.map_err(Box::new)?;
        let subjects = bundle.signing_certificate().and_then(|certificate| subjects(certificate.as_bytes()));
        let owner = Owner {
            issuer: result.issuer().unwrap_or_default().to_owned(),
            subjects: subjects.unwrap_or_default(),
        };
        if self.identities.is_empty() || self.identities.matches(&owner) {
            return Ok(());
        }
        let names: Vec<String> = owner.subjects.iter().take(SHOWN_SUBJECTS).map(|name| shown(name)).collect();
        Err(KeylessError::Identity { subjects: names.join(" "), issuer: shown(&owner.issuer) })
    }
}

fn certificates(annotations: &BTreeMap<String, String>) -> Result<VerificationMaterialContent, KeylessError> {
    let own = annotations.get(CERTIFICATE_ANNOTATION);
    let own = own.ok_or(KeylessError::Annotation(CERTIFICATE_ANNOTATION))?;
    let own = pem::blocks(own.as_bytes()).next().ok_or(KeylessError::Malformed(CERTIFICATE_ANNOTATION))?;
    let above = annotations.get(CHAIN_ANNOTATION).map(String::as_bytes).unwrap_or_default();
    let chain = std::iter::once(own).chain(pem::blocks(above)).take(MAX_CERTIFICATES + 1);
    let certificates: Vec<X509Certificate> =
        chain.map(|(_, der)| X509Certificate::new(DerCertificate::new(der))).collect();
    if certificates.len() > MAX_CERTIFICATES {
        return Err(KeylessError::TooMany { what: "certificates", limit: MAX_CERTIFICATES });
    }
    Ok(VerificationMaterialContent::X509CertificateChain { certificates })
}

fn log_entry(annotations: &BTreeMap<String, String>) -> Result<TransparencyLogEntry, KeylessError> {
    let text = annotations.get(LOG_ANNOTATION).ok_or(KeylessError::Annotation(LOG_ANNOTATION))?;
    let promise = serde_json::from_str(text).ok().and_then(|promise: LogPromise| {
        let LogPromise { signature, entry } = promise;
        let log = Sha256Hash::from_hex(&entry.log).ok()?;
        let signature = SignedTimestamp::from_base64(&signature).ok()?;
        let logged = TransparencyLogEntry::new(
            LogIndex::new(entry.index).ok()?,
            LogId::new(LogKeyId::from_bytes(log.as_bytes())),
            KindVersion::HashedRekordV001,
            CanonicalizedBody::from_base64(&entry.body).ok()?,
        );
        let logged = logged.with_integrated_time(Timestamp::from_second(entry.time).ok()?);
        Some(logged.with_inclusion_promise(InclusionPromise::new(signature)))
    });
    promise.ok_or(KeylessError::Malformed(LOG_ANNOTATION))
}
