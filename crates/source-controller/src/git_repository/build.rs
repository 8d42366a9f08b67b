//! From a checkout to a stored artifact. Everything here blocks.

use std::collections::BTreeMap;

use artifact::archive::{ArchiveError, Contents};
use artifact::ignore::{self, Matcher};
use artifact::store::{Artifact, StoreError};
use git::{Blobs, Checkout, Kind, Outcome, WalkError};
use net::Deadline;
use source::failure::{Failure, reason};
use source::upstream::{Built, Verified};

use super::content::{Content, Include, IncludeError, Item};
use super::limits::{Limits, hint};
use super::repository::{Found, Repository};
use source::storage::ObjectStorage;

/// How an artifact is made from a commit.
pub struct Recipe {
    /// `spec.ignore`.
    pub ignore: Option<String>,
    /// The artifacts that are put in, in the order of the spec.
    pub includes: Vec<Include>,
    /// Where its object's files are.
    pub storage: ObjectStorage,
    /// What its object may cost.
    pub limits: Limits,
}

impl Recipe {
    /// Stores the checkout as the artifact of its commit. If it has to be fetched anew it is verified anew too.
    pub fn build(
        &self,
        repository: &Repository,
        checkout: &Checkout,
        deadline: &Deadline,
    ) -> Result<Built, Failure> {
        match self.archive(checkout, deadline) {
            Err(BuildError::Walk(WalkError::Object { id, reason })) => {
                let Found { outcome, signed } = repository.fetch_anew(checkout, &id, &reason, deadline)?;
                let Outcome::Checkout(anew) = outcome else { return Err(BuildError::Time.into()) };
                Ok(built(self.archive(&anew, deadline)?, &anew, signed))
            }
            other => Ok(built(other?, checkout, None)),
        }
    }

    /// Stores the checkout as the artifact of its commit, if all its objects can be read.
    pub fn archive(&self, checkout: &Checkout, deadline: &Deadline) -> Result<Artifact, BuildError> {
        let content = Content::new(checkout, &self.includes, &self.storage, &self.limits.include)?;
        let mut matcher = self.matcher(&content, deadline)?;
        let path = self.storage.path(&checkout.commit.id.to_string());
        self.storage.store.archive(&path, &checkout.revision, |archive| {
            let mut archive = archive.chunked(Files { blobs: checkout.blobs(), deadline });
            content.walk(&mut |path, item| {
                check(deadline)?;
                if matcher.is_ignored(path, matches!(item, Item::Directory), deadline)? {
                    return Ok(());
                }
                match item {
                    Item::Directory => archive.directory(path)?,
                    Item::Git(entry) => {
                        archive.file(path, entry.kind == Kind::File { executable: true }, entry.id())?;
                    }
                    Item::Archived { executable, size, content } => {
                        archive.between()?.file(path, executable, size, content)?;
                    }
                }
                Ok(())
            })?;
            archive.end()
        })
    }

    /// The rules of all `.sourceignore` files of the content, and of the spec.
    fn matcher(&self, content: &Content<'_>, deadline: &Deadline) -> Result<Matcher, BuildError> {
        let mut files = ignore::Files::new(&self.limits.ignore);
        content.walk(&mut |path, item| {
            check(deadline)?;
            let Some(directory) = ignore::directory(path) else { return Ok(()) };
            match item {
                Item::Directory => {}
                Item::Git(mut entry) => files.add(directory, entry.read()?)?,
                Item::Archived { content, .. } => {
                    let text = files.read(content).map_err(|source| {
                        let path = String::from_utf8_lossy(path).into_owned();
                        ArchiveError::Read { path, source }
                    })?;
                    files.add(directory, &text)?;
                }
            }
            Ok(())
        })?;
        Ok(files.matcher(self.ignore.as_deref())?)
    }
}

fn built(artifact: Artifact, checkout: &Checkout, verified: Option<Verified>) -> Built {
    let title = checkout.commit.subject.clone();
    Built { artifact, metadata: BTreeMap::new(), title, verified }
}

/// The files of a checkout, for as long as somebody waits for them.
struct Files<'a> {
    blobs: Blobs<'a>,
    deadline: &'a Deadline,
}

impl Contents for Files<'_> {
    type Error = BuildError;

    fn read(&mut self, id: &[u8]) -> Result<&[u8], BuildError> {
        check(self.deadline)?;
        Ok(self.blobs.read(id)?)
    }
}

/// Why there is no archive.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The tree or a file of it.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// An artifact that it includes.
    #[error(transparent)]
    Include(#[from] IncludeError),
    /// The ignore rules.
    #[error(transparent)]
    Ignore(#[from] ignore::IgnoreError),
    /// The storage.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The archive itself.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Also when nobody waits any more; then nobody reads it.
    #[error("it took too long")]
    Time,
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        let text = runtime::error::chain(&error);
        match error {
            BuildError::Store(error) => Failure::store("archive", &error),
            BuildError::Ignore(error) => error.into(),
            BuildError::Include(IncludeError::Path { .. }) => Failure::storage(reason::ILLEGAL_PATH, text),
            BuildError::Include(IncludeError::NotStored { .. }) => {
                Failure::include(reason::NO_ARTIFACT, text)
            }
            BuildError::Include(IncludeError::Copy { .. }) => Failure::storage(reason::COPY_FAILURE, text),
            BuildError::Walk(WalkError::Limit { what, .. }) => {
                Failure::artifact("archive", format!("{text}{}", hint(Some(what))))
            }
            _ => Failure::artifact("archive", text),
        }
    }
}

fn check(deadline: &Deadline) -> Result<(), BuildError> {
    if deadline.is_cancelled() { Err(BuildError::Time) } else { Ok(()) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use super::*;
    use artifact::store::{Options, Store};

    #[test]
    fn a_directory_that_cannot_be_made_is_told_from_an_archive_that_cannot_be_written() {
        // The kernel's own file systems take no files from anybody, root included.
        let store = Store::open(Path::new("/sys/kernel"), Options::new("localhost")).unwrap();
        let stored =
            store.archive("gitrepository/ns/app/a.tar.gz", "main@sha1:a", |_| Ok::<_, BuildError>(()));
        let failure = Failure::from(stored.unwrap_err());
        assert_eq!(failure.reason, "DirectoryCreationFailed");
        assert!(failure.message.starts_with("failed to create artifact directory: "), "{failure}");
        let failure = Failure::from(BuildError::Store(StoreError::Missing("a".into())));
        assert_eq!(failure.reason, "ArchiveOperationFailed");
    }

    #[test]
    fn an_artifact_to_be_included_that_is_yet_to_be_stored_again_is_waited_for() {
        let error = IncludeError::NotStored { name: "lib".to_owned() };
        let expected = Failure::include("NoArtifact", "no artifact available for include 'lib'");
        assert_eq!(Failure::from(BuildError::Include(error)), expected);
    }
}
