//! Hooks and tests that succeed late, fail, hang or vanish: they are Pods, and this test is their kubelet.

use anyhow::{Context, Result, ensure};
use e2e::objects::Look;
use serde_json::{Value, json};

use crate::helm_release::{Helm, MAP, RELEASE};

/// A Pod as a hook of these events. Nobody runs it but this test.
pub fn pod(name: &str, events: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, annotations: {{helm.sh/hook: \"{events}\"}}}}\n\
         spec: {{restartPolicy: Never, containers: [{{name: a, image: a}}]}}\n"
    )
}

/// The Pod, once it is there and not the one of before; it ends in this phase.
pub async fn end(helm: &Helm, name: &str, phase: &str) -> Result<()> {
    let fresh = |pod: &Value| {
        pod.text("/status/phase") == "Pending" && pod.text("/metadata/deletionTimestamp").is_empty()
    };
    helm.test.until(&format!("Pod/{name}"), "waits to run", fresh).await?;
    let status = json!({"status": {"phase": phase}}).to_string();
    helm.test
        .kubectl(&["patch", "pod", name, "--subresource=status", "--type=merge", "-p", &status])
        .map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_is_waited_for_and_what_fails_hangs_or_vanishes_is_told() -> Result<()> {
    let helm = Helm::shared("helm-hooks").await?;
    let test = &helm.test;
    helm.begin(&[("map.yaml", MAP), ("hook.yaml", &pod("hook", "pre-install,pre-upgrade"))], &json!({}))
        .await?;
    let release =
        helm.says("Ready", "Unknown", "Progressing", "Running 'install' action with timeout of 5m0s").await?;
    ensure!(
        release
            .condition("Reconciling")
            .is_some_and(|c| c.message == "Running 'install' action with timeout of 5m0s"),
        "{release}"
    );
    test.until("Pod/hook", "is there", |_| true).await?;
    ensure!(!test.exists("ConfigMap/app-map").await? && helm.statuses("app")? == ["pending-install"]);
    end(&helm, "hook", "Succeeded").await?;
    helm.ready("Helm install succeeded").await?;

    // One that fails: nothing was changed, and it counts.
    test.patch(RELEASE, &json!({"spec": {"values": {"text": "second"}}})).await?;
    end(&helm, "hook", "Failed").await?;
    let release =
        helm.says("Stalled", "True", "RetriesExceeded", "Failed to upgrade after 1 attempt(s)").await?;
    let released = release.condition("Released").context("it has one")?;
    ensure!(released.reason == "UpgradeFailed" && released.message.contains("pre-upgrade"), "{release}");
    ensure!(helm.text().await? == "default" && helm.statuses("app")? == ["deployed", "failed"]);

    // One that hangs.
    let strategy = json!({"timeout": "2s", "remediation": {"retries": 0}});
    test.patch(RELEASE, &json!({"spec": {"values": {"text": "third"}, "upgrade": strategy}})).await?;
    let release = helm
        .until("has timed out", |release| {
            release
                .condition("Released")
                .is_some_and(|c| c.message.contains("Pod/") && c.message.contains("timeout"))
                && release.number("/status/history/0/version") == 3
        })
        .await?;
    ensure!(release.number("/status/upgradeFailures") == 1 && helm.text().await? == "default", "{release}");

    // One that vanishes while it is waited for.
    test.patch(RELEASE, &json!({"spec": {"values": {"text": "fourth"}, "upgrade": {"timeout": "3s"}}}))
        .await?;
    let before = test.get("Pod/hook").await?.text("/metadata/uid").to_owned();
    test.until("Pod/hook", "is another one", |pod| pod.text("/metadata/uid") != before).await?;
    test.kubectl(&["delete", "pod", "hook", "--force", "--grace-period=0"])?;
    let release = helm
        .until("has noticed", |release| {
            release.number("/status/history/0/version") == 4 && release.condition("Stalled").is_some()
        })
        .await?;
    ensure!(release.condition("Released").is_some_and(|c| c.reason == "UpgradeFailed"), "{release}");
    ensure!(helm.text().await? == "default", "{release}");

    // Without hooks it is well.
    test.patch(RELEASE, &json!({"spec": {"upgrade": {"disableHooks": true}}})).await?;
    helm.ready("Helm upgrade succeeded").await?;
    ensure!(helm.text().await? == "fourth");
    helm.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn tests_that_fail_are_remediated_or_ignored_or_left_out() -> Result<()> {
    let helm = Helm::shared("helm-tests").await?;
    let test = &helm.test;
    let templates =
        [("map.yaml", MAP), ("one.yaml", &*pod("one", "test")), ("two.yaml", &pod("two", "test"))];
    let spec = json!({
        "test": {"enable": true, "timeout": "20s", "filters": [{"name": "two", "exclude": true}]},
        "upgrade": {"remediation": {"retries": 0, "remediateLastFailure": true}}, "rollback": {"disableHooks": true},
    });
    helm.begin(&templates, &spec).await?;
    helm.says("TestSuccess", "Unknown", "AwaitingTests", "is awaiting tests").await?;
    end(&helm, "one", "Succeeded").await?;
    let release = helm.ready("1 test hook completed successfully").await?;
    ensure!(
        release["status"]["history"][0]["testHooks"].as_object().is_some_and(|hooks| hooks.len() == 1),
        "{release}"
    );
    ensure!(!test.exists("Pod/two").await?);
    // Tests by hand change nothing.
    test.run(RELEASE).await?;
    ensure!(helm.version().await? == 1);

    // A test that fails counts for the upgrade, and is remediated as that.
    test.patch(RELEASE, &json!({"spec": {"values": {"text": "second"}}})).await?;
    test.until(RELEASE, "is tested", |release| {
        release.number("/status/history/0/version") == 2
            && release.text("/status/history/0/status") == "deployed"
    })
    .await?;
    end(&helm, "one", "Failed").await?;
    let release =
        helm.says("Remediated", "True", "RollbackSucceeded", "Helm rollback to previous release").await?;
    let text = format!("Helm test failed for release {}/app.v2 with chart app@1.0.0", test.namespace);
    ensure!(
        release
            .condition("TestSuccess")
            .is_some_and(|c| c.status == "False" && c.reason == "TestFailed" && c.message.starts_with(&text)),
        "{release}"
    );
    ensure!(release.number("/status/upgradeFailures") == 1 && helm.text().await? == "default", "{release}");
    test.event(RELEASE, "Warning", "TestFailed", &text).await?;
    helm.says("Stalled", "True", "RetriesExceeded", "").await?;

    // Ignored.
    let ignored = json!({"enable": true, "ignoreFailures": true, "filters": [{"name": "one"}]});
    test.patch(RELEASE, &json!({"spec": {"values": {"text": "third"}, "test": ignored}})).await?;
    test.until(RELEASE, "is tested", |release| {
        release.number("/status/history/0/version") == 4
            && release.text("/status/history/0/status") == "deployed"
    })
    .await?;
    end(&helm, "one", "Failed").await?;
    let release = helm.says("TestSuccess", "False", "TestFailed", "Helm test failed for release").await?;
    let release = if release.is_ready() { release } else { helm.ready("Helm upgrade succeeded").await? };
    ensure!(helm.text().await? == "third" && release.number("/status/history/0/version") == 4, "{release}");
    // Without tests nothing is said of them.
    test.patch(RELEASE, &json!({"spec": {"test": null}})).await?;
    let release = helm.ready("Helm upgrade succeeded").await?;
    ensure!(release.condition("TestSuccess").is_none(), "{release}");
    helm.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_that_the_api_server_refuses_is_tried_again() -> Result<()> {
    let helm = Helm::shared("helm-refused-test").await?;
    let test = &helm.test;
    test.apply("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: tenant}\n").await?;
    let rule = |resources: &[&str]| json!({"apiGroups": [""], "resources": resources, "verbs": ["*"]});
    let role = |resources: &[&str]| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "tenant"}, "rules": [rule(resources)],
        })
    };
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "tenant"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "tenant"},
        "subjects": [{"kind": "ServiceAccount", "name": "tenant", "namespace": test.namespace}],
    });
    test.apply(&role(&["secrets", "configmaps"]).to_string()).await?;
    test.apply(&binding.to_string()).await?;
    let spec = json!({"serviceAccountName": "tenant", "test": {"enable": true}});
    helm.begin(&[("map.yaml", MAP), ("one.yaml", &pod("one", "test"))], &spec).await?;
    let release = helm.says("TestSuccess", "False", "TestFailed", "pods \"one\" is forbidden").await?;
    ensure!(release["status"]["history"][0]["testHooks"]["one"]["phase"].is_null(), "{release}");
    test.apply(&role(&["secrets", "configmaps", "pods"]).to_string()).await?;
    test.request(RELEASE).await?;
    end(&helm, "one", "Succeeded").await?;
    helm.ready("1 test hook completed successfully").await?;
    helm.test.finish().await
}
