//! The artifact store: tarballs under one root directory, each written whole or not at all.
//!
//! Layout: `<root>/<kind>/<namespace>/<name>/<file>`, all directories 0700, all files 0600. Only this module writes
//! there; the owner of the store may keep other things under a name with a dot in front, such as `<root>/.cache`. A
//! file appears by rename after fsync, so a reader sees the old or the new content and an open handle stays valid; a
//! failed write leaves the old file as it was. Writers hold a lock on `<file>.lock`, which also keeps two controllers
//! on one volume apart.

mod garbage;
mod link;
mod lock;
mod path;
mod quota;
mod reuse;
mod sidecar;
mod verified;
mod writer;

use std::{
    fs::{self, DirEntry, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock},
    time::{Duration, Instant, SystemTime},
};

use budget::Budget;
use jiff::Timestamp;
use tempfile::NamedTempFile;

pub use path::{advertised_address, artifact_dir, artifact_path};
pub use quota::QuotaWriter;

use self::{
    garbage::Candidate,
    lock::FileLock,
    path::{StorePath, is_below},
    quota::Quota,
    reuse::Reuse,
    sidecar::SIDECAR_SUFFIX,
    verified::{Stamp, Verified},
};
use crate::{
    archive::{ArchiveError, ArchiveWriter, Written},
    digest::{Algorithm, Digest, Hasher, HashingWriter},
};

/// What a name ends in while its content is being written.
const TEMP_SUFFIX: &str = ".tmp";
/// The part of the volume that the files of one namespace may have by default.
const NAMESPACE_PART: u64 = 2;
/// The lock of the whole store.
const STORE_LOCK_FILE: &str = ".lock";
/// What the name of a lock ends in, after the name of the file that it guards.
const LOCK_SUFFIX: &str = ".lock";

/// How a store behaves; see each field for the flag it comes from.
#[derive(Clone, Debug)]
pub struct Options {
    /// Host and port, or a base URL, under which consumers reach the file server: `--storage-adv-addr`, or
    /// [`advertised_address`].
    pub advertise: String,
    /// `--artifact-digest-algo`.
    pub algorithm: Algorithm,
    /// Non-current files older than this are garbage: `--artifact-retention-ttl`.
    pub retention_ttl: Duration,
    /// At most this many files are kept per object, the current one included: `--artifact-retention-records`.
    pub retention_records: usize,
    /// How many files one garbage collection looks at.
    pub garbage_scan_limit: usize,
    /// How long one garbage collection may take.
    pub garbage_deadline: Duration,
    /// How many chunks of archives are remembered, for later archives of their objects; about 200 bytes each.
    pub chunks: usize,
    /// How long a writer waits for another one to release the same file.
    pub lock_timeout: Duration,
    /// Bytes that the files of one namespace may have together, those included that are being written:
    /// `--namespace-artifact-max-size`, or half of the volume. A single object may have more, and its new file
    /// is measured without its former ones.
    pub namespace_bytes: Option<u64>,
}

impl Options {
    /// Upstream's defaults.
    pub fn new(advertise: impl Into<String>) -> Self {
        Self {
            advertise: advertise.into(),
            algorithm: Algorithm::default(),
            retention_ttl: Duration::from_secs(60),
            retention_records: 2,
            garbage_scan_limit: 1000,
            garbage_deadline: Duration::from_secs(5),
            chunks: 65_536,
            lock_timeout: Duration::from_secs(10),
            namespace_bytes: None,
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
    /// The directory of an artifact could not be made.
    #[error("failed to create directory of {path:?}")]
    Directory {
        /// The artifact.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
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

/// The store. Share it behind an `Arc`; its methods block.
///
/// # Guarantees
/// - A file under its final name is whole and synced: it is written beside it and renamed.
/// - One writer for each object at a time, also across processes: the lock beside the artifact is a lock of the file system.
/// - A path of a status that leads to another object's directory is treated as missing.
///
/// # Caveats
/// - What a status names may be gone, or damaged on disk: [`Self::verify`] says so, and the caller makes it anew.
/// - Retention removes old artifacts by age and number, never the one that was stored last.
pub struct Store {
    root: PathBuf,
    options: Options,
    verified: Mutex<Verified>,
    reuse: Mutex<Reuse>,
    quota: Quota,
    /// Held for as long as the store is this process's own.
    claim: OnceLock<File>,
}

/// A file about to be written: locked, with a temporary file beside it that vanishes unless committed.
struct Slot {
    path: StorePath,
    temp: NamedTempFile,
    lock: FileLock,
}

/// What was written to a slot.
struct Content {
    writer: QuotaWriter,
    digest: Digest,
    size: u64,
}

// === impl Store ===

impl Store {
    /// Opens the existing directory `root` and sweeps temporary files that a killed process left.
    pub fn open(root: &Path, options: Options) -> Result<Self, StoreError> {
        let invalid = |source| StoreError::Root { path: root.to_owned(), source };
        let canonical = root.canonicalize().map_err(|error| invalid(Some(error)))?;
        if !canonical.is_dir() {
            return Err(invalid(None));
        }
        let volume = volume_bytes(&canonical);
        let store = Self {
            quota: Quota::new(options.namespace_bytes.unwrap_or(volume / NAMESPACE_PART), volume),
            root: canonical,
            options,
            verified: Mutex::default(),
            reuse: Mutex::default(),
            claim: OnceLock::new(),
        };
        store.sweep(&store.root, 3);
        Ok(store)
    }

    /// Makes the store this process's own, until it is dropped or the process ends in whatever way. `false` while it is
    /// another one's.
    ///
    /// Errors: the file system cannot be written, or knows no locks.
    pub fn claim(&self) -> Result<bool, StoreError> {
        if self.claim.get().is_some() {
            return Ok(true);
        }
        let locked = lock::try_lock(&self.root.join(STORE_LOCK_FILE));
        let locked = locked.map_err(|source| StoreError::Io {
            step: "lock",
            path: STORE_LOCK_FILE.to_owned(),
            source,
        })?;
        Ok(locked.map(|file| self.claim.set(file)).is_some())
    }

    /// The canonical root directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Bytes that files take on the volume, by namespace.
    pub fn budget(&self) -> &Budget {
        self.quota.budget()
    }

    /// How large the volume is.
    pub fn volume_bytes(&self) -> u64 {
        self.quota.budget().usage().limit
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        let advertise = &self.options.advertise;
        let path = path.trim_start_matches('/');
        if advertise.starts_with("http://") || advertise.starts_with("https://") {
            format!("{advertise}/{path}")
        } else {
            format!("http://{advertise}/{path}")
        }
    }

    /// Opens a stored file for reading.
    pub fn open_file(&self, path: &str) -> Result<File, StoreError> {
        let path = StorePath::file(&self.root, path)?;
        match fs::symlink_metadata(&path.absolute) {
            Ok(metadata) if metadata.is_file() => {
                File::open(&path.absolute).map_err(|error| path.error("open", error))
            }
            Ok(_) => Err(StoreError::Missing(path.relative)),
            Err(error) => {
                // Somebody else may have removed it.
                if error.kind() == io::ErrorKind::NotFound {
                    self.quota.forget(&path.relative);
                }
                Err(path.error("look at", error))
            }
        }
    }

    /// Checks that the stored file has the digest. The file is read again only if its inode, size or times changed
    /// since this process last verified or wrote it.
    ///
    /// Errors: [`StoreError::Missing`], [`StoreError::Mismatch`] and what reading says.
    pub fn verify(&self, path: &str, digest: &Digest) -> Result<(), StoreError> {
        let looked_at = SystemTime::now();
        let mut file = self.open_file(path)?;
        let failed = |error| io_error("read", path, error);
        let stamp = Stamp::of(&file.metadata().map_err(failed)?);
        if self.verified().knows(path, &stamp, digest) {
            return Ok(());
        }
        let mut hasher = Hasher::new(digest.algorithm());
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => hasher.update(buffer.get(..n).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
        if hasher.finish() != *digest {
            return Err(StoreError::Mismatch(digest.clone()));
        }
        self.verified().remember(path, stamp, digest, looked_at);
        Ok(())
    }

    /// Whether the artifact with this digest was stored by a version that makes the same artifact of the same content. Others
    /// are made anew: `false` for those of versions that made mistakes, and of other programs.
    pub fn is_current(&self, path: &str, digest: &Digest) -> bool {
        StorePath::file(&self.root, path).is_ok_and(|path| writer::signed(&path.lock(), digest))
    }

    /// Stores the archive that `fill` pushes, replacing what is at `path`. If `fill` fails, nothing changes and its error
    /// is given back.
    pub fn archive<E: From<StoreError>>(
        &self,
        path: &str,
        revision: &str,
        fill: impl FnOnce(&mut ArchiveWriter<QuotaWriter>) -> Result<(), E>,
    ) -> Result<Artifact, E> {
        let slot = self.reserve(path)?;
        let directory = directory(path);
        let mut archive =
            ArchiveWriter::new(self.writer(&slot)?, self.options.algorithm).map_err(StoreError::Archive)?;
        // Taken out: if this fails, the next one is written from scratch.
        let earlier = self.reuse().take(directory);
        if let Some((file, chunks)) =
            earlier.and_then(|(file, chunks)| Some((self.open_file(&file).ok()?, chunks)))
        {
            archive = archive.after(file, chunks);
        }
        fill(&mut archive)?;
        let (Written { digest, size, chunks }, writer) = archive.finish().map_err(StoreError::Archive)?;
        let artifact = self.commit(slot, revision, Content { writer, digest, size })?;
        self.reuse().put(directory, path, chunks, self.options.chunks);
        Ok(artifact)
    }

    /// Stores `content` byte for byte, replacing what is at `path`. If it cannot be read to its end, nothing changes.
    pub fn copy(&self, path: &str, revision: &str, content: &mut dyn Read) -> Result<Artifact, StoreError> {
        let slot = self.reserve(path)?;
        let mut writer = HashingWriter::new(self.writer(&slot)?, self.options.algorithm);
        let copied = io::copy(content, &mut writer).and_then(|_| writer.finish());
        let (digest, size, writer) = copied.map_err(|error| slot.path.error("write", error))?;
        self.commit(slot, revision, Content { writer, digest, size })
    }

    /// Removes files of the current artifact's directory by age and number; never `current` itself. Gives the removed
    /// paths.
    pub fn collect_garbage(&self, current: &str) -> Result<Vec<String>, StoreError> {
        let deadline = Instant::now() + self.options.garbage_deadline;
        let in_time = || if Instant::now() < deadline { Ok(()) } else { Err(StoreError::Deadline) };
        let current = StorePath::file(&self.root, current)?;
        let mut names = current.siblings()?;
        names.sort();
        let mut candidates = Vec::new();
        for name in names.into_iter().filter(|name| !is_bookkeeping(name)) {
            in_time()?;
            let sibling = current.sibling(&name);
            match fs::symlink_metadata(&sibling.absolute) {
                Ok(metadata) if metadata.is_file() => {
                    let modified = metadata.modified().map_err(|error| sibling.error("look at", error))?;
                    candidates.push(Candidate { modified, name });
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(sibling.error("look at", error)),
            }
            if candidates.len() >= self.options.garbage_scan_limit {
                break;
            }
        }
        let retention =
            garbage::Retention { ttl: self.options.retention_ttl, records: self.options.retention_records };
        let mut removed = Vec::new();
        for name in garbage::select(candidates, current.name(), SystemTime::now(), &retention) {
            in_time()?;
            let sibling = current.sibling(&name);
            self.remove_file(&sibling)?;
            removed.push(sibling.relative);
        }
        Ok(removed)
    }

    /// Removes one file, such as one that failed [`Store::verify`]. A missing one is no error.
    pub fn remove(&self, path: &str) -> Result<(), StoreError> {
        self.remove_file(&StorePath::file(&self.root, path)?)
    }

    /// Removes an object's directory ([`artifact_dir`]). Gives whether there was one.
    pub fn remove_all(&self, dir: &str) -> Result<bool, StoreError> {
        let path = StorePath::dir(&self.root, dir)?;
        self.reuse().take(dir);
        self.verified().forget(|known| is_below(known, dir));
        match fs::remove_dir_all(&path.absolute) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(path.error("remove", error)),
            removed => {
                self.quota.forget_below(dir);
                Ok(removed.is_ok())
            }
        }
    }

    fn reserve(&self, path: &str) -> Result<Slot, StoreError> {
        let path = StorePath::file(&self.root, path)?;
        let parent = path.create_parent()?;
        let lock = FileLock::acquire(&path, self.options.lock_timeout)?;
        let temp = tempfile::Builder::new()
            .prefix(&format!("{}.", path.name()))
            .suffix(TEMP_SUFFIX)
            .tempfile_in(parent)
            .map_err(|error| path.error("create temporary file for", error))?;
        Ok(Slot { path, temp, lock })
    }

    fn writer(&self, slot: &Slot) -> Result<QuotaWriter, StoreError> {
        let file = slot.temp.as_file().try_clone();
        let file = file.map_err(|error| slot.path.error("open temporary file for", error))?;
        Ok(self.quota.writer(&slot.path.relative, file))
    }

    fn commit(&self, slot: Slot, revision: &str, content: Content) -> Result<Artifact, StoreError> {
        let (Slot { path, temp, lock }, Content { writer, digest, size }) = (slot, content);
        temp.as_file().sync_all().map_err(|error| path.error("sync", error))?;
        // Before the artifact is there: a note about another digest says nothing.
        writer::sign(lock.file(), &digest).map_err(|error| path.error("write lock of", error))?;
        let file = temp.persist(&path.absolute).map_err(|error| path.error("rename to", error.error))?;
        self.quota.keep(&path.relative, writer);
        // Without this the new name may be lost in a crash, but never its content.
        path.parent()
            .and_then(File::open)
            .and_then(|parent| parent.sync_all())
            .map_err(|error| path.error("sync directory of", error))?;
        let metadata = file.metadata().map_err(|error| path.error("look at", error))?;
        self.verified().wrote(&path.relative, Stamp::of(&metadata), &digest);
        let now = Timestamp::now();
        Ok(Artifact {
            digest,
            url: self.url(&path.relative),
            path: path.relative,
            revision: revision.to_owned(),
            last_update_time: Timestamp::from_second(now.as_second()).unwrap_or(now),
            size,
        })
    }

    /// Removes a file and its lock.
    fn remove_file(&self, path: &StorePath) -> Result<(), StoreError> {
        self.verified().forget(|known| known == path.relative);
        for target in [&path.absolute, &path.lock()] {
            match fs::remove_file(target) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(path.error("remove", error));
                }
                _ => {}
            }
        }
        self.quota.forget(&path.relative);
        self.remove_sidecar(path)
    }

    /// Counts the files there are, and removes temporary ones that nobody is writing. What cannot be removed is only reported: the
    /// store works.
    fn sweep(&self, dir: &Path, depth: u32) {
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) => return tracing::warn!(%error, "failed to look for temporary files"),
        };
        for entry in entries.flatten() {
            let (Ok(kind), Ok(name)) = (entry.file_type(), entry.file_name().into_string()) else { continue };
            if kind.is_dir() {
                let is_foreign = dir == self.root && name.starts_with('.');
                if depth > 0 && !is_foreign {
                    self.sweep(&entry.path(), depth - 1);
                }
                continue;
            }
            let target = name.strip_suffix(TEMP_SUFFIX).and_then(|name| Some(name.rsplit_once('.')?.0));
            if let Some(target) = target {
                if lock::is_free(&dir.join(format!("{target}{LOCK_SUFFIX}")))
                    && let Err(error) = fs::remove_file(entry.path())
                {
                    tracing::warn!(%error, "failed to remove a temporary file");
                }
            } else if kind.is_file()
                && depth == 0
                && (!is_bookkeeping(&name) || name.ends_with(SIDECAR_SUFFIX))
            {
                self.count(&entry);
            }
        }
    }

    fn count(&self, entry: &DirEntry) {
        let path = entry.path();
        if let (Some(path), Ok(metadata)) =
            (path.strip_prefix(&self.root).ok().and_then(Path::to_str), entry.metadata())
        {
            self.quota.found(path, metadata.len());
        }
    }

    fn reuse(&self) -> std::sync::MutexGuard<'_, Reuse> {
        self.reuse.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn verified(&self) -> std::sync::MutexGuard<'_, Verified> {
        // The map stays right whatever a panicking thread was about to do with it.
        self.verified.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// How large the volume of a directory is. A file system that does not say is without bounds.
fn volume_bytes(directory: &Path) -> u64 {
    let volume = rustix::fs::statvfs(directory).ok();
    volume
        .map(|volume| volume.f_blocks.saturating_mul(volume.f_frsize))
        .filter(|bytes| *bytes > 0)
        .unwrap_or(u64::MAX)
}

/// The object's directory in an artifact's path.
fn directory(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

/// Whether the name is that of a lock, of a sidecar, or of a file not yet whole.
pub(crate) fn is_bookkeeping(name: &str) -> bool {
    [LOCK_SUFFIX, SIDECAR_SUFFIX, TEMP_SUFFIX].iter().any(|suffix| name.ends_with(suffix))
}

fn io_error(step: &'static str, path: &str, source: io::Error) -> StoreError {
    if source.kind() == io::ErrorKind::NotFound {
        return StoreError::Missing(path.to_owned());
    }
    StoreError::Io { step, path: path.to_owned(), source }
}
