//! Reading a tree: a visitor over its entries, straight from objects.

use gix::ObjectId;
use gix::bstr::{BStr, BString};
use gix::objs::tree::EntryKind;
use gix::objs::{Kind as ObjectKind, TreeRefIter};

use crate::error::chain;
use crate::objects::{Buffer, ReadError};
use crate::sparse::Selection;
use crate::{Bound, Checkout, Error};

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A directory; its content follows.
    Directory,
    /// A file.
    File {
        /// With the executable bit.
        executable: bool,
    },
    /// A symbolic link; reading it gives its target.
    Symlink,
    /// A commit of another repository, which is not here.
    Submodule,
}

impl Kind {
    fn of(kind: EntryKind) -> Kind {
        match kind {
            EntryKind::Tree => Kind::Directory,
            EntryKind::Blob => Kind::File { executable: false },
            EntryKind::BlobExecutable => Kind::File { executable: true },
            EntryKind::Link => Kind::Symlink,
            EntryKind::Commit => Kind::Submodule,
        }
    }
}

/// Why a tree could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// The cache lacks an object, or it is broken. [`Checkout::discard`] and a new checkout help.
    #[error("object {id}: {reason}")]
    Object {
        /// The object.
        id: ObjectId,
        /// What is wrong with it.
        reason: String,
    },
    /// A name that could leave the tree, or reach into `.git`.
    #[error("refused entry {path:?}: {reason}")]
    Name {
        /// The path of the entry.
        path: BString,
        /// The rule it breaks.
        reason: NameError,
    },
    /// A limit of [`Limits`](crate::Limits) was hit.
    #[error("the tree has more than the limit of {limit} {what}")]
    Limit {
        /// The bound.
        limit: u64,
        /// What is bounded.
        what: Bound,
    },
}

/// The rule that an entry of a tree breaks.
#[derive(Debug, thiserror::Error)]
pub enum NameError {
    /// Its name could leave the tree, or reach into `.git`.
    #[error(transparent)]
    Component(#[from] gix::validate::path::component::Error),
    /// Its mode is none that Git has.
    #[error("unknown mode")]
    Mode,
    /// Another entry of the directory has its name.
    #[error("duplicate name")]
    Duplicate,
}

/// One entry of a tree.
pub struct Entry<'e, 'c> {
    /// Path from the root, without a leading slash. Bytes, because Git knows no encoding.
    pub path: &'e [u8],
    /// What it is.
    pub kind: Kind,
    id: ObjectId,
    checkout: &'c Checkout,
    blobs: &'e mut Blobs<'c>,
}

impl Entry<'_, '_> {
    /// Names the content: equal ids, equal content. See [`Blobs::read`].
    pub fn id(&self) -> &[u8] {
        self.id.as_bytes()
    }

    /// The content of a file, the target of a link.
    pub fn read(&mut self) -> Result<&[u8], WalkError> {
        self.blobs.read_of(self.checkout, &self.id)
    }
}

/// Reads the files of a checkout, which together have a limit ([`Limits::tree_bytes`](crate::Limits::tree_bytes)).
pub struct Blobs<'c> {
    root: &'c Checkout,
    buffer: Buffer,
    /// How many bytes were read.
    bytes: u64,
}

impl Blobs<'_> {
    /// The content of the blob `id`, of the repository or a submodule.
    pub fn read(&mut self, id: &[u8]) -> Result<&[u8], WalkError> {
        let id = gix::oid::try_from_bytes(id)
            .map_err(|error| WalkError::Object { id: self.root.commit.id, reason: error.to_string() })?;
        self.read_of(self.root.owner(id).unwrap_or(self.root), id)
    }

    fn read_of(&mut self, owner: &Checkout, id: &gix::oid) -> Result<&[u8], WalkError> {
        let data = owner.objects.read(id, ObjectKind::Blob, &mut self.buffer);
        let data = data.map_err(|error| owner.broken(id, error))?;
        self.bytes += data.len() as u64;
        let limit = self.root.limits.tree_bytes;
        if self.bytes > limit { Err(WalkError::Limit { limit, what: Bound::FileBytes }) } else { Ok(data) }
    }
}

impl Checkout {
    /// Visits every entry, a directory before its content, each directory in byte order of its names (not in Git's own
    /// order, which sorts `a/` after `a.b`). The root itself is not visited. The first error ends the walk.
    ///
    /// What was not [selected](Checkout::select) is left out. A submodule that is here is visited as a directory.
    pub fn walk<E: From<WalkError>>(
        &self,
        visit: impl FnMut(Entry<'_, '_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let buffer = Buffer::default();
        let mut walker =
            Walker { root: self, visit, path: Vec::new(), entries: 0, blobs: self.blobs(), buffer };
        walker.directory(Place { checkout: self, base: 0, tree: self.commit.tree }, 0)
    }

    /// Leaves only the files whose paths begin with one of `directories`, each of which must then be there.
    pub fn select(&mut self, directories: &[String]) -> Result<(), Error> {
        self.selection = Selection::new(directories);
        for (directory, place) in directories.iter().zip(self.selection.places()) {
            if self.kind_at(place.as_bytes())?.is_none() {
                return Err(Error::SparseDirectory(directory.clone()));
            }
        }
        Ok(())
    }

    /// What a walk visits at `path`, of which an empty one is the root.
    pub fn kind_at(&self, path: &[u8]) -> Result<Option<Kind>, WalkError> {
        if path.is_empty() {
            return Ok(Some(Kind::Directory));
        }
        let found = self.find(path)?.map(|(kind, _)| kind);
        Ok(found.filter(|kind| self.selection.admits(path, *kind == Kind::Directory)))
    }

    /// The entry at `path`, selected or not.
    pub(crate) fn find(&self, path: &[u8]) -> Result<Option<(Kind, ObjectId)>, WalkError> {
        let mut place = Place { checkout: self, base: 0, tree: self.commit.tree };
        let (mut start, mut buffer) = (0, Buffer::default());
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for end in slashes.chain([path.len()]) {
            let mut found = None;
            for entry in place.entries(&mut buffer)? {
                let entry = entry.map_err(|error| place.garbled(&error))?;
                if path.get(start..end).is_some_and(|name| entry.filename == name) {
                    found = Some((Kind::of(entry.mode.kind()), entry.oid.to_owned()));
                }
            }
            let Some((kind, id)) = found else { return Ok(None) };
            let below = place.below(path.get(..end).unwrap_or_default(), kind, id);
            if end == path.len() {
                return Ok(Some(below.map_or((kind, id), |below| (Kind::Directory, below.tree))));
            }
            let Some(below) = below else { return Ok(None) };
            (place, start) = (below, end + 1);
        }
        Ok(None)
    }

    /// Reads files by the ids that a [walk](Self::walk) gave.
    pub fn blobs(&self) -> Blobs<'_> {
        Blobs { root: self, buffer: Buffer::default(), bytes: 0 }
    }

    /// The repository that has the object.
    fn owner(&self, id: &gix::oid) -> Option<&Checkout> {
        if self.objects.contains(id) {
            return Some(self);
        }
        self.modules.values().find_map(|module| module.owner(id))
    }

    /// The content of the file `name` of the root, if there is one.
    pub(crate) fn file(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, WalkError> {
        let Some((Kind::File { .. }, id)) = self.find(name.as_bytes())? else { return Ok(None) };
        let mut buffer = Buffer::default();
        let data = self.objects.read(&id, ObjectKind::Blob, &mut buffer);
        let data = data.map_err(|error| self.broken(&id, error))?;
        if data.len() as u64 > limit {
            return Err(WalkError::Limit { limit, what: Bound::GitmodulesBytes });
        }
        Ok(Some(data.to_vec()))
    }

    pub(crate) fn broken(&self, id: &gix::oid, error: ReadError) -> WalkError {
        match error {
            ReadError::TooLarge(_) => {
                WalkError::Limit { limit: self.limits.allocation_bytes as u64, what: Bound::ObjectBytes }
            }
            error => WalkError::Object { id: id.to_owned(), reason: error.to_string() },
        }
    }
}

struct Walker<'a, V> {
    root: &'a Checkout,
    visit: V,
    path: Vec<u8>,
    entries: usize,
    blobs: Blobs<'a>,
    /// For directories.
    buffer: Buffer,
}

/// A directory on the way.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// The repository it belongs to.
    checkout: &'a Checkout,
    /// Where that repository's paths begin in the walk's.
    base: usize,
    tree: ObjectId,
}

impl<'a> Place<'a> {
    fn entries<'b>(&self, buffer: &'b mut Buffer) -> Result<TreeRefIter<'b>, WalkError> {
        let data = self.checkout.objects.read(&self.tree, ObjectKind::Tree, buffer);
        let data = data.map_err(|error| self.checkout.broken(&self.tree, error))?;
        Ok(TreeRefIter::from_bytes(data, self.tree.kind()))
    }

    fn garbled(&self, error: &gix::Error) -> WalkError {
        WalkError::Object { id: self.tree, reason: chain(error) }
    }

    /// The directory that the entry `path` of this one is, if it is one.
    fn below(self, path: &[u8], kind: Kind, id: ObjectId) -> Option<Place<'a>> {
        match kind {
            Kind::Directory => Some(Place { tree: id, ..self }),
            Kind::Submodule => {
                let checkout = self.checkout.modules.get(path.get(self.base..)?)?;
                Some(Place { checkout, base: path.len() + 1, tree: checkout.commit.tree })
            }
            Kind::File { .. } | Kind::Symlink => None,
        }
    }
}

struct Child {
    name: BString,
    kind: Kind,
    id: ObjectId,
}

impl<'a, V> Walker<'a, V> {
    fn directory<E: From<WalkError>>(&mut self, place: Place<'a>, depth: usize) -> Result<(), E>
    where
        V: FnMut(Entry<'_, 'a>) -> Result<(), E>,
    {
        let limit = self.root.limits.depth;
        if depth > limit {
            return Err(WalkError::Limit { limit: limit as u64, what: Bound::Depth }.into());
        }
        for child in self.children(place)? {
            let parent = self.path.len();
            if parent > 0 {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(&child.name);
            let below = place.below(&self.path, child.kind, child.id);
            if self.root.selection.admits(&self.path, below.is_some()) {
                (self.visit)(Entry {
                    path: &self.path,
                    kind: if below.is_some() { Kind::Directory } else { child.kind },
                    id: child.id,
                    checkout: place.checkout,
                    blobs: &mut self.blobs,
                })?;
                if let Some(below) = below {
                    self.directory(below, depth + 1)?;
                }
            }
            self.path.truncate(parent);
        }
        Ok(())
    }

    /// The entries of one directory, checked and sorted.
    fn children(&mut self, place: Place<'_>) -> Result<Vec<Child>, WalkError> {
        let limit = self.root.limits.entries;
        let mut children = Vec::new();
        for entry in place.entries(&mut self.buffer)? {
            let entry = entry.map_err(|error| place.garbled(&error))?;
            self.entries += 1;
            if self.entries > limit {
                return Err(WalkError::Limit { limit: limit as u64, what: Bound::Entries });
            }
            // As by Git, permissions beyond the executable bit are not minded. But a file is a file.
            if !matches!(entry.mode.value() & 0o170_000, 0o040_000 | 0o100_000 | 0o120_000 | 0o160_000) {
                return Err(refused(&self.path, entry.filename, NameError::Mode));
            }
            let kind = Kind::of(entry.mode.kind());
            check_name(entry.filename, kind).map_err(|reason| refused(&self.path, entry.filename, reason))?;
            children.push(Child { name: entry.filename.to_owned(), kind, id: entry.oid.to_owned() });
        }
        children.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        if let Some([twin, _]) = children.array_windows().find(|[a, b]| a.name == b.name) {
            return Err(refused(&self.path, twin.name.as_ref(), NameError::Duplicate));
        }
        Ok(children)
    }
}

fn refused(parent: &[u8], name: &BStr, reason: NameError) -> WalkError {
    let mut path = parent.to_vec();
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    WalkError::Name { path: path.into(), reason }
}

/// The names that `git fsck` refuses, with all their disguises (`.GIT`, `git~1`, invisible characters, `.git\config`).
fn check_name(name: &BStr, kind: Kind) -> Result<(), NameError> {
    use gix::validate::path::{component, component::Mode, component::Options};
    let options = Options { protect_windows: false, protect_hfs: true, protect_ntfs: true };
    let mode = (kind == Kind::Symlink).then_some(Mode::Symlink);
    let check = |name: &BStr| component(name, mode, options).map(drop).map_err(NameError::from);
    check(name)?;
    // A backslash is a letter, but not to all who may read it later.
    let parts = name.split(|byte| *byte == b'\\').filter(|part| !matches!(*part, b"" | b"." | b".."));
    parts.map(BStr::new).try_for_each(check)
}
