//! The artifact store: tarballs under one root directory, each written whole or not at all.
//!
//! Layout: `<root>/<kind>/<namespace>/<name>/<file>`, all directories 0700, all files 0600. Only this module writes
//! there. A file appears by rename after fsync, so a reader sees the old or the new content and an open handle
//! stays valid; a failed write leaves the old file as it was. Writers hold a lock on `<file>.lock`, which also keeps
//! two controllers on one volume apart.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;

use crate::{
    archive::{ArchiveError, ArchiveWriter, Level},
    digest::{Algorithm, Digest},
};

/// How a store behaves; see each field for the flag it comes from.
#[derive(Clone, Debug)]
pub struct Options {
    /// Host and port, or a base URL, under which consumers reach the file server: `--storage-adv-addr`, or
    /// [`advertised_address`].
    pub advertise: String,
    /// `--artifact-digest-algo`.
    pub algorithm: Algorithm,
    /// Compression level of archives.
    pub level: Level,
    /// Non-current files older than this are garbage: `--artifact-retention-ttl`.
    pub retention_ttl: Duration,
    /// At most this many files are kept per object, the current one included: `--artifact-retention-records`.
    pub retention_records: usize,
    /// How many files one garbage collection looks at.
    pub garbage_scan_limit: usize,
    /// How long one garbage collection may take.
    pub garbage_deadline: Duration,
    /// How long a writer waits for another one to release the same file.
    pub lock_timeout: Duration,
}

impl Options {
    /// Upstream's defaults.
    pub fn new(advertise: impl Into<String>) -> Self {
        Self {
            advertise: advertise.into(),
            algorithm: Algorithm::default(),
            level: Level::default(),
            retention_ttl: Duration::from_secs(60),
            retention_records: 2,
            garbage_scan_limit: 1000,
            garbage_deadline: Duration::from_secs(5),
            lock_timeout: Duration::from_secs(10),
        }
    }
}

/// What a store failed to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The root is missing or not a directory.
    #[error("invalid storage path {}", path.display())]
    Root {
        /// The root.
        path: PathBuf,
        /// Why it could not be looked at; `None` when it is not a directory.
        #[source]
        source: Option<io::Error>,
    },
    /// The path is not `<kind>/<namespace>/<name>/<file>` or leads through a symbolic link.
    #[error("invalid artifact path {0:?}")]
    Path(String),
    /// There is no such file.
    #[error("artifact {0:?} not found")]
    Missing(String),
    /// The file's content is not what it should be.
    #[error("computed digest doesn't match '{0}'")]
    Mismatch(Digest),
    /// Another writer holds the lock.
    #[error("failed to lock artifact {0:?}: held by another writer")]
    Locked(String),
    /// Garbage collection took too long.
    #[error("garbage collection deadline exceeded")]
    Deadline,
    /// The archive could not be written.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A file operation failed.
    #[error("failed to {step} {path:?}")]
    Io {
        /// What was tried.
        step: &'static str,
        /// On which path below the root.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A stored artifact: the fields of `status.artifact`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Digest of the stored bytes.
    pub digest: Digest,
    /// Path below the root: `<kind>/<namespace>/<name>/<file>`.
    pub path: String,
    /// URL on the file server.
    pub url: String,
    /// What was stored, such as `main@sha1:...`.
    pub revision: String,
    /// When it was written, in whole seconds.
    pub last_update_time: Timestamp,
    /// Number of stored bytes.
    pub size: u64,
}

/// The directory of an object's artifacts: `<kind>/<namespace>/<name>`, the kind in lower case.
pub fn artifact_dir(kind: &str, namespace: &str, name: &str) -> String {
    format!("{}/{namespace}/{name}", kind.to_lowercase())
}

/// The path of an artifact: `<kind>/<namespace>/<name>/<file>`.
pub fn artifact_path(kind: &str, namespace: &str, name: &str, file: &str) -> String {
    format!("{}/{file}", artifact_dir(kind, namespace, name))
}

/// The address that consumers are told when `--storage-adv-addr` is not given, from `--storage-addr` and the name
/// of this host (`$HOSTNAME`, or what the system says). `None` when `storage_addr` has no port.
pub fn advertised_address(_storage_addr: &str, _hostname: &str) -> Option<String> {
    unimplemented!()
}

/// The store. Share it behind an `Arc`; its methods block.
pub struct Store {
    root: PathBuf,
    options: Options,
}

impl Store {
    /// Opens the existing directory `root` and sweeps temporary files that a killed process left.
    pub fn open(_root: &Path, _options: Options) -> Result<Self, StoreError> {
        unimplemented!()
    }

    /// The canonical root directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The URL of a path.
    pub fn url(&self, _path: &str) -> String {
        let _ = &self.options;
        unimplemented!()
    }

    /// Opens a stored file for reading.
    pub fn open_file(&self, _path: &str) -> Result<File, StoreError> {
        unimplemented!()
    }

    /// Checks that the stored file has the digest. The file is read again only if its inode, size or times changed
    /// since this process last verified or wrote it.
    ///
    /// Errors: [`StoreError::Missing`], [`StoreError::Mismatch`] and what reading says.
    pub fn verify(&self, _path: &str, _digest: &Digest) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Stores the archive that `fill` pushes, replacing what is at `path`. If `fill` fails, nothing changes and its error
    /// is given back.
    pub fn archive<E: From<StoreError>>(
        &self,
        _path: &str,
        _revision: &str,
        _fill: impl FnOnce(&mut ArchiveWriter<File>) -> Result<(), E>,
    ) -> Result<Artifact, E> {
        unimplemented!()
    }

    /// Stores bytes as they are.
    pub fn copy(
        &self,
        _path: &str,
        _revision: &str,
        _content: &mut dyn Read,
    ) -> Result<Artifact, StoreError> {
        unimplemented!()
    }

    /// Removes files of the current artifact's directory by age and number; never `current` itself. Gives the removed
    /// paths.
    pub fn collect_garbage(&self, _current: &str) -> Result<Vec<String>, StoreError> {
        unimplemented!()
    }

    /// Removes an object's directory ([`artifact_dir`]). Gives whether there was one.
    pub fn remove_all(&self, _dir: &str) -> Result<bool, StoreError> {
        unimplemented!()
    }

    /// Removes one file, such as one that failed [`Store::verify`].
    pub fn remove(&self, _path: &str) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Removes every file of the current artifact's directory but `current`. Gives the removed paths.
    pub fn remove_all_but_current(&self, _current: &str) -> Result<Vec<String>, StoreError> {
        unimplemented!()
    }
}
