//! Directories that charts are loaded from: those of an artifact, which has no links.

use std::collections::BTreeMap;
use std::io;

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// Its bytes.
        size: u64,
    },
}

/// A tree of directories and regular files. Paths have no `.` or `..`, begin with no slash, and are empty for the root: see
/// [`clean_path`].
pub trait Tree {
    /// What is at a path.
    fn node(&self, path: &str) -> Option<Node>;

    /// Names and kinds of what is in a directory, in the order of the bytes of the names.
    fn entries(&self, directory: &str) -> Vec<(String, Node)>;

    /// The content of a file.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;
}

/// The path without `.`, `..` and empty parts; what goes above the root stays there.
pub fn clean_path(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// A tree in memory.
#[derive(Debug, Default)]
pub struct MemoryTree(BTreeMap<String, Vec<u8>>);

impl MemoryTree {
    /// Adds a file.
    pub fn insert(&mut self, path: &str, data: impl Into<Vec<u8>>) {
        self.0.insert(clean_path(path), data.into());
    }
}

impl Tree for MemoryTree {
    fn node(&self, path: &str) -> Option<Node> {
        if let Some(data) = self.0.get(path) {
            return Some(Node::File { size: data.len() as u64 });
        }
        let is_directory = path.is_empty() || self.0.keys().any(|key| is_below(key, path));
        is_directory.then_some(Node::Directory)
    }

    fn entries(&self, directory: &str) -> Vec<(String, Node)> {
        let mut entries = BTreeMap::new();
        for (path, data) in &self.0 {
            let below = if directory.is_empty() { Some(path.as_str()) } else { rest(path, directory) };
            match below.map(|below| below.split_once('/').map_or((below, false), |(name, _)| (name, true))) {
                Some((name, true)) => entries.insert(name.to_owned(), Node::Directory),
                Some((name, false)) => {
                    entries.insert(name.to_owned(), Node::File { size: data.len() as u64 })
                }
                None => None,
            };
        }
        entries.into_iter().collect()
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.0.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn is_below(path: &str, directory: &str) -> bool {
    rest(path, directory).is_some()
}

fn rest<'a>(path: &'a str, directory: &str) -> Option<&'a str> {
    path.strip_prefix(directory)?.strip_prefix('/')
}
