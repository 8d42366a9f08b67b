//! A directory of packs without refs: what was fetched, and which commits in it are complete.
//!
//! ```text
//! <dir>/<n>/objects/pack/   packs and their indices
//! <dir>/<n>/shallow         commits whose parents are absent on purpose
//! <dir>/<n>/complete        commits that are here with all their trees and blobs, oldest first
//! <dir>/<n>/lock            held by those who read
//! ```
//!
//! A commit counts only once it stands in `complete`, which is written last: a crash at any point costs a fetch, nothing else.
//!
//! To forget everything is to begin a new generation `<n>`. The old one goes when nobody reads it any more.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use gix::ObjectId;

use crate::error::chain;
use crate::objects::Objects;
use crate::session::{Depth, Destination, Request};
use crate::{Limits, Session, TransportError};

/// How many of the newest complete commits a server is told about.
const MAX_HAVES: usize = 16;

/// First line of `complete` if there must be a file `shallow`.
const SHALLOW_LINE: &str = "shallow\n";

pub(crate) struct Store {
    base: PathBuf,
    generation: u64,
    dir: PathBuf,
    complete: Vec<ObjectId>,
}

/// A lock that keeps a generation from being removed while it is read.
pub(crate) struct ReadLock {
    base: PathBuf,
    generation: u64,
    _lock: File,
}

impl Store {
    /// Opens or makes a store; leftovers of a crash are removed. One opener at a time.
    pub(crate) fn open(base: PathBuf) -> io::Result<Store> {
        make(&base)?;
        let mut generations = generations(&base)?;
        let current = generations.pop().unwrap_or_default();
        for old in generations {
            remove_unless_read(&base.join(old.to_string()))?;
        }
        let dir = base.join(current.to_string());
        make(&dir.join("objects/pack"))?;
        let mut store = Store { base, generation: current, dir, complete: Vec::new() };
        store.sweep()?;
        match store.read_complete() {
            Some(complete) => store.complete = complete,
            None => store.clear()?,
        }
        Ok(store)
    }

    /// Removes what a process that was killed while writing has left.
    fn sweep(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            let ours = ["complete", "shallow", "objects", "verified", "lock"].iter().any(|own| name == *own);
            if !ours {
                fs::remove_file(self.dir.join(name))?;
            }
        }
        for entry in fs::read_dir(self.dir.join("objects/pack"))? {
            let path = entry?.path();
            let whole = path.with_extension("pack").exists() && path.with_extension("idx").exists();
            if !whole || path.extension().is_none_or(|e| e != "pack" && e != "idx") {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// `None` if it cannot be, or if the boundary that it needs is gone.
    fn read_complete(&self) -> Option<Vec<ObjectId>> {
        match fs::read_to_string(self.dir.join("complete")) {
            Ok(text) => {
                let commits = match text.strip_prefix(SHALLOW_LINE) {
                    Some(_) if !self.shallow().exists() => return None,
                    Some(commits) => commits,
                    None => &text,
                };
                commits.lines().map(|line| ObjectId::from_hex(line.as_bytes()).ok()).collect()
            }
            Err(error) => (error.kind() == io::ErrorKind::NotFound
                && self.packs().is_ok_and(|(n, _)| n == 0))
            .then(Vec::new),
        }
    }

    /// Whether all packs and their indices have the checksums that they end with.
    pub(crate) fn check(&self) -> Result<(), TransportError> {
        use gix::odb::pack::{data, index};
        let (kind, never) = (gix::hash::Kind::Sha1, AtomicBool::new(false));
        let broken = |error: gix::Error| TransportError::Protocol(chain(&error));
        for entry in fs::read_dir(self.dir.join("objects/pack"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "idx") {
                let index = index::File::at(&path, kind).map_err(broken)?;
                index.verify_checksum(&mut gix::progress::Discard, &never).map_err(broken)?;
                let pack = data::File::at(path.with_extension("pack"), kind).map_err(broken)?;
                pack.verify_checksum(&mut gix::progress::Discard, &never).map_err(broken)?;
                if pack.checksum() != index.pack_checksum() {
                    return Err(TransportError::Protocol("index of another pack".to_owned()));
                }
            }
        }
        Ok(())
    }

    /// Keeps this generation as long as the lock is held.
    pub(crate) fn read_lock(&self) -> io::Result<ReadLock> {
        let lock = lock_file(&self.dir)?;
        lock.lock_shared()?;
        Ok(ReadLock { base: self.base.clone(), generation: self.generation, _lock: lock })
    }

    /// Whether the commit and all it needs was received.
    pub(crate) fn has(&self, commit: &ObjectId) -> bool {
        self.complete.contains(commit)
    }

    /// Objects of the store.
    pub(crate) fn objects(&self, limits: &Limits) -> io::Result<Objects> {
        let options = gix::odb::store::init::Options {
            use_multi_pack_index: false,
            alloc_limit_bytes: Some(limits.allocation_bytes),
            current_dir: Some(self.dir.clone()),
            ..Default::default()
        };
        gix::odb::at_opts(self.dir.join("objects"), gix::hash::Kind::Sha1, None, options).map(Objects::new)
    }

    /// Receives `want`, as a difference to what is here.
    pub(crate) fn fetch(
        &mut self,
        session: &mut Session,
        want: &[ObjectId],
        depth: Depth,
    ) -> Result<(), TransportError> {
        let (packs, bytes) = self.packs()?;
        if packs >= session.limits().packs || bytes >= session.limits().cache_bytes {
            self.clear()?;
        }
        let result = self.fetch_once(session, want, depth);
        match result {
            // A thin pack needs its bases; without them it looks broken. Then they are not worth keeping.
            Err(TransportError::Protocol(reason)) if !self.complete.is_empty() => {
                tracing::warn!(reason, "object cache does not fit the server's answer, fetching anew");
                self.clear()?;
                session.restart()?;
                self.fetch_once(session, want, depth)
            }
            other => other,
        }
    }

    fn fetch_once(
        &mut self,
        session: &mut Session,
        want: &[ObjectId],
        depth: Depth,
    ) -> Result<(), TransportError> {
        let bases = if self.complete.is_empty() { None } else { Some(self.objects(session.limits())?) };
        let recent = self.complete.len().saturating_sub(MAX_HAVES);
        let have = self.complete.get(recent..).unwrap_or_default();
        let packs = self.dir.join("objects/pack");
        let request = Request { want, have, depth };
        session.fetch(&request, &Destination { packs: &packs, shallow: &self.shallow(), bases })?;
        self.complete.extend_from_slice(want);
        Ok(self.write_complete()?)
    }

    fn write_complete(&self) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
        if self.shallow().exists() {
            write!(file, "{SHALLOW_LINE}")?;
        }
        for id in &self.complete {
            writeln!(file, "{id}")?;
        }
        file.persist(self.dir.join("complete"))?;
        Ok(())
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        self.complete.clear();
        let old = self.generation;
        self.generation += 1;
        self.dir = self.base.join(self.generation.to_string());
        make(&self.dir.join("objects/pack"))?;
        remove_unless_read(&self.base.join(old.to_string()))
    }

    /// The number of packs and their bytes.
    fn packs(&self) -> io::Result<(usize, u64)> {
        let (mut count, mut bytes) = (0, 0);
        for entry in fs::read_dir(self.dir.join("objects/pack"))? {
            let entry = entry?;
            if entry.path().extension().is_some_and(|e| e == "pack") {
                count += 1;
                bytes += entry.metadata()?.len();
            }
        }
        Ok((count, bytes))
    }

    /// Bytes of all packs.
    pub(crate) fn bytes(&self) -> io::Result<u64> {
        Ok(self.packs()?.1)
    }

    fn shallow(&self) -> PathBuf {
        self.dir.join("shallow")
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

impl ReadLock {
    /// Begins a new generation, unless there is one already.
    pub(crate) fn discard(&self) -> io::Result<()> {
        let mut store = Store::open(self.base.clone())?;
        if store.generation == self.generation { store.clear() } else { Ok(()) }
    }
}

/// The generations, oldest first. What is none is removed.
fn generations(base: &Path) -> io::Result<Vec<u64>> {
    let mut generations = Vec::new();
    for entry in fs::read_dir(base)? {
        let entry = entry?;
        match entry.file_name().to_str().and_then(|name| name.parse().ok()) {
            Some(generation) => generations.push(generation),
            None if entry.file_type()?.is_dir() => fs::remove_dir_all(entry.path())?,
            None => fs::remove_file(entry.path())?,
        }
    }
    generations.sort_unstable();
    Ok(generations)
}

fn lock_file(dir: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).open(dir.join("lock"))
}

fn remove_unless_read(dir: &Path) -> io::Result<()> {
    let lock = lock_file(dir)?;
    match lock.try_lock() {
        Ok(()) => fs::remove_dir_all(dir),
        Err(TryLockError::WouldBlock) => Ok(()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Makes a directory, and those above it, for this user alone.
fn make(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}
