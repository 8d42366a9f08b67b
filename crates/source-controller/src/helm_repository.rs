//! HelmRepository: the index of a repository of charts as a source. See [`source::Upstream`] for the order of the steps.
//!
//! One of the type `oci` is not fetched: it is the address of charts, which HelmCharts read.

mod access;
mod indexes;

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::HelmRepository;
use api::source::Source;
use artifact::digest::{Algorithm, Hasher};
use artifact::store::Store;
use budget::Grant;
use helm_repository::{
    Answer, Body, Download, FetchError, IndexError, Limits, Request as Get, UrlError, Validators, index_url,
    normalize,
};
use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use kube::{Client, ResourceExt};
use net::{Deadline, redact};
use runtime::app::App;
use runtime::conditions::find;
use runtime::controller::Objects;
use runtime::latest::Latest;
use source::background::Host;
use source::failure::condition::ARTIFACT_IN_STORAGE;
use source::failure::{Failure, Interrupted, reason};
use source::temporary::Room;
use source::upstream::{Build, Built, Fetched, Outcome, Request, Resolved, asked_host};
use source::{Controller, Upstream, blocking, timeout};
use tokio_util::sync::CancellationToken;
use url::Url;

pub use self::access::{Access, AccessError, Clients};
pub use self::indexes::{Indexes, IndexesError};
use crate::flags::{Arguments, Budgets};
use crate::helm_chart::wakes::Wakes;

/// The kind's name.
pub const KIND: &str = "HelmRepository";

/// What is made of an index that came: its versions, and what is stored.
const FILES_OF_AN_INDEX: u64 = 2;

/// What all passes over HelmRepositories share.
pub struct HelmRepositories {
    client: Client,
    clients: Clients,
    limits: Limits,
    algorithm: Algorithm,
    /// For indexes as they come.
    downloads: Arc<Room>,
    /// For what is made of them. Who waits for it has one of the other, so that somebody always comes to the end.
    files: Room,
    indexes: Arc<Indexes>,
    /// What stands for the index that each object has.
    seen: Mutex<HashMap<ObjectRef<HelmRepository>, Seen>>,
    stop: CancellationToken,
    /// The longest `spec.timeout` that counts.
    max_timeout: Duration,
    /// Charts in repositories.
    charts: Arc<Wakes>,
}

/// An index that a server has told apart from others.
#[derive(Clone)]
struct Seen {
    revision: String,
    url: Url,
    access: Access,
    validators: Validators,
}

/// An index that was downloaded.
pub struct Content {
    revision: String,
    body: Body,
    /// For the file, and for those that are made of it.
    _rooms: [Grant; 2],
}

/// Adds the controller of the kind to a process that keeps its artifacts in `storage` and draws on `budgets`. Gives the indexes, for
/// the charts in them, and the room for such as come.
///
/// # Errors
/// When a series is there already.
pub fn add(
    app: &mut App<Arguments>,
    storage: &Arc<Store>,
    budgets: &Budgets,
    charts: Arc<Wakes>,
) -> Result<(Arc<Indexes>, Arc<Room>), prometheus::Error> {
    let (arguments, process, objects) = (&app.arguments, &app.process, Objects::default());
    let limits = arguments.helm_limits();
    let indexes = Arc::new(Indexes::new(
        storage.clone(),
        limits.clone(),
        arguments.helm_index_cache_max_size,
        &process.metrics,
    )?);
    let kept = indexes.clone();
    process.metrics.kept_bytes("helm_indexes", move || kept.bytes());
    let half = arguments.helm_temporary_max_size / 2;
    let (downloads, files) = (Arc::new(Room::new(half)), Room::new(half));
    process.metrics.budget("helm_index_bytes", downloads.budget());
    process.metrics.budget("helm_index_content_bytes", files.budget());
    let upstream = HelmRepositories {
        client: process.client.clone(),
        clients: Clients::new(limits.clone()),
        limits,
        algorithm: arguments.storage.artifact_digest_algo,
        downloads: downloads.clone(),
        files,
        indexes: indexes.clone(),
        seen: Mutex::default(),
        stop: process.stop.clone(),
        max_timeout: arguments.max_timeout,
        charts,
    };
    let options = arguments.controller(arguments.helm_host_concurrency, budgets);
    let latest = Arc::new(Latest::new(objects.store()));
    let controller = Controller::new(process, options, storage.clone(), &objects, latest, Arc::new(upstream));
    let concurrent = arguments.concurrent;
    app.add_controller(objects, Arc::new(controller), concurrent);
    Ok((indexes, downloads))
}

/// Why passes over an object would refuse its spec, whatever its Secrets hold and its server has.
pub fn refusals(object: &HelmRepository) -> Vec<String> {
    let url = if object.is_oci() { None } else { url(object).err() };
    url.into_iter().map(|failure| failure.message).collect()
}

/// Reads `spec.url` of an object of the type `default`.
fn url(object: &HelmRepository) -> Result<Url, Failure> {
    let invalid = |message: String| Failure::fetch(reason::URL_INVALID, message).stalling();
    let url = normalize(&object.spec.url)
        .map_err(|error: UrlError| invalid(format!("invalid Helm repository URL: {error}")))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        "oci" => {
            let text = "'oci' URL scheme cannot be used with 'default' HelmRepository type";
            Err(invalid(format!("invalid Helm repository URL: {text}")))
        }
        scheme => Err(Failure::fetch(
            reason::FAILED,
            format!("failed to construct Helm client: scheme \"{scheme}\" not supported"),
        )
        .stalling()),
    }
}

impl HelmRepositories {
    /// What stands for the index that the object has, if it came from there in this way.
    fn seen(
        &self,
        object: &HelmRepository,
        known: Option<&str>,
        url: &Url,
        access: &Access,
    ) -> Option<Validators> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = seen.get(&ObjectRef::from_obj(object))?;
        let is_same = Some(seen.revision.as_str()) == known && seen.url == *url && seen.access == *access;
        is_same.then(|| seen.validators.clone())
    }

    fn note(&self, object: &HelmRepository, seen: Seen) {
        let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.validators == Validators::default() {
            all.remove(&ObjectRef::from_obj(object));
        } else {
            all.insert(ObjectRef::from_obj(object), seen);
        }
    }

    /// The revision of an index: the digest of its bytes, uncompressed.
    async fn revision(&self, body: Body, deadline: &Deadline) -> Result<(Body, String), Interrupted> {
        let (limit, algorithm, left) = (self.limits.index_bytes, self.algorithm, deadline.remaining());
        let hash = move |deadline: &Deadline| {
            let mut hasher = Hasher::new(algorithm);
            let mut reader = body.reader(limit).map_err(not_read)?;
            let mut buffer = vec![0; 64 << 10];
            loop {
                let count = reader.read(&mut buffer).map_err(not_read)?;
                if deadline.is_over() {
                    return Err(not_fetched("context deadline exceeded"));
                }
                match buffer.get(..count) {
                    Some([]) | None => break,
                    Some(bytes) => hasher.update(bytes),
                }
            }
            drop(reader);
            Ok((body, hasher.finish().to_string()))
        };
        Ok(blocking::run(Deadline::new(left), Some(left), &self.stop, hash).await??)
    }
}

impl Upstream for HelmRepositories {
    const KIND: &'static str = KIND;
    const LINK: Option<&'static str> = Some("index.yaml");
    type Object = HelmRepository;
    type References = Url;
    type Content = Content;

    fn is_static(object: &HelmRepository) -> bool {
        object.is_oci()
    }

    fn resolve(&self, object: &mut HelmRepository, _now: Timestamp) -> Result<Resolved<Url>, Failure> {
        let url = url(object)?;
        let namespace = object.namespace().unwrap_or_default();
        let host = asked_host(url.host_str().unwrap_or_default(), &namespace, None);
        Ok(Resolved { references: url, host, news: false })
    }

    fn known_revision(&self, object: &HelmRepository, _references: &Url) -> Option<String> {
        find(object.conditions(), ARTIFACT_IN_STORAGE)?;
        Some(object.artifact()?.revision.clone())
    }

    /// The revision tells what an index holds, wherever it came from.
    fn has_changed(&self, _object: &HelmRepository, _references: &Url) -> bool {
        false
    }

    async fn fetch(
        self: Arc<Self>,
        request: Request<HelmRepository, Url>,
        host: Host,
    ) -> Result<Fetched<Content>, Interrupted> {
        let Request { object, references: repository, known, .. } = request;
        let access = Access::of(&self.client, &object)
            .await
            .map_err(|error| Failure::fetch(reason::AUTHENTICATION_FAILED, error.to_string()))?;
        let client = self.clients.get(&access).map_err(|error| {
            let message =
                format!("failed to construct Helm client's TLS config: {}", error.in_words_of_flux());
            Failure::fetch(reason::AUTHENTICATION_FAILED, message)
        })?;
        let namespace = object.namespace().unwrap_or_default();
        let deadline = Deadline::new(timeout(&object, self.max_timeout));
        let no_room = |error| not_fetched(format!("{error} (half of --helm-temporary-max-size)"));
        let bytes = self.limits.index_bytes;
        let download = self.downloads.take(&namespace, bytes, &deadline).await.map_err(no_room)?;
        let slot = deadline.bound(Duration::MAX, host.slot(&namespace)).await;
        let url = index_url(&repository);
        let validators = self.seen(&object, known.as_deref(), &repository, &access);
        let get = Get {
            url: &url,
            credentials: access.credentials.as_ref(),
            validators: validators.as_ref(),
            limit: self.limits.index_bytes,
        };
        let answer = client.get(&get, &deadline).await;
        drop(slot);
        let Download { body, validators } = match (answer, known.as_ref()) {
            (Ok(Answer::Content(download)), _) => download,
            (Ok(Answer::NotModified), Some(known)) => {
                return Ok(Fetched { outcome: Outcome::Unchanged(known.clone()), verified: None });
            }
            (Ok(Answer::NotModified), None) => return Err(not_fetched("304 Not Modified").into()),
            (Err(FetchError::TooLarge { .. }), _) => return Err(too_large(self.limits.index_bytes).into()),
            (Err(error), _) => return Err(not_fetched(error).into()),
        };
        let (body, revision) = self.revision(body, &deadline).await?;
        self.note(&object, Seen { revision: revision.clone(), url: repository, access, validators });
        if known.as_ref() == Some(&revision) {
            return Ok(Fetched { outcome: Outcome::Unchanged(revision), verified: None });
        }
        let files = self.files.take(&namespace, bytes.saturating_mul(FILES_OF_AN_INDEX), &deadline);
        let files = files.await.map_err(no_room)?;
        let news = format!("new index revision '{revision}'");
        let content = Content { revision: revision.clone(), body, _rooms: [download, files] };
        Ok(Fetched { outcome: Outcome::New { revision, news, content }, verified: None })
    }

    fn title(&self, content: &Content) -> String {
        content.revision.clone()
    }

    fn build(
        &self,
        build: Build<HelmRepository, Url>,
        content: Content,
        deadline: &Deadline,
    ) -> Result<Built, Failure> {
        let Content { revision, body, _rooms } = content;
        let failed = |error: IndexError| {
            let message =
                format!("failed to load Helm repository from index YAML: {}", runtime::error::chain(&error));
            Failure::fetch(reason::INDEXATION_FAILED, message)
        };
        let mut json = tempfile::tempfile().map_err(|error| failed(error.into()))?;
        let index = helm_repository::convert(&body, &self.limits, &|| !deadline.is_over(), &mut json)
            .map_err(failed)?;
        std::io::Seek::rewind(&mut json).map_err(|error| failed(error.into()))?;
        let hex = revision.split_once(':').map_or(revision.as_str(), |(_, hex)| hex);
        let path = build.storage.file(&format!("index-{hex}.yaml"));
        let artifact = build.storage.store.copy(&path, &revision, &mut json);
        let artifact = artifact.map_err(|error| Failure::store("copy", &error))?;
        self.indexes.put(&artifact.digest.to_string(), index);
        Ok(Built { artifact, metadata: BTreeMap::new(), title: revision, verified: None })
    }

    fn stored(&self, _object: &mut HelmRepository, _references: Url) {}

    fn stored_text(revision: &str) -> String {
        format!("stored artifact: revision '{revision}'")
    }

    fn announcement(&self, object: &HelmRepository, _title: Option<&str>) -> String {
        let size = object.artifact().and_then(|artifact| artifact.size).unwrap_or_default();
        format!("stored fetched index of size {} from '{}'", human_size(size), redact(&object.spec.url))
    }

    fn labels(object: &HelmRepository) -> Vec<(&'static str, String)> {
        vec![("url", redact(&object.spec.url))]
    }

    fn observe(&self, event: &Event<HelmRepository>) {
        self.charts.source(KIND, event);
    }

    fn gone(&self, source: &ObjectRef<HelmRepository>) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).remove(source);
    }
}

/// An index cannot be had.
fn not_fetched(why: impl std::fmt::Display) -> Failure {
    let message =
        format!("failed to fetch Helm repository index: failed to cache index to temporary file: {why}");
    Failure::fetch(reason::FAILED, message)
}

fn too_large(limit: u64) -> Failure {
    not_fetched(format!("index exceeds the maximum index file size of {limit} bytes (--helm-index-max-size)"))
}

fn not_read(error: std::io::Error) -> Failure {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<helm_repository::BodyError>()) {
        Some(helm_repository::BodyError(limit)) => too_large(*limit),
        None => not_fetched(format!("cannot decode: {error}")),
    }
}

/// Bytes as Docker's `units.HumanSize` writes them: powers of 1000, four digits.
fn human_size(bytes: i64) -> String {
    let (mut size, mut unit) = (bytes as f64, 0);
    let units = ["B", "kB", "MB", "GB", "TB"];
    while size >= 1000.0 && unit + 1 < units.len() {
        size /= 1000.0;
        unit += 1;
    }
    let digits = if size >= 1000.0 { 0 } else { 3 - (size.max(1.0).log10().floor() as usize).min(3) };
    let text = format!("{size:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{}", units.get(unit).copied().unwrap_or_default())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sizes_are_written_as_docker_does() {
        for (bytes, text) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1kB"),
            (1234, "1.234kB"),
            (12_345, "12.35kB"),
            (40_200_000, "40.2MB"),
            (999_999, "1000kB"),
        ] {
            assert_eq!(human_size(bytes), text);
        }
    }

    #[test]
    fn urls_that_cannot_be_asked_are_refused() {
        for (url, kind, expected) in [
            ("https://h/charts", None, None),
            ("oci://h/charts", Some("oci"), None),
            (
                "oci://h/charts",
                None,
                Some(
                    "invalid Helm repository URL: 'oci' URL scheme cannot be used with 'default' HelmRepository type",
                ),
            ),
            ("https://[", None, Some("invalid Helm repository URL: invalid IPv6 address")),
            (
                "ftp://h",
                Some("default"),
                Some("failed to construct Helm client: scheme \"ftp\" not supported"),
            ),
        ] {
            let object = json!({"metadata": {"name": "a"}, "spec": {"url": url, "type": kind}});
            let object: HelmRepository = serde_json::from_value(object).unwrap();
            assert_eq!(refusals(&object).first().map(String::as_str), expected, "{url}");
        }
    }
}
