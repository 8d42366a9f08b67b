//! One pass over one object: the steps, and when the status is written: at the end, and before that when something takes long.

mod outcome;
mod storage;

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::meta::FINALIZER;
use api::{Artifact, GitRepository, GitRepositoryStatus};
use git::{Checkout, Commit, Outcome, Remote};
use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};
use net::Deadline;
use runtime::controller;
use runtime::patch::{self, PatchError};

use super::background::PATIENCE;
use super::build::Recipe;
use super::content::Include;
use super::failure::{Broken, Failure, reason};
use super::fetch::Request;
use super::status::End;
use super::storage::{Shelf, status_artifact};
use super::upstream::{Fetched, Upstream};
use super::{GitRepositories, auth, includes, spec, status};
use crate::NAME;
use crate::blocking;

/// How old an answer may be that a poll takes from another source; a tenth of the interval if that is less.
const FRESH: Duration = Duration::from_secs(2);

/// What a fetch was begun for. One with other inputs is not worth waiting for.
#[derive(PartialEq, Eq)]
pub struct Inputs {
    uid: Option<String>,
    generation: Option<i64>,
    requested: Option<String>,
    known: Option<String>,
}

/// Where a pass began. One that goes on with the fetch of an earlier pass began there.
#[derive(Clone)]
pub struct Beginning {
    time: Instant,
    status: GitRepositoryStatus,
}

/// One pass over one object.
pub struct Pass<'a> {
    controller: &'a GitRepositories,
    api: Api<GitRepository>,
    shelf: Shelf,
    beginning: Beginning,
    /// The object as the API server has it.
    before: GitRepository,
    /// The object as it will be written.
    object: GitRepository,
    /// Whether others have yet to see what is under way.
    untold: bool,
    /// Whether the stored artifact is of a version whose artifacts may be wrong, and is made anew whatever its revision.
    outdated: bool,
}

impl<'a> Pass<'a> {
    /// A pass over the object as it was last seen.
    pub fn new(controller: &'a GitRepositories, object: &GitRepository) -> Self {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        Pass {
            controller,
            api: Api::namespaced(controller.client.clone(), &namespace),
            shelf: Shelf::new(controller.storage.clone(), &namespace, &name),
            beginning: Beginning { time: Instant::now(), status: object.status.clone().unwrap_or_default() },
            before: object.clone(),
            object: object.clone(),
            untold: false,
            outdated: false,
        }
    }

    /// For how long its object has been worked on.
    pub fn elapsed(&self) -> Duration {
        self.beginning.time.elapsed()
    }

    /// Does what the object asks for. An error means that its status could not be written.
    pub async fn run(&mut self) -> Result<controller::Outcome, PatchError> {
        if self.object.metadata.deletion_timestamp.is_some() {
            return self.delete().await;
        }
        if !self.object.finalizers().iter().any(|f| f == FINALIZER) {
            let written = patch::finalizer(&self.api, &self.object, FINALIZER, true, NAME).await?;
            self.adopt(written);
        }
        if self.object.spec.suspend {
            tracing::info!("reconciliation is suspended for this object");
            return self.finish(End::Suspended).await;
        }
        match self.reconcile().await {
            Ok(commit) => {
                self.announce(commit.as_ref());
                self.finish(End::Success).await
            }
            Err(Broken::Failure(failure)) => self.finish(End::Failed(failure)).await,
            Err(Broken::Gone(error)) => Err(error),
            Err(Broken::Stopped) => Ok(controller::Outcome::Wait),
            Err(Broken::Underway) => Ok(controller::Outcome::Underway),
        }
    }

    /// The steps of a pass; gives the commit if it had to be read.
    async fn reconcile(&mut self) -> Result<Option<Commit>, Broken> {
        self.begin().await?;
        let remote = auth::remote(&self.object.spec.url)?;
        let includes = self.includes()?;
        let (upstream, Fetched { outcome, signed }) = self.fetch(remote, &includes).await?;
        self.note_signed(signed);
        match outcome {
            Outcome::Unchanged(revision) => {
                tracing::debug!("no changes since last reconciliation: observed revision '{revision}'");
                status::up_to_date(&mut self.object, &revision, Timestamp::now());
                Ok(None)
            }
            Outcome::Checkout(checkout) => self.store(upstream, *checkout, includes).await.map(Some),
        }
    }

    /// Looks at what is stored.
    async fn begin(&mut self) -> Result<(), Broken> {
        let news = status::begin(&mut self.object, Timestamp::now());
        self.untold = !self.check_storage().await? || news;
        status::verification::forget(&mut self.object, Timestamp::now());
        Ok(())
    }

    /// What the spec includes.
    fn includes(&mut self) -> Result<Vec<Include>, Broken> {
        let namespace = self.object.namespace().unwrap_or_default();
        let includes = includes::resolve(&self.object, |name| self.controller.source(&namespace, name))?;
        if status::includes_changed(&mut self.object, &artifacts(&includes), Timestamp::now()) {
            self.untold = true;
        }
        status::included(&mut self.object, Timestamp::now());
        Ok(includes)
    }

    /// Fetches what is not known, or takes what a fetch of an earlier pass gave.
    async fn fetch(
        &mut self,
        remote: Remote,
        includes: &[Include],
    ) -> Result<(Arc<Upstream>, Fetched), Broken> {
        let known = status::content::known_revision(&self.object, &artifacts(includes));
        let known = known.filter(|_| !self.outdated);
        let inputs = Inputs {
            uid: self.object.metadata.uid.clone(),
            generation: self.object.metadata.generation,
            requested: status::request(&self.object),
            known: known.clone(),
        };
        let (server, fetcher) = (remote.server(), self.controller.fetcher.clone());
        let request = Request { object: self.object.clone(), remote, known, since: self.since() };
        let beginning = self.beginning.clone();
        let fetch = |host| async move { (beginning, fetcher.fetch(request, host).await) };
        let done = self.controller.background.run(&self.source(), inputs, &server, fetch).await;
        let Some((beginning, fetched)) = done else {
            self.tell().await?;
            return Err(Broken::Underway);
        };
        self.beginning = beginning;
        status::answered(&mut self.object, Timestamp::now());
        let fetched = fetched?;
        status::fetched(&mut self.object, Timestamp::now());
        Ok(fetched)
    }

    /// Makes an artifact of what was fetched, unless it is the one that there is; gives its commit.
    async fn store(
        &mut self,
        upstream: Arc<Upstream>,
        checkout: Checkout,
        includes: Vec<Include>,
    ) -> Result<Commit, Broken> {
        let (mut revision, mut commit) = (checkout.revision.clone(), checkout.commit.clone());
        tracing::debug!(url = upstream.remote.url(), revision, "git repository checked out");
        let moved =
            self.artifact().is_none_or(|artifact| git::current_revision(&artifact.revision) != revision);
        if moved {
            status::new_revision(&mut self.object, &revision, Timestamp::now());
            self.untold = true;
        }
        let included = artifacts(&includes);
        let changed = moved || status::content::config_changed(&self.object, &included);
        if changed || self.outdated {
            let (ignore, shelf) = (self.object.spec.ignore.clone(), self.shelf.clone());
            let limits = self.controller.fetcher.limits.clone();
            let time = Some(limits.build_time);
            let corrects = self.artifact().filter(|_| !changed).map(|artifact| artifact.path.clone());
            let recipe = Recipe { ignore, includes, shelf, limits, corrects };
            let build = self.blocking(time, move |deadline| recipe.build(&upstream, &checkout, deadline));
            let built = self.meanwhile(build).await?;
            self.note_signed(built.signed);
            // Later than those above if the cache had to be fetched anew.
            (revision, commit) = (built.artifact.revision.clone(), built.commit);
            self.note_correction(&revision, built.correction.as_ref());
            status::stored(&mut self.object, status_artifact(built.artifact), included);
        }
        status::up_to_date(&mut self.object, &revision, Timestamp::now());
        Ok(commit)
    }

    /// From when on a server's answer counts. Who asks for a pass gets no older answer, not when that pass failed and this
    /// one tries again either; a poll may take one that another source got a moment ago.
    fn since(&self) -> Instant {
        let now = Instant::now();
        let retried = self.before.status.as_ref().is_some_and(|before| status::unready(before).is_some());
        if status::is_news(&self.object) || retried {
            return now;
        }
        let interval = self.object.spec.interval.parse().unwrap_or_default();
        now.checked_sub(FRESH.min(interval / 10)).unwrap_or(now)
    }

    /// Waits for `work`. What is under way is told if that takes long; most passes are over before anybody could read it, and
    /// each write is an event for everybody who watches.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = Result<T, Broken>>) -> Result<T, Broken> {
        let mut work = pin!(work);
        match tokio::time::timeout(PATIENCE, &mut work).await {
            Ok(done) => done,
            Err(_) => {
                self.tell().await?;
                work.await
            }
        }
    }

    /// Writes the status as it is in memory, so that others see it before the pass ends.
    async fn tell(&mut self) -> Result<(), Broken> {
        if !std::mem::take(&mut self.untold) {
            return Ok(());
        }
        self.patch().await.map_err(|error| {
            if error.is_gone() {
                return Broken::Gone(error);
            }
            Failure::plain(reason::PATCH_OPERATION_FAILED, runtime::error::chain(&error)).into()
        })
    }

    async fn patch(&mut self) -> Result<(), PatchError> {
        let written = patch::status(&self.api, &self.before, &self.object, &status::owned(), NAME).await?;
        self.adopt(written);
        Ok(())
    }

    /// Goes on from what the API server has now, but with the spec that this pass began with.
    fn adopt(&mut self, written: GitRepository) {
        if written.metadata.resource_version == self.object.metadata.resource_version {
            return;
        }
        self.object.status.clone_from(&written.status);
        self.object.metadata.resource_version.clone_from(&written.metadata.resource_version);
        self.object.metadata.finalizers.clone_from(&written.metadata.finalizers);
        self.before = self.object.clone();
        self.controller.latest.wrote(written);
    }

    /// Runs blocking work; what it does over the network ends with `spec.timeout`, and with `limit` everything does.
    fn blocking<T: Send + 'static, W>(
        &self,
        limit: Option<Duration>,
        work: W,
    ) -> impl Future<Output = Result<T, Broken>> + use<'a, T, W>
    where
        W: FnOnce(&Deadline) -> Result<T, Failure> + Send + 'static,
    {
        let (deadline, controller) = (Deadline::new(spec::timeout(&self.object)), self.controller);
        async move { Ok(blocking::run(deadline, limit, &controller.fetcher.stop, work).await??) }
    }

    fn source(&self) -> ObjectRef<GitRepository> {
        ObjectRef::from_obj(&self.object)
    }

    fn artifact(&self) -> Option<&Artifact> {
        self.object.status.as_ref()?.artifact.as_ref()
    }
}

fn artifacts(includes: &[Include]) -> Vec<Artifact> {
    includes.iter().map(|include| include.artifact.clone()).collect()
}
