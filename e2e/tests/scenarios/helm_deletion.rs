//! The end of a HelmRelease: how its release is uninstalled, and when it stays.

use anyhow::{Result, ensure};
use e2e::objects::Look;
use serde_json::json;

use crate::helm_release::{Helm, MAP, RELEASE};

/// A hook that no API server takes, once the value says so.
const STUBBORN: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"{{ .Release.Name }}-stubborn\", \
                        annotations: {helm.sh/hook: pre-delete}}\nimmutable: {{ .Values.immutable | default false }}\n";
const KEPT: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: kept, annotations: {helm.sh/resource-policy: keep}}\n";

async fn is_left(helm: &Helm, object: &str) -> Result<bool> {
    helm.test.exists(object).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_fails_keeps_it_and_policies_keep_objects_and_history() -> Result<()> {
    let helm = Helm::shared("helm-end").await?;
    let templates = [("map.yaml", MAP), ("kept.yaml", KEPT), ("stubborn.yaml", STUBBORN)];
    let helm = helm.installed(&templates, &json!({"values": {"immutable": "no-bool"}})).await?;
    let test = &helm.test;
    test.objects.delete(&test.id(RELEASE)?).await?;
    let text = format!("Helm uninstall failed for release {}/app.v1 with chart app@1.0.0", test.namespace);
    let release = helm.says("Released", "False", "UninstallFailed", &text).await?;
    ensure!(!release.text("/metadata/deletionTimestamp").is_empty(), "{release}");
    test.event(RELEASE, "Warning", "UninstallFailed", "immutable").await?;
    // As in Helm, hooks are a part of the uninstallation.
    ensure!(is_left(&helm, "ConfigMap/app-map").await? && helm.statuses("app")? == ["uninstalling"]);
    ensure!(is_left(&helm, &format!("HelmChart/{}-app", test.namespace)).await?);
    // Without the hooks it ends; the history stays, as does the object that is to.
    test.patch(RELEASE, &json!({"spec": {"uninstall": {"disableHooks": true, "keepHistory": true}}})).await?;
    test.gone(RELEASE).await?;
    ensure!(!is_left(&helm, "ConfigMap/app-map").await? && is_left(&helm, "ConfigMap/kept").await?);
    ensure!(helm.statuses("app")? == ["uninstalled"]);
    ensure!(!is_left(&helm, &format!("HelmChart/{}-app", test.namespace)).await?);

    // The name is free again for the controller; what was kept is taken back.
    helm.release(&json!({"install": {"replace": true}, "uninstall": {"deletionPropagation": "orphan"}}))
        .await?;
    helm.ready("app.v2 with chart").await?;
    // What somebody has uninstalled needs no uninstall.
    helm.helm_text(&["uninstall", "app", "--no-hooks"])?;
    test.objects.delete(&test.id(RELEASE)?).await?;
    test.gone(RELEASE).await?;
    ensure!(helm.helm(&["list"])? == json!([]));
    helm.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_secret_gave_to_a_hook_that_fails_at_the_end_is_not_told() -> Result<()> {
    let helm = Helm::shared("helm-end-secret").await?;
    let test = &helm.test;
    test.apply("apiVersion: v1\nkind: Secret\nmetadata: {name: values}\nstringData: {values.yaml: 'immutable: hunter2'}")
        .await?;
    let spec = json!({"valuesFrom": [{"kind": "Secret", "name": "values"}]});
    let helm = helm.installed(&[("map.yaml", MAP), ("stubborn.yaml", STUBBORN)], &spec).await?;
    let test = &helm.test;
    test.objects.delete(&test.id(RELEASE)?).await?;
    let release = helm.says("Released", "False", "UninstallFailed", "*****").await?;
    ensure!(!release.to_string().contains("hunter2"), "{release}");
    test.event(RELEASE, "Warning", "UninstallFailed", "*****").await?;
    ensure!(!test.kubectl(&["get", "events", "-o", "json"])?.contains("hunter2"));
    test.patch(RELEASE, &json!({"spec": {"uninstall": {"disableHooks": true}}})).await?;
    test.gone(RELEASE).await?;
    helm.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn dependents_go_first_or_stay_by_the_propagation() -> Result<()> {
    let helm = Helm::shared("helm-propagation").await?;
    let web = e2e::testkit::deployment("web", 0);
    let spec = json!({"uninstall": {"deletionPropagation": "orphan", "timeout": "20s"}});
    let helm = helm.installed(&[("map.yaml", MAP), ("web.yaml", &web)], &spec).await?;
    let test = &helm.test;
    let sets = || test.kubectl(&["get", "replicasets", "-l", "app=web", "-o", "name"]);
    test.wait("a ReplicaSet", async || match sets() {
        Ok(sets) if sets.contains("replicaset") => Ok(()),
        other => Err(e2e::wait::Not::Yet(format!("{other:?}"))),
    })
    .await?;
    test.objects.delete(&test.id(RELEASE)?).await?;
    test.gone(RELEASE).await?;
    ensure!(sets()?.contains("replicaset"), "orphans stay");
    test.kubectl(&["delete", "replicasets", "-l", "app=web"])?;

    // A whole namespace that goes takes the release with it.
    helm.release(&json!({"uninstall": {"deletionPropagation": "foreground"}})).await?;
    helm.ready("app.v1 with chart").await?;
    test.objects.delete(&test.id(RELEASE)?).await?;
    test.gone(RELEASE).await?;
    ensure!(sets()?.is_empty() || sets()?.contains("No resources"), "dependents went before");
    helm.release(&json!({})).await?;
    helm.ready("app.v1 with chart").await?;
    test.objects.delete(&test.id(&format!("Namespace/{}", test.namespace))?).await?;
    test.gone(RELEASE).await?;
    test.gone("ConfigMap/app-map").await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_suspended_or_has_lost_its_account_leaves_the_release() -> Result<()> {
    let helm = Helm::shared("helm-leave").await?;
    let helm = helm.installed(&[("map.yaml", MAP)], &json!({})).await?;
    let test = &helm.test;
    // A run that is asked for while it is suspended is noted, and nothing else.
    test.patch(RELEASE, &json!({"spec": {"suspend": true, "values": {"text": "later"}}})).await?;
    let before = test.get(RELEASE).await?;
    let after = test.run(RELEASE).await?;
    ensure!(
        before["status"]["history"] == after["status"]["history"] && helm.text().await? == "default",
        "{after}"
    );
    test.patch(RELEASE, &json!({"spec": {"suspend": false}})).await?;
    helm.ready("app.v2 with chart").await?;
    ensure!(helm.text().await? == "later");
    test.patch(RELEASE, &json!({"spec": {"suspend": true}})).await?;
    test.objects.delete(&test.id(RELEASE)?).await?;
    test.gone(RELEASE).await?;
    ensure!(is_left(&helm, "ConfigMap/app-map").await? && helm.statuses("app")?.len() == 2);
    ensure!(is_left(&helm, &format!("HelmChart/{}-app", test.namespace)).await?, "the chart stays, too");
    // Resumed by another object of the same name.
    helm.release(&json!({"values": {"text": "again"}})).await?;
    helm.ready("app.v3 with chart").await?;
    ensure!(helm.text().await? == "again");
    helm.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_former_release_that_cannot_go_blocks_the_next_one_and_policies_keep_what_left_the_chart()
-> Result<()> {
    let helm = Helm::shared("helm-former").await?;
    let policy = |name: &str, policy: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, annotations: {{helm.sh/resource-policy: {policy}}}}}\n"
        )
    };
    let (left, left_odd, odd) = (policy("left", "keep"), policy("left-odd", "any"), policy("odd", "any"));
    let templates = [
        ("map.yaml", MAP),
        ("left.yaml", &*left),
        ("left-odd.yaml", &left_odd),
        ("odd.yaml", &odd),
        ("stubborn.yaml", STUBBORN),
    ];
    let helm = helm.installed(&templates, &json!({"values": {"immutable": "no-bool"}})).await?;
    let test = &helm.test;
    // What has left the chart stays if it is to; another policy is none then.
    for name in ["left", "left-odd"] {
        test.repo.remove(&format!("chart/templates/{name}.yaml"))?;
    }
    helm.commit_chart("2.0.0", &[])?;
    test.request("GitRepository/app").await?;
    helm.ready("app.v2 with chart app@2.0.0").await?;
    ensure!(is_left(&helm, "ConfigMap/left").await? && !is_left(&helm, "ConfigMap/left-odd").await?);

    test.patch(RELEASE, &json!({"spec": {"releaseName": "next"}})).await?;
    let text = format!("Helm uninstall failed for release {}/app.v2 with chart app@2.0.0", test.namespace);
    test.event(RELEASE, "Warning", "UninstallFailed", &text).await?;
    helm.says("Released", "False", "UninstallFailed", &text).await?;
    test.run(RELEASE).await?;
    ensure!(helm.statuses("app")? == ["superseded", "uninstalling"], "{:?}", helm.statuses("app")?);
    ensure!(!is_left(&helm, "ConfigMap/next-map").await? && is_left(&helm, "ConfigMap/app-map").await?);
    test.patch(RELEASE, &json!({"spec": {"uninstall": {"disableHooks": true}}})).await?;
    helm.ready("/next.v1 with chart").await?;
    ensure!(!is_left(&helm, "ConfigMap/app-map").await?);
    let listed = helm.helm(&["list"])?;
    ensure!(listed.as_array().map(Vec::len) == Some(1) && listed[0].text("/name") == "next", "{listed}");
    // At the end whatever has a policy stays.
    test.objects.delete(&test.id(RELEASE)?).await?;
    test.gone(RELEASE).await?;
    ensure!(is_left(&helm, "ConfigMap/odd").await? && is_left(&helm, "ConfigMap/left").await?);
    helm.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_does_not_go_is_waited_for_until_the_timeout_and_no_longer() -> Result<()> {
    let helm = Helm::shared("helm-lasting").await?;
    let held = MAP.replace("metadata: {", "metadata: {finalizers: [e2e.test/never], ");
    let helm = helm.installed(&[("map.yaml", &held)], &json!({"uninstall": {"timeout": "2s"}})).await?;
    let test = &helm.test;
    test.objects.delete(&test.id(RELEASE)?).await?;
    let text = format!("ConfigMap/{}/app-map termination timeout", test.namespace);
    test.event(RELEASE, "Warning", "UninstallFailed", &text).await?;
    // As in Helm nothing is stored of it any more, so there is nothing left to uninstall.
    test.gone(RELEASE).await?;
    ensure!(!test.get("ConfigMap/app-map").await?.text("/metadata/deletionTimestamp").is_empty());
    test.patch("ConfigMap/app-map", &json!({"metadata": {"finalizers": null}})).await?;
    helm.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_the_status_lacks_goes_if_its_objects_say_whose_it_is() -> Result<()> {
    let helm = Helm::shared("helm-unnoted").await?;
    let helm = helm.installed(&[("map.yaml", MAP)], &json!({})).await?;
    let test = &helm.test;
    // As after a kill before the status told of it.
    let forget = r#"{"status": {"history": null}}"#;
    test.kubectl(&["patch", "helmrelease", "app", "--subresource=status", "--type=merge", "-p", forget])?;
    test.objects.delete(&test.id(RELEASE)?).await?;
    test.gone(RELEASE).await?;
    ensure!(!is_left(&helm, "ConfigMap/app-map").await? && helm.helm(&["list"])? == json!([]));

    // That of somebody else stays.
    let chart = test.repo.folder().join("chart").display().to_string();
    helm.helm_text(&["install", "app", &chart])?;
    helm.release(&json!({})).await?;
    helm.ready("Helm upgrade succeeded").await?;
    helm.helm_text(&["uninstall", "app"])?;
    helm.helm_text(&["install", "app", &chart])?;
    test.kubectl(&["patch", "helmrelease", "app", "--subresource=status", "--type=merge", "-p", forget])?;
    test.objects.delete(&test.id(RELEASE)?).await?;
    test.gone(RELEASE).await?;
    ensure!(is_left(&helm, "ConfigMap/app-map").await? && helm.statuses("app")? == ["deployed"]);
    helm.test.finish().await
}
