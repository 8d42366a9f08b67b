//! A tree in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{Entry, FileTree, Kind, TreeError, path};

/// Files in memory, such as an unpacked artifact. It has no symbolic links.
#[derive(Debug, Clone, Default)]
pub struct MemoryTree {
    files: HashMap<String, Arc<[u8]>>,
    directories: HashMap<String, BTreeMap<String, Kind>>,
}

impl MemoryTree {
    /// Adds or replaces a file and adds the directories above it. A path that leaves the tree or names the root is ignored.
    pub fn insert(&mut self, file: &str, bytes: impl Into<Arc<[u8]>>) {
        let Some(file) = path::join("", file).filter(|file| !file.is_empty()) else { return };
        self.link(&file, Kind::File);
        self.files.insert(file, bytes.into());
    }

    /// Adds an empty directory and those above it.
    pub fn insert_directory(&mut self, directory: &str) {
        let Some(directory) = path::join("", directory) else { return };
        if !directory.is_empty() {
            self.link(&directory, Kind::Directory);
        }
        self.directories.entry(directory).or_default();
    }

    fn link(&mut self, child: &str, kind: Kind) {
        let (mut child, mut kind) = (child, kind);
        loop {
            let parent = path::parent(child);
            let known = self.directories.contains_key(parent);
            self.directories
                .entry(parent.to_owned())
                .or_default()
                .insert(path::base_name(child).to_owned(), kind);
            if known || parent.is_empty() {
                return;
            }
            (child, kind) = (parent, Kind::Directory);
        }
    }
}

impl FileTree for MemoryTree {
    fn read(&self, path: &str, limit: usize) -> Result<Arc<[u8]>, TreeError> {
        match self.files.get(path) {
            Some(bytes) if bytes.len() > limit => {
                Err(TreeError::TooLarge { path: self.display(path), limit })
            }
            Some(bytes) => Ok(Arc::clone(bytes)),
            None if self.kind(path) == Kind::Directory => Err(TreeError::NotAFile(self.display(path))),
            None => Err(TreeError::Absent(self.display(path))),
        }
    }

    fn kind(&self, path: &str) -> Kind {
        if self.files.contains_key(path) {
            Kind::File
        } else if path.is_empty() || self.directories.contains_key(path) {
            Kind::Directory
        } else {
            Kind::Absent
        }
    }

    fn list(&self, directory: &str) -> Result<Vec<Entry>, TreeError> {
        match self.directories.get(directory) {
            Some(entries) => {
                Ok(entries.iter().map(|(name, kind)| Entry { name: name.clone(), kind: *kind }).collect())
            }
            None if directory.is_empty() => Ok(Vec::new()),
            None if self.files.contains_key(directory) => {
                Err(TreeError::NotADirectory(self.display(directory)))
            }
            None => Err(TreeError::Absent(self.display(directory))),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn inserting_a_file_makes_its_directories() {
        let mut tree = MemoryTree::default();
        tree.insert("a/b/c.yaml", &b"x"[..]);
        tree.insert("a/z", &b"y"[..]);
        assert_eq!(tree.kind("a/b"), Kind::Directory);
        assert_eq!(tree.kind(""), Kind::Directory);
        let names: Vec<_> = tree.list("a").unwrap().into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["b", "z"]);
    }

    #[test]
    fn a_file_above_the_limit_is_refused() {
        let mut tree = MemoryTree::default();
        tree.insert("big", vec![0; 11]);
        assert_eq!(tree.read("big", 10), Err(TreeError::TooLarge { path: "/big".into(), limit: 10 }));
        assert!(tree.read("big", 11).is_ok());
    }
}
