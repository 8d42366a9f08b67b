//! Locks across processes: that of one file, held on a second one beside it, and that of a whole store.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use super::{StoreError, path::StorePath};

const LOCK_POLL: Duration = Duration::from_millis(20);

/// Held until dropped.
pub(super) struct FileLock(File);

impl FileLock {
    /// The file that is locked.
    pub(super) fn file(&self) -> &File {
        &self.0
    }

    /// Waits for the lock of `path`.
    pub(super) fn acquire(path: &StorePath, timeout: Duration) -> Result<Self, StoreError> {
        let deadline = Instant::now() + timeout;
        let lock = path.lock();
        loop {
            let locked = try_lock(&lock).map_err(|error| path.error("lock", error))?;
            if let Some(file) = locked {
                return Ok(Self(file));
            }
            if Instant::now() >= deadline {
                return Err(StoreError::Locked(path.relative.clone()));
            }
            thread::sleep(LOCK_POLL);
        }
    }
}

/// Whether nobody holds the lock. A lock that cannot be looked at counts as held.
pub(super) fn is_free(lock: &Path) -> bool {
    match OpenOptions::new().write(true).open(lock) {
        Ok(file) => file.try_lock().is_ok(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// The lock, if nobody else holds it; given back when the file is closed.
pub(super) fn try_lock(lock: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(lock)?;
    match file.try_lock() {
        // Garbage collection may have removed the file before it was locked; then the lock guards nothing.
        Ok(()) => Ok(is_same(&file, lock)?.then_some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn is_same(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match path.symlink_metadata() {
        Ok(theirs) => Ok((ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
