//! One pass over one object: the steps, and when the status is written: at the end, and before that when something takes long.

mod outcome;
mod storage;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;

use std::pin::pin;
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

use crate::background::PASS_WAIT;
use crate::blocking;
use crate::controller::Controller;
use crate::correction;
use crate::failure::{Failure, Interrupted, reason};
use crate::status::{self, End, Snapshot};
use crate::storage::{ObjectStorage, status_artifact};
use crate::upstream::{Build, Fetched, Outcome, Request, Resolved, Upstream};

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
    uid: Option<String>,
    generation: Option<i64>,
    requested: Option<String>,
    known: Option<String>,
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
        self.begin().await?;
        let Resolved { references, host, news } =
            self.controller.upstream.resolve(&mut self.object, Timestamp::now())?;
        self.has_unwritten_progress |= news;
        let Fetched { outcome, verified } = self.fetch(&references, &host).await?;
        self.note_verified(verified);
        match outcome {
            Outcome::Unchanged(revision) => {
                tracing::debug!("no changes since last reconciliation: observed revision '{revision}'");
                status::up_to_date(&mut self.object, &U::stored_text(&revision), Timestamp::now());
                Ok(None)
            }
            Outcome::New { revision, news, content } => {
                self.store(revision, &news, content, references).await.map(Some)
            }
        }
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
        let inputs = Inputs {
            uid: self.object.meta().uid.clone(),
            generation: self.object.meta().generation,
            requested: status::request(&self.object),
            known: known.clone(),
        };
        let (object, references) = (self.object.clone(), references.clone());
        let request = Request { object, references, known, since: self.since() };
        let beginning = self.beginning.clone();
        let fetch = |host| async move { (beginning, upstream.fetch(request, host).await) };
        let done = self.controller.background.run(&self.source(), inputs, host, fetch).await;
        let Some((beginning, fetched)) = done else {
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

    /// Makes an artifact of what was fetched, unless it is the one that there is; gives its title.
    async fn store(
        &mut self,
        mut revision: String,
        news: &str,
        content: U::Content,
        references: U::References,
    ) -> Result<String, Interrupted> {
        let upstream = self.controller.upstream.clone();
        let mut title = upstream.title(&content);
        let moved = self.object.artifact().is_none_or(|artifact| !U::is_revision(artifact, &revision));
        if moved {
            status::new_revision(&mut self.object, news, Timestamp::now());
            self.has_unwritten_progress = true;
        }
        let changed = moved || upstream.has_changed(&self.object, &references);
        if changed || self.outdated {
            let former = self.object.artifact().filter(|_| !changed).map(|artifact| artifact.path.clone());
            let (object, storage) = (self.object.clone(), self.storage.clone());
            let build = Build { object, references: references.clone(), storage: storage.clone() };
            let worker = upstream.clone();
            let work = self.blocking(Some(self.controller.build_timeout), move |deadline| {
                let former = former.and_then(|path| storage.store.open_file(&path).ok());
                let built = worker.build(build, content, deadline)?;
                let correction =
                    former.and_then(|former| correction::find(&storage, former, &built.artifact));
                Ok((built, correction))
            });
            let (built, correction) = self.write_progress_if_slow(work).await?;
            self.note_verified(built.verified);
            // Later than those above if the content had to be fetched anew.
            (revision, title) = (built.artifact.revision.clone(), built.title);
            self.note_correction(&revision, correction.as_ref());
            let artifact = Artifact { metadata: built.metadata, ..status_artifact(built.artifact) };
            *self.object.status_mut().artifact = Some(artifact);
            upstream.stored(&mut self.object, references);
        }
        status::up_to_date(&mut self.object, &U::stored_text(&revision), Timestamp::now());
        Ok(title)
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

    /// Waits for `work`. The progress is written if that takes long; most passes are over before anybody could read it, and
    /// each write is an event for everybody who watches.
    async fn write_progress_if_slow<T>(
        &mut self,
        work: impl Future<Output = Result<T, Interrupted>>,
    ) -> Result<T, Interrupted> {
        let mut work = pin!(work);
        match tokio::time::timeout(PASS_WAIT, &mut work).await {
            Ok(done) => done,
            Err(_) => {
                self.write_progress().await?;
                work.await
            }
        }
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

    /// Runs blocking work; what it does over the network ends with `spec.timeout`, and with `limit` everything does.
    fn blocking<T: Send + 'static, W>(
        &self,
        limit: Option<Duration>,
        work: W,
    ) -> impl Future<Output = Result<T, Interrupted>> + use<'a, T, W, U>
    where
        W: FnOnce(&Deadline) -> Result<T, Failure> + Send + 'static,
    {
        let controller = self.controller;
        let deadline = Deadline::new(timeout(&self.object, controller.max_timeout));
        async move { Ok(blocking::run(deadline, limit, &controller.stop, work).await??) }
    }

    fn source(&self) -> ObjectRef<U::Object> {
        ObjectRef::from_obj(&self.object)
    }

    fn artifact(&self) -> Option<&Artifact> {
        self.object.artifact()
    }
}
