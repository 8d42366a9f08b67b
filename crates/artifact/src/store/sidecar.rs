//! Sidecars: what the owner of an artifact keeps beside it, to make the next one. They are not served, and go with their artifact.

use std::fs::{self, File};
use std::io::{self, Read, Write};

use super::lock::FileLock;
use super::path::StorePath;
use super::{Store, StoreError, TEMP_SUFFIX};

/// What the name of a sidecar ends in, after the name of its artifact.
pub(super) const SIDECAR_SUFFIX: &str = ".sidecar";

impl Store {
    /// Keeps `content` beside the artifact at `path`, in place of what was there.
    ///
    /// # Errors
    /// When it cannot be written, or its namespace has no room for it. What was there stays then.
    pub fn put_sidecar(&self, path: &str, content: &[u8]) -> Result<(), StoreError> {
        let path = &StorePath::file(&self.root, path)?;
        let (sidecar, parent) = (path.sidecar(), path.create_parent()?);
        let _lock = FileLock::acquire(path, self.options.lock_timeout)?;
        let failed = |step| move |error| sidecar_error(path, step, error);
        let temp = tempfile::Builder::new()
            .prefix(&format!("{}.", path.name()))
            .suffix(TEMP_SUFFIX)
            .tempfile_in(parent)
            .map_err(failed("create temporary file for"))?;
        let file = temp.as_file().try_clone().map_err(failed("open temporary file for"))?;
        let mut writer = self.quota.writer(&sidecar.relative, file);
        writer.write_all(content).map_err(failed("write"))?;
        temp.as_file().sync_all().map_err(failed("sync"))?;
        temp.persist(&sidecar.absolute).map_err(|error| failed("rename to")(error.error))?;
        self.quota.keep(&sidecar.relative, writer);
        Ok(())
    }

    /// What is kept beside the artifact at `path`; nothing if that has more than `limit` bytes.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn sidecar(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let path = StorePath::file(&self.root, path)?;
        let failed = |error| sidecar_error(&path, "read", error);
        let file = match File::open(path.sidecar().absolute) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut content = Vec::new();
        file.take(limit.saturating_add(1)).read_to_end(&mut content).map_err(failed)?;
        Ok((content.len() as u64 <= limit).then_some(content))
    }

    /// An artifact is removed.
    pub(super) fn remove_sidecar(&self, path: &StorePath) -> Result<(), StoreError> {
        let sidecar = path.sidecar();
        match fs::remove_file(&sidecar.absolute) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(sidecar_error(path, "remove", error))
            }
            _ => {
                self.quota.forget(&sidecar.relative);
                Ok(())
            }
        }
    }
}

fn sidecar_error(path: &StorePath, step: &'static str, source: io::Error) -> StoreError {
    StoreError::Io { step, path: path.sidecar().relative, source }
}

impl StorePath {
    fn sidecar(&self) -> StorePath {
        self.sibling(&format!("{}{SIDECAR_SUFFIX}", self.name()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::store::Options;

    const PATH: &str = "bucket/ns/app/abc.tar.gz";

    #[test]
    fn a_sidecar_stays_over_a_restart_and_goes_with_its_artifact() {
        let root = tempfile::tempdir().unwrap();
        let open = || Store::open(root.path(), Options::new("localhost")).unwrap();
        let store = open();
        store.archive(PATH, "r", |_| Ok::<_, StoreError>(())).unwrap();
        let artifact = store.budget().usage().used;
        assert_eq!(store.sidecar(PATH, 100).unwrap(), None);
        store.put_sidecar(PATH, b"first").unwrap();
        store.put_sidecar(PATH, b"second").unwrap();
        assert_eq!(store.sidecar(PATH, 6).unwrap().as_deref(), Some(&b"second"[..]));
        assert_eq!(store.sidecar(PATH, 5).unwrap(), None, "too large");
        assert_eq!(store.budget().usage().used, artifact + 6);
        drop(store);
        let store = open();
        assert_eq!(store.budget().usage().used, artifact + 6, "it is counted");
        assert_eq!(store.sidecar(PATH, 100).unwrap().as_deref(), Some(&b"second"[..]));
        assert_eq!(store.collect_garbage(PATH).unwrap(), [""; 0], "it is no artifact");
        assert!(store.open_file(&format!("{PATH}{SIDECAR_SUFFIX}")).is_err());
        store.remove(PATH).unwrap();
        assert_eq!(store.sidecar(PATH, 100).unwrap(), None);
        assert_eq!(store.budget().usage().used, 0);
    }
}
