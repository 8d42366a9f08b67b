//! The keys that a Kustomization may use, as they were read.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use identity::Identity;
use references::{GetError, SecretData};

use super::clouds::Clouds;

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// There is no Secret of the name, in the API server's words.
    #[error(transparent)]
    NotFound(GetError),
    /// The Secret cannot be read.
    #[error("cannot get sops decryption Secret '{name}': {source}")]
    Secret {
        /// `<namespace>/<name>`.
        name: String,
        /// What the API server says.
        source: GetError,
    },
    /// The Secret of `--sops-age-secret` cannot be read.
    #[error("cannot get sops SOPS age decryption Secret (--sops-age-secret): {0}")]
    Shared(GetError),
    /// There is no such service account, or it cannot be read.
    #[error("failed to get decryption service account '{name}': {source}")]
    Account {
        /// `<namespace>/<name>`.
        name: String,
        /// What the API server says.
        source: GetError,
    },
    /// The annotations of the service account do not go together.
    #[error("failed to build decryption spec: {0}")]
    Identity(String),
}

/// The Secret that the keys are in.
#[derive(Debug)]
pub(super) enum Source {
    /// There is none.
    None,
    /// The Kustomization names it.
    Own(SecretData),
    /// `--sops-age-secret` names it: only age identities count.
    Shared(SecretData),
}

/// What was read of the keys of one Kustomization; see [`super::KeyRing`] for what is made of it.
pub struct Keys {
    /// Namespace and name of the Kustomization.
    pub(super) object: (String, String),
    pub(super) source: Source,
    /// Whose identity key services see.
    pub(super) identity: Identity,
    pub(super) clouds: Option<Arc<Clouds>>,
}

/// Suffix of entries with age identities.
pub(super) const AGE: &str = ".agekey";
/// Suffix of entries with OpenPGP keys.
pub(super) const PGP: &str = ".asc";

/// What an entry of the Secret is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// Age identities.
    Age,
    /// An armoured OpenPGP keyring.
    Pgp,
    /// The token of a Vault.
    VaultToken,
    /// Credentials of AWS.
    Aws,
    /// Credentials of Azure.
    Azure,
    /// Credentials of Google Cloud.
    Gcp,
}

impl Entry {
    fn of(name: &str) -> Option<Entry> {
        Some(match name {
            "sops.vault-token" => Entry::VaultToken,
            "sops.aws-kms" => Entry::Aws,
            "sops.azure-kv" => Entry::Azure,
            "sops.gcp-kms" => Entry::Gcp,
            name if name.ends_with(AGE) => Entry::Age,
            name if name.ends_with(PGP) => Entry::Pgp,
            _ => return None,
        })
    }
}

impl Keys {
    /// The Secret in the words of messages.
    pub(super) fn secret(&self) -> String {
        match &self.source {
            Source::None => String::new(),
            Source::Own(data) => format!("decryption Secret '{}'", data.name()),
            Source::Shared(_) => "SOPS age decryption Secret (--sops-age-secret)".to_owned(),
        }
    }

    /// What the Secret holds of use: kind, name and value.
    pub(super) fn entries(&self) -> impl Iterator<Item = (Entry, &str, &[u8])> {
        let (data, shared) = match &self.source {
            Source::None => (None, false),
            Source::Own(data) => (Some(data), false),
            Source::Shared(data) => (Some(data), true),
        };
        data.into_iter()
            .flat_map(|data| data.values())
            .filter_map(|(name, value)| Some((Entry::of(name)?, name.as_str(), value.0.as_slice())))
            .filter(move |(entry, ..)| !shared || *entry == Entry::Age)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Hash for Keys {
    /// Whatever decides what can be decrypted.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.entries().for_each(|(_, name, value)| (name, value).hash(state));
        self.identity.cache_key().hash(state);
    }
}
