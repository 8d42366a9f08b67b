//! Reading single objects, where no watch tells of them.

use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;

use crate::error::RequestError;
use crate::kstatus::pod_has_failed;
use crate::mapper::{Mapper, RestMapping};
use crate::object::meta;
use crate::prune::Entry;
use crate::request::{Requests, Target};

/// The live object of an entry, in the identity of `client`; `None` if it does not exist.
///
/// # Errors
/// If the API server does not serve the kind, refuses, or does not answer within `timeout`.
pub async fn object(
    client: &Client,
    mapper: &Mapper,
    entry: &Entry,
    timeout: Duration,
) -> Result<Option<Value>, RequestError> {
    let mapped = mapper.resolve(&entry.id.gvk(&entry.version)).await?;
    let requests = Requests { client: client.clone(), timeout };
    requests.get(&Target { mapped: &mapped, namespace: &entry.id.namespace, name: &entry.id.name }).await
}

/// Pods of a set that are looked at.
const LISTED_PODS: u32 = 500;

/// Whether one of the Pods of a StatefulSet or ReplicaSet has failed, among the first of them.
///
/// # Errors
/// If the API server refuses, or does not answer within `timeout`.
pub async fn has_failed_pods(client: &Client, set: &Value, timeout: Duration) -> Result<bool, RequestError> {
    let selector = set.pointer("/spec/selector").map(label_selector).unwrap_or_default();
    if selector.is_empty() {
        return Ok(false);
    }
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Pod"));
    let mapped = RestMapping { resource, namespaced: true };
    let requests = Requests { client: client.clone(), timeout };
    let target = Target { mapped: &mapped, namespace: meta(set, "namespace"), name: "" };
    let mut pods = requests.list(&target, &selector, LISTED_PODS).await?;
    let now = Timestamp::now();
    Ok(pods.iter_mut().any(|pod| {
        // Items of lists come without them.
        if let Value::Object(fields) = pod {
            fields.insert("apiVersion".into(), "v1".into());
            fields.insert("kind".into(), "Pod".into());
        }
        pod_has_failed(pod, now)
    }))
}

/// A selector of the API in the words of a query.
fn label_selector(selector: &Value) -> String {
    let text =
        |value: &Value, field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let labels = selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten();
    let equal = labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
    let expressions = selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten();
    let others = expressions.map(|expression| {
        let values = expression.get("values").and_then(Value::as_array).into_iter().flatten();
        let values = values.filter_map(Value::as_str).collect::<Vec<_>>().join(",");
        let key = text(expression, "key");
        match &*text(expression, "operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key,
        }
    });
    equal.chain(others).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_selector_becomes_a_query() {
        let selector = json!({"matchLabels": {"app": "web"}, "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["a", "b"]}, {"key": "x", "operator": "NotIn", "values": ["c"]},
            {"key": "y", "operator": "Exists"}, {"key": "z", "operator": "DoesNotExist"}]});
        assert_eq!(label_selector(&selector), "app=web,tier in (a,b),x notin (c),y,!z");
        assert_eq!(label_selector(&json!({})), "");
    }
}
