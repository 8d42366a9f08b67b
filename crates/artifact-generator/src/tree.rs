//! Trees of files in memory.

use std::collections::BTreeMap;
use std::io::Read;

use artifact::digest::{Algorithm, Hasher};
use artifact::unpack::{self, Entry, UnpackError, unpack};
use bytes::Bytes;

use crate::identity::adler32;

/// What a node takes beside its name and content, in bytes; about what a map and the numbers of a file do.
const NODE_BYTES: u64 = 192;

/// The entries of a directory, in the order of an artifact.
pub type Directory = BTreeMap<Vec<u8>, Node>;

/// A directory or a file.
#[derive(Clone, Debug)]
pub enum Node {
    /// A directory.
    Directory(Directory),
    /// A file.
    File(File),
}

/// A regular file. Clones share the content.
#[derive(Clone, Debug)]
pub struct File {
    /// What is in it.
    pub content: Bytes,
    /// Whether it may be executed.
    pub executable: bool,
    /// The Adler-32 sum of the content.
    pub(crate) adler: u32,
    /// The SHA-256 sum of the content as text.
    pub(crate) digest: Bytes,
}

/// A directory and all below.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    root: Directory,
    /// Directories and files.
    nodes: u64,
}

/// Why a path cannot be had in a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlaceError {
    /// A component of it is a file.
    #[error("not a directory")]
    NotADirectory,
    /// It is a directory already, or the root.
    #[error("is a directory")]
    IsADirectory,
}

// === impl File ===

impl File {
    /// A file with this content.
    pub fn new(content: impl Into<Bytes>, executable: bool) -> Self {
        let content = content.into();
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(&content);
        let digest = hasher.finish().to_string().into();
        Self { adler: adler32(&content), digest, content, executable }
    }
}

// === impl Tree ===

impl Tree {
    /// Unpacks an artifact of no more than `limits`, and of no more than `limits.bytes` of memory; gives how much it takes.
    ///
    /// # Errors
    /// See [`unpack()`].
    pub fn unpack(archive: impl Read, limits: &unpack::Limits) -> Result<(Tree, u64), UnpackError> {
        let (mut tree, mut content_bytes) = (Tree::default(), 0_u64);
        let bytes = |tree: &Tree, content_bytes: u64| tree.nodes.saturating_mul(NODE_BYTES) + content_bytes;
        unpack(archive, limits, &mut |entry| {
            match entry {
                Entry::Directory { path } => {
                    content_bytes += path.len() as u64;
                    tree.directory_at(path)?;
                }
                Entry::File { path, executable, content, .. } => {
                    let mut text = Vec::new();
                    content.read_to_end(&mut text)?;
                    content_bytes += (path.len() + text.len()) as u64;
                    tree.put(path, File::new(text, executable))?;
                }
            }
            if bytes(&tree, content_bytes) > limits.bytes {
                return Err(UnpackError::too_many_bytes(limits).into());
            }
            Ok(())
        })?;
        let bytes = bytes(&tree, content_bytes);
        Ok((tree, bytes))
    }

    /// The entries of the root.
    pub fn root(&self) -> &Directory {
        &self.root
    }

    /// The node at a path of components, which is not the root.
    pub(crate) fn get(&self, path: &[u8]) -> Option<&Node> {
        let mut components = components(path);
        let mut node = self.root.get(components.next()?)?;
        for component in components {
            let Node::Directory(entries) = node else { return None };
            node = entries.get(component)?;
        }
        Some(node)
    }

    /// The entries of the directory at a path, which may be the root.
    pub(crate) fn directory(&self, path: &[u8]) -> Option<&Directory> {
        if path.is_empty() {
            return Some(&self.root);
        }
        match self.get(path)? {
            Node::Directory(entries) => Some(entries),
            Node::File(_) => None,
        }
    }

    /// The directory at a path, which is made with its parents where it is missing.
    pub(crate) fn directory_at(&mut self, path: &[u8]) -> Result<&mut Directory, PlaceError> {
        let (mut entries, nodes) = (&mut self.root, &mut self.nodes);
        for component in components(path) {
            let node = entries.entry(component.to_vec()).or_insert_with(|| {
                *nodes += 1;
                Node::Directory(Directory::new())
            });
            let Node::Directory(inner) = node else { return Err(PlaceError::NotADirectory) };
            entries = inner;
        }
        Ok(entries)
    }

    /// Puts a file at a path, in place of one that is there.
    pub(crate) fn put(&mut self, path: &[u8], file: File) -> Result<(), PlaceError> {
        let (parent, name) = split(path);
        if name.is_empty() {
            return Err(PlaceError::IsADirectory);
        }
        let entries = self.directory_at(parent)?;
        if let Some(Node::Directory(_)) = entries.get(name) {
            return Err(PlaceError::IsADirectory);
        }
        if entries.insert(name.to_vec(), Node::File(file)).is_none() {
            self.nodes += 1;
        }
        Ok(())
    }

    /// Calls `visit` for all directories and files with their paths, each directory before what is in it, in the order of an
    /// artifact.
    ///
    /// # Errors
    /// Those of `visit`, which end it.
    pub fn visit<E>(&self, visit: &mut impl FnMut(&[u8], &Node) -> Result<(), E>) -> Result<(), E> {
        visit_entries(&self.root, &mut Vec::new(), visit)
    }
}

/// Visits the entries of a directory that is at `path`.
fn visit_entries<E>(
    entries: &Directory,
    path: &mut Vec<u8>,
    visit: &mut impl FnMut(&[u8], &Node) -> Result<(), E>,
) -> Result<(), E> {
    let length = path.len();
    for (name, node) in entries {
        if length > 0 {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        visit(path, node)?;
        if let Node::Directory(inner) = node {
            visit_entries(inner, path, visit)?;
        }
        path.truncate(length);
    }
    Ok(())
}

/// The components of a clean path; the root has none.
pub(crate) fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|component| !component.is_empty())
}

/// The parent and the name of a clean path.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()),
        None => (&[], path),
    }
}

/// `path` below `parent`, either of which may be empty.
pub(crate) fn join(parent: &[u8], path: &[u8]) -> Vec<u8> {
    match (parent, path) {
        ([], path) => path.to_vec(),
        (parent, []) => parent.to_vec(),
        (parent, path) => [parent, b"/", path].concat(),
    }
}
