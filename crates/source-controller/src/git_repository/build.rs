//! From the upstream to a stored artifact. Everything here blocks.

use std::time::Duration;

use artifact::archive::ArchiveError;
use artifact::ignore::{self, IGNORE_FILE, Matcher};
use artifact::store::{Artifact, StoreError};
use git::{Budget, Cache, Checkout, Connector, Kind, Outcome, Reference, Remote, WalkError};

use super::auth::checkout_failed;
use super::failure::Failure;
use super::storage::Shelf;

/// What one object may cost.
#[derive(Debug, Clone)]
pub struct Limits {
    /// What its server may send, and what its tree may hold.
    pub git: git::Limits,
    /// Its ignore rules.
    pub ignore: ignore::Limits,
    /// How long an artifact may be in the making.
    pub build_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            git: git::Limits::default(),
            ignore: ignore::Limits::default(),
            build_time: Duration::from_secs(600),
        }
    }
}

/// An upstream, ready to be asked.
pub struct Upstream {
    /// The server.
    pub remote: Remote,
    /// What is wanted of it.
    pub reference: Reference,
    /// Objects that are here already.
    pub cache: Cache,
    /// Where its object's files are.
    pub shelf: Shelf,
    /// What its object may cost.
    pub limits: Limits,
}

impl Upstream {
    /// Finds out where the upstream is; fetches unless that is the `known` revision.
    pub fn look(
        &self,
        connector: &Connector,
        known: Option<&str>,
        budget: &Budget,
    ) -> Result<Outcome, Failure> {
        self.shelf.remove_other_caches(&self.cache).map_err(|error| checkout_failed(&error.into()))?;
        let outcome = self.cache.checkout(connector, &self.remote, &self.reference, known, budget);
        outcome.map_err(|error| checkout_failed(&error))
    }

    /// Stores the checkout as the artifact of its commit.
    pub fn build(
        &self,
        connector: &Connector,
        checkout: &Checkout,
        ignore: Option<&str>,
        budget: &Budget,
    ) -> Result<Artifact, Failure> {
        match self.archive(checkout, ignore, budget) {
            Err(BuildError::Walk(WalkError::Object { id, reason })) => {
                tracing::warn!(%id, reason, "object cache is damaged, fetching anew");
                self.cache.clear().map_err(|error| checkout_failed(&error.into()))?;
                match self.look(connector, None, budget)? {
                    Outcome::Checkout(anew) => self.archive(&anew, ignore, budget).map_err(Failure::from),
                    Outcome::Unchanged(_) => Err(BuildError::Time.into()),
                }
            }
            other => other.map_err(Failure::from),
        }
    }

    fn archive(
        &self,
        checkout: &Checkout,
        ignore: Option<&str>,
        budget: &Budget,
    ) -> Result<Artifact, BuildError> {
        let matcher = self.matcher(checkout, ignore, budget)?;
        let path = self.shelf.path(&checkout.commit.id.to_string());
        self.shelf.store.archive(&path, &checkout.revision, |archive| {
            checkout.walk(|mut entry| {
                check(budget)?;
                // A submodule that is not fetched leaves its directory, as in a work tree. Links are left out.
                let directory = matches!(entry.kind, Kind::Directory | Kind::Submodule);
                if entry.kind == Kind::Symlink || matcher.is_ignored(entry.path, directory) {
                    return Ok(());
                }
                if let Kind::File { executable } = entry.kind {
                    let path = entry.path;
                    let mut content = entry.read()?;
                    archive.file(path, executable, content.len() as u64, &mut content)?;
                } else {
                    archive.directory(entry.path)?;
                }
                Ok(())
            })
        })
    }

    /// The rules of all `.sourceignore` files of the tree, and of the spec.
    fn matcher(
        &self,
        checkout: &Checkout,
        spec: Option<&str>,
        budget: &Budget,
    ) -> Result<Matcher, BuildError> {
        let mut files = ignore::Files::new(&self.limits.ignore);
        checkout.walk(|mut entry| {
            check(budget)?;
            let (directory, name) = split(entry.path);
            if name == IGNORE_FILE.as_bytes() && matches!(entry.kind, Kind::File { .. }) {
                files.add(directory, entry.read()?)?;
            }
            Ok::<_, BuildError>(())
        })?;
        Ok(files.matcher(spec)?)
    }
}

/// Why there is no archive.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(transparent)]
    Walk(#[from] WalkError),
    #[error(transparent)]
    Ignore(#[from] ignore::IgnoreError),
    #[error(transparent)]
    Store(#[from] StoreError),
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
            BuildError::Store(StoreError::Locked(_)) => {
                Failure::plain("Failed", format!("failed to acquire lock for artifact: {text}"))
            }
            BuildError::Ignore(_) => {
                let message = format!("failed to load source ignore patterns from repository: {text}");
                Failure::plain("SourceIgnoreError", message)
            }
            _ => Failure::storage(
                "ArchiveOperationFailed",
                format!("unable to archive artifact to storage: {text}"),
            ),
        }
    }
}

fn check(budget: &Budget) -> Result<(), BuildError> {
    if budget.is_cancelled() { Err(BuildError::Time) } else { Ok(()) }
}

/// Directory and name.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(slash) => (path.get(..slash).unwrap_or_default(), path.get(slash + 1..).unwrap_or_default()),
        None => (&[], path),
    }
}
