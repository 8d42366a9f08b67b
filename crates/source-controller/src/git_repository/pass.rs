//! One pass over one object: the steps, and when the status is written.

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::git_repository::GitRepositoryInclude;
use api::meta::FINALIZER;
use api::{Artifact, GitRepository, GitRepositoryStatus};
use artifact::store::StoreError;
use git::{Budget, Commit, Outcome, Proxy, Reference};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource, ResourceExt};
use runtime::backoff::jitter;
use runtime::controller;
use runtime::events::{Event, Severity};
use runtime::patch::{self, PatchError};

use super::auth::{SecretData, api_error, checkout_failed};
use super::build::{Built, Fetched, Recipe, Upstream};
use super::caches::InUse;
use super::content::Include;
use super::failure::{Class, Failure};
use super::provider::Ask;
use super::status::End;
use super::storage::{Shelf, Verdict, status_artifact};
use super::verify::Verification;
use super::{GitRepositories, auth, caches, status};
use crate::NAME;
use crate::blocking::{self, BlockingError};

/// How old an answer may be that a poll takes from another source; a tenth of the interval if that is less.
const FRESH: Duration = Duration::from_secs(2);

/// What a fetch was begun with. One with other inputs is not worth waiting for.
#[derive(PartialEq, Eq)]
pub struct Inputs {
    uid: Option<String>,
    generation: Option<i64>,
    requested: Option<String>,
    known: Option<String>,
    /// Stands for URL and credentials.
    cache: String,
}

/// What a fetch gave, and with what it began.
pub type FetchDone = (Arc<Upstream>, Result<Result<Fetched, Failure>, BlockingError>);

/// One pass over one object.
pub struct Pass<'a> {
    controller: &'a GitRepositories,
    api: Api<GitRepository>,
    shelf: Shelf,
    /// The object as the API server has it.
    before: GitRepository,
    /// The object as it will be written.
    object: GitRepository,
}

impl<'a> Pass<'a> {
    /// A pass over the object as it was last seen.
    pub fn new(controller: &'a GitRepositories, object: &GitRepository) -> Self {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        Pass {
            controller,
            api: Api::namespaced(controller.client.clone(), &namespace),
            shelf: Shelf::new(controller.storage.clone(), &namespace, &name),
            before: object.clone(),
            object: object.clone(),
        }
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
        let before = self.object.status.clone().unwrap_or_default();
        let end = if self.object.spec.suspend {
            tracing::info!("reconciliation is suspended for this object");
            End::Suspended
        } else {
            match self.work().await {
                Ok(commit) => {
                    self.announce(&before, commit.as_ref());
                    End::Success
                }
                Err(Broken::Failure(failure)) => End::Failed(failure),
                Err(Broken::Patch(error)) => return Err(error),
                Err(Broken::Stopped) => return Ok(controller::Outcome::Wait),
                Err(Broken::Underway) => return Ok(controller::Outcome::Underway),
            }
        };
        self.finish(end).await
    }

    /// The steps of a pass; gives the commit if it had to be read.
    async fn work(&mut self) -> Result<Option<Commit>, Broken> {
        let mut news = status::begin(&mut self.object, Timestamp::now());
        if !self.check_storage().await? {
            news = true;
        }
        if news {
            self.write().await?;
        }
        status::verification::forget(&mut self.object, Timestamp::now());
        let upstream = Arc::new(self.upstream().await?);
        let recipe = Recipe { ignore: self.object.spec.ignore.clone(), includes: self.includes()? };
        let included: Vec<Artifact> = recipe.includes.iter().map(|i| i.artifact.clone()).collect();
        if status::includes_changed(&mut self.object, &included, Timestamp::now()) {
            self.write().await?;
        }
        status::included(&mut self.object, Timestamp::now());
        let known =
            status::content::known_revision(&self.object, &included).filter(|_| self.is_verified(&upstream));
        let (upstream, Fetched { outcome, verified }) = self.fetch(upstream, known).await?;
        status::fetched(&mut self.object, Timestamp::now());
        self.note_verified(&upstream, verified);
        let checkout = match outcome {
            Outcome::Unchanged(revision) => {
                tracing::debug!("no changes since last reconciliation: observed revision '{revision}'");
                status::up_to_date(&mut self.object, &revision, Timestamp::now());
                return Ok(None);
            }
            Outcome::Checkout(checkout) => checkout,
        };
        let (mut revision, commit) = (checkout.revision.clone(), checkout.commit.clone());
        tracing::debug!(url = upstream.remote.url(), revision, "git repository checked out");
        let moved =
            self.artifact().is_none_or(|artifact| git::current_revision(&artifact.revision) != revision);
        if moved {
            status::new_revision(&mut self.object, &revision, Timestamp::now());
            self.write().await?;
        }
        if moved || status::content::config_changed(&self.object, &included) {
            let (connector, source) = (self.controller.connector.clone(), upstream.clone());
            let built = self.blocking(Some(self.controller.limits.build_time), move |budget| {
                source.build(&connector, &checkout, &recipe, budget)
            });
            let Built { artifact, verified } = built.await?;
            self.note_verified(&upstream, verified);
            let artifact = status_artifact(artifact);
            // Later than the one above if the cache had to be fetched anew.
            revision.clone_from(&artifact.revision);
            status::stored(&mut self.object, artifact, included);
        }
        status::up_to_date(&mut self.object, &revision, Timestamp::now());
        Ok(Some(commit))
    }

    /// Fetches, or takes what a fetch of an earlier pass gave; gives the upstream with which it began.
    async fn fetch(
        &self,
        upstream: Arc<Upstream>,
        known: Option<String>,
    ) -> Result<(Arc<Upstream>, Fetched), Broken> {
        let (timeout, stop) = (self.timeout(), self.controller.stop.clone());
        let inputs = Inputs {
            uid: self.object.metadata.uid.clone(),
            generation: self.object.metadata.generation,
            requested: status::request(&self.object),
            known: known.clone(),
            cache: upstream.cache.name(),
        };
        let (server, connector) = (upstream.remote.server(), self.controller.connector.clone());
        let fetch = || async move {
            let source = upstream.clone();
            let work = move |budget: &Budget| source.fetch(&connector, known.as_deref(), budget);
            let done = blocking::run(Budget::new(timeout), Some(timeout), &stop, work).await;
            (upstream, done)
        };
        let done = self.controller.fetches.fetch(&self.source(), inputs, &server, fetch).await;
        let (upstream, done) = done.ok_or(Broken::Underway)?;
        Ok((upstream, done??))
    }

    /// Collects garbage and looks whether the artifact of the status is still there, unharmed. `false` without one.
    async fn check_storage(&mut self) -> Result<bool, Broken> {
        let Some(mut artifact) = self.artifact().cloned() else {
            status::artifact_missing(&mut self.object, false, Timestamp::now());
            return Ok(false);
        };
        let (shelf, current) = (self.shelf.clone(), artifact.clone());
        let (removed, verdict) = self.blocking(None, move |_| Ok(shelf.inspect(&current))).await?;
        if removed > 0 {
            let message = format!("garbage collected {removed} artifacts");
            self.record(Severity::Trace, "GarbageCollectionSucceeded", message);
        }
        match verdict {
            Verdict::Good => {
                artifact.url = self.shelf.store.url(&artifact.path);
                self.object.status.get_or_insert_default().artifact = Some(artifact);
                return Ok(true);
            }
            Verdict::Damaged(why, removed) => {
                let message = format!("failed to verify integrity of artifact: {why}");
                tracing::warn!("{message}");
                self.record(Severity::Error, "ArtifactVerificationFailed", message);
                removed.map_err(|error| {
                    let text = runtime::error::chain(&error);
                    Failure::plain(
                        "Failed",
                        format!("failed to remove artifact after digest mismatch: {text}"),
                    )
                })?;
            }
            Verdict::Unknown(error) => {
                let why = runtime::error::chain(&error);
                let message = format!("failed to verify integrity of artifact: {why}");
                return Err(Failure::storage("StatOperationFailed", message).into());
            }
            Verdict::Missing => {}
        }
        status::artifact_missing(&mut self.object, true, Timestamp::now());
        Ok(false)
    }

    /// The upstream that the spec describes, with the credentials of its Secret.
    async fn upstream(&self) -> Result<Upstream, Broken> {
        let spec = &self.object.spec;
        let proxy = match &spec.proxy_secret_ref {
            Some(reference) => Some(self.proxy(&reference.name).await?),
            None => None,
        };
        let mut remote = auth::remote(&spec.url)?;
        let (secret, data) = match &spec.secret_ref {
            Some(reference) => (self.full_name(&reference.name), self.credentials(&reference.name).await?),
            None => Default::default(),
        };
        remote = auth::authenticate(remote, &secret, &data)?;
        if let Some(proxy) = proxy {
            remote = remote.with_proxy(proxy);
        }
        let ask = Ask { object: &self.object, secret: &secret, data: &data, timeout: self.timeout() };
        remote = self.controller.providers.authenticate(remote, &ask).await?;
        let (shelf, limits) = (self.shelf.clone(), self.controller.limits.clone());
        let cache = self.cache(&data).await?;
        let since = self.since();
        let (sparse, submodules) = (spec.sparse_checkout.clone(), spec.recurse_submodules);
        let verification = self.verification().await;
        let reference = reference(&self.object);
        Ok(Upstream { remote, reference, sparse, submodules, cache, since, verification, shelf, limits })
    }

    /// The object cache, shared with all who have the same URL and the same credentials.
    async fn cache(&self, secret: &SecretData) -> Result<InUse, Broken> {
        let (caches, owner) = (self.controller.caches.clone(), caches::owner(&self.source()));
        let identity = auth::identity(&self.object, secret);
        let claim = move |_: &Budget| {
            let parts: Vec<&[u8]> = identity.iter().map(Vec::as_slice).collect();
            caches.claim(&owner, &parts).map_err(|error| checkout_failed(&error.into()))
        };
        self.blocking(None, claim).await
    }

    fn source(&self) -> ObjectRef<GitRepository> {
        ObjectRef::from_obj(&self.object)
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

    /// What `spec.verify` asks for, with the keys as they are now.
    async fn verification(&self) -> Option<Result<Verification, Failure>> {
        let wanted = self.object.spec.verification.as_ref()?;
        let secret = self.secret(&wanted.secret_ref.name).await.map_err(|error| {
            let message = format!("public keys secret error: {}", api_error(&error));
            Failure::verification("VerificationError", message)
        });
        let limits = self.controller.limits.verification.clone();
        Some(secret.map(|secret| Verification::new(wanted.mode, &secret, limits)))
    }

    /// Whether nothing has to be verified, or not again because the keys are those of the last time.
    fn is_verified(&self, upstream: &Upstream) -> bool {
        match &upstream.verification {
            None => true,
            Some(Err(_)) => false,
            Some(Ok(verification)) => {
                self.controller.verified.is_current(&ObjectRef::from_obj(&self.object), verification)
            }
        }
    }

    fn note_verified(&mut self, upstream: &Upstream, message: Option<String>) {
        let (Some(message), Some(Ok(verification))) = (message, &upstream.verification) else { return };
        status::verification::verified(&mut self.object, &message, Timestamp::now());
        tracing::info!("{message}");
        self.record(Severity::Trace, "Succeeded", message);
        let object = ObjectRef::from_obj(&self.object);
        self.controller.verified.set(object, verification.version.clone());
    }

    /// What the spec includes, in its order. Whether the sources are ready does not matter, only what they have.
    fn includes(&self) -> Result<Vec<Include>, Failure> {
        let namespace = self.object.namespace().unwrap_or_default();
        let include = |include: &GitRepositoryInclude| {
            let name = include.repository.name.clone();
            let source = self.controller.source(&namespace, &name).ok_or_else(|| {
                let missing = format!("GitRepository.source.toolkit.fluxcd.io \"{name}\" not found");
                Failure::include(
                    "NotFound",
                    format!("could not get resource for include '{name}': {missing}"),
                )
            })?;
            let artifact =
                source.status.as_ref().and_then(|status| status.artifact.clone()).ok_or_else(|| {
                    Failure::include("NoArtifact", format!("no artifact available for include '{name}'"))
                })?;
            let (from, to) = (include.from_path.clone(), include.target().to_owned());
            Ok(Include { name, from, to, artifact })
        };
        self.object.spec.include.iter().map(include).collect()
    }

    /// The credentials that `spec.secretRef` names.
    async fn credentials(&self, name: &str) -> Result<SecretData, Failure> {
        let secret = self.secret(name).await.map_err(|error| {
            let (full, why) = (self.full_name(name), api_error(&error));
            // Upstream says it twice, and people search for it.
            let message = format!("failed to get secret '{full}': failed to get secret '{full}': {why}");
            Failure::fetch("AuthenticationFailed", message)
        })?;
        Ok(secret.data.unwrap_or_default())
    }

    /// The proxy that `spec.proxySecretRef` names.
    async fn proxy(&self, name: &str) -> Result<Proxy, Failure> {
        let full = self.full_name(name);
        let secret = self.secret(name).await.map_err(|error| match &error {
            kube::Error::Api(status) if status.code == 404 => format!("secret '{full}' not found"),
            _ => format!("failed to get secret '{full}': {}", api_error(&error)),
        });
        let proxy = secret.and_then(|secret| auth::proxy(&full, &secret.data.unwrap_or_default()));
        proxy.map_err(|why| {
            Failure::fetch("AuthenticationFailed", format!("failed to configure proxy options: {why}"))
        })
    }

    async fn secret(&self, name: &str) -> kube::Result<Secret> {
        let namespace = self.object.namespace().unwrap_or_default();
        Api::<Secret>::namespaced(self.controller.client.clone(), &namespace).get(name).await
    }

    /// `<namespace>/<name>` of a Secret of this object.
    fn full_name(&self, name: &str) -> String {
        format!("{}/{name}", self.object.namespace().unwrap_or_default())
    }

    /// Writes the status as it is in memory.
    async fn write(&mut self) -> Result<(), Broken> {
        match patch::status(&self.api, &self.before, &self.object, &status::owned(), NAME).await {
            Ok(written) => {
                self.adopt(written);
                Ok(())
            }
            Err(error) if error.is_gone() => Err(Broken::Patch(error)),
            Err(error) => Err(Failure::plain("PatchOperationFailed", runtime::error::chain(&error)).into()),
        }
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

    /// Tells of new content, or of the end of a failure.
    fn announce(&self, before: &GitRepositoryStatus, commit: Option<&Commit>) {
        let Some(after) = &self.object.status else { return };
        let (Some(reason), Some(artifact)) = (status::news(before, after), &after.artifact) else { return };
        let what = commit.map_or_else(|| artifact.revision.clone(), |commit| short(&commit.subject));
        let message = format!("stored artifact for commit '{what}'");
        tracing::info!("{message}");
        let group = GitRepository::group(&());
        let event = Event::new(&self.object, Severity::Info, reason, message)
            .with(&format!("{group}/revision"), &artifact.revision)
            .with(&format!("{group}/digest"), &artifact.digest);
        self.controller.events.record(event);
    }

    async fn finish(&mut self, end: End) -> Result<controller::Outcome, PatchError> {
        if let End::Failed(failure) = &end {
            let severity = if failure.class == Class::Waiting { Severity::Trace } else { Severity::Error };
            self.record(severity, failure.reason, failure.message.clone());
            let (error, reason) = (&failure.message, failure.reason);
            match failure.class {
                Class::Stalling => tracing::error!(error, reason, "reconciliation stalled"),
                Class::Waiting => tracing::info!(error, reason, "reconciliation waiting"),
                Class::Generic => {}
            }
        }
        status::end(&mut self.object, &end, Timestamp::now());
        let written = patch::status(&self.api, &self.before, &self.object, &status::owned(), NAME).await?;
        self.adopt(written);
        let status = self.object.status.clone().unwrap_or_default();
        Ok(match end {
            End::Suspended => controller::Outcome::Wait,
            End::Failed(failure) => match failure.class {
                Class::Generic => controller::Outcome::Failed(Box::new(failure)),
                Class::Waiting => controller::Outcome::After(self.controller.requeue_dependency),
                Class::Stalling => controller::Outcome::Wait,
            },
            End::Success => match status::unready(&status) {
                Some(message) => controller::Outcome::Failed(message.into()),
                None => self.next(),
            },
        })
    }

    /// Runs blocking work; what it does over the network ends with `spec.timeout`, and with `limit` everything does.
    async fn blocking<T: Send + 'static>(
        &self,
        limit: Option<Duration>,
        work: impl FnOnce(&Budget) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Broken> {
        let budget = Budget::new(self.timeout());
        Ok(blocking::run(budget, limit, &self.controller.stop, work).await??)
    }

    /// When the upstream is looked at again; an interval of zero means never.
    fn next(&self) -> controller::Outcome {
        match self.object.spec.interval.parse() {
            Ok(Duration::ZERO) => controller::Outcome::Wait,
            Ok(interval) => controller::Outcome::After(jitter(interval, self.controller.jitter)),
            Err(error) => controller::Outcome::Failed(Box::new(error)),
        }
    }

    async fn delete(&mut self) -> Result<controller::Outcome, PatchError> {
        if !self.object.finalizers().iter().any(|f| f == FINALIZER) {
            return Ok(controller::Outcome::Wait);
        }
        self.controller.fetches.forget(&self.source());
        let (shelf, caches, owner) =
            (self.shelf.clone(), self.controller.caches.clone(), caches::owner(&self.source()));
        let cleaned = self.blocking(None, move |_| {
            let failed =
                |source| StoreError::Io { step: "remove object cache of", path: owner.clone(), source };
            let released = caches.release(&owner).map_err(failed);
            released.and_then(|()| shelf.clear()).map_err(|error| {
                let why = runtime::error::chain(&error);
                let message = format!("garbage collection for deleted resource failed: {why}");
                Failure::plain("GarbageCollectionFailed", message)
            })
        });
        match cleaned.await {
            Ok(true) => {
                let message = "garbage collected artifacts for deleted resource";
                self.record(Severity::Trace, "GarbageCollectionSucceeded", message);
            }
            Ok(false) => {}
            Err(Broken::Failure(failure)) => {
                self.record(Severity::Error, failure.reason, failure.message.clone());
                return Ok(controller::Outcome::Failed(Box::new(failure)));
            }
            Err(Broken::Patch(error)) => return Err(error),
            Err(Broken::Stopped | Broken::Underway) => return Ok(controller::Outcome::Wait),
        }
        match patch::finalizer(&self.api, &self.object, FINALIZER, false, NAME).await {
            Err(error) if !error.is_gone() => Err(error),
            _ => Ok(controller::Outcome::Wait),
        }
    }

    fn record(&self, severity: Severity, reason: &str, message: impl Into<String>) {
        self.controller.events.record(Event::new(&self.object, severity, reason, message));
    }

    fn artifact(&self) -> Option<&Artifact> {
        self.object.status.as_ref()?.artifact.as_ref()
    }

    /// `spec.timeout`; what is no duration, or none at all, counts as the default of 60s.
    fn timeout(&self) -> Duration {
        self.object.spec.timeout.parse().ok().filter(|t| !t.is_zero()).unwrap_or(Duration::from_secs(60))
    }
}

/// Why a pass could not go on.
enum Broken {
    /// A step failed; the status will say so.
    Failure(Failure),
    /// The object is gone; there is no status any more.
    Patch(PatchError),
    /// The process ends; the next one does it again.
    Stopped,
    /// The upstream lets us wait; the object is woken when it has answered.
    Underway,
}

impl From<BlockingError> for Broken {
    fn from(error: BlockingError) -> Self {
        match error {
            BlockingError::Stopped => Broken::Stopped,
            BlockingError::Panicked(_) => Failure::plain("Failed", runtime::error::chain(&error)).into(),
        }
    }
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Broken::Failure(failure)
    }
}

fn reference(object: &GitRepository) -> Reference {
    let wanted = object.spec.reference.clone().unwrap_or_default();
    Reference {
        branch: wanted.branch,
        tag: wanted.tag,
        semver: wanted.semver,
        name: wanted.name,
        commit: wanted.commit,
    }
}

/// At most 50 characters of a commit's subject.
fn short(subject: &str) -> String {
    match subject.char_indices().nth(50) {
        Some((end, _)) => format!("{}...", subject.get(..end).unwrap_or_default()),
        None => subject.to_owned(),
    }
}
