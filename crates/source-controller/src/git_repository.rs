//! The GitRepository controller: one pass brings one object's artifact up to date with its upstream.
//!
//! A pass works on a copy of the object in memory and writes the status at most three times: when there is news at its
//! start, when the upstream turns out to have moved, and at its end. A poll that finds nothing new writes nothing.

mod auth;
mod build;
mod failure;
mod status;

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::meta::{FINALIZER, RECONCILE_REQUEST_ANNOTATION};
use api::{Artifact, GitRepository, GitRepositoryStatus};
use artifact::digest::Digest;
use artifact::store::{self, Store, StoreError};
use git::{Budget, Cache, Commit, Connector, Outcome, Reference, Remote};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Client, Resource, ResourceExt};
use runtime::backoff::jitter;
use runtime::controller::{self, Reconcile};
use runtime::events::{Event, Recorder, Severity};
use runtime::metrics::Metrics;
use runtime::patch::{self, PatchError};
use runtime::process::Process;

use self::build::{Upstream, cache_dir};
use self::failure::{Class, Failure};
use self::status::End;
use crate::NAME;
use crate::flags::Arguments;
use crate::latest::Latest;

const KIND: &str = "GitRepository";

/// What moves when an object asks for a pass: its spec, the request annotation, its deletion.
pub fn fingerprint(object: &GitRepository) -> u64 {
    let mut hasher = DefaultHasher::new();
    object.metadata.generation.hash(&mut hasher);
    object.annotations().get(RECONCILE_REQUEST_ANNOTATION).hash(&mut hasher);
    object.metadata.deletion_timestamp.is_some().hash(&mut hasher);
    hasher.finish()
}

/// The controller.
pub struct GitRepositories {
    client: Client,
    events: Recorder,
    metrics: Metrics,
    storage: Arc<Store>,
    connector: Arc<Connector>,
    limits: git::Limits,
    jitter: u8,
    latest: Latest<GitRepository>,
}

impl GitRepositories {
    /// A controller of `process` that keeps its artifacts in `storage`.
    pub fn new(process: &Process, flags: &Arguments, storage: Arc<Store>) -> Self {
        GitRepositories {
            client: process.client.clone(),
            events: process.events.clone(),
            metrics: process.metrics.clone(),
            storage,
            connector: Arc::default(),
            limits: git::Limits::default(),
            jitter: flags.shared.interval_jitter_percentage,
            latest: Latest::default(),
        }
    }
}

impl Reconcile<GitRepository> for GitRepositories {
    async fn reconcile(&self, object: Arc<GitRepository>) -> controller::Outcome {
        let started = Instant::now();
        let object = self.latest.newest(object);
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let mut pass = Pass {
            controller: self,
            api: Api::namespaced(self.client.clone(), &namespace),
            before: GitRepository::clone(&object),
            object: GitRepository::clone(&object),
            namespace,
            name,
        };
        let outcome = pass.run().await;
        if object.metadata.deletion_timestamp.is_none() {
            self.metrics.ran(KIND, &pass.namespace, &pass.name, started.elapsed());
        }
        match outcome {
            Ok(outcome) => outcome,
            Err(error) if error.is_gone() => controller::Outcome::Wait,
            Err(error) => controller::Outcome::Failed(Box::new(error)),
        }
    }

    fn gone(&self, object: &ObjectRef<GitRepository>) {
        self.latest.forget(object);
    }
}

/// One pass over one object.
struct Pass<'a> {
    controller: &'a GitRepositories,
    api: Api<GitRepository>,
    /// The object as the API server has it.
    before: GitRepository,
    /// The object as it will be written.
    object: GitRepository,
    namespace: String,
    name: String,
}

impl Pass<'_> {
    async fn run(&mut self) -> Result<controller::Outcome, PatchError> {
        if self.object.metadata.deletion_timestamp.is_some() {
            return self.delete().await;
        }
        if !self.object.finalizers().iter().any(|f| f == FINALIZER) {
            let written = patch::finalizer(&self.api, &self.object, FINALIZER, true, NAME).await?;
            self.adopt(written);
        }
        let before = self.object.status.clone().unwrap_or_default();
        let mut subject = None;
        let end = if self.object.spec.suspend {
            tracing::info!("reconciliation is suspended for this object");
            End::Suspended
        } else {
            match self.work(&mut subject).await {
                Ok(()) => End::Success,
                Err(Broken::Failure(failure)) => End::Failed(failure),
                Err(Broken::Patch(error)) => return Err(error),
            }
        };
        if matches!(end, End::Success) {
            self.announce(&before, subject.as_ref());
        }
        self.finish(end).await
    }

    /// The steps of a pass; the commit is given when it was read.
    async fn work(&mut self, commit: &mut Option<Commit>) -> Result<(), Broken> {
        let mut news = status::begin(&mut self.object, Timestamp::now());
        if !self.check_storage().await? {
            news = true;
        }
        if news {
            self.write().await?;
        }
        status::forget_failed_verification(&mut self.object, Timestamp::now());
        let upstream = Arc::new(self.upstream().await?);
        let known = status::known_revision(&self.object);
        let (timeout, connector) = (self.timeout(), self.controller.connector.clone());
        let source = upstream.clone();
        let looked =
            blocking(timeout, move |budget| source.look(&connector, known.as_deref(), budget)).await?;
        let checkout = match looked {
            Outcome::Unchanged(revision) => {
                tracing::debug!("no changes since last reconciliation: observed revision '{revision}'");
                status::up_to_date(&mut self.object, &revision, Timestamp::now());
                return Ok(());
            }
            Outcome::Checkout(checkout) => checkout,
        };
        let revision = checkout.revision.clone();
        *commit = Some(checkout.commit.clone());
        tracing::debug!(url = upstream.remote.url(), revision, "git repository checked out");
        let moved =
            self.artifact().is_none_or(|artifact| git::current_revision(&artifact.revision) != revision);
        if moved {
            status::new_revision(&mut self.object, &revision, Timestamp::now());
            self.write().await?;
        }
        if moved || status::content_config_changed(&self.object) {
            let path = store::artifact_path(
                KIND,
                &self.namespace,
                &self.name,
                &format!("{}.tar.gz", checkout.commit.id),
            );
            let ignore = self.object.spec.ignore.clone();
            let (storage, connector) = (self.controller.storage.clone(), self.controller.connector.clone());
            let stored = blocking(timeout, move |budget| {
                upstream.build(&connector, &checkout, (&storage, &path), ignore.as_deref(), budget)
            });
            let artifact = api_artifact(stored.await?);
            status::stored(&mut self.object, artifact);
        }
        status::up_to_date(&mut self.object, &revision, Timestamp::now());
        Ok(())
    }

    /// Collects garbage and looks whether the artifact of the status is still there, unharmed. `false` without one.
    async fn check_storage(&mut self) -> Result<bool, Broken> {
        let Some(mut artifact) = self.artifact().cloned() else {
            status::artifact_missing(&mut self.object, false, Timestamp::now());
            return Ok(false);
        };
        // A status can be edited: never look at, or remove, what belongs to another object.
        let ours = artifact
            .path
            .starts_with(&format!("{}/", store::artifact_dir(KIND, &self.namespace, &self.name)));
        let (storage, looked_at) = (self.controller.storage.clone(), artifact.clone());
        let checked = run_blocking(move || {
            // What cannot be collected now will be the next time.
            let removed = storage.collect_garbage(&looked_at.path).unwrap_or_default().len();
            (removed, verify(&storage, &looked_at))
        });
        let (removed, verdict) = if ours { checked.await? } else { (0, Verdict::Missing) };
        if removed > 0 {
            let message = format!("garbage collected {removed} artifacts");
            self.record(Severity::Trace, "GarbageCollectionSucceeded", message);
        }
        match verdict {
            Verdict::Good => {
                artifact.url = self.controller.storage.url(&artifact.path);
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
            Verdict::Missing => {}
        }
        status::artifact_missing(&mut self.object, true, Timestamp::now());
        Ok(false)
    }

    /// The upstream that the spec describes, with the credentials of its Secret.
    async fn upstream(&self) -> Result<Upstream, Failure> {
        if let Some(unsupported) = auth::unsupported(&self.object) {
            return Err(unsupported);
        }
        let mut remote = auth::remote(&self.object.spec.url)?;
        if let Some(reference) = &self.object.spec.secret_ref {
            remote = self.authenticated(remote, &reference.name).await?;
        }
        let root = self.controller.storage.root();
        Ok(Upstream {
            remote,
            reference: reference(&self.object),
            cache: Cache::new(cache_dir(root, &self.namespace, &self.name), self.controller.limits.clone()),
        })
    }

    async fn authenticated(&self, remote: Remote, secret: &str) -> Result<Remote, Failure> {
        let name = format!("{}/{secret}", self.namespace);
        let secrets: Api<Secret> = Api::namespaced(self.controller.client.clone(), &self.namespace);
        let secret = secrets.get(secret).await.map_err(|error| {
            let why = match &error {
                kube::Error::Api(status) => status.message.clone(),
                other => runtime::error::chain(other),
            };
            // Upstream says it twice, and people search for it.
            let message = format!("failed to get secret '{name}': failed to get secret '{name}': {why}");
            Failure::fetch("AuthenticationFailed", message)
        })?;
        auth::authenticate(remote, &name, &secret.data.unwrap_or_default())
    }

    /// Writes the status as it is in memory.
    async fn write(&mut self) -> Result<(), Broken> {
        match patch::status(&self.api, &self.before, &self.object, &status::OWNED, NAME).await {
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
            self.record(Severity::Error, failure.reason, failure.message.clone());
            if failure.class == Class::Stalling {
                tracing::error!(error = failure.message, reason = failure.reason, "reconciliation stalled");
            }
        }
        status::end(&mut self.object, &end, Timestamp::now());
        let written = patch::status(&self.api, &self.before, &self.object, &status::OWNED, NAME).await?;
        self.adopt(written);
        let status = self.object.status.clone().unwrap_or_default();
        Ok(match end {
            End::Suspended => controller::Outcome::Wait,
            End::Failed(failure) if failure.class == Class::Stalling => controller::Outcome::Wait,
            End::Failed(failure) => controller::Outcome::Failed(Box::new(failure)),
            End::Success => match status::unready(&status) {
                Some(message) => controller::Outcome::Failed(message.into()),
                None => self.next(),
            },
        })
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
        let directory = store::artifact_dir(KIND, &self.namespace, &self.name);
        let cache = cache_dir(self.controller.storage.root(), &self.namespace, &self.name);
        let storage = self.controller.storage.clone();
        let cleaned = run_blocking(move || {
            let removed = storage.remove_all(&directory)?;
            Cache::new(cache, git::Limits::default()).clear().map_err(|source| StoreError::Io {
                step: "remove object cache",
                path: directory,
                source,
            })?;
            Ok::<_, StoreError>(removed)
        });
        let failed = match cleaned.await {
            Ok(Ok(removed)) => {
                if removed {
                    let message = "garbage collected artifacts for deleted resource";
                    self.record(Severity::Trace, "GarbageCollectionSucceeded", message);
                }
                None
            }
            Ok(Err(error)) => Some(runtime::error::chain(&error)),
            Err(failure) => Some(failure.message),
        };
        if let Some(why) = failed {
            let message = format!("garbage collection for deleted resource failed: {why}");
            self.record(Severity::Error, "GarbageCollectionFailed", message.clone());
            return Ok(controller::Outcome::Failed(message.into()));
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
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Broken::Failure(failure)
    }
}

/// What became of a stored artifact.
enum Verdict {
    Good,
    Missing,
    /// Why, and whether it could be removed.
    Damaged(String, Result<(), StoreError>),
}

fn verify(storage: &Store, artifact: &Artifact) -> Verdict {
    let damaged = |why: String| Verdict::Damaged(why, storage.remove(&artifact.path));
    let digest = match artifact.digest.as_str() {
        "" => return damaged("artifact has no digest".to_owned()),
        text => match text.parse::<Digest>() {
            Ok(digest) => digest,
            Err(error) => return damaged(error.to_string()),
        },
    };
    match storage.verify(&artifact.path, &digest) {
        Ok(()) => Verdict::Good,
        Err(StoreError::Missing(_)) => Verdict::Missing,
        Err(error) => damaged(runtime::error::chain(&error)),
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

fn api_artifact(stored: store::Artifact) -> Artifact {
    Artifact {
        digest: stored.digest.to_string(),
        last_update_time: runtime::conditions::rfc3339(stored.last_update_time),
        path: stored.path,
        revision: stored.revision,
        size: i64::try_from(stored.size).ok(),
        url: stored.url,
        ..Artifact::default()
    }
}

/// At most 50 characters of a commit's subject.
fn short(subject: &str) -> String {
    match subject.char_indices().nth(50) {
        Some((end, _)) => format!("{}...", subject.get(..end).unwrap_or_default()),
        None => subject.to_owned(),
    }
}

/// Ends blocking work when nobody waits for it any more.
struct CancelOnDrop(Budget);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Runs blocking work that keeps to a budget.
async fn blocking<T: Send + 'static>(
    timeout: Duration,
    work: impl FnOnce(&Budget) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let budget = Budget::new(timeout);
    let _guard = CancelOnDrop(budget.clone());
    run_blocking(move || work(&budget)).await?
}

async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Failure::plain("Failed", format!("blocking work ended early: {error}")))
}
