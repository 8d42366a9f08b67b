//! A release becomes another revision (`pkg/action/upgrade.go` of Helm).

use std::collections::BTreeMap;

use helm::Event;
use helm_release::{ApplyMethod, Release, Status, Time};
use jiff::Timestamp;

use crate::configuration::Configuration;
use crate::error::{ActionError, Outcome, joined};
use crate::options::{Rendition, Upgrade, updating};
use crate::pending::Pending;
use crate::resources::{self, Metadata, Propagation, Resource, Updating};
use crate::reuse::Former;
use crate::steps::Step;
use crate::storage::{Entry, Storage, next_revision};
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
        release.revision = next_revision(&entries, Some(&last));
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
        let method = self.method(options);
        let Self { configuration, storage, release: planned, entries, last, deployed } = self;
        let log = configuration.log.clone();
        log.debug(
            "determined release apply method",
            [
                ("server_side_apply", (method == ApplyMethod::ServerSide).into()),
                ("previous_release_apply_method", last.apply_method.map_or("", ApplyMethod::name).into()),
            ],
        );
        let labels = last.labels.clone();
        let original = deployed.unwrap_or(last);
        let release = pending(planned, &original, method, labels).of(rendition.into());
        let (name, namespace) = (release.name.clone(), release.namespace.clone());
        let line = |message: &str| log.debug(message, [("name", name.as_str().into())]);
        line("performing update");
        let metadata = Metadata { name: &name, namespace: &namespace };
        let mapper = &configuration.mapper;
        let built = resources::build(mapper, &namespace, &release.manifest).await;
        let mut targets = built.map_err(ActionError::BuildUpgrade)?;
        let built = resources::build(mapper, &namespace, &original.manifest).await;
        let mut current = built.map_err(ActionError::BuildCurrent)?;
        targets.iter_mut().for_each(|resource| metadata.mark(&mut resource.object));
        // Otherwise what is there is taken, whosever it is.
        if !options.takes_ownership {
            let known = resources::by_id(&current);
            let added: Vec<Resource> =
                targets.iter().filter(|target| !known.contains_key(&target.id)).cloned().collect();
            let there = resources::conflicting(&configuration, &added, metadata).await;
            current.extend(there.map_err(ActionError::AdoptUpgrade)?);
        }
        line("creating upgraded release");
        storage.create(&release, &entries, options.max_history).await?;
        let mut created = Vec::new();
        let mut upgrading = Upgrading { configuration, storage, original, release };
        let ended = upgrading.perform(current, targets, &mut created, options).await;
        let Upgrading { configuration, storage, mut original, mut release } = upgrading;
        match ended {
            Ok(()) => {
                original.info.status = Status::Superseded;
                storage.record(&original).await;
                // An earlier upgrade may not have been able to write that down.
                let others = entries.iter().filter(|entry| entry.revision != original.version);
                if let Err(error) = storage.supersede_deployed(&name, others).await {
                    tracing::warn!(name, error = net::chain(&error), "failed to supersede earlier revisions");
                }
                line("updating status for upgraded release");
                release.info.status = Status::Deployed;
                release.info.description = "Upgrade complete".to_owned();
                let stored = storage.update(&release).await;
                Ok(Outcome::of(release, stored.map_err(ActionError::from)))
            }
            Err(error) => {
                let text = net::chain(&error);
                release.info.status = Status::Failed;
                release.info.description = format!("Upgrade {name:?} failed: {text}");
                log.warn("upgrade failed", [("name", name.as_str().into()), ("error", text.into())]);
                storage.record(&release).await;
                let error = if options.cleans_up {
                    clean_up(&configuration, created, "upgrade", error).await
                } else {
                    error
                };
                Ok(Outcome { release, error: Some(error) })
            }
        }
    }
}

fn pending(
    planned: helm::Release,
    original: &Release,
    method: ApplyMethod,
    labels: BTreeMap<String, String>,
) -> Pending {
    Pending {
        name: planned.name,
        namespace: planned.namespace,
        version: planned.revision,
        first_deployed: original.info.first_deployed.clone(),
        last_deployed: Time::new(Timestamp::now()),
        status: Status::PendingUpgrade,
        description: "Preparing upgrade".to_owned(),
        method,
        labels,
    }
}

/// An upgrade whose revision is stored.
struct Upgrading {
    configuration: Configuration,
    storage: Storage,
    original: Release,
    release: Release,
}

impl Upgrading {
    async fn perform(
        &mut self,
        current: Vec<Resource>,
        mut targets: Vec<Resource>,
        created: &mut Vec<Resource>,
        options: &Upgrade,
    ) -> Result<(), ActionError> {
        let Self { configuration, storage, original, release } = self;
        configuration.memory.keep(&[original, release], &[&current, &targets]);
        if options.runs_hooks {
            let ran = hooks::run(configuration, storage, release, Event::PreUpgrade, &options.wait).await;
            ran.map_err(ActionError::PreUpgrade)?;
        }
        configuration.steps.tell(Step::Apply { count: targets.len() });
        let method = updating(release.apply_method.unwrap_or(ApplyMethod::ClientSide), options.forces);
        let updating = Updating { method, tells_created: options.cleans_up };
        let (changed, updated) = resources::update_all(configuration, &current, &mut targets, updating).await;
        *created = changed.created;
        drop(current);
        configuration.memory.keep(&[original, release], &[created]);
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
    configuration.steps.tell(Step::Delete { count: created.len() });
    configuration.log.debug("cleanup on fail set", [("cleaning_resources", created.len().into())]);
    let errors = resources::delete_all(configuration, &mut created, Propagation::Background).await;
    if errors.is_empty() {
        configuration.log.debug("resource cleanup complete", []);
        return error;
    }
    ActionError::CleanUp { action, original: net::chain(&error), texts: joined(&errors, ", ") }
}
