//! The observed index: what is known about applied objects from watches, without asking.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::core::GroupVersionKind;

use crate::kstatus::Verdict;
use crate::mapper::Mapper;
use crate::object::ObjectId;
use crate::prepare::Owner;

/// What is kept of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// uid.
    pub uid: Box<str>,
    /// resourceVersion.
    pub resource_version: Box<str>,
    /// generation, 0 for kinds without.
    pub generation: i64,
    /// Whether its deletion was asked for.
    pub deleting: bool,
    /// Ownership fingerprint.
    pub fingerprint: u64,
    /// Health.
    pub verdict: Verdict,
    /// Owner by its labels.
    pub owner: Option<Arc<Owner>>,
}

/// State of the watch of a kind or object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchState {
    /// Not watched.
    Absent,
    /// The first list is not complete.
    Starting,
    /// What is not in the index does not exist (among the owned objects).
    Synced,
    /// The controller may not watch this.
    Forbidden(String),
    /// The watch fails and is retried; what is in the index may be old.
    Failing(String),
}

/// Settings of an index.
#[derive(Clone, Debug)]
pub struct IndexOptions {
    /// How long a watch without objects is kept after it was last asked for.
    pub idle: Duration,
    /// Shortest and longest wait before a failed watch is tried again.
    pub retry: (Duration, Duration),
    /// Objects per page of the first list.
    pub page_size: u32,
}

/// The index of one cluster. Clones share it; its watches end when the last clone is dropped.
#[derive(Clone)]
pub struct Index {}

impl Index {
    /// `client` is the controller's own for that cluster.
    pub fn new(_client: Client, _mapper: Arc<Mapper>, _options: IndexOptions) -> Self {
        todo!()
    }

    /// Watches the owned objects of a kind from now on, and tells how that watch stands.
    pub fn ensure(&self, _gvk: &GroupVersionKind) -> WatchState {
        todo!()
    }

    /// Waits until none of the kinds' watches is starting, or the time is over.
    pub async fn settled(&self, _gvks: &[GroupVersionKind], _limit: Duration) {
        todo!()
    }

    /// What is known about an owned object, or one of [`Self::watch_object`].
    pub fn get(&self, _id: &ObjectId) -> Option<Observed> {
        todo!()
    }

    /// Watches one object, owned or not, on behalf of `owner`, until the guard is dropped.
    pub fn watch_object(
        &self,
        _gvk: &GroupVersionKind,
        _namespace: &str,
        _name: &str,
        _owner: &Owner,
    ) -> ObjectWatch {
        todo!()
    }

    /// Waits for owners with an object that changed its verdict or fingerprint, or was deleted, and takes them. Owners that change
    /// again before they are taken are told once.
    pub async fn changed(&self) -> Vec<Owner> {
        todo!()
    }
}

/// Keeps one object watched.
pub struct ObjectWatch {}

impl ObjectWatch {
    /// How the watch stands. When synced, an object that is not in the index does not exist.
    pub fn state(&self) -> WatchState {
        todo!()
    }

    /// What is known about the object.
    pub fn get(&self) -> Option<Observed> {
        todo!()
    }
}
