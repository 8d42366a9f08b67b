//! What an artifact holds: the tree of a commit, and in it the artifacts of the sources that are included.
//! Everything here blocks.
//!
//! Nothing is unpacked: Git's tree and the archives all come in the order that an archive needs, so they are merged
//! while they are read.

use std::cmp::Ordering;
use std::io::Read;

use api::Artifact;
use artifact::digest::Digest;
use artifact::path::confine;
use artifact::store::StoreError;
use artifact::unpack::{self, UnpackError, unpack};
use git::{Checkout, Kind};

use super::build::BuildError;
use source::storage::ObjectStorage;

/// An artifact to be put into another one.
#[derive(Debug, Clone)]
pub struct Include {
    /// The source that it comes from.
    pub name: String,
    /// What of it, as the spec has it.
    pub from: String,
    /// Where it goes, as the spec has it.
    pub to: String,
    /// The artifact.
    pub artifact: Artifact,
}

/// Why an artifact could not be put in.
#[derive(Debug, thiserror::Error)]
pub enum IncludeError {
    /// Its target is no path.
    #[error("path calculation for include '{name}' failed: {reason}")]
    Path {
        /// The source that is included.
        name: String,
        /// What is wrong with the path.
        reason: &'static str,
    },
    /// It is not in the storage, or not what its source says: that one has yet to store it again, or to say so.
    #[error("no artifact available for include '{name}'")]
    NotStored {
        /// The source that is included.
        name: String,
    },
    /// It cannot be read, or there is no room for it.
    #[error("failed to copy '{name}' include from {from} to {to}: {reason}")]
    Copy {
        /// The source that is included.
        name: String,
        /// What of it.
        from: String,
        /// Where it was to go.
        to: String,
        /// Why it did not.
        reason: String,
    },
}

/// The content of one artifact.
pub struct Content<'a> {
    checkout: &'a Checkout,
    /// In the order of their targets.
    entries: Vec<IncludeEntry<'a>>,
    limits: &'a unpack::Limits,
}

/// An include whose place is known to be free.
struct IncludeEntry<'a> {
    include: &'a Include,
    /// The path in its archive; empty for all of it.
    from: String,
    /// The path that it gets.
    to: String,
    is_file: bool,
    /// The includes, by their number in the spec, whose places it takes.
    hides: Vec<usize>,
    storage: ObjectStorage,
}

/// A file or a directory.
pub enum Item<'a, 'c> {
    /// A directory, of the commit or an archive.
    Directory,
    /// A file of the commit.
    Git(git::Entry<'a, 'c>),
    /// A file of an archive.
    Archived {
        /// With the executable bit.
        executable: bool,
        /// Bytes of the content.
        size: u64,
        /// The content.
        content: &'a mut dyn Read,
    },
}

type Visit<'v> = &'v mut dyn FnMut(&[u8], Item<'_, '_>) -> Result<(), BuildError>;

impl<'a> Content<'a> {
    /// Puts `includes`, one after the other, into the tree of `checkout`; nothing that is there may be in their way.
    /// `storage` is that of the source that includes.
    pub fn new(
        checkout: &'a Checkout,
        includes: &'a [Include],
        storage: &ObjectStorage,
        limits: &'a unpack::Limits,
    ) -> Result<Self, BuildError> {
        let targets: Vec<String> = includes.iter().map(Include::target).collect::<Result<_, _>>()?;
        let mut entries: Vec<IncludeEntry<'a>> = Vec::new();
        let mut bytes = 0;
        for (at, (include, to)) in includes.iter().zip(&targets).enumerate() {
            let in_the_way = |other: &IncludeEntry<'_>| {
                lies_in(other.to.as_bytes(), to.as_bytes()) || other.hides.contains(&at)
            };
            if entries.iter().any(in_the_way) {
                return Err(include.failed("file exists").into());
            }
            let mut entry = IncludeEntry {
                include,
                from: confine(&include.from),
                to: to.clone(),
                is_file: false,
                hides: Vec::new(),
                storage: storage.sibling(&include.name),
            };
            entry.scan(&targets, limits, &mut bytes)?;
            if let Some(obstacle) = obstacle(checkout, to, entry.is_file)? {
                return Err(include.failed(obstacle).into());
            }
            entries.push(entry);
        }
        entries.sort_by(|a, b| order(a.to.as_bytes(), b.to.as_bytes()));
        Ok(Content { checkout, entries, limits })
    }

    /// Visits every file and directory, a directory before its content, each directory in byte order of its names.
    pub fn walk(&self, visit: Visit<'_>) -> Result<(), BuildError> {
        let mut merge = Merge { content: self, next: 0, last: Vec::new(), visit };
        self.checkout.walk(|entry| merge.git(entry))?;
        merge.includes_before(None)
    }
}

/// What of the commit's tree prevents an include from getting the path `to`.
fn obstacle(checkout: &Checkout, to: &str, is_file: bool) -> Result<Option<&'static str>, BuildError> {
    for (slash, _) in to.match_indices('/') {
        match checkout.kind_at(to.get(..slash).unwrap_or_default().as_bytes())? {
            None => return Ok(None),
            Some(Kind::Directory | Kind::Submodule) => {}
            Some(Kind::File { .. } | Kind::Symlink) => return Ok(Some("not a directory")),
        }
    }
    // As renaming does it: a file takes the place of a file, a directory that of an empty one.
    let free = match checkout.kind_at(to.as_bytes())? {
        None => true,
        Some(Kind::Directory) => false,
        Some(Kind::Submodule) => !is_file,
        Some(Kind::File { .. } | Kind::Symlink) => is_file,
    };
    Ok((!free).then_some("file exists"))
}

impl Include {
    fn target(&self) -> Result<String, IncludeError> {
        let to = confine(&self.to);
        if to.contains(['\0', '\\']) {
            return Err(IncludeError::Path { name: self.name.clone(), reason: "invalid character" });
        }
        Ok(to)
    }

    fn failed_by(&self, error: &(dyn std::error::Error + 'static)) -> IncludeError {
        self.failed(runtime::error::chain(error))
    }

    fn failed(&self, reason: impl Into<String>) -> IncludeError {
        let Include { name, from, to, .. } = self.clone();
        IncludeError::Copy { name, from, to, reason: reason.into() }
    }
}

impl IncludeEntry<'_> {
    /// Verifies the archive and reads which places its entries take.
    fn scan(
        &mut self,
        targets: &[String],
        limits: &unpack::Limits,
        bytes: &mut u64,
    ) -> Result<(), BuildError> {
        let artifact = &self.include.artifact;
        if !self.storage.owns(&artifact.path) {
            return Err(self.include.failed_by(&StoreError::Missing(artifact.path.clone())).into());
        }
        let digest: Digest = artifact.digest.parse().map_err(|error| self.include.failed_by(&error))?;
        self.storage.store.verify(&artifact.path, &digest).map_err(|error| match error {
            StoreError::Missing(_) | StoreError::Mismatch(_) => {
                IncludeError::NotStored { name: self.include.name.clone() }
            }
            error => self.include.failed_by(&error),
        })?;
        let (mut found, mut hides) = (self.from.is_empty(), Vec::new());
        let mut is_file = false;
        self.read(limits, &mut |path, item| {
            found = true;
            if let Item::Archived { size, .. } = item {
                is_file |= path == self.to.as_bytes();
                *bytes += size;
                if *bytes > limits.bytes {
                    let reason = format!("all includes have more than {} bytes", limits.bytes);
                    return Err(self.include.failed(reason).into());
                }
            }
            for (at, target) in targets.iter().enumerate() {
                let target = target.as_bytes();
                let below_a_file = !matches!(item, Item::Directory) && lies_in(target, path);
                if (lies_in(path, target) || below_a_file) && !hides.contains(&at) {
                    hides.push(at);
                }
            }
            Ok(())
        })?;
        if !found {
            return Err(self.include.failed("no such file or directory").into());
        }
        (self.is_file, self.hides) = (is_file, hides);
        Ok(())
    }

    /// Pushes what is wanted of the archive, under the paths that it gets.
    fn read(&self, limits: &unpack::Limits, sink: Visit<'_>) -> Result<(), BuildError> {
        let archive = self
            .storage
            .store
            .open_file(&self.include.artifact.path)
            .map_err(|e| self.include.failed_by(&e))?;
        let (mut refused, mut last, mut target) = (None, Vec::new(), Vec::new());
        let unpacked = unpack(archive, limits, &mut |entry| {
            let (path, item) = match entry {
                unpack::Entry::Directory { path } => (path, Item::Directory),
                unpack::Entry::File { path, executable, size, content } => {
                    (path, Item::Archived { executable, size, content })
                }
            };
            if !last.is_empty() && order(&last, path) != Ordering::Less {
                return Err("entries are not in order".into());
            }
            last.clear();
            last.extend_from_slice(path);
            if !lies_in(path, self.from.as_bytes()) {
                return Ok(());
            }
            target.clear();
            target.extend_from_slice(self.to.as_bytes());
            let rest = path.get(self.from.len()..).unwrap_or_default();
            if self.from.is_empty() {
                target.push(b'/');
            }
            target.extend_from_slice(rest);
            sink(&target, item).map_err(|error| {
                refused = Some(error);
                "refused".into()
            })
        });
        match refused {
            Some(error) => Err(error),
            None => Ok(unpacked.map_err(|error: UnpackError| self.include.failed_by(&error))?),
        }
    }
}

/// A walk over a commit's tree into which the includes are put on the way.
struct Merge<'v> {
    content: &'v Content<'v>,
    /// The include that comes next.
    next: usize,
    /// The path that was visited last.
    last: Vec<u8>,
    visit: Visit<'v>,
}

impl Merge<'_> {
    fn git(&mut self, entry: git::Entry<'_, '_>) -> Result<(), BuildError> {
        let path = entry.path;
        let item = match entry.kind {
            // A submodule that is not fetched leaves its directory, as in a work tree.
            Kind::Directory | Kind::Submodule => Item::Directory,
            Kind::File { .. } => Item::Git(entry),
            Kind::Symlink => return Ok(()),
        };
        self.includes_before(Some(path))?;
        let entries = &self.content.entries;
        if entries.binary_search_by(|entry| order(entry.to.as_bytes(), path)).is_ok() {
            return Ok(());
        }
        self.put(path, item)
    }

    /// Visits the includes that have to come before `path`, or in its place.
    fn includes_before(&mut self, path: Option<&[u8]>) -> Result<(), BuildError> {
        while let Some(entry) = self.content.entries.get(self.next) {
            if path.is_some_and(|path| order(entry.to.as_bytes(), path) == Ordering::Greater) {
                break;
            }
            self.next += 1;
            if !entry.is_file {
                self.put(entry.to.as_bytes(), Item::Directory)?;
            }
            entry.read(self.content.limits, &mut |path, item| {
                self.includes_before(Some(path))?;
                self.put(path, item)
            })?;
        }
        Ok(())
    }

    /// Visits one entry, and before it the directories that have no entry of their own.
    fn put(&mut self, path: &[u8], item: Item<'_, '_>) -> Result<(), BuildError> {
        if self.last == path {
            return Ok(());
        }
        for (at, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            let parent = path.get(..at).unwrap_or_default();
            if !lies_in(&self.last, parent) {
                (self.visit)(parent, Item::Directory)?;
            }
        }
        (self.visit)(path, item)?;
        self.last.clear();
        self.last.extend_from_slice(path);
        Ok(())
    }
}

/// The order of an archive: component by component.
fn order(a: &[u8], b: &[u8]) -> Ordering {
    a.split(|b| *b == b'/').cmp(b.split(|b| *b == b'/'))
}

/// Whether `path` is `directory` or lies in it.
fn lies_in(path: &[u8], directory: &[u8]) -> bool {
    let rest = path.strip_prefix(directory);
    rest.is_some_and(|rest| directory.is_empty() || rest.is_empty() || rest.starts_with(b"/"))
}
