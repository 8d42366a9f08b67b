//! Makes built objects into the objects that are applied.

use std::collections::BTreeMap;

use crate::object::Manifest;

/// The Kustomization that owns the objects.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Labels and annotations set on every object, over everything else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommonMetadata {
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

/// An object that must not be applied as it is.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PrepareError {
    /// A Secret that is still encrypted.
    #[error("{0} is SOPS encrypted, configuring decryption is required for this secret to be reconciled")]
    Encrypted(String),
}

/// Normalises the objects and marks them as owned.
///
/// # Errors
/// For the first object that must not be applied.
pub fn prepare(
    _manifests: Vec<Manifest>,
    _owner: &Owner,
    _common: &CommonMetadata,
) -> Result<Vec<Manifest>, PrepareError> {
    todo!()
}
