//! From the fetched artifact to objects, or to the knowledge that they would be those of the last run.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    sync::{Arc, LazyLock},
    time::Duration,
};

use api::{
    Kustomization,
    duration::go_duration_string,
    kustomization::{BuildMetadataOption, SubstituteStrategy},
};
use apply::{object::ObjectId, prepare::CommonMetadata};
use kustomize::{flux::Overlay, tree::Trace};
use references::SharedReads;
use runtime::error::TaskError;

use crate::{
    decryption::{Decryption, Keys, KeysError},
    render::RenderError,
    variables::{self, Loaded, VariablesError},
};

/// What the objects of a run were built from, beside the spec.
#[derive(Clone)]
pub(crate) struct BuildInputs {
    /// Digest of the artifact.
    pub artifact: String,
    /// What the build read of the artifact.
    pub trace: Arc<Trace>,
    /// Hash of the variables and keys.
    pub values: u64,
    /// Digest of the built objects.
    pub digest: String,
    /// Jobs among them that remove themselves when they are done.
    pub vanishing: HashSet<ObjectId>,
    /// Whether the build needed more than one gets at first.
    pub is_large: bool,
}

/// Why there are no objects.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    /// The variables cannot be had.
    #[error(transparent)]
    Variables(#[from] VariablesError),
    /// The keys of what is encrypted cannot be had.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// What the author wrote cannot be built.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The build engine panicked.
    #[error("recovered from kustomize build panic: {0}")]
    Panic(#[source] TaskError),
    /// Other builds left no memory.
    #[error("no kustomize build could begin within {}", go_duration_string(*.0))]
    Busy(Duration),
    /// The build took too long.
    #[error("kustomize build did not finish within {}", go_duration_string(*.0))]
    Timeout(Duration),
}

/// What a build reads of the cluster.
#[derive(Debug, Default)]
pub(crate) struct Values {
    /// Variables of the post-build substitution, if there is one.
    pub variables: Option<Loaded>,
    /// Keys of what is encrypted, if anything may be.
    pub keys: Option<Keys>,
}

/// Only compared within this process, so nobody can look for values of equal hash.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

impl Values {
    /// Reads them.
    ///
    /// # Errors
    /// When something that the spec names cannot be read.
    pub async fn load(
        reads: &SharedReads,
        decryption: &Decryption,
        object: &Kustomization,
    ) -> Result<Self, BuildError> {
        let variables = async { load_variables(reads, object).await.map_err(BuildError::from) };
        let keys = async { decryption.keys(object).await.map_err(BuildError::from) };
        let (variables, keys) = tokio::try_join!(variables, keys)?;
        Ok(Self { variables, keys })
    }

    /// Tells values apart without keeping them.
    pub fn hash(&self) -> u64 {
        HASHER.hash_one((self.variables.as_ref().map(|loaded| &loaded.variables), &self.keys))
    }
}

/// The variables of the post-build substitution, if there is one.
async fn load_variables(
    reads: &SharedReads,
    object: &Kustomization,
) -> Result<Option<Loaded>, VariablesError> {
    let Some(post_build) = &object.spec.post_build else { return Ok(None) };
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    let loaded = variables::load(reads, namespace, post_build).await?;
    let always = post_build.substitute_strategy == Some(SubstituteStrategy::Always);
    Ok(Some(loaded).filter(|loaded| always || !loaded.variables.is_empty()))
}

/// The fields of the spec that go into the root kustomization file.
pub(crate) fn overlay(object: &Kustomization) -> Overlay {
    let spec = &object.spec;
    let metadata = spec.build_metadata.iter().filter_map(|option| match option {
        BuildMetadataOption::OriginAnnotations => Some("originAnnotations".to_owned()),
        BuildMetadataOption::TransformerAnnotations => Some("transformerAnnotations".to_owned()),
        BuildMetadataOption::Unknown => None,
    });
    Overlay {
        patches: overlay::patches(&spec.patches),
        images: overlay::images(&spec.images),
        target_namespace: spec.target_namespace.clone(),
        name_prefix: spec.name_prefix.clone(),
        name_suffix: spec.name_suffix.clone(),
        components: spec.components.clone(),
        ignore_missing_components: spec.ignore_missing_components,
        build_metadata: metadata.collect(),
    }
}

pub(crate) fn common(object: &Kustomization) -> CommonMetadata {
    let common = object.spec.common_metadata.clone().unwrap_or_default();
    CommonMetadata { labels: common.labels, annotations: common.annotations }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_told_apart_by_name_and_value() {
        let loaded = |pairs: &[(&str, &str)]| Loaded {
            variables: substitute::Variables::new(pairs.iter().copied()).unwrap(),
            secrets: Default::default(),
        };
        let hash = |variables| Values { variables, keys: None }.hash();
        let with = |pairs: &[(&str, &str)]| hash(Some(loaded(pairs)));
        assert_eq!(with(&[("a", "1"), ("b", "2")]), with(&[("b", "2"), ("a", "1")]));
        let others = [with(&[]), with(&[("a", "2")]), with(&[("b", "1")]), hash(None)];
        assert!(others.iter().all(|other| *other != with(&[("a", "1")])));
    }
}
