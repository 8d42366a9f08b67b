//! What the spec of a HelmRelease says about dependencies, rendering, identity and end.

use anyhow::{Context, Result, ensure};
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
async fn a_dependent_goes_on_when_its_dependency_is_ready() -> Result<()> {
    let helm = Helm::new("helm-depends", &[]).await?;
    let test = &helm.test;
    helm.commit_chart("1.0.0", &[("map.yaml", MAP)])?;
    test.apply_source().await?;
    helm.release(&json!({"dependsOn": [{"name": "base"}]})).await?;
    let namespace = &test.namespace;
    let absent = format!(
        "unable to get '{namespace}/base' dependency: helmreleases.helm.toolkit.fluxcd.io \"base\" not found"
    );
    let unready = format!("dependency '{namespace}/base' is not ready");
    for text in [absent, unready] {
        test.request(RELEASE).await?;
        let release = helm.says("Ready", "False", "DependencyNotReady", &text).await?;
        assert_eq!(release.condition("Ready").context("seen")?.message, text);
        let event = test.event(RELEASE, "Normal", "DependencyNotReady", &text).await?;
        assert_eq!(event.text("/message"), text);
        helm.release_named("base", &json!({"suspend": true})).await?;
    }
    test.patch("HelmRelease/base", &json!({"spec": {"suspend": false}})).await?;
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
async fn names_that_are_too_long_are_shortened_and_namespaces_that_are_not_there_are_told() -> Result<()> {
    let helm = Helm::shared("helm-names").await?;
    let test = &helm.test;
    helm.commit_chart("1.0.0", &[("map.yaml", MAP)])?;
    test.apply_source().await?;
    let name = "a-very-lengthy-target-namespace-with-a-nice-object-name";
    let short = "a-very-lengthy-target-namespace-with-a-n-97af5d7f41f3";
    helm.release_named(name, &json!({})).await?;
    let object = format!("HelmRelease/{name}");
    test.ready(&object).await?;
    test.patch(&object, &json!({"spec": {"values": {"text": "second"}}})).await?;
    let upgraded = |release: &Value| release.is_ready() && release.number("/status/history/0/version") == 2;
    let release = test.until(&object, "is upgraded", upgraded).await?;
    ensure!(release.text("/status/history/0/name") == short, "{release}");
    let listed = helm.helm(&["list"])?;
    ensure!(listed[0].text("/name") == short && listed[0].text("/revision") == "2", "{listed}");
    ensure!(test.get(&format!("ConfigMap/{short}-map")).await?.text("/data/text") == "second");
    test.objects.delete(&test.id(&object)?).await?;
    test.gone(&object).await?;
    ensure!(helm.helm(&["list"])? == json!([]));

    let absent = format!("{}-absent", test.namespace);
    helm.release(&json!({"targetNamespace": absent, "storageNamespace": test.namespace})).await?;
    let text = format!("namespaces \"{absent}\" not found");
    helm.says("Released", "False", "InstallFailed", &text).await?;
    helm.test.finish().await
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
