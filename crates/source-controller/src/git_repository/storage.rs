//! The artifacts of one GitRepository on disk. Everything here blocks.

use std::io;
use std::sync::Arc;

use api::Artifact;
use artifact::digest::Digest;
use artifact::store::{self, Store, StoreError};

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

    /// The part for another object of the namespace.
    pub fn sibling(&self, name: &str) -> Self {
        Shelf::new(self.store.clone(), &self.namespace, name)
    }

    /// Whether an artifact's path is one of this object. A status can be edited: never look at, or remove, what belongs
    /// to another object.
    pub fn owns(&self, path: &str) -> bool {
        path.starts_with(&format!("{}/", self.directory()))
    }

    fn directory(&self) -> String {
        store::artifact_dir(KIND, &self.namespace, &self.name)
    }

    /// Where the artifact of a commit goes.
    pub fn path(&self, commit: &str) -> String {
        store::artifact_path(KIND, &self.namespace, &self.name, &format!("{commit}.tar.gz"))
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

fn verify(storage: &Store, artifact: &Artifact) -> Verdict {
    let remove = || storage.remove(&artifact.path);
    match artifact.digest.parse::<Digest>() {
        Ok(digest) => match judge(storage.verify(&artifact.path, &digest), remove) {
            Verdict::Good if !storage.is_current(&artifact.path, &digest) => Verdict::Outdated,
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

    fn shelf() -> (TempDir, Shelf) {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path(), store::Options::new("localhost")).unwrap();
        (root, Shelf::new(Arc::new(store), "ns", "app"))
    }

    fn stored(shelf: &Shelf) -> Artifact {
        let stored = shelf.store.archive(&shelf.path("abc"), "main@sha1:abc", |_| Ok::<_, StoreError>(()));
        status_artifact(stored.unwrap())
    }

    #[test]
    fn only_other_content_and_unreadable_digests_are_damage() {
        let (root, shelf) = shelf();
        let good = stored(&shelf);
        assert!(matches!(shelf.inspect(&good).1, Verdict::Good));
        let other = format!("sha256:{}", "0".repeat(64));
        for digest in ["", "nonsense", &other] {
            let good = stored(&shelf);
            let (_, verdict) = shelf.inspect(&Artifact { digest: digest.to_owned(), ..good.clone() });
            assert!(matches!(verdict, Verdict::Damaged(_, Ok(()))), "{digest}: {verdict:?}");
            assert!(!root.path().join(&good.path).exists());
        }
        let file = root.path().join(&stored(&shelf).path);
        for errno in [5, 13, 24] {
            let source = io::Error::from_raw_os_error(errno);
            let failed = StoreError::Io { step: "read", path: good.path.clone(), source };
            let verdict = judge(Err(failed), || shelf.store.remove(&good.path));
            assert!(matches!(verdict, Verdict::Unknown(_)) && file.exists(), "{errno}: {verdict:?}");
        }
    }

    #[test]
    fn a_path_that_no_artifact_can_have_is_a_missing_artifact() {
        let (_root, shelf) = shelf();
        let good = stored(&shelf);
        let long = format!("gitrepository/ns/app/{}", "n".repeat(300));
        for path in
            ["gitrepository/ns/app/../x", "gitrepository/ns/app/a.lock", "gitrepository/ns/app/", &long]
        {
            for digest in [good.digest.as_str(), "", "nonsense"] {
                let odd =
                    Artifact { path: path.to_owned(), digest: digest.to_owned(), ..Artifact::default() };
                let (_, verdict) = shelf.inspect(&odd);
                assert!(matches!(verdict, Verdict::Missing), "{path} {digest}: {verdict:?}");
            }
        }
    }
}
