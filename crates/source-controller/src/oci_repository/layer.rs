//! From a layer in a file to a stored artifact. Everything here blocks.

use std::fs::File;

use api::oci_repository::{LayerOperation, OciRepository};
use artifact::repack::{RepackError, RepackLimits, repack};
use artifact::store::{Artifact, Store};
use net::Deadline;
use runtime::error::chain;
use source::failure::Failure;

use super::pull::layer_failure;

/// What the spec wants to be done with the layer.
pub fn operation(object: &OciRepository) -> LayerOperation {
    let selector = object.spec.layer_selector.as_ref();
    selector.and_then(|selector| selector.operation).unwrap_or_default()
}

/// Stores a layer as it is, or its files but for those that the ignore rules leave out.
pub fn store(
    store: &Store,
    path: &str,
    revision: &str,
    mut layer: File,
    object: &OciRepository,
    limits: &RepackLimits,
    deadline: &Deadline,
) -> Result<Artifact, Failure> {
    if operation(object) == LayerOperation::Copy {
        let copied = store.copy(path, revision, &mut layer);
        return copied.map_err(|error| Failure::store("copy", &error));
    }
    let ignore = object.spec.ignore.as_deref();
    repack(store, path, revision, layer, ignore, limits, deadline).map_err(not_extracted)
}

fn not_extracted(error: RepackError) -> Failure {
    match error {
        RepackError::Unpack(error) => {
            let text = chain(&error);
            layer_failure(format!("failed to extract layer contents from artifact: {text}"))
        }
        RepackError::Ignore(error) => error.into(),
        RepackError::Store(error) => Failure::store("archive", &error),
        error => Failure::artifact("archive", chain(&error)),
    }
}
