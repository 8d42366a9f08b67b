//! An upstream that does what a test tells it.

use std::collections::{BTreeMap, VecDeque};
use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use api::GitRepository;
use artifact::store::StoreError;
use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use net::Deadline;
use tokio::sync::oneshot;

use crate::background::Host;
use crate::failure::{Failure, Interrupted};
use crate::upstream::{Build, Built, Fetched, Outcome, Request, Resolved, Upstream};

/// What a fetch gives.
pub enum Fetch {
    /// A revision, which is that of the stored artifact or a new one.
    Revision(&'static str),
    /// It fails.
    Fails(Failure),
    /// The process ends.
    Stopped,
    /// It gives a revision when the test says so.
    When(oneshot::Receiver<&'static str>),
    /// It never ends.
    Never,
}

/// The upstream of one test.
#[derive(Default)]
pub struct Scripted {
    /// What is wrong with the spec.
    pub spec_failure: Option<Failure>,
    /// What fetches give, in this order.
    pub fetches: Mutex<VecDeque<Fetch>>,
    /// Fetches that began.
    pub begun: AtomicUsize,
    /// Each fetch that goes on has a clone.
    pub running: Arc<()>,
    /// What goes wrong in builds.
    pub build_failure: Mutex<Option<Failure>>,
    /// Builds that begin while this is set go on until they are cancelled, or until it is no longer set.
    pub builds_without_end: AtomicBool,
    /// Builds that began.
    pub builds_begun: AtomicUsize,
    /// Whether the references of the object are others than those of its artifact.
    pub has_changed: AtomicBool,
    /// What goes wrong when the object is deleted.
    pub release_failure: Option<fn() -> StoreError>,
}

impl Upstream for Scripted {
    const KIND: &'static str = "GitRepository";
    type Object = GitRepository;
    type References = ();
    type Content = &'static str;

    /// As a HelmRepository of a registry is.
    fn is_static(object: &GitRepository) -> bool {
        object.spec.url.starts_with("oci://")
    }

    fn resolve(&self, _object: &mut GitRepository, _now: Timestamp) -> Result<Resolved<()>, Failure> {
        match &self.spec_failure {
            Some(failure) => Err(failure.clone()),
            None => Ok(Resolved { references: (), host: "host".to_owned(), news: false }),
        }
    }

    fn known_revision(&self, object: &GitRepository, _references: &()) -> Option<String> {
        Some(object.status.as_ref()?.artifact.as_ref()?.revision.clone())
    }

    fn has_changed(&self, _object: &GitRepository, _references: &()) -> bool {
        self.has_changed.load(Ordering::Relaxed)
    }

    async fn fetch(
        self: Arc<Self>,
        request: Request<GitRepository, ()>,
        host: Host,
    ) -> Result<Fetched<&'static str>, Interrupted> {
        let (_running, _slot) = (self.running.clone(), host.slot("ns").await);
        self.begun.fetch_add(1, Ordering::Relaxed);
        let next = self.fetches.lock().unwrap().pop_front().unwrap();
        let content = match next {
            Fetch::Revision(revision) => revision,
            Fetch::Fails(failure) => return Err(failure.into()),
            Fetch::Stopped => return Err(Interrupted::Stopped),
            Fetch::When(revision) => revision.await.unwrap(),
            Fetch::Never => pending().await,
        };
        let revision = content.to_owned();
        let outcome = match request.known.as_deref() == Some(content) {
            true => Outcome::Unchanged(revision),
            false => Outcome::New { news: format!("new revision '{revision}'"), revision, content },
        };
        Ok(Fetched { outcome, verified: None })
    }

    fn title(&self, content: &&'static str) -> String {
        format!("title of {content}")
    }

    fn build(
        &self,
        build: Build<GitRepository, ()>,
        content: &'static str,
        deadline: &Deadline,
    ) -> Result<Built, Failure> {
        let _running = self.running.clone();
        self.builds_begun.fetch_add(1, Ordering::Relaxed);
        while self.builds_without_end.load(Ordering::Relaxed) {
            if deadline.is_cancelled() {
                return Err(Failure::artifact("archive", "it took too long"));
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        if let Some(failure) = self.build_failure.lock().unwrap().clone() {
            return Err(failure);
        }
        let path = build.storage.path(content);
        let stored = build.storage.store.archive(&path, content, |archive| {
            let size = content.len() as u64;
            Ok::<_, StoreError>(archive.file(b"revision", false, size, &mut content.as_bytes())?)
        });
        let artifact = stored.map_err(|error| Failure::store("archive", &error))?;
        Ok(Built { artifact, metadata: BTreeMap::new(), title: self.title(&content), verified: None })
    }

    fn stored(&self, _object: &mut GitRepository, _references: ()) {}

    fn stored_text(revision: &str) -> String {
        format!("stored artifact for revision '{revision}'")
    }

    fn announcement(&self, _object: &GitRepository, title: Option<&str>) -> String {
        format!("stored artifact for {}", title.unwrap_or("what is known"))
    }

    fn labels(_object: &GitRepository) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    fn release(&self, _source: &ObjectRef<GitRepository>) -> Result<(), StoreError> {
        self.release_failure.map_or(Ok(()), |failure| Err(failure()))
    }
}
