//! Public keys of certificates, and what they verify.

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA384_ASN1, ECDSA_P256_SHA512_ASN1,
    ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_FIXED, ECDSA_P384_SHA512_ASN1,
    ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, ECDSA_P521_SHA512_FIXED, ED25519,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, VerificationAlgorithm,
};
use x509_cert::der::asn1::{ObjectIdentifier, UintRef};
use x509_cert::der::{Reader, SliceReader};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

pub(crate) const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P224: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.33");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
const EDWARDS_25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");

/// How envelopes are signed; it follows from the key (notation specification, "Algorithm Selection"). The numbers are those that
/// notation-go's messages have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Ps256 = 1,
    Ps384 = 2,
    Ps512 = 3,
    Es256 = 4,
    Es384 = 5,
    Es512 = 6,
}

/// Hashes that certificates and timestamps are signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    /// The hash with this identifier, if it is known.
    pub(crate) fn of(identifier: &ObjectIdentifier) -> Option<Hash> {
        match *identifier {
            SHA256 => Some(Hash::Sha256),
            SHA384 => Some(Hash::Sha384),
            SHA512 => Some(Hash::Sha512),
            _ => None,
        }
    }

    /// The hash of some bytes.
    pub(crate) fn digest(self, bytes: &[u8]) -> Digest {
        let algorithm = match self {
            Hash::Sha256 => &digest::SHA256,
            Hash::Sha384 => &digest::SHA384,
            Hash::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, bytes)
    }

    /// Bytes that it has.
    pub(crate) fn bytes(self) -> u32 {
        match self {
            Hash::Sha256 => 32,
            Hash::Sha384 => 48,
            Hash::Sha512 => 64,
        }
    }
}

/// Why a key cannot sign envelopes. The texts are notation-go's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// RSA of another size.
    #[error("rsa key size {0} bits is not supported")]
    RsaSize(usize),
    /// Another curve.
    #[error("ecdsa key size {0} bits is not supported")]
    Curve(usize),
    /// Neither RSA nor ECDSA.
    #[error("unsupported public key type")]
    Type,
}

/// A public key.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    kind: Kind,
    /// `RSAPublicKey`, a point, or the bytes of Ed25519.
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The size of the modulus, in bits, rounded up to whole bytes.
    Rsa(usize),
    /// The size of the curve, in bits.
    Ec(usize),
    Ed25519,
    Other,
}

impl Key {
    /// The key of a certificate. Any can be read; few can verify.
    pub(crate) fn new(info: &SubjectPublicKeyInfoOwned) -> Key {
        let bytes = info.subject_public_key.raw_bytes();
        let curve = info.algorithm.parameters.as_ref().and_then(|curve| curve.decode_as().ok());
        let kind = match (info.algorithm.oid, curve) {
            (RSA, _) => modulus_bits(bytes).map_or(Kind::Other, Kind::Rsa),
            (EC, Some(P224)) => Kind::Ec(224),
            (EC, Some(P256)) => Kind::Ec(256),
            (EC, Some(P384)) => Kind::Ec(384),
            (EC, Some(P521)) => Kind::Ec(521),
            (EDWARDS_25519, _) => Kind::Ed25519,
            _ => Kind::Other,
        };
        Key { kind, bytes: bytes.to_vec() }
    }

    /// How this key signs envelopes.
    ///
    /// # Errors
    /// When it does not.
    pub(crate) fn algorithm(&self) -> Result<Algorithm, KeyError> {
        match self.kind {
            Kind::Rsa(2048) => Ok(Algorithm::Ps256),
            Kind::Rsa(3072) => Ok(Algorithm::Ps384),
            Kind::Rsa(4096) => Ok(Algorithm::Ps512),
            Kind::Rsa(bits) => Err(KeyError::RsaSize(bits)),
            Kind::Ec(256) => Ok(Algorithm::Es256),
            Kind::Ec(384) => Ok(Algorithm::Es384),
            Kind::Ec(521) => Ok(Algorithm::Es512),
            Kind::Ec(bits) => Err(KeyError::Curve(bits)),
            Kind::Ed25519 | Kind::Other => Err(KeyError::Type),
        }
    }

    /// Whether the signature of an envelope is one of this key over the message. Those of ECDSA are two numbers of fixed size.
    pub(crate) fn has_signed(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let verification: &'static dyn VerificationAlgorithm = match (algorithm, self.kind) {
            (Algorithm::Ps256, Kind::Rsa(_)) => &RSA_PSS_2048_8192_SHA256,
            (Algorithm::Ps384, Kind::Rsa(_)) => &RSA_PSS_2048_8192_SHA384,
            (Algorithm::Ps512, Kind::Rsa(_)) => &RSA_PSS_2048_8192_SHA512,
            (Algorithm::Es256, Kind::Ec(256)) => &ECDSA_P256_SHA256_FIXED,
            (Algorithm::Es384, Kind::Ec(384)) => &ECDSA_P384_SHA384_FIXED,
            (Algorithm::Es512, Kind::Ec(521)) => &ECDSA_P521_SHA512_FIXED,
            _ => return false,
        };
        self.verify(verification, message, signature)
    }

    /// Whether the signature is one of RSA (PKCS #1, version 1.5).
    pub(crate) fn has_signed_pkcs1(&self, hash: Hash, message: &[u8], signature: &[u8]) -> bool {
        let verification = match hash {
            Hash::Sha256 => &RSA_PKCS1_2048_8192_SHA256,
            Hash::Sha384 => &RSA_PKCS1_2048_8192_SHA384,
            Hash::Sha512 => &RSA_PKCS1_2048_8192_SHA512,
        };
        matches!(self.kind, Kind::Rsa(_)) && self.verify(verification, message, signature)
    }

    /// Whether the signature is one of RSA-PSS with a salt as long as the hash.
    pub(crate) fn has_signed_pss(&self, hash: Hash, message: &[u8], signature: &[u8]) -> bool {
        let algorithm = match hash {
            Hash::Sha256 => Algorithm::Ps256,
            Hash::Sha384 => Algorithm::Ps384,
            Hash::Sha512 => Algorithm::Ps512,
        };
        self.has_signed(algorithm, message, signature)
    }

    /// Whether the signature is one of ECDSA, in the form that certificates have.
    pub(crate) fn has_signed_ecdsa(&self, hash: Hash, message: &[u8], signature: &[u8]) -> bool {
        let verification: &'static dyn VerificationAlgorithm = match (self.kind, hash) {
            (Kind::Ec(256), Hash::Sha256) => &ECDSA_P256_SHA256_ASN1,
            (Kind::Ec(256), Hash::Sha384) => &ECDSA_P256_SHA384_ASN1,
            (Kind::Ec(256), Hash::Sha512) => &ECDSA_P256_SHA512_ASN1,
            (Kind::Ec(384), Hash::Sha256) => &ECDSA_P384_SHA256_ASN1,
            (Kind::Ec(384), Hash::Sha384) => &ECDSA_P384_SHA384_ASN1,
            (Kind::Ec(384), Hash::Sha512) => &ECDSA_P384_SHA512_ASN1,
            (Kind::Ec(521), Hash::Sha256) => &ECDSA_P521_SHA256_ASN1,
            (Kind::Ec(521), Hash::Sha384) => &ECDSA_P521_SHA384_ASN1,
            (Kind::Ec(521), Hash::Sha512) => &ECDSA_P521_SHA512_ASN1,
            _ => return false,
        };
        self.verify(verification, message, signature)
    }

    /// Whether the signature is one of Ed25519.
    pub(crate) fn has_signed_ed25519(&self, message: &[u8], signature: &[u8]) -> bool {
        self.kind == Kind::Ed25519 && self.verify(&ED25519, message, signature)
    }

    fn verify(
        &self,
        algorithm: &'static dyn VerificationAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        ParsedPublicKey::new(algorithm, &self.bytes)
            .is_ok_and(|key| key.verify_sig(message, signature).is_ok())
    }
}

/// The size of the modulus of an `RSAPublicKey` (RFC 8017), in whole bytes, as bits.
fn modulus_bits(der: &[u8]) -> Option<usize> {
    let mut reader = SliceReader::new(der).ok()?;
    let modulus = reader.sequence(|key| {
        let modulus: UintRef<'_> = key.decode()?;
        let _exponent: UintRef<'_> = key.decode()?;
        Ok::<_, x509_cert::der::Error>(modulus.as_bytes().len() * 8)
    });
    modulus.ok()
}
