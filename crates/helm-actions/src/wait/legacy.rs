//! The rules of Helm 3 (`pkg/kube/ready.go` and `wait.go` of Helm): objects are asked for again and again, one after another, until all
//! are ready in one round. A Deployment is, as soon as enough Pods of its newest ReplicaSet are.

use std::time::Duration;

use apply::error::RequestError;
use apply::mapper::RestMapping;
use apply::request::{Requests, Target};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;

use super::WaitError;
use crate::configuration::Configuration;
use crate::resources::Resource;

/// The wait between two rounds.
const PAUSE: Duration = Duration::from_secs(2);

/// How often an object may not be readable for a reason that may pass.
const RETRIES: u32 = 30;

const REVISION: &str = "deployment.kubernetes.io/revision";

/// Waits until all objects are ready.
pub(super) async fn until_ready(
    configuration: &Configuration,
    resources: &[Resource],
    for_jobs: bool,
) -> Result<(), WaitError> {
    let requests = configuration.requests();
    let mut failures = vec![0_u32; resources.len()];
    loop {
        let mut all = true;
        for (resource, failures) in resources.iter().zip(&mut failures) {
            match is_ready(&requests, resource, for_jobs).await {
                Ok(is_ready) => {
                    *failures = 0;
                    all = is_ready;
                }
                Err(WaitError::Read(error)) if is_passing(&error) && *failures < RETRIES => {
                    *failures += 1;
                    all = false;
                }
                Err(error) => return Err(error),
            }
            if !all {
                break;
            }
        }
        if all {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits until the Jobs and Pods of a hook have ended.
pub(super) async fn until_done(
    configuration: &Configuration,
    resources: &[Resource],
) -> Result<(), WaitError> {
    for resource in resources {
        if !matches!((&*resource.id.group, &*resource.id.kind), ("batch", "Job") | ("", "Pod")) {
            continue;
        }
        loop {
            match configuration.requests().get(&resource.target()).await {
                Ok(None) => break,
                Ok(Some(live)) if has_ended(&live, &resource.id.name)? => break,
                Ok(Some(_)) => {}
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(())
}

fn has_ended(live: &Value, name: &str) -> Result<bool, WaitError> {
    let conditions = live.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    for condition in conditions.filter(|condition| text(condition, "/status") == "True") {
        match text(condition, "/type") {
            "Complete" => return Ok(true),
            "Failed" => {
                return Err(WaitError::Hook(format!("job {name} failed: {}", text(condition, "/reason"))));
            }
            _ => {}
        }
    }
    match text(live, "/status/phase") {
        "Succeeded" => Ok(true),
        "Failed" => Err(WaitError::Hook(format!("pod {name} failed"))),
        _ => Ok(false),
    }
}

/// Whether a request may succeed later.
fn is_passing(error: &RequestError) -> bool {
    error.status().is_none_or(|status| matches!(status.code, 0 | 429 | 500..) && status.code != 501)
}

async fn is_ready(requests: &Requests, resource: &Resource, for_jobs: bool) -> Result<bool, WaitError> {
    let kind = (&*resource.id.group, &*resource.id.kind);
    if !is_judged(kind, for_jobs) {
        return Ok(true);
    }
    let Some(live) = requests.get(&resource.target()).await? else {
        return Err(WaitError::Missing(resource.id.subject()));
    };
    match kind {
        ("apps", "Deployment") => deployment(requests, &live).await,
        ("apps", "ReplicaSet") => {
            Ok(is_observed(&live) && are_pods_ready(requests, &live, "/spec/selector/matchLabels").await?)
        }
        ("", "ReplicationController") => {
            Ok(is_observed(&live) && are_pods_ready(requests, &live, "/spec/selector").await?)
        }
        ("batch", "Job") => job(&live, resource),
        _ => Ok(judge(kind, &live)),
    }
}

fn is_judged(kind: (&str, &str), for_jobs: bool) -> bool {
    match kind {
        ("batch", "Job") => for_jobs,
        ("", "Pod" | "PersistentVolumeClaim" | "Service" | "ReplicationController")
        | ("apps", "Deployment" | "DaemonSet" | "StatefulSet" | "ReplicaSet")
        | ("apiextensions.k8s.io", "CustomResourceDefinition") => true,
        _ => false,
    }
}

/// The kinds that tell by themselves.
fn judge(kind: (&str, &str), live: &Value) -> bool {
    match kind {
        ("", "Pod") => is_pod_ready(live),
        ("", "PersistentVolumeClaim") => text(live, "/status/phase") == "Bound",
        ("", "Service") => service(live),
        ("apps", "DaemonSet") => daemon_set(live),
        ("apps", "StatefulSet") => stateful_set(live),
        ("apiextensions.k8s.io", _) => {
            has_condition(live, "Established", "True") || has_condition(live, "NamesAccepted", "False")
        }
        _ => true,
    }
}

fn is_pod_ready(pod: &Value) -> bool {
    has_condition(pod, "Ready", "True")
}

fn job(live: &Value, resource: &Resource) -> Result<bool, WaitError> {
    if number(live, "/status/failed", 0) > number(live, "/spec/backoffLimit", 6) {
        let id = &resource.id;
        return Err(WaitError::Hook(format!("job is failed: {}/{}", id.namespace, id.name)));
    }
    let wanted = live.pointer("/spec/completions").and_then(Value::as_i64);
    Ok(wanted.is_none_or(|wanted| number(live, "/status/succeeded", 0) >= wanted))
}

fn service(live: &Value) -> bool {
    let kind = text(live, "/spec/type");
    let has_any =
        |pointer| live.pointer(pointer).and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    let is_reached =
        kind != "LoadBalancer" || has_any("/spec/externalIPs") || has_any("/status/loadBalancer/ingress");
    kind == "ExternalName" || (!text(live, "/spec/clusterIP").is_empty() && is_reached)
}

fn daemon_set(live: &Value) -> bool {
    if !is_observed(live) {
        return false;
    }
    if text(live, "/spec/updateStrategy/type") != "RollingUpdate" {
        return true;
    }
    let wanted = number(live, "/status/desiredNumberScheduled", 0);
    let spare = live.pointer("/spec/updateStrategy/rollingUpdate/maxUnavailable");
    let spare = scaled(spare, wanted, true).unwrap_or(wanted);
    number(live, "/status/updatedNumberScheduled", 0) == wanted
        && number(live, "/status/numberReady", 0) >= wanted.saturating_sub(spare)
}

fn stateful_set(live: &Value) -> bool {
    if !is_observed(live) {
        return false;
    }
    if text(live, "/spec/updateStrategy/type") != "RollingUpdate" {
        return true;
    }
    let replicas = number(live, "/spec/replicas", 1);
    let partition = number(live, "/spec/updateStrategy/rollingUpdate/partition", 0);
    let is_one = text(live, "/status/currentRevision") == text(live, "/status/updateRevision");
    number(live, "/status/updatedReplicas", 0) >= replicas.saturating_sub(partition)
        && number(live, "/status/readyReplicas", 0) == replicas
        && (partition != 0 || is_one)
}

async fn deployment(requests: &Requests, live: &Value) -> Result<bool, WaitError> {
    if live.pointer("/spec/paused").and_then(Value::as_bool) == Some(true) {
        return Ok(true);
    }
    let sets =
        list(requests, ("apps", "ReplicaSet", "replicasets"), live, "/spec/selector/matchLabels").await?;
    let revision =
        |object: &Value| object.pointer("/metadata/annotations").and_then(|a| a.get(REVISION)).cloned();
    let is_of = |set: &Value| {
        let owners = set.pointer("/metadata/ownerReferences").and_then(Value::as_array).into_iter().flatten();
        owners.into_iter().any(|owner| text(owner, "/uid") == text(live, "/metadata/uid"))
    };
    let newest =
        sets.iter().find(|set| is_of(set) && revision(set).is_some() && revision(set) == revision(live));
    let Some(newest) = newest else { return Ok(false) };
    Ok(is_observed(newest)
        && is_observed(live)
        && number(newest, "/status/readyReplicas", 0) >= least_ready(live))
}

/// How many Pods of a Deployment must be ready.
fn least_ready(live: &Value) -> i64 {
    let replicas = number(live, "/spec/replicas", 1);
    if text(live, "/spec/strategy/type") != "RollingUpdate" || replicas == 0 {
        return replicas;
    }
    let share = |field, up| {
        let value = live.pointer("/spec/strategy/rollingUpdate").and_then(|rolling| rolling.get(field));
        scaled(value, replicas, up).unwrap_or_default()
    };
    let (surge, spare) = (share("maxSurge", true), share("maxUnavailable", false));
    // If nothing may be more and nothing less, nothing would ever go on.
    let spare = if surge == 0 && spare == 0 { 1 } else { spare };
    replicas.saturating_sub(spare.min(replicas))
}

/// A number, or a percentage of one.
fn scaled(value: Option<&Value>, whole: i64, up: bool) -> Option<i64> {
    match value? {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => {
            let percent: i64 = text.strip_suffix('%')?.parse().ok()?;
            let product = whole.saturating_mul(percent);
            Some(product.saturating_add(if up { 99 } else { 0 }) / 100)
        }
        _ => None,
    }
}

async fn are_pods_ready(requests: &Requests, live: &Value, selector: &str) -> Result<bool, WaitError> {
    Ok(list(requests, ("", "Pod", "pods"), live, selector).await?.iter().all(is_pod_ready))
}

/// The objects of a kind that are in the namespace of another and have the labels that it selects.
async fn list(
    requests: &Requests,
    (group, kind, plural): (&str, &str, &str),
    of: &Value,
    selector: &str,
) -> Result<Vec<Value>, WaitError> {
    let labels = of.pointer(selector).and_then(Value::as_object).into_iter().flatten();
    let labels: Vec<String> =
        labels.filter_map(|(name, value)| Some(format!("{name}={}", value.as_str()?))).collect();
    let gvk = GroupVersionKind::gvk(group, "v1", kind);
    let mapped = RestMapping { resource: ApiResource::from_gvk_with_plural(&gvk, plural), namespaced: true };
    let target = Target { mapped: &mapped, namespace: text(of, "/metadata/namespace"), name: "" };
    Ok(requests.list(&target, &labels.join(","), LISTED).await?)
}

/// Objects that are looked at of those that belong to another.
const LISTED: u32 = 500;

fn is_observed(live: &Value) -> bool {
    number(live, "/status/observedGeneration", 0) == number(live, "/metadata/generation", 0)
}

fn has_condition(live: &Value, kind: &str, status: &str) -> bool {
    let conditions = live.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    conditions
        .into_iter()
        .any(|condition| text(condition, "/type") == kind && text(condition, "/status") == status)
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn number(object: &Value, pointer: &str, default: i64) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn services_need_an_address_and_balancers_a_way_to_them() {
        for (spec, status, is_ready) in [
            (json!({"type": "ExternalName"}), json!({}), true),
            (json!({"type": "ClusterIP"}), json!({}), false),
            (json!({"type": "ClusterIP", "clusterIP": "None"}), json!({}), true),
            (json!({"type": "LoadBalancer", "clusterIP": "10.0.0.1"}), json!({}), false),
            (
                json!({"type": "LoadBalancer", "clusterIP": "10.0.0.1", "externalIPs": ["1.2.3.4"]}),
                json!({}),
                true,
            ),
            (
                json!({"type": "LoadBalancer", "clusterIP": "10.0.0.1"}),
                json!({"loadBalancer": {"ingress": [{}]}}),
                true,
            ),
        ] {
            assert_eq!(service(&json!({"spec": spec, "status": status})), is_ready, "{spec} {status}");
        }
    }

    #[test]
    fn a_deployment_needs_all_but_those_that_may_be_missing() {
        let wanted = |strategy: Value| least_ready(&json!({"spec": {"replicas": 10, "strategy": strategy}}));
        assert_eq!(wanted(json!({"type": "Recreate"})), 10);
        assert_eq!(
            wanted(
                json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}})
            ),
            8
        );
        assert_eq!(
            wanted(json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}})),
            9
        );
        assert_eq!(
            wanted(json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 50}})),
            0
        );
    }

    #[test]
    fn sets_count_what_is_updated_and_ready() {
        let daemons = |updated: i64, ready: i64| {
            daemon_set(
                &json!({"spec": {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}},
                "status": {"desiredNumberScheduled": 3, "updatedNumberScheduled": updated, "numberReady": ready}}),
            )
        };
        assert_eq!((daemons(3, 2), daemons(3, 1), daemons(2, 3)), (true, false, false));
        let stateful = |updated: i64, ready: i64, partition: i64, revision: &str| {
            stateful_set(
                &json!({"spec": {"replicas": 2, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": partition}}},
                "status": {"updatedReplicas": updated, "readyReplicas": ready, "currentRevision": "a", "updateRevision": revision}}),
            )
        };
        assert!(
            stateful(2, 2, 0, "a")
                && !stateful(2, 2, 0, "b")
                && stateful(1, 2, 1, "b")
                && !stateful(2, 1, 0, "a")
        );
    }
}
