//! Server-side apply of one stage: every object is checked by a dry-run before any is applied.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;

use crate::change::ChangeSet;
use crate::error::StageError;
use crate::mapper::Mapper;
use crate::object::{Manifest, ObjectId};

/// How to apply.
#[derive(Clone, Debug)]
pub struct Options {
    /// Recreate objects of which immutable fields changed.
    pub force: bool,
    /// Prefixes of further field managers whose fields are taken over.
    pub override_managers: Vec<String>,
    /// Objects in flight at once.
    pub concurrency: usize,
    /// Longest wait for the answer to one request.
    pub request_timeout: Duration,
    /// Longest wait for an object that is recreated to be gone.
    pub recreate_timeout: Duration,
}

/// What is remembered of an object since it was last applied or found to be as desired.
#[derive(Clone, Debug)]
pub struct Applied {
    /// Its uid.
    pub uid: Box<str>,
    /// Its resourceVersion then.
    pub resource_version: Box<str>,
    /// Its ownership fingerprint then; see [`crate::ownership::fingerprint`].
    pub fingerprint: u64,
    /// Digest of the manifest that was applied.
    pub desired: u64,
}

/// What is remembered of a Kustomization's objects. It only ever saves requests: an empty one is always right.
pub type Memory = HashMap<ObjectId, Applied>;

/// A stage that went well.
#[derive(Debug, Default)]
pub struct StageOutcome {
    /// What was done, in apply order.
    pub changes: ChangeSet,
    /// What is now known about the objects.
    pub memory: Memory,
}

/// Applies objects to one cluster in one identity. Cheap to make.
pub struct Applier {
    client: Client,
    mapper: Arc<Mapper>,
    options: Options,
}

impl Applier {
    /// `client` acts in the identity that applies; `mapper` may use another one.
    pub fn new(client: Client, mapper: Arc<Mapper>, options: Options) -> Self {
        Self { client, mapper, options }
    }

    /// Applies one stage. All objects are checked first and nothing is applied unless all pass.
    /// `before_first_write` gets the planned changes and runs to its end before anything is changed in the cluster; it is not called
    /// when nothing needs to change.
    ///
    /// # Errors
    /// With every failed object, what was applied nevertheless, and what is known about it.
    pub async fn apply_stage<F, Fut>(
        &self,
        _manifests: &[Manifest],
        _remembered: &Memory,
        _before_first_write: F,
    ) -> Result<StageOutcome, StageError>
    where
        F: FnOnce(ChangeSet) -> Fut + Send,
        Fut: Future<Output = Result<(), Box<dyn std::error::Error + Send + Sync>>> + Send,
    {
        let _ = (&self.client, &self.mapper, &self.options);
        todo!()
    }
}
