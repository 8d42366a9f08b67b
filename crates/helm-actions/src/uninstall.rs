//! A release goes (`pkg/action/uninstall.go` of Helm).

use helm::Event;
use helm::manifests::{UNINSTALL_ORDER, sort_by_kind};
use helm_release::{Release, Status, Time};
use jiff::Timestamp;
use serde_json::Value;

use crate::configuration::Configuration;
use crate::error::{ActionError, Outcome};
use crate::options::Uninstall;
use crate::resources::{self, KEEP, Metadata, POLICY, Resource};
use crate::steps::Step;
use crate::storage::{Entry, Storage};
use crate::{hooks, wait};

impl Configuration {
    /// Uninstalls a release.
    ///
    /// Objects that are not marked as those of the release stay, as do those with the policy to keep them; what has another policy
    /// stays, too.
    ///
    /// # Errors
    /// There is no release, or nothing was done to it. What failed later is in the [`Outcome`].
    pub async fn uninstall(&self, name: &str, options: &Uninstall) -> Result<Outcome, ActionError> {
        let storage = self.storage();
        let entries = storage.entries(name).await?;
        let mut release = storage.newest(name, &entries).await?.ok_or(ActionError::NotFound)?;
        if release.info.status == Status::Uninstalled {
            if options.keeps_history {
                return Err(ActionError::AlreadyDeleted(name.to_owned()));
            }
            purge(&storage, name, &entries).await?;
            return Ok(Outcome::of(release, Ok(())));
        }
        release.info.status = Status::Uninstalling;
        release.info.deleted = Some(Time::new(Timestamp::now()));
        release.info.description = "Deletion in progress (or silently failed)".to_owned();
        let ended = self.remove(&storage, &mut release, &entries, options).await;
        Ok(Outcome::of(release, ended))
    }

    async fn remove(
        &self,
        storage: &Storage,
        release: &mut Release,
        entries: &[Entry],
        options: &Uninstall,
    ) -> Result<(), ActionError> {
        let name = release.name.clone();
        self.memory.keep(&[release], &[]);
        self.log.debug("uninstall: deleting release", [("name", name.as_str().into())]);
        if options.runs_hooks {
            hooks::run(self, storage, release, Event::PreDelete, &options.wait).await?;
        }
        storage.record(release).await;
        let deleted = self.delete_objects(release, options).await?;
        self.memory.keep(&[release], &[]);
        let mut errors = Vec::new();
        if let Err(error) = wait::for_deletion(self, deleted, &options.wait).await {
            errors.push(net::chain(&error));
        }
        if options.runs_hooks
            && let Err(error) = hooks::run(self, storage, release, Event::PostDelete, &options.wait).await
        {
            errors.push(net::chain(&error));
        }
        release.info.status = Status::Uninstalled;
        release.info.description = "Uninstallation complete".to_owned();
        if options.keeps_history {
            storage.record(release).await;
            storage.supersede_deployed(&name, entries.iter()).await?;
        } else {
            self.log.debug("purge requested", [("release", name.as_str().into())]);
            if let Err(error) = purge(storage, &name, entries).await {
                errors.push(format!("uninstall: Failed to purge the release: {}", net::chain(&error)));
            }
        }
        match errors.len() {
            0 => Ok(()),
            count => Err(ActionError::Uninstalled { count, texts: errors.join("; ") }),
        }
    }

    /// Deletes the objects of a release, and gives those that it has asked to go.
    async fn delete_objects(
        &self,
        release: &Release,
        options: &Uninstall,
    ) -> Result<Vec<Resource>, ActionError> {
        let failed = |reason: String| {
            self.log.warn("uninstall: Failed to delete release", [("error", reason.into())]);
            ActionError::Delete(release.name.clone())
        };
        let built = resources::build(&self.mapper, &release.namespace, &release.manifest).await;
        let mut resources = built.map_err(|error| failed(error.to_string()))?;
        resources.retain(|resource| !is_kept(resource));
        sort_by_kind(&mut resources, UNINSTALL_ORDER, |resource| &resource.id.kind);
        let metadata = Metadata { name: &release.name, namespace: &release.namespace };
        let (mut owned, unread) = resources::owned_alone(self, resources, metadata).await;
        self.steps.tell(Step::Delete { count: owned.len() });
        let errors = resources::delete_all(self, &mut owned, options.propagation).await;
        let mut texts: Vec<String> = unread.iter().map(|error| net::chain(error)).collect();
        texts.extend(errors.iter().map(|error| net::chain(error)));
        if texts.is_empty() { Ok(owned) } else { Err(failed(texts.join("; "))) }
    }
}

/// What has a policy is left alone, whichever it is; the log tells of those that are to stay.
fn is_kept(resource: &Resource) -> bool {
    let policy =
        resource.object.pointer("/metadata/annotations").and_then(|annotations| annotations.get(POLICY));
    let Some(policy) = policy.and_then(Value::as_str) else { return false };
    if policy.trim().eq_ignore_ascii_case(KEEP) {
        tracing::info!(resource = %resource.id, "resource is kept by its policy");
    }
    true
}

async fn purge(storage: &Storage, name: &str, entries: &[Entry]) -> Result<(), ActionError> {
    for entry in entries {
        storage.delete(name, entry.revision).await?;
    }
    Ok(())
}
