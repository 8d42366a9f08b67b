//! HelmChart: a chart of a repository, or of a directory of another source, as a source of its own. See [`source::Upstream`] for
//! the order of the steps.
//!
//! ```text
//! HelmRepository ── version ── pull (once for all) ──────────────┐
//!                                                                ├── values files, version ── package ── store
//! GitRepository ── tree (unpacked once) ── missing dependencies ─┘
//! ```

mod access;
mod dependencies;
mod failure;
mod index;
mod local;
mod pulls;
mod recipe;
mod registry;
mod remote;
mod sources;
mod summary;
mod trees;
mod verify;
pub(crate) mod wakes;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::helm_chart::Limits;
use api::helm_chart::HelmChart;
use api::source::Source as _;
use artifact::store::Store;
use budget::Budget;
use identity::Clouds;
use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use kube::{Client, ResourceExt};
use net::Deadline;
use runtime::app::App;
use runtime::conditions::find;
use runtime::controller::Objects;
use runtime::latest::Latest;
use source::background::Host;
use source::failure::condition::ARTIFACT_IN_STORAGE;
use source::failure::{Failure, Interrupted, reason};
use source::temporary::Room;
use source::upstream::{Build, Built, Fetched, Request, Resolved};
use source::{Controller, Upstream};
use tokio_util::sync::CancellationToken;

use self::pulls::Pulls;
use self::recipe::Recipe;
use self::sources::Source;
use self::trees::Trees;
use self::wakes::Wakes;
use crate::flags::{Arguments, Budgets};
use crate::helm_repository::{Clients, Indexes};
use crate::registry::Registries;
use crate::signatures::{self, Signatures, Wanted};
use crate::verified::VerifiedKeys;

/// The kind's name.
pub const KIND: &str = "HelmChart";

/// What all passes over HelmCharts share.
pub struct HelmCharts {
    client: Client,
    storage: Arc<Store>,
    registries: Registries,
    signatures: Arc<Signatures>,
    /// What was verified before.
    verified: VerifiedKeys<HelmChart>,
    clients: Clients,
    indexes: Arc<Indexes>,
    /// For indexes of dependencies that no HelmRepository has, shared with those that one has.
    downloads: Arc<Room>,
    trees: Trees,
    pulls: Pulls,
    /// Charts that are loaded to see what they lack.
    loads: Budget,
    limits: Limits,
    /// Bytes of an archive.
    chart_bytes: u64,
    max_timeout: Duration,
    wakes: Arc<Wakes>,
    /// What was built and is not in a status yet.
    built: Mutex<HashMap<ObjectRef<HelmChart>, Notes>>,
    stop: CancellationToken,
}

/// What the status says of the last build.
struct Notes {
    chart: String,
    values_files: Vec<String>,
    source_revision: Option<String>,
    verified: Option<String>,
}

/// Adds the controller of the kind to a process that keeps its artifacts in `storage` and draws on `budgets`. `wakes` wakes `objects`
/// when their sources change; `indexes` are those of HelmRepositories, and `downloads` has room for more; `clouds` let these into registries.
pub fn add(
    app: &mut App<Arguments>,
    storage: &Arc<Store>,
    budgets: &Budgets,
    (objects, wakes): (Objects<HelmChart>, Arc<Wakes>),
    (indexes, downloads): (Arc<Indexes>, Arc<Room>),
    signatures: Arc<Signatures>,
    clouds: Clouds,
) {
    let (arguments, process) = (&app.arguments, &app.process);
    let options = arguments.controller(arguments.helm_host_concurrency, budgets);
    let trees = Trees::new(arguments.helm_source_max_size, process.stop.clone());
    let pulls = Pulls::new(budget::memory_limit() / 8);
    let loads = Budget::new(budget::Limits { process: 2, tenant: 1 });
    process.metrics.budget("chart_source_bytes", trees.budget());
    process.metrics.budget("chart_bytes", pulls.budget());
    process.metrics.budget("chart_load", &loads);
    let limits = oci::Limits { blob_bytes: arguments.helm_chart_max_size, ..oci::Limits::default() };
    let upstream = HelmCharts {
        client: process.client.clone(),
        storage: storage.clone(),
        registries: Registries::new(limits, clouds),
        signatures,
        verified: VerifiedKeys::default(),
        clients: Clients::new(arguments.helm_limits()),
        indexes,
        downloads,
        trees,
        pulls,
        loads,
        limits: Limits {
            archive_bytes: arguments.helm_chart_max_size,
            file_bytes: arguments.helm_chart_file_max_size,
            ..Limits::default()
        },
        chart_bytes: arguments.helm_chart_max_size,
        max_timeout: arguments.max_timeout,
        wakes,
        built: Mutex::default(),
        stop: process.stop.clone(),
    };
    let latest = Arc::new(Latest::new(objects.store()));
    let controller = Controller::new(process, options, storage.clone(), &objects, latest, Arc::new(upstream));
    let concurrent = arguments.concurrent;
    app.add_controller(objects, Arc::new(controller), concurrent);
}

/// What is wrong with a spec whatever its source holds.
fn check(object: &HelmChart) -> Result<(), Failure> {
    let unsupported = |wanted: Wanted<'_>| signatures::unsupported(wanted.provider);
    if let Some(field) = verify::wanted(object).and_then(unsupported) {
        let message = format!("{field} is not supported yet");
        return Err(Failure::plain(reason::UNSUPPORTED_FIELD, message).stalling());
    }
    sources::check(object)
}

/// Why passes over an object would refuse its spec, whatever its source holds.
pub fn refusals(object: &HelmChart) -> Vec<String> {
    check(object).err().map(|failure| failure.message).into_iter().collect()
}

impl HelmCharts {
    fn built(&self) -> std::sync::MutexGuard<'_, HashMap<ObjectRef<HelmChart>, Notes>> {
        self.built.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upstream for HelmCharts {
    const KIND: &'static str = KIND;
    const NEWS: &'static str = "NewChart";
    type Object = HelmChart;
    type References = ();
    type Content = Recipe;

    fn begin(&self, object: &mut HelmChart, now: Timestamp) {
        verify::forget(object, now);
    }

    fn resolve(&self, object: &mut HelmChart, _now: Timestamp) -> Result<Resolved<()>, Failure> {
        check(object)?;
        let (reference, namespace) = (&object.spec.source_ref, object.namespace().unwrap_or_default());
        let host = format!("{} {namespace}/{}", reference.kind, reference.name);
        Ok(Resolved { references: (), host, news: false })
    }

    fn known_revision(&self, object: &HelmChart, references: &()) -> Option<String> {
        find(object.conditions(), ARTIFACT_IN_STORAGE)?;
        let artifact = object.artifact().filter(|_| !self.has_changed(object, references))?;
        Some(artifact.revision.clone())
    }

    /// As in Flux, another spec makes a new artifact whatever in it is other than before.
    fn has_changed(&self, object: &HelmChart, _references: &()) -> bool {
        object.metadata.generation != object.observed_generation()
    }

    async fn fetch(
        self: Arc<Self>,
        request: Request<HelmChart, ()>,
        host: Host,
    ) -> Result<Fetched<Recipe>, Interrupted> {
        let Request { object, known, .. } = request;
        let _slot = host.slot(&object.namespace().unwrap_or_default()).await;
        match sources::get(&self.client, &self.storage, &object).await? {
            Source::Repository(repository) => {
                remote::fetch(&self, &object, &repository, known.as_deref()).await
            }
            Source::Tarball(tarball) => {
                let outcome = local::fetch(&self, &object, tarball, known.as_deref()).await?;
                Ok(Fetched { outcome, verified: None })
            }
        }
    }

    fn title(&self, content: &Recipe) -> String {
        summary::new(&content.name, &content.version)
    }

    fn build(
        &self,
        build: Build<HelmChart, ()>,
        recipe: Recipe,
        deadline: &Deadline,
    ) -> Result<Built, Failure> {
        let Build { object, storage, .. } = build;
        let reference = ObjectRef::from_obj(&object);
        let (built, values_files) = recipe.build(&object, &storage, &self.limits, deadline)?;
        let Recipe { name: chart, source_revision, verified, .. } = recipe;
        let notes = Notes { chart, values_files, source_revision, verified };
        self.built().insert(reference, notes);
        Ok(built)
    }

    fn stored(&self, object: &mut HelmChart, _references: ()) {
        let Some(notes) = self.built().remove(&ObjectRef::from_obj(object)) else { return };
        // Not before: what is stored until then may be something else.
        if let Some(keys) = notes.verified {
            self.verified.set(ObjectRef::from_obj(object), keys);
        }
        let ignores_missing = object.spec.ignore_missing_values_files;
        let status = object.status.get_or_insert_default();
        status.observed_chart_name = Some(notes.chart);
        status.observed_source_artifact_revision = notes.source_revision;
        status.observed_values_files = if ignores_missing { notes.values_files } else { Vec::new() };
    }

    fn stored_text(revision: &str) -> String {
        format!("stored chart with version '{revision}'")
    }

    /// What was said of the stored artifact stays true as long as nothing was built.
    fn in_storage(&self, object: &HelmChart, revision: &str, title: Option<&str>) -> (String, String) {
        let earlier = find(object.conditions(), ARTIFACT_IN_STORAGE);
        match (title.and_then(summary::reason), earlier) {
            (Some(reason), _) => (reason.to_owned(), title.unwrap_or_default().to_owned()),
            (None, Some(earlier)) => (earlier.reason.clone(), earlier.message.clone()),
            (None, None) => (reason::SUCCEEDED.to_owned(), Self::stored_text(revision)),
        }
    }

    fn event_reason<'a>(object: &'a HelmChart, news: &'a str) -> &'a str {
        find(object.conditions(), ARTIFACT_IN_STORAGE).map_or(news, |condition| condition.reason.as_str())
    }

    fn announcement(&self, object: &HelmChart, _title: Option<&str>) -> String {
        find(object.conditions(), ARTIFACT_IN_STORAGE).map(|c| c.message.clone()).unwrap_or_default()
    }

    fn labels(object: &HelmChart) -> Vec<(&'static str, String)> {
        vec![("source_name", object.spec.source_ref.name.clone())]
    }

    fn observe(&self, event: &Event<HelmChart>) {
        self.wakes.chart(event);
    }

    fn gone(&self, object: &ObjectRef<HelmChart>) {
        self.built().remove(object);
        self.verified.forget(object);
    }
}
