//! Where a release goes: the cluster, and the identity that everything is done with there.

use std::sync::Arc;

use api::HelmRelease;
use api::helm::reasons::REST_CLIENT_ERROR;
use api::helm::{FIELD_MANAGER, GROUP};
use apply::kstatus::custom::HealthRules;
use apply::manager::Manager;
use apply::mapper::Mapper;
use apply::mask::Mask;
use clusters::ConnectError;
use helm_actions::{Configuration, Log, Memory, Observer, Stop};
use identity::{Operation, Requester};
use kube::Client;
use net::chain;
use references::{account_of, check_account_name};
use runtime::client::impersonate;
use std::time::Duration;

use crate::activity;
use crate::obstacle::{Halt, Obstacle};
use crate::pass::Pass;

/// Who writes.
pub const MANAGER: Manager = Manager { field_manager: FIELD_MANAGER, group: GROUP };
/// Longest wait for one answer of the API server.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The cluster of a release, and how it is touched.
pub struct Target {
    /// The identity there.
    pub client: Client,
    /// What the cluster serves.
    pub mapper: Arc<Mapper>,
    /// What no message may show.
    pub secrets: Mask,
    /// Health by expressions of the user.
    pub rules: Option<Arc<HealthRules>>,
}

/// Why there is no access to a cluster.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The other cluster cannot be used.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The service account cannot be one.
    #[error("service account: {0}")]
    Account(String),
}

/// The service account of a HelmRelease, of its own namespace; none means the controller itself.
pub fn service_account<'a>(object: &'a HelmRelease, default: Option<&'a str>) -> Option<&'a str> {
    account_of(object.spec.service_account_name.as_deref(), default)
}

impl Pass<'_> {
    /// Where the release goes.
    ///
    /// # Errors
    /// There is no access.
    pub(crate) async fn target(&mut self, secrets: Mask, rules: HealthRules) -> Result<Target, Halt> {
        let access = self.access().await;
        let (client, mapper) = access.map_err(|error| {
            Obstacle::retried(REST_CLIENT_ERROR, format!("Failed to build REST client: {}", chain(&error)))
        })?;
        let rules = (!rules.is_empty()).then(|| Arc::new(rules));
        Ok(Target { client, mapper, secrets, rules })
    }

    /// The identity, and what the cluster serves.
    ///
    /// # Errors
    /// See [`AccessError`].
    pub(crate) async fn access(&mut self) -> Result<(Client, Arc<Mapper>), AccessError> {
        let object = &self.subject.object;
        let cluster = match &object.spec.kube_config {
            None => {
                self.slot.remote = None;
                &self.context.cluster
            }
            Some(reference) => {
                let (namespace, name) = (self.subject.namespace(), self.subject.name());
                let operation = Operation::FetchKubeconfig;
                let requester = Requester { kind: "HelmRelease", namespace, name, operation };
                self.progress.at("connect", Some("the API server of its cluster".to_owned()));
                let remote = self.context.clusters.connect(requester, reference).await?;
                self.slot.remote.insert(remote).cluster()
            }
        };
        let mut client = cluster.client.clone();
        let default = self.context.arguments.default_service_account.as_deref();
        if let Some(account) = service_account(object, default) {
            check_account_name(account).map_err(|error| AccessError::Account(error.to_string()))?;
            let user = format!("system:serviceaccount:{}:{account}", self.subject.namespace());
            let impersonated = impersonate(&client, &user);
            client = impersonated.map_err(|error| AccessError::Account(error.to_string()))?;
        }
        Ok((client, cluster.mapper.clone()))
    }

    /// How actions touch the release whose revisions are stored in this namespace.
    pub(crate) fn configuration(
        &self,
        target: &Target,
        storage_namespace: String,
        observer: Observer,
    ) -> Configuration {
        Configuration {
            client: target.client.clone(),
            mapper: target.mapper.clone(),
            manager: MANAGER,
            storage_namespace,
            limits: helm_release::Limits::default(),
            request_timeout: REQUEST_TIMEOUT,
            concurrency: self.context.arguments.concurrent_requests.into(),
            mask: target.secrets.clone(),
            observer,
            steps: activity::steps(&self.progress),
            log: Log::default(),
            memory: Memory::default(),
            kept: self.kept.clone(),
            stop: Stop { shutdown: self.context.stop.clone(), interrupt: self.interrupt.clone() },
        }
    }
}
