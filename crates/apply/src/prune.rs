//! Deletion of objects that are no longer wanted. An object is deleted only if it still says that it is ours.

use std::collections::HashSet;
use std::time::Duration;

use futures::{StreamExt, stream};
use kube::Client;
use serde_json::Value;
use tokio::time::Instant;

use crate::change::{Action, Change, ChangeSet};
use crate::error::RequestError;
use crate::manager::Manager;
use crate::mapper::{MapError, Mapper, RestMapping};
use crate::object::{ObjectId, label, meta};
use crate::order::{compare, rank};
use crate::policy::Policy;
use crate::prepare::Owner;
use crate::request::{Requests, Target};

/// An inventory entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The object.
    pub id: ObjectId,
    /// Version it was applied in, without group.
    pub version: String,
}

/// What deletion must respect.
#[derive(Clone, Debug)]
pub struct PruneOptions {
    /// Who deletes.
    pub manager: Manager,
    /// Only objects that carry both labels of this owner are deleted.
    pub owner: Owner,
    /// Objects that are wanted, whatever the entries call them: an entry that turns out to be one of these is dropped.
    pub keep: HashSet<ObjectId>,
    /// Entries that another owner has applied or is about to: those that are still ours are left to it.
    pub claimed: HashSet<ObjectId>,
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
    /// Objects that could not be deleted and belong into the inventory until they are, with upstream's sentence why.
    pub failed: Vec<(Entry, String)>,
    /// Objects that are still ours and left to another Kustomization. They belong into the inventory until they are not ours.
    pub claimed: Vec<Entry>,
}

impl Pruned {
    /// Upstream's message over all failures; `None` if there were none.
    pub fn error(&self) -> Option<String> {
        let all: String = self.failed.iter().map(|(_, why)| format!("{why};")).collect();
        (!all.is_empty()).then(|| format!("delete failed, errors: {all}"))
    }
}

/// The entries of `old` that are not in `new`, by id: another version alone makes none stale.
pub fn stale(old: &[Entry], new: &[Entry]) -> Vec<Entry> {
    let mut seen: HashSet<&ObjectId> = new.iter().map(|e| &e.id).collect();
    // Where an id stands twice, its last version counts, as in Flux.
    let mut stale: Vec<_> = old.iter().rev().filter(|e| seen.insert(&e.id)).cloned().collect();
    stale.reverse();
    stale
}

/// Deletes entries in reverse apply order, with background propagation, without waiting for them to be gone. Objects of
/// one rank are deleted in parallel.
pub async fn delete(
    client: &Client,
    mapper: &Mapper,
    mut entries: Vec<Entry>,
    options: &PruneOptions,
) -> Pruned {
    entries.sort_by(|a, b| compare(&b.id, &a.id));
    let requests = Requests { client: client.clone(), timeout: options.request_timeout };
    let (mut pruned, since) = (Pruned::default(), Instant::now());
    // Once the API server cannot be reached, every further object would take its whole deadline.
    let mut unreachable: Option<String> = None;
    for same_rank in entries.chunk_by(|a, b| rank(&a.id.kind) == rank(&b.id.kind)) {
        let deletions: Vec<_> =
            same_rank.iter().map(|e| delete_one(&requests, mapper, e, options, since)).collect();
        let mut results = stream::iter(deletions).buffered(options.concurrency.max(1));
        for entry in same_rank {
            let result = match unreachable {
                None => results.next().await,
                Some(_) => None,
            };
            match result {
                Some(Ok(Fate::Wanted)) => {}
                Some(Ok(Fate::Claimed)) => pruned.claimed.push(entry.clone()),
                Some(Ok(Fate::Ended(action))) => {
                    let (id, version) = (entry.id.clone(), entry.version.clone());
                    pruned.changes.changes.push(Change { id, version, action });
                }
                Some(Err((step, error))) => {
                    pruned.failed.push((entry.clone(), format!("{} {step} failed: {error}", entry.id)));
                    unreachable = error.is_unreachable().then(|| error.to_string());
                }
                None => {
                    let why = unreachable.as_deref().unwrap_or_default();
                    pruned.failed.push((entry.clone(), format!("{} query failed: {why}", entry.id)));
                }
            }
        }
    }
    pruned
}

/// Attempts to delete an object that others keep changing.
const DELETE_ATTEMPTS: usize = 10;

/// What became of an entry.
enum Fate {
    /// It means an object that is wanted.
    Wanted,
    /// It is left to another Kustomization.
    Claimed,
    /// It was deleted or skipped.
    Ended(Action),
}

async fn delete_one(
    requests: &Requests,
    mapper: &Mapper,
    entry: &Entry,
    options: &PruneOptions,
    since: Instant,
) -> Result<Fate, (&'static str, RequestError)> {
    let Some(mapped) = served(requests, mapper, entry, since).await.map_err(|e| ("query", e))? else {
        return Ok(Fate::Ended(Action::Deleted));
    };
    // An entry written ahead may carry the namespace that its manifest gives an object of the cluster.
    let mut id = entry.id.clone();
    if !mapped.namespaced {
        id.namespace.clear();
    }
    if options.keep.contains(&id) {
        return Ok(Fate::Wanted);
    }
    let target = Target { mapped: &mapped, namespace: &id.namespace, name: &id.name };
    let mut attempt = 1;
    loop {
        let Some(live) = requests.get(&target).await.map_err(|e| ("query", e))? else {
            return Ok(Fate::Ended(Action::Deleted));
        };
        if !may_delete(&live, &id, options) {
            return Ok(Fate::Ended(Action::Skipped));
        }
        if options.claimed.contains(&entry.id) {
            return Ok(Fate::Claimed);
        }
        // Exactly what was looked at: another Kustomization may take the object over at this moment.
        match requests.delete(&target, meta(&live, "uid"), Some(meta(&live, "resourceVersion"))).await {
            Err(error) if error.is_conflict() && attempt < DELETE_ATTEMPTS => attempt += 1,
            answer => return answer.map(|()| Fate::Ended(Action::Deleted)).map_err(|e| ("delete", e)),
        }
    }
}

/// Where the entry's kind is served; `None` if it certainly is not, and so has no objects. Discovery alone is no proof: it
/// may be incomplete while an API server starts.
async fn served(
    requests: &Requests,
    mapper: &Mapper,
    entry: &Entry,
    since: Instant,
) -> Result<Option<RestMapping>, RequestError> {
    let gvk = entry.id.gvk(&entry.version);
    match mapper.resolve_since(&gvk, since).await {
        Ok(mapped) => Ok(Some(mapped)),
        Err(MapError::NoMatch { .. }) if !requests.serves(&gvk).await? => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether a live object is ours to delete.
fn may_delete(live: &Value, id: &ObjectId, options: &PruneOptions) -> bool {
    let protected =
        id.group.is_empty() && id.kind == "Namespace" && options.protected_namespaces.contains(&id.name);
    let ours =
        options.owner.labels(&options.manager).iter().all(|(key, value)| label(live, key) == Some(value));
    ours && !protected && !Policy::of(live, &options.manager).forbids_delete()
}

/// The deleted objects among these changes that still exist, or of which that cannot be told.
pub async fn remaining(
    client: &Client,
    mapper: &Mapper,
    changes: &ChangeSet,
    options: &PruneOptions,
) -> Vec<ObjectId> {
    let requests = Requests { client: client.clone(), timeout: options.request_timeout };
    let since = Instant::now();
    let deleted: Vec<&Change> = changes.changes.iter().filter(|c| c.action == Action::Deleted).collect();
    let looks: Vec<_> = deleted.iter().map(|c| exists(&requests, mapper, c, since)).collect();
    let found: Vec<bool> = stream::iter(looks).buffered(options.concurrency.max(1)).collect().await;
    deleted.iter().zip(found).filter(|(_, exists)| *exists).map(|(c, _)| c.id.clone()).collect()
}

async fn exists(requests: &Requests, mapper: &Mapper, change: &Change, since: Instant) -> bool {
    let entry = Entry { id: change.id.clone(), version: change.version.clone() };
    match served(requests, mapper, &entry, since).await {
        Ok(Some(mapped)) => {
            let target = Target { mapped: &mapped, namespace: &entry.id.namespace, name: &entry.id.name };
            !matches!(requests.get(&target).await, Ok(None))
        }
        Ok(None) => false,
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry(kind: &str, name: &str, version: &str) -> Entry {
        let id =
            ObjectId { group: String::new(), kind: kind.into(), namespace: String::new(), name: name.into() };
        Entry { id, version: version.into() }
    }

    fn options() -> PruneOptions {
        PruneOptions {
            manager: crate::manager::TEST_MANAGER,
            owner: Owner { namespace: "flux-system".into(), name: "apps".into() },
            keep: HashSet::new(),
            claimed: HashSet::new(),
            protected_namespaces: vec!["flux-system".into()],
            concurrency: 4,
            request_timeout: Duration::from_secs(1),
        }
    }

    fn live(namespace: &str, annotations: Value) -> Value {
        let labels = json!({"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": namespace});
        json!({"metadata": {"labels": labels, "annotations": annotations}})
    }

    #[test]
    fn entries_are_stale_by_id_not_by_version() {
        let old = [entry("A", "a", "v1"), entry("A", "b", "v1")];
        assert_eq!(stale(&old, &[entry("A", "a", "v2")]), [entry("A", "b", "v1")]);
        assert_eq!(stale(&old, &old), []);
        // Of two with one id the last version counts.
        assert_eq!(stale(&[entry("A", "a", "v1"), entry("A", "a", "v2")], &[]), [entry("A", "a", "v2")]);
    }

    #[test]
    fn objects_are_deleted_if_they_say_that_they_are_ours() {
        let id = entry("Namespace", "team", "v1").id;
        assert!(may_delete(&live("flux-system", json!({})), &id, &options()));
        assert!(!may_delete(&live("elsewhere", json!({})), &id, &options()));
        assert!(!may_delete(&json!({"metadata": {}}), &id, &options()));
        for (key, value) in [("prune", "Disabled"), ("reconcile", "disabled"), ("ssa", "ignore")] {
            let annotations = json!({(format!("kustomize.toolkit.fluxcd.io/{key}")): value});
            assert!(!may_delete(&live("flux-system", annotations), &id, &options()), "{key}");
        }
        let if_not_present = json!({"kustomize.toolkit.fluxcd.io/ssa": "IfNotPresent"});
        assert!(may_delete(&live("flux-system", if_not_present), &id, &options()));
    }

    #[test]
    fn a_protected_namespace_is_never_deleted_but_other_kinds_of_its_name_are() {
        let mine = live("flux-system", json!({}));
        assert!(!may_delete(&mine, &entry("Namespace", "flux-system", "v1").id, &options()));
        assert!(may_delete(&mine, &entry("ConfigMap", "flux-system", "v1").id, &options()));
    }

    #[test]
    fn failures_are_told_together() {
        let failed = ["a", "b"].map(|n| (entry("A", n, "v1"), format!("A/{n} delete failed: no"))).to_vec();
        let pruned = Pruned { failed, ..Pruned::default() };
        assert_eq!(
            pruned.error().as_deref(),
            Some("delete failed, errors: A/a delete failed: no;A/b delete failed: no;")
        );
        assert_eq!(Pruned::default().error(), None);
    }
}
