//! A chart becomes a release (`pkg/action/install.go` of Helm).

use apply::mapper::RestMapping;
use apply::request::Target;
use helm::Event;
use helm_release::{ApplyMethod, Release, Status, Time};
use jiff::Timestamp;
use kube::api::PostParams;
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::json;

use crate::configuration::Configuration;
use crate::error::{ActionError, Outcome};
use crate::options::{Apply, Install, Rendition, creating};
use crate::pending::Pending;
use crate::resources::{self, Metadata, Method, Resource, Updating};
use crate::steps::Step;
use crate::storage::{Storage, StorageError, next_revision};
use crate::{hooks, wait};

/// A release that can be installed: its chart is rendered for [`Self::release`], and then comes [`Self::run`].
pub struct InstallPlan {
    configuration: Configuration,
    storage: Storage,
    release: helm::Release,
    /// The number that it is stored under.
    version: i64,
    /// The last revision of the name, if it is to be replaced.
    replaced: Option<Release>,
}

impl Configuration {
    /// Looks whether a release can be installed. A name is free if there is no revision of it; with `replaces`, also if the last one
    /// is uninstalled or has failed.
    ///
    /// # Errors
    /// It cannot.
    pub async fn plan_install(
        &self,
        name: &str,
        namespace: &str,
        replaces: bool,
    ) -> Result<InstallPlan, ActionError> {
        let (name, namespace) = (name.to_owned(), namespace.to_owned());
        let release = helm::Release { name, namespace, revision: 1, is_upgrade: false };
        release.check_name()?;
        let storage = self.storage();
        let found = async {
            let entries = storage.entries(&release.name).await?;
            let last = storage.newest(&release.name, &entries).await?;
            Ok((entries, last))
        };
        let (entries, replaced) = match found.await {
            // As Helm, which asks whether it can reach the cluster, and takes any other error for a free name.
            Err(error) if StorageError::is_unreachable(&error) => {
                return Err(ActionError::Unreachable(error));
            }
            Err(error) => return Err(error.into()),
            Ok(found) => found,
        };
        let is_free =
            |last: &Release| replaces && matches!(last.info.status, Status::Uninstalled | Status::Failed);
        if replaced.as_ref().is_some_and(|last| !is_free(last)) {
            return Err(ActionError::NameInUse);
        }
        let version = next_revision(&entries, replaced.as_ref());
        Ok(InstallPlan { configuration: self.clone(), storage, release, version, replaced })
    }
}

impl InstallPlan {
    /// What the chart is rendered for.
    pub fn release(&self) -> &helm::Release {
        &self.release
    }

    /// Installs a rendered chart.
    ///
    /// # Errors
    /// Nothing was stored. What failed later is in the [`Outcome`].
    pub async fn run(self, rendition: Rendition, options: &Install) -> Result<Outcome, ActionError> {
        let (configuration, storage) = (&self.configuration, &self.storage);
        let method = match options.apply {
            Apply::ServerSide | Apply::Auto => ApplyMethod::ServerSide,
            Apply::ClientSide => ApplyMethod::ClientSide,
        };
        let mut release = self.new_release(rendition, options, method);
        let (name, namespace) = (release.name.clone(), release.namespace.clone());
        let metadata = Metadata { name: &name, namespace: &namespace };
        let built = resources::build(&configuration.mapper, &namespace, &release.manifest).await;
        let mut resources = built.map_err(ActionError::BuildInstall)?;
        resources.iter_mut().for_each(|resource| metadata.mark(&mut resource.object));
        let adopted = match (options.takes_ownership, method) {
            // A server-side apply takes what is there, whosever it is, and needs not know.
            (true, ApplyMethod::ServerSide) => Ok(None),
            (true, ApplyMethod::ClientSide) => resources::existing(configuration, &resources).await.map(Some),
            (false, _) => resources::conflicting(configuration, &resources, metadata).await.map(Some),
        };
        let adopted = adopted.map_err(ActionError::AdoptInstall)?;
        if options.creates_namespace {
            storage.check_size(&release).await?;
            create_namespace(configuration, &namespace).await?;
        }
        if let Some(mut last) = self.replaced.clone().filter(|last| last.info.status != Status::Failed) {
            last.info.status = Status::Superseded;
            last.info.description = "superseded by new release".to_owned();
            storage.update(&last).await?;
        }
        storage.create(&release, &[], 0).await?;
        let ended = self.perform(&mut release, resources, adopted, options).await;
        match &ended {
            Ok(()) => {
                release.info.status = Status::Deployed;
                release.info.description = "Install complete".to_owned();
            }
            Err(error) => {
                release.info.status = Status::Failed;
                release.info.description = format!("Release {name:?} failed: {}", net::chain(error));
            }
        }
        storage.record(&release).await;
        Ok(Outcome::of(release, ended))
    }

    fn new_release(&self, rendition: Rendition, options: &Install, method: ApplyMethod) -> Release {
        let now = Time::new(Timestamp::now());
        let pending = Pending {
            name: self.release.name.clone(),
            namespace: self.release.namespace.clone(),
            version: self.version,
            first_deployed: Some(now.clone()),
            last_deployed: now,
            status: Status::PendingInstall,
            description: "Initial install underway".to_owned(),
            method,
            labels: options.labels.clone(),
        };
        pending.of(rendition.into())
    }

    async fn perform(
        &self,
        release: &mut Release,
        mut resources: Vec<Resource>,
        adopted: Option<Vec<Resource>>,
        options: &Install,
    ) -> Result<(), ActionError> {
        let (configuration, storage) = (&self.configuration, &self.storage);
        configuration.memory.keep(&[release], &[&resources, adopted.as_deref().unwrap_or_default()]);
        if options.runs_hooks {
            let ran = hooks::run(configuration, storage, release, Event::PreInstall, &options.wait).await;
            ran.map_err(ActionError::PreInstall)?;
        }
        configuration.steps.tell(Step::Apply { count: resources.len() });
        let method = release.apply_method.unwrap_or(ApplyMethod::ClientSide);
        if adopted.as_ref().is_some_and(Vec::is_empty) {
            resources::create_all(configuration, &mut resources, creating(method)).await?;
        } else {
            let method = match method {
                ApplyMethod::ServerSide => Method::ServerSide { force: true },
                ApplyMethod::ClientSide => {
                    Method::ClientSide { replaces: false, merges_custom: options.takes_ownership }
                }
            };
            let updating = Updating { method, tells_created: false };
            let originals = adopted.unwrap_or_default();
            resources::update_all(configuration, &originals, &mut resources, updating).await.1?;
        }
        configuration.memory.keep(&[release], &[]);
        wait::for_objects(configuration, resources, &options.wait).await?;
        if options.runs_hooks {
            let ran = hooks::run(configuration, storage, release, Event::PostInstall, &options.wait).await;
            ran.map_err(ActionError::PostInstall)?;
        }
        Ok(())
    }
}

/// Makes a namespace, unless it is there.
async fn create_namespace(configuration: &Configuration, name: &str) -> Result<(), ActionError> {
    let object = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {"name": name}},
    });
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Namespace"));
    let mapped = RestMapping { resource, namespaced: false };
    let target = Target { mapped: &mapped, namespace: "", name: "" };
    let field_manager = Some(configuration.manager.field_manager.to_owned());
    let params = PostParams { field_manager, ..PostParams::default() };
    match configuration.requests().create(&target, &params, &object).await {
        Err(error) if error.status().is_none_or(|status| status.reason != "AlreadyExists") => {
            Err(ActionError::Namespace(error))
        }
        _ => Ok(()),
    }
}
