//! Reading a tree: a visitor over its entries, straight from objects.

use gix::ObjectId;
use gix::bstr::{BStr, BString};
use gix::objs::FindExt;
use gix::objs::tree::EntryKind;

use crate::Checkout;
use crate::error::chain;

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
    /// A commit of another repository.
    Submodule,
}

/// Why a tree could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// The cache lacks an object, or it is broken. [`Cache::clear`](crate::Cache::clear) and a new checkout help.
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
        /// Its unit.
        what: &'static str,
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
    buffer: &'a mut Vec<u8>,
    bytes: &'a mut u64,
}

impl Entry<'_> {
    /// The content of a file, the target of a link.
    pub fn read(&mut self) -> Result<&[u8], WalkError> {
        let found = self.checkout.objects.find_blob(&self.id, self.buffer);
        let data = found.map_err(|e| self.checkout.broken(&self.id, &e))?.data;
        *self.bytes += data.len() as u64;
        let limit = self.checkout.limits.tree_bytes;
        if *self.bytes > limit {
            return Err(WalkError::Limit { limit, what: "bytes of files" });
        }
        Ok(data)
    }
}

impl Checkout {
    /// Visits every entry, a directory before its content, each directory in byte order of its names (not in Git's own
    /// order, which sorts `a/` after `a.b`). The root itself is not visited. The first error ends the walk.
    pub fn walk<E: From<WalkError>>(&self, visit: impl FnMut(Entry<'_>) -> Result<(), E>) -> Result<(), E> {
        let mut walker =
            Walker { checkout: self, visit, path: Vec::new(), entries: 0, bytes: 0, buffer: Vec::new() };
        walker.directory(self.commit.tree, 0)
    }

    fn broken(&self, id: &ObjectId, error: &gix::Error) -> WalkError {
        if error.is_resource_exhausted() {
            return WalkError::Limit {
                limit: self.limits.allocation_bytes as u64,
                what: "bytes in one object",
            };
        }
        WalkError::Object { id: *id, reason: chain(error) }
    }
}

struct Walker<'a, V> {
    checkout: &'a Checkout,
    visit: V,
    path: Vec<u8>,
    entries: usize,
    bytes: u64,
    buffer: Vec<u8>,
}

struct Child {
    name: BString,
    kind: Kind,
    id: ObjectId,
}

impl<V> Walker<'_, V> {
    fn directory<E: From<WalkError>>(&mut self, id: ObjectId, depth: usize) -> Result<(), E>
    where
        V: FnMut(Entry<'_>) -> Result<(), E>,
    {
        let limit = self.checkout.limits.depth;
        if depth > limit {
            return Err(WalkError::Limit { limit: limit as u64, what: "nested directories" }.into());
        }
        for child in self.children(&id)? {
            let parent = self.path.len();
            if parent > 0 {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(&child.name);
            (self.visit)(Entry {
                path: &self.path,
                kind: child.kind,
                id: child.id,
                checkout: self.checkout,
                buffer: &mut self.buffer,
                bytes: &mut self.bytes,
            })?;
            if child.kind == Kind::Directory {
                self.directory(child.id, depth + 1)?;
            }
            self.path.truncate(parent);
        }
        Ok(())
    }

    /// The entries of one directory, checked and sorted.
    fn children(&mut self, id: &ObjectId) -> Result<Vec<Child>, WalkError> {
        let limit = self.checkout.limits.entries;
        let mut children = Vec::new();
        let broken = |error: gix::Error| self.checkout.broken(id, &error);
        let tree = self.checkout.objects.find_tree_iter(id, &mut self.buffer).map_err(broken)?;
        for entry in tree {
            let entry = entry.map_err(broken)?;
            self.entries += 1;
            if self.entries > limit {
                return Err(WalkError::Limit { limit: limit as u64, what: "entries" });
            }
            let kind = match entry.mode.kind() {
                EntryKind::Tree => Kind::Directory,
                EntryKind::Blob => Kind::File { executable: false },
                EntryKind::BlobExecutable => Kind::File { executable: true },
                EntryKind::Link => Kind::Symlink,
                EntryKind::Commit => Kind::Submodule,
            };
            check_name(entry.filename, kind).map_err(|reason| refused(&self.path, entry.filename, reason))?;
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

/// The names that `git fsck` refuses, with all their disguises (`.GIT`, `git~1`, invisible characters).
fn check_name(name: &BStr, kind: Kind) -> Result<(), String> {
    use gix::validate::path::{component, component::Mode, component::Options};
    let options = Options { protect_windows: false, protect_hfs: true, protect_ntfs: true };
    let mode = (kind == Kind::Symlink).then_some(Mode::Symlink);
    component(name, mode, options).map(drop).map_err(|e| e.to_string())
}
