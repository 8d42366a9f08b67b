//! Options of actions that change how objects are written and taken, and the flags and gates that change their defaults.

use anyhow::{Context, Result, ensure};
use e2e::objects::Look;
use e2e::testkit::{config_map, deployment};
use serde_json::{Value, json};

use crate::helm_release::{Helm, MAP, RELEASE};
use crate::helm_remediation::scaled;
use crate::helm_storage::stored;

const HOOK: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app-hook, annotations: {helm.sh/hook: \"pre-install,pre-upgrade\"}}\n";

/// How a field manager wrote an object last: `Apply` or `Update`.
fn operations(object: &Value, manager: &str) -> Vec<String> {
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    entries
        .filter(|entry| entry.text("/manager") == manager)
        .map(|entry| entry.text("/operation").to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_others_are_refused_where_they_are_not_to_be_taken() -> Result<()> {
    let helm = Helm::shared("helm-ownership").await?;
    let test = &helm.test;
    let foreign = |name: &str| {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{text: theirs}}\n")
    };
    test.apply(&foreign("app-map")).await?;
    test.apply(&foreign("app-more")).await?;
    let own = json!({"disableTakeOwnership": true});
    helm.begin(&[("map.yaml", MAP)], &json!({"install": own, "upgrade": own})).await?;
    let refused = |name: &str| {
        format!(
            "ConfigMap \"{name}\" in namespace \"{}\" exists and cannot be imported into the current release: invalid ownership metadata",
            test.namespace
        )
    };
    let release = helm.says("Released", "False", "InstallFailed", &refused("app-map")).await?;
    ensure!(release.number("/status/installFailures") == 0, "{release}");
    ensure!(helm.helm(&["list"])? == json!([]) && helm.text().await? == "theirs");
    test.patch(RELEASE, &json!({"spec": {"install": {"disableTakeOwnership": false}}})).await?;
    helm.ready("Helm install succeeded").await?;
    ensure!(helm.text().await? == "default");

    helm.commit_chart("2.0.0", &[("more.yaml", &MAP.replace("-map", "-more"))])?;
    test.request("GitRepository/app").await?;
    helm.says("Released", "False", "UpgradeFailed", &refused("app-more")).await?;
    ensure!(helm.statuses("app")? == ["deployed"]);
    ensure!(test.get("ConfigMap/app-more").await?.text("/data/text") == "theirs");
    test.patch(RELEASE, &json!({"spec": {"upgrade": {"disableTakeOwnership": false}}})).await?;
    helm.ready("app.v2 with chart app@2.0.0").await?;
    ensure!(test.get("ConfigMap/app-more").await?.text("/data/text") == "default");
    helm.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_written_by_the_client_replaced_and_cleaned_up_if_asked() -> Result<()> {
    let helm = Helm::shared("helm-written").await?;
    let upgrade = json!({"force": true, "cleanupOnFail": true, "timeout": "1s", "preserveValues": true, "remediation": {"retries": 0}});
    let rollback = json!({"serverSideApply": "enabled"});
    let spec = json!({"install": {"serverSideApply": false}, "upgrade": upgrade, "rollback": rollback, "values": {"text": "one"}});
    let helm = helm.installed(&[("map.yaml", MAP), ("web.yaml", &scaled())], &spec).await?;
    let test = &helm.test;
    let map = test.get("ConfigMap/app-map").await?;
    ensure!(operations(&map, "helm-controller") == ["Update"], "{map}");
    ensure!(stored(&helm, 1).await?["apply_method"] == "csa");

    // Put in the place of what is there, with all that others have added; what was given before is given still.
    test.patch("ConfigMap/app-map", &json!({"data": {"more": "of others"}})).await?;
    let values = json!({"values": {"text": null, "other": "two"}});
    test.patch(RELEASE, &json!({"spec": values})).await?;
    helm.ready("app.v2 with chart").await?;
    let map = test.get("ConfigMap/app-map").await?;
    ensure!(map["data"] == json!({"text": "one"}), "{map}");
    ensure!(helm.helm(&["get", "values", "app"])? == json!({"text": "one", "other": "two"}));
    // And that is all.
    test.run(RELEASE).await?;
    ensure!(helm.version().await? == 2);

    // What a failed upgrade has made goes again; it stays failed.
    helm.commit_chart(
        "2.0.0",
        &[("more.yaml", &config_map("more", "1")), ("web.yaml", &deployment("web", 1))],
    )?;
    test.request("GitRepository/app").await?;
    helm.says("Stalled", "True", "RetriesExceeded", "Failed to upgrade after 1").await?;
    ensure!(!test.exists("ConfigMap/more").await? && test.exists("ConfigMap/app-map").await?);
    ensure!(helm.statuses("app")? == ["superseded", "deployed", "failed"], "{:?}", helm.statuses("app")?);
    // The rollback of the next one is server-side, as it is to be.
    let remediation = json!({"retries": 0, "remediateLastFailure": true});
    test.patch(RELEASE, &json!({"spec": {"upgrade": {"remediation": remediation}}})).await?;
    let release = helm.says("Remediated", "True", "RollbackSucceeded", "").await?;
    let version = release.number("/status/history/0/version");
    ensure!(stored(&helm, version).await?["apply_method"] == "ssa", "{release}");
    let map = test.get("ConfigMap/app-map").await?;
    ensure!(operations(&map, "helm-controller").contains(&"Apply".to_owned()), "{map}");
    helm.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn post_renderers_see_hooks_by_the_strategy_and_set_images() -> Result<()> {
    let helm = Helm::shared("helm-post-render").await?;
    let patch = r#"[{"op": "add", "path": "/metadata/labels/patched", "value": "yes"}]"#;
    let patches = json!([{"patch": patch, "target": {"kind": "ConfigMap"}}]);
    let renderer = json!([{"kustomize": {"patches": patches, "images": [{"name": "app", "newName": "registry.example/app", "newTag": "2"}]}}]);
    let labelled = |text: &str| text.replace("metadata: {", "metadata: {labels: {a: b}, ");
    let templates =
        [("hook.yaml", &*labelled(HOOK)), ("map.yaml", &labelled(MAP)), ("web.yaml", &deployment("web", 0))];
    let spec = json!({"postRenderers": renderer, "postRenderStrategy": "nohooks", "commonMetadata": {"annotations": {"team": "b"}}});
    let helm = helm.installed(&templates, &spec).await?;
    let test = &helm.test;
    let patched =
        |what: &str| Ok::<_, anyhow::Error>(helm.helm_text(&["get", what, "app"])?.contains("patched"));
    ensure!(patched("manifest")? && !patched("hooks")?);
    let web = test.get("Deployment/web").await?;
    ensure!(web.text("/spec/template/spec/containers/0/image") == "registry.example/app:2", "{web}");
    ensure!(web["metadata"]["annotations"]["team"] == "b", "{web}");
    // The strategy alone is no reason for an upgrade.
    for (version, strategy) in [(2, "separate"), (3, "combined")] {
        test.patch(RELEASE, &json!({"spec": {"postRenderStrategy": strategy}})).await?;
        helm.ready(&format!("app.v{} with chart", version - 1)).await?;
        test.patch(RELEASE, &json!({"spec": {"values": {"text": strategy}}})).await?;
        helm.ready(&format!("app.v{version} with chart")).await?;
        ensure!(patched("manifest")? && patched("hooks")?, "{strategy}");
        ensure!(helm.text().await? == strategy);
    }
    // Metadata alone is one.
    test.patch(RELEASE, &json!({"spec": {"commonMetadata": {"annotations": {"team": "c"}}}})).await?;
    helm.ready("app.v4 with chart").await?;
    ensure!(test.get("ConfigMap/app-map").await?["metadata"]["annotations"]["team"] == "c");
    helm.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_and_gates_change_what_is_done_without_a_word_in_the_spec() -> Result<()> {
    let flags = [
        "--feature-gates=UseHelm3Defaults=true",
        "--override-manager=foreign",
        "--snapshot-digest-algo=sha512",
    ];
    let helm = Helm::new("helm-defaults", &flags).await?;
    let spec = json!({"commonMetadata": {"labels": {"team": "a"}}, "driftDetection": {"mode": "enabled"}});
    let helm = helm.installed(&[("hook.yaml", HOOK), ("map.yaml", MAP)], &spec).await?;
    let test = &helm.test;
    let map = test.get("ConfigMap/app-map").await?;
    ensure!(
        operations(&map, "helm-controller") == ["Update"] && map.text("/metadata/labels/team") == "a",
        "{map}"
    );
    ensure!(!helm.helm_text(&["get", "hooks", "app"])?.contains("team"), "hooks are not rendered again");
    let release = test.get(RELEASE).await?;
    for digest in ["digest", "configDigest"] {
        ensure!(release.text(&format!("/status/history/0/{digest}")).starts_with("sha512:"), "{release}");
    }
    // What another manager has added is set back only if its fields are taken from it.
    for (manager, stays) in [("somebody", true), ("foreign", false)] {
        let added = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: app-map}}\ndata: {{{manager}: added}}\n"
        );
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), added)?;
        let path = file.path().to_str().context("a path")?;
        test.kubectl(&["apply", "--server-side", "--field-manager", manager, "-f", path])?;
        test.run(RELEASE).await?;
        helm.says("Drifted", "False", "NoDriftDetected", "").await?;
        let map = test.get("ConfigMap/app-map").await?;
        ensure!(map["data"][manager].is_string() == stays, "{manager} of {map}");
    }
    // Nothing of this was an upgrade.
    ensure!(helm.version().await? == 1);
    helm.test.finish().await
}
