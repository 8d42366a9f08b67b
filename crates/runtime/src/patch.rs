//! Writing objects: merge patches that carry only what changed.
//!
//! A status patch that touches the conditions carries the resource version, because a merge patch replaces the
//! whole array; on a conflict the object is read again and the conditions are merged.

use std::fmt::Debug;

use api::Condition;
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use crate::conditions;

/// Conflicts in a row before a patch is given up.
const CONFLICT_ATTEMPTS: u32 = 5;

/// A write that failed.
#[derive(Debug, thiserror::Error)]
pub enum PatchError {
    /// The object could not be turned into JSON or back.
    #[error("failed to encode the object")]
    Encode(#[from] serde_json::Error),
    /// The API server refused.
    #[error("failed to patch the object")]
    Api(#[from] kube::Error),
    /// The object was deleted and made anew under its name; this write was for the old one.
    #[error("the object was replaced by another of the same name")]
    Replaced,
}

impl PatchError {
    /// Whether the object is gone, possibly with another one in its place.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Replaced)
            || matches!(self, Self::Api(kube::Error::Api(status)) if status.code == 404)
    }
}

/// Writes what differs in `status` between `before` (as last read) and `after`, in one request, as field manager
/// `manager`. Conditions of the `owned` types win over whatever somebody else wrote there. Returns the object as
/// the server has it now; without a difference nothing is sent.
///
/// # Guarantees
/// - A patch that carries conditions is for the version that was read. On a conflict the object is read again and conditions are
///   merged by type, so that those of others survive.
/// - An object that was made anew under its name is not written: that is [`PatchError::Replaced`].
///
/// # Caveats
/// - The answer may show a newer spec than the pass works with; that belongs to the next pass.
///
/// # Errors
/// See [`PatchError`]; a conflict only after several attempts.
pub async fn status<K>(
    api: &Api<K>,
    before: &K,
    after: &K,
    owned: &[&str],
    manager: &str,
) -> Result<K, PatchError>
where
    K: Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned + Debug,
{
    let name = after.name_any();
    let (old, new) = (status_of(before)?, status_of(after)?);
    let Some(mut change) = merge_diff(&old, &new) else { return Ok(after.clone()) };
    let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
    let mut version = after.resource_version();
    for attempt in 0..=CONFLICT_ATTEMPTS {
        let locked = change.get("conditions").is_some();
        let metadata = if locked {
            json!({ "uid": after.uid(), "resourceVersion": version })
        } else {
            json!({ "uid": after.uid() })
        };
        let body = json!({ "metadata": metadata, "status": change });
        match api.patch_status(&name, &params, &Patch::Merge(body)).await {
            Err(kube::Error::Api(status)) if status.code == 409 && attempt < CONFLICT_ATTEMPTS => {
                let live = live(api, after).await?;
                version = live.resource_version();
                let merged = conditions::merge(
                    &conditions_in(&old)?,
                    &conditions_in(&new)?,
                    &conditions_in(&status_of(&live)?)?,
                    owned,
                );
                if let Some(slot) = change.get_mut("conditions") {
                    *slot = serde_json::to_value(merged)?;
                }
            }
            other => return Ok(other?),
        }
    }
    Ok(after.clone())
}

/// Removes the status, if the object still is the same one.
///
/// # Errors
/// See [`PatchError`].
pub async fn clear_status<K>(api: &Api<K>, object: &K, manager: &str) -> Result<K, PatchError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let body = json!({ "metadata": { "uid": object.uid() }, "status": null });
    let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
    Ok(api.patch_status(&object.name_any(), &params, &Patch::Merge(body)).await?)
}

/// Adds or removes a finalizer, keeping those of others.
///
/// # Errors
/// See [`PatchError`].
pub async fn finalizer<K>(
    api: &Api<K>,
    object: &K,
    finalizer: &str,
    present: bool,
    manager: &str,
) -> Result<K, PatchError>
where
    K: Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned + Debug,
{
    let name = object.name_any();
    let mut current = object.clone();
    for attempt in 0..=CONFLICT_ATTEMPTS {
        let mut list = current.finalizers().to_vec();
        if list.iter().any(|f| f == finalizer) == present {
            break;
        }
        if present {
            list.push(finalizer.to_owned());
        } else {
            list.retain(|f| f != finalizer);
        }
        let body = json!({ "metadata": {
            "finalizers": list, "uid": object.uid(), "resourceVersion": current.resource_version(),
        } });
        let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
        match api.patch(&name, &params, &Patch::Merge(body)).await {
            Err(kube::Error::Api(status)) if status.code == 409 && attempt < CONFLICT_ATTEMPTS => {
                current = live(api, object).await?;
            }
            other => return Ok(other?),
        }
    }
    Ok(current)
}

/// The object as it is now, provided that it still is the same one.
async fn live<K>(api: &Api<K>, object: &K) -> Result<K, PatchError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let live = api.get(&object.name_any()).await?;
    if live.uid() == object.uid() { Ok(live) } else { Err(PatchError::Replaced) }
}

fn status_of<K: Serialize>(object: &K) -> Result<Value, serde_json::Error> {
    let mut object = serde_json::to_value(object)?;
    Ok(object.get_mut("status").map_or_else(|| json!({}), Value::take))
}

fn conditions_in(status: &Value) -> Result<Vec<Condition>, serde_json::Error> {
    status.get("conditions").map_or(Ok(Vec::new()), |list| serde_json::from_value(list.clone()))
}

/// The RFC 7386 patch that turns `before` into `after`, `None` when they are equal.
fn merge_diff(before: &Value, after: &Value) -> Option<Value> {
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            let gone = old.keys().filter(|k| !new.contains_key(*k)).map(|k| (k.clone(), Value::Null));
            let changed = new.iter().filter_map(|(k, value)| match old.get(k) {
                Some(previous) => Some((k.clone(), merge_diff(previous, value)?)),
                None => Some((k.clone(), value.clone())),
            });
            let patch: Map<String, Value> = gone.chain(changed).collect();
            (!patch.is_empty()).then_some(Value::Object(patch))
        }
        _ => (before != after).then(|| after.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_carries_only_what_changed() {
        let before = json!({ "a": 1, "b": { "x": 1, "y": 2 }, "c": [1, 2], "gone": true });
        let after = json!({ "a": 1, "b": { "x": 1, "y": 3 }, "c": [1], "new": {} });
        assert_eq!(
            merge_diff(&before, &after),
            Some(json!({ "gone": null, "b": { "y": 3 }, "c": [1], "new": {} }))
        );
        assert_eq!(merge_diff(&after, &after), None);
    }
}
