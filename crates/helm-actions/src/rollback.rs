//! A release becomes what it was in an earlier revision (`pkg/action/rollback.go` of Helm).

use helm::Event;
use helm_release::{ApplyMethod, Release, Status, Time};
use jiff::Timestamp;

use crate::configuration::Configuration;
use crate::error::{ActionError, Outcome};
use crate::options::{Rollback, updating};
use crate::pending::Pending;
use crate::resources::{self, Metadata, Resource, Updating};
use crate::steps::Step;
use crate::storage::{Entry, Storage, next_revision};
use crate::upgrade::clean_up;
use crate::{hooks, wait};

impl Configuration {
    /// Rolls a release back.
    ///
    /// As in Helm, hooks that fail leave the new revision pending: [`Self::unlock`] is for that.
    ///
    /// # Errors
    /// Nothing was stored. What failed later is in the [`Outcome`].
    pub async fn rollback(&self, name: &str, options: &Rollback) -> Result<Outcome, ActionError> {
        let line = |message: &str| self.log.debug(message, [("name", name.into())]);
        line("preparing rollback");
        let storage = self.storage();
        let entries = storage.entries(name).await?;
        let mut current = storage.newest(name, &entries).await?.ok_or(ActionError::NotFound)?;
        let revision = match options.revision {
            0 => current.version.saturating_sub(1),
            revision => revision,
        };
        let previous = storage.get(name, revision).await?.ok_or(ActionError::NoRevision(revision))?;
        self.log.debug(
            "rolling back",
            [
                ("name", name.into()),
                ("currentVersion", current.version.into()),
                ("targetVersion", revision.into()),
            ],
        );
        let method = options.apply.after(&previous);
        let version = next_revision(&entries, Some(&current));
        let mut release = new_release(&current, previous, revision, version, method);
        let (mapper, namespace) = (&self.mapper, &current.namespace);
        let built = resources::build(mapper, namespace, &current.manifest).await;
        let originals = built.map_err(ActionError::BuildCurrent)?;
        let built = resources::build(mapper, namespace, &release.manifest).await;
        let mut targets = built.map_err(ActionError::BuildTarget)?;
        let metadata = Metadata { name, namespace };
        targets.iter_mut().for_each(|resource| metadata.mark(&mut resource.object));
        line("creating rolled back release");
        storage.create(&release, &entries, options.max_history).await?;
        line("performing rollback");
        let ended = perform(self, &storage, &mut current, &mut release, originals, targets, options).await;
        let ended = match ended {
            Ok(()) => {
                line("updating status for rolled back release");
                supersede(&storage, &mut release, &entries).await
            }
            failed => failed,
        };
        Ok(Outcome::of(release, ended))
    }
}

fn new_release(
    current: &Release,
    previous: Release,
    revision: i64,
    version: i64,
    method: ApplyMethod,
) -> Release {
    let pending = Pending {
        name: current.name.clone(),
        namespace: current.namespace.clone(),
        version,
        first_deployed: current.info.first_deployed.clone(),
        last_deployed: Time::new(Timestamp::now()),
        status: Status::PendingRollback,
        description: format!("Rollback to {revision}"),
        method,
        labels: previous.labels.clone(),
    };
    let mut release = pending.of(previous);
    release.info.rollback_revision = revision;
    release
}

async fn perform(
    configuration: &Configuration,
    storage: &Storage,
    current: &mut Release,
    release: &mut Release,
    originals: Vec<Resource>,
    mut targets: Vec<Resource>,
    options: &Rollback,
) -> Result<(), ActionError> {
    configuration.memory.keep(&[current, release], &[&originals, &targets]);
    if options.runs_hooks {
        hooks::run(configuration, storage, release, Event::PreRollback, &options.wait).await?;
    }
    configuration.steps.tell(Step::Apply { count: targets.len() });
    let method = updating(release.apply_method.unwrap_or(ApplyMethod::ClientSide), options.forces);
    let updating = Updating { method, tells_created: options.cleans_up };
    let (changed, updated) = resources::update_all(configuration, &originals, &mut targets, updating).await;
    drop(originals);
    configuration.memory.keep(&[current, release], &[&changed.created]);
    if let Err(error) = updated {
        let error = ActionError::from(error);
        current.info.status = Status::Superseded;
        storage.record(current).await;
        let description = format!("Rollback {:?} failed: {}", release.name, net::chain(&error));
        configuration.log.warn(&description, []);
        fail(storage, release, description).await;
        return Err(match options.cleans_up {
            true => clean_up(configuration, changed.created, "rollback", error).await,
            false => error,
        });
    }
    if let Err(source) = wait::for_objects(configuration, targets, &options.wait).await {
        storage.record(current).await;
        fail(storage, release, format!("Release {:?} failed: {}", release.name, net::chain(&source))).await;
        return Err(ActionError::RolledBack { name: release.name.clone(), source });
    }
    if options.runs_hooks {
        hooks::run(configuration, storage, release, Event::PostRollback, &options.wait).await?;
    }
    Ok(())
}

async fn fail(storage: &Storage, release: &mut Release, description: String) {
    release.info.status = Status::Failed;
    release.info.description = description;
    storage.record(release).await;
}

/// The release is what is in the cluster, and no earlier revision is any more.
async fn supersede(storage: &Storage, release: &mut Release, entries: &[Entry]) -> Result<(), ActionError> {
    storage.supersede_deployed(&release.name, entries.iter()).await?;
    release.info.status = Status::Deployed;
    Ok(storage.update(release).await?)
}
