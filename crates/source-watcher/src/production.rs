//! The artifacts of one generator: sources are had, artifacts are made on a thread, and published as they come.

mod job;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ::artifact_generator::{Limits, ObservedSource, Tree};
use api::ArtifactGenerator;
use api::artifact_generator::ExternalArtifactReference;
use artifact::cache::CacheError;
use budget::Request;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use net::Deadline;
use runtime::error::chain;
use runtime::patch::PatchError;
use source::blocking::{self, BlockingError};
use tokio::sync::mpsc;

use self::job::{Job, Made, ProduceError, Produced, produce};
use crate::context::Context;
use crate::generated::Desired;
use crate::status::{Class, Failure};

/// How long a source that was had a moment ago may take to be had again.
const HELD_FETCH_TIMEOUT: Duration = Duration::from_secs(30);

/// The artifacts of the sources of a generator, by their aliases.
pub type Observed = HashMap<String, ObservedSource>;

/// What is remembered of a generator between passes. It only saves work.
#[derive(Default)]
pub struct Memory {
    /// What was made last.
    pub made: HashMap<String, Made>,
    /// What was published last.
    pub published: HashMap<String, Desired>,
}

/// Why a pass was not gone through with.
#[derive(Debug)]
pub enum Interrupted {
    /// A step failed.
    Failure(Failure),
    /// The status could not be written.
    Patch(PatchError),
    /// The process stops, or the object is another one by now, which has a pass of its own.
    Stopped,
}

impl From<Failure> for Interrupted {
    fn from(failure: Failure) -> Self {
        Interrupted::Failure(failure)
    }
}

impl From<PatchError> for Interrupted {
    fn from(error: PatchError) -> Self {
        Interrupted::Patch(error)
    }
}

/// The artifacts of a generator from its sources to the cluster.
pub struct Production<'a> {
    /// What all passes share.
    pub context: &'a Context,
    /// The generator.
    pub object: &'a ArtifactGenerator,
    /// What was made and published last.
    pub memory: &'a mut Memory,
}

impl Production<'_> {
    /// Makes and publishes all artifacts; gives what is in the inventory then.
    ///
    /// # Errors
    /// The first failure, or the stop of the process.
    pub async fn run(self, observed: Observed) -> Result<Vec<ExternalArtifactReference>, Interrupted> {
        let context = self.context;
        let namespace = self.object.namespace().unwrap_or_default();
        // Downloads hold up nobody: what they bring is kept for a while.
        for source in observed.values() {
            self.fetch(source, &namespace).await?;
        }
        let _build = context.builds.acquire(Request::new(namespace.clone(), 1)).await;
        // Who holds one source and waits for another one could wait for somebody who does the same.
        let _several = match observed.len() {
            0 | 1 => None,
            _ => Some(context.several.acquire(Request::new(namespace.clone(), 1)).await),
        };
        let mut trees = HashMap::new();
        for (alias, source) in &observed {
            let held = tokio::time::timeout(HELD_FETCH_TIMEOUT, self.fetch(source, &namespace)).await;
            let slow =
                |_| Failure::source(format!("fetch sources failed: no answer in {HELD_FETCH_TIMEOUT:?}"));
            trees.insert(alias.clone(), held.map_err(slow)??);
        }
        let job = Job {
            object: self.object.clone(),
            trees,
            observed,
            made: self.memory.made.clone(),
            storage: context.storage.clone(),
            limits: Limits::default(),
        };
        let (sender, finished) = mpsc::channel(1);
        let limit = context.arguments.reconciliation_timeout;
        let made = blocking(context, limit, move |deadline| {
            produce(&job, &sender, deadline).map_err(|error| match error {
                ProduceError::Expand(_) => {
                    Failure { class: Class::Stalling, ..Failure::build(error.to_string()) }
                }
                ProduceError::Build { .. } => Failure::build(error.to_string()),
            })
        });
        let (made, published) = tokio::join!(made, self.publish(finished));
        let inventory = published?;
        made?;
        Ok(inventory)
    }

    async fn fetch(&self, source: &ObservedSource, namespace: &str) -> Result<Arc<Tree>, Failure> {
        let fetched = self.context.trees.get(&source.url, &source.digest, namespace).await;
        fetched
            .map_err(|error: CacheError| Failure::source(format!("fetch sources failed: {}", chain(&error))))
    }

    /// Publishes what is made, as it comes.
    async fn publish(
        self,
        mut finished: mpsc::Receiver<Produced>,
    ) -> Result<Vec<ExternalArtifactReference>, Failure> {
        let Production { context, object, memory } = self;
        let (generator, common) = (ObjectRef::from_obj(object), object.spec.common_metadata.clone());
        let (common, mut inventory) = (common.unwrap_or_default(), Vec::new());
        let is_alive =
            |uid: &str| context.store.state().iter().any(|other| other.metadata.uid.as_deref() == Some(uid));
        while let Some(Produced { output, made, artifact }) = finished.recv().await {
            let name = output.artifact.name;
            let mut labels = common.labels.clone();
            labels.extend(output.labels);
            let namespace = object.namespace().unwrap_or_default();
            let entry = ExternalArtifactReference::of(&name, &namespace, &artifact);
            let annotations = common.annotations.clone();
            let mut desired = Desired { name: name.clone(), labels, annotations, artifact };
            let former = memory.published.remove(&name);
            let published = context.generated.publish(object, &mut desired, former.as_ref(), is_alive).await;
            published
                .map_err(|error| Failure::publish(format!("{name} reconcile failed: {}", chain(&error))))?;
            memory.published.insert(name.clone(), desired);
            memory.made.insert(name, made);
            inventory.push(entry);
        }
        context.generated.belong(&generator, inventory.iter().map(|entry| entry.name.clone()));
        Ok(inventory)
    }
}

/// Work that blocks, on a thread of its own.
pub async fn blocking<T: Send + 'static>(
    context: &Context,
    limit: Duration,
    work: impl FnOnce(&Deadline) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Interrupted> {
    match blocking::run(Deadline::new(limit), Some(limit), &context.stop, work).await {
        Ok(done) => Ok(done?),
        Err(BlockingError::Stopped) => Err(Interrupted::Stopped),
        Err(error @ BlockingError::Panicked(_)) => Err(Failure::build(error.to_string()).into()),
    }
}
