//! Signatures of artifacts in registries, for all kinds that pull some: whom a spec trusts, and whether one of them has signed.
//!
//! ```text
//! spec ── Wanted ──▶ Signatures::trusted ──▶ Trusted, with a fingerprint of what Secrets say now
//! manifest ───────▶ Signatures::verify ───▶ found, fetched and judged, by the provider
//! ```

mod causes;
mod cosign;
mod fetch;
mod notation;
mod public_root;

use std::sync::Arc;

use ::cosign::{IdentityError, TrustedRootError};
use api::LocalObjectReference;
use api::oci_repository::{OidcIdentityMatch, VerificationProvider};
use artifact::digest::{Algorithm, Hasher};
use auth::Environment;
use net::Deadline;
use oci::{Digest, Reference, Repository};
use references::{GetError, Secrets};
use runtime::error::TaskError;

use self::causes::Causes;
use self::fetch::Fetch;
pub use self::public_root::{PublicRoot, PublicRootError};
use crate::registry::Session;

/// What a spec says of signatures.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The technology.
    pub provider: VerificationProvider,
    /// The Secret with keys or certificates.
    pub secret: Option<&'a LocalObjectReference>,
    /// Who may have signed without a key.
    pub identities: &'a [OidcIdentityMatch],
    /// The Secret with the trusted root.
    pub trusted_root: Option<&'a LocalObjectReference>,
}

/// Why it is not known whom to trust. The texts are Flux's.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The Secret with keys cannot be read.
    #[error(transparent)]
    Secret(#[from] GetError),
    /// The Secret with the trusted root cannot be read.
    #[error("failed to read trusted root from secret '{name}': {source}")]
    RootSecret {
        /// `<namespace>/<name>`.
        name: String,
        /// What the API server says.
        source: GetError,
    },
    /// There is no trusted root in it.
    #[error("failed to read trusted root from secret '{0}': '{key}' not found in secret '{0}'", key = cosign::TRUSTED_ROOT_KEY)]
    NoRoot(String),
    /// The spec names no Secret, and must.
    #[error("verification secret cannot be empty: '{0}'")]
    NoSecret(Repository),
    /// The Secret holds no trust policy, or none that can be used.
    #[error(transparent)]
    Policy(#[from] notation::TrustError),
    /// A technology that this version does not know.
    #[error("unsupported verification provider")]
    Provider,
}

/// Why nothing is verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// No key has made a good signature.
    #[error("no matching signatures were found for '{reference}': {causes}")]
    Keys {
        /// What had to be signed.
        reference: Box<Reference>,
        /// Why not.
        causes: Causes,
    },
    /// There is no signature.
    #[error("no signatures found")]
    None,
    /// Nobody else who is trusted has made a good one.
    #[error("no matching signatures: {0}")]
    NoMatch(Causes),
    /// The identities of the spec cannot be matched.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The trusted root is none.
    #[error("{}", root_text(.0))]
    Root(#[from] TrustedRootError),
    /// That of the public instance cannot be had.
    #[error(transparent)]
    PublicRoot(#[from] PublicRootError),
    /// No signature of Notation counts.
    #[error(transparent)]
    Notation(#[from] Box<notation::VerifyError>),
    /// A check did not come to its end.
    #[error(transparent)]
    Task(#[from] TaskError),
}

fn root_text(error: &TrustedRootError) -> String {
    match error {
        TrustedRootError::NoLog => format!("unable to extract Rekor URL from trusted root: {error}"),
        error => format!("unable to parse trusted root: {error}"),
    }
}

/// Whose signatures count, as Secrets say it now.
#[derive(Debug)]
pub struct Trusted {
    fingerprint: String,
    means: Means,
}

/// What the signatures of a technology are judged by.
#[derive(Debug)]
enum Means {
    Cosign(Arc<cosign::Means>),
    Notation(Arc<notation::Trust>),
}

/// What becomes of an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Somebody who is trusted has signed it.
    Signed,
    /// The trust policy does not ask who has.
    Ignored,
}

impl Trusted {
    /// What identifies keys and roots, as Flux writes it to the status. Names of Secrets and entries do not count.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

/// What all kinds share. One for the process.
pub struct Signatures {
    public_root: Arc<PublicRoot>,
}

impl Signatures {
    /// The public root is had as `environment` says.
    pub fn new(environment: &Environment) -> Signatures {
        Signatures { public_root: Arc::new(PublicRoot::new(environment)) }
    }

    /// Reads whom a spec trusts for a repository.
    ///
    /// # Errors
    /// When a Secret cannot be read.
    pub async fn trusted(
        &self,
        wanted: Wanted<'_>,
        repository: &Repository,
        secrets: &Secrets,
    ) -> Result<Trusted, TrustError> {
        match wanted.provider {
            VerificationProvider::Cosign => {
                let means = cosign::Means::read(wanted, secrets).await?;
                Ok(Trusted { fingerprint: means.fingerprint(), means: Means::Cosign(Arc::new(means)) })
            }
            VerificationProvider::Notation => {
                let reference = wanted.secret.ok_or_else(|| TrustError::NoSecret(repository.clone()))?;
                let secret = secrets.get(&reference.name).await?;
                let trust = notation::Trust::of(&secrets.full_name(&reference.name), &secret)?;
                let fingerprint = trust.fingerprint().to_owned();
                Ok(Trusted { fingerprint, means: Means::Notation(Arc::new(trust)) })
            }
            VerificationProvider::Unknown => Err(TrustError::Provider),
        }
    }

    /// Whether somebody who is trusted has signed the manifest with this digest.
    ///
    /// # Errors
    /// When no signature is good, with what is wrong with each; one that cannot be fetched is not good either.
    pub async fn verify(
        &self,
        session: &mut Session<'_>,
        (repository, digest): (&Repository, &Digest),
        trusted: &Trusted,
        deadline: &Deadline,
    ) -> Result<Verdict, VerifyError> {
        let fetch = Fetch { session, repository, digest, deadline };
        match &trusted.means {
            Means::Cosign(means) => {
                let trust = means.trust(&self.public_root, deadline).await?;
                cosign::verify(fetch, means, trust).await.map(|()| Verdict::Signed)
            }
            Means::Notation(trust) => Ok(notation::verify(fetch, trust).await.map_err(Box::new)?),
        }
    }
}

/// What a technology is called in messages.
pub fn provider_name(wanted: Wanted<'_>) -> &'static str {
    match wanted.provider {
        VerificationProvider::Cosign if wanted.secret.is_none() => "cosign keyless",
        VerificationProvider::Cosign => "cosign",
        VerificationProvider::Notation => "notation",
        VerificationProvider::Unknown => "unknown",
    }
}

/// The text of a failed verification.
pub fn failed(wanted: Wanted<'_>, error: &dyn std::fmt::Display) -> String {
    format!("failed to verify the signature using provider '{}': {error}", provider_name(wanted))
}

/// The field that asks for a technology that is not supported yet.
pub fn unsupported(provider: VerificationProvider) -> Option<&'static str> {
    match provider {
        VerificationProvider::Cosign | VerificationProvider::Notation => None,
        VerificationProvider::Unknown => Some("spec.verify.provider"),
    }
}

/// What identifies what signatures of a provider are judged by: parts with their names, in this order.
fn fingerprint<'a>(provider: &'a str, parts: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> String {
    let mut digest = Hasher::new(Algorithm::Sha256);
    for (name, value) in std::iter::once(("provider", provider.as_bytes())).chain(parts) {
        [name.as_bytes(), b":", value, b"\0"].iter().for_each(|part| digest.update(part));
    }
    digest.finish().to_string()
}

#[cfg(test)]
pub(crate) mod tests;
