//! The copy operations of one artifact, carried out in memory.
//!
//! They do what `cp -r` does, with Flux's rules for globs:
//!
//! | `from` | where it goes |
//! |---|---|
//! | a file | into `to` if that ends in a slash or is a directory, else it is called `to` |
//! | a directory | below `to`, with its name |
//! | `x/**` | what is in `x`, below `to` |
//! | any other glob | what it takes, with its whole path, below `to` |

mod merge;

use std::collections::HashMap;

use api::artifact_generator::{CopyOperation, CopyStrategy, OutputArtifact};
use artifact::BoxError;
use artifact::archive::{ArchiveError, ArchiveWriter};
use artifact::digest::{Algorithm, Digest, Hasher};
use artifact::ignore::{self, IgnoreError};
use artifact::unpack::{self, Entry, UnpackError, unpack};
use net::Deadline;

use crate::doublestar::{Pattern, PatternError};
use crate::find::{doublestar, fs_glob, is_glob};
use crate::identity::Adler;
use crate::meter::{LimitError, Meter, within};
use crate::spec::path_alias;
use crate::tree::{Directory, File, Node, PlaceError, Tree, components, join, split};
use merge::MergeError;

/// The trees of sources by their aliases.
pub type Sources<'a> = HashMap<&'a str, &'a Tree>;

/// How the name of a tarball ends, in whatever case.
const TARBALL_SUFFIXES: [&str; 2] = [".tar.gz", ".tgz"];
/// Bytes of a path: as many as consumers take.
const PATH_BYTES: usize = 4096;

/// Why an artifact cannot be composed.
#[derive(Debug, thiserror::Error)]
#[error("failed to apply copy operations: failed to apply copy operation from '{from}' to '{to}': {error}")]
pub struct ComposeError {
    from: String,
    to: String,
    error: Box<CopyError>,
}

/// Why one operation fails.
#[derive(Debug, thiserror::Error)]
enum CopyError {
    #[error("invalid copy source '{0}': source format must be '@alias/pattern'")]
    From(String),
    #[error("invalid copy destination '{0}': destination must start with '@artifact/'")]
    To(String),
    #[error("source alias '{0}' not found")]
    Alias(String),
    #[error("invalid exclude pattern '{pattern}': {error}")]
    Exclude { pattern: String, error: PatternError },
    #[error("invalid glob pattern '{pattern}': {error}")]
    Glob { pattern: String, error: PatternError },
    #[error("no files match pattern '{pattern}' in source '{alias}'")]
    NoMatch { pattern: String, alias: String },
    #[error("all files matching pattern '{pattern}' in source '{alias}' were excluded")]
    AllExcluded { pattern: String, alias: String },
    #[error("source '{0}' does not exist")]
    Missing(String),
    #[error("path '{0}' escapes from parent")]
    Escape(String),
    #[error("extract strategy is not supported for directories, got '{0}'")]
    ExtractDirectory(String),
    #[error("extract strategy requires tarball file (.tar.gz or .tgz), got '{0}'")]
    NoTarball(String),
    #[error("failed to extract tarball '{path}' to '{to}': {error}")]
    Extract { path: String, to: String, error: UnpackError },
    #[error("failed to merge '{path}' into '{to}': {error}")]
    Merge { path: String, to: String, error: MergeError },
    #[error("failed to copy to '{path}': {error}")]
    Place { path: String, error: PlaceError },
    #[error(transparent)]
    Limit(#[from] LimitError),
}

/// What an artifact consists of.
#[derive(Debug, Default)]
pub struct Composed {
    tree: Tree,
}

/// Why a composed artifact is not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The ignore rules cost too much.
    #[error(transparent)]
    Ignore(#[from] IgnoreError),
    /// The archive cannot be written.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Nobody waits any more.
    #[error("it took too long")]
    Time,
}

/// Carries out the copy operations of an artifact, in their order.
///
/// # Errors
/// The first operation that fails, and why.
pub fn compose(
    artifact: &OutputArtifact,
    sources: &Sources<'_>,
    meter: &mut Meter<'_>,
) -> Result<Composed, ComposeError> {
    let mut composed = Composed::default();
    for operation in &artifact.copy {
        composed.apply(operation, sources, meter).map_err(|error| {
            let (from, to) = (operation.from.clone(), operation.to.clone());
            ComposeError { from, to, error: Box::new(error) }
        })?;
    }
    Ok(composed)
}

/// An operation, read.
struct Operation<'a> {
    alias: &'a str,
    pattern: &'a str,
    source: &'a Tree,
    /// Where it goes, as a clean path.
    to: Vec<u8>,
    /// Whether that is a directory, there or not.
    into_directory: bool,
    exclude: Vec<Pattern>,
    strategy: CopyStrategy,
}

impl<'a> Operation<'a> {
    fn read(
        operation: &'a CopyOperation,
        sources: &Sources<'a>,
        meter: &Meter<'_>,
    ) -> Result<Self, CopyError> {
        let from = &operation.from;
        let (alias, pattern) = path_alias(from).ok_or_else(|| CopyError::From(from.clone()))?;
        let to = operation.to.strip_prefix("@artifact/");
        let to = to.ok_or_else(|| CopyError::To(operation.to.clone()))?;
        let source = sources.get(alias).copied().ok_or_else(|| CopyError::Alias(alias.to_owned()))?;
        let exclude = operation.exclude.iter().map(|pattern| {
            Pattern::parse(pattern, meter.limits())
                .map_err(|error| CopyError::Exclude { pattern: pattern.clone(), error })
        });
        Ok(Operation {
            alias,
            pattern,
            source,
            to: clean(to)?,
            into_directory: to.ends_with('/'),
            exclude: exclude.collect::<Result<_, _>>()?,
            strategy: operation.strategy.unwrap_or_default(),
        })
    }

    /// Whether a path of the source is left out. Globs see it relative to the source, and to `base`.
    fn excludes(&self, path: &[u8], base: &[u8], meter: &mut Meter<'_>) -> Result<bool, LimitError> {
        let below = path.strip_prefix(base).and_then(|rest| rest.strip_prefix(b"/"));
        for pattern in &self.exclude {
            if pattern.excludes(path, meter)? {
                return Ok(true);
            }
            if let Some(below) = below.filter(|_| !base.is_empty())
                && pattern.excludes(below, meter)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Where something that a glob took goes.
    fn destination(&self, path: &[u8]) -> Vec<u8> {
        let prefix = self.pattern.strip_suffix("/**").map(str::as_bytes);
        let below = prefix.and_then(|prefix| path.strip_prefix(prefix)?.strip_prefix(b"/"));
        join(&self.to, below.unwrap_or(path))
    }
}

impl Composed {
    fn apply(
        &mut self,
        operation: &CopyOperation,
        sources: &Sources<'_>,
        meter: &mut Meter<'_>,
    ) -> Result<(), CopyError> {
        let operation = Operation::read(operation, sources, meter)?;
        if is_glob(operation.pattern) {
            return self.copy_glob(&operation, meter);
        }
        let path = clean(operation.pattern)?;
        if let Some(entries) = operation.source.directory(&path) {
            if operation.strategy == CopyStrategy::Extract {
                return Err(CopyError::ExtractDirectory(lossy(&path)));
            }
            let to = join(&operation.to, split(&path).1);
            return self.copy_directory(entries, &path, &to, &operation, &path, meter);
        }
        match operation.source.get(&path) {
            Some(Node::File(file)) => self.copy_named_file(file, &path, &operation, meter),
            _ => Err(CopyError::Missing(lossy(&path))),
        }
    }

    fn copy_named_file(
        &mut self,
        file: &File,
        path: &[u8],
        operation: &Operation<'_>,
        meter: &mut Meter<'_>,
    ) -> Result<(), CopyError> {
        if operation.excludes(path, b"", meter)? {
            return Ok(());
        }
        if operation.strategy == CopyStrategy::Extract {
            if !is_tarball(path) {
                return Err(CopyError::NoTarball(lossy(path)));
            }
            return self.extract(file, path, &operation.to, meter);
        }
        let into = operation.into_directory || self.tree.directory(&operation.to).is_some();
        let to = if into { join(&operation.to, split(path).1) } else { operation.to.clone() };
        self.copy_file(file, path, &to, operation.strategy, meter)
    }

    fn copy_glob(&mut self, operation: &Operation<'_>, meter: &mut Meter<'_>) -> Result<(), CopyError> {
        let (pattern, alias) = (operation.pattern, operation.alias);
        let is_extracted = operation.strategy == CopyStrategy::Extract;
        let find = if is_extracted { doublestar } else { fs_glob };
        let found = find(operation.source, pattern, meter)
            .map_err(|error| CopyError::Glob { pattern: pattern.to_owned(), error })?;
        if found.is_empty() {
            return Err(CopyError::NoMatch { pattern: pattern.to_owned(), alias: alias.to_owned() });
        }
        let base = literal_prefix(pattern);
        let mut all_excluded = true;
        for path in found {
            if operation.excludes(&path, &base, meter)? {
                continue;
            }
            all_excluded = false;
            match operation.source.get(&path) {
                Some(Node::File(file)) if is_extracted && is_tarball(&path) => {
                    self.extract(file, &path, &operation.to, meter)?;
                }
                _ if is_extracted => {}
                Some(Node::File(file)) => {
                    let to = operation.destination(&path);
                    self.copy_file(file, &path, &to, operation.strategy, meter)?;
                }
                Some(Node::Directory(entries)) => {
                    let to = operation.destination(&path);
                    self.copy_directory(entries, &path, &to, operation, &base, meter)?;
                }
                None => {}
            }
        }
        if all_excluded {
            return Err(CopyError::AllExcluded { pattern: pattern.to_owned(), alias: alias.to_owned() });
        }
        Ok(())
    }

    /// Copies what is in the directory at `path`; merging is for single files.
    fn copy_directory(
        &mut self,
        entries: &Directory,
        path: &[u8],
        to: &[u8],
        operation: &Operation<'_>,
        base: &[u8],
        meter: &mut Meter<'_>,
    ) -> Result<(), CopyError> {
        meter.entry(0)?;
        place(to, self.tree.directory_at(to).map(drop))?;
        for (name, node) in entries {
            let path = join(path, name);
            if operation.excludes(&path, base, meter)? {
                continue;
            }
            let to = join(to, name);
            match node {
                Node::Directory(inner) => {
                    self.copy_directory(inner, &path, &to, operation, base, meter)?;
                }
                Node::File(file) => self.put(&to, file.clone(), meter)?,
            }
        }
        Ok(())
    }

    fn copy_file(
        &mut self,
        file: &File,
        path: &[u8],
        to: &[u8],
        strategy: CopyStrategy,
        meter: &mut Meter<'_>,
    ) -> Result<(), CopyError> {
        match self.tree.get(to) {
            Some(Node::File(below)) if strategy == CopyStrategy::Merge => {
                let merged = merge::merged(&below.content, &file.content, meter.limits().merged_bytes);
                let merged =
                    merged.map_err(|error| CopyError::Merge { path: lossy(path), to: lossy(to), error })?;
                self.put(to, File::new(merged, false), meter)
            }
            _ => self.put(to, file.clone(), meter),
        }
    }

    /// Unpacks a tarball into a directory.
    fn extract(
        &mut self,
        tarball: &File,
        path: &[u8],
        to: &[u8],
        meter: &mut Meter<'_>,
    ) -> Result<(), CopyError> {
        place(to, self.tree.directory_at(to).map(drop))?;
        let bytes = meter.limits().extracted_bytes;
        let limits = unpack::Limits { bytes, ..unpack::Limits::default() };
        unpack(&*tarball.content, &limits, &mut |entry| {
            match entry {
                Entry::Directory { path } => {
                    meter.entry(0)?;
                    self.tree.directory_at(&placed(&join(to, path), meter)?)?;
                }
                Entry::File { path, executable, content, .. } => {
                    let mut text = Vec::new();
                    content.read_to_end(&mut text)?;
                    self.put(&join(to, path), File::new(text, executable), meter)?;
                }
            }
            Ok::<_, BoxError>(())
        })
        .map_err(|error| CopyError::Extract { path: lossy(path), to: lossy(to), error })
    }

    fn put(&mut self, to: &[u8], file: File, meter: &mut Meter<'_>) -> Result<(), CopyError> {
        meter.entry(file.content.len() as u64)?;
        place(to, self.tree.put(&placed(to, meter)?, file))
    }

    /// The name of the file that Flux stores an artifact of this name in: a sum over its files, in decimal. It is no digest.
    pub fn file_name(&self, artifact: &str) -> String {
        let mut files = Vec::new();
        let _ = self.tree.visit(&mut |path, node| {
            if let Node::File(file) = node {
                files.push((path.to_vec(), file.adler));
            }
            Ok::<_, LimitError>(())
        });
        files.sort();
        let mut sum = Adler::default();
        for (path, adler) in files {
            sum.update(format!("{adler:x}  {artifact}/").as_bytes());
            sum.update(&path);
            sum.update(b"\n");
        }
        format!("{}.tar.gz", sum.finish())
    }

    /// What tells this content from any other: paths, contents and modes. The archive of equal contents is equal.
    pub fn digest(&self) -> Digest {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        let _ = self.tree.visit(&mut |path, node| {
            let (kind, digest) = match node {
                Node::Directory(_) => ("d", &[][..]),
                Node::File(File { executable: true, digest, .. }) => ("x", &**digest),
                Node::File(file) => ("f", &*file.digest),
            };
            hasher.update(format!("{kind} {} ", path.len()).as_bytes());
            hasher.update(path);
            hasher.update(digest);
            Ok::<_, LimitError>(())
        });
        hasher.finish()
    }

    /// Writes the content to an archive, without what Git's artifacts do not have by default. As with Flux, `.sourceignore` files
    /// are not read.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn write<W: std::io::Write>(
        &self,
        archive: &mut ArchiveWriter<W>,
        deadline: &Deadline,
    ) -> Result<(), WriteError> {
        let limits = ignore::Limits::default();
        let mut matcher = ignore::Files::new(&limits).matcher(None)?;
        self.tree.visit(&mut |path, node| {
            if deadline.is_cancelled() || deadline.is_over() {
                return Err(WriteError::Time);
            }
            let is_directory = matches!(node, Node::Directory(_));
            if matcher.is_ignored(path, is_directory, deadline)? {
                return Ok(());
            }
            match node {
                Node::Directory(_) => archive.directory(path)?,
                Node::File(File { content, executable, .. }) => {
                    archive.file(path, *executable, content.len() as u64, &mut &**content)?;
                }
            }
            Ok(())
        })
    }

    /// What is in it.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }
}

/// The path without empty and `.` components; `..` must not lead out.
fn clean(path: &str) -> Result<Vec<u8>, CopyError> {
    let escapes = || CopyError::Escape(path.to_owned());
    let mut components = Vec::new();
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => drop(components.pop().ok_or_else(escapes)?),
            name => components.push(name),
        }
    }
    if path.starts_with('/') { Err(escapes()) } else { Ok(components.join("/").into_bytes()) }
}

/// The components of a glob before the first one that has more than text.
fn literal_prefix(pattern: &str) -> Vec<u8> {
    let literal: Vec<_> = pattern
        .split('/')
        .filter(|component| !component.is_empty() && *component != ".")
        .take_while(|component| !is_glob(component))
        .collect();
    literal.join("/").into_bytes()
}

/// A path that consumers take.
fn placed(path: &[u8], meter: &Meter<'_>) -> Result<Vec<u8>, LimitError> {
    let limits = meter.limits();
    within("components of a path", components(path).count() as u64, limits.depth as u64)?;
    within("bytes of a path", path.len() as u64, PATH_BYTES as u64)?;
    Ok(path.to_vec())
}

fn place(path: &[u8], placed: Result<(), PlaceError>) -> Result<(), CopyError> {
    placed.map_err(|error| CopyError::Place { path: lossy(path), error })
}

fn is_tarball(path: &[u8]) -> bool {
    let name = lossy(path).to_lowercase();
    TARBALL_SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

fn lossy(path: &[u8]) -> String {
    if path.is_empty() { ".".to_owned() } else { String::from_utf8_lossy(path).into_owned() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
