//! Charts from directories of a tree.

use crate::archive::{load_archive, read_metadata};
use crate::chart::{Chart, File, load_files, read_metadata_file, read_requirements};
use crate::error::LoadError;
use crate::ignore::Rules;
use crate::limits::{Allowance, LimitError, Limits};
use crate::metadata::Metadata;
use crate::tree::{Node, Tree};

/// Directories within each other that the walk goes into.
const DIRECTORY_DEPTH: usize = 256;

/// Loads the chart at a clean path of a tree: a directory without what its `.helmignore` leaves out, or an archive.
///
/// # Errors
/// Whatever is wrong with it.
pub fn load_directory(tree: &dyn Tree, path: &str, limits: &Limits) -> Result<Chart, LoadError> {
    match tree.node(path) {
        None => Err(LoadError::Missing(path.to_owned())),
        Some(Node::File { size }) => load_archive(archive(tree, path, size, limits)?.as_slice(), limits),
        Some(Node::Directory) => {
            let mut walk = Walk { tree, root: path, rules: rules(tree, path, limits)?, files: Vec::new() };
            let mut allowance = Allowance::new(limits);
            let shown = || format!("/{path}{}", if path.is_empty() { "" } else { "/" });
            walk.directory("", 0, &mut allowance)
                .map_err(|source| LoadError::Files { path: shown(), source: Box::new(source) })?;
            load_files(walk.files, &mut allowance)
                .map_err(|source| LoadError::Directory { path: shown(), source: Box::new(source) })
        }
    }
}

/// Reads Chart.yaml, and requirements.yaml, of the chart at a clean path of a tree, which is a directory or an archive.
///
/// # Errors
/// As [`crate::read_metadata`].
pub fn read_directory_metadata(tree: &dyn Tree, path: &str, limits: &Limits) -> Result<Metadata, LoadError> {
    match tree.node(path) {
        None => Err(LoadError::Missing(path.to_owned())),
        Some(Node::File { size }) => read_metadata(archive(tree, path, size, limits)?.as_slice(), limits),
        Some(Node::Directory) => {
            let mut metadata = Metadata::default();
            let chart = join(path, "Chart.yaml");
            let data = file(tree, &chart, limits)?.ok_or(LoadError::MissingFile(chart))?;
            read_metadata_file(&data, &mut metadata, limits)?;
            if let Some(data) = file(tree, &join(path, "requirements.yaml"), limits)? {
                read_requirements(&data, &mut metadata, limits)?;
            }
            Ok(metadata)
        }
    }
}

/// The bytes of an archive.
fn archive(tree: &dyn Tree, path: &str, size: u64, limits: &Limits) -> Result<Vec<u8>, LoadError> {
    if size > limits.archive_bytes {
        return Err(LimitError::ArchiveBytes { name: path.to_owned(), limit: limits.archive_bytes }.into());
    }
    read(tree, path)
}

/// The content of a file that need not be there.
fn file(tree: &dyn Tree, path: &str, limits: &Limits) -> Result<Option<Vec<u8>>, LoadError> {
    match tree.node(path) {
        Some(Node::File { size }) if size > limits.file_bytes => {
            Err(LimitError::FileBytes { name: path.to_owned(), size, limit: limits.file_bytes }.into())
        }
        Some(Node::File { .. }) => read(tree, path).map(Some),
        _ => Ok(None),
    }
}

fn rules(tree: &dyn Tree, path: &str, limits: &Limits) -> Result<Rules, LoadError> {
    let text = file(tree, &join(path, ".helmignore"), limits)?;
    Ok(Rules::parse(&text.unwrap_or_default())?)
}

/// The files of a chart as they are found.
struct Walk<'a> {
    tree: &'a dyn Tree,
    root: &'a str,
    rules: Rules,
    files: Vec<File>,
}

impl Walk<'_> {
    /// Adds what is below a directory of the chart.
    fn directory(
        &mut self,
        directory: &str,
        depth: usize,
        allowance: &mut Allowance<'_>,
    ) -> Result<(), LoadError> {
        for (name, node) in self.tree.entries(&join(self.root, directory)) {
            let path = join(directory, &name);
            if self.rules.ignores(&path, node == Node::Directory) {
                continue;
            }
            match node {
                Node::Directory if depth >= DIRECTORY_DEPTH => {
                    return Err(LimitError::Depth(DIRECTORY_DEPTH).into());
                }
                Node::Directory => self.directory(&path, depth + 1, allowance)?,
                Node::File { size } => {
                    allowance.file(&path, size)?;
                    let mut data = read(self.tree, &join(self.root, &path))?;
                    if data.starts_with(b"\xef\xbb\xbf") {
                        data.drain(..3);
                    }
                    self.files.push(File { name: path, modified: None, data: data.into() });
                }
            }
        }
        Ok(())
    }
}

fn read(tree: &dyn Tree, path: &str) -> Result<Vec<u8>, LoadError> {
    tree.read(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })
}

fn join(directory: &str, name: &str) -> String {
    match (directory, name) {
        ("", name) => name.to_owned(),
        (directory, "") => directory.to_owned(),
        (directory, name) => format!("{directory}/{name}"),
    }
}
