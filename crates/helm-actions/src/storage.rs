//! The revisions of releases as Secrets of a namespace (`pkg/storage` of Helm, with its Secret driver).
//!
//! Which revisions there are is read from the labels of the Secrets; content is read of those alone that are asked for.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use apply::error::RequestError;
use apply::mapper::RestMapping;
use apply::request::{Requests, Target};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use helm_release::{
    DecodeError, EncodeError, KEY, Limits, OWNER, Release, SECRET_TYPE, Stamp, Status, decode, encode,
    labels, secret_name,
};
use jiff::Timestamp;
use kube::api::{DeleteParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use crate::configuration::{Configuration, Observer, Write};
use crate::kept::Kept;
use crate::log::Log;

/// Why the storage could not be read or written, in the words of Helm.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The name of a release cannot be a label.
    #[error("invalid label value: {0:?}")]
    Label(String),
    /// Which revisions there are cannot be told.
    #[error("query: failed to query with labels")]
    Query(#[source] RequestError),
    /// A revision cannot be read.
    #[error("get: failed to get {name:?}")]
    Get {
        /// The Secret.
        name: String,
        #[source]
        /// Why.
        source: RequestError,
    },
    /// A Secret holds no revision.
    #[error("get: failed to decode data {name:?}")]
    Decode {
        /// The Secret.
        name: String,
        #[source]
        /// Why.
        source: DecodeError,
    },
    /// The work on it ended, by a fault or with the process.
    #[error("get: failed to decode data {name:?}: the work was broken off")]
    Ended {
        /// The Secret.
        name: String,
    },
    /// There is a Secret of this revision.
    #[error("release: already exists")]
    Exists,
    /// A revision cannot be created.
    #[error("create: failed to create")]
    Create(#[source] WriteError),
    /// A revision cannot be updated.
    #[error("update: failed to update")]
    Update(#[source] WriteError),
    /// A revision cannot be deleted.
    #[error("failed to delete {name:?}")]
    Delete {
        /// The Secret.
        name: String,
        #[source]
        /// Why.
        source: RequestError,
    },
}

impl StorageError {
    /// Whether reading would fail again.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Query(error) | Self::Get { source: error, .. } => error.is_final(),
            Self::Label(_) | Self::Decode { .. } => true,
            _ => false,
        }
    }
}

/// Why a revision cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// It cannot be a Secret.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The API server does not take it.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The work on it was broken off, for the process ends.
    #[error("the release is not encoded, for the process ends")]
    Ended,
}

impl StorageError {
    /// Whether the cluster did not answer, as against an answer that is an error.
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Query(source)
            | Self::Get { source, .. }
            | Self::Delete { source, .. }
            | Self::Create(WriteError::Request(source))
            | Self::Update(WriteError::Request(source)) => source.is_unreachable(),
            _ => false,
        }
    }
}

/// A revision as its labels tell of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The revision.
    pub revision: i64,
    /// Whether it is the one whose objects are in the cluster.
    pub is_deployed: bool,
    /// Another one after each write of its Secret.
    pub stamp: u64,
}

/// The stored revisions of one namespace.
#[derive(Clone)]
pub struct Storage {
    requests: Requests,
    mapped: RestMapping,
    namespace: String,
    limits: Limits,
    observer: Observer,
    log: Log,
    kept: Kept,
}

impl Storage {
    pub(crate) fn new(configuration: &Configuration) -> Self {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Secret"));
        let mapped = RestMapping { resource, namespaced: true };
        let Configuration { storage_namespace, limits, observer, log, kept, .. } = configuration.clone();
        let requests = configuration.requests();
        Self { requests, mapped, namespace: storage_namespace, limits, observer, log, kept }
    }

    fn target<'a>(&'a self, name: &'a str) -> Target<'a> {
        Target { mapped: &self.mapped, namespace: &self.namespace, name }
    }

    /// Which revisions of a release there are, oldest first.
    ///
    /// # Errors
    /// The API server refuses or does not answer.
    pub async fn entries(&self, release: &str) -> Result<Vec<Entry>, StorageError> {
        if !is_label_value(release) {
            return Err(StorageError::Label(release.to_owned()));
        }
        let selector = format!("name={release},owner={OWNER}");
        let found = self.requests.list_metadata(&self.target(""), &selector).await;
        let mut entries: Vec<Entry> =
            found.map_err(StorageError::Query)?.iter().filter_map(Entry::of).collect();
        entries.sort_unstable();
        Ok(entries)
    }

    /// A revision; `None` if there is none.
    ///
    /// # Errors
    /// The API server refuses or does not answer, or what is stored is no revision.
    pub async fn get(&self, release: &str, revision: i64) -> Result<Option<Release>, StorageError> {
        let name = secret_name(release, revision);
        let found = self.requests.get(&self.target(&name)).await;
        let Some(mut secret) = found.map_err(|source| StorageError::Get { name: name.clone(), source })?
        else {
            return Ok(None);
        };
        let limits = self.limits.clone();
        let stamp = Entry::of(&secret).map(|entry| entry.stamp);
        let work = tokio::task::spawn_blocking(move || {
            let text = secret.pointer_mut("/data").and_then(|data| data.get_mut(KEY)).map(Value::take);
            let text = text.as_ref().and_then(Value::as_str).unwrap_or_default();
            let data = STANDARD.decode(text).map_err(DecodeError::Base64)?;
            Ok((decode(&data, &labels_of(&secret), &limits)?, text.len()))
        });
        // Without an answer it is not known whether there is a release.
        let Ok(decoded) = work.await else { return Err(StorageError::Ended { name }) };
        let (release, length) = decoded.map_err(|source| StorageError::Decode { name, source })?;
        if let Some(stamp) = stamp {
            self.kept.put(stamp, length, &release);
        }
        Ok(Some(release))
    }

    /// The newest of these revisions that can be read. As in Helm, one that cannot is passed over.
    ///
    /// # Errors
    /// The API server refuses or does not answer.
    pub async fn newest(&self, release: &str, entries: &[Entry]) -> Result<Option<Release>, StorageError> {
        for entry in entries.iter().rev() {
            if let Some(kept) = self.kept.get(entry.stamp) {
                return Ok(Some(kept));
            }
            match self.get(release, entry.revision).await {
                Ok(None) => {}
                Err(error @ StorageError::Decode { .. }) => {
                    tracing::debug!(error = net::chain(&error), "a stored revision is passed over");
                }
                answer => return answer,
            }
        }
        Ok(None)
    }

    /// The newest revision of a release.
    ///
    /// # Errors
    /// The API server refuses or does not answer.
    pub async fn last(&self, release: &str) -> Result<Option<Release>, StorageError> {
        self.newest(release, &self.entries(release).await?).await
    }

    /// Stores a new revision. Before it, the oldest of those that are there go until there are less than `max_history`, but for the
    /// last one that is deployed; 0 keeps all.
    ///
    /// # Errors
    /// There is one of this number, it is too large, or the API server refuses or does not answer.
    pub async fn create(
        &self,
        release: &Release,
        there: &[Entry],
        max_history: usize,
    ) -> Result<(), StorageError> {
        let secret = self.secret(release, Stamp::Created).await.map_err(StorageError::Create)?;
        if let Some(most) = max_history.checked_sub(1) {
            for revision in to_prune(there, most) {
                self.delete(&release.name, revision).await?;
            }
        }
        let created = self.requests.create(&self.target(""), &PostParams::default(), &secret).await;
        let stored = created.map_err(|error| {
            let exists = error.status().is_some_and(|status| status.reason == "AlreadyExists");
            if exists { StorageError::Exists } else { StorageError::Create(error.into()) }
        })?;
        self.keep(&stored, release);
        self.observer.tell(Write::Created(release));
        Ok(())
    }

    /// Stores a revision that is there in its new state.
    ///
    /// # Errors
    /// It is not there, is too large, or the API server refuses or does not answer.
    pub async fn update(&self, release: &Release) -> Result<(), StorageError> {
        let secret = self.secret(release, Stamp::Modified).await.map_err(StorageError::Update)?;
        let name = secret_name(&release.name, release.version);
        let updated = self.requests.replace(&self.target(&name), &PostParams::default(), &secret).await;
        let stored = updated.map_err(|error| StorageError::Update(error.into()))?;
        self.keep(&stored, release);
        self.observer.tell(Write::Updated(release));
        Ok(())
    }

    fn keep(&self, stored: &Value, release: &Release) {
        let text = stored.pointer("/data").and_then(|data| data.get(KEY)).and_then(Value::as_str);
        if let (Some(entry), Some(text)) = (Entry::of(stored), text) {
            self.kept.put(entry.stamp, text.len(), release);
        }
    }

    /// Stores a revision in its new state where Helm goes on if that fails.
    pub(crate) async fn record(&self, release: &Release) {
        if let Err(error) = self.update(release).await {
            let (name, revision) = (&release.name, release.version);
            let error = net::chain(&error);
            tracing::warn!(name, revision, error, "failed to update release");
            self.log.warn(
                "failed to update release",
                [("name", name.as_str().into()), ("revision", revision.into()), ("error", error.into())],
            );
        }
    }

    /// Makes every one of these revisions superseded that is deployed. As in Helm, one that cannot be written is passed over.
    ///
    /// # Errors
    /// One cannot be read, for the API server refuses or does not answer.
    pub(crate) async fn supersede_deployed(
        &self,
        release: &str,
        entries: impl Iterator<Item = &Entry>,
    ) -> Result<(), StorageError> {
        for entry in entries.filter(|entry| entry.is_deployed) {
            let deployed = self.newest(release, std::slice::from_ref(entry)).await?;
            if let Some(mut deployed) = deployed.filter(|release| release.info.status == Status::Deployed) {
                deployed.info.status = Status::Superseded;
                self.record(&deployed).await;
            }
        }
        Ok(())
    }

    /// Removes a revision, if it is there.
    ///
    /// # Errors
    /// The API server refuses or does not answer.
    pub async fn delete(&self, release: &str, revision: i64) -> Result<(), StorageError> {
        let name = secret_name(release, revision);
        match self.requests.delete_named(&self.target(&name), &DeleteParams::default()).await {
            Err(source) if !source.is_not_found() => return Err(StorageError::Delete { name, source }),
            _ => {}
        }
        self.observer.tell(Write::Deleted { name: release, revision });
        Ok(())
    }

    /// Whether a release can be stored at all.
    pub(crate) async fn check_size(&self, release: &Release) -> Result<(), StorageError> {
        self.secret(release, Stamp::Created).await.map(drop).map_err(StorageError::Create)
    }

    async fn secret(&self, release: &Release, stamp: fn(i64) -> Stamp) -> Result<Value, WriteError> {
        let name = secret_name(&release.name, release.version);
        let labels = labels(release, stamp(Timestamp::now().as_second()));
        let (release, limits) = (release.clone(), self.limits.clone());
        // Compression takes its time.
        let work = tokio::task::spawn_blocking(move || encode(&release, &limits));
        let data = work.await.map_err(|_| WriteError::Ended)??;
        Ok(json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": self.namespace, "labels": labels},
            "type": SECRET_TYPE,
            "data": {KEY: STANDARD.encode(data)},
        }))
    }
}

/// The number of the next revision after these, of which `last` is the newest that can be read. Numbers of what cannot be read are not
/// used again, for their Secrets are there: as against Helm, a release whose newest revision is damaged goes on.
pub(crate) fn next_revision(entries: &[Entry], last: Option<&Release>) -> i64 {
    let newest = entries.iter().map(|entry| entry.revision).chain(last.map(|last| last.version)).max();
    newest.unwrap_or_default().saturating_add(1)
}

/// The revisions that go, oldest first, so that no more than `most` stay.
fn to_prune(entries: &[Entry], most: usize) -> Vec<i64> {
    let deployed = entries.iter().rev().find(|entry| entry.is_deployed).map(|entry| entry.revision);
    let others = entries.iter().map(|entry| entry.revision).filter(|revision| Some(*revision) != deployed);
    others.take(entries.len().saturating_sub(most)).collect()
}

impl Entry {
    fn of(secret: &Value) -> Option<Self> {
        let labels = secret.pointer("/metadata/labels")?;
        let text = |name| labels.get(name).and_then(Value::as_str);
        let is_deployed = text("status") == Some(Status::Deployed.name());
        let written = |field| secret.pointer("/metadata")?.get(field)?.as_str();
        let mut hasher = DefaultHasher::new();
        (written("uid"), written("resourceVersion")).hash(&mut hasher);
        Some(Self { revision: text("version")?.parse().ok()?, is_deployed, stamp: hasher.finish() })
    }
}

fn labels_of(secret: &Value) -> BTreeMap<String, String> {
    let labels = secret.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
    labels.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

/// What a label may be, so that a name asks for nothing else.
fn is_label_value(text: &str) -> bool {
    let is_end = |c: char| c.is_ascii_alphanumeric();
    text.len() <= 63
        && text.starts_with(is_end)
        && text.ends_with(is_end)
        && text.chars().all(|c| is_end(c) || "-_.".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(deployed: &[i64], others: &[i64]) -> Vec<Entry> {
        let entry = |is_deployed| move |revision: &i64| Entry { revision: *revision, is_deployed, stamp: 0 };
        let mut all: Vec<Entry> =
            deployed.iter().map(entry(true)).chain(others.iter().map(entry(false))).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn the_oldest_revisions_go_but_the_last_deployed_one_stays() {
        assert_eq!(to_prune(&entries(&[3], &[1, 2]), 2), [1]);
        assert_eq!(to_prune(&entries(&[1], &[2, 3, 4]), 2), [2, 3]);
        assert_eq!(to_prune(&entries(&[1, 2], &[3]), 1), [1, 3], "an older one that is deployed, too, goes");
        assert_eq!(to_prune(&entries(&[1], &[2]), 0), [2]);
        assert!(to_prune(&entries(&[], &[1, 2]), 5).is_empty());
    }

    #[test]
    fn numbers_of_revisions_that_cannot_be_read_are_not_used_again() {
        let last = Release { version: 2, ..Release::default() };
        assert_eq!(next_revision(&entries(&[2], &[1]), Some(&last)), 3);
        assert_eq!(next_revision(&entries(&[4], &[1, 2, 3]), Some(&last)), 5);
        assert_eq!(next_revision(&entries(&[1], &[]), None), 2);
        assert_eq!(next_revision(&[], None), 1);
    }

    #[test]
    fn a_name_is_no_selector() {
        for (name, is_label) in
            [("a", true), ("a.b-c", true), ("", false), ("a,b", false), ("a=b", false), ("-a", false)]
        {
            assert_eq!(is_label_value(name), is_label, "{name}");
        }
        assert!(!is_label_value(&"a".repeat(64)));
    }
}
