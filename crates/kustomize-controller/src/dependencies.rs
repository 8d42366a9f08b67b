//! `spec.dependsOn`: whether a dependency is ready, and who is woken when it becomes so.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use api::{Kustomization, kustomization::DependencyReference};
use kube::runtime::{reflector::ObjectRef, watcher::Event};
use runtime::{
    conditions::{READY, is_true},
    controller::Waker,
};

use crate::{sources::SourceKey, status};

type Key = ObjectRef<Kustomization>;

/// What of a dependency matters to those who depend on it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Visible {
    ready: bool,
    applied: Option<String>,
}

/// Who waits for whom.
#[derive(Debug, Default)]
pub struct Dependencies {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: HashMap<Key, HashSet<Key>>,
    visible: HashMap<Key, Visible>,
    /// Woken when the list under way is complete, because the store does not show it before.
    listed: HashSet<Key>,
}

impl State {
    /// Who waits for the object, if it looks different from before.
    fn changed(&mut self, object: &Kustomization) -> HashSet<Key> {
        let key = ObjectRef::from_obj(object);
        let now = Visible {
            ready: is_ready(object),
            applied: object.status.as_ref().and_then(|s| s.last_applied_revision.clone()),
        };
        let before = self.visible.insert(key.clone(), now.clone());
        if before == Some(now) { HashSet::new() } else { self.waiting.remove(&key).unwrap_or_default() }
    }
}

impl Dependencies {
    /// Takes in a watch event and wakes those who wait for the object, if it looks different to them.
    pub fn observe(&self, event: &Event<Kustomization>, waker: &Waker<Kustomization>) {
        let mut state = self.lock();
        let woken = match event {
            Event::Apply(object) => state.changed(object),
            Event::InitApply(object) => {
                let woken = state.changed(object);
                state.listed.extend(woken);
                HashSet::new()
            }
            Event::InitDone => std::mem::take(&mut state.listed),
            Event::Delete(_) | Event::Init => HashSet::new(),
        };
        drop(state);
        woken.into_iter().for_each(|dependent| waker.wake(dependent));
    }

    /// Forgets an object that is gone, and that it waits.
    pub fn forget(&self, object: &Key) {
        let mut state = self.lock();
        state.visible.remove(object);
        state.waiting.retain(|_, dependents| {
            dependents.remove(object);
            !dependents.is_empty()
        });
    }

    /// Has `dependent` woken at the next change of `dependency`. To be called before looking at the dependency, so
    /// that no change falls between.
    pub fn wait(&self, dependent: Key, dependency: Key) {
        self.lock().waiting.entry(dependency).or_default().insert(dependent);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The object that an entry refers to.
pub fn key(dependent: &Kustomization, dependency: &DependencyReference) -> Key {
    let own = dependent.metadata.namespace.as_deref().unwrap_or_default();
    let namespace = dependency.namespace.as_deref().filter(|n| !n.is_empty()).unwrap_or(own);
    ObjectRef::new(&dependency.name).within(namespace)
}

/// Upstream's built-in check: ready at its present generation and, if both use one source, at the same revision.
pub fn check(dependent: &Kustomization, dependency: &Kustomization, revision: &str) -> Result<(), String> {
    let subject = || {
        let metadata = &dependency.metadata;
        let part = |p: &Option<String>| p.clone().unwrap_or_default();
        format!("dependency '{}/{}'", part(&metadata.namespace), part(&metadata.name))
    };
    if !is_ready(dependency) {
        return Err(format!("{} is not ready", subject()));
    }
    let applied = dependency.status.as_ref().and_then(|s| s.last_applied_revision.as_deref());
    if SourceKey::of(dependent) == SourceKey::of(dependency) && applied != Some(revision) {
        return Err(format!("{} revision is not up to date", subject()));
    }
    Ok(())
}

fn is_ready(object: &Kustomization) -> bool {
    let observed = object.status.as_ref().and_then(|s| s.observed_generation);
    observed == object.metadata.generation && is_true(status::listed(object), READY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::Artifact;

    fn object(name: &str, source: &str) -> Kustomization {
        let mut object = Kustomization::new(name, Default::default());
        object.metadata.namespace = Some("ns".into());
        object.metadata.generation = Some(1);
        object.spec.source_ref.kind = "GitRepository".into();
        object.spec.source_ref.name = source.into();
        object
    }

    fn applied(mut object: Kustomization, revision: &str) -> Kustomization {
        status::succeeded(&mut object, &Artifact { revision: revision.into(), ..Artifact::default() });
        status::finalise(&mut object);
        object
    }

    #[test]
    fn a_dependency_is_ready_at_its_present_generation_only() {
        let app = object("app", "one");
        let mut base = object("base", "two");
        assert_eq!(check(&app, &base, "r1"), Err("dependency 'ns/base' is not ready".into()));
        base = applied(base, "other");
        assert_eq!(check(&app, &base, "r1"), Ok(()));
        base.metadata.generation = Some(2);
        assert_eq!(check(&app, &base, "r1"), Err("dependency 'ns/base' is not ready".into()));
    }

    #[test]
    fn of_one_source_it_must_be_at_the_same_revision() {
        let (app, base) = (object("app", "one"), applied(object("base", "one"), "r1"));
        assert_eq!(check(&app, &base, "r1"), Ok(()));
        assert_eq!(check(&app, &base, "r2"), Err("dependency 'ns/base' revision is not up to date".into()));
    }

    #[test]
    fn dependents_wait_until_the_dependency_looks_different() {
        let (dependencies, waker) = (Dependencies::default(), Waker::default());
        let (app, base) = (object("app", "one"), object("base", "one"));
        let waiting = |d: &Dependencies| d.lock().waiting.len();
        dependencies.observe(&Event::Apply(base.clone()), &waker);
        dependencies.wait(ObjectRef::from_obj(&app), ObjectRef::from_obj(&base));
        dependencies.observe(&Event::Apply(base.clone()), &waker);
        assert_eq!(waiting(&dependencies), 1, "nothing changed");
        dependencies.observe(&Event::Apply(applied(base, "r1")), &waker);
        assert_eq!(waiting(&dependencies), 0, "woken once");
    }
}
