//! The definitions that a chart has in `crds/`: what becomes of them by the policies of the spec.

use anyhow::{Result, ensure};
use e2e::objects::Look;
use serde_json::{Value, json};

use crate::helm_release::{Helm, RELEASE};

/// A definition of kind Thing of a group, with a description.
fn definition(group: &str, description: &str) -> String {
    format!(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: things.{group}}}\nspec:\n  group: {group}\n  \
         scope: Namespaced\n  names: {{kind: Thing, listKind: ThingList, plural: things, singular: thing}}\n  versions:\n    \
         - name: v1\n      served: true\n      storage: true\n      subresources: {{status: {{}}}}\n      schema:\n        openAPIV3Schema: {{type: object, description: {description}, \
         x-kubernetes-preserve-unknown-fields: true}}\n"
    )
}

fn thing(group: &str) -> String {
    format!(
        "apiVersion: {group}/v1\nkind: Thing\nmetadata: {{name: one}}\nspec: {{text: \"{{{{ .Values.text }}}}\"}}\n"
    )
}

/// What there is of the definition: its description, and of whom it is.
async fn description(helm: &Helm, group: &str) -> Result<String> {
    let crd = helm.test.get(&format!("CustomResourceDefinition/things.{group}")).await?;
    Ok(crd.text("/spec/versions/0/schema/openAPIV3Schema/description").to_owned())
}

async fn next(helm: &Helm, version: &str, files: &[(&str, &str)], message: &str) -> Result<Value> {
    helm.commit_chart_in("chart", version, files)?;
    helm.test.request("GitRepository/app").await?;
    helm.ready(&format!("{message}{version}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_are_created_replaced_or_left_out_by_the_policy_and_never_deleted() -> Result<()> {
    let helm = Helm::shared("helm-crds").await?;
    let test = &helm.test;
    let group = format!("{}.example", test.namespace);
    let crd = format!("CustomResourceDefinition/things.{group}");
    let stray = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: stray}\n";
    let files = [
        ("crds/thing.yaml", &*definition(&group, "first")),
        ("crds/stray.yaml", stray),
        ("templates/thing.yaml", &thing(&group)),
    ];
    // What is no definition is dropped; objects of the new kind are of the same release.
    helm.commit_chart_in("chart", "1.0.0", &files)?;
    test.apply_source().await?;
    helm.release(&json!({"healthCheckExprs": [{
        "apiVersion": format!("{group}/v1"), "kind": "Thing", "current": "has(status.ready) && status.ready",
        "failed": "has(status.broken)",
    }], "upgrade": {"timeout": "20s", "remediation": {"retries": 0}}}))
        .await?;
    // The kind has rules of health, and is waited for.
    let one = e2e::objects::Id::of(&format!("{group}/v1"), "Thing", &test.namespace, "one");
    test.wait("the object of the new kind", async || match test.objects.get(&one).await {
        Ok(Some(_)) => Ok(()),
        other => Err(e2e::wait::Not::Yet(format!("{other:?}"))),
    })
    .await?;
    let status = |status: Value| -> Result<()> {
        let name = format!("things.{group}/one");
        test.kubectl(&[
            "patch",
            &name,
            "--subresource=status",
            "--type=merge",
            "-p",
            &json!({"status": status}).to_string(),
        ])
        .map(drop)
    };
    ensure!(!test.get(RELEASE).await?.is_ready());
    status(json!({"ready": true}))?;
    let release = helm.ready("Helm install succeeded").await?;
    ensure!(!test.exists("ConfigMap/stray").await?);
    ensure!(description(&helm, &group).await? == "first");
    let labels = test.get(&crd).await?["metadata"]["labels"].clone();
    ensure!(
        labels["helm.toolkit.fluxcd.io/name"] == "app"
            && labels["helm.toolkit.fluxcd.io/namespace"] == test.namespace.as_str(),
        "{labels}"
    );
    let entries = release["status"]["inventory"]["entries"].to_string();
    ensure!(
        entries.contains(&format!("_things.{group}_apiextensions.k8s.io_CustomResourceDefinition")),
        "{entries}"
    );

    // Created, so left as it is.
    let second = definition(&group, "second");
    next(&helm, "2.0.0", &[("crds/thing.yaml", &second)], "app.v2 with chart app@").await?;
    ensure!(description(&helm, &group).await? == "first");
    // The policy alone is no reason for an upgrade.
    test.patch(RELEASE, &json!({"spec": {"upgrade": {"crds": "CreateReplace"}}})).await?;
    helm.ready("app.v2 with chart").await?;
    next(&helm, "3.0.0", &[], "app.v3 with chart app@").await?;
    ensure!(description(&helm, &group).await? == "second");
    test.patch(RELEASE, &json!({"spec": {"upgrade": {"crds": "Skip"}}})).await?;
    next(&helm, "4.0.0", &[("crds/thing.yaml", &definition(&group, "third"))], "app.v4 with chart app@")
        .await?;
    ensure!(description(&helm, &group).await? == "second");

    // A definition that nobody takes: nothing is stored.
    test.patch(RELEASE, &json!({"spec": {"upgrade": {"crds": "CreateReplace"}}})).await?;
    helm.commit_chart_in(
        "chart",
        "5.0.0",
        &[(
            "crds/thing.yaml",
            &definition(&group, "third").replace("scope: Namespaced", "scope: Everywhere"),
        )],
    )?;
    test.request("GitRepository/app").await?;
    let text = "failed to apply CustomResourceDefinitions: ";
    let release = helm.says("Released", "False", "UpgradeFailed", text).await?;
    ensure!(
        release.number("/status/upgradeFailures") == 0 && release.number("/status/history/0/version") == 4,
        "{release}"
    );
    ensure!(helm.statuses("app")?.len() == 4);
    // An object of the kind that is broken ends the wait at once.
    let broken = definition(&group, "third");
    helm.commit_chart_in("chart", "6.0.0", &[("crds/thing.yaml", &broken)])?;
    status(json!({"ready": null, "broken": true}))?;
    test.request("GitRepository/app").await?;
    helm.says("Released", "False", "UpgradeFailed", "failed early due to stalled resources: [Thing/").await?;
    ensure!(description(&helm, &group).await? == "third");

    test.objects.delete(&test.id(RELEASE)?).await?;
    test.gone(RELEASE).await?;
    ensure!(test.objects.get(&one).await?.is_none() && test.exists(&crd).await?, "definitions stay");
    // Installed without definitions, where they are there already.
    test.objects.delete(&test.id(&crd)?).await?;
    test.gone(&crd).await?;
    helm.release(&json!({"install": {"crds": "Skip"}})).await?;
    helm.says(
        "Released",
        "False",
        "InstallFailed",
        &format!("no matches for kind \"Thing\" in version \"{group}/v1\""),
    )
    .await?;
    ensure!(!test.exists(&crd).await?);
    helm.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_is_taken_and_never_served_is_told_and_nothing_is_stored() -> Result<()> {
    let helm = Helm::shared("helm-unserved").await?;
    let test = &helm.test;
    let group = format!("{}.example", test.namespace);
    // Somebody else has one of the names.
    let other = definition(&group, "other")
        .replace("things", "others")
        .replace("kind: Thing,", "kind: Other,")
        .replace("singular: thing", "singular: other");
    test.apply(&other).await?;
    let established = |crd: &Value| crd.condition("Established").is_some_and(|c| c.status == "True");
    let other = format!("CustomResourceDefinition/others.{group}");
    test.until(&other, "is established", established).await?;
    let files = [("crds/thing.yaml", &*definition(&group, "ours")), ("templates/thing.yaml", &thing(&group))];
    helm.commit_chart_in("chart", "1.0.0", &files)?;
    test.apply_source().await?;
    helm.release(&json!({})).await?;
    let text = format!(
        "failed to apply CustomResourceDefinitions: failed to wait for CustomResourceDefinition(s): \
         failed early due to stalled resources: [CustomResourceDefinition/things.{group} status: 'Failed'"
    );
    let release = helm.says("Released", "False", "InstallFailed", &text).await?;
    ensure!(
        release.number("/status/installFailures") == 0 && release["status"]["history"].is_null(),
        "{release}"
    );
    ensure!(release.condition("Stalled").is_none() && helm.helm(&["list"])? == json!([]), "{release}");
    // It goes on by itself once the names are free.
    test.objects.delete(&test.id(&other)?).await?;
    let crd = format!("CustomResourceDefinition/things.{group}");
    test.until(&crd, "is established", established).await?;
    helm.ready("Helm install succeeded").await?;
    test.objects.delete(&test.id(RELEASE)?).await?;
    test.gone(RELEASE).await?;
    test.objects.delete(&test.id(&crd)?).await?;
    helm.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_of_a_chart_below_come_with_it_and_not_without() -> Result<()> {
    let helm = Helm::shared("helm-crds-below").await?;
    let test = &helm.test;
    let group = format!("{}.example", test.namespace);
    let crd = format!("CustomResourceDefinition/things.{group}");
    let chart = "apiVersion: v2\nname: app\nversion: 1.0.0\n\
                 dependencies: [{name: below, version: 1.0.0, condition: below.enabled}]\n";
    let files = [
        ("Chart.yaml", chart),
        ("charts/below/Chart.yaml", "apiVersion: v2\nname: below\nversion: 1.0.0\n"),
        ("charts/below/crds/thing.yaml", &*definition(&group, "below")),
    ];
    helm.commit_chart_in("chart", "1.0.0", &files)?;
    test.apply_source().await?;
    let upgrade = json!({"crds": "Create"});
    helm.release(&json!({"upgrade": upgrade, "values": {"below": {"enabled": false}}})).await?;
    helm.ready("Helm install succeeded").await?;
    ensure!(!test.exists(&crd).await?);
    test.patch(RELEASE, &json!({"spec": {"values": {"below": {"enabled": true}}}})).await?;
    helm.ready("app.v2 with chart").await?;
    ensure!(description(&helm, &group).await? == "below");
    test.objects.delete(&test.id(RELEASE)?).await?;
    test.gone(RELEASE).await?;
    test.objects.delete(&test.id(&crd)?).await?;
    helm.test.finish().await
}
