//! Signed data (RFC 5652), as timestamps have it: in DER, with the certificates of those who have signed.

use x509_cert::der::asn1::{AnyRef, Int, ObjectIdentifier, OctetStringRef};
use x509_cert::der::{Decode, Encode, Error, ErrorKind, Reader, SliceReader, Tag, TagNumber, Tagged};
use x509_cert::name::Name;
use x509_cert::spki::AlgorithmIdentifierOwned;

use crate::certificate::{
    Certificate, ECDSA_SHA256, ECDSA_SHA384, ECDSA_SHA512, PKCS1_SHA256, PKCS1_SHA384, PKCS1_SHA512, PSS,
};
use crate::key::{Hash, RSA};

/// Certificates that signed data may bring.
pub const MAX_CERTIFICATES: usize = 16;
/// Those who may have signed it.
pub const MAX_SIGNERS: usize = 4;
/// Parts that one of its structures may have.
const MAX_PARTS: usize = 100;
/// The version that signed data of other than plain content has.
const VERSION: i64 = 3;

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");

/// Why bytes are no signed data. The texts are tspclient-go's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CmsError {
    /// They are not the DER of it.
    #[error("cms: syntax error: invalid signed data")]
    Syntax,
    /// They are something else.
    #[error("cms: content type is not signed-data")]
    NotSignedData,
    /// They have another version.
    #[error("cms: syntax error: unsupported signed data version: got {0}, want {VERSION}")]
    Version(i64),
    /// A certificate is none, or there are too many.
    #[error(
        "cms: syntax error: failed to parse X.509 certificates from signed data. Only X.509 certificates are supported"
    )]
    Certificates,
    /// Too many have signed.
    #[error("cms: syntax error: more than {MAX_SIGNERS} signers")]
    Signers,
}

/// Why a signature is not good. The texts are tspclient-go's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The signer is named in another way.
    #[error("invalid signer info version: only version 1 is supported; got {0}")]
    Version(i64),
    /// The algorithm is not known.
    #[error("unknown signature algorithm")]
    Algorithm,
    /// The key of the certificate has not signed it.
    #[error("x509: signature verification failure")]
    Signature,
    /// Nothing says what is signed.
    #[error("missing signed attributes")]
    NoAttributes,
    /// The type is not signed, or another one is.
    #[error("mismatch content type")]
    ContentType,
    /// The digest is not signed, or none that is known.
    #[error("invalid message digest")]
    NoDigest,
    /// Another content is signed.
    #[error("mismatch message digest")]
    Digest,
}

/// The parts of a structure, one after the other.
pub(crate) struct Parts<'a>(std::iter::Peekable<std::vec::IntoIter<AnyRef<'a>>>);

impl<'a> Parts<'a> {
    /// Those of the value of a structure.
    pub(crate) fn of(value: &'a [u8]) -> Result<Parts<'a>, Error> {
        let (mut reader, mut parts) = (SliceReader::new(value)?, Vec::new());
        while !reader.is_finished() {
            if parts.len() >= MAX_PARTS {
                return Err(ErrorKind::Failed.into());
            }
            parts.push(reader.decode()?);
        }
        Ok(Parts(parts.into_iter().peekable()))
    }

    /// Those of the one structure in `der`.
    pub(crate) fn of_sequence(der: &'a [u8]) -> Result<Parts<'a>, Error> {
        Parts::of_part(AnyRef::from_der(der)?)
    }

    /// Those of a sequence.
    pub(crate) fn of_part(part: AnyRef<'a>) -> Result<Parts<'a>, Error> {
        Parts::of(structure(part, Tag::Sequence)?)
    }

    /// Whether there are no more.
    pub(crate) fn is_empty(&mut self) -> bool {
        self.0.peek().is_none()
    }

    /// The next part, which has to be there.
    pub(crate) fn next(&mut self) -> Result<AnyRef<'a>, Error> {
        self.0.next().ok_or_else(|| ErrorKind::Failed.into())
    }

    /// The next part, if it has this tag.
    pub(crate) fn next_if(&mut self, is_it: impl Fn(Tag) -> bool) -> Option<AnyRef<'a>> {
        self.0.next_if(|part| is_it(part.tag()))
    }

    /// The value of the next part, if it is a structure with this number of its own.
    pub(crate) fn tagged(&mut self, number: u32) -> Option<&'a [u8]> {
        let is_it = |tag: Tag| tag == Tag::ContextSpecific { constructed: true, number: TagNumber(number) };
        self.next_if(is_it).map(AnyRef::value)
    }

    /// The parts of the next one, which has to be a sequence.
    pub(crate) fn sequence(&mut self) -> Result<Parts<'a>, Error> {
        Parts::of_part(self.next()?)
    }

    fn rest(self) -> impl ExactSizeIterator<Item = AnyRef<'a>> {
        self.0.collect::<Vec<_>>().into_iter()
    }
}

fn structure(part: AnyRef<'_>, tag: Tag) -> Result<&[u8], Error> {
    part.tag().assert_eq(tag)?;
    Ok(part.value())
}

/// A certificate by who has issued it, and its number.
#[derive(Clone, Debug)]
pub(crate) struct IssuerAndSerial {
    pub(crate) issuer: Name,
    pub(crate) serial: Int,
}

/// Somebody who has signed.
#[derive(Debug)]
pub(crate) struct Signer {
    version: i64,
    /// Whose certificate it is, if it is named so.
    pub(crate) certificate: Option<IssuerAndSerial>,
    digest: ObjectIdentifier,
    /// What is signed, in DER: attributes with their values.
    signed: Vec<u8>,
    attributes: Vec<(ObjectIdentifier, Vec<u8>)>,
    algorithm: ObjectIdentifier,
    signature: Vec<u8>,
}

/// Data, and who has signed it.
#[derive(Debug)]
pub(crate) struct SignedData {
    pub(crate) content_type: ObjectIdentifier,
    pub(crate) content: Vec<u8>,
    pub(crate) certificates: Vec<Certificate>,
    pub(crate) signers: Vec<Signer>,
}

impl SignedData {
    /// Reads it. Nothing is verified.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn read(der: &[u8]) -> Result<SignedData, CmsError> {
        let mut outer = Parts::of_sequence(der).map_err(|_| CmsError::Syntax)?;
        let kind = outer.next().and_then(|kind| kind.decode_as::<ObjectIdentifier>());
        if kind.map_err(|_| CmsError::Syntax)? != SIGNED_DATA {
            return Err(CmsError::NotSignedData);
        }
        let inner = outer.tagged(0).ok_or(CmsError::Syntax)?;
        let mut parts = Parts::of_sequence(inner).map_err(|_| CmsError::Syntax)?;
        let version = parts.next().and_then(|version| version.decode_as::<i64>());
        match version.map_err(|_| CmsError::Syntax)? {
            VERSION => {}
            other => return Err(CmsError::Version(other)),
        }
        let content = |parts: &mut Parts<'_>| {
            let _digests = parts.next()?;
            let mut content = parts.sequence()?;
            let content_type = content.next()?.decode_as::<ObjectIdentifier>()?;
            let bytes = content.tagged(0).map(<&OctetStringRef>::from_der).transpose()?;
            Ok::<_, Error>((content_type, bytes.map(|bytes| bytes.as_bytes().to_vec()).unwrap_or_default()))
        };
        let (content_type, content) = content(&mut parts).map_err(|_| CmsError::Syntax)?;
        let certificates = certificates(parts.tagged(0).unwrap_or_default())?;
        let _lists = parts.tagged(1);
        let signers = parts.next().and_then(|signers| Parts::of(structure(signers, Tag::Set)?));
        let signers = signers.map_err(|_| CmsError::Syntax)?.rest();
        if signers.len() > MAX_SIGNERS {
            return Err(CmsError::Signers);
        }
        let signers = signers.map(Signer::read).collect::<Result<_, _>>().map_err(|_| CmsError::Syntax)?;
        Ok(SignedData { content_type, content, certificates, signers })
    }

    /// The certificate with this issuer and number.
    pub(crate) fn certificate(&self, of: &IssuerAndSerial) -> Option<&Certificate> {
        self.certificates.iter().find(|certificate| certificate.is_numbered(of))
    }

    /// Whether the key of a certificate has signed the content, as a signer says.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn verify(&self, signer: &Signer, certificate: &Certificate) -> Result<(), SignatureError> {
        if signer.attributes.is_empty() {
            return Err(SignatureError::NoAttributes);
        }
        signer.verify(certificate)?;
        let content_type = signer.attribute(CONTENT_TYPE).and_then(|value| value.decode_as().ok());
        if content_type != Some(self.content_type) {
            return Err(SignatureError::ContentType);
        }
        let digest = signer.attribute(MESSAGE_DIGEST).and_then(|value| value.decode_as().ok());
        let digest: &OctetStringRef = digest.ok_or(SignatureError::NoDigest)?;
        let hash = Hash::of(&signer.digest).ok_or(SignatureError::NoDigest)?;
        let is_it = hash.digest(&self.content).as_ref() == digest.as_bytes();
        is_it.then_some(()).ok_or(SignatureError::Digest)
    }
}

fn certificates(der: &[u8]) -> Result<Vec<Certificate>, CmsError> {
    let wrong = |_| CmsError::Certificates;
    let (mut reader, mut certificates) = (SliceReader::new(der).map_err(wrong)?, Vec::new());
    while !reader.is_finished() {
        if certificates.len() >= MAX_CERTIFICATES {
            return Err(CmsError::Certificates);
        }
        let certificate = Certificate::from_der(reader.tlv_bytes().map_err(wrong)?);
        certificates.push(certificate.map_err(|_| CmsError::Certificates)?);
    }
    Ok(certificates)
}

impl IssuerAndSerial {
    pub(crate) fn read(mut parts: Parts<'_>) -> Result<IssuerAndSerial, Error> {
        Ok(IssuerAndSerial { issuer: parts.next()?.decode_as()?, serial: parts.next()?.decode_as()? })
    }
}

impl Signer {
    fn read(signer: AnyRef<'_>) -> Result<Signer, Error> {
        let mut parts = Parts::of_part(signer)?;
        let version = parts.next()?.decode_as()?;
        let certificate = match parts.tagged(0) {
            Some(_) => None,
            None => Some(IssuerAndSerial::read(parts.sequence()?)?),
        };
        let digest = parts.next()?.decode_as::<AlgorithmIdentifierOwned>()?.oid;
        let (mut signed, mut attributes) = (Vec::new(), Vec::new());
        if let Some(value) = parts.tagged(0) {
            // They are signed as a set, whatever they are numbered here.
            signed = AnyRef::new(Tag::Set, value)?.to_der()?;
            for attribute in Parts::of(value)?.rest() {
                let mut attribute = Parts::of_part(attribute)?;
                let kind = attribute.next()?.decode_as()?;
                attributes.push((kind, structure(attribute.next()?, Tag::Set)?.to_vec()));
            }
        }
        let algorithm = parts.next()?.decode_as::<AlgorithmIdentifierOwned>()?.oid;
        let signature = parts.next()?.decode_as::<&OctetStringRef>()?.as_bytes().to_vec();
        Ok(Signer { version, certificate, digest, signed, attributes, algorithm, signature })
    }

    /// The first value of a signed attribute.
    pub(crate) fn attribute(&self, wanted: ObjectIdentifier) -> Option<AnyRef<'_>> {
        let (_, values) = self.attributes.iter().find(|(kind, _)| *kind == wanted)?;
        SliceReader::new(values).ok()?.decode().ok()
    }

    fn verify(&self, certificate: &Certificate) -> Result<(), SignatureError> {
        if self.version != 1 {
            return Err(SignatureError::Version(self.version));
        }
        let (key, signature) = (certificate.key(), self.signature.as_slice());
        let hash = || Hash::of(&self.digest).ok_or(SignatureError::Algorithm);
        let is_good = match self.algorithm {
            RSA => key.has_signed_pkcs1(hash()?, &self.signed, signature),
            PSS => key.has_signed_pss(hash()?, &self.signed, signature),
            PKCS1_SHA256 => key.has_signed_pkcs1(Hash::Sha256, &self.signed, signature),
            PKCS1_SHA384 => key.has_signed_pkcs1(Hash::Sha384, &self.signed, signature),
            PKCS1_SHA512 => key.has_signed_pkcs1(Hash::Sha512, &self.signed, signature),
            ECDSA_SHA256 => key.has_signed_ecdsa(Hash::Sha256, &self.signed, signature),
            ECDSA_SHA384 => key.has_signed_ecdsa(Hash::Sha384, &self.signed, signature),
            ECDSA_SHA512 => key.has_signed_ecdsa(Hash::Sha512, &self.signed, signature),
            _ => return Err(SignatureError::Algorithm),
        };
        is_good.then_some(()).ok_or(SignatureError::Signature)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn der(tag: Tag, parts: &[&[u8]]) -> Vec<u8> {
        AnyRef::new(tag, &parts.concat()).unwrap().to_der().unwrap()
    }

    fn own(number: u32, parts: &[&[u8]]) -> Vec<u8> {
        der(Tag::ContextSpecific { constructed: true, number: TagNumber(number) }, parts)
    }

    /// Signed data of a version, with nothing in it, certificates, and so many signers that are none.
    fn signed(version: u8, certificates: &[u8], signers: usize) -> Vec<u8> {
        let oid = |oid: ObjectIdentifier| oid.to_der().unwrap();
        let (version, content) =
            (der(Tag::Integer, &[&[version]]), der(Tag::Sequence, &[&oid(CONTENT_TYPE)]));
        let signers = der(Tag::Set, &[&[0x30, 0].repeat(signers)]);
        let parts = [version, der(Tag::Set, &[]), content, own(0, &[certificates]), signers];
        let data = der(Tag::Sequence, &[&parts.concat()]);
        der(Tag::Sequence, &[&oid(SIGNED_DATA), &own(0, &[&data])])
    }

    fn read(der: &[u8]) -> Result<usize, CmsError> {
        SignedData::read(der).map(|signed| signed.certificates.len())
    }

    #[test]
    fn certificates_and_signers_have_limits_that_are_told() {
        let record: serde_json::Value =
            serde_json::from_str(include_str!("../tests/data/notation.json")).unwrap();
        let pem = record.pointer("/policies/0/certificates/0").and_then(|pem| pem.as_str()).unwrap();
        let certificate = Certificate::from_entry(pem.as_bytes()).unwrap().remove(0);
        let many = |number: usize| certificate.der().repeat(number);
        assert_eq!(read(&signed(3, &[], 0)), Ok(0));
        assert_eq!(read(&signed(3, &many(MAX_CERTIFICATES), 0)), Ok(MAX_CERTIFICATES));
        assert_eq!(read(&signed(3, &many(MAX_CERTIFICATES + 1), 0)), Err(CmsError::Certificates));
        assert_eq!(read(&signed(3, &[0x30, 0], 0)), Err(CmsError::Certificates));
        assert_eq!(read(&signed(3, &[], MAX_SIGNERS)), Err(CmsError::Syntax), "they are none");
        assert_eq!(read(&signed(3, &[], MAX_SIGNERS + 1)), Err(CmsError::Signers));
        assert_eq!(read(&signed(3, &[], MAX_PARTS + 1)), Err(CmsError::Syntax));
        assert_eq!(read(&signed(4, &[], 0)), Err(CmsError::Version(4)));
    }

    #[test]
    fn what_is_cut_off_or_nested_without_end_is_an_error() {
        let whole = signed(3, &[], 0);
        for end in 0..whole.len() {
            assert_eq!(read(whole.get(..end).unwrap()), Err(CmsError::Syntax), "{end}");
        }
        let deep = (0..1000).fold(Vec::new(), |inner, _| der(Tag::Sequence, &[&inner]));
        assert_eq!(read(&deep), Err(CmsError::Syntax));
        // In BER, the end of such a one is told by two zeros.
        assert_eq!(read(&[0x30, 0x80, 0, 0]), Err(CmsError::Syntax));
    }
}
