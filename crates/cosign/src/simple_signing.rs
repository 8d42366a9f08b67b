//! Simple signing: the layers of the tag `sha256-<hash>.sig`, as `cosign sign` made them until version 3.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::PublicKey;

/// The media type of the layers that hold what is signed.
pub const SIMPLE_SIGNING_MEDIA_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation of such a layer that holds the signature, in base64.
pub const SIGNATURE_ANNOTATION: &str = "dev.cosignproject.cosign/signature";
/// The annotation of such a layer that holds the certificate of who signed without a key.
pub const CERTIFICATE_ANNOTATION: &str = "dev.sigstore.cosign/certificate";

/// Why a layer is no signature of the digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SimpleSigningError {
    /// The signature is not base64.
    #[error("signature is not base64")]
    Encoding,
    /// None of the keys has made the signature.
    #[error("failed to verify signature: it is of none of the keys")]
    Signature,
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
    /// Its annotation [`SIGNATURE_ANNOTATION`].
    pub signature: &'a str,
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
    /// Whether one of the keys has signed the manifest with this digest, written as `sha256:<hash>`.
    ///
    /// # Errors
    /// Why not.
    pub fn verify(&self, digest: &str, keys: &[PublicKey]) -> Result<(), SimpleSigningError> {
        let signature = STANDARD.decode(self.signature.trim()).map_err(|_| SimpleSigningError::Encoding)?;
        if !keys.iter().any(|key| key.has_signed(self.payload, &signature)) {
            return Err(SimpleSigningError::Signature);
        }
        let payload: Payload =
            serde_json::from_slice(self.payload).map_err(|_| SimpleSigningError::Payload)?;
        if payload.critical.image.digest == digest { Ok(()) } else { Err(SimpleSigningError::Digest) }
    }
}
