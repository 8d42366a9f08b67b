//! The artifacts and the object cache of one GitRepository on disk. Everything here blocks.

use std::path::PathBuf;
use std::sync::Arc;

use api::Artifact;
use artifact::digest::Digest;
use artifact::store::{self, Store, StoreError};
use git::Cache;

use super::KIND;

/// The part of the store that belongs to one object.
#[derive(Clone)]
pub struct Shelf {
    /// The whole store.
    pub store: Arc<Store>,
    namespace: String,
    name: String,
}

impl Shelf {
    /// The part for the object `namespace`/`name`.
    pub fn new(store: Arc<Store>, namespace: &str, name: &str) -> Self {
        Shelf { store, namespace: namespace.to_owned(), name: name.to_owned() }
    }

    fn directory(&self) -> String {
        store::artifact_dir(KIND, &self.namespace, &self.name)
    }

    /// Where the artifact of a commit goes.
    pub fn path(&self, commit: &str) -> String {
        store::artifact_path(KIND, &self.namespace, &self.name, &format!("{commit}.tar.gz"))
    }

    /// The cache of Git objects, under a name that the file server does not serve.
    pub fn cache(&self, limits: git::Limits) -> Cache {
        Cache::new(self.cache_dir(), limits)
    }

    fn cache_dir(&self) -> PathBuf {
        self.store.root().join(".cache/gitrepository").join(&self.namespace).join(&self.name)
    }

    /// Collects garbage around the current artifact and looks whether that is unharmed; gives how many files went.
    pub fn inspect(&self, current: &Artifact) -> (usize, Verdict) {
        // A status can be edited: never look at, or remove, what belongs to another object.
        if !current.path.starts_with(&format!("{}/", self.directory())) {
            return (0, Verdict::Missing);
        }
        // What cannot be collected now will be the next time.
        let removed = self.store.collect_garbage(&current.path).unwrap_or_default().len();
        (removed, verify(&self.store, current))
    }

    /// Removes everything; gives whether there were artifacts.
    pub fn clear(&self) -> Result<bool, StoreError> {
        let removed = self.store.remove_all(&self.directory())?;
        self.cache(git::Limits::default()).clear().map_err(|source| StoreError::Io {
            step: "remove object cache",
            path: self.directory(),
            source,
        })?;
        Ok(removed)
    }
}

/// What became of a stored artifact.
pub enum Verdict {
    /// It is what the status says.
    Good,
    /// There is no such file.
    Missing,
    /// It is something else: why, and whether it could be removed.
    Damaged(String, Result<(), StoreError>),
}

fn verify(storage: &Store, artifact: &Artifact) -> Verdict {
    let damaged = |why: String| Verdict::Damaged(why, storage.remove(&artifact.path));
    let digest = match artifact.digest.as_str() {
        "" => return damaged("artifact has no digest".to_owned()),
        text => match text.parse::<Digest>() {
            Ok(digest) => digest,
            Err(error) => return damaged(error.to_string()),
        },
    };
    match storage.verify(&artifact.path, &digest) {
        Ok(()) => Verdict::Good,
        Err(StoreError::Missing(_)) => Verdict::Missing,
        Err(error) => damaged(runtime::error::chain(&error)),
    }
}

/// The artifact as it stands in a status.
pub fn status_artifact(stored: store::Artifact) -> Artifact {
    Artifact {
        digest: stored.digest.to_string(),
        last_update_time: runtime::conditions::rfc3339(stored.last_update_time),
        path: stored.path,
        revision: stored.revision,
        size: i64::try_from(stored.size).ok(),
        url: stored.url,
        ..Artifact::default()
    }
}
