//! The memory of all Kustomizations, and the passes over them.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use api::Kustomization;
use apply::{change::ChangeSet, cluster::Cluster, prepare::Owner, repairs::Repairs};
use clusters::RemoteCluster;
use kube::{
    ResourceExt,
    runtime::{reflector::ObjectRef, watcher::Event},
};
use runtime::{
    conditions::{READY, is_true},
    controller::{Outcome, Reconcile},
    diagnostics::Activity,
    latest::Latest,
};
use tokio::time::Instant;

use crate::{
    activity::{self, Seen},
    applied::AppliedObjects,
    configs::config_keys,
    context::Context,
    handover::Claims,
    health::health_rules,
    pass::Pass,
    run::{Connect, Inputs, Phase, Run},
    sources::source_key,
    status,
    subject::Subject,
};

type Key = ObjectRef<Kustomization>;

/// The controller's memory of its objects, and the passes over them.
pub struct Reconciler {
    context: Context,
    slots: Mutex<HashMap<Key, Slot>>,
    latest: Latest<Kustomization>,
}

/// What is kept of one Kustomization between passes. A slot that is lost costs requests, nothing else.
#[derive(Default)]
pub(crate) struct Slot {
    pub state: State,
    pub applied: AppliedObjects,
    pub repairs: Repairs,
    pub claims: Claims,
    /// The other cluster that the objects are in; it stays open as long as it is here.
    pub remote: Option<Arc<RemoteCluster>>,
    /// Whether that did not answer when it was last wanted: no worker waits for it, not even a moment.
    pub is_unreachable: bool,
}

impl Slot {
    /// Where the objects are.
    fn cluster<'a>(&'a self, own: &'a Cluster) -> &'a Cluster {
        self.remote.as_ref().map_or(own, |remote| remote.cluster())
    }
}

#[derive(Default)]
pub(crate) enum State {
    /// A run is due.
    #[default]
    Idle,
    /// A source or dependency is missing; any wake is a reason to look again.
    Blocked,
    /// A run waits in this phase.
    Running(Box<Run>, Phase),
    /// Nothing is due before this time unless the inputs change or, after a run that succeeded, the objects drift.
    Done { inputs: Inputs, due: Instant, succeeded: bool },
    /// It is being deleted, and the other cluster has yet to answer.
    Connecting(Connect),
    /// Its objects are being deleted.
    Terminating { deleted: ChangeSet, deadline: Instant },
}

impl Reconciler {
    /// A reconciler that remembers nothing.
    pub fn new(context: Context) -> Self {
        let latest = Latest::new(context.store.clone());
        Self { context, slots: Mutex::default(), latest }
    }

    /// An object of this owner changed its health, its field owners or is gone: wakes the owner if that matters to it.
    pub fn object_changed(&self, owner: &Owner) {
        let key = Key::new(&owner.name).within(&owner.namespace);
        let Some(object) = self.context.store.get(&key) else { return };
        // What the watch shows may lack the inventory that was written just now, and brings no pass when it does.
        let object = self.latest.newest(object);
        let matters = match self.slots().get(&key) {
            // A pass is under way; the next one will see.
            None => true,
            Some(Slot { state: State::Running(..), .. }) => true,
            Some(slot @ Slot { state: State::Done { succeeded: true, .. }, applied, .. }) => {
                let index = &slot.cluster(&self.context.cluster).index;
                self.context.arguments.watch_drift
                    && !applied.drifted(index, owner, status::inventory(&object)).is_empty()
            }
            Some(_) => false,
        };
        if matters {
            self.context.waker.wake(key);
        }
    }

    /// Of how many objects something is kept between passes.
    pub fn kept(&self) -> usize {
        self.slots().len()
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Key, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reconcile<Kustomization> for Reconciler {
    async fn reconcile(&self, object: Arc<Kustomization>) -> Outcome {
        let key = ObjectRef::from_obj(object.as_ref());
        let mut slot = self.slots().remove(&key).unwrap_or_default();
        let object = Kustomization::clone(&self.latest.newest(object));
        let mut subject = Subject::new(self.context.client.clone(), object);
        let mut pass = Pass {
            context: &self.context,
            cluster: slot.cluster(&self.context.cluster).clone(),
            slot: &mut slot,
            subject: &mut subject,
        };
        let outcome = match pass.run().await {
            Ok(outcome) => outcome,
            Err(error) if error.is_gone() => Outcome::Wait,
            Err(error) => Outcome::Failed(Box::new(error)),
        };
        let mut slots = self.slots();
        if self.context.store.get(&key).is_some() {
            slots.insert(key, slot);
            if let Some(written) = subject.into_written() {
                self.latest.wrote(written);
            }
        }
        outcome
    }

    /// Takes in what the watch shows of any Kustomization: those that depend on it may go on.
    fn observe(&self, event: &Event<Kustomization>) {
        if let Event::Apply(object) | Event::InitApply(object) = event {
            // What is invalid stalls the object; until it is mended the built-in rules are good enough.
            let rules = health_rules(object, &self.context.arguments).ok();
            // In other clusters it is set by the run that follows.
            let rules = rules.filter(|_| object.spec.kube_config.is_none());
            self.context.cluster.index.set_health_rules(&owner(object), rules);
            let sources = vec![source_key(object)];
            self.context.sources.refer(&ObjectRef::from_obj(object), sources);
            self.context.configs.refer(&ObjectRef::from_obj(object), config_keys(object));
        }
        self.context.dependencies.observe(event, &self.context.waker);
    }

    fn gone(&self, object: &Key) {
        let slot = self.slots().remove(object);
        self.latest.forget(object);
        self.context.dependencies.forget(object, &self.context.waker);
        self.context.skipped.set(object.clone(), HashSet::new());
        self.context.sources.forget(object);
        self.context.configs.forget(object);
        let namespace = object.namespace.clone().unwrap_or_default();
        let owner = Owner { namespace, name: object.name.clone() };
        self.context.cluster.index.set_health_rules(&owner, None);
        if let Some(remote) = slot.and_then(|slot| slot.remote) {
            remote.cluster().index.set_health_rules(&owner, None);
        }
    }

    fn activity(&self, object: &Kustomization) -> Activity {
        let seen = self.slots().get(&ObjectRef::from_obj(object)).map(|slot| Seen::of(&slot.state));
        activity::of(object, seen, |key| {
            self.context.store.get(key).is_some_and(|found| is_true(status::listed(&found), READY))
        })
    }

    fn outlasted(&self, object: &Key) {
        self.context.skipped.set(object.clone(), HashSet::new());
    }
}

fn owner(object: &Kustomization) -> Owner {
    Owner { namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
}
