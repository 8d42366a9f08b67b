//! From a layer to a stored artifact. Everything here blocks.
//!
//! A layer may have its entries in any order, and an artifact has them sorted. So a layer is unpacked into one file without a
//! name, and its entries are written from there.

use std::fs::File;
use std::io;

use artifact::archive::ArchiveError;
use artifact::ignore::{self, IgnoreError};
use artifact::store::{Artifact, Store, StoreError};
use artifact::unpack::{Entry, SortError, Sorted, UnpackError};
use net::Deadline;
use runtime::error::chain;
use source::failure::Failure;

use super::Limits;
use super::pull::layer_failure;

/// Why there is no artifact.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// It is no archive, or more of one than may be.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// Its content cannot be kept on disk.
    #[error("failed to keep the content of the layer")]
    Keep(#[from] io::Error),
    /// Its ignore rules.
    #[error(transparent)]
    Ignore(#[from] IgnoreError),
    /// The storage.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The archive that is written.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Then nobody waits any more.
    #[error("it took too long")]
    Time,
}

impl From<SortError> for LayerError {
    fn from(error: SortError) -> Self {
        match error {
            SortError::Unpack(error) => LayerError::Unpack(error),
            SortError::Keep(error) => LayerError::Keep(error),
            SortError::Cancelled => LayerError::Time,
        }
    }
}

impl From<LayerError> for Failure {
    fn from(error: LayerError) -> Self {
        match error {
            LayerError::Unpack(error) => {
                let text = chain(&error);
                layer_failure(format!("failed to extract layer contents from artifact: {text}"))
            }
            LayerError::Ignore(error) => error.into(),
            LayerError::Store(error) => Failure::store("archive", &error),
            error => Failure::artifact("archive", chain(&error)),
        }
    }
}

/// Stores a layer as it is.
pub fn copy(store: &Store, path: &str, revision: &str, mut layer: File) -> Result<Artifact, Failure> {
    store.copy(path, revision, &mut layer).map_err(|error| Failure::store("copy", &error))
}

/// Stores the files of a layer, a `tar.gz`, but for those that the ignore rules leave out.
pub fn extract(
    store: &Store,
    path: &str,
    revision: &str,
    layer: File,
    ignore: Option<&str>,
    limits: &Limits,
    deadline: &Deadline,
) -> Result<Artifact, LayerError> {
    let mut layer = Sorted::unpack(layer, tempfile::tempfile()?, &limits.layer, deadline)?;
    let mut files = ignore::Files::new(&limits.ignore);
    layer.visit::<LayerError>(&mut |entry| match entry {
        Entry::File { path, content, .. } if let Some(directory) = ignore::directory(path) => {
            let text = files.read(content)?;
            Ok(files.add(directory, &text)?)
        }
        _ => Ok(()),
    })?;
    let matcher = files.matcher(ignore)?;
    store.archive(path, revision, |archive| {
        layer.visit(&mut |entry| {
            if deadline.is_cancelled() {
                return Err(LayerError::Time);
            }
            match entry {
                Entry::Directory { path } if !matcher.is_ignored(path, true) => archive.directory(path)?,
                Entry::File { path, executable, size, content } if !matcher.is_ignored(path, false) => {
                    archive.file(path, executable, size, content)?;
                }
                _ => {}
            }
            Ok(())
        })
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::{Seek, Write};

    use artifact::archive::ArchiveWriter;
    use artifact::digest::Algorithm;
    use artifact::store::Options;
    use artifact::unpack::unpack;

    use super::*;

    const PATH: &str = "ocirepository/ns/app/sha256:1.tar.gz";

    /// A layer with these files in this order, and no entries for directories.
    fn layer(files: &[(&str, &str)]) -> File {
        let mut archive = ArchiveWriter::new(tempfile::tempfile().unwrap(), Algorithm::Sha256).unwrap();
        for (path, content) in files {
            let size = content.len() as u64;
            archive.file(path.as_bytes(), path.ends_with(".sh"), size, &mut content.as_bytes()).unwrap();
        }
        let (_, mut file) = archive.finish().unwrap();
        file.rewind().unwrap();
        file
    }

    /// The entries of the artifact, executable files with a star.
    fn stored(files: &[(&str, &str)], ignore: Option<&str>) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path(), Options::new("localhost")).unwrap();
        let deadline = Deadline::new(std::time::Duration::from_secs(60));
        extract(&store, PATH, "r", layer(files), ignore, &Limits::default(), &deadline).unwrap();
        let mut entries = Vec::new();
        unpack(store.open_file(PATH).unwrap(), &Limits::default().layer, &mut |entry| {
            entries.push(match entry {
                Entry::Directory { path } => format!("{}/", String::from_utf8_lossy(path)),
                Entry::File { path, executable, content, .. } => {
                    let mut text = String::new();
                    content.read_to_string(&mut text)?;
                    let star = if executable { "*" } else { "" };
                    format!("{}{star} {text}", String::from_utf8_lossy(path))
                }
            });
            Ok(())
        })
        .unwrap();
        entries
    }

    #[test]
    fn entries_in_any_order_become_an_artifact_in_order() {
        let files = [("b/z", "1"), ("run.sh", "2"), ("b.a", ""), ("a", "3"), ("b/y/x", "4"), ("a", "5")];
        assert_eq!(stored(&files, None), ["a 5", "b/", "b/y/", "b/y/x 4", "b/z 1", "b.a ", "run.sh* 2"]);
    }

    #[test]
    fn ignore_rules_of_the_layer_and_of_the_spec_leave_files_out() {
        let files =
            [("d/keep", "1"), ("d/skip", "2"), ("d/.sourceignore", "skip\n"), ("no.md", "3"), ("skip", "4")];
        assert_eq!(stored(&files, Some("*.md\n")), ["d/", "d/.sourceignore skip\n", "d/keep 1", "skip 4"]);
    }

    #[test]
    fn a_layer_that_is_no_archive_leaves_what_is_stored() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path(), Options::new("localhost")).unwrap();
        let deadline = Deadline::new(std::time::Duration::from_secs(60));
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"plain text").unwrap();
        file.rewind().unwrap();
        let stored = extract(&store, PATH, "r", file, None, &Limits::default(), &deadline);
        let failure = Failure::from(stored.unwrap_err());
        assert_eq!(failure.reason, "OCIArtifactLayerOperationFailed");
        let text = "failed to extract layer contents from artifact: requires gzip-compressed body";
        assert!(failure.message.starts_with(text), "{failure}");
        assert!(store.open_file(PATH).is_err());
    }
}
