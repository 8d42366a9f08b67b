//! OCIRepository: an artifact of an OCI registry as a source. See [`source::Upstream`] for the order of the steps.

mod layer;
mod pull;
mod tag;
mod verify;

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use api::oci_repository::{LayerOperation, OciProvider, OciRepository, OciRepositoryStatus};
use api::source::{OCI_REVISION_METADATA, OCI_SOURCE_METADATA, Source};
use artifact::repack::RepackLimits;
use artifact::store::Store;
use budget::Grant;
use identity::Clouds;
use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use net::{Deadline, redact};
use oci::{Digest, Repository};
use references::account_of;
use runtime::app::App;
use runtime::conditions::find;
use runtime::controller::Objects;
use runtime::latest::Latest;
use source::background::Host;
use source::failure::condition::ARTIFACT_IN_STORAGE;
use source::failure::{Failure, Interrupted, reason};
use source::temporary::TemporaryFiles;
use source::upstream::{Build, Built, Fetched, Outcome, Request, Resolved, Verified, asked_host};
use source::{Controller, Upstream, timeout};

use self::pull::Artifact;
use crate::flags::{Arguments, Budgets};
use crate::registry::{OpenError, Registries, Wanted};
use crate::signatures::{self, Signatures, Trusted};
use crate::verified::VerifiedKeys;

/// The kind's name.
pub const KIND: &str = "OCIRepository";

/// What all passes over OCIRepositories share.
pub struct OciRepositories {
    registries: Registries,
    signatures: Arc<Signatures>,
    /// The service account of objects that name none.
    default_account: Option<String>,
    /// What was verified before.
    verified: VerifiedKeys<OciRepository>,
    temporary: TemporaryFiles,
    limits: RepackLimits,
    /// The longest `spec.timeout` that counts.
    max_timeout: Duration,
}

/// What was pulled.
pub struct Content {
    revision: String,
    digest: Digest,
    /// The annotations of the manifest.
    metadata: BTreeMap<String, String>,
    file: File,
    /// For the file, and for its content.
    _rooms: Vec<Grant>,
}

/// Adds the controller of the kind to a process that keeps its artifacts in `storage` and draws on `budgets`. `clouds` give it
/// credentials.
pub fn add(
    app: &mut App<Arguments>,
    storage: &Arc<Store>,
    budgets: &Budgets,
    clouds: Clouds,
    signatures: Arc<Signatures>,
) {
    let (arguments, process, objects) = (&app.arguments, &app.process, Objects::default());
    let options = arguments.controller(arguments.oci_host_concurrency, budgets);
    let limits = oci::Limits { blob_bytes: arguments.oci_layer_max_size, ..oci::Limits::default() };
    let (registries, default_account) =
        (Registries::new(limits, clouds), arguments.default_service_account.clone());
    let limits = RepackLimits::default();
    let (bytes, stop) = (arguments.oci_temporary_max_size, process.stop.clone());
    let temporary = TemporaryFiles::new(bytes, limits.archive.clone(), stop);
    process.metrics.budget("archive_bytes", temporary.archives.budget());
    process.metrics.budget("archive_content_bytes", temporary.contents.budget());
    let max_timeout = arguments.max_timeout;
    let verified = VerifiedKeys::default();
    let upstream =
        OciRepositories { registries, signatures, default_account, verified, temporary, limits, max_timeout };
    let latest = Arc::new(Latest::new(objects.store()));
    let controller = Controller::new(process, options, storage.clone(), &objects, latest, Arc::new(upstream));
    let concurrent = arguments.concurrent;
    app.add_controller(objects, Arc::new(controller), concurrent);
}

/// The fields that are set and not supported yet. They are named, not ignored.
fn unsupported(object: &OciRepository) -> impl Iterator<Item = &'static str> + use<> {
    let spec = &object.spec;
    let operation = spec.layer_selector.as_ref().and_then(|selector| selector.operation);
    [
        (spec.provider == Some(OciProvider::Unknown), "spec.provider"),
        (operation == Some(LayerOperation::Unknown), "spec.layerSelector.operation"),
    ]
    .into_iter()
    .filter_map(|(is_used, field)| is_used.then_some(field))
    .chain(verify::wanted(object).and_then(|wanted| signatures::unsupported(wanted.provider)))
}

/// What the author of an object is told about such a field.
fn unsupported_message(field: &str) -> String {
    format!("{field} is not supported yet")
}

/// Why passes over an object would refuse its spec, whatever its Secrets hold and its registry has.
pub fn refusals(object: &OciRepository) -> Vec<String> {
    let url = repository(object).err().map(|failure| failure.message);
    unsupported(object).map(unsupported_message).chain(url).collect()
}

/// Reads `spec.url`.
fn repository(object: &OciRepository) -> Result<Repository, Failure> {
    let url = &object.spec.url;
    Repository::parse(url).map_err(|error| {
        let message = format!("URL validation failed for '{}': {error}", redact(url));
        Failure::fetch(reason::URL_INVALID, message).stalling()
    })
}

/// What the spec says about the way into its registry; one that names no service account has the identity of `default_account`.
fn wanted<'a>(
    object: &'a OciRepository,
    (namespace, name): (&'a str, &'a str),
    repository: &'a Repository,
    default_account: Option<&'a str>,
    timeout: Duration,
) -> Wanted<'a> {
    let spec = &object.spec;
    Wanted {
        kind: KIND,
        namespace,
        name,
        repository,
        url: &spec.url,
        insecure: spec.insecure,
        provider: spec.provider.unwrap_or_default(),
        account: account_of(spec.service_account_name.as_deref(), default_account),
        secret: spec.secret_ref.as_ref(),
        certificates: spec.cert_secret_ref.as_ref(),
        proxy: spec.proxy_secret_ref.as_ref(),
        timeout,
    }
}

/// What is to let the object in cannot be had.
fn denied(error: OpenError) -> Failure {
    Failure::fetch(reason::AUTHENTICATION_FAILED, error.to_string())
}

impl Upstream for OciRepositories {
    const KIND: &'static str = KIND;
    type Object = OciRepository;
    type References = Repository;
    type Content = Content;

    fn begin(&self, object: &mut OciRepository, now: Timestamp) {
        verify::forget(object, now);
    }

    fn resolve(&self, object: &mut OciRepository, _now: Timestamp) -> Result<Resolved<Repository>, Failure> {
        if let Some(field) = unsupported(object).next() {
            return Err(Failure::plain(reason::UNSUPPORTED_FIELD, unsupported_message(field)).stalling());
        }
        let repository = repository(object)?;
        let namespace = object.namespace().unwrap_or_default();
        let proxy = object.spec.proxy_secret_ref.as_ref();
        let host = asked_host(repository.registry().host_name(), &namespace, proxy);
        Ok(Resolved { references: repository, host, news: false })
    }

    fn known_revision(&self, object: &OciRepository, references: &Repository) -> Option<String> {
        find(object.conditions(), ARTIFACT_IN_STORAGE)?;
        let artifact = object.artifact().filter(|_| !self.has_changed(object, references))?;
        Some(artifact.revision.clone())
    }

    /// As with Flux, another URL or other credentials alone do not make an artifact outdated: the digest tells what it holds.
    fn has_changed(&self, object: &OciRepository, _references: &Repository) -> bool {
        let (spec, none) = (&object.spec, OciRepositoryStatus::default());
        let status = object.status.as_ref().unwrap_or(&none);
        spec.ignore != status.observed_ignore || spec.layer_selector != status.observed_layer_selector
    }

    async fn fetch(
        self: Arc<Self>,
        request: Request<OciRepository, Repository>,
        host: Host,
    ) -> Result<Fetched<Content>, Interrupted> {
        let Request { object, references: repository, known, .. } = request;
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let timeout = timeout(&object, self.max_timeout);
        let default_account = self.default_account.as_deref();
        let wanted = wanted(&object, (&namespace, &name), &repository, default_account, timeout);
        let mut session = self.registries.open(wanted).await.map_err(denied)?;
        let secrets = self.registries.secrets(&namespace);
        let trusted = verify::trusted(&object, &repository, &self.signatures, &secrets).await;
        let slot = host.slot(&namespace).await;
        let deadline = Deadline::new(timeout);
        let artifact = pull::resolve(&mut session, &object, &repository, &deadline).await?;
        let Artifact { reference, revision, digest } = artifact;
        let is_known = known.as_deref() == Some(revision.as_str());
        let is_verified = |trusted: &Trusted| {
            is_known && verify::is_verified(&object, trusted.fingerprint(), &self.verified)
        };
        let verified = match trusted.transpose()? {
            Some(trusted) if !is_verified(&trusted) => {
                let what = (&repository, revision.as_str(), &digest);
                verify::verify(&object, &self.signatures, &mut session, what, &trusted, &deadline).await?
            }
            _ => None,
        };
        if is_known {
            return Ok(Fetched { outcome: Outcome::Unchanged(revision), verified });
        }
        let manifest = pull::manifest(&mut session, &object, &repository, &digest, &deadline).await?;
        let layer = pull::layer(&object, &manifest)?;
        // Others may fetch while this one waits for room.
        drop(slot);
        let no_room =
            |error| pull::not_pulled(&object, &format!("{error} (half of --oci-temporary-max-size)"));
        let bytes = layer.size.min(session.client().limits().blob_bytes);
        let room = self.temporary.archives.take(&namespace, bytes, &deadline).await.map_err(no_room)?;
        // Room is not kept for longer than the timeout: without time, the next request says so.
        let slot = deadline.bound(Duration::MAX, host.slot(&namespace)).await;
        let mut file = pull::file(&mut session, &repository, layer, &deadline).await?;
        let mut rooms = vec![room];
        if layer::operation(&object) != LayerOperation::Copy {
            let counted = self.temporary.content_bytes(file, slot, &deadline).await?;
            let (rewound, bytes) = counted.map_err(|error| pull::not_pulled(&object, &error))?;
            file = rewound;
            rooms.push(self.temporary.contents.take(&namespace, bytes, &deadline).await.map_err(no_room)?);
        }
        let news = format!("new revision '{revision}' for '{reference}'");
        let content = Content {
            revision: revision.clone(),
            digest,
            metadata: manifest.annotations,
            file,
            _rooms: rooms,
        };
        Ok(Fetched { outcome: Outcome::New { revision, news, content }, verified })
    }

    fn title(&self, content: &Content) -> String {
        content.revision.clone()
    }

    fn build(
        &self,
        build: Build<OciRepository, Repository>,
        content: Content,
        deadline: &Deadline,
    ) -> Result<Built, Failure> {
        let Build { object, storage, .. } = build;
        let Content { revision, digest, metadata, file, _rooms } = content;
        let path = storage.path(&digest.to_string());
        let artifact = layer::store(&storage.store, &path, &revision, file, &object, &self.limits, deadline)?;
        Ok(Built { artifact, metadata, title: revision, verified: None })
    }

    fn stored(&self, object: &mut OciRepository, _references: Repository) {
        let (ignore, selector) = (object.spec.ignore.clone(), object.spec.layer_selector.clone());
        let status = object.status.get_or_insert_default();
        (status.observed_ignore, status.observed_layer_selector) = (ignore, selector);
    }

    fn verified(&self, object: &mut OciRepository, verified: &Verified) {
        let status = object.status.get_or_insert_default();
        if verified.message.is_none() {
            status.source_verification_fingerprint = None;
            return self.verified.forget(&ObjectRef::from_obj(object));
        }
        status.source_verification_fingerprint = Some(verified.keys.clone());
        self.verified.set(ObjectRef::from_obj(object), verified.keys.clone());
    }

    fn gone(&self, source: &ObjectRef<OciRepository>) {
        self.verified.forget(source);
    }

    fn stored_text(revision: &str) -> String {
        format!("stored artifact for digest '{revision}'")
    }

    fn announcement(&self, object: &OciRepository, _title: Option<&str>) -> String {
        let Some(artifact) = object.artifact() else { return String::new() };
        let url = redact(&object.spec.url);
        let message = format!("stored artifact with revision '{}' from '{url}'", artifact.revision);
        let metadata = |key| artifact.metadata.get(key).filter(|value| !value.is_empty());
        match (metadata(OCI_SOURCE_METADATA), metadata(OCI_REVISION_METADATA)) {
            (Some(origin), Some(revision)) => {
                format!("{message}, origin source '{}', origin revision '{revision}'", redact(origin))
            }
            _ => message,
        }
    }

    fn labels(object: &OciRepository) -> Vec<(&'static str, String)> {
        vec![("url", redact(&object.spec.url))]
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn an_object_has_the_service_account_that_it_names_or_the_default_one() {
        let repository = Repository::parse("oci://r.example/a/b").unwrap();
        for (named, default, account) in [
            (None, None, None),
            (None, Some("default"), Some("default")),
            (Some(""), Some("default"), Some("default")),
            (Some("me"), Some("default"), Some("me")),
        ] {
            let mut object = OciRepository::new("app", api::OciRepositorySpec::default());
            object.spec.service_account_name = named.map(str::to_owned);
            let wanted = wanted(&object, ("ns", "app"), &repository, default, Duration::ZERO);
            assert_eq!(wanted.account, account, "{named:?} {default:?}");
        }
    }

    /// What passes are made with.
    fn repositories() -> OciRepositories {
        let limits = RepackLimits::default();
        OciRepositories {
            registries: signatures::tests::registries(),
            signatures: Arc::new(Signatures::new(&auth::Environment::default())),
            default_account: None,
            verified: VerifiedKeys::default(),
            temporary: TemporaryFiles::new(0, limits.archive.clone(), Default::default()),
            limits,
            max_timeout: Duration::ZERO,
        }
    }

    #[tokio::test]
    async fn a_known_revision_is_pulled_again_for_other_rules_and_another_layer_alone() {
        let repository = Repository::parse("oci://r.example/a/b").unwrap();
        let known = json!({"revision": "latest@sha256:1", "digest": "sha256:1", "path": "a", "url": "u",
            "lastUpdateTime": "2026-01-01T00:00:00Z"});
        let stored = json!([{"type": "ArtifactInStorage", "status": "True", "reason": "Succeeded", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
        let is_known = |spec: Value, observed: Value| {
            let mut status = json!({"artifact": known, "conditions": stored});
            let fields = observed.as_object().cloned().unwrap_or_default();
            status.as_object_mut().unwrap().extend(fields);
            let object = json!({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": KIND, "metadata": {"name": "app"},
                "spec": spec, "status": status});
            let object: OciRepository = serde_json::from_value(object).unwrap();
            repositories().known_revision(&object, &repository).is_some()
        };
        let spec = |more: Value| {
            let mut spec = json!({"url": "oci://r.example/a/b", "interval": "1m"});
            spec.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
            spec
        };
        let selector = |operation: &str| json!({"mediaType": "a/b", "operation": operation});
        for (wanted, observed, expected) in [
            (json!({}), json!({}), true),
            (json!({"ignore": "a"}), json!({"observedIgnore": "a"}), true),
            (json!({"ignore": "a"}), json!({"observedIgnore": "b"}), false),
            (json!({"ignore": "a"}), json!({}), false),
            (json!({"ignore": ""}), json!({}), false),
            (json!({}), json!({"observedIgnore": "a"}), false),
            (
                json!({"layerSelector": selector("copy")}),
                json!({"observedLayerSelector": selector("copy")}),
                true,
            ),
            (
                json!({"layerSelector": selector("copy")}),
                json!({"observedLayerSelector": selector("extract")}),
                false,
            ),
            (json!({"layerSelector": selector("copy")}), json!({}), false),
            (json!({}), json!({"observedLayerSelector": selector("copy")}), false),
            (
                json!({"secretRef": {"name": "other"}, "provider": "aws", "url": "oci://other.example/x/y"}),
                json!({}),
                true,
            ),
        ] {
            assert_eq!(is_known(spec(wanted.clone()), observed.clone()), expected, "{wanted} {observed}");
        }
    }

    #[tokio::test]
    async fn an_artifact_is_announced_with_where_it_came_from_if_it_says_all_of_it() {
        let text = |metadata: Value| {
            let artifact = json!({"revision": "latest@sha256:1", "digest": "sha256:1", "path": "a", "url": "u",
                "lastUpdateTime": "2026-01-01T00:00:00Z", "metadata": metadata});
            let mut object = OciRepository::new("app", api::OciRepositorySpec::default());
            object.spec.url = "oci://r.example/a/b".to_owned();
            object.status = serde_json::from_value(json!({"artifact": artifact})).unwrap();
            repositories().announcement(&object, None)
        };
        let plain = "stored artifact with revision 'latest@sha256:1' from 'oci://r.example/a/b'";
        let (source, revision) = ("https://me:hunter2@h/repo", "main@sha1:1");
        for metadata in [
            json!({}),
            json!({OCI_SOURCE_METADATA: source}),
            json!({OCI_REVISION_METADATA: revision}),
            json!({OCI_SOURCE_METADATA: source, OCI_REVISION_METADATA: ""}),
        ] {
            assert_eq!(text(metadata.clone()), plain, "{metadata}");
        }
        let both = json!({OCI_SOURCE_METADATA: source, OCI_REVISION_METADATA: revision});
        let from = ", origin source 'https://h/repo', origin revision 'main@sha1:1'";
        assert_eq!(text(both), format!("{plain}{from}"));
    }
}
