//! The indexes that charts are looked up in: read once, shared by all charts of a repository.

use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::Artifact;
use artifact::store::{Store, StoreError};
use helm_repository::{Body, Encoding, Index, IndexError, Limits};
use net::{Deadline, Named};
use prometheus::{IntCounterVec, Opts};
use runtime::metrics::Metrics;
use tokio::sync::Mutex as Turn;

use super::KIND;

/// What the series calls an index that is kept, and one that is not.
const HIT: &str = "cache_hit";
const MISS: &str = "cache_miss";

/// Why an index cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum IndexesError {
    /// The artifact is not in the storage.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is no index.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// Another chart has it read, and that takes too long.
    #[error("timed out waiting for another chart with the same index")]
    Busy,
    /// The thread that read it ended.
    #[error("reading the index was given up")]
    GivenUp,
}

/// Indexes by the digest of their artifact. Those that were used last stay, as far as their bytes fit.
pub struct Indexes {
    storage: Arc<Store>,
    limits: Limits,
    bytes: usize,
    /// The one that was used last comes last.
    kept: Mutex<Vec<(String, Arc<Index>)>>,
    /// One for each index that is being read.
    turns: Named<Turn<()>>,
    events: IntCounterVec,
}

impl Indexes {
    /// None, of artifacts in `storage`; so many bytes of them are kept.
    ///
    /// # Errors
    /// When the series is there already.
    pub fn new(
        storage: Arc<Store>,
        limits: Limits,
        bytes: usize,
        metrics: &Metrics,
    ) -> Result<Self, prometheus::Error> {
        let help = "Total number of cache retrieval events for a Gitops Toolkit resource reconciliation.";
        let options = Opts::new("gotk_cache_events_total", help);
        let events = metrics.register(IntCounterVec::new(options, &["event_type", "name", "namespace"])?)?;
        let series = events.clone();
        metrics.on_forget(move |kind, namespace, name| {
            for event in [HIT, MISS].iter().filter(|_| kind == KIND) {
                // Most objects have none.
                let _ = series.remove_label_values(&[event, name, namespace]);
            }
        });
        Ok(Self { storage, limits, bytes, kept: Mutex::default(), turns: Named::default(), events })
    }

    /// Keeps an index.
    pub fn put(&self, digest: &str, index: Index) -> Arc<Index> {
        let index = Arc::new(index);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(other, _)| other != digest);
        kept.push((digest.to_owned(), index.clone()));
        let mut bytes: usize = kept.iter().map(|(_, index)| index.bytes()).sum();
        while bytes > self.bytes && kept.len() > 1 {
            let (_, oldest) = kept.remove(0);
            bytes -= oldest.bytes();
        }
        index
    }

    /// The index that is the artifact of a HelmRepository, for the object `namespace`/`name`. It is read unless it is kept, once for
    /// all who ask at the same time.
    ///
    /// # Errors
    /// When it is not in the storage, or cannot be read before the deadline.
    pub async fn get(
        &self,
        artifact: &Artifact,
        namespace: &str,
        name: &str,
        deadline: &Deadline,
    ) -> Result<Arc<Index>, IndexesError> {
        let turn = self.turns.get(&artifact.digest, Turn::default);
        let turn = deadline.bound(Duration::MAX, turn.lock()).await;
        let _turn = turn.map_err(|_| IndexesError::Busy)?;
        let found = self.find(&artifact.digest);
        let event = if found.is_some() { HIT } else { MISS };
        self.events.with_label_values(&[event, name, namespace]).inc();
        if let Some(index) = found {
            return Ok(index);
        }
        let file: File = self.storage.open_file(&artifact.path)?;
        let (limits, deadline) = (self.limits.clone(), deadline.clone());
        let read = tokio::task::spawn_blocking(move || {
            let body = Body { file, encoding: Encoding::Identity };
            helm_repository::read(&body, &limits, &|| !deadline.is_over())
        });
        let index = read.await.map_err(|_| IndexesError::GivenUp)??;
        Ok(self.put(&artifact.digest, index))
    }

    /// The bytes of those that are kept.
    pub fn bytes(&self) -> usize {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().map(|(_, index)| index.bytes()).sum()
    }

    fn find(&self, digest: &str) -> Option<Arc<Index>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let place = kept.iter().position(|(other, _)| other == digest)?;
        let found = kept.remove(place);
        let index = found.1.clone();
        kept.push(found);
        Some(index)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use artifact::store::Options;

    use super::*;

    const PATH: &str = "helmrepository/ns/charts/index-1.yaml";
    const INDEX: &str = r#"{"apiVersion":"v1","entries":{"app":[{"name":"app","version":"1.0.0"}]}}"#;

    fn indexes(metrics: &Metrics) -> (tempfile::TempDir, Indexes, Artifact) {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(folder.path(), Options::new("h")).unwrap());
        let stored = store.copy(PATH, "sha256:1", &mut INDEX.as_bytes()).unwrap();
        let indexes = Indexes::new(store, Limits::default(), 1 << 20, metrics).unwrap();
        (folder, indexes, source::storage::status_artifact(stored))
    }

    fn series(metrics: &Metrics) -> usize {
        metrics.render().lines().filter(|line| line.starts_with("gotk_cache_events_total{")).count()
    }

    #[tokio::test]
    async fn an_index_is_read_once_and_its_series_go_with_its_repository_alone() {
        let metrics = Metrics::new().unwrap();
        let (_folder, indexes, artifact) = indexes(&metrics);
        let deadline = Deadline::new(Duration::from_secs(60));
        let get = || indexes.get(&artifact, "ns", "charts", &deadline);
        let (first, second) = (get().await.unwrap(), get().await.unwrap());
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!((first.len(), series(&metrics)), (1, 2));
        metrics.forget("GitRepository", "ns", "charts");
        assert_eq!(series(&metrics), 2);
        metrics.forget(KIND, "ns", "charts");
        assert_eq!(series(&metrics), 0);
    }

    #[tokio::test]
    async fn nobody_waits_longer_than_his_deadline_for_an_index_that_another_one_reads() {
        let (_folder, indexes, artifact) = indexes(&Metrics::new().unwrap());
        let turn = indexes.turns.get(&artifact.digest, Turn::default);
        let _reading = turn.lock().await;
        let soon = Deadline::new(Duration::from_millis(20));
        let error = indexes.get(&artifact, "ns", "charts", &soon).await.unwrap_err().to_string();
        assert_eq!(error, "timed out waiting for another chart with the same index");
    }
}
