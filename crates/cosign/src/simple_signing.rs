//! Simple signing: the layers of the tag `sha256-<hash>.sig`, as `cosign sign` made them until version 3.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::keyless::{Keyless, KeylessError};
use crate::{PublicKey, Trust};

/// The media type of the layers that hold what is signed.
pub const SIMPLE_SIGNING_MEDIA_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation of such a layer that holds the signature, in base64.
pub const SIGNATURE_ANNOTATION: &str = "dev.cosignproject.cosign/signature";
/// The annotation of such a layer that holds the certificate of who signed without a key.
pub const CERTIFICATE_ANNOTATION: &str = "dev.sigstore.cosign/certificate";

/// Why a layer is no signature of the digest.
#[derive(Debug, thiserror::Error)]
pub enum SimpleSigningError {
    /// There is none.
    #[error("a signature lacks the annotation {SIGNATURE_ANNOTATION}")]
    Annotation,
    /// The signature is not base64.
    #[error("signature is not base64")]
    Encoding,
    /// None of the keys has made the signature.
    #[error("failed to verify signature: it is of none of the keys")]
    Signature,
    /// It does not count without a key.
    #[error(transparent)]
    Keyless(#[from] KeylessError),
    /// What is signed is not understood.
    #[error("signed payload is not understood")]
    Payload,
    /// The signature is of another artifact.
    #[error("signature is of another artifact: the digest in it is not that of this one")]
    Digest,
}

/// What is signed, and the signature.
#[derive(Clone, Copy, Debug)]
pub struct SimpleSigning<'a> {
    /// The content of the layer.
    pub payload: &'a [u8],
    /// Its annotations: [`SIGNATURE_ANNOTATION`], and what vouches for a signature without a key.
    pub annotations: &'a BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: Image,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

impl SimpleSigning<'_> {
    /// Whether somebody who is trusted has signed the manifest with this digest, written as `sha256:<hash>`.
    ///
    /// # Errors
    /// Why not.
    pub fn verify(&self, digest: &str, trust: &Trust) -> Result<(), SimpleSigningError> {
        let signature = self.annotations.get(SIGNATURE_ANNOTATION).ok_or(SimpleSigningError::Annotation)?;
        let signature = STANDARD.decode(signature.trim()).map_err(|_| SimpleSigningError::Encoding)?;
        match trust {
            Trust::Keys(keys) => self.verify_with_keys(&signature, keys)?,
            Trust::Keyless(keyless) => self.verify_without(signature, keyless)?,
        }
        let payload: Payload =
            serde_json::from_slice(self.payload).map_err(|_| SimpleSigningError::Payload)?;
        if payload.critical.image.digest == digest { Ok(()) } else { Err(SimpleSigningError::Digest) }
    }

    fn verify_with_keys(&self, signature: &[u8], keys: &[PublicKey]) -> Result<(), SimpleSigningError> {
        let is_good = keys.iter().any(|key| key.has_signed(self.payload, signature));
        is_good.then_some(()).ok_or(SimpleSigningError::Signature)
    }

    fn verify_without(&self, signature: Vec<u8>, keyless: &Keyless) -> Result<(), SimpleSigningError> {
        Ok(keyless.verify_payload(self.payload, signature, self.annotations)?)
    }
}
