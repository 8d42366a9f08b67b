//! The end of a release: when its HelmRelease is deleted, or wants another one.

use std::time::Instant;

use api::helm::actions::HELM_UNINSTALL;
use api::helm::reasons::UNINSTALL_FAILED;
use api::helm_release::{Snapshot, latest, shorten_release_name};
use futures::FutureExt;
use helm_actions::Observer;
use helm_chart::Metadata;
use helm_release::{Observation, Release, Status as ReleaseStatus};
use helm_state::{Action, Desired, Ran, Run, clear_target};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use net::chain;
use references::get;
use runtime::controller::Outcome;
use runtime::patch::PatchError;

use crate::actions::{Failed, Watched, told, with_log};
use crate::obstacle::{Halt, Obstacle};
use crate::pass::{Pass, Prepared};
use crate::post_render::is_origin;
use crate::target::{AccessError, Target, service_account};

impl Pass<'_> {
    /// Uninstalls the release of a HelmRelease that is deleted, and lets it go.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) async fn finalize(&mut self) -> Result<Outcome, PatchError> {
        let finalizers = self.subject.object.metadata.finalizers.iter().flatten();
        if !finalizers.into_iter().any(|finalizer| finalizer == api::meta::FINALIZER) {
            return Ok(Outcome::Wait);
        }
        if !self.subject.object.spec.suspend {
            match self.uninstall_for_good().await {
                Ok(()) => {}
                Err(Halt::Patch(error)) => return Err(error),
                Err(Halt::Obstacle(obstacle)) => return self.stop_at(*obstacle).await,
            }
        }
        match self.subject.set_finalizer(false).await {
            Err(error) if !error.is_gone() => Err(error),
            _ => Ok(Outcome::Wait),
        }
    }

    async fn uninstall_for_good(&mut self) -> Result<(), Halt> {
        let status = self.subject.object.status.clone().unwrap_or_default();
        let is_stored = status.storage_namespace.as_ref().is_some_and(|namespace| !namespace.is_empty());
        if is_stored && let Some(target) = self.target_of_uninstall().await? {
            let target = Target { secrets: self.secrets().await, ..target };
            let algorithm = self.context.arguments.snapshot_digest_algo;
            let desired = Desired::new(&Metadata::default(), "", Default::default(), algorithm);
            if latest(&status.history).is_none() {
                let unnoted = self.unnoted(&target).await?;
                helm_state::status(&mut self.subject.object).history = unnoted.into_iter().collect();
            }
            self.uninstall(&target, &desired).await?;
            let status = helm_state::status(&mut self.subject.object);
            status.history.clear();
            status.storage_namespace = None;
            status.inventory = None;
            self.subject.save().await?;
        }
        if let Some(reference) = status.chart_reference() {
            self.delete_chart_object(&reference).await?;
        }
        Ok(())
    }

    /// The release that the history lacks because the process was killed when it was made: the newest stored revision, if its objects
    /// are of this HelmRelease. Where it may not be read, it is left behind.
    async fn unnoted(&mut self, target: &Target) -> Result<Option<Snapshot>, Halt> {
        let status = self.subject.object.status.clone().unwrap_or_default();
        let namespace = status.storage_namespace.unwrap_or_default();
        let storage = self.configuration(target, namespace, Observer::default()).storage();
        let name = shorten_release_name(&self.subject.object.release_name());
        let read = async { storage.newest(&name, &storage.entries(&name).await?).await };
        let newest = match read.await {
            Ok(newest) => newest,
            Err(error) if error.is_final() => {
                tracing::warn!("{}: it is not known whether there is a release to uninstall", chain(&error));
                None
            }
            Err(error) => {
                let message = format!("failed to look for a release to uninstall: {}", chain(&error));
                return Err(Obstacle::retried(UNINSTALL_FAILED, message).told(HELM_UNINSTALL, true).into());
            }
        };
        let is_ours = |release: &Release| {
            release.info.status != ReleaseStatus::Uninstalled
                && is_origin(&self.subject.object, &release.manifest)
        };
        let algorithm = self.context.arguments.snapshot_digest_algo;
        Ok(newest.filter(is_ours).and_then(|release| {
            let observed = Observation::new(&release, "").ok()?;
            Some(helm_state::snapshot(&observed, algorithm, None))
        }))
    }

    /// Where the release is uninstalled; `None` if whoever could do it is gone.
    async fn target_of_uninstall(&mut self) -> Result<Option<Target>, Halt> {
        let default = self.context.arguments.default_service_account.as_deref();
        let account = service_account(&self.subject.object, default).map(str::to_owned);
        if let (None, Some(account)) = (&self.subject.object.spec.kube_config, &account) {
            let api: Api<ServiceAccount> =
                Api::namespaced(self.context.client.clone(), self.subject.namespace());
            match get(&api, account).await {
                Ok(_) => {}
                Err(error) if error.is_not_found() => {
                    tracing::info!("ServiceAccount '{account}' is gone: skipping uninstall of the release");
                    return Ok(None);
                }
                Err(error) => {
                    let message = format!(
                        "failed to confirm ServiceAccount '{account}' can be used to uninstall release: {error}"
                    );
                    return Err(Obstacle::retried(UNINSTALL_FAILED, message)
                        .told(HELM_UNINSTALL, true)
                        .into());
                }
            }
        }
        match self.access().await {
            Ok((client, mapper)) => {
                Ok(Some(Target { client, mapper, secrets: Default::default(), rules: None }))
            }
            Err(AccessError::Connect(error)) if error.is_not_found() => {
                tracing::info!("{}: skipping uninstall of the release", chain(&error));
                Ok(None)
            }
            Err(error) => {
                let error = chain(&error);
                let message = format!("failed to build REST client getter to uninstall release: {error}");
                Err(Obstacle::retried(UNINSTALL_FAILED, message).told(HELM_UNINSTALL, true).into())
            }
        }
    }

    /// Uninstalls the release that was made before another one is.
    ///
    /// # Errors
    /// It is not uninstalled.
    pub(crate) async fn uninstall_former(&mut self, prepared: &Prepared) -> Result<(), Halt> {
        let Target { client, mapper, secrets, .. } = &prepared.target;
        let (client, mapper, secrets) = (client.clone(), mapper.clone(), secrets.clone());
        let target = Target { client, mapper, secrets, rules: None };
        self.uninstall(&target, &prepared.desired).await?;
        clear_target(&mut self.subject.object);
        Ok(())
    }

    /// Uninstalls the release of the newest snapshot.
    async fn uninstall(&mut self, target: &Target, desired: &Desired) -> Result<(), Halt> {
        let status = self.subject.object.status.clone().unwrap_or_default();
        let Some(current) = latest(&status.history) else { return Ok(()) };
        let settings = self.context.arguments.settings();
        let (object, action) = (&mut self.subject.object, Action::Uninstall);
        let run = Run::begin(object, action.clone(), &settings, Timestamp::now());
        let (watched, observer) = Watched::new(run);
        let namespace = status.storage_namespace.clone().unwrap_or_default();
        let configuration = self.configuration(target, namespace, observer);
        let options = self.given(target).uninstall();
        let begun = Instant::now();
        let work = configuration.uninstall(&current.name, &options).boxed();
        let acted = self.without_turn(&configuration.memory, desired.values(), work).await;
        let acted = acted.map_err(Failed::from);
        let (release, error, is_not_found) = told(acted.as_ref());
        let error = error.map(|text| target.secrets.apply(&text));
        let ran = Ran { error: error.as_deref(), is_not_found, release, took: begun.elapsed() };
        let Some(run) = watched.end() else { return Ok(()) };
        let ended = run.end(&mut self.subject.object, desired, &ran, Timestamp::now());
        let ended = with_log(ended, &configuration.log);
        if let Some(notice) = &ended.notice {
            self.tell(notice, &target.secrets);
        }
        match ended.error {
            Some(error) => Err(Obstacle::untold(error).into()),
            None => Ok(()),
        }
    }
}
