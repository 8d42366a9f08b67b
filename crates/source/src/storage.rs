//! The artifacts of one source on disk. Everything here blocks.

use std::io;
use std::sync::Arc;

use api::Artifact;
use artifact::digest::Digest;
use artifact::store::{self, Store, StoreError};

/// The part of the store that belongs to one object.
#[derive(Clone)]
pub struct ObjectStorage {
    /// The whole store.
    pub store: Arc<Store>,
    kind: &'static str,
    namespace: String,
    name: String,
}

impl ObjectStorage {
    /// The part for the object `namespace`/`name` of a kind.
    pub fn new(store: Arc<Store>, kind: &'static str, namespace: &str, name: &str) -> Self {
        ObjectStorage { store, kind, namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// The part for another object of the kind and the namespace.
    pub fn sibling(&self, name: &str) -> Self {
        ObjectStorage::new(self.store.clone(), self.kind, &self.namespace, name)
    }

    /// Whether an artifact's path is one of this object. A status can be edited: never look at, or remove, what belongs
    /// to another object.
    pub fn owns(&self, path: &str) -> bool {
        path.starts_with(&format!("{}/", self.directory()))
    }

    fn directory(&self) -> String {
        store::artifact_dir(self.kind, &self.namespace, &self.name)
    }

    /// Where the artifact goes whose file is called `<name>.tar.gz`, such as a commit.
    pub fn path(&self, name: &str) -> String {
        self.file(&format!("{name}.tar.gz"))
    }

    /// Where the artifact goes whose file is called `name`.
    pub fn file(&self, name: &str) -> String {
        store::artifact_path(self.kind, &self.namespace, &self.name, name)
    }

    /// Collects garbage around the current artifact and looks whether that is unharmed; gives how many files went.
    pub fn inspect(&self, current: &Artifact) -> (usize, Verdict) {
        if !self.owns(&current.path) {
            return (0, Verdict::Missing);
        }
        // What cannot be collected now will be the next time.
        let removed = self.store.collect_garbage(&current.path).unwrap_or_default().len();
        (removed, verify(&self.store, current))
    }

    /// Removes everything; gives whether there were artifacts.
    pub fn clear(&self) -> Result<bool, StoreError> {
        self.store.remove_all(&self.directory())
    }
}

/// What became of a stored artifact.
#[derive(Debug)]
pub enum Verdict {
    /// It is what the status says.
    Good,
    /// It is, too, but was stored by a version whose artifacts may be wrong.
    Outdated,
    /// There is no such file.
    Missing,
    /// It is something else: why, and whether it could be removed.
    Damaged(String, Result<(), StoreError>),
    /// It could not be looked at.
    Unknown(StoreError),
}

fn verify(store: &Store, artifact: &Artifact) -> Verdict {
    let remove = || store.remove(&artifact.path);
    match artifact.digest.parse::<Digest>() {
        Ok(digest) => match judge(store.verify(&artifact.path, &digest), remove) {
            Verdict::Good if !store.is_current(&artifact.path, &digest) => Verdict::Outdated,
            verdict => verdict,
        },
        Err(_) if artifact.digest.is_empty() => damaged("artifact has no digest".to_owned(), remove),
        Err(error) => damaged(error.to_string(), remove),
    }
}

/// A disk that cannot be read says nothing about the artifact.
fn judge(verified: Result<(), StoreError>, remove: impl FnOnce() -> Result<(), StoreError>) -> Verdict {
    match verified {
        Ok(()) => Verdict::Good,
        Err(error) if is_absent(&error) => Verdict::Missing,
        Err(error @ StoreError::Mismatch(_)) => damaged(error.to_string(), remove),
        Err(error) => Verdict::Unknown(error),
    }
}

fn damaged(why: String, remove: impl FnOnce() -> Result<(), StoreError>) -> Verdict {
    match remove() {
        Err(error) if is_absent(&error) => Verdict::Missing,
        removed => Verdict::Damaged(why, removed),
    }
}

/// A status can be edited: what can be no artifact's path, or no file's name, is as good as missing.
fn is_absent(error: &StoreError) -> bool {
    match error {
        StoreError::Missing(_) | StoreError::Path(_) => true,
        StoreError::Io { source, .. } => source.kind() == io::ErrorKind::InvalidFilename,
        _ => false,
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn storage() -> (TempDir, ObjectStorage) {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path(), store::Options::new("localhost")).unwrap();
        (root, ObjectStorage::new(Arc::new(store), "GitRepository", "ns", "app"))
    }

    fn stored(storage: &ObjectStorage) -> Artifact {
        let stored =
            storage.store.archive(&storage.path("abc"), "main@sha1:abc", |_| Ok::<_, StoreError>(()));
        status_artifact(stored.unwrap())
    }

    #[test]
    fn an_artifact_is_damaged_only_by_other_content_or_an_unreadable_digest() {
        let (root, storage) = storage();
        let good = stored(&storage);
        assert!(matches!(storage.inspect(&good).1, Verdict::Good));
        let other = format!("sha256:{}", "0".repeat(64));
        for digest in ["", "nonsense", &other] {
            let good = stored(&storage);
            let (_, verdict) = storage.inspect(&Artifact { digest: digest.to_owned(), ..good.clone() });
            assert!(matches!(verdict, Verdict::Damaged(_, Ok(()))), "{digest}: {verdict:?}");
            assert!(!root.path().join(&good.path).exists());
        }
        let file = root.path().join(&stored(&storage).path);
        for errno in [5, 13, 24] {
            let source = io::Error::from_raw_os_error(errno);
            let failed = StoreError::Io { step: "read", path: good.path.clone(), source };
            let verdict = judge(Err(failed), || storage.store.remove(&good.path));
            assert!(matches!(verdict, Verdict::Unknown(_)) && file.exists(), "{errno}: {verdict:?}");
        }
    }

    #[test]
    fn a_path_that_no_artifact_can_have_is_a_missing_artifact() {
        let (_root, storage) = storage();
        let good = stored(&storage);
        let long = format!("gitrepository/ns/app/{}", "n".repeat(300));
        for path in
            ["gitrepository/ns/app/../x", "gitrepository/ns/app/a.lock", "gitrepository/ns/app/", &long]
        {
            for digest in [good.digest.as_str(), "", "nonsense"] {
                let odd =
                    Artifact { path: path.to_owned(), digest: digest.to_owned(), ..Artifact::default() };
                let (_, verdict) = storage.inspect(&odd);
                assert!(matches!(verdict, Verdict::Missing), "{path} {digest}: {verdict:?}");
            }
        }
    }
}
