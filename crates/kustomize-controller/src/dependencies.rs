//! `spec.dependsOn`: whether a dependency is ready, and who is woken when it becomes so.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use api::{Kustomization, kustomization::DependencyReference};
use expression::{Blocked, check_ready};
use kube::runtime::{reflector::ObjectRef, watcher::Event};
use runtime::{
    conditions::{READY, is_true},
    controller::Waker,
};

use crate::{sources::source_key, status};

type Key = ObjectRef<Kustomization>;

/// What of a dependency matters to those who depend on it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Visible {
    ready: bool,
    applied: Option<String>,
}

/// What of its dependency a dependent waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// What the built-in check reads.
    Readiness,
    /// Anything.
    Everything,
}

/// Who waits for whom.
#[derive(Debug, Default)]
pub struct Dependencies {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By dependency: the dependents, and what of it they look at.
    waiting: HashMap<Key, HashMap<Key, Interest>>,
    visible: HashMap<Key, Visible>,
    /// Woken when the list under way is complete, because the store does not show it before.
    listed: HashSet<Key>,
}

impl State {
    /// Who waits for the object and sees something new in it.
    fn changed(&mut self, object: &Kustomization) -> HashSet<Key> {
        let key = ObjectRef::from_obj(object);
        let now = Visible {
            ready: is_ready(object),
            applied: object.status.as_ref().and_then(|s| s.last_applied_revision.clone()),
        };
        let before = self.visible.insert(key.clone(), now.clone());
        let same = before == Some(now);
        let Some(waiting) = self.waiting.get_mut(&key) else { return HashSet::new() };
        let woken: HashSet<_> = waiting
            .extract_if(|_, interest| !same || *interest == Interest::Everything)
            .map(|(k, _)| k)
            .collect();
        if waiting.is_empty() {
            self.waiting.remove(&key);
        }
        woken
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

    /// Forgets an object that is gone, and that it waits. Wakes those who wait for it.
    pub fn forget(&self, object: &Key, waker: &Waker<Kustomization>) {
        let mut state = self.lock();
        state.visible.remove(object);
        let waiting = state.waiting.remove(object).unwrap_or_default();
        waiting.into_keys().for_each(|dependent| waker.wake(dependent));
        state.waiting.retain(|_, dependents| {
            dependents.remove(object);
            !dependents.is_empty()
        });
    }

    /// Has `dependent` woken at the next change of `dependency`, if it looks at what changes. To be called before looking
    /// at the dependency, so that no change falls between.
    pub fn wait(&self, dependent: Key, dependency: Key, interest: Interest) {
        self.lock().waiting.entry(dependency).or_default().insert(dependent, interest);
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

/// Whether the dependency of an entry is ready.
pub struct Check {
    /// The object that depends.
    pub dependent: Arc<Kustomization>,
    /// The entry of its spec.
    pub entry: DependencyReference,
    /// What the entry refers to.
    pub dependency: Arc<Kustomization>,
    /// Revision that the dependent is about to apply.
    pub revision: String,
    /// Whether the built-in check counts beside an expression.
    pub additive: bool,
    /// Whether an expression sees metadata and status of the dependency alone.
    pub restricted: bool,
}

impl Check {
    /// Whether an expression is to be evaluated, which may take long: the answer is to be had where blocking is allowed.
    pub fn has_expression(&self) -> bool {
        self.expression().is_some()
    }

    fn expression(&self) -> Option<&str> {
        self.entry.ready_expr.as_deref().filter(|text| !text.is_empty())
    }

    /// Answers by the entry's expression if it has one, else, or if both count, by the built-in check.
    pub fn run(&self) -> Result<(), Blocked> {
        let expression = self.expression();
        if let Some(expression) = expression {
            check_ready(expression, &*self.dependent, &*self.dependency, self.restricted)?;
        }
        if expression.is_some() && !self.additive {
            return Ok(());
        }
        check_readiness(&self.dependent, &self.dependency, &self.revision)
    }
}

/// Whether an entry waits for more than its expression.
pub fn waits_for_readiness(entry: &DependencyReference, additive: bool) -> bool {
    additive || entry.ready_expr.as_deref().is_none_or(str::is_empty)
}

fn subject(dependency: &Kustomization) -> String {
    let part = |p: &Option<String>| p.clone().unwrap_or_default();
    let metadata = &dependency.metadata;
    format!("dependency '{}/{}'", part(&metadata.namespace), part(&metadata.name))
}

/// The way from an object over its dependencies back to itself, if there is one. `next` gives the dependencies whose
/// readiness an object waits for.
pub fn cycle(start: &Key, next: impl Fn(&Key) -> Vec<Key>) -> Option<Vec<Key>> {
    // From each object the one it was found from.
    let mut from: HashMap<Key, Key> = HashMap::new();
    let mut open = vec![start.clone()];
    while let Some(key) = open.pop() {
        for dependency in next(&key) {
            if dependency == *start {
                let mut way = vec![start.clone(), key.clone()];
                way.extend(std::iter::successors(from.get(&key), |key| from.get(key)).cloned());
                way.dedup();
                way.reverse();
                if key == *start {
                    way.push(start.clone());
                }
                return Some(way);
            }
            if !from.contains_key(&dependency) {
                from.insert(dependency.clone(), key.clone());
                open.push(dependency);
            }
        }
    }
    None
}

/// Upstream's built-in check: ready at its present generation and, if both use one source, at the same revision.
fn check_readiness(
    dependent: &Kustomization,
    dependency: &Kustomization,
    revision: &str,
) -> Result<(), Blocked> {
    if !is_ready(dependency) {
        return Err(Blocked::Waiting(format!("{} is not ready", subject(dependency))));
    }
    let applied = dependency.status.as_ref().and_then(|s| s.last_applied_revision.as_deref());
    if source_key(dependent) == source_key(dependency) && applied != Some(revision) {
        return Err(Blocked::Waiting(format!("{} revision is not up to date", subject(dependency))));
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

    fn check(
        dependent: &Kustomization,
        entry: &DependencyReference,
        dependency: &Kustomization,
        revision: &str,
        additive: bool,
    ) -> Result<(), Blocked> {
        let (dependent, entry, revision) = (Arc::new(dependent.clone()), entry.clone(), revision.to_owned());
        let dependency = Arc::new(dependency.clone());
        Check { dependent, entry, dependency, revision, additive, restricted: false }.run()
    }
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
        status::settle_conditions(&mut object);
        object
    }

    #[test]
    fn a_dependency_is_ready_at_its_present_generation_only() {
        let app = object("app", "one");
        let mut base = object("base", "two");
        assert_eq!(
            check_readiness(&app, &base, "r1"),
            Err(Blocked::Waiting("dependency 'ns/base' is not ready".into()))
        );
        base = applied(base, "other");
        assert_eq!(check_readiness(&app, &base, "r1"), Ok(()));
        base.metadata.generation = Some(2);
        assert_eq!(
            check_readiness(&app, &base, "r1"),
            Err(Blocked::Waiting("dependency 'ns/base' is not ready".into()))
        );
    }

    #[test]
    fn of_one_source_it_must_be_at_the_same_revision() {
        let (app, base) = (object("app", "one"), applied(object("base", "one"), "r1"));
        assert_eq!(check_readiness(&app, &base, "r1"), Ok(()));
        assert_eq!(
            check_readiness(&app, &base, "r2"),
            Err(Blocked::Waiting("dependency 'ns/base' revision is not up to date".into()))
        );
    }

    #[test]
    fn dependents_wait_until_the_dependency_looks_different() {
        let (dependencies, waker) = (Dependencies::default(), Waker::default());
        let (app, base) = (object("app", "one"), object("base", "one"));
        let waiting = |d: &Dependencies| d.lock().waiting.len();
        dependencies.observe(&Event::Apply(base.clone()), &waker);
        dependencies.wait(ObjectRef::from_obj(&app), ObjectRef::from_obj(&base), Interest::Readiness);
        dependencies.observe(&Event::Apply(base.clone()), &waker);
        assert_eq!(waiting(&dependencies), 1, "nothing changed");
        dependencies.observe(&Event::Apply(applied(base, "r1")), &waker);
        assert_eq!(waiting(&dependencies), 0, "woken once");
    }

    #[test]
    fn a_dependent_that_looks_at_everything_is_woken_by_any_change() {
        let (dependencies, waker) = (Dependencies::default(), Waker::default());
        let (app, base) = (object("app", "one"), object("base", "one"));
        dependencies.observe(&Event::Apply(base.clone()), &waker);
        dependencies.wait(ObjectRef::from_obj(&app), ObjectRef::from_obj(&base), Interest::Everything);
        dependencies.observe(&Event::Apply(base), &waker);
        assert!(dependencies.lock().waiting.is_empty());
    }

    fn entry(expression: &str) -> DependencyReference {
        DependencyReference {
            name: "base".into(),
            ready_expr: Some(expression.to_owned()),
            ..DependencyReference::default()
        }
    }

    #[test]
    fn an_expression_takes_the_place_of_the_built_in_check_or_adds_to_it() {
        let (app, mut base) = (object("app", "one"), object("base", "two"));
        base.metadata.labels = Some([("v".to_owned(), "1".to_owned())].into());
        let holds = entry("dep.metadata.labels['v'] == '1' && self.spec.sourceRef.name == 'one'");
        assert_eq!(check(&app, &holds, &base, "r1", false), Ok(()));
        let waiting = |text: &str| Err(Blocked::Waiting(text.into()));
        assert_eq!(check(&app, &holds, &base, "r1", true), waiting("dependency 'ns/base' is not ready"));
        assert_eq!(check(&app, &holds, &applied(base.clone(), "other"), "r1", true), Ok(()));
        let not_yet = entry("dep.metadata.labels['v'] == '2'");
        assert_eq!(
            check(&app, &not_yet, &base, "r1", false),
            waiting("dependency 'ns/base' is not ready according to readyExpr eval")
        );
        assert_eq!(
            check(&app, &entry("dep.status.x == 1"), &base, "r1", false),
            waiting("failed to evaluate the CEL expression 'dep.status.x == 1': no such key: status")
        );
    }

    #[test]
    fn an_expression_that_can_never_hold_is_the_dependents_fault() {
        let (app, base) = (object("app", "one"), object("base", "two"));
        for (expression, text) in [
            ("dep.", "failed to parse the CEL expression 'dep.'"),
            ("foo == 1", "undeclared reference to 'foo'"),
            ("dep.spec.suspend", "output type mismatch: expected bool, got dyn"),
        ] {
            let Err(Blocked::Invalid(message)) = check(&app, &entry(expression), &base, "r1", false) else {
                panic!("{expression}")
            };
            assert!(message.starts_with("terminal error: failed to evaluate dependency base: "), "{message}");
            assert!(message.contains(text), "{message}");
        }
    }

    #[test]
    fn a_cycle_is_found_and_named_in_order() {
        let key = |name: &str| Key::new(name).within("ns");
        let edges = [("a", "b"), ("a", "x"), ("b", "c"), ("c", "a"), ("x", "y"), ("s", "s"), ("to", "a")];
        let next = |from: &Key| -> Vec<Key> {
            edges.iter().filter(|(f, _)| key(f) == *from).map(|(_, to)| key(to)).collect()
        };
        let names = |start: &str| {
            cycle(&key(start), next).map(|way| way.into_iter().map(|k| k.name).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(names("a").as_deref(), Some("a b c a"));
        assert_eq!(names("b").as_deref(), Some("b c a b"));
        assert_eq!(names("s").as_deref(), Some("s s"));
        assert_eq!(names("to"), None, "it is before the cycle, not in it");
        assert_eq!(names("x"), None);
    }

    #[test]
    fn a_restricted_expression_sees_no_spec() {
        let mut dependency = Kustomization::new("base", Default::default());
        dependency.spec.path = "./secret".into();
        let entry = DependencyReference {
            name: "base".into(),
            ready_expr: Some("has(dep.spec) && dep.metadata.name == 'base'".into()),
            ..DependencyReference::default()
        };
        let check = |restricted| {
            let dependent = Arc::new(Kustomization::new("app", Default::default()));
            let (entry, dependency) = (entry.clone(), Arc::new(dependency.clone()));
            Check { dependent, entry, dependency, revision: String::new(), additive: false, restricted }.run()
        };
        assert_eq!(check(false), Ok(()));
        assert!(matches!(check(true), Err(Blocked::Waiting(_))));
    }
}
