//! Which charts are made from which source, so that a new revision of that wakes them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use api::helm_chart::HelmChart;
use api::source::Source;
use kube::core::NamespaceResourceScope;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};
use runtime::controller::Waker;
use runtime::index::{Index, Referrers};

/// Kind, namespace and name of a source.
type SourceKey = (String, String, String);

/// What the watches tell of charts and their sources.
pub struct Wakes {
    state: Mutex<State>,
    waker: Waker<HelmChart>,
}

#[derive(Default)]
struct State {
    /// The revision of each source, by kind.
    revisions: HashMap<&'static str, Index<SourceKey, Option<String>>>,
    /// The source of each chart.
    charts: Index<ObjectRef<HelmChart>, SourceKey>,
    referrers: Referrers<ObjectRef<HelmChart>, SourceKey>,
}

impl Wakes {
    /// Nothing is known yet; `waker` brings charts up.
    pub fn new(waker: Waker<HelmChart>) -> Wakes {
        Wakes { state: Mutex::default(), waker }
    }

    /// The watch of a kind of source tells something: charts are woken whose source has a new revision.
    pub fn source<K>(&self, kind: &'static str, event: &Event<K>)
    where
        K: Source + Resource<Scope = NamespaceResourceScope>,
    {
        for chart in self.state().source(kind, event) {
            self.waker.wake(chart);
        }
    }

    /// The watch of charts tells something.
    pub fn chart(&self, event: &Event<HelmChart>) {
        let State { charts, referrers, .. } = &mut *self.state();
        let source = |chart: &HelmChart| {
            let reference = &chart.spec.source_ref;
            let namespace = chart.namespace().unwrap_or_default();
            (ObjectRef::from_obj(chart), (reference.kind.clone(), namespace, reference.name.clone()))
        };
        for chart in charts.observe(event, source) {
            referrers.set(&chart, charts.get(&chart).cloned().into_iter().collect());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn source<K>(&mut self, kind: &'static str, event: &Event<K>) -> Vec<ObjectRef<HelmChart>>
    where
        K: Source + Resource<Scope = NamespaceResourceScope>,
    {
        let key = |source: &K| (kind.to_owned(), source.namespace().unwrap_or_default(), source.name_any());
        let revision = |source: &K| source.artifact().map(|artifact| artifact.revision.clone());
        let revisions = self.revisions.entry(kind).or_default();
        let changed = revisions.observe(event, |source| (key(source), revision(source)));
        let has_revision = |key: &&SourceKey| revisions.get(key).is_some_and(Option::is_some);
        changed.iter().filter(has_revision).flat_map(|key| self.referrers.of(key)).cloned().collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use api::{Artifact, GitRepository};

    use super::*;

    fn chart(name: &str, kind: &str, source: &str) -> HelmChart {
        let mut chart = HelmChart::new(name, Default::default());
        chart.metadata.namespace = Some("ns".into());
        (chart.spec.source_ref.kind, chart.spec.source_ref.name) = (kind.into(), source.into());
        chart
    }

    fn git(namespace: &str, name: &str, revision: Option<&str>) -> GitRepository {
        let mut source = GitRepository::new(name, Default::default());
        source.metadata.namespace = Some(namespace.into());
        let artifact = revision.map(|revision| Artifact { revision: revision.into(), ..Artifact::default() });
        *source.status_mut().artifact = artifact;
        source
    }

    #[test]
    fn a_new_revision_wakes_the_charts_of_that_source_alone() {
        let wakes = Wakes::new(Waker::default());
        for (name, kind, source) in
            [("a", "GitRepository", "app"), ("b", "GitRepository", "app"), ("c", "HelmRepository", "app")]
        {
            wakes.chart(&Event::Apply(chart(name, kind, source)));
        }
        let woken = |event: Event<GitRepository>| {
            let mut woken: Vec<_> =
                wakes.state().source("GitRepository", &event).into_iter().map(|chart| chart.name).collect();
            woken.sort();
            woken
        };
        assert_eq!(woken(Event::Apply(git("ns", "app", None))), [""; 0]);
        assert_eq!(woken(Event::Apply(git("ns", "app", Some("1")))), ["a", "b"]);
        assert_eq!(woken(Event::Apply(git("ns", "app", Some("1")))), [""; 0], "it is the same");
        assert_eq!(woken(Event::Apply(git("other", "app", Some("2")))), [""; 0]);
        wakes.chart(&Event::Delete(chart("a", "GitRepository", "app")));
        wakes.chart(&Event::Apply(chart("b", "GitRepository", "else")));
        assert_eq!(woken(Event::Apply(git("ns", "app", Some("2")))), [""; 0]);
        assert_eq!(woken(Event::Apply(git("ns", "else", Some("2")))), ["b"]);
        assert_eq!(woken(Event::Delete(git("ns", "else", Some("2")))), [""; 0]);
    }
}
