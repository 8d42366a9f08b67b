//! GitRepository: what of a source's pass is Git's own. See [`source::Upstream`] for the order of the steps.

mod auth;
pub mod build;
mod caches;
pub mod content;
mod failure;
mod fetch;
mod includes;
pub mod limits;
pub(crate) mod provider;
mod repository;
mod spec;
mod status;
mod verify;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use api::{Artifact, GitRepository};
use artifact::store::{Store, StoreError};
use git::{Checkout, Connector, Remote};
use identity::Clouds;
use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::watcher::Event;
use net::Deadline;
use runtime::app::App;
use runtime::controller::{Objects, Waker};
use runtime::latest::Latest;
use source::background::Host;
use source::failure::{Failure, Interrupted};
use source::upstream::{self, Build, Built, Fetched, Outcome, Resolved, Verified};
use source::{Controller, Upstream};

use self::build::Recipe;
use self::caches::Caches;
use self::content::Include;
use self::fetch::{Fetcher, Request};
use self::includes::Includers;
use self::limits::{Limits, cache_bytes};
use self::provider::{Providers, Settings};
use self::repository::Repository;
use crate::flags::{Arguments, Budgets};
use crate::helm_chart::wakes::Wakes;
use crate::verified::VerifiedKeys;

/// The kind's name.
pub const KIND: &str = "GitRepository";

/// What all passes over GitRepositories share.
pub struct GitRepositories {
    fetcher: Arc<Fetcher>,
    /// The objects as the watch knows them, and as this process wrote them.
    objects: reflector::Store<GitRepository>,
    latest: Arc<Latest<GitRepository>>,
    includers: Mutex<Includers>,
    waker: Waker<GitRepository>,
    /// Charts in sources.
    charts: Arc<Wakes>,
}

/// Adds the controller of the kind to a process that keeps its artifacts in `storage` and draws on `budgets`. `clouds` give it
/// credentials.
pub fn add(
    app: &mut App<Arguments>,
    storage: &Arc<Store>,
    budgets: &Budgets,
    clouds: &Clouds,
    charts: Arc<Wakes>,
) {
    let (arguments, process, objects) = (&app.arguments, &app.process, Objects::default());
    let options = arguments.controller(arguments.git_host_concurrency, budgets);
    let limits = Limits::new(arguments);
    let memory = limits.memory.budget();
    process.metrics.budget("git_memory_bytes", memory);
    let (git_memory_bytes, memory) = (memory.usage().limit, budget::memory_limit());
    let volume = storage.volume_bytes();
    let git_cache_bytes = cache_bytes(arguments, volume);
    tracing::info!(
        logger = "setup",
        memory,
        git_memory_bytes,
        volume,
        git_cache_bytes,
        "limits of fetches follow the memory of the process and the volume of the storage"
    );
    let fetcher = Fetcher {
        client: process.client.clone(),
        providers: Providers::new(clouds.clone(), arguments.providers()),
        caches: Caches::open(storage.root(), git_cache_bytes),
        connector: Arc::new(Connector::new(arguments.ssh())),
        verified: VerifiedKeys::default(),
        limits,
        max_timeout: arguments.max_timeout,
        stop: process.stop.clone(),
    };
    let (caches, bytes) = (fetcher.caches.clone(), fetcher.caches.clone());
    process.metrics.kept_entries("git_caches", move || caches.sizes().0);
    process.metrics.kept_bytes("git_caches", move || usize::try_from(bytes.sizes().1).unwrap_or(usize::MAX));
    let latest = Arc::new(Latest::new(objects.store()));
    let upstream = GitRepositories {
        fetcher: Arc::new(fetcher),
        objects: objects.store(),
        latest: latest.clone(),
        includers: Mutex::default(),
        waker: objects.waker(),
        charts,
    };
    let controller = Controller::new(process, options, storage.clone(), &objects, latest, Arc::new(upstream));
    let concurrent = arguments.concurrent;
    app.add_controller(objects, Arc::new(controller), concurrent);
}

/// Why passes over an object would refuse its spec, whatever its Secrets hold and its server has.
pub(crate) fn refusals(object: &GitRepository, settings: &Settings) -> Vec<String> {
    let remote = auth::remote(&object.spec.url);
    let provider = remote.as_ref().map_or(Ok(()), |remote| provider::check(object, remote, settings));
    let failures = [remote.map(drop), provider, verify::check(object)].into_iter().filter_map(Result::err);
    failures.map(|failure| failure.message).collect()
}

/// What a spec says and refers to.
#[derive(Clone)]
pub struct References {
    remote: Remote,
    includes: Vec<Include>,
}

impl References {
    fn artifacts(&self) -> Vec<Artifact> {
        self.includes.iter().map(|include| include.artifact.clone()).collect()
    }
}

/// A commit, and the repository that it can be fetched from again if its objects are damaged.
pub struct Content {
    repository: Arc<Repository>,
    checkout: Box<Checkout>,
}

impl GitRepositories {
    fn source(&self, namespace: &str, name: &str) -> Option<Arc<GitRepository>> {
        let watched = self.objects.get(&ObjectRef::new(name).within(namespace))?;
        Some(self.latest.newest(watched))
    }
}

impl Upstream for GitRepositories {
    const KIND: &'static str = KIND;
    const LINK: Option<&'static str> = None;
    type Object = GitRepository;
    type References = References;
    type Content = Content;

    fn begin(&self, object: &mut GitRepository, now: Timestamp) {
        status::verification::forget(object, now);
    }

    fn resolve(&self, object: &mut GitRepository, now: Timestamp) -> Result<Resolved<References>, Failure> {
        let remote = auth::remote(&object.spec.url)?;
        let namespace = object.namespace().unwrap_or_default();
        let includes = includes::resolve(object, |name| self.source(&namespace, name))?;
        let host = upstream::asked_host(remote.host(), &namespace, object.spec.proxy_secret_ref.as_ref());
        let references = References { remote, includes };
        let news = status::includes_changed(object, &references.artifacts(), now);
        status::included(object, now);
        Ok(Resolved { references, host, news })
    }

    fn known_revision(&self, object: &GitRepository, references: &References) -> Option<String> {
        status::observed::known_revision(object, &references.artifacts())
    }

    fn has_changed(&self, object: &GitRepository, references: &References) -> bool {
        status::observed::config_changed(object, &references.artifacts())
    }

    async fn fetch(
        self: Arc<Self>,
        request: upstream::Request<GitRepository, References>,
        host: Host,
    ) -> Result<Fetched<Content>, Interrupted> {
        let upstream::Request { object, references: References { remote, .. }, known, since } = request;
        let request = Request { object, remote, known, since };
        let (repository, found) = self.fetcher.clone().fetch(request, host).await?;
        let outcome = match found.outcome {
            git::Outcome::Unchanged(revision) => Outcome::Unchanged(revision),
            git::Outcome::Checkout(checkout) => {
                let revision = checkout.revision.clone();
                let url = net::redact(repository.remote.url());
                tracing::debug!(url, revision, "git repository checked out");
                let news = news_text(&revision);
                Outcome::New { revision, news, content: Content { repository, checkout } }
            }
        };
        Ok(Fetched { outcome, verified: found.signed })
    }

    fn title(&self, content: &Content) -> String {
        content.checkout.commit.subject.clone()
    }

    fn build(
        &self,
        build: Build<GitRepository, References>,
        content: Content,
        deadline: &Deadline,
    ) -> Result<Built, Failure> {
        let recipe = Recipe {
            ignore: build.object.spec.ignore,
            includes: build.references.includes,
            storage: build.storage,
            limits: self.fetcher.limits.clone(),
        };
        recipe.build(&content.repository, &content.checkout, deadline)
    }

    fn stored(&self, object: &mut GitRepository, references: References) {
        status::stored(object, references.artifacts());
    }

    fn verified(&self, object: &mut GitRepository, verified: &Verified) {
        status::verification::verified(object, &verified.keys);
        self.fetcher.verified.set(ObjectRef::from_obj(object), verified.keys.clone());
    }

    fn stored_text(revision: &str) -> String {
        format!("stored artifact for revision '{revision}'")
    }

    fn announcement(&self, object: &GitRepository, title: Option<&str>) -> String {
        let artifact = object.status.as_ref().and_then(|status| status.artifact.as_ref());
        let revision = || artifact.map(|artifact| artifact.revision.clone()).unwrap_or_default();
        format!("stored artifact for commit '{}'", title.map_or_else(revision, short))
    }

    fn is_revision(artifact: &Artifact, revision: &str) -> bool {
        git::current_revision(&artifact.revision) == revision
    }

    fn labels(object: &GitRepository) -> Vec<(&'static str, String)> {
        vec![("url", net::redact(&object.spec.url))]
    }

    /// Who includes what changed gets a pass, and after a list the object caches go whose sources went while no process was
    /// there to see it.
    fn observe(&self, event: &Event<GitRepository>) {
        self.charts.source(KIND, event);
        let mut includers = self.includers.lock().unwrap_or_else(PoisonError::into_inner);
        for includer in includers.observe(event) {
            self.waker.wake(includer);
        }
        if matches!(event, Event::InitDone) {
            let living: HashSet<String> = includers.sources().map(caches::owner).collect();
            let caches = self.fetcher.caches.clone();
            tokio::task::spawn_blocking(move || {
                if let Err(error) = caches.sweep(|owner| living.contains(owner)) {
                    tracing::warn!(%error, "failed to remove object caches of sources that are gone");
                }
            });
        }
    }

    fn release(&self, source: &ObjectRef<GitRepository>) -> Result<(), StoreError> {
        let path = caches::owner(source);
        let released = self.fetcher.caches.release(&path);
        released.map_err(|source| StoreError::Io { step: "remove object cache of", path, source })
    }

    fn gone(&self, source: &ObjectRef<GitRepository>) {
        self.fetcher.verified.forget(source);
    }
}

/// What the status says of a revision that is not the stored one.
fn news_text(revision: &str) -> String {
    format!("new upstream revision '{revision}'")
}

/// At most 50 characters of a commit's subject.
fn short(subject: &str) -> String {
    match subject.char_indices().nth(50) {
        Some((end, _)) => format!("{}...", subject.get(..end).unwrap_or_default()),
        None => subject.to_owned(),
    }
}
