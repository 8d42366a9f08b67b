//! Charts on disk.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use helm_chart::{Chart, Limits, LoadError, Node, Tree, load_archive, load_directory};

/// Loads a chart from a directory or an archive.
pub fn load(path: &Path) -> Result<Chart> {
    let limits = Limits::default();
    let Ok(metadata) = fs::metadata(path) else { bail!("path {:?} not found", path.display().to_string()) };
    if metadata.is_dir() {
        let file = path.join("Chart.yaml");
        if let Err(error) = fs::metadata(&file) {
            let file = file.display();
            bail!("unable to detect chart at {file}: open {file}: {}", go_error(&error));
        }
        return Ok(plain(load_directory(&Directory(path.to_owned()), "", &limits))?);
    }
    let archive = fs::File::open(path).with_context(|| path.display().to_string())?;
    Ok(load_archive(archive, &limits)?)
}

/// What Go says of a file that cannot be opened.
fn go_error(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        _ => error.to_string(),
    }
}

/// Without the place of the chart in an error: who gave it knows it.
pub fn plain(loaded: Result<Chart, LoadError>) -> Result<Chart, LoadError> {
    loaded.map_err(|error| match error {
        LoadError::Directory { source, .. } | LoadError::Files { source, .. } => *source,
        error => error,
    })
}

/// A directory of the disk; links are followed.
struct Directory(PathBuf);

impl Tree for Directory {
    fn node(&self, path: &str) -> Option<Node> {
        let metadata = fs::metadata(self.0.join(path)).ok()?;
        Some(if metadata.is_dir() { Node::Directory } else { Node::File { size: metadata.len() } })
    }

    fn entries(&self, directory: &str) -> Vec<(String, Node)> {
        let entries = fs::read_dir(self.0.join(directory)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        let node = |name: String| {
            let path = if directory.is_empty() { name.clone() } else { format!("{directory}/{name}") };
            self.node(&path).map(|node| (name, node))
        };
        names.into_iter().filter_map(node).collect()
    }

    fn read(&self, path: &str) -> std::io::Result<Vec<u8>> {
        fs::read(self.0.join(path))
    }
}
