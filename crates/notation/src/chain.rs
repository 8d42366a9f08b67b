//! Chains of certificates: from the one that has signed an artifact to a root (notation specification, "Certificate Requirements").

use std::fmt;

use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::ext::pkix::KeyUsages;

use crate::certificate::{Certificate, IssuerError, TIMESTAMPING};
use crate::key::KeyError;
use crate::quote;

/// Certificates that a chain may have.
pub const MAX_CHAIN: usize = 16;

/// Signatures of certificates that are verified to find a chain, as many as Go's.
const MAX_LOOKS: usize = 100;

/// What a certificate that signs artifacts must not be for.
const EXCLUDED: [(ObjectIdentifier, &str); 5] = [
    (ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1"), "ServerAuth"),
    (ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2"), "ClientAuth"),
    (ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.4"), "EmailProtection"),
    (TIMESTAMPING, "Timestamping"),
    (ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.9"), "OCSPSigning"),
];
/// What the key of such a certificate must not be for.
const EXCLUDED_USAGES: [(KeyUsages, &str); 7] = [
    (KeyUsages::KeyEncipherment, "\"KeyEncipherment\""),
    (KeyUsages::DataEncipherment, "\"DataEncipherment\""),
    (KeyUsages::KeyAgreement, "\"KeyAgreement\""),
    (KeyUsages::KeyCertSign, "\"CertSign\""),
    (KeyUsages::CRLSign, "\"CRLSign\""),
    (KeyUsages::EncipherOnly, "\"EncipherOnly\""),
    (KeyUsages::DecipherOnly, "\"DecipherOnly\""),
];

/// What is wrong with a chain. The texts are notation-core-go's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// A certificate that stands alone is not signed by its own key.
    #[error("invalid self-signed certificate. subject: {}. Error: {source}", quote(.subject))]
    NotSelfSigned {
        /// Whose it is.
        subject: String,
        /// Why not.
        source: IssuerError,
    },
    /// A certificate that stands alone names somebody else as its issuer.
    #[error(
        "invalid self-signed certificate. subject: {}. Error: issuer({issuer}) and subject({subject}) are not the same",
        quote(.subject)
    )]
    NotSelfIssued {
        /// Whose it is.
        subject: String,
        /// Who has issued it.
        issuer: String,
    },
    /// A certificate that stands alone is not for signing artifacts.
    #[error("invalid self-signed certificate. Error: {0}")]
    SelfSigned(#[source] PurposeError),
    /// The last one is no root.
    #[error(
        "root certificate with subject {} is invalid or not self-signed. Certificate chain must end with a valid self-signed root \
         certificate. Error: {source}",
        quote(.subject)
    )]
    InvalidRoot {
        /// Whose it is.
        subject: String,
        /// Why not.
        source: IssuerError,
    },
    /// The last one names somebody else as its issuer.
    #[error(
        "root certificate with subject {} is not self-signed. Certificate chain must end with a valid self-signed root certificate",
        quote(.0)
    )]
    NoRoot(String),
    /// A root that is not the last one.
    #[error(
        "{place} certificate with subject {} is self-signed. Certificate chain must not contain self-signed {place} certificate",
        quote(.subject)
    )]
    InnerRoot {
        /// Which one.
        place: Place,
        /// Whose it is.
        subject: String,
    },
    /// The next one has not signed it.
    #[error(
        "invalid certificates or certificate with subject {} is not issued by {}. Error: {source}",
        quote(.subject),
        quote(.issuer)
    )]
    NotSignedBy {
        /// Whose it is.
        subject: String,
        /// Whose the next one is.
        issuer: String,
        /// Why not.
        source: IssuerError,
    },
    /// It names somebody else as its issuer.
    #[error("certificate with subject {} is not issued by {}", quote(.subject), quote(.issuer))]
    NotIssuedBy {
        /// Whose it is.
        subject: String,
        /// Whose the next one is.
        issuer: String,
    },
    /// One is not for what it is used for.
    #[error(transparent)]
    Purpose(#[from] PurposeError),
    /// Too many certificates.
    #[error("certificate chain has more than {MAX_CHAIN} certificates")]
    TooLong,
}

/// Where a certificate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The first one, which has signed.
    Leaf,
    /// One between the first and the last.
    Intermediate,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Place::Leaf { "leaf" } else { "intermediate" })
    }
}

/// What a certificate is not for. The texts are notation-core-go's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PurposeError {
    /// One that signs artifacts is an authority.
    #[error(
        "certificate with subject {}: if the basic constraints extension is present, the ca field must be set to false",
        quote(.0)
    )]
    Authority(String),
    /// One that signs others is none.
    #[error(
        "certificate with subject {}: ca field in basic constraints must be present, critical, and set to true",
        quote(.0)
    )]
    NoAuthority(String),
    /// There are more authorities below it than it allows.
    #[error(
        "certificate with subject {}: expected path length of {expected} but certificate has path length {actual} instead",
        quote(.subject)
    )]
    PathLength {
        /// Whose it is.
        subject: String,
        /// How many there are.
        expected: usize,
        /// How many it allows.
        actual: u8,
    },
    /// The extension that tells what the key is for is not critical.
    #[error("certificate with subject {}: key usage extension must be marked critical", quote(.0))]
    UsageNotCritical(String),
    /// There is none.
    #[error("certificate with subject {}: key usage extension must be present", quote(.0))]
    NoUsage(String),
    /// The key of an authority does not sign certificates.
    #[error("certificate with subject {}: key usage must have the bit positions for key cert sign set", quote(.0))]
    CertSign(String),
    /// The key does not sign.
    #[error(
        "the certificate with subject {} is invalid. The key usage must have the bit positions for \"Digital Signature\" set",
        quote(.0)
    )]
    DigitalSignature(String),
    /// The key does more than to sign.
    #[error(
        "the certificate with subject {} is invalid. The key usage must be \"Digital Signature\" only, but found {usages}",
        quote(.subject)
    )]
    OtherUsages {
        /// Whose it is.
        subject: String,
        /// What else the key is for.
        usages: String,
    },
    /// It is for something else.
    #[error("certificate with subject {}: extended key usage must not contain {purpose} eku", quote(.subject))]
    Excluded {
        /// Whose it is.
        subject: String,
        /// What for.
        purpose: &'static str,
    },
    /// Its key cannot sign artifacts.
    #[error("certificate with subject {}: {source}", quote(.subject))]
    Key {
        /// Whose it is.
        subject: String,
        /// Why not.
        source: KeyError,
    },
}

/// What a chain signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Artifacts.
    Artifacts,
    /// Timestamps. What keys are for need not be critical; whether the first certificate is for timestamps alone is not looked at.
    Timestamps,
}

/// Whether the certificates, the one that has signed first, are a whole chain for this purpose. Their times are not looked at.
///
/// # Errors
/// Why they are not.
pub(crate) fn check(chain: &[Certificate], purpose: Purpose) -> Result<(), ChainError> {
    if chain.len() > MAX_CHAIN {
        return Err(ChainError::TooLong);
    }
    if let [alone] = chain {
        return check_alone(alone, purpose);
    }
    for (at, certificate) in chain.iter().enumerate() {
        let subject = || certificate.subject().to_owned();
        let is_self_signed = certificate.has_issued(certificate);
        let is_self_issued = certificate.names_issuer(certificate);
        match chain.get(at + 1) {
            None => {
                is_self_signed.map_err(|source| ChainError::InvalidRoot { subject: subject(), source })?;
                if !is_self_issued {
                    return Err(ChainError::NoRoot(subject()));
                }
            }
            Some(_) if is_self_signed.is_ok() && is_self_issued => {
                let place = if at == 0 { Place::Leaf } else { Place::Intermediate };
                return Err(ChainError::InnerRoot { place, subject: subject() });
            }
            Some(issuer) => {
                let name = || issuer.subject().to_owned();
                issuer.has_issued(certificate).map_err(|source| ChainError::NotSignedBy {
                    subject: subject(),
                    issuer: name(),
                    source,
                })?;
                if !certificate.names_issuer(issuer) {
                    return Err(ChainError::NotIssuedBy { subject: subject(), issuer: name() });
                }
            }
        }
        match at.checked_sub(1) {
            None => check_leaf(certificate, purpose)?,
            Some(below) => check_authority(certificate, below, purpose)?,
        }
    }
    Ok(())
}

fn check_alone(certificate: &Certificate, purpose: Purpose) -> Result<(), ChainError> {
    let subject = certificate.subject().to_owned();
    if let Err(source) = certificate.has_signed(certificate) {
        return Err(ChainError::NotSelfSigned { subject, source });
    }
    if !certificate.names_issuer(certificate) {
        return Err(ChainError::NotSelfIssued { subject, issuer: certificate.issuer() });
    }
    check_leaf(certificate, purpose).map_err(ChainError::SelfSigned)
}

fn check_leaf(certificate: &Certificate, purpose: Purpose) -> Result<(), PurposeError> {
    let subject = || certificate.subject().to_owned();
    if certificate.constraints().is_some_and(|constraints| constraints.ca) {
        return Err(PurposeError::Authority(subject()));
    }
    let usages = usages(certificate, purpose)?;
    if !usages(KeyUsages::DigitalSignature) {
        return Err(PurposeError::DigitalSignature(subject()));
    }
    let others: Vec<&str> =
        EXCLUDED_USAGES.iter().filter(|(usage, _)| usages(*usage)).map(|(_, name)| *name).collect();
    if !others.is_empty() {
        return Err(PurposeError::OtherUsages { subject: subject(), usages: others.join(", ") });
    }
    let excluded = |purpose: &ObjectIdentifier| EXCLUDED.iter().find(|(oid, _)| oid == purpose);
    if purpose == Purpose::Artifacts
        && let Some((_, purpose)) = certificate.purposes().iter().find_map(excluded)
    {
        return Err(PurposeError::Excluded { subject: subject(), purpose });
    }
    match certificate.key().algorithm() {
        Ok(_) => Ok(()),
        Err(source) => Err(PurposeError::Key { subject: subject(), source }),
    }
}

/// An authority with so many authorities below it.
fn check_authority(certificate: &Certificate, below: usize, purpose: Purpose) -> Result<(), PurposeError> {
    let subject = || certificate.subject().to_owned();
    let Some(constraints) = certificate.constraints().filter(|constraints| constraints.ca) else {
        return Err(PurposeError::NoAuthority(subject()));
    };
    if let Some(actual) = constraints.path_len_constraint.filter(|allowed| usize::from(*allowed) < below) {
        return Err(PurposeError::PathLength { subject: subject(), expected: below, actual });
    }
    let usages = usages(certificate, purpose)?;
    usages(KeyUsages::KeyCertSign).then_some(()).ok_or_else(|| PurposeError::CertSign(subject()))
}

/// What the key is for.
fn usages(certificate: &Certificate, purpose: Purpose) -> Result<impl Fn(KeyUsages) -> bool, PurposeError> {
    let subject = || certificate.subject().to_owned();
    match certificate.usage() {
        None => Err(PurposeError::NoUsage(subject())),
        Some((false, _)) if purpose == Purpose::Artifacts => Err(PurposeError::UsageNotCritical(subject())),
        Some((_, usage)) => Ok(move |wanted| usage.0.contains(wanted)),
    }
}

/// The certificates from `leaf` to a trusted one, by way of others of which nobody knows where they come from. All of them are usable
/// and have issued the one before.
pub(crate) fn find(
    leaf: &Certificate,
    others: &[Certificate],
    trusted: &[Certificate],
    is_usable: &dyn Fn(&Certificate) -> bool,
) -> Option<Vec<Certificate>> {
    let (mut looks, mut chain) = (MAX_LOOKS, vec![leaf]);
    if !is_usable(leaf) {
        return None;
    }
    let is_found = trusted.iter().any(|trusted| leaf.is(trusted))
        || extend(&mut chain, others, trusted, is_usable, &mut looks);
    is_found.then(|| chain.into_iter().cloned().collect())
}

fn extend<'a>(
    chain: &mut Vec<&'a Certificate>,
    others: &'a [Certificate],
    trusted: &'a [Certificate],
    is_usable: &dyn Fn(&Certificate) -> bool,
    looks: &mut usize,
) -> bool {
    let Some(last) = chain.last().copied().filter(|_| chain.len() < MAX_CHAIN) else { return false };
    let roots = trusted.iter().map(|issuer| (issuer, true));
    for (issuer, is_root) in roots.chain(others.iter().map(|issuer| (issuer, false))) {
        if !last.names_issuer(issuer) || !is_usable(issuer) || chain.iter().any(|own| own.is(issuer)) {
            continue;
        }
        *looks = match looks.checked_sub(1) {
            Some(left) => left,
            None => return false,
        };
        if issuer.has_issued(last).is_err() {
            continue;
        }
        chain.push(issuer);
        if is_root || extend(chain, others, trusted, is_usable, looks) {
            return true;
        }
        chain.pop();
    }
    false
}
