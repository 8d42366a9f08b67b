//! From the upstream to a stored artifact. Everything here blocks.

use artifact::archive::ArchiveError;
use artifact::ignore::{self, IGNORE_FILE, Matcher};
use artifact::store::{Artifact, StoreError};
use git::{Budget, Cache, Checkout, Connector, Kind, Outcome, Reference, Remote, WalkError};

use super::auth::checkout_failed;
use super::failure::Failure;
use super::storage::Shelf;

/// An upstream, ready to be asked.
pub struct Upstream {
    /// The server.
    pub remote: Remote,
    /// What is wanted of it.
    pub reference: Reference,
    /// Objects that are here already.
    pub cache: Cache,
}

impl Upstream {
    /// Finds out where the upstream is; fetches unless that is the `known` revision.
    pub fn look(
        &self,
        connector: &Connector,
        known: Option<&str>,
        budget: &Budget,
    ) -> Result<Outcome, Failure> {
        let outcome = self.cache.checkout(connector, &self.remote, &self.reference, known, budget);
        outcome.map_err(|error| checkout_failed(&error))
    }

    /// Stores the checkout as the artifact of its commit.
    pub fn build(
        &self,
        connector: &Connector,
        checkout: &Checkout,
        shelf: &Shelf,
        ignore: Option<&str>,
        budget: &Budget,
    ) -> Result<Artifact, Failure> {
        match archive(checkout, shelf, ignore, budget) {
            Err(BuildError::Walk(WalkError::Object { id, reason })) => {
                tracing::warn!(%id, reason, "object cache is damaged, fetching anew");
                self.cache.clear().map_err(|error| checkout_failed(&error.into()))?;
                match self.look(connector, None, budget)? {
                    Outcome::Checkout(anew) => archive(&anew, shelf, ignore, budget).map_err(Failure::from),
                    Outcome::Unchanged(_) => Err(BuildError::Cancelled.into()),
                }
            }
            other => other.map_err(Failure::from),
        }
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
    #[error("the pass was cancelled")]
    Cancelled,
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

fn archive(
    checkout: &Checkout,
    shelf: &Shelf,
    ignore: Option<&str>,
    budget: &Budget,
) -> Result<Artifact, BuildError> {
    let matcher = matcher(checkout, ignore)?;
    let path = shelf.path(&checkout.commit.id.to_string());
    shelf.store.archive(&path, &checkout.revision, |archive| {
        checkout.walk(|mut entry| {
            if budget.is_cancelled() {
                return Err(BuildError::Cancelled);
            }
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
fn matcher(checkout: &Checkout, spec: Option<&str>) -> Result<Matcher, BuildError> {
    let mut files: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    checkout.walk(|mut entry| {
        let (directory, name) = match entry.path.iter().rposition(|b| *b == b'/') {
            Some(slash) => {
                (entry.path.get(..slash).unwrap_or_default(), entry.path.get(slash + 1..).unwrap_or_default())
            }
            None => (&[][..], entry.path),
        };
        if name == IGNORE_FILE.as_bytes() && matches!(entry.kind, Kind::File { .. }) {
            files.push((directory.to_vec(), entry.read()?.to_vec()));
        }
        Ok::<_, BuildError>(())
    })?;
    let rules = files.iter().map(|(directory, text)| (directory.as_slice(), text.as_slice()));
    Ok(Matcher::from_rules(rules, spec, &ignore::Limits::default())?)
}
