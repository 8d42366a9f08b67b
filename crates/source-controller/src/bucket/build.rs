//! From an index, the file with what was fetched, and the last artifact to the next one. Everything here blocks.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read};

use artifact::archive::{ArchiveError, Contents};
use artifact::ignore::IGNORE_FILE;
use artifact::store::{Artifact, StoreError};
use artifact::unpack::{self, InOrder, UnpackError};
use bucket::{Object, unpacked};
use net::Deadline;
use runtime::error::chain;
use source::failure::Failure;
use source::storage::ObjectStorage;

use super::fetch::{Located, Part, bucket_failure};
use super::layout::{self, Placed};
use super::snapshot::Snapshot;

/// Objects up to so many bytes are compressed together with others, in chunks that the next artifact can take over as they are.
const SMALL_BYTES: u64 = 1 << 20;

/// What an artifact is made of.
pub struct Recipe {
    /// The revision, and its hexadecimal part.
    pub revision: String,
    pub hex: String,
    pub bucket: String,
    /// What is kept beside the artifact; its index is that of the artifact.
    pub snapshot: Snapshot,
    /// Where the contents are.
    pub located: Located,
    /// The last artifact: its path, and the file.
    pub last: Option<(String, File)>,
}

/// Why there is no artifact.
#[derive(Debug, thiserror::Error)]
enum BuildError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("failed to read the last artifact")]
    Last(#[from] UnpackError),
    #[error("the last artifact has no file {0:?}")]
    Missing(String),
    #[error("failed to read a temporary file")]
    Read(#[from] io::Error),
    #[error("it took too long")]
    Time,
}

/// Stores the artifact and what it was made of.
pub fn store(storage: &ObjectStorage, recipe: Recipe, deadline: &Deadline) -> Result<Artifact, Failure> {
    let Recipe { revision, hex, bucket, snapshot, located, last } = recipe;
    let files = layout::of(&snapshot.index, snapshot.ignore.is_some());
    let files =
        files.map_err(|error| bucket_failure(format!("fetch from bucket '{bucket}' failed: {error}")))?;
    let (last_path, last_file) = last.unzip();
    let path = storage.path(&hex);
    let last = last_file.map(|file| InOrder::new(file, &unpack::Limits::default())).transpose();
    let built = last.map_err(BuildError::from).and_then(|last| {
        let source = Source { snapshot: &snapshot, located: &located, last };
        build(storage, &path, &revision, source, &files, deadline)
    });
    let artifact = built.map_err(|error| {
        // Next time everything is fetched.
        if let (BuildError::Last(_) | BuildError::Missing(_), Some(path)) = (&error, &last_path) {
            let _ = storage.store.put_sidecar(path, b"");
        }
        match error {
            BuildError::Store(error) => Failure::store("archive", &error),
            error => Failure::artifact("archive", chain(&error)),
        }
    })?;
    if let Err(error) = storage.store.put_sidecar(&path, &snapshot.to_bytes()) {
        tracing::warn!(error = chain(&error), "the next artifact has to be fetched as a whole");
    }
    Ok(artifact)
}

fn build(
    storage: &ObjectStorage,
    path: &str,
    revision: &str,
    source: Source<'_>,
    files: &[Placed],
    deadline: &Deadline,
) -> Result<Artifact, BuildError> {
    let (snapshot, source) = (source.snapshot, RefCell::new(source));
    storage.store.archive(path, revision, |archive| {
        let mut chunked = archive.chunked(Small { source: &source, buffer: Vec::new() });
        let mut directory = "";
        for file in files {
            if deadline.is_cancelled() {
                return Err(BuildError::Time);
            }
            for parent in new_directories(directory, &file.path) {
                chunked.directory(parent.as_bytes())?;
            }
            directory = parent(&file.path);
            let object = file.object.and_then(|at| snapshot.index.objects().get(at));
            match object {
                Some(object) if object.content_bytes() > SMALL_BYTES => {
                    let archive = chunked.between()?;
                    source.borrow_mut().read(&object.key, |size, content| {
                        Ok(archive.file(file.path.as_bytes(), false, size, content)?)
                    })?;
                }
                object => chunked.file(file.path.as_bytes(), false, &id(snapshot, object))?,
            }
        }
        chunked.end()
    })
}

/// What names the content of an object, or of the ignore file: equal etags of one key in one bucket. That of an unpacked one is
/// another than that of artifacts from before objects were unpacked.
fn id(snapshot: &Snapshot, object: Option<&Object>) -> Vec<u8> {
    let ignore = snapshot.ignore.as_ref().map_or("", |file| &file.etag);
    let (key, etag) = object.map_or((IGNORE_FILE, ignore), |object| (&object.key, &object.etag));
    let unpacked = if object.is_some_and(|object| object.unpacked.is_some()) { "\0unpacked" } else { "" };
    ([key, etag, &snapshot.origin].join("\0") + unpacked).into_bytes()
}

/// The directories that `path` is in and that a file of `directory` before it was not, the outermost first.
fn new_directories<'a>(directory: &str, path: &'a str) -> impl Iterator<Item = &'a str> + use<'a> {
    let is_new = |parent: &str| {
        let rest = directory.strip_prefix(parent);
        rest.is_none_or(|rest| !rest.is_empty() && !rest.starts_with('/'))
    };
    let ends = path.match_indices('/').map(|(end, _)| path.get(..end).unwrap_or_default());
    ends.filter(|parent| is_new(parent)).collect::<Vec<_>>().into_iter()
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// The contents of all objects, to be read in the order of the archive.
struct Source<'a> {
    snapshot: &'a Snapshot,
    located: &'a Located,
    last: Option<InOrder<File>>,
}

impl Source<'_> {
    /// Hands size and content of an object to `read`.
    fn read(
        &mut self,
        key: &str,
        read: impl FnOnce(u64, &mut dyn Read) -> Result<(), BuildError>,
    ) -> Result<(), BuildError> {
        let missing = || BuildError::Missing(key.to_owned());
        let at = self.snapshot.index.find(key).ok_or_else(missing)?;
        let object = self.snapshot.index.objects().get(at).ok_or_else(missing)?;
        if let Some(offset) = self.located.offsets.get(at).copied().flatten() {
            let mut stored = Part { file: &self.located.file, at: offset, left: object.size };
            return match object.unpacked {
                Some(size) => read(size, &mut unpacked(stored)),
                None => read(object.size, &mut stored),
            };
        }
        // The keys of these are their paths.
        let last = self.last.as_mut().ok_or_else(missing)?;
        last.file(key.as_bytes(), read)?.ok_or_else(missing)
    }
}

/// Small contents, each as a whole.
struct Small<'s, 'a> {
    source: &'s RefCell<Source<'a>>,
    buffer: Vec<u8>,
}

impl Contents for Small<'_, '_> {
    type Error = BuildError;

    fn read(&mut self, id: &[u8]) -> Result<&[u8], BuildError> {
        let key = id.split(|byte| *byte == 0).next().unwrap_or_default();
        let key = std::str::from_utf8(key).map_err(|_| BuildError::Missing(String::new()))?;
        self.buffer.clear();
        let mut source = self.source.borrow_mut();
        match &source.snapshot.ignore {
            Some(file) if key == IGNORE_FILE => self.buffer.extend_from_slice(&file.text),
            _ => source.read(key, |_, content| {
                content.take(SMALL_BYTES + 1).read_to_end(&mut self.buffer)?;
                Ok(())
            })?,
        }
        Ok(&self.buffer)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
