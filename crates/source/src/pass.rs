//! One pass over one object: the steps, and when the status is written: at the end, and before that when something takes long.

mod build;
mod outcome;
mod storage;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;

use std::time::{Duration, Instant};

use api::Artifact;
use api::meta::FINALIZER;
use api::source::Source;
use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource, ResourceExt};
use net::Deadline;
use runtime::controller;
use runtime::patch::{self, PatchError};

pub use self::build::EndedBuild;
use crate::background::{Earlier, QUEUE_NEWS, Queued};
use crate::blocking;
use crate::controller::Controller;
use crate::failure::{Failure, Interrupted, reason};
use crate::status::{self, End, Snapshot};
use crate::storage::ObjectStorage;
use crate::upstream::{Fetched, Outcome, Request, Resolved, Upstream};

/// How old the answer to another source may be for a poll to share it; a tenth of the interval if that is less.
const SHARED_ANSWER_AGE: Duration = Duration::from_secs(2);

/// `spec.timeout` where it says none.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// `spec.timeout`, but not more than `max`; what is no duration, or none at all, counts as the default of 60s.
pub fn timeout(object: &impl Source, max: Duration) -> Duration {
    object.timeout().unwrap_or(DEFAULT_TIMEOUT).min(max)
}

/// What a fetch was begun for. One with other inputs is not worth waiting for.
#[derive(PartialEq, Eq)]
pub struct Inputs {
    version: Version,
    known: Option<String>,
}

/// What somebody asked for. A build for something else is not worth waiting for.
#[derive(PartialEq, Eq)]
pub struct Version {
    uid: Option<String>,
    generation: Option<i64>,
    requested: Option<String>,
}

/// Where a pass began. One that goes on with the fetch of an earlier pass began there.
#[derive(Clone)]
pub struct Beginning {
    time: Instant,
    status: Snapshot,
}

/// One pass over one object.
pub struct Pass<'a, U: Upstream> {
    controller: &'a Controller<U>,
    api: Api<U::Object>,
    storage: ObjectStorage,
    beginning: Beginning,
    /// The object as the API server has it.
    before: U::Object,
    /// The object as it will be written.
    object: U::Object,
    /// Whether the status in memory has progress that is not written yet.
    has_unwritten_progress: bool,
    /// Whether the stored artifact is of a version whose artifacts may be wrong, and is made anew whatever its revision.
    outdated: bool,
    /// Whether another pass is due at once.
    is_due: bool,
}

impl<'a, U: Upstream> Pass<'a, U> {
    /// A pass over the object as it was last seen.
    pub fn new(controller: &'a Controller<U>, object: &U::Object) -> Self {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        Pass {
            controller,
            api: Api::namespaced(controller.client.clone(), &namespace),
            storage: ObjectStorage::new(controller.storage.clone(), U::KIND, &namespace, &name),
            beginning: Beginning { time: Instant::now(), status: Snapshot::of(object) },
            before: object.clone(),
            object: object.clone(),
            has_unwritten_progress: false,
            outdated: false,
            is_due: false,
        }
    }

    /// For how long its object has been worked on.
    pub fn elapsed(&self) -> Duration {
        self.beginning.time.elapsed()
    }

    /// Does what the object asks for. An error means that its status could not be written.
    pub async fn run(&mut self) -> Result<controller::Outcome, PatchError> {
        if self.object.meta().deletion_timestamp.is_some() {
            return self.delete().await;
        }
        if U::is_static(&self.object) {
            return self.leave().await;
        }
        if !self.object.finalizers().iter().any(|f| f == FINALIZER) {
            let manager = self.controller.manager;
            let written = patch::finalizer(&self.api, &self.object, FINALIZER, true, manager).await?;
            self.adopt(written);
        }
        if self.object.is_suspended() {
            tracing::info!("reconciliation is suspended for this object");
            return self.finish(End::Suspended).await;
        }
        match self.reconcile().await {
            Ok(title) => {
                self.announce(title.as_deref());
                self.finish(End::Success).await
            }
            Err(Interrupted::Failure(failure)) => self.finish(End::Failed(failure)).await,
            Err(Interrupted::Gone(error)) => Err(error),
            Err(Interrupted::Stopped) => Ok(controller::Outcome::Wait),
            Err(Interrupted::Underway) => Ok(controller::Outcome::Underway),
        }
    }

    /// The steps of a pass; gives the title of what was fetched if it had to be read.
    async fn reconcile(&mut self) -> Result<Option<String>, Interrupted> {
        match self.controller.builds.earlier(&self.source(), &self.version()).await {
            Earlier::Nothing => {}
            Earlier::Underway => {
                self.note_queued("build", self.controller.builds.queued(&self.source()));
                self.write_progress().await?;
                return Err(Interrupted::Underway);
            }
            Earlier::Done(build) => return self.take_build(build).map(Some),
        }
        self.begin().await?;
        let Resolved { references, host, news } =
            self.controller.upstream.resolve(&mut self.object, Timestamp::now())?;
        self.has_unwritten_progress |= news;
        let Fetched { outcome, verified } = self.fetch(&references, &host).await?;
        self.note_verified(verified.as_ref());
        match outcome {
            Outcome::Unchanged(revision) => {
                tracing::debug!("no changes since last reconciliation: observed revision '{revision}'");
                self.up_to_date(&revision, None);
                Ok(None)
            }
            Outcome::New { revision, news, content } => {
                self.store(revision, news, content, references, verified).await.map(Some)
            }
        }
    }

    /// The stored artifact is what spec and upstream ask for.
    fn up_to_date(&mut self, revision: &str, title: Option<&str>) {
        let (reason, message) = self.controller.upstream.in_storage(&self.object, revision, title);
        status::in_storage(&mut self.object, &reason, &message, Timestamp::now());
    }

    /// Looks at what is stored.
    async fn begin(&mut self) -> Result<(), Interrupted> {
        let news = status::begin(&mut self.object, Timestamp::now());
        self.has_unwritten_progress = !self.check_storage().await? || news;
        self.controller.upstream.begin(&mut self.object, Timestamp::now());
        Ok(())
    }

    /// Fetches what is not known, or takes what a fetch of an earlier pass gave.
    async fn fetch(
        &mut self,
        references: &U::References,
        host: &str,
    ) -> Result<Fetched<U::Content>, Interrupted> {
        let upstream = self.controller.upstream.clone();
        let known = upstream.known_revision(&self.object, references).filter(|_| !self.outdated);
        let inputs = Inputs { version: self.version(), known: known.clone() };
        let (object, references) = (self.object.clone(), references.clone());
        let request = Request { object, references, known, since: self.since() };
        let beginning = self.beginning.clone();
        let fetch = |host| async move { (beginning, upstream.fetch(request, host).await) };
        let done = self.controller.background.run(&self.source(), inputs, host, fetch).await;
        let Some((beginning, fetched)) = done else {
            self.note_queued("fetch", self.controller.background.queued(&self.source()));
            self.write_progress().await?;
            return Err(Interrupted::Underway);
        };
        self.beginning = beginning;
        status::answered(&mut self.object, Timestamp::now());
        let fetched = fetched.map_err(|interrupted| self.explain(interrupted))?;
        status::fetched(&mut self.object, Timestamp::now());
        Ok(fetched)
    }

    /// Says which argument gave a fetch less time than its object wants.
    fn explain(&self, interrupted: Interrupted) -> Interrupted {
        let max = self.controller.max_timeout;
        match interrupted {
            Interrupted::Failure(mut failure)
                if self.elapsed() >= max && self.object.timeout().is_some_and(|timeout| timeout > max) =>
            {
                let text = format!(" (--max-timeout limits spec.timeout to {}s)", max.as_secs());
                failure.message.push_str(&text);
                Interrupted::Failure(failure)
            }
            other => other,
        }
    }

    /// From when on a server's answer counts. Who asks for a pass gets no older answer, not when that pass failed and this
    /// one tries again either; a poll may take one that another source got a moment ago.
    fn since(&self) -> Instant {
        let now = Instant::now();
        if status::is_news(&self.object) || status::unready(&self.before).is_some() {
            return now;
        }
        let interval = self.object.interval().parse().unwrap_or_default();
        now.checked_sub(SHARED_ANSWER_AGE.min(interval / 10)).unwrap_or(now)
    }

    /// Says why a fetch or a build has not begun for long, or that it has begun after all.
    fn note_queued(&mut self, work: &str, queued: Option<Queued>) {
        let message = match queued {
            Some(queued) if queued.time >= QUEUE_NEWS => status::queued_message(work, queued),
            None if status::is_queued(&self.before) => status::BEGUN.to_owned(),
            _ => return,
        };
        status::progress(&mut self.object, &message, Timestamp::now());
        self.has_unwritten_progress = true;
    }

    /// Writes the status as it is in memory, so that others see it before the pass ends.
    async fn write_progress(&mut self) -> Result<(), Interrupted> {
        if !std::mem::take(&mut self.has_unwritten_progress) {
            return Ok(());
        }
        self.patch().await.map_err(|error| {
            if error.is_gone() {
                return Interrupted::Gone(error);
            }
            Failure::plain(reason::PATCH_OPERATION_FAILED, runtime::error::chain(&error)).into()
        })
    }

    async fn patch(&mut self) -> Result<(), PatchError> {
        let manager = self.controller.manager;
        let written = patch::status(&self.api, &self.before, &self.object, &status::owned(), manager).await?;
        self.adopt(written);
        Ok(())
    }

    /// Goes on from what the API server has now, but with the spec that this pass began with.
    fn adopt(&mut self, written: U::Object) {
        if written.meta().resource_version == self.object.meta().resource_version {
            return;
        }
        status::copy(&mut self.object, &written);
        let metadata = self.object.meta_mut();
        metadata.resource_version.clone_from(&written.meta().resource_version);
        metadata.finalizers.clone_from(&written.meta().finalizers);
        self.before = self.object.clone();
        self.controller.latest.wrote(written);
    }

    /// Runs blocking work; what it does over the network ends with `spec.timeout`.
    fn blocking<T: Send + 'static, W>(
        &self,
        work: W,
    ) -> impl Future<Output = Result<T, Interrupted>> + use<'a, T, W, U>
    where
        W: FnOnce(&Deadline) -> Result<T, Failure> + Send + 'static,
    {
        let controller = self.controller;
        let deadline = Deadline::new(timeout(&self.object, controller.max_timeout));
        async move { Ok(blocking::run(deadline, None, &controller.stop, work).await??) }
    }

    fn version(&self) -> Version {
        let meta = self.object.meta();
        let requested = status::request(&self.object);
        Version { uid: meta.uid.clone(), generation: meta.generation, requested }
    }

    fn source(&self) -> ObjectRef<U::Object> {
        ObjectRef::from_obj(&self.object)
    }

    fn artifact(&self) -> Option<&Artifact> {
        self.object.artifact()
    }
}
