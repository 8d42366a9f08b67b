//! What a source includes, and which sources include which, so that a new artifact wakes those that hold a copy of it.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use api::GitRepository;
use api::git_repository::GitRepositoryInclude;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use runtime::index::{Index, Referrers};

use super::content::Include;
use source::failure::{Failure, reason};

/// What `object` includes, in the order of its spec; `source` finds the others of its namespace. Whether they are ready does
/// not matter, only what they have.
pub fn resolve(
    object: &GitRepository,
    source: impl Fn(&str) -> Option<Arc<GitRepository>>,
) -> Result<Vec<Include>, Failure> {
    let include = |include: &GitRepositoryInclude| {
        let name = include.repository.name.clone();
        let source = source(&name).ok_or_else(|| {
            let missing = format!("GitRepository.source.toolkit.fluxcd.io \"{name}\" not found");
            let message = format!("could not get resource for include '{name}': {missing}");
            Failure::include(reason::NOT_FOUND, message)
        })?;
        let artifact = source.status.as_ref().and_then(|status| status.artifact.clone());
        let artifact = artifact.ok_or_else(|| {
            Failure::include(reason::NO_ARTIFACT, format!("no artifact available for include '{name}'"))
        })?;
        let (from, to) = (include.from_path.clone(), include.target().to_owned());
        Ok(Include { name, from, to, artifact })
    };
    object.spec.include.iter().map(include).collect()
}

type Source = ObjectRef<GitRepository>;

/// What the watch tells about artifacts and includes.
#[derive(Debug, Default)]
pub struct Includers {
    /// Each source's artifact, as a hash of revision, digest and time.
    artifacts: Index<Source, u64>,
    included: Referrers<Source, Source>,
}

impl Includers {
    /// Takes in an event; gives the sources that include one whose artifact it changed.
    ///
    /// A source that includes itself, over others or not, is not among them: it could change for ever. It looks at
    /// its includes when it is polled.
    pub fn observe(&mut self, event: &Event<GitRepository>) -> Vec<Source> {
        if let Event::Apply(object) | Event::InitApply(object) = event {
            self.included.set(&ObjectRef::from_obj(object), included(object));
        }
        let changed =
            self.artifacts.observe(event, |object| (ObjectRef::from_obj(object), fingerprint(object)));
        for gone in changed.iter().filter(|source| self.artifacts.get(source).is_none()) {
            self.included.set(gone, Vec::new());
        }
        let woken = changed
            .iter()
            .flat_map(|source| self.included.of(source).filter(|includer| !self.reaches(source, includer)));
        woken.cloned().collect()
    }

    /// All sources that there are.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        self.artifacts.keys()
    }

    /// Whether `from` is `to`, or includes it in the end.
    fn reaches(&self, from: &Source, to: &Source) -> bool {
        let (mut seen, mut open) = (HashSet::new(), vec![from]);
        while let Some(source) = open.pop() {
            if source == to {
                return true;
            }
            if seen.insert(source) {
                open.extend(self.included.targets(source));
            }
        }
        false
    }
}

/// The sources that a source includes.
fn included(object: &GitRepository) -> Vec<Source> {
    let namespace = object.namespace().unwrap_or_default();
    let names = object.spec.include.iter().map(|include| &include.repository.name);
    names.map(|name| ObjectRef::new(name).within(&namespace)).collect()
}

/// What changes when a source's artifact is stored: its content, or just the time, since it may have been lost.
fn fingerprint(object: &GitRepository) -> u64 {
    let mut hasher = DefaultHasher::new();
    let artifact = object.status.as_ref().and_then(|status| status.artifact.as_ref());
    let stored = artifact.map(|a| (&a.revision, &a.digest, &a.last_update_time));
    stored.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use api::{Artifact, GitRepositoryStatus, LocalObjectReference};

    fn source(name: &str, digest: &str, included: &[&str]) -> GitRepository {
        let mut object = GitRepository::new(name, api::GitRepositorySpec::default());
        object.metadata.namespace = Some("ns".into());
        let include = |name: &&str| GitRepositoryInclude {
            repository: LocalObjectReference { name: (*name).to_owned() },
            ..GitRepositoryInclude::default()
        };
        object.spec.include = included.iter().map(include).collect();
        let artifact = Artifact { digest: digest.into(), ..Artifact::default() };
        object.status =
            Some(GitRepositoryStatus { artifact: Some(artifact), ..GitRepositoryStatus::default() });
        object
    }

    fn names(woken: Vec<Source>) -> Vec<String> {
        let mut names: Vec<_> = woken.into_iter().map(|source| source.name).collect();
        names.sort();
        names
    }

    fn apply(includers: &mut Includers, object: GitRepository) -> Vec<String> {
        names(includers.observe(&Event::Apply(object)))
    }

    #[test]
    fn a_new_artifact_wakes_those_that_include_it() {
        let mut includers = Includers::default();
        apply(&mut includers, source("lib", "1", &[]));
        apply(&mut includers, source("a", "1", &["lib"]));
        apply(&mut includers, source("b", "1", &["other", "lib"]));
        assert_eq!(apply(&mut includers, source("lib", "1", &[])), [""; 0], "it is the same");
        assert_eq!(apply(&mut includers, source("lib", "2", &[])), ["a", "b"]);
        let mut again = source("lib", "2", &[]);
        let status = again.status.as_mut().unwrap();
        status.artifact.as_mut().unwrap().last_update_time = "2026-01-01T00:00:00Z".into();
        assert_eq!(apply(&mut includers, again), ["a", "b"], "it was lost, and is stored again");
        let mut elsewhere = source("lib", "3", &[]);
        elsewhere.metadata.namespace = Some("another".into());
        assert_eq!(apply(&mut includers, elsewhere), [""; 0]);
        apply(&mut includers, source("b", "1", &["other"]));
        assert_eq!(apply(&mut includers, source("lib", "3", &[])), ["a"], "b no longer does");
        assert_eq!(names(includers.observe(&Event::Delete(source("lib", "3", &[])))), ["a"]);
        includers.observe(&Event::Delete(source("a", "1", &["lib"])));
        assert_eq!(apply(&mut includers, source("lib", "3", &[])), [""; 0]);
        assert!(includers.included.targets(&ObjectRef::from_obj(&source("a", "1", &[]))).is_empty());
    }

    #[test]
    fn includers_are_told_of_a_list_when_it_is_complete() {
        let mut includers = Includers::default();
        apply(&mut includers, source("old", "1", &[]));
        apply(&mut includers, source("lib", "1", &[]));
        for event in [
            Event::Init,
            Event::InitApply(source("a", "1", &["lib", "old"])),
            Event::InitApply(source("lib", "2", &[])),
        ] {
            assert_eq!(names(includers.observe(&event)), [""; 0]);
        }
        assert_eq!(names(includers.observe(&Event::InitDone)), ["a", "a"]);
    }

    #[test]
    fn a_cycle_wakes_nobody_in_it() {
        let mut includers = Includers::default();
        apply(&mut includers, source("self", "1", &["self"]));
        apply(&mut includers, source("a", "1", &["b"]));
        apply(&mut includers, source("b", "1", &["c"]));
        apply(&mut includers, source("c", "1", &["a"]));
        apply(&mut includers, source("outside", "1", &["a"]));
        assert_eq!(apply(&mut includers, source("self", "2", &["self"])), [""; 0]);
        assert_eq!(apply(&mut includers, source("b", "2", &["c"])), [""; 0]);
        assert_eq!(apply(&mut includers, source("a", "2", &["b"])), ["outside"]);
    }
}
