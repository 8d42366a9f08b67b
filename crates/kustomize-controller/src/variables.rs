//! The variables of the post-build substitution.

use std::collections::BTreeMap;

use api::kustomization::{PostBuild, SubstituteReference};
use apply::mask::Mask;
use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Secret},
};
use kube::{Api, Client};
use references::{GetError, get};
use substitute::Variables;

/// Why the variables cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum VariablesError {
    /// A reference cannot be read.
    #[error("substitute from '{kind}/{name}' error: {source}")]
    Reference {
        /// Kind as the spec names it.
        kind: String,
        /// Name as the spec names it.
        name: String,
        /// Why.
        source: ReferenceError,
    },
    /// A name or value is none that can be substituted.
    #[error(transparent)]
    Invalid(#[from] substitute::Error),
}

/// Why a reference cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// It is of no kind that holds variables.
    #[error("kind '{0}' is neither ConfigMap nor Secret")]
    Kind(String),
    /// It cannot be had.
    #[error(transparent)]
    Get(#[from] GetError),
}

/// Variables, and those of their values that are secret.
#[derive(Debug)]
pub struct Loaded {
    /// The variables.
    pub variables: Variables,
    /// The values that come from Secrets. No message about objects shows them.
    pub secrets: Mask,
}

/// Reads the referenced ConfigMaps and Secrets with the controller's own identity, each once. Later references win
/// over earlier ones and inline variables over all.
///
/// # Errors
/// See [`VariablesError`].
pub async fn load(
    client: &Client,
    namespace: &str,
    post_build: &PostBuild,
) -> Result<Loaded, VariablesError> {
    let (mut variables, mut secrets) = (BTreeMap::new(), Vec::new());
    for reference in &post_build.substitute_from {
        let data = read(client, namespace, reference).await.map_err(|source| {
            let (kind, name) = (reference.kind.clone(), reference.name.clone());
            VariablesError::Reference { kind, name, source }
        })?;
        if reference.kind == "Secret" {
            secrets.extend(data.values().cloned());
        }
        variables.extend(data);
    }
    variables.extend(post_build.substitute.iter().map(|(k, v)| (k.clone(), v.clone().into_bytes())));
    Ok(Loaded { variables: Variables::new(variables)?, secrets: Mask::new(secrets) })
}

async fn read(
    client: &Client,
    namespace: &str,
    reference: &SubstituteReference,
) -> Result<BTreeMap<String, Vec<u8>>, ReferenceError> {
    let result = match reference.kind.as_str() {
        "ConfigMap" => {
            let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
            let bytes = |(key, value): (String, String)| (key, value.into_bytes());
            let found = get(&api, &reference.name).await;
            found.map(|object| object.data.unwrap_or_default().into_iter().map(bytes).collect())
        }
        "Secret" => {
            let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
            let bytes = |(key, value): (String, ByteString)| (key, value.0);
            let found = get(&api, &reference.name).await;
            found.map(|object| object.data.unwrap_or_default().into_iter().map(bytes).collect())
        }
        other => return Err(ReferenceError::Kind(other.to_owned())),
    };
    match result {
        Err(error) if error.is_not_found() && reference.optional => Ok(BTreeMap::new()),
        other => Ok(other?),
    }
}
