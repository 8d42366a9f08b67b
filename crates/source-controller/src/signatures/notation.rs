//! Signatures by Notation: where the trust policy is, and where the signatures. See the crate `notation` for what makes one good.

use std::sync::Arc;

use ::notation::{
    ARTIFACT_TYPE, Document, MAX_ENVELOPE_BYTES, Outcome, PolicyError, ScopeError, Target, TrustStore,
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use oci::{BlobError, Descriptor, ManifestError, Reference, ReferrersError, Resolved};
use runtime::error::TaskError;

use super::causes::SHOWN_CAUSE_CHARS;
use super::fetch::Fetch;
use super::{Verdict, fingerprint};

/// The entry of a Secret that holds the trust policy.
const POLICY_KEY: &str = "trustpolicy.json";
/// What the names of entries with certificates end with.
const CERTIFICATE_SUFFIXES: [&str; 2] = [".crt", ".pem"];
/// Signatures of one artifact that are judged.
const MAX_SIGNATURES: usize = 3;

/// Why a Secret does not tell whom to trust. The texts are Flux's.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// There is no policy in it.
    #[error("'{POLICY_KEY}' not found in secret '{0}'")]
    NoPolicy(String),
    /// The policy cannot be read.
    #[error("error occurred while parsing {POLICY_KEY}: {0}")]
    Syntax(PolicyError),
    /// There are no certificates in it.
    #[error("no certificates found in secret '{0}'")]
    NoCertificates(String),
    /// The policy is not valid.
    #[error(transparent)]
    Policy(PolicyError),
}

/// Why no signature counts. The texts are notation-go's.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The policy says nothing of the repository.
    #[error(transparent)]
    Scope(#[from] ScopeError),
    /// The artifact cannot be found.
    #[error(transparent)]
    Artifact(#[from] ManifestError),
    /// Its signatures cannot be listed.
    #[error(transparent)]
    Referrers(#[from] ReferrersError),
    /// There are none.
    #[error("no signature is associated with \"{0}\", make sure the artifact was signed successfully")]
    None(Reference),
    /// None of them is good.
    #[error("signature verification failed{0}")]
    Failed(Lines),
    /// None of the first ones is good.
    #[error(
        "signature evaluation stopped. The configured limit of {MAX_SIGNATURES} signatures to verify per artifact exceeded{0}"
    )]
    TooMany(Lines),
}

/// What is wrong with each signature, a line each.
#[derive(Debug, Default)]
pub struct Lines(Vec<String>);

impl std::fmt::Display for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|line| write!(f, "\n{line}"))
    }
}

/// A trust policy, and the certificates that it trusts.
#[derive(Debug)]
pub struct Trust {
    policy: Document,
    store: TrustStore,
    fingerprint: String,
}

impl Trust {
    /// What a Secret says, which is called `name`.
    ///
    /// # Errors
    /// When something is missing, or the policy is none.
    pub fn of(name: &str, secret: &Secret) -> Result<Trust, TrustError> {
        let entry = |wanted: &str| secret.data.as_ref().and_then(|data| data.get(wanted));
        let json = &entry(POLICY_KEY).ok_or_else(|| TrustError::NoPolicy(name.to_owned()))?.0;
        let policy = Document::parse(json);
        if let Err(error @ (PolicyError::Json { .. } | PolicyError::Type { .. })) = policy {
            return Err(TrustError::Syntax(error));
        }
        let is_certificate = |entry: &str| CERTIFICATE_SUFFIXES.iter().any(|suffix| entry.ends_with(suffix));
        let entries = secret.data.iter().flatten().filter(|(entry, _)| is_certificate(entry));
        let mut certificates: Vec<&[u8]> = entries.map(|(_, value)| value.0.as_slice()).collect();
        if certificates.is_empty() {
            return Err(TrustError::NoCertificates(name.to_owned()));
        }
        let policy = policy.map_err(TrustError::Policy)?;
        for statement in policy.needless() {
            tracing::warn!(
                "trust policy statement '{statement}' is set to skip signature verification but configured with trust stores \
                 and/or trusted identities. Ignoring trust stores and trusted identities"
            );
        }
        let store = TrustStore::new(certificates.iter().copied());
        certificates.sort_unstable();
        let certificates = certificates.into_iter().map(|certificate| ("cert", certificate));
        let parts = std::iter::once(("trustpolicy", json.as_slice())).chain(certificates);
        let fingerprint = fingerprint("notation", parts);
        Ok(Trust { policy, store, fingerprint })
    }

    /// What identifies policy and certificates, as Flux writes it to the status. Names of entries do not count.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Judges one signature of an artifact.
    fn judge(&self, artifact: &Artifact, media_type: &str, envelope: &[u8]) -> Result<Outcome, Fault> {
        let statement = self.policy.statement(&artifact.repository, &artifact.reference)?;
        let digest = artifact.resolved.digest.to_string();
        let Resolved { media_type: kind, size, .. } = &artifact.resolved;
        let target = Target { media_type: kind, digest: &digest, size: *size };
        Ok(::notation::verify(statement, &self.store, media_type, envelope, &target, Timestamp::now())?)
    }
}

/// What had to be signed.
struct Artifact {
    /// `host/name`.
    repository: String,
    /// The same with the digest.
    reference: String,
    resolved: Resolved,
}

/// Why one signature is not good.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("signature manifest requries exactly one signature envelope blob, got {0}")]
    Layers(usize),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    Scope(#[from] ScopeError),
    #[error(transparent)]
    Verify(#[from] ::notation::VerifyError),
    #[error(transparent)]
    Task(#[from] TaskError),
}

/// Whether an artifact is signed as the policy wants it.
///
/// # Errors
/// When no signature is good, with what is wrong with each; one that cannot be fetched is not good either.
pub(super) async fn verify(mut fetch: Fetch<'_, '_>, trust: &Arc<Trust>) -> Result<Verdict, VerifyError> {
    let reference = fetch.repository.digest(fetch.digest.clone());
    let (repository_name, reference_name) = (fetch.repository.to_string(), reference.to_string());
    if trust.policy.statement(&repository_name, &reference_name)?.level().skips_all() {
        return Ok(Verdict::Ignored);
    }
    let resolved = fetch.resolve(&reference).await?;
    let artifact = Arc::new(Artifact { repository: repository_name, reference: reference_name, resolved });
    let mut signatures = fetch.referrers().await?;
    signatures.retain(|referrer| referrer.artifact_type.as_deref() == Some(ARTIFACT_TYPE));
    if signatures.is_empty() {
        return Err(VerifyError::None(reference));
    }
    let mut lines = Vec::new();
    for signature in signatures.iter().take(MAX_SIGNATURES) {
        match judged(&mut fetch, signature, trust, &artifact).await {
            Ok(outcome) => return Ok(verdict(&artifact, &outcome)),
            Err(fault) => {
                let line = format!("failed to verify signature with digest {}, {fault}", signature.digest);
                lines.push(line.chars().take(SHOWN_CAUSE_CHARS).collect());
            }
        }
        if fetch.deadline.remaining().is_zero() {
            break;
        }
    }
    let is_stopped = lines.len() >= MAX_SIGNATURES;
    let lines = Lines(lines);
    Err(if is_stopped { VerifyError::TooMany(lines) } else { VerifyError::Failed(lines) })
}

/// Fetches a signature and judges it.
async fn judged(
    fetch: &mut Fetch<'_, '_>,
    signature: &Descriptor,
    trust: &Arc<Trust>,
    artifact: &Arc<Artifact>,
) -> Result<Outcome, Fault> {
    let manifest = fetch.manifest(&signature.digest).await?;
    let [layer] = manifest.layers.as_slice() else { return Err(Fault::Layers(manifest.layers.len())) };
    let (envelope, media_type) = (fetch.blob(layer, MAX_ENVELOPE_BYTES).await?, layer.media_type.clone());
    let (trust, artifact) = (trust.clone(), artifact.clone());
    tokio::task::spawn_blocking(move || trust.judge(&artifact, &media_type, &envelope))
        .await
        .map_err(TaskError::from)?
}

fn verdict(artifact: &Artifact, outcome: &Outcome) -> Verdict {
    for (check, error) in outcome.failures() {
        let reference = &artifact.reference;
        tracing::info!(
            "verification check for type '{check}' failed for '{reference}' with message: '{error}'"
        );
    }
    if outcome.is_authentic() { Verdict::Signed } else { Verdict::Ignored }
}

#[cfg(test)]
mod tests;
