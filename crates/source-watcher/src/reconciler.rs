//! The controller of ArtifactGenerators.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use api::ArtifactGenerator;
use api::artifact_generator::reasons::SOURCE_FETCH_FAILED;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use runtime::controller::{Outcome, Reconcile};
use runtime::diagnostics::{Activity, Pause, Ready};
use runtime::index::Index;
use runtime::queue::{InFlight, watch_runs};
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::flags::source_keys;
use crate::pass::Pass;
use crate::production::Memory;
use crate::status;

/// The name of the kind.
pub const KIND: &str = "ArtifactGenerator";

type Key = ObjectRef<ArtifactGenerator>;

/// What a pass is for. When it changes, nobody needs the end of the pass any more.
#[derive(PartialEq)]
struct Version {
    uid: Option<String>,
    generation: Option<i64>,
    is_deleted: bool,
    is_disabled: bool,
}

impl Version {
    fn of(object: &ArtifactGenerator) -> Self {
        Self {
            uid: object.metadata.uid.clone(),
            generation: object.metadata.generation,
            is_deleted: object.metadata.deletion_timestamp.is_some(),
            is_disabled: status::is_disabled(object),
        }
    }
}

/// Reconciles ArtifactGenerators, and remembers what their passes made.
pub struct Reconciler {
    context: Context,
    memories: Mutex<HashMap<Key, Memory>>,
    /// The generators that have a pass, as that sees them, and what ends its wait.
    running: Mutex<HashMap<Key, (Version, CancellationToken)>>,
    /// Which generators are disabled: their annotation brings them no pass by itself.
    disabled: Mutex<Index<Key, bool>>,
    /// The passes that are not over.
    runs: InFlight,
}

impl Reconciler {
    /// A reconciler that remembers nothing.
    pub fn new(context: Context) -> Self {
        let runs = InFlight::default();
        watch_runs(&KIND.to_lowercase(), &runs, &context.metrics);
        Self {
            context,
            memories: Mutex::default(),
            running: Mutex::default(),
            disabled: Mutex::default(),
            runs,
        }
    }

    fn memories(&self) -> MutexGuard<'_, HashMap<Key, Memory>> {
        self.memories.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> MutexGuard<'_, HashMap<Key, (Version, CancellationToken)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what a generator refers to and has.
    fn note(&self, object: &ArtifactGenerator) {
        let key = ObjectRef::from_obj(object);
        if let Some((version, superseded)) = self.running().get(&key)
            && *version != Version::of(object)
        {
            superseded.cancel();
        }
        let sources = source_keys(object).into_iter().map(|(_, source)| source).collect();
        self.context.sources.refer(&key, sources);
        let inventory = object.status.as_ref().map(|status| status.inventory.as_slice()).unwrap_or_default();
        self.context.generated.belong(&key, inventory.iter().map(|entry| entry.name.clone()));
    }
}

impl Reconcile<ArtifactGenerator> for Reconciler {
    async fn reconcile(&self, object: Arc<ArtifactGenerator>) -> Outcome {
        let begun = Instant::now();
        let _run = self.runs.begin();
        let key = ObjectRef::from_obj(object.as_ref());
        let object = self.context.latest.newest(object);
        let mut memory = self.memories().remove(&key).unwrap_or_default();
        let superseded = CancellationToken::new();
        self.running().insert(key.clone(), (Version::of(&object), superseded.clone()));
        let outcome = Pass::new(&self.context, &mut memory, &object, superseded).run().await;
        self.running().remove(&key);
        let is_kept = object.metadata.deletion_timestamp.is_none() && self.context.store.get(&key).is_some();
        if is_kept {
            self.memories().insert(key, memory);
            let namespace = object.namespace().unwrap_or_default();
            self.context.metrics.ran(KIND, &namespace, &object.name_any(), begun.elapsed());
        }
        match outcome {
            Ok(outcome) => outcome,
            Err(error) if error.is_gone() => Outcome::Wait,
            Err(error) => Outcome::Failed(Box::new(error)),
        }
    }

    fn observe(&self, event: &Event<ArtifactGenerator>) {
        if let Event::Apply(object) | Event::InitApply(object) = event {
            self.note(object);
        }
        let mut disabled = self.disabled.lock().unwrap_or_else(PoisonError::into_inner);
        let changed =
            disabled.observe(event, |object| (ObjectRef::from_obj(object), status::is_disabled(object)));
        changed.into_iter().for_each(|key| self.context.waker.wake(key));
    }

    fn gone(&self, object: &Key) {
        self.memories().remove(object);
        self.context.latest.forget(object);
        self.context.sources.forget(object);
        self.context.generated.belong(object, []);
    }

    fn outlasted(&self, object: &Key) {
        self.memories().remove(object);
    }

    fn activity(&self, object: &ArtifactGenerator) -> Activity {
        let conditions = status::conditions_of(object);
        Activity {
            suspended: status::is_disabled(object),
            ready: Ready::of(conditions),
            step: None,
            pause: Pause::Blocked.told(conditions, |reason| {
                (reason == SOURCE_FETCH_FAILED).then(|| "one of its sources".to_owned())
            }),
        }
    }
}
