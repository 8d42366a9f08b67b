//! A directory of packs without refs: what was fetched, and which commits in it are complete.
//!
//! ```text
//! <dir>/objects/pack/   packs and their indices
//! <dir>/shallow         commits whose parents are absent on purpose
//! <dir>/complete        commits that are here with all their trees and blobs, oldest first
//! ```
//!
//! A commit counts only once it stands in `complete`, which is written last: a crash at any point costs a fetch, nothing else.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use gix::ObjectId;

use crate::session::{Depth, Destination, Request};
use crate::{Limits, Session, TransportError};

/// How many of the newest complete commits a server is told about.
const HAVES: usize = 16;

pub(crate) struct Store {
    dir: PathBuf,
    complete: Vec<ObjectId>,
}

impl Store {
    /// Opens or makes a store; leftovers of a crash are removed. One process, one opener at a time.
    pub(crate) fn open(dir: PathBuf) -> io::Result<Store> {
        make(&dir)?;
        let mut store = Store { dir, complete: Vec::new() };
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
            if name != "complete" && name != "shallow" && name != "objects" && name != "verified" {
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

    fn read_complete(&self) -> Option<Vec<ObjectId>> {
        match fs::read_to_string(self.dir.join("complete")) {
            Ok(text) => text.lines().map(|line| ObjectId::from_hex(line.as_bytes()).ok()).collect(),
            Err(error) => (error.kind() == io::ErrorKind::NotFound
                && self.packs().is_ok_and(|(n, _)| n == 0))
            .then(Vec::new),
        }
    }

    /// Whether the commit and all it needs was received.
    pub(crate) fn has(&self, commit: &ObjectId) -> bool {
        self.complete.contains(commit)
    }

    /// Objects of the store.
    pub(crate) fn objects(&self, limits: &Limits) -> io::Result<gix::odb::Handle> {
        let options = gix::odb::store::init::Options {
            use_multi_pack_index: false,
            alloc_limit_bytes: Some(limits.allocation_bytes),
            current_dir: Some(self.dir.clone()),
            ..Default::default()
        };
        gix::odb::at_opts(self.dir.join("objects"), gix::hash::Kind::Sha1, None, options)
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
        let recent = self.complete.len().saturating_sub(HAVES);
        let have = self.complete.get(recent..).unwrap_or_default();
        let packs = self.dir.join("objects/pack");
        let request = Request { want, have, depth };
        session.fetch(&request, Destination { packs: &packs, shallow: &self.shallow(), bases })?;
        self.complete.extend_from_slice(want);
        Ok(self.write_complete()?)
    }

    fn write_complete(&self) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
        for id in &self.complete {
            writeln!(file, "{id}")?;
        }
        file.persist(self.dir.join("complete"))?;
        Ok(())
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        self.complete.clear();
        fs::remove_dir_all(&self.dir)?;
        make(&self.dir)
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

/// Makes a store's directories, for this user alone.
fn make(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir.join("objects/pack"))
}
