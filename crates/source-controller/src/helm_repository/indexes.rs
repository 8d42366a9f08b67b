//! The indexes that charts are looked up in: read once, shared by all charts of a repository.

use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};

use api::Artifact;
use artifact::store::{Store, StoreError};
use helm_repository::{Body, Encoding, Index, IndexError, Limits};
use net::{Deadline, Named};
use prometheus::{IntCounterVec, Opts};
use runtime::metrics::Metrics;
use tokio::sync::Mutex as Turn;

/// Why an index cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum IndexesError {
    /// The artifact is not in the storage.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is no index.
    #[error(transparent)]
    Index(#[from] IndexError),
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
        let _turn = turn.lock().await;
        let found = self.find(&artifact.digest);
        let event = if found.is_some() { "cache_hit" } else { "cache_miss" };
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

    /// The object is gone: its series go, too.
    pub fn forget(&self, namespace: &str, name: &str) {
        for event in ["cache_hit", "cache_miss"] {
            // Most objects have none.
            let _ = self.events.remove_label_values(&[event, name, namespace]);
        }
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
