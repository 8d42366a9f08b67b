//! A tree on disk.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Entry, FileTree, Kind, TreeError};

/// A directory on disk. Symbolic links are followed as long as they stay inside.
#[derive(Debug, Clone)]
pub struct DiskTree {
    root: PathBuf,
}

impl DiskTree {
    /// The tree below `root`.
    ///
    /// # Errors
    /// When `root` is not an existing directory.
    pub fn new(root: impl AsRef<Path>) -> io::Result<Self> {
        let root = fs::canonicalize(root)?;
        if !root.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self { root })
    }

    /// Where `path` really is, if that is inside.
    fn locate(&self, op: &'static str, path: &str) -> Result<PathBuf, TreeError> {
        let real = fs::canonicalize(self.root.join(path)).map_err(|error| self.error(path, &error))?;
        if !real.starts_with(&self.root) {
            return Err(TreeError::Outside {
                op,
                path: self.display(path),
                root: self.root.display().to_string(),
            });
        }
        Ok(real)
    }

    fn error(&self, path: &str, error: &io::Error) -> TreeError {
        match error.kind() {
            io::ErrorKind::NotFound => TreeError::Absent(self.display(path)),
            io::ErrorKind::NotADirectory => TreeError::NotADirectory(self.display(path)),
            io::ErrorKind::IsADirectory => TreeError::NotAFile(self.display(path)),
            _ => TreeError::Io { path: self.display(path), message: error.to_string() },
        }
    }
}

fn kind_of(path: &Path) -> Kind {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Kind::File,
        Ok(metadata) if metadata.is_dir() => Kind::Directory,
        _ => Kind::Absent,
    }
}

impl FileTree for DiskTree {
    fn read(&self, path: &str, limit: usize) -> Result<Arc<[u8]>, TreeError> {
        let real = self.locate("read", path)?;
        match kind_of(&real) {
            Kind::File => {}
            Kind::Directory => return Err(TreeError::NotAFile(self.display(path))),
            Kind::Absent => return Err(TreeError::Absent(self.display(path))),
        }
        let mut bytes = Vec::new();
        let file = File::open(&real).map_err(|error| self.error(path, &error))?;
        let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        file.take(bound).read_to_end(&mut bytes).map_err(|error| self.error(path, &error))?;
        if bytes.len() > limit {
            return Err(TreeError::TooLarge { path: self.display(path), limit });
        }
        Ok(bytes.into())
    }

    fn kind(&self, path: &str) -> Kind {
        self.locate("stat", path).map_or(Kind::Absent, |real| kind_of(&real))
    }

    fn list(&self, directory: &str) -> Result<Vec<Entry>, TreeError> {
        let real = self.locate("list", directory)?;
        let mut entries = Vec::new();
        for entry in fs::read_dir(&real).map_err(|error| self.error(directory, &error))? {
            let entry = entry.map_err(|error| self.error(directory, &error))?;
            // A name that is not UTF-8 cannot be written in a kustomization.
            if let Ok(name) = entry.file_name().into_string() {
                let path = if directory.is_empty() { name.clone() } else { format!("{directory}/{name}") };
                entries.push(Entry { kind: self.kind(&path), name });
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn resolve(&self, path: &str) -> Result<String, TreeError> {
        let real = self.locate("resolve", path)?;
        let inside = real.strip_prefix(&self.root).unwrap_or(&real);
        inside
            .to_str()
            .map(str::to_owned)
            .ok_or_else(|| TreeError::Io { path: self.display(path), message: "name is not UTF-8".into() })
    }

    fn locate_absolute(&self, absolute: &str) -> Option<String> {
        Path::new(absolute).strip_prefix(&self.root).ok()?.to_str().map(str::to_owned)
    }

    fn display(&self, path: &str) -> String {
        self.root.join(path).display().to_string().trim_end_matches('/').to_owned()
    }
}
