//! Signatures of artifacts in registries, for all kinds that pull some: found, fetched and judged. See the crate `cosign` for what
//! makes one good.
//!
//! Both places are looked at, whatever the first one holds: with Flux, any bundle, such as a provenance by somebody else, hides the
//! signatures of the tag.

use std::fmt::{self, Display};
use std::sync::Arc;

use artifact::digest::{Algorithm, Hasher};
use cosign::{
    BUNDLE_MEDIA_TYPE_PREFIX, Bundle, PublicKey, SIGNATURE_ANNOTATION, SIMPLE_SIGNING_MEDIA_TYPE,
    SimpleSigning,
};
use k8s_openapi::api::core::v1::Secret;
use net::Deadline;
use oci::{
    BlobError, Client, Descriptor, Digest, Manifest, ManifestError, Reference, ReferrersError, Repository,
    RequestError,
};

use crate::registry::Session;

/// What the names of entries with public keys end with.
const KEY_SUFFIX: &str = ".pub";
/// The type of a configuration that says nothing (OCI image specification, "Guidelines for Artifact Usage").
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
/// Keys that one Secret may have.
const MAX_KEYS: usize = 32;
/// Signatures of one artifact that are looked at, in each of the two places.
const MAX_SIGNATURES: usize = 1000;
/// Bytes of a bundle, or of what is signed.
const SIGNATURE_BYTES: u64 = 1 << 20;
/// Causes that an error tells.
const SHOWN_CAUSES: usize = 5;
/// Characters of each.
const SHOWN_CAUSE_CHARS: usize = 300;

/// The public keys of a Secret.
#[derive(Debug)]
pub struct Keys {
    keys: Vec<PublicKey>,
    /// What is wrong with the others.
    faults: Causes,
    fingerprint: String,
}

/// No signature is good.
#[derive(Debug, thiserror::Error)]
#[error("no matching signatures were found for '{reference}': {causes}")]
pub struct NoSignature {
    reference: Reference,
    causes: Causes,
}

/// Why, each cause once, and no more of them than can be read.
#[derive(Clone, Debug, Default)]
struct Causes {
    shown: Vec<String>,
    others: usize,
}

impl Causes {
    fn add(&mut self, cause: impl Display) {
        let cause: String = cause.to_string().chars().take(SHOWN_CAUSE_CHARS).collect();
        if self.shown.contains(&cause) {
            return;
        }
        if self.shown.len() < SHOWN_CAUSES {
            self.shown.push(cause);
        } else {
            self.others += 1;
        }
    }
}

impl Display for Causes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.shown.is_empty() {
            return f.write_str("no signatures found");
        }
        f.write_str(&self.shown.join("; "))?;
        if self.others > 0 { write!(f, "; and {} more", self.others) } else { Ok(()) }
    }
}

impl Keys {
    /// The keys of a Secret, which is called `name`. One that cannot be read does not keep others from being used.
    pub fn of(name: &str, secret: &Secret) -> Keys {
        let entries = secret.data.iter().flatten().filter(|(entry, _)| entry.ends_with(KEY_SUFFIX));
        let entries: Vec<(&str, &[u8])> =
            entries.map(|(entry, value)| (entry.as_str(), value.0.as_slice())).collect();
        let (mut keys, mut faults) = (Vec::new(), Causes::default());
        for (entry, value) in entries.iter().take(MAX_KEYS) {
            match PublicKey::from_pem(value) {
                Ok(key) => keys.push(key),
                Err(error) => faults.add(format_args!("key '{entry}' of secret '{name}': {error}")),
            }
        }
        if entries.is_empty() {
            faults.add(format_args!("no public keys found in secret '{name}'"));
        } else if entries.len() > MAX_KEYS {
            faults.add(format_args!("only the first {MAX_KEYS} keys of secret '{name}' are used"));
        }
        let fingerprint = fingerprint(entries.into_iter().map(|(_, value)| value).collect());
        Keys { keys, faults, fingerprint }
    }

    /// What identifies them, as Flux writes it to the status. Names of entries do not count.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

fn fingerprint(mut values: Vec<&[u8]>) -> String {
    values.sort_unstable();
    let mut digest = Hasher::new(Algorithm::Sha256);
    digest.update(b"provider:cosign\0");
    for value in values {
        [b"pub:", value, b"\0"].iter().for_each(|part| digest.update(part));
    }
    digest.finish().to_string()
}

/// Whether one of the keys has signed the manifest with this digest.
///
/// # Errors
/// When no signature is good, with what is wrong with each; one that cannot be fetched is not good either.
pub async fn verify(
    session: &mut Session<'_>,
    repository: &Repository,
    digest: &Digest,
    keys: &Arc<Keys>,
    deadline: &Deadline,
) -> Result<(), NoSignature> {
    let causes = keys.faults.clone();
    let mut search = Search { session, repository, digest, keys, deadline, causes };
    if !keys.keys.is_empty() && (search.bundles().await || search.simple_signings().await) {
        return Ok(());
    }
    Err(NoSignature { reference: repository.digest(digest.clone()), causes: search.causes })
}

/// Why one signature is not good.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    Bundle(#[from] cosign::BundleError),
    #[error(transparent)]
    SimpleSigning(#[from] cosign::SimpleSigningError),
    #[error("a signature lacks the annotation {SIGNATURE_ANNOTATION}")]
    Annotation,
    #[error("more than {MAX_SIGNATURES} signatures")]
    TooMany,
    #[error(transparent)]
    Task(#[from] tokio::task::JoinError),
}

struct Search<'a, 's> {
    session: &'a mut Session<'s>,
    repository: &'a Repository,
    digest: &'a Digest,
    keys: &'a Arc<Keys>,
    deadline: &'a Deadline,
    causes: Causes,
}

impl Search<'_, '_> {
    /// Whether a bundle that refers to the manifest is good.
    async fn bundles(&mut self) -> bool {
        let Search { repository, digest, deadline, .. } = *self;
        let ask = |client: Client| async move { client.referrers(repository, digest, deadline).await };
        let referrers = match self.session.ask(deadline, ReferrersError::request, ask).await {
            Ok(referrers) => referrers,
            Err(error) => {
                self.causes.add(error);
                return false;
            }
        };
        for referrer in referrers.iter().filter(|referrer| may_be_bundle(referrer)).take(MAX_SIGNATURES) {
            match self.bundle(referrer).await {
                Ok(true) => return true,
                Ok(false) => {}
                Err(fault) => self.causes.add(fault),
            }
            if deadline.remaining().is_zero() {
                return false;
            }
        }
        false
    }

    /// Whether a referrer is a bundle, and a good one.
    async fn bundle(&mut self, referrer: &Descriptor) -> Result<bool, Fault> {
        let manifest = self.manifest(&referrer.digest).await?;
        let [layer] = manifest.layers.as_slice() else { return Ok(false) };
        if !layer.media_type.starts_with(BUNDLE_MEDIA_TYPE_PREFIX) {
            return Ok(false);
        }
        let (bytes, keys, hex) = (self.blob(layer).await?, self.keys.clone(), self.digest.hex().to_owned());
        let judged = tokio::task::spawn_blocking(move || match Bundle::parse(&bytes)? {
            Some(bundle) => bundle.verify(&hex, &keys.keys).map(|()| true),
            None => Ok(false),
        });
        Ok(judged.await??)
    }

    /// Whether a layer of the tag for signatures is good.
    async fn simple_signings(&mut self) -> bool {
        let layers = match self.signature_layers().await {
            Ok(layers) => layers,
            Err(fault) => {
                self.causes.add(fault);
                return false;
            }
        };
        for layer in &layers {
            match self.simple_signing(layer).await {
                Ok(()) => return true,
                Err(fault) => self.causes.add(fault),
            }
            if self.deadline.remaining().is_zero() {
                return false;
            }
        }
        false
    }

    async fn signature_layers(&mut self) -> Result<Vec<Descriptor>, Fault> {
        let name = format!("sha256-{}.sig", self.digest.hex());
        // The hash has no character that a tag must not have.
        let Ok(tag) = self.repository.tag(&name) else { return Ok(Vec::new()) };
        let (tag, deadline) = (&tag, self.deadline);
        let ask = |client: Client| async move { client.resolve(tag, deadline).await };
        let found = match self.session.ask(deadline, ManifestError::request, ask).await {
            Err(error) if is_missing(&error) => return Ok(Vec::new()),
            found => found?.digest,
        };
        let mut layers = self.manifest(&found).await?.layers;
        layers.retain(|layer| layer.media_type == SIMPLE_SIGNING_MEDIA_TYPE);
        if layers.len() > MAX_SIGNATURES { Err(Fault::TooMany) } else { Ok(layers) }
    }

    async fn simple_signing(&mut self, layer: &Descriptor) -> Result<(), Fault> {
        let signature = layer.annotations.get(SIGNATURE_ANNOTATION).ok_or(Fault::Annotation)?.clone();
        let (payload, keys, digest) = (self.blob(layer).await?, self.keys.clone(), self.digest.to_string());
        let judged = tokio::task::spawn_blocking(move || {
            SimpleSigning { payload: &payload, signature: &signature }.verify(&digest, &keys.keys)
        });
        Ok(judged.await??)
    }

    async fn manifest(&mut self, digest: &Digest) -> Result<Manifest, ManifestError> {
        let Search { repository, deadline, .. } = *self;
        let ask = |client: Client| async move { client.manifest(repository, digest, deadline).await };
        self.session.ask(deadline, ManifestError::request, ask).await
    }

    async fn blob(&mut self, layer: &Descriptor) -> Result<Vec<u8>, BlobError> {
        let Search { repository, deadline, .. } = *self;
        let ask = |client: Client| async move {
            client.small_blob(repository, layer, SIGNATURE_BYTES, deadline).await
        };
        self.session.ask(deadline, BlobError::request, ask).await
    }
}

/// Whether a referrer may be a bundle: its type says so, or nothing. Some registries take the type of the configuration for it.
fn may_be_bundle(referrer: &Descriptor) -> bool {
    let kind = referrer.artifact_type.as_deref().unwrap_or_default();
    matches!(kind, "" | EMPTY_TYPE) || kind.starts_with(BUNDLE_MEDIA_TYPE_PREFIX)
}

fn is_missing(error: &ManifestError) -> bool {
    error.request().and_then(RequestError::status).is_some_and(|error| error.status.as_u16() == 404)
}

#[cfg(test)]
mod tests;
