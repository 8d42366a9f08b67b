//! Signatures by cosign: where its keys and roots are, and where its signatures. See the crate `cosign` for what makes one good.
//!
//! Both places of signatures are looked at, whatever the first one holds: with Flux, any bundle, such as a provenance by somebody
//! else, hides the signatures of the tag.

use std::sync::Arc;

use ::cosign::{
    BUNDLE_MEDIA_TYPE_PREFIX, Bundle, BundleError, Identities, Keyless, PublicKey, SIMPLE_SIGNING_MEDIA_TYPE,
    SimpleSigning, SimpleSigningError, Trust, TrustedRoot,
};
use api::oci_repository::OidcIdentityMatch;
use k8s_openapi::api::core::v1::Secret;
use net::Deadline;
use oci::{BlobError, Descriptor, ManifestError, RequestError};
use references::Secrets;
use runtime::error::TaskError;

use super::causes::Causes;
use super::fetch::Fetch;
use super::{PublicRoot, TrustError, VerifyError, Wanted, fingerprint};

/// The entry of a Secret that holds the trusted root.
pub const TRUSTED_ROOT_KEY: &str = "trusted_root.json";
/// What the names of entries with public keys end with.
const KEY_SUFFIX: &str = ".pub";
/// The type of a configuration that says nothing (OCI image specification, "Guidelines for Artifact Usage").
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
/// Keys that one Secret may have.
const MAX_KEYS: usize = 32;
/// Signatures of one artifact that are looked at, in each of the two places.
pub const MAX_SIGNATURES: usize = 1000;
/// Bytes of a bundle, or of what is signed.
pub const SIGNATURE_BYTES: u64 = 1 << 20;

/// What signatures are judged by.
#[derive(Debug)]
pub enum Means {
    /// Public keys.
    Keys {
        /// Those that can be used.
        keys: Vec<PublicKey>,
        /// What is wrong with the others.
        faults: Causes,
        /// What identifies all of them.
        fingerprint: String,
    },
    /// Certificates of identities.
    Keyless {
        /// Whose.
        identities: Vec<OidcIdentityMatch>,
        /// The trusted root; without one, it is that of the public instance.
        root: Option<Vec<u8>>,
    },
}

impl Means {
    /// Reads what the spec names.
    ///
    /// # Errors
    /// When a Secret cannot be read, or has no trusted root.
    pub async fn read(wanted: Wanted<'_>, secrets: &Secrets) -> Result<Means, TrustError> {
        // With keys, the trusted root does not matter.
        if let Some(reference) = wanted.secret {
            let secret = secrets.get(&reference.name).await?;
            return Ok(Means::keys(&secrets.full_name(&reference.name), &secret));
        }
        let root = match wanted.trusted_root {
            Some(reference) => {
                let name = secrets.full_name(&reference.name);
                let secret = secrets.get(&reference.name).await;
                let secret =
                    secret.map_err(|source| TrustError::RootSecret { name: name.clone(), source })?;
                let root = secret.data.and_then(|mut data| data.remove(TRUSTED_ROOT_KEY));
                Some(root.ok_or(TrustError::NoRoot(name))?.0)
            }
            None => None,
        };
        Ok(Means::Keyless { identities: wanted.identities.to_vec(), root })
    }

    /// The keys of a Secret, which is called `name`. One that cannot be read does not keep others from being used.
    pub fn keys(name: &str, secret: &Secret) -> Means {
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
        let mut values: Vec<&[u8]> = entries.into_iter().map(|(_, value)| value).collect();
        values.sort_unstable();
        let fingerprint = fingerprint("cosign", values.into_iter().map(|value| ("pub", value)));
        Means::Keys { keys, faults, fingerprint }
    }

    /// What identifies them.
    pub fn fingerprint(&self) -> String {
        match self {
            Means::Keys { fingerprint, .. } => fingerprint.clone(),
            Means::Keyless { root, .. } => {
                fingerprint("cosign", root.iter().map(|root| ("trustedroot", root.as_slice())))
            }
        }
    }

    /// The same in a form to judge by.
    ///
    /// # Errors
    /// For identities that cannot be matched, and a root that is none or cannot be had.
    pub async fn trust(
        self: &Arc<Self>,
        public_root: &Arc<PublicRoot>,
        deadline: &Deadline,
    ) -> Result<Arc<Trust>, VerifyError> {
        let public = match self.as_ref() {
            Means::Keyless { root: None, .. } => Some(public_root.get(deadline).await?),
            Means::Keys { .. } | Means::Keyless { .. } => None,
        };
        let means = self.clone();
        tokio::task::spawn_blocking(move || means.prepared(public))
            .await
            .map_err(TaskError::from)?
            .map(Arc::new)
    }

    fn prepared(&self, public: Option<Arc<TrustedRoot>>) -> Result<Trust, VerifyError> {
        Ok(match self {
            Means::Keys { keys, .. } => Trust::Keys(keys.clone()),
            Means::Keyless { identities, root } => {
                let patterns =
                    identities.iter().map(|identity| (identity.issuer.as_str(), identity.subject.as_str()));
                let identities = Identities::new(patterns)?;
                let root = match public {
                    Some(root) => root,
                    None => Arc::new(TrustedRoot::parse(root.as_deref().unwrap_or_default())?),
                };
                Trust::Keyless(Keyless { root, identities })
            }
        })
    }
}

/// Whether a signature of an artifact is good.
///
/// # Errors
/// When none is.
pub(super) async fn verify(
    fetch: Fetch<'_, '_>,
    means: &Means,
    trust: Arc<Trust>,
) -> Result<(), VerifyError> {
    let causes = match means {
        Means::Keys { faults, .. } => faults.clone(),
        Means::Keyless { .. } => Causes::default(),
    };
    let nobody = matches!(means, Means::Keys { keys, .. } if keys.is_empty());
    let reference = fetch.repository.digest(fetch.digest.clone());
    let mut search = Search { fetch, trust, causes };
    if !nobody && (search.bundles().await || search.simple_signings().await) {
        return Ok(());
    }
    let causes = search.causes;
    Err(match means {
        Means::Keys { .. } => VerifyError::Keys { reference: Box::new(reference), causes },
        Means::Keyless { .. } if causes.is_empty() => VerifyError::None,
        Means::Keyless { .. } => VerifyError::NoMatch(causes),
    })
}

/// Why one signature is not good.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error(transparent)]
    SimpleSigning(#[from] SimpleSigningError),
    #[error("more than {MAX_SIGNATURES} signatures")]
    TooMany,
    #[error(transparent)]
    Task(#[from] TaskError),
}

struct Search<'a, 's> {
    fetch: Fetch<'a, 's>,
    trust: Arc<Trust>,
    causes: Causes,
}

impl Search<'_, '_> {
    /// Whether a bundle that refers to the manifest is good.
    async fn bundles(&mut self) -> bool {
        let referrers = match self.fetch.referrers().await {
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
            if self.fetch.deadline.remaining().is_zero() {
                return false;
            }
        }
        false
    }

    /// Whether a referrer is a bundle, and a good one.
    async fn bundle(&mut self, referrer: &Descriptor) -> Result<bool, Fault> {
        let manifest = self.fetch.manifest(&referrer.digest).await?;
        let [layer] = manifest.layers.as_slice() else { return Ok(false) };
        if !layer.media_type.starts_with(BUNDLE_MEDIA_TYPE_PREFIX) {
            return Ok(false);
        }
        let bytes = self.fetch.blob(layer, SIGNATURE_BYTES).await?;
        let (trust, hex) = (self.trust.clone(), self.fetch.digest.hex().to_owned());
        let judged = tokio::task::spawn_blocking(move || match Bundle::parse(&bytes)? {
            Some(bundle) => bundle.verify(&hex, &trust).map(|()| true),
            None => Ok(false),
        });
        Ok(judged.await.map_err(TaskError::from)??)
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
            if self.fetch.deadline.remaining().is_zero() {
                return false;
            }
        }
        false
    }

    async fn signature_layers(&mut self) -> Result<Vec<Descriptor>, Fault> {
        let name = format!("sha256-{}.sig", self.fetch.digest.hex());
        // The hash has no character that a tag must not have.
        let Ok(tag) = self.fetch.repository.tag(&name) else { return Ok(Vec::new()) };
        let found = match self.fetch.resolve(&tag).await {
            Err(error) if is_missing(&error) => return Ok(Vec::new()),
            found => found?.digest,
        };
        let mut layers = self.fetch.manifest(&found).await?.layers;
        layers.retain(|layer| layer.media_type == SIMPLE_SIGNING_MEDIA_TYPE);
        if layers.len() > MAX_SIGNATURES { Err(Fault::TooMany) } else { Ok(layers) }
    }

    async fn simple_signing(&mut self, layer: &Descriptor) -> Result<(), Fault> {
        let (trust, digest) = (self.trust.clone(), self.fetch.digest.to_string());
        let payload = self.fetch.blob(layer, SIGNATURE_BYTES).await?;
        let annotations = layer.annotations.clone();
        let judged = tokio::task::spawn_blocking(move || {
            SimpleSigning { payload: &payload, annotations: &annotations }.verify(&digest, &trust)
        });
        Ok(judged.await.map_err(TaskError::from)??)
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
