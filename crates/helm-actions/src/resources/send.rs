//! One object to the API server.

use std::time::Duration;

use apply::error::RequestError;
use apply::ownership::takeover_patch;
use futures::FutureExt;
use futures::future::BoxFuture;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::params::ValidationDirective;
use serde_json::Value;

use super::patch::PatchError;
use super::{Resource, patch, patch_types};
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
    /// By a patch of the client, or a creation.
    ClientSide {
        /// The whole object takes the place of the one that is there.
        replaces: bool,
        /// What others changed of kinds that are not built in is set back.
        merges_custom: bool,
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
    /// It could not be created.
    #[error(transparent)]
    Create(RequestError),
    /// What is to change cannot be told.
    #[error("failed to create patch")]
    Compare(#[from] PatchError),
    /// The API server refuses what is to change, or does not answer.
    #[error("cannot patch {name:?} with kind {kind}")]
    Patch {
        /// Its name.
        name: String,
        /// Its kind.
        kind: String,
        /// Why.
        #[source]
        source: RequestError,
    },
    /// It could not be replaced.
    #[error("failed to replace object")]
    Replace(#[source] RequestError),
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
pub(super) async fn retried<'a, T>(
    is_passing: impl Fn(&RequestError) -> bool,
    mut send: impl FnMut() -> BoxFuture<'a, Result<T, RequestError>>,
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
    let target = resource.target();
    let sent = retried(is_quota_conflict, || requests.patch(&target, &params, &patch).boxed());
    sent.await.map_err(|error| {
        let object = resource.described();
        let source = configuration.masked(error, &resource.object);
        match source.is_conflict() {
            true => SendError::Conflict { object, source },
            false => SendError::Apply { object, source },
        }
    })
}

/// Writes an object, whether it is there or not, and gives the live one. `original` is what it was in the manifest before.
pub(super) async fn write(
    configuration: &Configuration,
    resource: &Resource,
    original: Option<&Resource>,
    method: Method,
) -> Result<Value, SendError> {
    if configuration.stop.shutdown.is_cancelled() {
        return Err(SendError::Canceled);
    }
    match method {
        Method::ServerSide { force } => apply(configuration, resource, force).await,
        Method::ClientSide { replaces, merges_custom } => {
            let live = configuration.requests().get(&resource.target()).await.map_err(SendError::Get)?;
            match live {
                None => create(configuration, resource).await,
                Some(live) if replaces => replace(configuration, resource, &live).await,
                Some(live) => patch(configuration, resource, original, live, merges_custom).await,
            }
        }
    }
}

/// Creates an object; one that is there is an error.
pub(super) async fn create(configuration: &Configuration, resource: &Resource) -> Result<Value, SendError> {
    if configuration.stop.shutdown.is_cancelled() {
        return Err(SendError::Canceled);
    }
    let requests = configuration.requests();
    let params = post(configuration);
    let is_passing = |error: &RequestError| error.status().is_some_and(|status| status.reason == "Conflict");
    let target = resource.target();
    let created = retried(is_passing, || requests.create(&target, &params, &resource.object).boxed());
    created.await.map_err(|error| SendError::Create(configuration.masked(error, &resource.object)))
}

fn post(configuration: &Configuration) -> PostParams {
    let field_manager = Some(configuration.manager.field_manager.to_owned());
    PostParams { field_manager, ..PostParams::default() }
}

async fn replace(
    configuration: &Configuration,
    resource: &Resource,
    live: &Value,
) -> Result<Value, SendError> {
    let mut object = resource.object.clone();
    let version = live.pointer("/metadata/resourceVersion");
    if let (Some(Value::Object(metadata)), Some(version)) = (object.get_mut("metadata"), version) {
        metadata.insert("resourceVersion".to_owned(), version.clone());
    }
    let requests = configuration.requests();
    let replaced = requests.replace_strictly(&resource.target(), &post(configuration), &object).await;
    replaced.map_err(|error| SendError::Replace(configuration.masked(error, &resource.object)))
}

async fn patch(
    configuration: &Configuration,
    resource: &Resource,
    original: Option<&Resource>,
    live: Value,
    merges_custom: bool,
) -> Result<Value, SendError> {
    let new = &resource.object;
    // What was in no manifest before has nothing that is not wanted any more.
    let old = original.map_or(new, |original| &original.object);
    let patch = match patch_types::type_of(&resource.id.group, &resource.id.kind) {
        Some(of) => Patch::Strategic(patch::strategic(old, new, &live, of)?),
        None => Patch::Merge(patch::merge(old, new, if merges_custom { &live } else { old })),
    };
    if matches!(&patch, Patch::Strategic(Value::Object(fields)) | Patch::Merge(Value::Object(fields)) if fields.is_empty())
    {
        return Ok(live);
    }
    let params = PatchParams { field_manager: post(configuration).field_manager, ..PatchParams::default() };
    let patched = configuration.requests().patch(&resource.target(), &params, &patch).await;
    patched.map_err(|error| SendError::Patch {
        name: resource.id.name.clone(),
        kind: resource.id.kind.clone(),
        source: configuration.masked(error, &resource.object),
    })
}
