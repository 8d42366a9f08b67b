//! From the objects of one revision to those of another.

use futures::FutureExt;
use kube::core::GroupVersionKind;
use serde_json::Value;

use super::delete::delete;
use super::send::{self, Method, SendError};
use super::{ById, Propagation, Resource, by_id, groups};
use crate::configuration::Configuration;

/// The annotation by which an object outlives its release.
pub(crate) const POLICY: &str = "helm.sh/resource-policy";
pub(crate) const KEEP: &str = "keep";

/// Errors of several objects in one text, joined as Helm does it at that place.
#[derive(Debug)]
pub struct Joined {
    errors: Vec<SendError>,
    separator: &'static str,
}

impl std::error::Error for Joined {}

impl std::fmt::Display for Joined {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let texts: Vec<String> = self.errors.iter().map(|error| net::chain(error)).collect();
        f.write_str(&texts.join(self.separator))
    }
}

impl Joined {
    fn of(errors: Vec<SendError>, separator: &'static str) -> Result<(), Self> {
        if errors.is_empty() { Ok(()) } else { Err(Self { errors, separator }) }
    }
}

/// Creates objects, all of one kind before the next. All are tried.
pub(crate) async fn create_all(
    configuration: &Configuration,
    resources: &mut [Resource],
    method: Method,
) -> Result<(), Joined> {
    let mut errors = Vec::new();
    configuration.log.debug("creating resource(s)", [("resources", resources.len().into())]);
    let none = ById::new();
    for group in groups(resources) {
        let write = Write::create(method);
        let answers = each(configuration, group, &none, write, write.words(true));
        errors.extend(answers.await.into_iter().map(|(_, error)| error));
    }
    Joined::of(errors, "\n")
}

/// How one revision follows another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Updating {
    pub method: Method,
    /// Whether it matters which objects were not there before.
    pub tells_created: bool,
}

/// What an update has done, also if it failed.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    /// What was not there before. Complete if [`Updating::tells_created`].
    pub created: Vec<Resource>,
}

/// Makes the objects those of `targets`, and deletes what was of `originals` and is not wanted any more.
///
/// Helm does one object after another, and asks for each before it writes it. Here those of one kind are written at the same
/// time, and are asked for only if it matters whether they were there.
pub(crate) async fn update_all(
    configuration: &Configuration,
    originals: &[Resource],
    targets: &mut [Resource],
    updating: Updating,
) -> (Changed, Result<(), Joined>) {
    let mut changed = Changed::default();
    let mut errors = Vec::new();
    configuration.log.debug("checking resources for changes", [("resources", targets.len().into())]);
    let former = by_id(originals);
    for group in groups(targets) {
        if updating.tells_created {
            match missing(configuration, group).await {
                Ok(missing) => changed.created.extend(missing),
                Err(error) => return (changed, Joined::of(vec![error], " && ")),
            }
        }
        let write = Write::Update(updating.method);
        let answers = each(configuration, group, &former, write, write.words(false));
        for (resource, error) in answers.await {
            // What is not there ends the update; what is there and does not change is told at its end.
            let is_missing = configuration.requests().get(&resource.target()).await;
            if matches!(is_missing, Ok(None)) || matches!(error, SendError::Canceled) {
                let error = match error {
                    SendError::Canceled => error,
                    error => SendError::Missing(Box::new(error)),
                };
                return (changed, Joined::of(vec![error], " && "));
            }
            errors.push(error);
        }
    }
    if !errors.is_empty() {
        return (changed, Joined::of(errors, " && "));
    }
    let wanted = by_id(targets);
    for resource in originals.iter().filter(|original| !wanted.contains_key(&original.id)) {
        errors.extend(remove(configuration, resource).await.err());
    }
    (changed, Joined::of(errors, " && "))
}

async fn missing(configuration: &Configuration, group: &[Resource]) -> Result<Vec<Resource>, SendError> {
    let asked = group.iter().map(|resource| if_missing(configuration, resource).boxed());
    let answers = configuration.side_by_side(asked.collect()).await;
    answers.into_iter().filter_map(Result::transpose).collect()
}

async fn if_missing(
    configuration: &Configuration,
    resource: &Resource,
) -> Result<Option<Resource>, SendError> {
    let live = configuration.requests().get(&resource.target()).await.map_err(SendError::Get)?;
    // It may have to be deleted again, for which its name is enough.
    Ok(live.is_none().then(|| Resource { object: Value::Null, ..resource.clone() }))
}

/// How an object is written.
#[derive(Clone, Copy, Debug)]
enum Write {
    Create,
    Update(Method),
}

impl Write {
    /// Server-side, there is no difference.
    fn create(method: Method) -> Self {
        match method {
            Method::ServerSide { .. } => Self::Update(method),
            Method::ClientSide { .. } => Self::Create,
        }
    }

    /// What is said of an object that is written, and of one that is not.
    fn words(self, creates: bool) -> Option<[&'static str; 2]> {
        match self {
            Self::Update(Method::ServerSide { .. }) if creates => {
                Some(["Created resource via patch", "Error creating resource via patch"])
            }
            Self::Update(Method::ServerSide { .. }) => Some(["Patched resource", "Error patching resource"]),
            Self::Update(Method::ClientSide { replaces: true, .. }) => {
                Some(["replace succeeded", "error replacing the resource"])
            }
            Self::Update(Method::ClientSide { .. }) | Self::Create => None,
        }
    }

    async fn one(
        self,
        configuration: &Configuration,
        resource: &Resource,
        originals: &ById<'_>,
    ) -> Result<Value, SendError> {
        let original = originals.get(&resource.id).copied();
        match self {
            Self::Create => send::create(configuration, resource).await,
            Self::Update(method) => send::write(configuration, resource, original, method).await,
        }
    }
}

/// Writes the objects of a group and keeps the answers; gives those that failed.
async fn each(
    configuration: &Configuration,
    group: &mut [Resource],
    originals: &ById<'_>,
    write: Write,
    words: Option<[&str; 2]>,
) -> Vec<(Resource, SendError)> {
    let written = group.iter().map(|resource| write.one(configuration, resource, originals).boxed());
    let answers = configuration.side_by_side(written.collect()).await;
    let mut failed = Vec::new();
    for (resource, answer) in group.iter_mut().zip(answers) {
        if let Some([done, failed]) = words {
            let GroupVersionKind { group, version, kind } = &resource.gvk;
            let [namespace, name, _] = resource.named();
            let gvk = ("gvk", format!("{group}/{version}, Kind={kind}").into());
            match &answer {
                Ok(_) => configuration.log.debug(done, [namespace, name, gvk]),
                Err(error) => {
                    let error = ("error", net::chain(error).into());
                    configuration.log.debug(failed, [namespace, name, gvk, error]);
                }
            }
        }
        match answer {
            Ok(live) => resource.live = Some(live),
            Err(error) => failed.push((resource.clone(), error)),
        }
    }
    failed
}

/// Deletes an object that is no part of the release any more, unless the live one says that it is kept.
async fn remove(configuration: &Configuration, resource: &Resource) -> Result<(), SendError> {
    let log = &configuration.log;
    log.debug("deleting resource", resource.named());
    let live = match configuration.requests().get(&resource.target()).await {
        Ok(Some(live)) => live,
        Ok(None) => return Ok(()),
        // As Helm, which leaves alone what it cannot read.
        Err(error) => {
            let [namespace, name, kind] = resource.named();
            let error = ("error", net::chain(&error).into());
            log.debug("unable to get object", [namespace, name, kind, error]);
            return Ok(());
        }
    };
    let policy = live.pointer("/metadata/annotations").and_then(|annotations| annotations.get(POLICY));
    if policy.and_then(Value::as_str) == Some(KEEP) {
        log.debug("skipping delete due to annotation", resource.named());
        return Ok(());
    }
    delete(configuration, resource, Propagation::Background).await.map_err(|source| SendError::Delete {
        namespace: resource.id.namespace.clone(),
        name: resource.id.name.clone(),
        kind: resource.id.kind.clone(),
        source,
    })
}
