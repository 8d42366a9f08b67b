//! Certificates (RFC 5280), as far as signatures of artifacts need them.

use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_cert::TbsCertificate;
use x509_cert::der::asn1::{AnyRef, BitStringRef, ObjectIdentifier};
use x509_cert::der::{Decode, ErrorKind, Reader, SliceReader, TagMode, TagNumber};
use x509_cert::ext::pkix::{
    AuthorityInfoAccessSyntax, BasicConstraints, CrlDistributionPoints, ExtendedKeyUsage, KeyUsage, KeyUsages,
};
use x509_cert::spki::AlgorithmIdentifierOwned;

use crate::cms::IssuerAndSerial;
use crate::key::{Hash, Key};
use crate::subject;

/// Bytes that a certificate may have.
pub const MAX_CERTIFICATE_BYTES: usize = 64 << 10;

const OCSP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1");
const PKCS1_SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.5");
pub(crate) const PKCS1_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
pub(crate) const PKCS1_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12");
pub(crate) const PKCS1_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13");
pub(crate) const PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const MGF1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.8");
const ECDSA_SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.1");
pub(crate) const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
pub(crate) const ECDSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
pub(crate) const ECDSA_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// The purpose of authorities of timestamps.
pub(crate) const TIMESTAMPING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.8");
/// Extensions that are understood, or that say nothing against a certificate. Names are not among them: constraints on them are not
/// looked at.
const KNOWN_EXTENSIONS: [ObjectIdentifier; 9] = [
    ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.1"),
    ObjectIdentifier::new_unwrap("2.5.29.14"),
    ObjectIdentifier::new_unwrap("2.5.29.15"),
    ObjectIdentifier::new_unwrap("2.5.29.17"),
    ObjectIdentifier::new_unwrap("2.5.29.19"),
    ObjectIdentifier::new_unwrap("2.5.29.31"),
    ObjectIdentifier::new_unwrap("2.5.29.32"),
    ObjectIdentifier::new_unwrap("2.5.29.35"),
    ObjectIdentifier::new_unwrap("2.5.29.37"),
];

/// Why bytes are no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// They are not what a certificate is made of.
    #[error("x509: malformed certificate")]
    Malformed,
    /// They are too many.
    #[error("certificate is larger than {MAX_CERTIFICATE_BYTES} bytes")]
    TooLarge,
}

/// Why a certificate is not signed by another one. The texts are those of Go's crypto/x509.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssuerError {
    /// The other one is not for that.
    #[error("x509: invalid signature: parent certificate cannot sign this kind of certificate")]
    NotAnAuthority,
    /// By SHA-1.
    #[error("x509: cannot verify signature: insecure algorithm")]
    Insecure,
    /// By something else that is not known.
    #[error("x509: cannot verify signature: algorithm unimplemented")]
    Algorithm,
    /// The signature is not good.
    #[error("x509: signature verification failure")]
    Signature,
}

/// A certificate.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    der: Vec<u8>,
    /// What is signed.
    signed: Vec<u8>,
    algorithm: AlgorithmIdentifierOwned,
    signature: Vec<u8>,
    tbs: TbsCertificate,
    key: Key,
    /// With whether it is critical.
    usage: Option<(bool, KeyUsage)>,
    /// With whether they are critical.
    purposes: Option<(bool, Vec<ObjectIdentifier>)>,
    constraints: Option<BasicConstraints>,
    is_revocable: bool,
    not_before: Timestamp,
    not_after: Timestamp,
    subject: String,
}

impl Certificate {
    /// Reads a certificate, which is all there is.
    ///
    /// # Errors
    /// When it is none, or too large.
    pub(crate) fn from_der(der: &[u8]) -> Result<Certificate, CertificateError> {
        if der.len() > MAX_CERTIFICATE_BYTES {
            return Err(CertificateError::TooLarge);
        }
        Certificate::read(der).map_err(|_| CertificateError::Malformed)
    }

    /// The certificates of an entry of a Secret: the first one in PEM, or all that follow each other in DER.
    ///
    /// # Errors
    /// When something in it is none.
    pub(crate) fn from_entry(entry: &[u8]) -> Result<Vec<Certificate>, CertificateError> {
        if let Ok(der) = CertificateDer::from_pem_slice(entry) {
            return Ok(vec![Certificate::from_der(&der)?]);
        }
        let mut reader = SliceReader::new(entry).map_err(|_| CertificateError::Malformed)?;
        let mut certificates = Vec::new();
        while !reader.is_finished() {
            let der = reader.tlv_bytes().map_err(|_| CertificateError::Malformed)?;
            certificates.push(Certificate::from_der(der)?);
        }
        Ok(certificates)
    }

    fn read(der: &[u8]) -> Result<Certificate, x509_cert::der::Error> {
        let mut reader = SliceReader::new(der)?;
        let (signed, algorithm, signature) = reader.sequence(|outer| {
            let (signed, algorithm) = (outer.tlv_bytes()?, outer.decode::<AlgorithmIdentifierOwned>()?);
            Ok::<_, x509_cert::der::Error>((signed, algorithm, outer.decode::<BitStringRef<'_>>()?))
        })?;
        reader.finish()?;
        let tbs = TbsCertificate::from_der(signed)?;
        // The outer algorithm is not signed, the inner one is.
        let signature = signature.as_bytes().filter(|_| algorithm == *tbs.signature());
        let signature = signature.ok_or(x509_cert::der::Error::from(ErrorKind::Failed))?;
        let access = tbs.get_extension::<AuthorityInfoAccessSyntax>()?;
        let has_ocsp =
            access.is_some_and(|(_, access)| access.0.iter().any(|place| place.access_method == OCSP));
        let has_list =
            tbs.get_extension::<CrlDistributionPoints>()?.is_some_and(|(_, points)| !points.0.is_empty());
        let purposes = tbs.get_extension::<ExtendedKeyUsage>()?;
        let time = |time: x509_cert::time::Time| {
            let seconds = i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
            Timestamp::from_second(seconds).map_err(|_| x509_cert::der::Error::from(ErrorKind::DateTime))
        };
        Ok(Certificate {
            der: der.to_vec(),
            signed: signed.to_vec(),
            algorithm,
            signature: signature.to_vec(),
            key: Key::new(tbs.subject_public_key_info()),
            usage: tbs.get_extension()?,
            purposes: purposes.map(|(is_critical, purposes)| (is_critical, purposes.0)),
            constraints: tbs.get_extension()?.map(|(_, constraints)| constraints),
            is_revocable: has_ocsp || has_list,
            not_before: time(tbs.validity().not_before)?,
            not_after: time(tbs.validity().not_after)?,
            subject: subject::text(tbs.subject()),
            tbs,
        })
    }

    /// Whether it is the same, byte by byte.
    pub(crate) fn is(&self, other: &Certificate) -> bool {
        self.der == other.der
    }

    /// Whose it is, as Go writes names.
    pub(crate) fn subject(&self) -> &str {
        &self.subject
    }

    /// Who has issued it, as Go writes names.
    pub(crate) fn issuer(&self) -> String {
        subject::text(self.tbs.issuer())
    }

    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    /// When it begins to be valid.
    pub(crate) fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// When it has been valid for the last time.
    pub(crate) fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// What its key is for, and whether that is critical.
    pub(crate) fn usage(&self) -> Option<(bool, KeyUsage)> {
        self.usage
    }

    /// What it is for; nothing if it does not tell.
    pub(crate) fn purposes(&self) -> &[ObjectIdentifier] {
        self.purposes.as_ref().map_or(&[], |(_, purposes)| purposes)
    }

    /// Whether whoever does not understand that must not use it.
    pub(crate) fn has_critical_purposes(&self) -> bool {
        self.purposes.as_ref().is_some_and(|(is_critical, _)| *is_critical)
    }

    /// Whether it says something else that must be understood.
    pub(crate) fn has_unknown_critical_extensions(&self) -> bool {
        let unknown = |id: &ObjectIdentifier| !KNOWN_EXTENSIONS.contains(id);
        self.tbs.extensions().into_iter().flatten().any(|own| own.critical && unknown(&own.extn_id))
    }

    /// Its bytes.
    pub(crate) fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whether it is the one with this number of this issuer.
    pub(crate) fn is_numbered(&self, of: &IssuerAndSerial) -> bool {
        *self.tbs.issuer() == of.issuer && self.tbs.serial_number().as_bytes() == of.serial.as_bytes()
    }

    pub(crate) fn constraints(&self) -> Option<&BasicConstraints> {
        self.constraints.as_ref()
    }

    /// Whether somebody can be asked if it was revoked.
    pub(crate) fn is_revocable(&self) -> bool {
        self.is_revocable
    }

    /// Whether it names the other one's subject as its issuer.
    pub(crate) fn names_issuer(&self, issuer: &Certificate) -> bool {
        self.tbs.issuer() == issuer.tbs.subject()
    }

    /// Whether an authority with this certificate has signed the other one.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn has_issued(&self, other: &Certificate) -> Result<(), IssuerError> {
        let is_authority = match self.constraints {
            Some(BasicConstraints { ca, .. }) => ca,
            None => self.tbs.version() != x509_cert::Version::V3,
        };
        let may_sign = self
            .usage
            .is_none_or(|(_, usage)| usage.0.is_empty() || usage.0.contains(KeyUsages::KeyCertSign));
        if is_authority && may_sign { self.has_signed(other) } else { Err(IssuerError::NotAnAuthority) }
    }

    /// Whether the key of this certificate has signed the other one, whatever it is for.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn has_signed(&self, other: &Certificate) -> Result<(), IssuerError> {
        let (key, message, signature) = (&self.key, &other.signed, &other.signature);
        let is_good = match other.algorithm.oid {
            PKCS1_SHA256 => key.has_signed_pkcs1(Hash::Sha256, message, signature),
            PKCS1_SHA384 => key.has_signed_pkcs1(Hash::Sha384, message, signature),
            PKCS1_SHA512 => key.has_signed_pkcs1(Hash::Sha512, message, signature),
            PSS => {
                let hash = pss_hash(&other.algorithm).ok_or(IssuerError::Algorithm)?;
                key.has_signed_pss(hash, message, signature)
            }
            ECDSA_SHA256 => key.has_signed_ecdsa(Hash::Sha256, message, signature),
            ECDSA_SHA384 => key.has_signed_ecdsa(Hash::Sha384, message, signature),
            ECDSA_SHA512 => key.has_signed_ecdsa(Hash::Sha512, message, signature),
            ED25519 => key.has_signed_ed25519(message, signature),
            PKCS1_SHA1 | ECDSA_SHA1 => return Err(IssuerError::Insecure),
            _ => return Err(IssuerError::Algorithm),
        };
        is_good.then_some(()).ok_or(IssuerError::Signature)
    }
}

/// The hash of a signature by RSA-PSS (RFC 4055), if its mask has the same one and its salt is as long.
fn pss_hash(algorithm: &AlgorithmIdentifierOwned) -> Option<Hash> {
    let parameters = AnyRef::from(algorithm.parameters.as_ref()?);
    let read = parameters.sequence(|reader| {
        let hash = reader.context_specific::<AlgorithmIdentifierOwned>(TagNumber(0), TagMode::Explicit)?;
        let mask = reader.context_specific::<AlgorithmIdentifierOwned>(TagNumber(1), TagMode::Explicit)?;
        let salt = reader.context_specific::<u32>(TagNumber(2), TagMode::Explicit)?;
        Ok::<_, x509_cert::der::Error>((hash, mask, salt))
    });
    let (Some(hash), Some(mask), Some(salt)) = read.ok()? else { return None };
    let of_mask: AlgorithmIdentifierOwned = mask.parameters.as_ref()?.decode_as().ok()?;
    let found = Hash::of(&hash.oid)?;
    (mask.oid == MGF1 && of_mask.oid == hash.oid && salt == found.bytes()).then_some(found)
}

/// A time as Go's `time.RFC1123Z` writes it.
pub(crate) fn written(time: Timestamp) -> String {
    time.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}
