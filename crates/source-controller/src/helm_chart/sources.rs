//! The source that a chart is made from.

use std::fmt::Debug;

use api::helm_chart::HelmChart;
use api::helm_repository::HelmRepository;
use api::source::{GROUP, Source as _};
use api::{Artifact, Bucket, GitRepository};
use artifact::store::Store;
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use source::failure::Failure;
use source::storage::ObjectStorage;
use std::sync::Arc;

use crate::{bucket, git_repository};

/// The kind of repositories of charts.
pub const HELM_REPOSITORY: &str = "HelmRepository";

/// A source that a chart can be made from.
pub enum Source {
    /// An index of charts, or their parent in a registry.
    Repository(Box<HelmRepository>),
    /// A directory.
    Tarball(Tarball),
}

/// The artifact of a source that has directories.
pub struct Tarball {
    /// The kind of the source.
    pub kind: &'static str,
    /// What is stored of it.
    pub artifact: Artifact,
}

/// Refuses kinds that no chart can be made from.
///
/// # Errors
/// When the kind is one of these.
pub fn check(object: &HelmChart) -> Result<(), Failure> {
    let message = match object.spec.source_ref.kind.as_str() {
        HELM_REPOSITORY | git_repository::KIND | bucket::KIND => return Ok(()),
        kind => format!(
            "failed to get source: unsupported source kind '{kind}', must be one of: \
             [HelmRepository GitRepository Bucket]"
        ),
    };
    Err(Failure::fetch("UnsupportedSourceKind", message).stalling())
}

/// Reads the source of a chart, which has to have an artifact in `storage` unless it is a registry.
///
/// # Errors
/// When there is no such source, or it has no artifact yet.
pub async fn get(client: &Client, storage: &Arc<Store>, object: &HelmChart) -> Result<Source, Failure> {
    let reference = &object.spec.source_ref;
    if reference.kind == HELM_REPOSITORY {
        let repository: HelmRepository = read(client, object, HELM_REPOSITORY).await?;
        if !repository.is_oci() {
            stored(storage, object, HELM_REPOSITORY, repository.artifact()).await?;
        }
        return Ok(Source::Repository(Box::new(repository)));
    }
    if reference.kind == bucket::KIND {
        let source: Bucket = read(client, object, bucket::KIND).await?;
        let artifact = stored(storage, object, bucket::KIND, source.artifact()).await?;
        return Ok(Source::Tarball(Tarball { kind: bucket::KIND, artifact }));
    }
    let repository: GitRepository = read(client, object, git_repository::KIND).await?;
    let artifact = stored(storage, object, git_repository::KIND, repository.artifact()).await?;
    Ok(Source::Tarball(Tarball { kind: git_repository::KIND, artifact }))
}

async fn read<K>(client: &Client, object: &HelmChart, kind: &str) -> Result<K, Failure>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let (name, namespace) = (&object.spec.source_ref.name, object.namespace().unwrap_or_default());
    let read = references::get(&Api::<K>::namespaced(client.clone(), &namespace), name).await;
    read.map_err(|error| {
        let why = match error.is_not_found() {
            true => format!("{kind}.{GROUP} \"{name}\" not found"),
            false => error.to_string(),
        };
        Failure::fetch("SourceUnavailable", format!("failed to get source: {why}"))
    })
}

/// The artifact of a source. A status can be edited: what it names has to be the source's own, and to be what it says.
async fn stored(
    storage: &Arc<Store>,
    object: &HelmChart,
    kind: &'static str,
    artifact: Option<&Artifact>,
) -> Result<Artifact, Failure> {
    let (name, namespace) = (&object.spec.source_ref.name, object.namespace().unwrap_or_default());
    let own = ObjectStorage::new(storage.clone(), kind, &namespace, name);
    let missing = || {
        let message = format!("no artifact available for {kind} source '{name}'");
        Failure::fetch("NoSourceArtifact", message).waiting()
    };
    let artifact = artifact.filter(|artifact| own.owns(&artifact.path)).cloned().ok_or_else(missing)?;
    let (storage, path, digest) = (storage.clone(), artifact.path.clone(), artifact.digest.parse());
    let verify = move || digest.is_ok_and(|digest| storage.verify(&path, &digest).is_ok());
    let is_stored = tokio::task::spawn_blocking(verify).await.unwrap_or(false);
    if is_stored { Ok(artifact) } else { Err(missing()) }
}
