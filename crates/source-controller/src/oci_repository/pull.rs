//! From a reference to a layer in a file.

use std::fmt::Display;
use std::fs::File;

use api::oci_repository::OciRepository;
use net::{Deadline, redact};
use oci::{BlobError, Client, Descriptor, Digest, Manifest, ManifestError, Reference, Repository, TagsError};
use source::failure::{Failure, reason};
use tokio::io::AsyncSeekExt;

use super::tag;
use crate::registry::Session;

/// An artifact that a registry has.
pub struct Artifact {
    /// What was asked for, as people write it.
    pub reference: String,
    /// `<tag>@<digest>`, or the digest alone if that was asked for.
    pub revision: String,
    /// The digest of its manifest, or of the index that has it.
    pub digest: Digest,
}

/// Finds out which artifact the spec means now: a digest asks nobody, a tag costs one request, a range a list of tags.
pub async fn resolve(
    session: &mut Session<'_>,
    object: &OciRepository,
    repository: &Repository,
    deadline: &Deadline,
) -> Result<Artifact, Failure> {
    let wanted = object.spec.reference.clone().unwrap_or_default();
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let no_digest = |error: &dyn Display| {
        Failure::fetch(reason::OCI_PULL_FAILED, format!("failed to determine artifact digest: {error}"))
    };
    if let Some(digest) = given(wanted.digest) {
        let digest: Digest = digest.parse().map_err(|error| no_digest(&error))?;
        let reference = repository.digest(digest.clone()).to_string();
        return Ok(Artifact { reference, revision: digest.to_string(), digest });
    }
    let tag = match given(wanted.semver) {
        Some(range) => {
            let no_tag = |error: &dyn Display| {
                let url = redact(&object.spec.url);
                let message = format!("failed to determine the artifact tag for '{url}': {error}");
                Failure::fetch(reason::READ_OPERATION_FAILED, message)
            };
            let ask = |client: Client| async move { client.tags(repository, deadline).await };
            let tags = session.ask(deadline, TagsError::request, ask).await;
            let tags = tags.map_err(|error| no_tag(&error))?;
            tag::highest(tags, &range, wanted.semver_filter.as_deref(), media_type(object))
                .map_err(|error| no_tag(&error))?
        }
        None => given(wanted.tag).unwrap_or_else(|| "latest".to_owned()),
    };
    let reference: Reference = repository.tag(&tag).map_err(|error| no_digest(&error))?;
    let resolved = session.resolve(&reference, deadline).await;
    let digest = resolved.map_err(|error| no_digest(&error))?.digest;
    Ok(Artifact { reference: reference.to_string(), revision: format!("{tag}@{digest}"), digest })
}

/// Fetches the manifest of an artifact.
pub async fn manifest(
    session: &mut Session<'_>,
    object: &OciRepository,
    repository: &Repository,
    digest: &Digest,
    deadline: &Deadline,
) -> Result<Manifest, Failure> {
    let manifest = session.manifest(repository, digest, deadline).await;
    manifest.map_err(|error| match error {
        ManifestError::Format { .. } => layer_failure(format!("failed to parse artifact manifest: {error}")),
        error => not_pulled(object, &error),
    })
}

/// The layer that the spec selects.
pub fn layer<'a>(object: &OciRepository, manifest: &'a Manifest) -> Result<&'a Descriptor, Failure> {
    manifest.layer(media_type(object)).map_err(|error| layer_failure(error.to_string()))
}

/// The media type that the spec selects layers by.
fn media_type(object: &OciRepository) -> Option<&str> {
    let selector = object.spec.layer_selector.as_ref()?;
    selector.media_type.as_deref().filter(|kind| !kind.is_empty())
}

/// Fetches a layer, verified to its last byte, into a file without a name.
pub async fn file(
    session: &mut Session<'_>,
    repository: &Repository,
    layer: &Descriptor,
    deadline: &Deadline,
) -> Result<File, Failure> {
    let ask = |client: Client| async move {
        let blob = client.blob(repository, layer, deadline).await?;
        let mut file = tokio::fs::File::from_std(tempfile::tempfile()?);
        blob.copy_to(&mut file).await?;
        file.rewind().await?;
        Ok::<_, BlobError>(file.into_std().await)
    };
    let file = session.ask(deadline, BlobError::request, ask).await;
    file.map_err(|error| layer_failure(format!("failed to extract the first layer from artifact: {error}")))
}

/// The artifact cannot be had.
pub fn not_pulled(object: &OciRepository, why: &dyn Display) -> Failure {
    let url = redact(&object.spec.url);
    Failure::fetch(reason::OCI_PULL_FAILED, format!("failed to pull artifact from '{url}': {why}"))
}

/// Something is wrong with the content of an artifact.
pub fn layer_failure(message: String) -> Failure {
    Failure::fetch(reason::OCI_LAYER_OPERATION_FAILED, message)
}
