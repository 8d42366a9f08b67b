//! Deletion of objects that are no longer wanted.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;

use crate::change::{Change, ChangeSet};
use crate::mapper::Mapper;
use crate::object::ObjectId;
use crate::prepare::Owner;

/// An inventory entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The object.
    pub id: ObjectId,
    /// Version it was applied in, without group.
    pub version: String,
}

/// What deletion must respect.
#[derive(Clone, Debug)]
pub struct PruneOptions {
    /// Only objects that carry both owner labels of this Kustomization are deleted.
    pub owner: Owner,
    /// Namespaces that are never deleted.
    pub protected_namespaces: Vec<String>,
    /// Deletions in flight at once.
    pub concurrency: usize,
    /// Longest wait for the answer to one request.
    pub request_timeout: Duration,
}

/// What became of the entries.
#[derive(Debug, Default)]
pub struct Pruned {
    /// Deleted and skipped objects, in the order of deletion.
    pub changes: ChangeSet,
    /// Objects that could not be deleted and belong into the inventory until they are, with why.
    pub failed: Vec<(Entry, String)>,
}

impl Pruned {
    /// Upstream's message over all failures; `None` if there were none.
    pub fn error(&self) -> Option<String> {
        todo!()
    }
}

/// The entries of `old` that are not in `new`, by id.
pub fn stale<'a>(_old: &'a [Entry], _new: &[Entry]) -> Vec<&'a Entry> {
    todo!()
}

/// Deletes entries in reverse apply order, background propagation, without waiting for them to be gone.
pub async fn delete(
    _client: &Client,
    _mapper: &Arc<Mapper>,
    _entries: Vec<Entry>,
    _options: &PruneOptions,
) -> Pruned {
    todo!()
}

/// The deleted objects that still exist.
pub async fn remaining(
    _client: &Client,
    _mapper: &Arc<Mapper>,
    _deleted: &[Change],
    _request_timeout: Duration,
) -> Vec<ObjectId> {
    todo!()
}
