//! From what was fetched to the artifact in the status. A build that takes long outlasts its pass, as a fetch does; a later
//! pass takes what it gave. Builds have a budget of their own, of which a namespace gets a share.

use api::Artifact;
use api::source::Source;
use artifact::store::StoreError;
use jiff::Timestamp;
use kube::ResourceExt;
use net::Deadline;

use super::storage::link;
use super::{Beginning, Pass, timeout};
use crate::background::Host;
use crate::blocking;
use crate::correction::{self, Correction};
use crate::failure::{Failure, Interrupted};
use crate::status;
use crate::storage::status_artifact;
use crate::upstream::{Build, Built, Resolved, Upstream, Verified};

/// A build that ended, and what the pass that began it knew.
pub struct EndedBuild<R> {
    beginning: Beginning,
    /// What the artifact was made from.
    references: R,
    /// What the status says of the revision if it is not the stored one.
    news: Option<String>,
    /// Who has signed what was fetched.
    verified: Option<Verified>,
    result: Result<Stored, Interrupted>,
}

/// An artifact that was made and stored.
pub struct Stored {
    built: Built,
    correction: Option<Correction>,
    /// The URL of the link to it, for kinds that have one.
    link: Option<Result<String, StoreError>>,
}

impl<U: Upstream> Pass<'_, U> {
    /// Makes an artifact of what was fetched, unless it is the one that there is; gives its title.
    pub(super) async fn store(
        &mut self,
        revision: String,
        news: String,
        content: U::Content,
        references: U::References,
        verified: Option<Verified>,
    ) -> Result<String, Interrupted> {
        let upstream = self.controller.upstream.clone();
        let moved = self.object.artifact().is_none_or(|artifact| !U::is_revision(artifact, &revision));
        let news = moved.then_some(news);
        if let Some(news) = &news {
            status::outdated(&mut self.object, U::NEWS, news, Timestamp::now());
            self.has_unwritten_progress = true;
        }
        let changed = moved || upstream.has_changed(&self.object, &references);
        if !changed && !self.outdated {
            let title = upstream.title(&content);
            self.up_to_date(&revision, Some(&title));
            return Ok(title);
        }
        let former = self.object.artifact().filter(|_| !changed).map(|artifact| artifact.path.clone());
        let beginning = self.beginning.clone();
        let build = |host| {
            let work = self.build(content, references.clone(), former, host);
            async { EndedBuild { beginning, references, news, verified, result: work.await } }
        };
        let namespace = self.object.namespace().unwrap_or_default();
        match self.controller.builds.run(&self.source(), self.version(), &namespace, build).await {
            Some(ended) => self.finish_build(ended.references, ended.result),
            None => {
                self.write_progress().await?;
                Err(Interrupted::Underway)
            }
        }
    }

    /// Goes on with a build that an earlier pass began.
    pub(super) fn take_build(&mut self, ended: EndedBuild<U::References>) -> Result<String, Interrupted> {
        let (upstream, now) = (self.controller.upstream.clone(), Timestamp::now());
        self.beginning = ended.beginning;
        status::begin(&mut self.object, now);
        upstream.begin(&mut self.object, now);
        let Resolved { references, .. } = upstream.resolve(&mut self.object, now)?;
        status::answered(&mut self.object, now);
        status::fetched(&mut self.object, now);
        if let Some(verified) = &ended.verified {
            self.set_verified(verified);
        }
        if let Some(news) = &ended.news {
            status::outdated(&mut self.object, U::NEWS, news, now);
        }
        let title = self.finish_build(ended.references, ended.result)?;
        // What it refers to may have changed meanwhile, and whoever woke the object for that found it building.
        self.is_due = upstream.has_changed(&self.object, &references);
        Ok(title)
    }

    /// The build itself: waits for its turn, then works on a thread. `former` is the path of the artifact to compare with.
    fn build(
        &self,
        content: U::Content,
        references: U::References,
        former: Option<String>,
        host: Host,
    ) -> impl Future<Output = Result<Stored, Interrupted>> + Send + use<U> {
        let (controller, storage) = (self.controller, self.storage.clone());
        let (upstream, stop) = (controller.upstream.clone(), controller.stop.clone());
        let namespace = self.object.namespace().unwrap_or_default();
        let (timeout, limit) = (timeout(&self.object, controller.max_timeout), controller.build_timeout);
        let build = Build { object: self.object.clone(), references, storage: storage.clone() };
        let turn = controller.build_turn(&self.source());
        async move {
            let turn = turn.lock_owned().await;
            let slot = host.slot(&namespace).await;
            let work = move |deadline: &Deadline| {
                // Until it has ended, also if nobody waits for it any more.
                let _held = (turn, slot);
                let former = former.and_then(|path| storage.store.open_file(&path).ok());
                let built = upstream.build(build, content, deadline)?;
                let correction =
                    former.and_then(|former| correction::find(&storage, former, &built.artifact));
                let link = link::<U>(&storage, &built.artifact.path);
                Ok::<_, Failure>(Stored { built, correction, link })
            };
            Ok(blocking::run(Deadline::new(timeout), Some(limit), &stop, work).await??)
        }
    }

    /// Puts what was built into the status; gives its title.
    fn finish_build(
        &mut self,
        references: U::References,
        result: Result<Stored, Interrupted>,
    ) -> Result<String, Interrupted> {
        let Stored { built, correction, link } = result?;
        self.note_verified(built.verified.as_ref());
        // Later than what was fetched first if the content had to be fetched anew.
        let revision = built.artifact.revision.clone();
        self.note_correction(&revision, correction.as_ref());
        let artifact = Artifact { metadata: built.metadata, ..status_artifact(built.artifact) };
        *self.object.status_mut().artifact = Some(artifact);
        self.note_link(link);
        self.controller.upstream.stored(&mut self.object, references);
        self.up_to_date(&revision, Some(&built.title));
        Ok(built.title)
    }
}
