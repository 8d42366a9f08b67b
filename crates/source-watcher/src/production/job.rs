//! The artifacts of one generator in the making, on a thread that may block.
//!
//! Each artifact is handed over as soon as it is stored, so that it is published before the next one is made. One whose content is
//! that of the last pass is not written again.

use std::collections::HashMap;
use std::sync::Arc;

use ::artifact_generator::{
    ComposeError, ExpandError, Limits, Meter, ObservedSource, Output, Sources, Tree, WriteError, compose,
    expand,
};
use api::external_artifact::ExternalArtifact;
use api::source::OCI_REVISION_METADATA;
use api::{Artifact, ArtifactGenerator};
use artifact::digest::Digest;
use artifact::store::{Store, StoreError, artifact_path};
use kube::{Resource, ResourceExt};
use net::Deadline;
use source::storage::status_artifact;
use tokio::sync::mpsc;

/// What artifacts are made of.
pub struct Job {
    /// For whom.
    pub object: ArtifactGenerator,
    /// The contents of its sources by alias.
    pub trees: HashMap<String, Arc<Tree>>,
    /// The artifacts of its sources by alias.
    pub observed: HashMap<String, ObservedSource>,
    /// What the last pass made, by the names of artifacts.
    pub made: HashMap<String, Made>,
    /// Where artifacts go.
    pub storage: Arc<Store>,
    /// What they may cost.
    pub limits: Limits,
}

/// What a pass made.
#[derive(Clone)]
pub struct Made {
    /// What tells the content from any other.
    pub content: Digest,
    /// The artifact as it was stored.
    pub artifact: Artifact,
}

/// An artifact that is stored and not published.
pub struct Produced {
    /// What it was made of.
    pub output: Output,
    /// What is remembered of it.
    pub made: Made,
    /// The artifact as it shall be published.
    pub artifact: Artifact,
}

/// Why artifacts were not made to the last one.
#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    /// The path pattern.
    #[error("failed to expand path pattern: {0}")]
    Expand(#[from] ExpandError),
    /// An artifact.
    #[error("{name} build failed: {}", runtime::error::chain(.source))]
    Build {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: BuildError,
    },
}

/// Why one artifact was not made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Its content.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// Its archive.
    #[error("failed to create artifact: {0}")]
    Write(#[from] WriteError),
    /// The storage.
    #[error("failed to create artifact")]
    Store(#[from] StoreError),
}

/// Makes all artifacts; ends early when nobody receives them any more.
///
/// # Errors
/// The first one that cannot be made.
pub fn produce(
    job: &Job,
    finished: &mpsc::Sender<Produced>,
    deadline: &Deadline,
) -> Result<(), ProduceError> {
    let sources: Sources<'_> = job.trees.iter().map(|(alias, tree)| (alias.as_str(), &**tree)).collect();
    let mut meter = Meter::new(&job.limits, deadline);
    for output in expand(&job.object, &sources, &mut meter)? {
        let made = job
            .make(&output, &sources, &mut meter, deadline)
            .map_err(|source| ProduceError::Build { name: output.artifact.name.clone(), source })?;
        let artifact = job.described(&output, made.artifact.clone());
        if finished.blocking_send(Produced { output, made, artifact }).is_err() {
            break;
        }
    }
    Ok(())
}

impl Job {
    fn make(
        &self,
        output: &Output,
        sources: &Sources<'_>,
        meter: &mut Meter<'_>,
        deadline: &Deadline,
    ) -> Result<Made, BuildError> {
        let composed = compose(&output.artifact, sources, meter)?;
        let content = composed.digest();
        let name = &output.artifact.name;
        if let Some(made) = self.made.get(name).filter(|made| made.content == content)
            && let Ok(digest) = made.artifact.digest.parse()
            && self.storage.verify(&made.artifact.path, &digest).is_ok()
        {
            return Ok(made.clone());
        }
        let namespace = self.object.namespace().unwrap_or_default();
        let file = composed.file_name(name);
        let path = artifact_path(&ExternalArtifact::kind(&()), &namespace, name, &file);
        let stored = self
            .storage
            .archive(&path, "", |archive| composed.write(archive, deadline).map_err(BuildError::from))?;
        let mut artifact = status_artifact(stored);
        artifact.revision = format!("latest@{}", artifact.digest);
        Ok(Made { content, artifact })
    }

    /// The artifact with the revisions that the spec wants it to have.
    fn described(&self, output: &Output, mut artifact: Artifact) -> Artifact {
        let observed = |reference: &Option<String>| {
            self.observed.get(reference.as_deref().unwrap_or_default().trim_start_matches('@'))
        };
        if let Some(source) = observed(&output.artifact.revision) {
            artifact.revision.clone_from(&source.revision);
        }
        if let Some(source) = observed(&output.artifact.origin_revision) {
            let origin = source.origin_revision.as_ref().filter(|origin| !origin.is_empty());
            let origin = origin.unwrap_or(&source.revision).clone();
            artifact.metadata.insert(OCI_REVISION_METADATA.to_owned(), origin);
        }
        artifact
    }
}
