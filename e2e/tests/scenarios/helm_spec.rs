//! What the spec of a HelmRelease says about its inputs, identity and end.

use anyhow::{Context, Result};
use e2e::objects::Look;
use e2e::testkit::deployment;
use serde_json::{Value, json};

use crate::helm_release::{Helm, MAP, RELEASE};

async fn installed(name: &str, spec: &Value) -> Result<Helm> {
    let helm = Helm::new(name, &[]).await?;
    helm.commit_chart("1.0.0", &[("map.yaml", MAP)])?;
    helm.test.apply_source().await?;
    helm.release(spec).await?;
    Ok(helm)
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_config_maps_and_secrets_are_composed_and_watched() -> Result<()> {
    let from = json!([
        {"kind": "ConfigMap", "name": "base"},
        {"kind": "Secret", "name": "token", "valuesKey": "token", "targetPath": "more.token"},
        {"kind": "ConfigMap", "name": "absent", "optional": true},
    ]);
    let helm = installed("helm-values", &json!({"valuesFrom": from})).await?;
    let test = &helm.test;
    test.condition(RELEASE, "Ready", "False", "ValuesError", "could not resolve ConfigMap chart values")
        .await?;
    let objects = "apiVersion: v1\nkind: Secret\nmetadata: {name: token}\nstringData: {token: s3cret}\n---\n\
                   apiVersion: v1\nkind: ConfigMap\nmetadata: {name: base, labels: {reconcile.fluxcd.io/watch: Enabled}}\n\
                   data: {values.yaml: \"text: first\"}\n";
    test.apply(objects).await?;
    helm.ready("Helm install succeeded").await?;
    assert_eq!(helm.text().await?, "first");
    assert_eq!(helm.helm(&["get", "values", "app"])?, json!({"text": "first", "more": {"token": "s3cret"}}));
    test.patch("ConfigMap/base", &json!({"data": {"values.yaml": "text: second"}})).await?;
    helm.ready("Helm upgrade succeeded").await?;
    assert_eq!(helm.text().await?, "second");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dependent_goes_on_when_its_dependency_is_ready() -> Result<()> {
    let helm = Helm::new("helm-depends", &[]).await?;
    let test = &helm.test;
    helm.commit_chart("1.0.0", &[("map.yaml", MAP)])?;
    test.apply_source().await?;
    helm.release(&json!({"dependsOn": [{"name": "base"}]})).await?;
    test.condition(RELEASE, "Ready", "False", "DependencyNotReady", "unable to get '").await?;
    test.event(RELEASE, "Normal", "DependencyNotReady", "dependency").await?;
    helm.release_named("base", &json!({})).await?;
    helm.ready("Helm install succeeded for release").await?;
    assert!(test.get("HelmRelease/base").await?.is_ready());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn post_renderers_and_common_metadata_change_what_is_applied_and_stored() -> Result<()> {
    let patch = r#"[{"op": "add", "path": "/data/added", "value": "yes"}]"#;
    let patches = json!([{"patch": patch, "target": {"kind": "ConfigMap"}}]);
    let spec = json!({
        "postRenderers": [{"kustomize": {"patches": patches}}], "commonMetadata": {"labels": {"team": "a"}},
    });
    let helm = installed("helm-post", &spec).await?;
    helm.ready("Helm install succeeded").await?;
    let map = helm.test.get("ConfigMap/app-map").await?;
    assert_eq!((map.text("/data/added"), map.text("/metadata/labels/team")), ("yes", "a"));
    assert!(helm.helm_text(&["get", "manifest", "app"])?.contains("added: \"yes\""));
    helm.test.patch(RELEASE, &json!({"spec": {"postRenderers": []}})).await?;
    helm.ready("app.v2 with chart").await?;
    assert_eq!(helm.test.get("ConfigMap/app-map").await?.text("/data/added"), "");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tests_run_after_an_install_and_are_told() -> Result<()> {
    let helm = Helm::new("helm-test", &[]).await?;
    let hook =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: check, annotations: {helm.sh/hook: test}}\n";
    helm.commit_chart("1.0.0", &[("map.yaml", MAP), ("test.yaml", hook)])?;
    helm.test.apply_source().await?;
    helm.release(&json!({"test": {"enable": true}})).await?;
    let release = helm.ready("Helm test succeeded for release").await?;
    let success = release.condition("TestSuccess").context("it has one")?;
    assert!(success.message.ends_with("1 test hook completed successfully"), "{}", success.message);
    assert_eq!(release.text("/status/history/0/testHooks/check/phase"), "Succeeded");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_install_that_fails_is_removed_and_tried_again() -> Result<()> {
    let helm = Helm::new("helm-install", &[]).await?;
    let test = &helm.test;
    helm.commit_chart("1.0.0", &[("map.yaml", MAP), ("web.yaml", &deployment("web", 1))])?;
    test.apply_source().await?;
    let remediation = json!({"retries": 1, "remediateLastFailure": true});
    helm.release(&json!({"install": {"timeout": "1s", "remediation": remediation}})).await?;
    let stalled =
        |release: &Value| release.condition("Stalled").is_some_and(|c| c.reason == "RetriesExceeded");
    let release = helm.until("has given up", stalled).await?;
    assert_eq!(release.number("/status/installFailures"), 2);
    assert_eq!(release.condition("Stalled").context("seen")?.message, "Failed to install after 2 attempt(s)");
    assert!(!test.exists("ConfigMap/app-map").await?);
    assert_eq!(helm.helm(&["list"])?, json!([]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_done_in_the_identity_of_the_service_account() -> Result<()> {
    let helm = installed("helm-account", &json!({"serviceAccountName": "tenant"})).await?;
    let test = &helm.test;
    test.condition(RELEASE, "Ready", "False", "StateError", "Could not determine release state").await?;
    let namespace = &test.namespace;
    let rights = format!(
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: tenant}}\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: tenant}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: admin}}\n\
         subjects: [{{kind: ServiceAccount, name: tenant, namespace: {namespace}}}]\n"
    );
    test.apply(&rights).await?;
    helm.ready("Helm install succeeded").await?;
    test.kubectl(&["delete", "serviceaccount", "tenant"])?;
    test.kubectl(&["delete", "helmrelease", "app"])?;
    assert!(test.exists("ConfigMap/app-map").await?, "nobody could delete it");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_name_of_the_release_uninstalls_the_former_one() -> Result<()> {
    let helm = installed("helm-rename", &json!({})).await?;
    helm.ready("Helm install succeeded").await?;
    helm.test.patch(RELEASE, &json!({"spec": {"releaseName": "other"}})).await?;
    helm.ready("/other.v1 with chart").await?;
    assert!(!helm.test.exists("ConfigMap/app-map").await?);
    let listed = helm.helm(&["list"])?;
    let names: Vec<&str> =
        listed.as_array().into_iter().flatten().map(|release| release.text("/name")).collect();
    assert_eq!(names, ["other"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_served_is_said_and_a_suspended_release_outlives_its_object() -> Result<()> {
    let many: Vec<Value> = (0..257).map(|at| json!({"name": format!("d{at}")})).collect();
    let spec = json!({"dependsOn": many, "waitStrategy": {"name": "legacy"}});
    let helm = installed("helm-refused", &spec).await?;
    let test = &helm.test;
    let text = "spec.dependsOn has 257 entries, more than 256";
    test.condition(RELEASE, "Stalled", "True", "NotSupported", text).await?;
    test.patch(RELEASE, &json!({"spec": {"dependsOn": null}})).await?;
    helm.ready("Helm install succeeded").await?;
    test.patch(RELEASE, &json!({"spec": {"suspend": true}})).await?;
    test.kubectl(&["delete", "helmrelease", "app"])?;
    assert!(test.exists("ConfigMap/app-map").await?);
    assert_eq!(helm.helm(&["list"])?[0].text("/name"), "app");
    Ok(())
}
