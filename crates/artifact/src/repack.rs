//! The files of an archive that somebody else made, stored as an artifact.
//!
//! Such an archive may have its entries in any order, and an artifact has them sorted. So it is unpacked into one file without a
//! name, and its entries are written from there.

use std::fs::File;
use std::io;

use net::Deadline;

use crate::archive::ArchiveError;
use crate::ignore::{self, IgnoreError};
use crate::store::{Artifact, Store, StoreError};
use crate::unpack::{self, Entry, SortError, Sorted, UnpackError};

/// What one archive may cost.
#[derive(Debug, Clone, Default)]
pub struct RepackLimits {
    /// Ignore rules.
    pub ignore: ignore::Limits,
    /// The archive that is unpacked.
    pub archive: unpack::Limits,
}

/// Why there is no artifact.
#[derive(Debug, thiserror::Error)]
pub enum RepackError {
    /// It is no archive, or more of one than may be.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// Its content cannot be kept on disk.
    #[error("failed to keep the content of the archive")]
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

impl From<SortError> for RepackError {
    fn from(error: SortError) -> Self {
        match error {
            SortError::Unpack(error) => RepackError::Unpack(error),
            SortError::Keep(error) => RepackError::Keep(error),
            SortError::Cancelled => RepackError::Time,
        }
    }
}

/// Stores the files of `archive`, a `tar.gz`, at `path`, but for those that its ignore files and the rules of `ignore` leave out.
///
/// # Errors
/// When the archive or its ignore files exceed `limits`, when the storage fails, and when `deadline` is over. What is stored at
/// `path` stays then.
pub fn repack(
    store: &Store,
    path: &str,
    revision: &str,
    archive: File,
    ignore: Option<&str>,
    limits: &RepackLimits,
    deadline: &Deadline,
) -> Result<Artifact, RepackError> {
    let mut entries = Sorted::unpack(archive, tempfile::tempfile()?, &limits.archive, deadline)?;
    let mut files = ignore::Files::new(&limits.ignore);
    entries.visit::<RepackError>(&mut |entry| match entry {
        Entry::File { path, content, .. } if let Some(directory) = ignore::directory(path) => {
            let text = files.read(content)?;
            Ok(files.add(directory, &text)?)
        }
        _ => Ok(()),
    })?;
    let mut matcher = files.matcher(ignore)?;
    store.archive(path, revision, |archive| {
        entries.visit(&mut |entry| {
            if deadline.is_cancelled() {
                return Err(RepackError::Time);
            }
            match entry {
                Entry::Directory { path } => {
                    if !matcher.is_ignored(path, true, deadline)? {
                        archive.directory(path)?;
                    }
                }
                Entry::File { path, executable, size, content } => {
                    if !matcher.is_ignored(path, false, deadline)? {
                        archive.file(path, executable, size, content)?;
                    }
                }
            }
            Ok(())
        })
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;
    use crate::store::Options;
    use crate::test_archive::{archive, shown};
    use crate::unpack::unpack;

    const PATH: &str = "ocirepository/ns/app/sha256:1.tar.gz";

    /// The entries of the artifact, executable files with a star.
    fn stored(files: &[(&str, &str)], ignore: Option<&str>) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path(), Options::new("localhost")).unwrap();
        let deadline = Deadline::new(std::time::Duration::from_secs(60));
        repack(&store, PATH, "r", archive(files), ignore, &RepackLimits::default(), &deadline).unwrap();
        let mut entries = Vec::new();
        unpack(store.open_file(PATH).unwrap(), &unpack::Limits::default(), &mut |entry| {
            entries.push(shown(entry)?);
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
    fn ignore_files_and_the_given_rules_leave_files_out() {
        let files =
            [("d/keep", "1"), ("d/skip", "2"), ("d/.sourceignore", "skip\n"), ("no.md", "3"), ("skip", "4")];
        assert_eq!(stored(&files, Some("*.md\n")), ["d/", "d/.sourceignore skip\n", "d/keep 1", "skip 4"]);
    }

    #[test]
    fn what_is_no_archive_leaves_what_is_stored() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path(), Options::new("localhost")).unwrap();
        let deadline = Deadline::new(std::time::Duration::from_secs(60));
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"plain text").unwrap();
        file.rewind().unwrap();
        let stored = repack(&store, PATH, "r", file, None, &RepackLimits::default(), &deadline);
        let error = stored.unwrap_err().to_string();
        assert!(error.starts_with("requires gzip-compressed body"), "{error}");
        assert!(store.open_file(PATH).is_err());
    }
}
