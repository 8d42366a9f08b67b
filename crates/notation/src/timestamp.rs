//! Timestamps of signatures by a third party (RFC 3161; notation specification, "Timestamping").

mod info;

use x509_cert::der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef};
use x509_cert::der::{Error, ErrorKind, Tag};
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_cert::time::Time;

use self::info::{Info, Stamp};
use crate::certificate::{Certificate, TIMESTAMPING, written};
use crate::chain::{self, ChainError, Purpose};
use crate::cms::{CmsError, IssuerAndSerial, Parts, SignatureError, SignedData, Signer};
use crate::key::Hash;
use crate::quote;
use crate::trust::TrustError;

const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
const SIGNING_CERTIFICATE_V2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");
const SIGNING_TIME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.5");

/// Why a timestamp does not tell when a signature was made. The texts are those of notation-go and tspclient-go.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimestampError {
    /// There is none.
    #[error("no timestamp countersignature was found in the signature envelope")]
    Missing,
    /// It cannot be read.
    #[error("failed to parse timestamp countersignature with error: {0}")]
    Parse(#[from] CmsError),
    /// Something else is signed.
    #[error(
        "failed to parse timestamp countersignature with error: unexpected content type: {0}. Expected to be id-ct-TSTInfo \
         ({TST_INFO})"
    )]
    ContentType(ObjectIdentifier),
    /// What is signed cannot be read.
    #[error("failed to get the timestamp TSTInfo with error: cannot unmarshal TSTInfo from timestamp token")]
    Info,
    /// What is signed has another version.
    #[error(
        "failed to get timestamp from timestamp countersignature with error: invalid TSTInfo: timestamp token info version must \
         be 1, but got {0}"
    )]
    Version(i64),
    /// The digest is of an unknown sort.
    #[error(
        "failed to get timestamp from timestamp countersignature with error: invalid TSTInfo: unrecognized hash algorithm: {0}"
    )]
    Hash(ObjectIdentifier),
    /// It is of another signature.
    #[error(
        "failed to get timestamp from timestamp countersignature with error: invalid TSTInfo: mismatched message"
    )]
    Message,
    /// The trusted certificates cannot be used.
    #[error("failed to load tsa trust store with error: {0}")]
    Trust(#[from] TrustError),
    /// There are none.
    #[error("no trusted TSA certificate found in trust store")]
    NoTrust,
    /// It is not signed as it has to be.
    #[error("failed to verify the timestamp countersignature with error: failed to verify signed token: {0}")]
    Token(#[from] TokenError),
    /// The certificates of the authority are no chain.
    #[error("failed to validate the timestamping certificate chain with error: {0}")]
    Chain(#[from] ChainError),
    /// A certificate may not have been valid yet.
    #[error("timestamp can be before certificate {} validity period, it will be valid from {}", quote(.subject), quote(.time))]
    Before {
        /// Whose it is.
        subject: String,
        /// When it begins to be valid.
        time: String,
    },
    /// A certificate may not have been valid any more.
    #[error("timestamp can be after certificate {} validity period, it was expired at {}", quote(.subject), quote(.time))]
    After {
        /// Whose it is.
        subject: String,
        /// When it was valid for the last time.
        time: String,
    },
    /// Nobody is asked for revoked certificates.
    #[error("timestamping certificate with subject {} revocation status is unknown: OCSP and CRLs cannot be asked yet", quote(.0))]
    RevocationUnknown(String),
}

/// Why nobody who is trusted has signed a timestamp.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Nobody has signed it.
    #[error("signerInfo not found")]
    NoSigner,
    /// The certificate of the signer is not signed with it.
    #[error("failed to get SigningCertificateV2 from signed attributes: attribute not found")]
    NoCertificate,
    /// It is not said as it should.
    #[error("failed to get SigningCertificateV2 from signed attributes: it cannot be read")]
    CertificateSyntax,
    /// The list of certificates is empty.
    #[error("signingCertificateV2 does not contain any certificate")]
    EmptyCertificates,
    /// The timestamp does not bring it.
    #[error("signing certificate not found in the timestamp token")]
    CertificateNotFound,
    /// Its digest is of an unknown sort.
    #[error("unsupported certificate hash algorithm in SigningCertificateV2 attribute")]
    CertificateHash,
    /// It is another one.
    #[error("signing certificate hash does not match CertHash in signed attribute")]
    OtherCertificate,
    /// It leads to nobody who is trusted.
    #[error("cms verification failure: x509: certificate signed by unknown authority")]
    Unknown,
    /// The certificate is not for timestamps, or for something else as well.
    #[error("signing certificate must have and only have ExtKeyUsageTimeStamping as extended key usage")]
    Purposes,
    /// Whoever does not know what it is for may take it for something else.
    #[error("signing certificate extended key usage extension must be set as critical")]
    PurposesNotCritical,
    /// The time that the signer tells cannot be read.
    #[error("cms verification failure: invalid signing time")]
    SigningTimeSyntax,
    /// A certificate was not valid at that time.
    #[error("cms verification failure: signing time is outside certificate's validity period")]
    SigningTime,
    /// The signature is not good.
    #[error("cms verification failure: {0}")]
    Signature(#[from] SignatureError),
}

impl Stamp {
    /// Whether all of these were valid then, wherever in the range of the timestamp that was.
    ///
    /// # Errors
    /// For the first one that may not have been.
    pub(crate) fn check(&self, chain: &[Certificate]) -> Result<(), TimestampError> {
        // What is out of the calendar is in no validity period.
        let (first, last) =
            (self.time.checked_sub(self.accuracy).ok(), self.time.checked_add(self.accuracy).ok());
        for certificate in chain {
            let subject = || certificate.subject().to_owned();
            if first.is_none_or(|first| first < certificate.not_before()) {
                let time = written(certificate.not_before());
                return Err(TimestampError::Before { subject: subject(), time });
            }
            if last.is_none_or(|last| last > certificate.not_after()) {
                let time = written(certificate.not_after());
                return Err(TimestampError::After { subject: subject(), time });
            }
        }
        Ok(())
    }
}

/// A timestamp that was read. Nothing is known of who has signed it.
#[derive(Debug)]
pub(crate) struct Token {
    signed: SignedData,
    info: Info,
}

impl Token {
    /// Reads a timestamp.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn read(der: &[u8]) -> Result<Token, TimestampError> {
        if der.is_empty() {
            return Err(TimestampError::Missing);
        }
        let signed = SignedData::read(der)?;
        if signed.content_type != TST_INFO {
            return Err(TimestampError::ContentType(signed.content_type));
        }
        let info = Info::read(&signed.content).map_err(|_| TimestampError::Info)?;
        Ok(Token { signed, info })
    }

    /// The time, if it is one of this signature.
    ///
    /// # Errors
    /// When it is not.
    pub(crate) fn stamp(&self, signature: &[u8]) -> Result<Stamp, TimestampError> {
        let Info { version, hash, message, stamp } = &self.info;
        if *version != 1 {
            return Err(TimestampError::Version(*version));
        }
        let digest = Hash::of(hash).ok_or(TimestampError::Hash(*hash))?.digest(signature);
        (digest.as_ref() == message.as_slice()).then_some(*stamp).ok_or(TimestampError::Message)
    }

    /// The certificates of the authority that has signed it, up to one that is trusted. The first signer that is good is enough.
    ///
    /// # Errors
    /// When there is none, or they are no chain of an authority of timestamps.
    pub(crate) fn verify(
        &self,
        stamp: Stamp,
        trusted: &[Certificate],
    ) -> Result<Vec<Certificate>, TimestampError> {
        let mut last = TokenError::NoSigner;
        for signer in &self.signed.signers {
            match self.chain_of(signer, stamp, trusted) {
                Ok(chain) => {
                    chain::check(&chain, Purpose::Timestamps)?;
                    return Ok(chain);
                }
                Err(error) => last = error,
            }
        }
        Err(last.into())
    }

    fn chain_of(
        &self,
        signer: &Signer,
        stamp: Stamp,
        trusted: &[Certificate],
    ) -> Result<Vec<Certificate>, TokenError> {
        let certificate = self.certificate_of(signer)?;
        let is_usable = |certificate: &Certificate| {
            let (time, purposes) = (stamp.time, certificate.purposes());
            time >= certificate.not_before()
                && time <= certificate.not_after()
                && !certificate.has_unknown_critical_extensions()
                && (purposes.is_empty() || purposes.contains(&TIMESTAMPING))
        };
        let chain = chain::find(certificate, &self.signed.certificates, trusted, &is_usable);
        let chain = chain.ok_or(TokenError::Unknown)?;
        self.signed.verify(signer, certificate)?;
        check_signing_time(signer, &chain)?;
        if certificate.purposes() != [TIMESTAMPING] {
            return Err(TokenError::Purposes);
        }
        certificate.has_critical_purposes().then_some(chain).ok_or(TokenError::PurposesNotCritical)
    }

    /// The certificate that a signer has signed to be his (RFC 5816).
    fn certificate_of(&self, signer: &Signer) -> Result<&Certificate, TokenError> {
        let attribute = signer.attribute(SIGNING_CERTIFICATE_V2).ok_or(TokenError::NoCertificate)?;
        let own = SigningCertificate::read(attribute).map_err(|_| TokenError::CertificateSyntax)?;
        let own = own.ok_or(TokenError::EmptyCertificates)?;
        let number = own.number.as_ref().or(signer.certificate.as_ref());
        let certificate = number.and_then(|number| self.signed.certificate(number));
        let certificate = certificate.ok_or(TokenError::CertificateNotFound)?;
        let hash = own.hash.map_or(Some(Hash::Sha256), |hash| Hash::of(&hash));
        let digest = hash.ok_or(TokenError::CertificateHash)?.digest(certificate.der());
        let is_it = digest.as_ref() == own.digest.as_slice();
        is_it.then_some(certificate).ok_or(TokenError::OtherCertificate)
    }
}

/// Whoever says when he has signed must have had a certificate then.
fn check_signing_time(signer: &Signer, chain: &[Certificate]) -> Result<(), TokenError> {
    match signer.attribute(SIGNING_TIME).map(|value| value.decode_as::<Time>()) {
        None => Ok(()),
        Some(Err(_)) => Err(TokenError::SigningTimeSyntax),
        Some(Ok(time)) => {
            let time = i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
            let was_valid = |own: &Certificate| {
                own.not_before().as_second() <= time && time <= own.not_after().as_second()
            };
            chain.iter().all(was_valid).then_some(()).ok_or(TokenError::SigningTime)
        }
    }
}

/// `ESSCertIDv2` (RFC 5035).
struct SigningCertificate {
    /// SHA-256 if none is named.
    hash: Option<ObjectIdentifier>,
    digest: Vec<u8>,
    number: Option<IssuerAndSerial>,
}

impl SigningCertificate {
    /// The first certificate of the attribute, if there is one.
    fn read(attribute: AnyRef<'_>) -> Result<Option<SigningCertificate>, Error> {
        let mut list = Parts::of_part(attribute)?.sequence()?;
        if list.is_empty() {
            return Ok(None);
        }
        let mut parts = list.sequence()?;
        let hash = parts.next_if(|tag| tag == Tag::Sequence);
        let hash = hash.map(|hash| hash.decode_as::<AlgorithmIdentifierOwned>()).transpose()?;
        let digest = parts.next()?.decode_as::<&OctetStringRef>()?.as_bytes().to_vec();
        let number = match parts.next_if(|tag| tag == Tag::Sequence) {
            None => None,
            Some(part) => {
                let mut issuer_and_serial = Parts::of(part.value())?;
                // `GeneralNames`, of which a directory name is number 4 and holds the name as it is.
                let mut names = issuer_and_serial.sequence()?;
                let name = names.tagged(4).ok_or(Error::from(ErrorKind::Failed))?;
                let issuer = Parts::of(name)?.next()?.decode_as()?;
                Some(IssuerAndSerial { issuer, serial: issuer_and_serial.next()?.decode_as()? })
            }
        };
        Ok(Some(SigningCertificate { hash: hash.map(|hash| hash.oid), digest, number }))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::*;

    #[test]
    fn a_range_has_to_be_within_the_validity_period_as_a_whole() {
        let own = any_certificate();
        let at = |seconds: i64, accuracy: i64| Stamp {
            time: Timestamp::from_second(seconds).unwrap(),
            accuracy: SignedDuration::from_secs(accuracy),
        };
        let (first, last) = (own.not_before().as_second(), own.not_after().as_second());
        for (stamp, is_within) in [
            (at(first, 0), true),
            (at(first, 1), false),
            (at(first + 1, 1), true),
            (at(last, 0), true),
            (at(last, 1), false),
            (at(last - 1, 1), true),
            (at(last, i64::MAX), false),
        ] {
            assert_eq!(stamp.check(std::slice::from_ref(&own)).is_ok(), is_within, "{stamp:?}");
        }
    }

    /// Any certificate.
    fn any_certificate() -> Certificate {
        let record: serde_json::Value =
            serde_json::from_str(include_str!("../tests/data/notation.json")).unwrap();
        let pem = record.pointer("/policies/0/certificates/0").and_then(|pem| pem.as_str()).unwrap();
        Certificate::from_entry(pem.as_bytes()).unwrap().remove(0)
    }
}
