//! The controller of HelmReleases.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::HelmRelease;
use apply::cluster::Cluster;
use apply::observe::Index;
use apply::prepare::Owner;
use clusters::RemoteCluster;
use helm_actions::Kept;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use runtime::controller::{Outcome, Reconcile};
use runtime::diagnostics::{Activity, Pause, Progress};
use runtime::queue::{InFlight, watch_runs};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::activity;
use crate::context::Context;
use crate::dependencies;
use crate::flags::CANCEL_WAITS;
use crate::memory::Memory;
use crate::pass::Pass;
use crate::prerequisites::source_keys;
use crate::subject::Subject;
use crate::values::config_keys;

/// The name of the kind.
const KIND: &str = "HelmRelease";

type Key = ObjectRef<HelmRelease>;

/// What is kept of one HelmRelease between passes. A slot that is lost costs requests, nothing else.
#[derive(Default)]
pub struct Slot {
    /// The other cluster that the release is in; it stays open as long as it is here.
    pub remote: Option<Arc<RemoteCluster>>,
    /// The release as it was seen last.
    pub memory: Memory,
    /// What the last pass left it to.
    pub pause: Pause,
}

impl Slot {
    /// What is known of objects from watches of the cluster that the release is in.
    pub fn index<'a>(&'a self, own: &'a Cluster) -> &'a Index {
        &self.remote.as_ref().map_or(own, |remote| remote.cluster()).index
    }
}

/// What a pass is for. When it changes, something else is wanted.
#[derive(PartialEq)]
struct Version {
    uid: Option<String>,
    generation: Option<i64>,
    is_deleted: bool,
}

impl Version {
    fn of(object: &HelmRelease) -> Self {
        Self {
            uid: object.metadata.uid.clone(),
            generation: object.metadata.generation,
            is_deleted: object.metadata.deletion_timestamp.is_some(),
        }
    }
}

/// A pass that is under way.
struct Running {
    /// What it is for.
    version: Version,
    /// Ends its waits.
    interrupt: CancellationToken,
    /// Its step.
    progress: Progress,
}

/// Reconciles HelmReleases.
pub struct Reconciler {
    context: Context,
    slots: Mutex<HashMap<Key, Slot>>,
    /// The HelmReleases that have a pass.
    running: Mutex<HashMap<Key, Running>>,
    /// The passes that are not over.
    runs: InFlight,
}

impl Reconciler {
    /// A reconciler that remembers nothing.
    pub fn new(context: Context) -> Self {
        let runs = InFlight::default();
        watch_runs(&KIND.to_lowercase(), &runs, &context.metrics);
        Self { context, slots: Mutex::default(), running: Mutex::default(), runs }
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Key, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> MutexGuard<'_, HashMap<Key, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An object of this owner changed or is gone: wakes the owner if that is drift of its release. Gives when to look again if it is,
    /// but too soon to be repaired. It is looked at again when a pass that is under way has ended.
    pub fn object_changed(&self, owner: &Owner) -> Option<Duration> {
        let key = Key::new(&owner.name).within(&owner.namespace);
        let slots = self.slots();
        let is_watched = |slot: &&Slot| slot.memory.is_done && self.context.arguments.watch_drift;
        let slot = slots.get(&key).filter(is_watched)?;
        let drifted = slot.memory.objects.drifted(slot.index(&self.context.cluster), owner);
        if drifted.is_empty() {
            return None;
        }
        let wait = slot.memory.repairs.wait(&drifted, Instant::now());
        if wait.is_zero() {
            self.context.waker.wake(key);
        }
        (!wait.is_zero()).then_some(wait)
    }

    /// Takes in what a HelmRelease refers to and wants.
    fn note(&self, object: &HelmRelease) {
        let key = ObjectRef::from_obj(object);
        // Who deletes it does not want to wait until it is ready.
        let counts = object.metadata.deletion_timestamp.is_some()
            || self.context.arguments.feature_gates.is_on(CANCEL_WAITS);
        if counts
            && let Some(running) = self.running().get(&key)
            && running.version != Version::of(object)
        {
            running.interrupt.cancel();
        }
        self.context.sources.refer(&key, source_keys(object));
        self.context.configs.refer(&key, config_keys(object));
    }
}

impl Reconcile<HelmRelease> for Reconciler {
    async fn reconcile(&self, object: Arc<HelmRelease>) -> Outcome {
        let begun = Instant::now();
        let _run = self.runs.begin();
        let key = ObjectRef::from_obj(object.as_ref());
        let object = HelmRelease::clone(&self.context.latest.newest(object));
        let namespace = object.namespace().unwrap_or_default();
        let is_deleted = object.metadata.deletion_timestamp.is_some();
        let mut slot = self.slots().remove(&key).unwrap_or_default();
        let (interrupt, progress) = (CancellationToken::new(), Progress::default());
        let running = Running {
            version: Version::of(&object),
            interrupt: interrupt.clone(),
            progress: progress.clone(),
        };
        self.running().insert(key.clone(), running);
        let subject = Subject::new(self.context.client.clone(), object);
        let (context, kept) = (&self.context, Kept::default());
        let mut pass = Pass { context, slot: &mut slot, subject, kept, progress, interrupt };
        let outcome = pass.run().await;
        let owner = pass.subject.owner();
        let written = pass.subject.into_written();
        self.running().remove(&key);
        if self.context.store.get(&key).is_some() {
            if let Some(written) = written {
                self.context.latest.wrote(written);
            }
            if !is_deleted {
                self.context.metrics.ran(KIND, &namespace, &key.name, begun.elapsed());
            }
            self.slots().insert(key, slot);
        }
        // What happened to objects during the pass woke nobody.
        let again = self.object_changed(&owner);
        match outcome {
            Ok(Outcome::After(time)) => Outcome::After(again.map_or(time, |again| again.min(time))),
            Ok(outcome) => outcome,
            Err(error) if error.is_gone() => Outcome::Wait,
            Err(error) => Outcome::Failed(Box::new(error)),
        }
    }

    fn observe(&self, event: &Event<HelmRelease>) {
        if let Event::Apply(object) | Event::InitApply(object) = event {
            self.note(object);
        }
        self.context.dependents.observe(event, &self.context.waker);
    }

    fn gone(&self, object: &Key) {
        self.outlasted(object);
        self.context.sources.forget(object);
        self.context.configs.forget(object);
    }

    fn outlasted(&self, object: &Key) {
        self.slots().remove(object);
        self.context.latest.forget(object);
        self.context.requeues.reset(object);
        self.context.dependents.wait(object, Vec::new(), Vec::new());
    }

    fn activity(&self, object: &HelmRelease) -> Activity {
        let key = ObjectRef::from_obj(object);
        let step = self.running().get(&key).and_then(|running| running.progress.step());
        let pause = self.slots().get(&key).map(|slot| slot.pause).unwrap_or_default();
        activity::of(object, step, pause, |key| {
            self.context.store.get(key).is_some_and(|found| dependencies::is_ready(&found))
        })
    }
}
