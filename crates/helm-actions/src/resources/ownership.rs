//! Whose an object is: the label and annotations of a release (`pkg/action/validate.go` of Helm).

use apply::error::RequestError;
use futures::FutureExt;
use serde_json::{Map, Value};

use super::Resource;
use crate::configuration::Configuration;

const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "Helm");
const RELEASE_NAME: &str = "meta.helm.sh/release-name";
const RELEASE_NAMESPACE: &str = "meta.helm.sh/release-namespace";

/// The release that objects belong to.
#[derive(Clone, Copy, Debug)]
pub struct Metadata<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
}

/// An object that is there is not of the release.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid ownership metadata; {0}")]
pub struct OwnershipError(String);

/// Why objects cannot become those of a release.
#[derive(Debug, thiserror::Error)]
pub enum AdoptionError {
    /// It cannot be told whether an object is there.
    #[error("could not get information about the resource {resource}")]
    Get {
        /// Which.
        resource: String,
        /// Why.
        #[source]
        source: RequestError,
    },
    /// It is there, and not of the release.
    #[error("{resource} exists and cannot be imported into the current release")]
    Foreign {
        /// Which.
        resource: String,
        /// Why it is none.
        #[source]
        source: OwnershipError,
    },
}

impl Metadata<'_> {
    /// Marks an object. What it says of another release is overwritten.
    pub(crate) fn mark(&self, object: &mut Value) {
        set(object, "labels", &[MANAGED_BY]);
        set(object, "annotations", &[(RELEASE_NAME, self.name), (RELEASE_NAMESPACE, self.namespace)]);
    }

    /// Whether an object is marked so.
    ///
    /// # Errors
    /// It is not.
    pub(crate) fn check(&self, object: &Value) -> Result<(), OwnershipError> {
        let faults: Vec<String> = [
            ("label", "labels", MANAGED_BY.0, MANAGED_BY.1),
            ("annotation", "annotations", RELEASE_NAME, self.name),
            ("annotation", "annotations", RELEASE_NAMESPACE, self.namespace),
        ]
        .into_iter()
        .filter_map(|(what, field, key, wanted)| {
            let is = object.pointer("/metadata").and_then(|m| m.get(field)).and_then(|map| map.get(key));
            let fault = match is.and_then(Value::as_str) {
                Some(is) if is == wanted => return None,
                Some(is) => format!("key {key:?} must equal {wanted:?}: current value is {is:?}"),
                None => format!("missing key {key:?}: must be set to {wanted:?}"),
            };
            Some(format!("{what} validation error: {fault}"))
        })
        .collect();
        if faults.is_empty() { Ok(()) } else { Err(OwnershipError(faults.join("; "))) }
    }
}

fn set(object: &mut Value, field: &str, entries: &[(&str, &str)]) {
    let Some(Value::Object(metadata)) = object.get_mut("metadata") else { return };
    let map = metadata.entry(field).or_insert(Value::Null);
    if map.is_null() {
        *map = Value::Object(Map::new());
    }
    // A map of another type stays as it is, for the API server to refuse.
    if let Value::Object(map) = map {
        map.extend(entries.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value))));
    }
}

/// As Helm names an object: `Kind "name" in namespace "namespace"`.
fn named(resource: &Resource) -> String {
    let id = &resource.id;
    format!("{} {:?} in namespace {:?}", id.kind, id.name, id.namespace)
}

/// The objects of these that are there, which must be of the release.
pub(crate) async fn conflicting(
    configuration: &Configuration,
    resources: &[Resource],
    metadata: Metadata<'_>,
) -> Result<Vec<Resource>, AdoptionError> {
    let there = existing(configuration, resources).await?;
    for resource in &there {
        metadata
            .check(resource.live.as_ref().unwrap_or(&Value::Null))
            .map_err(|source| AdoptionError::Foreign { resource: named(resource), source })?;
    }
    Ok(there)
}

/// The objects of these that are there, whosever they are, with the live ones.
pub(crate) async fn existing(
    configuration: &Configuration,
    resources: &[Resource],
) -> Result<Vec<Resource>, AdoptionError> {
    let read = resources.iter().map(|resource| with_live(configuration, resource).boxed()).collect();
    let read = configuration.side_by_side(read).await;
    read.into_iter().filter_map(Result::transpose).collect()
}

async fn with_live(
    configuration: &Configuration,
    resource: &Resource,
) -> Result<Option<Resource>, AdoptionError> {
    let live = configuration.requests().get(&resource.target()).await;
    let live = live.map_err(|source| AdoptionError::Get { resource: named(resource), source })?;
    Ok(live.map(|object| Resource { live: Some(object), ..resource.clone() }))
}

/// The objects of these that are there and of the release, and those that cannot be read now. Others are left alone, as are those that
/// may not be read. Helm leaves those alone, too, that the API server does not answer for just then.
pub(crate) async fn owned_alone(
    configuration: &Configuration,
    resources: Vec<Resource>,
    metadata: Metadata<'_>,
) -> (Vec<Resource>, Vec<AdoptionError>) {
    let checked = resources.into_iter().map(|resource| if_owned(configuration, resource, metadata).boxed());
    let (mut owned, mut errors) = (Vec::new(), Vec::new());
    for checked in configuration.side_by_side(checked.collect()).await {
        match checked {
            Ok(resource) => owned.extend(resource),
            Err(error) => errors.push(error),
        }
    }
    (owned, errors)
}

async fn if_owned(
    configuration: &Configuration,
    resource: Resource,
    metadata: Metadata<'_>,
) -> Result<Option<Resource>, AdoptionError> {
    let reason = match configuration.requests().get(&resource.target()).await {
        Ok(None) => return Ok(None),
        Ok(Some(live)) => match metadata.check(&live) {
            Ok(()) => return Ok(Some(resource)),
            Err(error) => error.to_string(),
        },
        Err(source) if !source.is_final() => {
            return Err(AdoptionError::Get { resource: named(&resource), source });
        }
        Err(error) => error.to_string(),
    };
    tracing::warn!(resource = %resource.id, reason, "resource is not deleted with its release");
    let [namespace, name, kind] = resource.named();
    configuration.log.warn(
        "skipping delete of resource not owned by this release",
        [kind, namespace, name, ("reason", reason.into())],
    );
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const OURS: Metadata<'_> = Metadata { name: "web", namespace: "apps" };

    #[test]
    fn a_marked_object_is_of_the_release_and_no_other() {
        let mut object = json!({"metadata": {"name": "a", "labels": null, "annotations": {"x": "y"}}});
        OURS.mark(&mut object);
        assert_eq!(OURS.check(&object), Ok(()));
        assert_eq!(object.pointer("/metadata/annotations/x"), Some(&json!("y")));
        let other = Metadata { name: "api", ..OURS };
        assert_eq!(
            other.check(&object).map_err(|error| error.to_string()),
            Err("invalid ownership metadata; annotation validation error: key \"meta.helm.sh/release-name\" must equal \"api\": \
                 current value is \"web\"".to_owned())
        );
    }

    #[test]
    fn all_that_is_missing_is_told() {
        assert_eq!(
            OURS.check(&json!({"metadata": {}})).map_err(|error| error.to_string()),
            Err("invalid ownership metadata; label validation error: missing key \"app.kubernetes.io/managed-by\": must be set to \
                 \"Helm\"; annotation validation error: missing key \"meta.helm.sh/release-name\": must be set to \"web\"; annotation \
                 validation error: missing key \"meta.helm.sh/release-namespace\": must be set to \"apps\"".to_owned())
        );
    }
}
