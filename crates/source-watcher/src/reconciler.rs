//! The controller of ArtifactGenerators.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use api::ArtifactGenerator;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use runtime::controller::{Outcome, Reconcile};
use runtime::diagnostics::{Activity, Ready, stalled};
use runtime::index::Index;

use crate::context::Context;
use crate::flags::source_keys;
use crate::pass::{Memory, Pass};
use crate::status;

/// The name of the kind.
pub const KIND: &str = "ArtifactGenerator";

type Key = ObjectRef<ArtifactGenerator>;

/// Reconciles ArtifactGenerators, and remembers what their passes made.
pub struct Reconciler {
    context: Context,
    memories: Mutex<HashMap<Key, Memory>>,
    /// Which generators are disabled: their annotation brings them no pass by itself.
    disabled: Mutex<Index<Key, bool>>,
}

impl Reconciler {
    /// A reconciler that remembers nothing.
    pub fn new(context: Context) -> Self {
        Self { context, memories: Mutex::default(), disabled: Mutex::default() }
    }

    fn memories(&self) -> MutexGuard<'_, HashMap<Key, Memory>> {
        self.memories.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what a generator refers to and has.
    fn note(&self, object: &ArtifactGenerator) {
        let key = ObjectRef::from_obj(object);
        let sources = source_keys(object).into_iter().map(|(_, source)| source).collect();
        self.context.sources.refer(&key, sources);
        let inventory = object.status.as_ref().map(|status| status.inventory.as_slice()).unwrap_or_default();
        self.context.generated.belong(&key, inventory.iter().map(|entry| entry.name.clone()));
    }
}

impl Reconcile<ArtifactGenerator> for Reconciler {
    async fn reconcile(&self, object: Arc<ArtifactGenerator>) -> Outcome {
        let begun = Instant::now();
        let key = ObjectRef::from_obj(object.as_ref());
        let object = self.context.latest.newest(object);
        let mut memory = self.memories().remove(&key).unwrap_or_default();
        let outcome = Pass::new(&self.context, &mut memory, &object).run().await;
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
            pause: stalled(conditions),
        }
    }
}
