//! Policies and webhooks about the objects of one test.

use anyhow::Result;
use e2e::objects::{Id, Look};
use e2e::scenario::Scenario;
use e2e::wait::{self, Not};
use e2e::webhook::Webhook;
use serde_json::{Value, json};

const ADMISSION: &str = "admissionregistration.k8s.io/v1";

/// What a policy or webhook is about: these operations on resources of API group core.
fn rules(resources: &[&str], operations: &[&str]) -> Value {
    json!([{"apiGroups": [""], "apiVersions": ["v1"], "resources": resources, "operations": operations}])
}

fn own_namespace(test: &Scenario) -> Value {
    json!({"matchLabels": {"kubernetes.io/metadata.name": test.namespace}})
}

/// A policy for a resource in the test's namespace that admits what `expression` is true for, in force.
pub async fn policy(
    test: &Scenario,
    resource: &str,
    operations: &[&str],
    expression: &str,
) -> Result<[Id; 2]> {
    let name = &test.namespace;
    let constraints =
        json!({"namespaceSelector": own_namespace(test), "resourceRules": rules(&[resource], operations)});
    let policy = json!({
        "apiVersion": ADMISSION, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail", "matchConstraints": constraints,
            "validations": [{"expression": expression, "message": "not on my watch"}],
        },
    });
    let binding = json!({
        "apiVersion": ADMISSION, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    });
    Ok([test.objects.apply_one(&policy, "").await?, test.objects.apply_one(&binding, "").await?])
}

/// Ends a policy.
pub async fn remove(test: &Scenario, ids: [Id; 2]) -> Result<()> {
    for id in ids.iter().rev() {
        test.objects.delete(id).await?;
    }
    Ok(())
}

/// A webhook configuration for these resources in the test's namespace.
pub async fn hook(
    test: &Scenario,
    kind: &str,
    resources: &[&str],
    operations: &[&str],
    webhook: &Webhook,
) -> Result<Id> {
    let hook = json!({
        "apiVersion": ADMISSION, "kind": kind, "metadata": {"name": test.namespace},
        "webhooks": [{
            "name": "maps.e2e.test", "clientConfig": webhook.client_config, "timeoutSeconds": 1,
            "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Fail",
            "namespaceSelector": own_namespace(test), "rules": rules(resources, operations),
        }],
    });
    test.objects.apply_one(&hook, "").await
}

/// Waits until the API server lets an object of this kind and name pass, or refuses it.
pub async fn admits(test: &Scenario, kind: &str, name: &str, wanted: bool) -> Result<()> {
    let probe =
        json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "data": {"probe": "MQ=="}});
    test.wait("the API server lets it pass, or refuses it", async || {
        let admitted = test.objects.apply_one(&probe, &test.namespace).await.is_ok();
        if admitted {
            let id = test.id(&format!("{kind}/{name}")).map_err(Not::Ever)?;
            test.objects.delete(&id).await.map_err(wait::not_yet)?;
        }
        if admitted == wanted { Ok(()) } else { Err(Not::Yet(format!("admitted: {admitted}"))) }
    })
    .await
}

/// Waits until a webhook sets this key of ConfigMaps.
pub async fn stamps(test: &Scenario, key: &str) -> Result<()> {
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "probe"}, "data": {"value": "1"},
    });
    test.wait("the webhook is asked", async || {
        let probe = test.objects.apply_one(&map, &test.namespace).await.map_err(wait::not_yet)?;
        match test.objects.get(&probe).await.map_err(wait::not_yet)? {
            Some(map) if !matches!(map.text(&format!("/data/{key}")), "" | "1") => Ok(()),
            seen => Err(Not::Yet(format!("{seen:?}"))),
        }
    })
    .await
}
