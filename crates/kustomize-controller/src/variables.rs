//! The variables of the post-build substitution.

use std::collections::BTreeMap;

use api::kustomization::{PostBuild, SubstituteReference};
use apply::mask::Mask;
use futures::{FutureExt, StreamExt, stream};
use references::{Entries, GetError, Kind, SharedReads};
use runtime::controller::due_since;
use substitute::Variables;

/// References of one Kustomization that are read at once.
const READS_AT_ONCE: usize = 8;

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
    reads: &SharedReads,
    namespace: &str,
    post_build: &PostBuild,
) -> Result<Loaded, VariablesError> {
    let (mut variables, mut secrets) = (BTreeMap::new(), Vec::new());
    let reading = post_build.substitute_from.iter().map(|reference| {
        let read = read(reads, namespace, reference);
        read.map(move |data| (reference, data)).boxed()
    });
    let mut reading = stream::iter(reading.collect::<Vec<_>>()).buffered(READS_AT_ONCE);
    while let Some((reference, data)) = reading.next().await {
        let data = data.map_err(|source| {
            let (kind, name) = (reference.kind.clone(), reference.name.clone());
            VariablesError::Reference { kind, name, source }
        })?;
        if reference.kind == "Secret" {
            secrets.extend(data.values().map(|value| value.0.clone()));
        }
        variables.extend(data.iter().map(|(name, value)| (name.clone(), value.0.clone())));
    }
    variables.extend(post_build.substitute.iter().map(|(k, v)| (k.clone(), v.clone().into_bytes())));
    Ok(Loaded { variables: Variables::new(variables)?, secrets: Mask::new(secrets) })
}

async fn read(
    reads: &SharedReads,
    namespace: &str,
    reference: &SubstituteReference,
) -> Result<Entries, ReferenceError> {
    let kind = match reference.kind.as_str() {
        "ConfigMap" => Kind::ConfigMap,
        "Secret" => Kind::Secret,
        other => return Err(ReferenceError::Kind(other.to_owned())),
    };
    match reads.entries(kind, namespace, &reference.name, due_since()).await {
        Err(error) if error.is_not_found() && reference.optional => Ok(Entries::default()),
        other => Ok(other?),
    }
}
