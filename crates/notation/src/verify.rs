//! What a trust policy says of one signature (notation specification, "Signature Verification").

use jiff::Timestamp;
use serde::Deserialize;

use crate::certificate::{Certificate, written};
use crate::envelope::{Attribute, Envelope, EnvelopeError, PLUGIN, Scheme, is_time};
use crate::level::{Action, Check};
use crate::name::{Name, NameError};
use crate::policy::{Identities, Statement, StoreKind};
use crate::quote;
use crate::timestamp::{TimestampError, Token};
use crate::trust::{TrustError, TrustStore};

/// An artifact, as its registry describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// The type of its manifest.
    pub media_type: &'a str,
    /// The digest of its manifest, `<algorithm>:<hash>`.
    pub digest: &'a str,
    /// The bytes of its manifest.
    pub size: u64,
}

/// A signature that counts.
#[derive(Debug, Default)]
pub struct Outcome {
    failures: Vec<(Check, CheckError)>,
}

impl Outcome {
    /// The checks that failed without consequence, and why.
    pub fn failures(&self) -> &[(Check, CheckError)] {
        &self.failures
    }

    /// Whether it is known to be of somebody who is trusted. The level `audit` does not ask for that.
    pub fn is_authentic(&self) -> bool {
        self.failures.iter().all(|(check, _)| *check != Check::Authenticity)
    }
}

/// Why a signature does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The envelope is not whole.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// A program has to verify it.
    #[error("plugin unsupported due to nil verifier.pluginManager")]
    Plugin,
    /// It does not say so as it should.
    #[error("io.cncf.notary.verificationPlugin {0}")]
    PluginHeader(&'static str),
    /// It must not count for whoever does not know what an attribute means.
    #[error("critical attribute {} is not understood", quote(.0))]
    Critical(String),
    /// A check that is enforced failed.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// What is signed is not the JSON of an artifact's description.
    #[error("signed payload is not understood")]
    Payload,
    /// Another artifact is signed.
    #[error("content descriptor mismatch")]
    Target,
}

/// Why a check failed. The texts are notation-go's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// The trusted certificates cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// There is no trust store for the scheme.
    #[error("no trusted certificates are found to verify authenticity")]
    NoCertificates,
    /// No certificate of the chain is trusted.
    #[error("the signature's certificate chain does not contain any trusted certificate")]
    NotTrusted,
    /// The policy trusts nobody of a known kind.
    #[error("no x509 trusted identities are configured in the trust policy {}", quote(.0))]
    NoIdentities(String),
    /// The name in the certificate cannot be read.
    #[error("error while parsing the certificate subject from the digital signature. error : {}", quote(&.0.to_string()))]
    Subject(NameError),
    /// It is of somebody else.
    #[error(
        "signing certificate from the digital signature does not match the X.509 trusted identities [{identities}] defined in the \
         trust policy {}",
        quote(.policy)
    )]
    Identity {
        /// Who is trusted.
        identities: String,
        /// The statement of the trust policy.
        policy: String,
    },
    /// It has expired.
    #[error("digital signature has expired on {}", quote(.0))]
    Expired(String),
    /// A certificate is not valid yet.
    #[error("verification time is before certificate {} validity period, it will be valid from {}", quote(.subject), quote(.time))]
    NotYetValid {
        /// Whose it is.
        subject: String,
        /// When it begins to be valid.
        time: String,
    },
    /// A certificate is not valid any more.
    #[error("verification time is after certificate {} validity period, it was expired at {}", quote(.subject), quote(.time))]
    NoLongerValid {
        /// Whose it is.
        subject: String,
        /// When it was valid for the last time.
        time: String,
    },
    /// A certificate was not valid when the authority signed.
    #[error("certificate {} was not valid when the digital signature was produced at {}", quote(.subject), quote(.time))]
    NotValidThen {
        /// Whose it is.
        subject: String,
        /// When that was.
        time: String,
    },
    /// No timestamp tells when it was made.
    #[error(transparent)]
    Timestamp(#[from] TimestampError),
    /// Nobody is asked for revoked certificates.
    #[error("signing certificate with subject {} revocation status is unknown: OCSP and CRLs cannot be asked yet", quote(.0))]
    RevocationUnknown(String),
}

/// What is left out is empty, and so no artifact's.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Payload {
    target_artifact: Artifact,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Artifact {
    media_type: String,
    digest: String,
    size: u64,
}

/// Whether a signature counts for an artifact: by the statement of a trust policy, with the trusted certificates, at a time.
///
/// # Errors
/// Why it does not count.
pub fn verify(
    statement: &Statement,
    trust: &TrustStore,
    media_type: &str,
    envelope: &[u8],
    target: &Target<'_>,
    now: Timestamp,
) -> Result<Outcome, VerifyError> {
    let envelope = Envelope::open(media_type, envelope)?;
    check_attributes(&envelope)?;
    let mut outcome = Outcome::default();
    for (check, result) in [
        (Check::Authenticity, authenticity(statement, trust, &envelope)),
        (Check::Expiry, expiry(&envelope, now)),
        (Check::AuthenticTimestamp, timestamp(statement, trust, &envelope, now)),
        (Check::Revocation, unknown(&envelope.chain).map_err(CheckError::RevocationUnknown)),
    ] {
        match (statement.level.action(check), result) {
            (_, Ok(())) | (Action::Skip, _) => {}
            (Action::Enforce, Err(error)) => return Err(error.into()),
            (Action::Log, Err(error)) => outcome.failures.push((check, error)),
        }
    }
    let payload: Payload = serde_json::from_slice(&envelope.payload).map_err(|_| VerifyError::Payload)?;
    let Artifact { media_type, digest, size } = &payload.target_artifact;
    let is_target = media_type == target.media_type && digest == target.digest && *size == target.size;
    is_target.then_some(outcome).ok_or(VerifyError::Target)
}

/// Nothing that must be understood may be left over.
fn check_attributes(envelope: &Envelope) -> Result<(), VerifyError> {
    match envelope.attribute(PLUGIN) {
        None => {}
        Some(Attribute { is_critical: false, .. }) => {
            return Err(VerifyError::PluginHeader("is not a critical Extended attribute"));
        }
        Some(Attribute { text: None, .. }) => {
            return Err(VerifyError::PluginHeader("from extended attribute is not a string"));
        }
        Some(Attribute { text: Some(name), .. }) if name.trim().is_empty() => {
            return Err(VerifyError::PluginHeader("from extended attribute is an empty string"));
        }
        Some(_) => return Err(VerifyError::Plugin),
    }
    let critical = envelope.attributes.iter().find(|attribute| attribute.is_critical);
    critical.map_or(Ok(()), |attribute| Err(VerifyError::Critical(attribute.key.clone())))
}

/// A certificate of the chain is trusted, and the one that has signed is of somebody who is.
fn authenticity(statement: &Statement, trust: &TrustStore, envelope: &Envelope) -> Result<(), CheckError> {
    let kind = match envelope.scheme {
        Scheme::X509 => StoreKind::Ca,
        Scheme::SigningAuthority => StoreKind::SigningAuthority,
    };
    let trusted = match statement.store(kind) {
        Some(store) => trust.certificates(store)?,
        None => &[],
    };
    if trusted.is_empty() {
        return Err(CheckError::NoCertificates);
    }
    if !envelope.chain.iter().any(|own| trusted.iter().any(|trusted| own.is(trusted))) {
        return Err(CheckError::NotTrusted);
    }
    let names = match &statement.identities {
        Identities::Everybody => return Ok(()),
        Identities::Names(names) => names,
    };
    if names.is_empty() {
        return Err(CheckError::NoIdentities(statement.name().to_owned()));
    }
    let subject = envelope.chain.first().map_or("", |leaf| leaf.subject());
    let subject = Name::parse(subject).map_err(CheckError::Subject)?;
    if names.iter().any(|name| name.is_subset_of(&subject)) {
        return Ok(());
    }
    let identities = names.iter().map(Name::to_string).collect::<Vec<_>>().join(" ");
    Err(CheckError::Identity { identities, policy: statement.name().to_owned() })
}

fn expiry(envelope: &Envelope, now: Timestamp) -> Result<(), CheckError> {
    match envelope.expiry() {
        Some(expiry) if now >= expiry => Err(CheckError::Expired(written(expiry))),
        _ => Ok(()),
    }
}

/// The certificates were valid when the signature was made; without anybody who vouches for that time, they have to be valid now.
fn timestamp(
    statement: &Statement,
    trust: &TrustStore,
    envelope: &Envelope,
    now: Timestamp,
) -> Result<(), CheckError> {
    if envelope.scheme == Scheme::SigningAuthority {
        let then = envelope.signing_time.filter(is_time).unwrap_or(now);
        let is_invalid = envelope.chain.iter().find(|own| then < own.not_before() || then > own.not_after());
        return is_invalid.map_or(Ok(()), |certificate| {
            let subject = certificate.subject().to_owned();
            Err(CheckError::NotValidThen { subject, time: written(then) })
        });
    }
    let has_expired = envelope.chain.iter().any(|own| now > own.not_after());
    if let Some(store) = statement.store(StoreKind::Tsa)
        && (has_expired || !statement.timestamp_after_expiry)
    {
        return Ok(vouched(trust, store, envelope)?);
    }
    for certificate in &envelope.chain {
        let subject = || certificate.subject().to_owned();
        if now < certificate.not_before() {
            return Err(CheckError::NotYetValid {
                subject: subject(),
                time: written(certificate.not_before()),
            });
        }
        if now > certificate.not_after() {
            return Err(CheckError::NoLongerValid {
                subject: subject(),
                time: written(certificate.not_after()),
            });
        }
    }
    Ok(())
}

/// An authority of timestamps that is trusted vouches for a time at which the certificates were valid.
fn vouched(trust: &TrustStore, store: &str, envelope: &Envelope) -> Result<(), TimestampError> {
    let token = Token::read(&envelope.timestamp)?;
    let stamp = token.stamp(&envelope.signature)?;
    let trusted = trust.certificates(store)?;
    if trusted.is_empty() {
        return Err(TimestampError::NoTrust);
    }
    let chain = token.verify(stamp, trusted)?;
    stamp.check(&envelope.chain)?;
    unknown(&chain).map_err(TimestampError::RevocationUnknown)
}

/// Certificates that nobody can be asked about are not revoked; those of others may be.
///
/// # Errors
/// Whose certificate that is.
fn unknown(chain: &[Certificate]) -> Result<(), String> {
    let mut below_root = chain.iter().take(chain.len().saturating_sub(1));
    let unknown = below_root.find(|certificate| certificate.is_revocable());
    unknown.map_or(Ok(()), |certificate| Err(certificate.subject().to_owned()))
}
