//! What a repository has: asked, fetched and verified. Everything here blocks.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Instant;

use git::{Checkout, Connector, Outcome, Reference, Remote, WalkError};
use net::Deadline;
use source::failure::Failure;
use source::upstream::Verified;

use super::caches::InUse;
use super::failure::git_failure;
use super::verify::Verification;

/// What a repository has.
pub struct Found {
    /// The revision, and what is in it unless that is known.
    pub outcome: Outcome,
    /// Who has signed it, if that had to be verified.
    pub signed: Option<Verified>,
}

/// A repository, ready to be asked.
pub struct Repository {
    /// Asks it.
    pub connector: Arc<Connector>,
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
    /// What the server may send, and what the tree may hold.
    pub limits: git::Limits,
}

impl Repository {
    /// Finds out where the repository is; fetches and verifies unless that is the `known` revision. A cache that turns out to lack
    /// an object is emptied and fetched anew, once.
    pub fn fetch(&self, known: Option<&str>, deadline: &Deadline) -> Result<Found, Failure> {
        let fetched = match self.checkout(known, deadline) {
            Err(CheckoutError::Git(git::Error::Tree(WalkError::Object { .. }))) => {
                self.checkout(None, deadline)
            }
            other => other,
        }?;
        self.fetched(fetched)
    }

    /// Empties the cache of a checkout of which an object turned out to be unreadable after the fetch, and fetches and verifies
    /// anew. The second time there is no other attempt.
    pub fn fetch_anew(
        &self,
        checkout: &Checkout,
        unreadable: &dyn Display,
        reason: &str,
        deadline: &Deadline,
    ) -> Result<Found, Failure> {
        discard(checkout, unreadable, reason);
        self.fetched(self.checkout(None, deadline)?)
    }

    fn fetched(&self, found: Found) -> Result<Found, Failure> {
        if matches!(found.outcome, Outcome::Checkout(_)) {
            self.cache.record_size().map_err(|error| git_failure(error.into()))?;
        }
        Ok(found)
    }

    fn checkout(&self, known: Option<&str>, deadline: &Deadline) -> Result<Found, CheckoutError> {
        let lock = self.cache.fetch_lock(deadline);
        let url = || net::redact(self.remote.url());
        let _lock = lock.map_err(|source| git::Error::Clone { url: url(), source })?;
        let cache = self.cache.cache(self.limits.clone(), self.since);
        let mut outcome = cache.checkout(&self.connector, &self.remote, &self.reference, known, deadline)?;
        let mut signed = None;
        if let Outcome::Checkout(checkout) = &mut outcome {
            signed = self.complete(checkout, &cache, deadline).inspect_err(|error| {
                if let CheckoutError::Git(git::Error::Tree(WalkError::Object { id, reason })) = error {
                    discard(checkout, id, reason);
                }
            })?;
        }
        Ok(Found { outcome, signed })
    }

    /// Nothing that a commit names is fetched before the commit is verified.
    fn complete(
        &self,
        checkout: &mut Checkout,
        cache: &git::Cache,
        deadline: &Deadline,
    ) -> Result<Option<Verified>, CheckoutError> {
        let signed = match &self.verification {
            Some(verification) => Some(verification.as_ref().map_err(Failure::clone)?.check(checkout)?),
            None => None,
        };
        if self.submodules && self.sparse.is_empty() {
            cache.add_submodules(&self.connector, &self.remote, checkout, deadline)?;
        }
        checkout.select(&self.sparse)?;
        Ok(signed)
    }
}

/// Forgets a cache that lacks an object.
fn discard(checkout: &Checkout, id: &dyn Display, reason: &str) {
    tracing::warn!(%id, reason, "object cache is damaged, fetching anew");
    if let Err(error) = checkout.discard() {
        tracing::error!(%error, "failed to remove a damaged object cache");
    }
}

/// Why nothing is checked out.
#[derive(Debug)]
pub enum CheckoutError {
    /// It cannot be had, or read.
    Git(git::Error),
    /// It is not signed as it must be.
    Unverified(Failure),
}

impl From<git::Error> for CheckoutError {
    fn from(error: git::Error) -> Self {
        CheckoutError::Git(error)
    }
}

impl From<WalkError> for CheckoutError {
    fn from(error: WalkError) -> Self {
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
            CheckoutError::Git(error) => git_failure(error),
            CheckoutError::Unverified(failure) => failure,
        }
    }
}
