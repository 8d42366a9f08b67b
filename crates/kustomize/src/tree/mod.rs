//! The files a build may read.

mod disk;
mod memory;
pub mod path;
mod trace;

pub use disk::DiskTree;
pub use memory::MemoryTree;
pub use trace::{Trace, Traced};

use std::sync::Arc;

/// A read-only directory tree. Nothing outside it can be reached.
///
/// Paths are relative to the tree's root, use `/`, hold no `.` or `..`; the root is the empty path.
pub trait FileTree: Send + Sync {
    /// The file's bytes.
    ///
    /// # Errors
    /// When it is absent, not a file, unreadable, or larger than `limit` bytes.
    fn read(&self, path: &str, limit: usize) -> Result<Arc<[u8]>, TreeError>;

    /// What is at `path`, after symbolic links.
    fn kind(&self, path: &str) -> Kind;

    /// The entries of a directory, by name.
    ///
    /// # Errors
    /// When it is absent, not a directory, or unreadable.
    fn list(&self, directory: &str) -> Result<Vec<Entry>, TreeError>;

    /// The path with symbolic links followed.
    ///
    /// # Errors
    /// When it is absent or leaves the tree.
    fn resolve(&self, path: &str) -> Result<String, TreeError> {
        match self.kind(path) {
            Kind::Absent => Err(TreeError::Absent(self.display(path))),
            Kind::File | Kind::Directory => Ok(path.to_owned()),
        }
    }

    /// The path in this tree that an absolute path of the host names, if any.
    fn locate_absolute(&self, absolute: &str) -> Option<String> {
        let _ = absolute;
        None
    }

    /// The path as a person should see it.
    fn display(&self, path: &str) -> String {
        format!("/{path}")
    }
}

/// What a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    File,
    Directory,
    /// Nothing, nothing readable, or something that is neither file nor directory.
    Absent,
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The last component of its path.
    pub name: String,
    /// What it is, after symbolic links.
    pub kind: Kind,
}

/// A file could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum TreeError {
    #[error("evalsymlink failure on '{0}' : lstat {0}: no such file or directory")]
    Absent(String),
    #[error("read {0}: is a directory")]
    NotAFile(String),
    #[error("'{0}' is not a directory")]
    NotADirectory(String),
    #[error("fs-security-constraint {op} {path}: path '{path}' is not in or below '{root}'")]
    Outside { op: &'static str, path: String, root: String },
    #[error("file '{path}' has more than {limit} bytes")]
    TooLarge { path: String, limit: usize },
    #[error("read {path}: {message}")]
    Io { path: String, message: String },
}
