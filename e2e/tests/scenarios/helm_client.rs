//! The real client on what the controller wrote: what it shows is what was wanted.

use anyhow::{Result, ensure};
use e2e::objects::Look;
use serde_json::{Value, json};

use crate::helm_release::{Helm, MAP, RELEASE};
use crate::helm_storage::edit;

const HOOK: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: hook, annotations: {helm.sh/hook: post-install}}\n";
const NOTES: &str = "Thank you for {{ .Chart.Name }} {{ .Values.text }}, revision {{ .Release.Revision }}.\n";

#[tokio::test(flavor = "multi_thread")]
async fn the_client_shows_all_of_a_release_and_goes_on_with_it() -> Result<()> {
    let helm = Helm::shared("helm-client").await?;
    let templates = [("map.yaml", MAP), ("hook.yaml", HOOK), ("NOTES.txt", NOTES)];
    let spec = json!({"values": {"text": "one", "list": [1, 2.5, null], "none": null}, "commonMetadata": {"labels": {"team": "a"}}});
    let helm = helm.installed(&templates, &spec).await?;
    let test = &helm.test;
    test.patch(RELEASE, &json!({"spec": {"values": {"text": "two"}}})).await?;
    helm.ready("app.v2 with chart").await?;
    let release = test.get(RELEASE).await?;
    let version = release.text("/status/history/0/chartVersion");

    let status = helm.helm(&["status", "app"])?;
    ensure!(
        status.text("/info/description") == "Upgrade complete" && status.text("/info/status") == "deployed",
        "{status}"
    );
    ensure!(status.text("/info/notes") == "Thank you for app two, revision 2.\n", "{status}");
    ensure!(
        helm.helm_text(&["get", "notes", "app", "--revision=1"])?
            .contains("Thank you for app one, revision 1.")
    );
    let history = helm.helm(&["history", "app"])?;
    for (at, description) in [(0, "Install complete"), (1, "Upgrade complete")] {
        let revision = &history[at];
        ensure!(
            revision.text("/description") == description
                && revision.text("/chart") == format!("app-{version}"),
            "{history}"
        );
        ensure!(revision.text("/app_version") == "7" && !revision.text("/updated").is_empty(), "{history}");
    }
    let values = helm.helm(&["get", "values", "app"])?;
    ensure!(
        values == json!({"text": "two", "list": [1, 2.5, null], "none": null})
            || values == json!({"text": "two", "list": [1, 2.5, null]}),
        "{values}"
    );
    let all = helm.helm(&["get", "values", "app", "--all"])?;
    ensure!(all["replicas"] == 0 && all["text"] == "two", "{all}");
    let manifest = helm.helm_text(&["get", "manifest", "app"])?;
    ensure!(
        manifest.contains("team: a")
            && manifest.contains("name: app-map")
            && !manifest.contains("name: hook"),
        "{manifest}"
    );
    let hooks = helm.helm_text(&["get", "hooks", "app"])?;
    ensure!(hooks.contains("name: hook") && hooks.contains("team: a"), "{hooks}");
    let metadata = helm.helm(&["get", "metadata", "app"])?;
    ensure!(
        metadata.text("/version") == version
            && metadata.number("/revision") == 2
            && metadata.text("/namespace") == test.namespace,
        "{metadata}"
    );
    let labels = test.get("Secret/sh.helm.release.v1.app.v2").await?["metadata"]["labels"].clone();
    ensure!(
        labels["status"] == "deployed"
            && labels["owner"] == "helm"
            && labels["version"] == "2"
            && !labels["modifiedAt"].is_null(),
        "{labels}"
    );
    let listed = helm.helm(&["list", "-l", "name=app", "--deployed"])?;
    ensure!(listed.as_array().map(Vec::len) == Some(1) && listed[0].text("/app_version") == "7", "{listed}");

    // Handed over to the client for good, and back.
    test.patch(RELEASE, &json!({"spec": {"suspend": true}})).await?;
    helm.helm_text(&["rollback", "app", "1", "--force-conflicts", "--wait"])?;
    let chart = test.repo.folder().join("chart").display().to_string();
    helm.helm_text(&["upgrade", "app", &chart, "--reuse-values", "--set", "text=four", "--force-conflicts"])?;
    ensure!(helm.text().await? == "four");
    test.patch(RELEASE, &json!({"spec": {"suspend": false}})).await?;
    helm.ready("app.v5 with chart").await?;
    ensure!(helm.text().await? == "two");
    helm.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_of_helm_3_stays_client_side_until_asked() -> Result<()> {
    let helm = Helm::shared("helm-three").await?;
    let test = &helm.test;
    helm.commit_chart("1.0.0", &[("map.yaml", MAP)])?;
    test.apply_source().await?;
    let chart = test.repo.folder().join("chart").display().to_string();
    helm.helm_text(&["install", "app", &chart, "--server-side=false"])?;
    // Helm 3 knows of no way to apply.
    edit(&helm, 1, |release| {
        release.as_object_mut().map(|release| release.remove("apply_method"));
    })
    .await?;
    let managers = async || -> Result<Vec<(String, String)>> {
        let map =
            test.objects.read(&format!("/api/v1/namespaces/{}/configmaps/app-map", test.namespace)).await?;
        let map: Value = serde_json::from_str(&map)?;
        let fields = map["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
        Ok(fields.iter().map(|f| (f.text("/manager").to_owned(), f.text("/operation").to_owned())).collect())
    };
    helm.release(&json!({"values": {"text": "ours"}})).await?;
    helm.ready("app.v2 with chart").await?;
    let by = |managers: &[(String, String)], operation: &str| {
        managers.iter().any(|(name, how)| name == "helm-controller" && how == operation)
    };
    ensure!(by(&managers().await?, "Update"), "{:?}", managers().await?);
    test.patch(
        RELEASE,
        &json!({"spec": {"upgrade": {"serverSideApply": "enabled"}, "values": {"text": "applied"}}}),
    )
    .await?;
    helm.ready("app.v3 with chart").await?;
    ensure!(by(&managers().await?, "Apply"), "{:?}", managers().await?);
    // From then on it is server-side by itself, and a field that the chart has no more is gone.
    let other = MAP.replace("text: \"", "more: \"");
    helm.commit_chart("2.0.0", &[("map.yaml", &other)])?;
    test.patch(RELEASE, &json!({"spec": {"upgrade": {"serverSideApply": null}}})).await?;
    test.request("GitRepository/app").await?;
    helm.ready("app.v4 with chart app@2.0.0").await?;
    ensure!(test.get("ConfigMap/app-map").await?["data"] == json!({"more": "applied"}));
    // Unknown fields are refused by a server-side apply alone.
    helm.commit_chart("3.0.0", &[("map.yaml", &format!("{other}unknown: field\n"))])?;
    test.request("GitRepository/app").await?;
    helm.says("Released", "False", "UpgradeFailed", ".unknown: field not declared in schema").await?;
    test.patch(RELEASE, &json!({"spec": {"upgrade": {"serverSideApply": "disabled"}}})).await?;
    helm.ready("with chart app@3.0.0").await?;
    // And the client goes on where we ended.
    helm.helm_text(&["rollback", "app", "2"])?;
    ensure!(helm.text().await? == "ours");
    helm.test.finish().await
}
