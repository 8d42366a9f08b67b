//! Reading a tree: a visitor over its entries, straight from objects.

use gix::ObjectId;
use gix::bstr::{BStr, BString};
use gix::objs::FindExt;
use gix::objs::tree::EntryKind;

use crate::error::chain;
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
        reason: String,
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

/// One entry of a tree.
pub struct Entry<'a> {
    /// Path from the root, without a leading slash. Bytes, because Git knows no encoding.
    pub path: &'a [u8],
    /// What it is.
    pub kind: Kind,
    id: ObjectId,
    checkout: &'a Checkout,
    limit: u64,
    buffer: &'a mut Vec<u8>,
    bytes: &'a mut u64,
}

impl Entry<'_> {
    /// Names the content: equal ids, equal content. See [`Checkout::blob`].
    pub fn id(&self) -> &[u8] {
        self.id.as_bytes()
    }

    /// The content of a file, the target of a link.
    pub fn read(&mut self) -> Result<&[u8], WalkError> {
        let found = self.checkout.objects.find_blob(&self.id, self.buffer);
        let data = found.map_err(|e| self.checkout.broken(&self.id, &e))?.data;
        *self.bytes += data.len() as u64;
        if *self.bytes > self.limit {
            return Err(WalkError::Limit { limit: self.limit, what: Bound::FileBytes });
        }
        Ok(data)
    }
}

impl Checkout {
    /// Visits every entry, a directory before its content, each directory in byte order of its names (not in Git's own
    /// order, which sorts `a/` after `a.b`). The root itself is not visited. The first error ends the walk.
    ///
    /// What was not [selected](Checkout::select) is left out. A submodule that is here is visited as a directory.
    pub fn walk<E: From<WalkError>>(&self, visit: impl FnMut(Entry<'_>) -> Result<(), E>) -> Result<(), E> {
        let mut walker =
            Walker { root: self, visit, path: Vec::new(), entries: 0, bytes: 0, buffer: Vec::new() };
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
        let (mut start, mut buffer) = (0, Vec::new());
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for end in slashes.chain([path.len()]) {
            let broken = |error: gix::Error| place.checkout.broken(&place.tree, &error);
            let mut found = None;
            for entry in place.checkout.objects.find_tree_iter(&place.tree, &mut buffer).map_err(broken)? {
                let entry = entry.map_err(broken)?;
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

    /// Puts the content of the blob `id`, of this repository or a submodule, into `buffer`, and adds its size to those
    /// `read` before.
    pub fn blob(&self, id: &[u8], buffer: &mut Vec<u8>, read: &mut u64) -> Result<(), WalkError> {
        let id = gix::oid::try_from_bytes(id)
            .map_err(|error| WalkError::Object { id: self.commit.id, reason: error.to_string() })?;
        let owner = self.owner(id).unwrap_or(self);
        let found =
            owner.objects.find_blob(id, buffer).map_err(|error| owner.broken(&id.to_owned(), &error))?;
        *read += found.data.len() as u64;
        let limit = self.limits.tree_bytes;
        if *read > limit { Err(WalkError::Limit { limit, what: Bound::FileBytes }) } else { Ok(()) }
    }

    /// The repository that has the object.
    fn owner(&self, id: &gix::oid) -> Option<&Checkout> {
        use gix::objs::Exists;
        if self.objects.exists(id) {
            return Some(self);
        }
        self.modules.values().find_map(|module| module.owner(id))
    }

    /// The content of the file `name` of the root, if there is one.
    pub(crate) fn file(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, WalkError> {
        let Some((Kind::File { .. }, id)) = self.find(name.as_bytes())? else { return Ok(None) };
        let mut buffer = Vec::new();
        let found = self.objects.find_blob(&id, &mut buffer);
        let size = found.map_err(|e| self.broken(&id, &e))?.data.len() as u64;
        if size > limit {
            return Err(WalkError::Limit { limit, what: Bound::GitmodulesBytes });
        }
        Ok(Some(buffer))
    }

    pub(crate) fn broken(&self, id: &ObjectId, error: &gix::Error) -> WalkError {
        if error.is_resource_exhausted() {
            return WalkError::Limit { limit: self.limits.allocation_bytes as u64, what: Bound::ObjectBytes };
        }
        WalkError::Object { id: *id, reason: chain(error) }
    }
}

struct Walker<'a, V> {
    root: &'a Checkout,
    visit: V,
    path: Vec<u8>,
    entries: usize,
    bytes: u64,
    buffer: Vec<u8>,
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
        V: FnMut(Entry<'_>) -> Result<(), E>,
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
                    limit: self.root.limits.tree_bytes,
                    buffer: &mut self.buffer,
                    bytes: &mut self.bytes,
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
        let broken = |error: gix::Error| place.checkout.broken(&place.tree, &error);
        let tree = place.checkout.objects.find_tree_iter(&place.tree, &mut self.buffer).map_err(broken)?;
        let mut previous = None;
        for entry in tree {
            let entry = entry.map_err(broken)?;
            self.entries += 1;
            if self.entries > limit {
                return Err(WalkError::Limit { limit: limit as u64, what: Bound::Entries });
            }
            // As by Git, permissions beyond the executable bit are not minded. But a file is a file.
            if !matches!(entry.mode.value() & 0o170_000, 0o040_000 | 0o100_000 | 0o120_000 | 0o160_000) {
                return Err(refused(&self.path, entry.filename, "unknown mode".to_owned()));
            }
            let kind = Kind::of(entry.mode.kind());
            check_name(entry.filename, kind).map_err(|reason| refused(&self.path, entry.filename, reason))?;
            if previous.replace(entry).is_some_and(|previous| previous > entry) {
                return Err(refused(&self.path, entry.filename, "not in order".to_owned()));
            }
            children.push(Child { name: entry.filename.to_owned(), kind, id: entry.oid.to_owned() });
        }
        children.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        if let Some([twin, _]) = children.array_windows().find(|[a, b]| a.name == b.name) {
            return Err(refused(&self.path, twin.name.as_ref(), "duplicate name".to_owned()));
        }
        Ok(children)
    }
}

fn refused(parent: &[u8], name: &BStr, reason: String) -> WalkError {
    let mut path = parent.to_vec();
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    WalkError::Name { path: path.into(), reason }
}

/// The names that `git fsck` refuses, with all their disguises (`.GIT`, `git~1`, invisible characters, `.git\config`).
fn check_name(name: &BStr, kind: Kind) -> Result<(), String> {
    use gix::validate::path::{component, component::Mode, component::Options};
    let options = Options { protect_windows: false, protect_hfs: true, protect_ntfs: true };
    let mode = (kind == Kind::Symlink).then_some(Mode::Symlink);
    let check = |name: &BStr| component(name, mode, options).map(drop).map_err(|e| e.to_string());
    check(name)?;
    // A backslash is a letter, but not to all who may read it later.
    let parts = name.split(|byte| *byte == b'\\').filter(|part| !matches!(*part, b"" | b"." | b".."));
    parts.map(BStr::new).try_for_each(check)
}
