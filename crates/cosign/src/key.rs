//! Public keys, in PEM.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA256_ASN1,
    ECDSA_P521_SHA512_ASN1, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, VerificationAlgorithm,
};
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha512};
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};

use crate::pem::blocks;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
const EDWARDS_25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// How signatures of a key may be made. Keys of cosign 2 sign SHA-256 whatever their curve, those of cosign 3 that of the curve.
type Algorithms = &'static [&'static dyn VerificationAlgorithm];

const OF_RSA: Algorithms = &[&RSA_PKCS1_2048_8192_SHA256];
const OF_P256: Algorithms = &[&ECDSA_P256_SHA256_ASN1];
const OF_P384: Algorithms = &[&ECDSA_P384_SHA256_ASN1, &ECDSA_P384_SHA384_ASN1];
const OF_P521: Algorithms = &[&ECDSA_P521_SHA256_ASN1, &ECDSA_P521_SHA512_ASN1];
const OF_EDWARDS_25519: Algorithms = &[&ED25519];

/// Why a text is no key that signatures can be judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is no block of PEM in it.
    #[error("PEM decoding failed")]
    Pem,
    /// The block is something else than a public key.
    #[error("unknown Public key PEM file type: it must be PUBLIC KEY or RSA PUBLIC KEY")]
    Label,
    /// The block is not what its name says.
    #[error("the public key cannot be parsed")]
    Malformed,
    /// RSA of 2048 to 8192 bits, ECDSA on P-256, P-384 and P-521, and Ed25519 are known.
    #[error(
        "unsupported public key: RSA (2048 to 8192 bits), ECDSA (P-256, P-384, P-521) and Ed25519 are supported"
    )]
    Unsupported,
}

/// A public key: RSA (PKCS #1, version 1.5), ECDSA or Ed25519.
#[derive(Clone, Debug)]
pub struct PublicKey {
    /// One for each algorithm.
    keys: Vec<ParsedPublicKey>,
    /// With an Ed25519 key, cosign signs the hash (Ed25519ph); aws-lc-rs does not know that.
    of_hash: Option<VerifyingKey>,
}

impl PublicKey {
    /// The key in the first block of a PEM text: `PUBLIC KEY` (RFC 5280) or `RSA PUBLIC KEY` (RFC 8017).
    ///
    /// # Errors
    /// When there is none.
    pub fn from_pem(pem: &[u8]) -> Result<PublicKey, KeyError> {
        let (label, der) = blocks(pem).next().ok_or(KeyError::Pem)?;
        match label {
            "PUBLIC KEY" => PublicKey::from_spki(&der),
            "RSA PUBLIC KEY" => PublicKey::new(OF_RSA, &der),
            _ => Err(KeyError::Label),
        }
    }

    fn from_spki(der: &[u8]) -> Result<PublicKey, KeyError> {
        let info = SubjectPublicKeyInfoRef::try_from(der).map_err(|_| KeyError::Malformed)?;
        let algorithms = match info.algorithm.oid {
            RSA => OF_RSA,
            EDWARDS_25519 => return PublicKey::ed25519(info.subject_public_key.raw_bytes()),
            EC => match info.algorithm.parameters_oid() {
                Ok(P256) => OF_P256,
                Ok(P384) => OF_P384,
                Ok(P521) => OF_P521,
                _ => return Err(KeyError::Unsupported),
            },
            _ => return Err(KeyError::Unsupported),
        };
        PublicKey::new(algorithms, info.subject_public_key.raw_bytes())
    }

    fn new(algorithms: Algorithms, bytes: &[u8]) -> Result<PublicKey, KeyError> {
        let parsed = algorithms.iter().map(|algorithm| ParsedPublicKey::new(*algorithm, bytes));
        let keys = parsed.collect::<Result<_, _>>().map_err(|_| KeyError::Malformed)?;
        Ok(PublicKey { keys, of_hash: None })
    }

    fn ed25519(bytes: &[u8]) -> Result<PublicKey, KeyError> {
        let key = bytes.try_into().ok().and_then(|bytes| VerifyingKey::from_bytes(bytes).ok());
        let of_hash = Some(key.ok_or(KeyError::Malformed)?);
        Ok(PublicKey { of_hash, ..PublicKey::new(OF_EDWARDS_25519, bytes)? })
    }

    /// Whether the signature is one of this key over the message.
    pub(crate) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let of_hash = || {
            let (key, signature) = (self.of_hash?, Signature::from_slice(signature).ok()?);
            key.verify_prehashed_strict(Sha512::new().chain_update(message), None, &signature).ok()
        };
        self.keys.iter().any(|key| key.verify_sig(message, signature).is_ok()) || of_hash().is_some()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn what_is_no_public_key_is_an_error() {
        let pem = |label: &str, der: &[u8]| {
            format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
        };
        let secp256k1 = [
            0x30, 0x19, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b,
            0x81, 0x04, 0x00, 0x0a, 0x03, 0x05, 0x00, 0x04, 1, 2, 3,
        ];
        for (text, error) in [
            (String::new(), KeyError::Pem),
            ("garbage".to_owned(), KeyError::Pem),
            ("-----BEGIN PUBLIC KEY-----\n%\n-----END PUBLIC KEY-----".to_owned(), KeyError::Pem),
            ("-----BEGIN PUBLIC KEY-----\nAAAA".to_owned(), KeyError::Pem),
            (pem("CERTIFICATE", b"x"), KeyError::Label),
            (pem("PRIVATE KEY", b"x"), KeyError::Label),
            (pem("PUBLIC KEY", b"x"), KeyError::Malformed),
            (pem("RSA PUBLIC KEY", b"x"), KeyError::Malformed),
            (pem("PUBLIC KEY", &secp256k1), KeyError::Unsupported),
        ] {
            assert_eq!(PublicKey::from_pem(text.as_bytes()).unwrap_err(), error, "{text}");
        }
        assert_eq!(PublicKey::from_pem(&[0xff, 0xfe]).unwrap_err(), KeyError::Pem);
    }

    #[test]
    fn keys_are_read_however_their_lines_are_broken() {
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = key.public_key_pem();
        let one_line = pem.replace("\r\n", "\n").lines().collect::<Vec<_>>().join(" ");
        let with_text = format!("a comment\n{}\nand more", pem.replace('\n', "\r\n"));
        for text in [pem, one_line, with_text] {
            assert!(PublicKey::from_pem(text.as_bytes()).is_ok(), "{text}");
        }
    }
}
