//! One object to the API server.

use std::time::Duration;

use apply::error::RequestError;
use apply::ownership::takeover_patch;
use kube::api::{Patch, PatchParams};
use kube::core::params::ValidationDirective;
use serde_json::Value;

use super::Resource;
use crate::configuration::Configuration;

/// How often a write is tried while others change what it is about, and the wait in between, as in client-go.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(10);

/// How objects that are there are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// By server-side apply.
    ServerSide {
        /// Fields of others are taken.
        force: bool,
    },
}

/// Why an object was not written, in the words of Helm.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Others own fields of it.
    #[error("conflict occurred while applying object {object}")]
    Conflict {
        /// Which.
        object: String,
        /// The API server's answer.
        #[source]
        source: RequestError,
    },
    /// The API server refuses it or does not answer.
    #[error("server-side apply failed for object {object}")]
    Apply {
        /// Which.
        object: String,
        /// Why.
        #[source]
        source: RequestError,
    },
    /// What the client-side managed fields become cannot be written.
    #[error("failed to patch object to upgrade CSA field manager {object}")]
    Upgrade {
        /// Which.
        object: String,
        /// Why.
        #[source]
        source: RequestError,
    },
    /// It could not be read.
    #[error("could not get information about the resource")]
    Get(#[source] RequestError),
    /// It was not there, and could not be created.
    #[error("failed to create resource")]
    Missing(#[source] Box<SendError>),
    /// It could not be deleted.
    #[error("failed to delete resource namespace={namespace}, name={name}, kind={kind}")]
    Delete {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Its kind.
        kind: String,
        /// Why.
        #[source]
        source: RequestError,
    },
    /// The process ends.
    #[error("context canceled")]
    Canceled,
}

/// Tries again while the answer is that what it is about has changed meanwhile.
pub(crate) async fn retried<T>(
    is_passing: impl Fn(&RequestError) -> bool,
    mut send: impl AsyncFnMut() -> Result<T, RequestError>,
) -> Result<T, RequestError> {
    for _ in 1..TRIES {
        match send().await {
            Err(error) if is_passing(&error) => tokio::time::sleep(PAUSE).await,
            answer => return answer,
        }
    }
    send().await
}

/// Quotas are counted by writes that may meet.
fn is_quota_conflict(error: &RequestError) -> bool {
    let text = error.to_string();
    error.is_conflict()
        && text.contains("Operation cannot be fulfilled on resourcequotas")
        && text.contains("the object has been modified")
}

/// Has the API server apply an object. Fields that the same manager once wrote by updates become applied ones, so that those that
/// are not wanted any more go.
async fn apply(configuration: &Configuration, resource: &Resource, force: bool) -> Result<Value, SendError> {
    let answer = apply_once(configuration, resource, force).await?;
    let manager = &configuration.manager;
    let own = [manager.field_manager.to_owned()];
    let Some(mut patch) = takeover_patch(&answer, manager, &own) else { return Ok(answer) };
    let requests = configuration.requests();
    let params = PatchParams { field_manager: Some(own.concat()), ..PatchParams::default() };
    let upgraded = |source| SendError::Upgrade { object: resource.described(), source };
    for _ in 1..TRIES {
        let Ok(operations) = serde_json::from_value(patch.clone()) else { break };
        match requests.patch(&resource.target(), &params, &Patch::Json(operations)).await {
            Err(error) if error.is_conflict() => {}
            answer => {
                answer.map_err(|error| upgraded(configuration.masked(error, &resource.object)))?;
                break;
            }
        }
        let live = requests.get(&resource.target()).await.map_err(upgraded)?;
        match live.and_then(|live| takeover_patch(&live, manager, &own)) {
            Some(anew) => patch = anew,
            None => break,
        }
    }
    apply_once(configuration, resource, force).await
}

async fn apply_once(
    configuration: &Configuration,
    resource: &Resource,
    force: bool,
) -> Result<Value, SendError> {
    let requests = configuration.requests();
    let params = PatchParams {
        force,
        field_manager: Some(configuration.manager.field_manager.to_owned()),
        field_validation: Some(ValidationDirective::Strict),
        ..PatchParams::default()
    };
    let patch = Patch::Apply(resource.object.clone());
    let sent = retried(is_quota_conflict, async || requests.patch(&resource.target(), &params, &patch).await);
    sent.await.map_err(|error| {
        let object = resource.described();
        let source = configuration.masked(error, &resource.object);
        match source.is_conflict() {
            true => SendError::Conflict { object, source },
            false => SendError::Apply { object, source },
        }
    })
}

/// Writes an object, whether it is there or not, and gives the live one.
pub(super) async fn write(
    configuration: &Configuration,
    resource: &Resource,
    method: Method,
) -> Result<Value, SendError> {
    if configuration.stop.shutdown.is_cancelled() {
        return Err(SendError::Canceled);
    }
    match method {
        Method::ServerSide { force } => apply(configuration, resource, force).await,
    }
}
