//! A release becomes another revision (`pkg/action/upgrade.go` of Helm).

use helm::Event;
use helm_release::{ApplyMethod, Info, Release, Status, Time};
use jiff::Timestamp;

use crate::configuration::Configuration;
use crate::error::{ActionError, Outcome, joined};
use crate::options::{Rendition, Upgrade, updating};
use crate::resources::{self, Metadata, Propagation, Resource, Updating};
use crate::reuse::Former;
use crate::storage::{Entry, Storage};
use crate::{hooks, wait};

/// A release that can be upgraded: its chart is rendered for [`Self::release`], and then comes [`Self::run`].
pub struct UpgradePlan {
    configuration: Configuration,
    storage: Storage,
    release: helm::Release,
    entries: Vec<Entry>,
    last: Release,
    /// The revision whose objects are in the cluster, if it is not the last one.
    deployed: Option<Release>,
}

impl Configuration {
    /// Looks whether a release can be upgraded.
    ///
    /// # Errors
    /// It cannot, for one because there is none, or nothing of it in the cluster.
    pub async fn plan_upgrade(&self, name: &str) -> Result<UpgradePlan, ActionError> {
        let mut release =
            helm::Release { name: name.to_owned(), namespace: String::new(), revision: 1, is_upgrade: true };
        release.check_name()?;
        self.log.debug("preparing upgrade", [("name", name.into())]);
        let storage = self.storage();
        let entries = storage.entries(name).await?;
        let none = || ActionError::NoDeployed(name.to_owned());
        let last = storage.newest(name, &entries).await?.ok_or_else(none)?;
        if last.info.status.is_pending() {
            return Err(ActionError::Pending);
        }
        let deployed = match last.info.status {
            Status::Deployed => None,
            _ => {
                let deployed: Vec<Entry> =
                    entries.iter().copied().filter(|entry| entry.is_deployed).collect();
                storage.newest(name, &deployed).await?
            }
        };
        if deployed.is_none()
            && !matches!(last.info.status, Status::Deployed | Status::Failed | Status::Superseded)
        {
            return Err(none());
        }
        deployed.as_ref().unwrap_or(&last).namespace.clone_into(&mut release.namespace);
        release.revision = last.version.saturating_add(1);
        Ok(UpgradePlan { configuration: self.clone(), storage, release, entries, last, deployed })
    }
}

impl UpgradePlan {
    /// What the chart is rendered for.
    pub fn release(&self) -> &helm::Release {
        &self.release
    }

    /// The values to go on from: those of the revision whose objects are in the cluster.
    pub fn former(&self) -> Former {
        Former::of(self.current())
    }

    /// The revision whose objects are in the cluster.
    fn current(&self) -> &Release {
        self.deployed.as_ref().unwrap_or(&self.last)
    }

    /// How the objects will be applied.
    pub fn method(&self, options: &Upgrade) -> ApplyMethod {
        options.apply.after(&self.last)
    }

    /// Upgrades to a rendered chart.
    ///
    /// # Errors
    /// Nothing was stored. What failed later is in the [`Outcome`].
    pub async fn run(self, rendition: Rendition, options: &Upgrade) -> Result<Outcome, ActionError> {
        let (configuration, log) = (&self.configuration, &self.configuration.log);
        let method = self.method(options);
        log.debug(
            "determined release apply method",
            [
                ("server_side_apply", (method == ApplyMethod::ServerSide).into()),
                (
                    "previous_release_apply_method",
                    self.last.apply_method.map_or("", ApplyMethod::name).into(),
                ),
            ],
        );
        let mut release = self.new_release(rendition, method);
        let mut original = self.current().clone();
        let (name, namespace) = (release.name.clone(), release.namespace.clone());
        log.debug("performing update", [("name", name.as_str().into())]);
        let metadata = Metadata { name: &name, namespace: &namespace };
        let mapper = &configuration.mapper;
        let built = resources::build(mapper, &namespace, &release.manifest).await;
        let mut targets = built.map_err(ActionError::BuildUpgrade)?;
        let built = resources::build(mapper, &namespace, &original.manifest).await;
        let mut current = built.map_err(ActionError::BuildCurrent)?;
        targets.iter_mut().for_each(|resource| metadata.mark(&mut resource.object));
        // Otherwise what is there is taken, whosever it is.
        if !options.takes_ownership {
            let added: Vec<Resource> =
                targets.iter().filter(|target| !target.is_in(&current)).cloned().collect();
            let there = resources::conflicting(configuration, &added, metadata).await;
            current.extend(there.map_err(ActionError::AdoptUpgrade)?);
        }
        log.debug("creating upgraded release", [("name", name.as_str().into())]);
        self.storage.create(&release, &self.entries, options.max_history).await?;
        let mut created = Vec::new();
        let ended =
            self.perform(&mut release, &mut original, &current, &mut targets, &mut created, options).await;
        match ended {
            Ok(()) => {
                original.info.status = Status::Superseded;
                self.storage.record(&original).await;
                release.info.status = Status::Deployed;
                release.info.description = "Upgrade complete".to_owned();
                log.debug("updating status for upgraded release", [("name", name.as_str().into())]);
                let stored = self.storage.update(&release).await;
                Ok(Outcome::of(release, stored.map_err(ActionError::from)))
            }
            Err(error) => {
                release.info.status = Status::Failed;
                let text = net::chain(&error);
                release.info.description = format!("Upgrade {name:?} failed: {text}");
                log.warn("upgrade failed", [("name", name.as_str().into()), ("error", text.into())]);
                self.storage.record(&release).await;
                let error = if options.cleans_up {
                    clean_up(configuration, created, "upgrade", error).await
                } else {
                    error
                };
                Ok(Outcome { release, error: Some(error) })
            }
        }
    }

    fn new_release(&self, rendition: Rendition, method: ApplyMethod) -> Release {
        Release {
            name: self.release.name.clone(),
            namespace: self.release.namespace.clone(),
            info: Info {
                first_deployed: self.current().info.first_deployed.clone(),
                last_deployed: Some(Time::new(Timestamp::now())),
                status: Status::PendingUpgrade,
                description: "Preparing upgrade".to_owned(),
                notes: rendition.notes,
                ..Info::default()
            },
            chart: rendition.chart,
            config: rendition.config,
            manifest: rendition.manifest,
            hooks: (!rendition.hooks.is_empty()).then_some(rendition.hooks),
            version: self.release.revision,
            apply_method: Some(method),
            labels: self.last.labels.clone(),
        }
    }

    async fn perform(
        &self,
        release: &mut Release,
        original: &mut Release,
        current: &[Resource],
        targets: &mut [Resource],
        created: &mut Vec<Resource>,
        options: &Upgrade,
    ) -> Result<(), ActionError> {
        let (configuration, storage) = (&self.configuration, &self.storage);
        if options.runs_hooks {
            let ran = hooks::run(configuration, storage, release, Event::PreUpgrade, &options.wait).await;
            ran.map_err(ActionError::PreUpgrade)?;
        }
        let method = updating(self.method(options), options.forces);
        let updating = Updating { method, tells_created: options.cleans_up };
        let (changed, updated) = resources::update_all(configuration, current, targets, updating).await;
        *created = changed.created;
        let ready = match updated {
            Ok(()) => {
                wait::for_objects(configuration, targets, &options.wait).await.map_err(ActionError::from)
            }
            Err(error) => Err(error.into()),
        };
        if ready.is_err() {
            storage.record(original).await;
        }
        ready?;
        if options.runs_hooks {
            let ran = hooks::run(configuration, storage, release, Event::PostUpgrade, &options.wait).await;
            ran.map_err(ActionError::PostUpgrade)?;
        }
        Ok(())
    }
}

/// Deletes what a failed action has created.
pub(crate) async fn clean_up(
    configuration: &Configuration,
    mut created: Vec<Resource>,
    action: &'static str,
    error: ActionError,
) -> ActionError {
    configuration.log.debug("cleanup on fail set", [("cleaning_resources", created.len().into())]);
    let errors = resources::delete_all(configuration, &mut created, Propagation::Background).await;
    if errors.is_empty() {
        configuration.log.debug("resource cleanup complete", []);
        return error;
    }
    ActionError::CleanUp { action, original: net::chain(&error), texts: joined(&errors, ", ") }
}
