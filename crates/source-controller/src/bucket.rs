//! Bucket: the objects of a bucket as a source. See [`source::Upstream`] for the order of the steps.
//!
//! A poll lists the bucket and nothing else. Of a bucket that has changed only those objects are fetched whose key and etag are
//! not in the last artifact; the others are copied from there.

mod access;
mod build;
mod fetch;
mod index;
mod layout;
mod snapshot;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use api::bucket::BucketStatus;
use api::source::Source;
use api::{Artifact, Bucket};
use artifact::digest::{Algorithm, Digest};
use artifact::ignore;
use artifact::store::Store;
use bucket::s3::Regions;
use budget::{Budget, Grant};
use identity::Clouds;
use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::watcher::Event;
use net::Deadline;
use runtime::app::App;
use runtime::conditions::find;
use runtime::controller::Objects;
use runtime::latest::Latest;
use source::background::Host;
use source::failure::condition::ARTIFACT_IN_STORAGE;
use source::failure::{Failure, Interrupted};
use source::storage::ObjectStorage;
use source::temporary::Room;
use source::upstream::{Build, Built, Fetched, Outcome, Request, Resolved, asked_host};
use source::{Controller, Upstream, blocking, timeout};
use tokio_util::sync::CancellationToken;

use self::access::{Clients, Endpoint};
use self::build::Recipe;
use self::fetch::{Space, bucket_failure};
use self::index::Index;
use self::snapshot::Snapshot;
use crate::flags::{Arguments, Budgets};
use crate::helm_chart::wakes::Wakes;

/// The kind's name.
pub const KIND: &str = "Bucket";

/// What all passes over Buckets share.
pub struct Buckets {
    clients: Clients,
    storage: Arc<Store>,
    algorithm: Algorithm,
    /// Room for objects that were fetched and are not in an artifact yet.
    temporary: Room,
    /// Bytes of memory that lists may take.
    memory: Budget,
    ignore: ignore::Limits,
    /// The longest `spec.timeout` that counts.
    max_timeout: Duration,
    stop: CancellationToken,
    /// Charts that are made from the sources.
    charts: Arc<Wakes>,
}

/// What an artifact is made of, and what it holds for as long as it is.
pub struct Content {
    recipe: Recipe,
    _grants: Vec<Grant>,
}

/// The last artifact, and what it was made of.
struct Last {
    path: String,
    file: std::fs::File,
    snapshot: Snapshot,
}

/// Adds the controller of the kind to a process that keeps its artifacts in `storage`, draws on `budgets` and asks `clouds` for keys.
pub fn add(
    app: &mut App<Arguments>,
    storage: &Arc<Store>,
    budgets: &Budgets,
    clouds: Clouds,
    charts: Arc<Wakes>,
) {
    let (arguments, process, objects) = (&app.arguments, &app.process, Objects::default());
    let options = arguments.controller(arguments.bucket_host_concurrency, budgets);
    let limits = bucket::Limits {
        objects: arguments.bucket_max_objects,
        object_bytes: arguments.bucket_object_max_size,
        ..bucket::Limits::default()
    };
    let default_account = arguments.providers().default_account;
    let clients = Clients { clouds, default_account, regions: Arc::new(Regions::default()), limits };
    let upstream = Buckets {
        clients,
        storage: storage.clone(),
        algorithm: arguments.storage.artifact_digest_algo,
        temporary: Room::new(arguments.bucket_temporary_max_size),
        memory: Budget::new(arguments.bucket_memory_limits()),
        ignore: ignore::Limits::default(),
        max_timeout: arguments.max_timeout,
        stop: process.stop.clone(),
        charts,
    };
    process.metrics.budget("bucket_bytes", upstream.temporary.budget());
    process.metrics.budget("bucket_memory_bytes", &upstream.memory);
    let latest = Arc::new(Latest::new(objects.store()));
    let controller = Controller::new(process, options, storage.clone(), &objects, latest, Arc::new(upstream));
    let concurrent = arguments.concurrent;
    app.add_controller(objects, Arc::new(controller), concurrent);
}

/// Why passes over an object would refuse its spec, whatever its Secrets hold and its bucket has.
pub fn refusals(object: &Bucket) -> Vec<String> {
    let failures = [access::check(object), access::endpoint(object, None).map(drop)].into_iter();
    failures.filter_map(Result::err).map(|failure| failure.message).collect()
}

/// Nobody says whether there is such a bucket.
fn not_confirmed(object: &Bucket, why: &dyn Display) -> Failure {
    bucket_failure(format!("failed to confirm existence of '{}' bucket: {why}", object.spec.bucket_name))
}

impl Buckets {
    /// What can be taken over of the last artifact, if it was made of this bucket.
    async fn last(&self, object: &Bucket, origin: &str) -> Result<Option<Last>, Interrupted> {
        let Some(artifact) = object.artifact().cloned() else { return Ok(None) };
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let storage = ObjectStorage::new(self.storage.clone(), KIND, &namespace, &name);
        let origin = origin.to_owned();
        let read = move |_: &Deadline| Ok::<_, Failure>(read_last(&storage, &artifact, &origin));
        let deadline = Deadline::new(timeout(object, self.max_timeout));
        Ok(blocking::run(deadline, None, &self.stop, read).await??)
    }

    /// Sorts out what of a list makes the artifact. Lists are long, and rules many.
    async fn index(
        &self,
        object: &Bucket,
        listed: Vec<bucket::Object>,
        file: Option<index::IgnoreFile>,
        deadline: &Deadline,
    ) -> Result<(Index, Option<index::IgnoreFile>), Interrupted> {
        let (rules, limits) = (object.spec.ignore.clone(), self.ignore.clone());
        let left = deadline.remaining();
        let work = move |deadline: &Deadline| {
            let index = Index::new(listed, file.as_ref(), rules.as_deref(), &limits, deadline)?;
            Ok::<_, Failure>((index, file))
        };
        Ok(blocking::run(Deadline::new(left), Some(left), &self.stop, work).await??)
    }
}

/// Nothing but requests depends on it, so what cannot be read is not there.
fn read_last(storage: &ObjectStorage, artifact: &Artifact, origin: &str) -> Option<Last> {
    let (store, path) = (&storage.store, &artifact.path);
    let digest: Digest = artifact.digest.parse().ok()?;
    if !storage.owns(path) || !store.is_current(path, &digest) {
        return None;
    }
    let snapshot = Snapshot::from_bytes(&store.sidecar(path, snapshot::MAX_BYTES).ok()??)?;
    if snapshot.origin != origin || !snapshot.index.is_of(artifact) {
        return None;
    }
    Some(Last { path: path.clone(), file: store.open_file(path).ok()?, snapshot })
}

impl Upstream for Buckets {
    const KIND: &'static str = KIND;
    type Object = Bucket;
    type References = Endpoint;
    type Content = Content;

    fn resolve(&self, object: &mut Bucket, _now: Timestamp) -> Result<Resolved<Endpoint>, Failure> {
        access::check(object)?;
        let endpoint = access::endpoint(object, self.clients.environment().get(access::EMULATOR))?;
        let namespace = object.namespace().unwrap_or_default();
        let host = asked_host(endpoint.host(), &namespace, object.spec.proxy_secret_ref.as_ref());
        Ok(Resolved { references: endpoint, host, news: false })
    }

    fn known_revision(&self, object: &Bucket, _references: &Endpoint) -> Option<String> {
        find(object.conditions(), ARTIFACT_IN_STORAGE)?;
        Some(object.artifact()?.revision.clone())
    }

    /// Whatever the spec says of it, the revision tells what an artifact holds.
    fn has_changed(&self, _object: &Bucket, _references: &Endpoint) -> bool {
        false
    }

    async fn fetch(
        self: Arc<Self>,
        request: Request<Bucket, Endpoint>,
        host: Host,
    ) -> Result<Fetched<Content>, Interrupted> {
        let Request { object, references: endpoint, known, .. } = request;
        let (spec, namespace) = (&object.spec, object.namespace().unwrap_or_default());
        let timeout = timeout(&object, self.max_timeout);
        let client = self.clients.of(&object, endpoint, timeout).await?;
        client.check_name().map_err(|error| not_confirmed(&object, &error))?;
        let origin = format!("{} {} {}", spec.provider.name(), spec.endpoint, spec.bucket_name);
        let last = self.last(&object, &origin).await?;
        let last_snapshot = last.as_ref().map(|last| &last.snapshot);
        let slot = host.slot(&namespace).await;
        let deadline = Deadline::new(timeout);
        let (listed, file, memory) =
            fetch::list(&client, &object, &self.memory, &namespace, &deadline).await?;
        let file =
            fetch::ignore_file(&client, file.as_ref(), last_snapshot, self.ignore.file_bytes, &deadline);
        let (index, ignore) = self.index(&object, listed, file.await?, &deadline).await?;
        // Whatever algorithm the stored revision is of.
        let stored = object.artifact().filter(|artifact| index.is_of(artifact));
        if let Some(artifact) = stored.filter(|artifact| known.as_ref() == Some(&artifact.revision)) {
            return Ok(Fetched { outcome: Outcome::Unchanged(artifact.revision.clone()), verified: None });
        }
        // Others may fetch while this one waits for room.
        drop(slot);
        let deadline = Deadline::new(timeout);
        let bytes = fetch::room(fetch::missing_bytes(&index, last_snapshot));
        let space = Space { room: bytes, unpacked: self.temporary.budget().usage().limit };
        let room = self.temporary.take(&namespace, bytes, &deadline).await.map_err(|error| {
            let text = format!("fetch from bucket '{}' failed: {error}", spec.bucket_name);
            bucket_failure(format!("{text} (--bucket-temporary-max-size)"))
        })?;
        let slot = deadline.bound(Duration::MAX, host.slot(&namespace)).await;
        let (index, located) =
            fetch::objects(&client, &object, index, last_snapshot, space, &deadline).await?;
        drop(slot);
        let stored = object.artifact().filter(|artifact| index.is_of(artifact));
        let stored = stored.and_then(|artifact| artifact.revision.parse::<Digest>().ok());
        let digest = stored.unwrap_or_else(|| index.revision(self.algorithm));
        let recipe = Recipe {
            revision: digest.to_string(),
            hex: digest.hex().to_owned(),
            bucket: spec.bucket_name.clone(),
            snapshot: Snapshot { origin, ignore, index },
            located,
            last: last.map(|last| (last.path, last.file)),
        };
        let (revision, news) = (digest.to_string(), format!("new upstream revision '{digest}'"));
        let content = Content { recipe, _grants: vec![memory, room] };
        Ok(Fetched { outcome: Outcome::New { revision, news, content }, verified: None })
    }

    /// How many files there are.
    fn title(&self, content: &Content) -> String {
        content.recipe.snapshot.index.objects().len().to_string()
    }

    fn build(
        &self,
        build: Build<Bucket, Endpoint>,
        content: Content,
        deadline: &Deadline,
    ) -> Result<Built, Failure> {
        let title = self.title(&content);
        let artifact = build::store(&build.storage, content.recipe, deadline)?;
        Ok(Built { artifact, metadata: BTreeMap::new(), title, verified: None })
    }

    fn stored(&self, object: &mut Bucket, _references: Endpoint) {
        let ignore = object.spec.ignore.clone();
        let status: &mut BucketStatus = object.status.get_or_insert_default();
        status.observed_ignore = ignore;
    }

    fn stored_text(revision: &str) -> String {
        format!("stored artifact: revision '{revision}'")
    }

    fn announcement(&self, object: &Bucket, title: Option<&str>) -> String {
        let bucket = &object.spec.bucket_name;
        match (title, object.artifact()) {
            (Some(count), _) => format!("stored artifact with {count} fetched files from '{bucket}' bucket"),
            (None, Some(artifact)) => {
                format!("stored artifact with revision '{}' from '{bucket}' bucket", artifact.revision)
            }
            (None, None) => String::new(),
        }
    }

    fn observe(&self, event: &Event<Bucket>) {
        self.charts.source(KIND, event);
    }

    fn labels(object: &Bucket) -> Vec<(&'static str, String)> {
        vec![("endpoint", object.spec.endpoint.clone()), ("bucketName", object.spec.bucket_name.clone())]
    }
}
