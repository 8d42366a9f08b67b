//! From the upstream to a stored artifact. Everything here blocks.

use std::io::Read;
use std::time::{Duration, Instant};

use artifact::archive::ArchiveError;
use artifact::ignore::{self, IGNORE_FILE, Matcher};
use artifact::store::{Artifact, StoreError};
use artifact::unpack;
use git::{Budget, Checkout, Connector, Kind, Outcome, Reference, Remote, WalkError};

use super::auth::checkout_failed;
use super::caches::InUse;
use super::content::{Content, Include, IncludeError, Item};
use super::failure::Failure;
use super::storage::Shelf;
use super::verify::Verification;

/// What one object may cost.
#[derive(Debug, Clone)]
pub struct Limits {
    /// What its server may send, and what its tree may hold.
    pub git: git::Limits,
    /// Its ignore rules.
    pub ignore: ignore::Limits,
    /// The archives that it includes: each of them, and their bytes together.
    pub include: unpack::Limits,
    /// Its signatures.
    pub verification: verification::Limits,
    /// How long an artifact may be in the making.
    pub build_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            git: git::Limits::default(),
            ignore: ignore::Limits::default(),
            include: unpack::Limits::default(),
            verification: verification::Limits::default(),
            build_time: Duration::from_secs(600),
        }
    }
}

/// What an upstream has.
pub struct Fetched {
    /// The revision, and what is in it unless that is known.
    pub outcome: Outcome,
    /// Who has signed it, in the words of the condition, if that had to be verified.
    pub verified: Option<String>,
}

/// What was stored.
pub struct Built {
    /// The artifact.
    pub artifact: Artifact,
    /// As in [`Fetched`], if there was another one.
    pub verified: Option<String>,
}

/// An upstream, ready to be asked.
pub struct Upstream {
    /// The server.
    pub remote: Remote,
    /// What is wanted of it.
    pub reference: Reference,
    /// The directories that are wanted; without any, all are.
    pub sparse: Vec<String>,
    /// Whether submodules are wanted too. With sparse directories they never are.
    pub submodules: bool,
    /// Objects that are here already.
    pub cache: InUse,
    /// What a server said before this does not count.
    pub since: Instant,
    /// Who must have signed it; a failure if that cannot be found out.
    pub verification: Option<Result<Verification, Failure>>,
    /// Where its object's files are.
    pub shelf: Shelf,
    /// What its object may cost.
    pub limits: Limits,
}

impl Upstream {
    /// Finds out where the upstream is; fetches and verifies unless that is the `known` revision.
    pub fn fetch(
        &self,
        connector: &Connector,
        known: Option<&str>,
        budget: &Budget,
    ) -> Result<Fetched, Failure> {
        let fetched = match self.checkout(connector, known, budget) {
            Err(CheckoutError::Git(git::Error::Tree(WalkError::Object { .. }))) => {
                self.checkout(connector, None, budget)
            }
            other => other,
        }?;
        if matches!(fetched.outcome, Outcome::Checkout(_)) {
            self.cache.settle().map_err(|error| checkout_failed(&error.into()))?;
        }
        Ok(fetched)
    }

    /// Nothing that a commit names is fetched before the commit is verified.
    fn checkout(
        &self,
        connector: &Connector,
        known: Option<&str>,
        budget: &Budget,
    ) -> Result<Fetched, CheckoutError> {
        let remote = &self.remote;
        let turn = self.cache.turn(budget);
        let _turn = turn.map_err(|source| git::Error::Clone { url: remote.url().to_owned(), source })?;
        let cache = self.cache.cache(self.limits.git.clone(), self.since);
        let mut outcome = cache.checkout(connector, remote, &self.reference, known, budget)?;
        let mut verified = None;
        if let Outcome::Checkout(checkout) = &mut outcome {
            let shape = |checkout: &mut Checkout| -> Result<_, CheckoutError> {
                let verification = self.verification.as_ref();
                let verified = match verification {
                    Some(verification) => {
                        Some(verification.as_ref().map_err(Failure::clone)?.check(checkout)?)
                    }
                    None => None,
                };
                if self.submodules && self.sparse.is_empty() {
                    cache.add_submodules(connector, remote, checkout, budget)?;
                }
                checkout.select(&self.sparse)?;
                Ok(verified)
            };
            verified = shape(checkout).inspect_err(|error| {
                if let CheckoutError::Git(git::Error::Tree(WalkError::Object { id, reason })) = error {
                    discard(checkout, id, reason);
                }
            })?;
        }
        Ok(Fetched { outcome, verified })
    }

    /// Stores the checkout as the artifact of its commit. If it has to be fetched anew it is verified anew too.
    pub fn build(
        &self,
        connector: &Connector,
        checkout: &Checkout,
        recipe: &Recipe,
        budget: &Budget,
    ) -> Result<Built, Failure> {
        match self.archive(checkout, recipe, budget) {
            Err(BuildError::Walk(WalkError::Object { id, reason })) => {
                discard(checkout, &id, &reason);
                let Fetched { outcome, verified } = self.fetch(connector, None, budget)?;
                match outcome {
                    Outcome::Checkout(anew) => {
                        Ok(Built { artifact: self.archive(&anew, recipe, budget)?, verified })
                    }
                    Outcome::Unchanged(_) => Err(BuildError::Time.into()),
                }
            }
            other => Ok(Built { artifact: other?, verified: None }),
        }
    }

    fn archive(&self, checkout: &Checkout, recipe: &Recipe, budget: &Budget) -> Result<Artifact, BuildError> {
        let content = Content::new(checkout, &recipe.includes, &self.shelf, &self.limits.include)?;
        let matcher = self.matcher(&content, recipe.ignore.as_deref(), budget)?;
        let path = self.shelf.path(&checkout.commit.id.to_string());
        self.shelf.store.archive(&path, &checkout.revision, |archive| {
            let mut bytes = 0;
            let mut archive = archive.chunked(|id, buffer| {
                check(budget)?;
                Ok::<_, BuildError>(checkout.blob(id, buffer, &mut bytes)?)
            });
            content.walk(&mut |path, item| {
                check(budget)?;
                if matcher.is_ignored(path, matches!(item, Item::Directory)) {
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
    fn matcher(
        &self,
        content: &Content<'_>,
        spec: Option<&str>,
        budget: &Budget,
    ) -> Result<Matcher, BuildError> {
        let limits = &self.limits.ignore;
        let mut files = ignore::Files::new(limits);
        content.walk(&mut |path, item| {
            check(budget)?;
            let (directory, name) = split(path);
            if name != IGNORE_FILE.as_bytes() {
                return Ok(());
            }
            match item {
                Item::Directory => {}
                Item::Git(entry) => files.add(directory, entry.read()?)?,
                Item::Archived { content, .. } => {
                    let mut text = Vec::new();
                    // One byte more, so that what is too long is seen to be.
                    let read = content.take(limits.file_bytes as u64 + 1).read_to_end(&mut text);
                    let path = String::from_utf8_lossy(path).into_owned();
                    read.map_err(|source| ArchiveError::Read { path, source })?;
                    files.add(directory, &text)?;
                }
            }
            Ok(())
        })?;
        Ok(files.matcher(spec)?)
    }
}

/// Forgets a cache that lacks an object.
fn discard(checkout: &Checkout, id: &dyn std::fmt::Display, reason: &str) {
    tracing::warn!(%id, reason, "object cache is damaged, fetching anew");
    if let Err(error) = checkout.discard() {
        tracing::error!(%error, "failed to remove a damaged object cache");
    }
}

/// What an artifact is made from beside the commit.
pub struct Recipe {
    /// `spec.ignore`.
    pub ignore: Option<String>,
    /// The artifacts that are put in, in the order of the spec.
    pub includes: Vec<Include>,
}

/// Why nothing is checked out.
#[derive(Debug)]
pub enum CheckoutError {
    /// It cannot be had, or read.
    Git(git::Error),
    /// It is not signed as it must be.
    Unverified(Failure),
}

impl<E: Into<git::Error>> From<E> for CheckoutError {
    fn from(error: E) -> Self {
        CheckoutError::Git(error.into())
    }
}

impl From<Failure> for CheckoutError {
    fn from(failure: Failure) -> Self {
        CheckoutError::Unverified(failure)
    }
}

impl From<CheckoutError> for Failure {
    fn from(error: CheckoutError) -> Self {
        match error {
            CheckoutError::Git(error) => checkout_failed(&error),
            CheckoutError::Unverified(failure) => failure,
        }
    }
}

/// Why there is no archive.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(transparent)]
    Walk(#[from] WalkError),
    #[error(transparent)]
    Include(#[from] IncludeError),
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
            BuildError::Include(IncludeError::Path { .. }) => Failure::storage("IllegalPath", text),
            BuildError::Include(IncludeError::Copy { .. }) => Failure::storage("CopyFailure", text),
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
