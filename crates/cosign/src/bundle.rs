//! Bundles of sigstore, version 0.3, as `cosign sign` attaches them to artifacts: an in-toto statement in a DSSE envelope.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use sigstore_verify::types::{Bundle as CertifiedBundle, Sha256Hash};

use crate::keyless::{Keyless, KeylessError};
use crate::text::shown;
use crate::{PublicKey, Trust};

/// What the media types of bundles begin with.
pub const BUNDLE_MEDIA_TYPE_PREFIX: &str = "application/vnd.dev.sigstore.bundle";
/// The media types of version 0.3.
const MEDIA_TYPES: [&str; 2] =
    ["application/vnd.dev.sigstore.bundle.v0.3+json", "application/vnd.dev.sigstore.bundle+json;version=0.3"];
/// The media types of earlier versions, which cosign does not make signatures of artifacts with.
const EARLIER_MEDIA_TYPES: [&str; 2] = [
    "application/vnd.dev.sigstore.bundle+json;version=0.1",
    "application/vnd.dev.sigstore.bundle+json;version=0.2",
];
/// What the envelope has to hold.
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// What the types of statements begin with.
const STATEMENT_TYPE_PREFIX: &str = "https://in-toto.io/Statement/";

/// Why a bundle is no signature of the digest. The texts are sigstore's where it has one.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Not the JSON of a bundle.
    #[error("bundle is not understood: line {line}, column {column}")]
    Json {
        /// Where.
        line: usize,
        /// Where in the line.
        column: usize,
    },
    /// Another version.
    #[error("unsupported bundle media type: {0:?}")]
    MediaType(String),
    /// A signature over the artifact itself, say, which is of a file and not of a manifest.
    #[error("bundle does not contain a DSSE envelope")]
    NoEnvelope,
    /// Made by somebody with a certificate, where keys are trusted.
    #[error("expected key signature, not certificate")]
    Certificate,
    /// Made with a key, where identities are trusted.
    #[error("expected certificate signature, not key")]
    Key,
    /// It does not count without a key.
    #[error(transparent)]
    Keyless(#[from] KeylessError),
    /// There has to be one.
    #[error("expected exactly one signature, got {0}")]
    Signatures(usize),
    /// The envelope holds something else.
    #[error("unsupported payload type of the DSSE envelope: {0:?}")]
    PayloadType(String),
    /// None of the keys has made the signature.
    #[error("failed to verify signature: it is of none of the keys")]
    Signature,
    /// What is signed is not the JSON of a statement.
    #[error("signed statement is not understood")]
    Statement,
    /// The statement is about other artifacts.
    #[error("provided artifact digest does not match any digest in statement")]
    Digest,
}

/// A bundle that was read, but not verified.
#[derive(Debug)]
pub struct Bundle<'a> {
    envelope: Envelope,
    is_certified: bool,
    json: &'a [u8],
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    media_type: String,
    #[serde(default)]
    verification_material: Option<Material>,
    #[serde(default)]
    dsse_envelope: Option<Envelope>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    #[serde(default)]
    certificate: Option<IgnoredAny>,
    #[serde(default)]
    x509_certificate_chain: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    #[serde(deserialize_with = "base64")]
    payload: Vec<u8>,
    payload_type: String,
    #[serde(default)]
    signatures: Vec<Signature>,
}

#[derive(Debug, Deserialize)]
struct Signature {
    #[serde(deserialize_with = "base64")]
    sig: Vec<u8>,
}

#[derive(Deserialize)]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    #[serde(default)]
    subject: Vec<Subject>,
}

#[derive(Deserialize)]
struct Subject {
    #[serde(default)]
    digest: Digests,
}

#[derive(Default, Deserialize)]
struct Digests {
    #[serde(default)]
    sha256: Option<String>,
}

impl Bundle<'_> {
    /// Reads a bundle; `None` if it is one of a version that is not for artifacts in registries.
    ///
    /// # Errors
    /// For what is no bundle of a statement.
    pub fn parse(json: &[u8]) -> Result<Option<Bundle<'_>>, BundleError> {
        let wire: Wire = serde_json::from_slice(json).map_err(|error| not_understood(&error))?;
        if EARLIER_MEDIA_TYPES.contains(&wire.media_type.as_str()) {
            return Ok(None);
        }
        if !MEDIA_TYPES.contains(&wire.media_type.as_str()) {
            return Err(BundleError::MediaType(shown(&wire.media_type)));
        }
        let material = wire.verification_material.unwrap_or_default();
        let is_certified = material.certificate.is_some() || material.x509_certificate_chain.is_some();
        let envelope = wire.dsse_envelope.ok_or(BundleError::NoEnvelope)?;
        Ok(Some(Bundle { envelope, is_certified, json }))
    }

    /// Whether somebody who is trusted has signed a statement about the manifest whose SHA-256 is `hex`.
    ///
    /// # Errors
    /// Why not.
    pub fn verify(&self, hex: &str, trust: &Trust) -> Result<(), BundleError> {
        let Envelope { payload, payload_type, signatures } = &self.envelope;
        let [Signature { sig }] = signatures.as_slice() else {
            return Err(BundleError::Signatures(signatures.len()));
        };
        if payload_type != PAYLOAD_TYPE {
            return Err(BundleError::PayloadType(shown(payload_type)));
        }
        match (trust, self.is_certified) {
            (Trust::Keys(keys), false) => self.verify_with_keys(sig, keys)?,
            (Trust::Keyless(keyless), true) => self.verify_without(hex, keyless)?,
            (Trust::Keys(_), true) => return Err(BundleError::Certificate),
            (Trust::Keyless(_), false) => return Err(BundleError::Key),
        }
        let statement: Statement = serde_json::from_slice(payload).map_err(|_| BundleError::Statement)?;
        if !statement.kind.starts_with(STATEMENT_TYPE_PREFIX) {
            return Err(BundleError::Statement);
        }
        let is_subject = |subject: &Subject| subject.digest.sha256.as_deref() == Some(hex);
        if statement.subject.iter().any(is_subject) { Ok(()) } else { Err(BundleError::Digest) }
    }

    fn verify_with_keys(&self, signature: &[u8], keys: &[PublicKey]) -> Result<(), BundleError> {
        let message = pre_authentication_encoding(&self.envelope.payload_type, &self.envelope.payload);
        let is_good = keys.iter().any(|key| key.has_signed(&message, signature));
        is_good.then_some(()).ok_or(BundleError::Signature)
    }

    fn verify_without(&self, hex: &str, keyless: &Keyless) -> Result<(), BundleError> {
        let bundle: CertifiedBundle =
            serde_json::from_slice(self.json).map_err(|error| not_understood(&error))?;
        let digest = Sha256Hash::from_hex(hex).map_err(|_| BundleError::Digest)?;
        Ok(keyless.verify_bundle(&bundle, digest)?)
    }
}

/// Not the error's own text, which may quote the bundle.
fn not_understood(error: &serde_json::Error) -> BundleError {
    BundleError::Json { line: error.line(), column: error.column() }
}

/// What an envelope's signatures are made of (DSSE, "Signature Definition").
fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

fn base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    STANDARD.decode(text).map_err(serde::de::Error::custom)
}
