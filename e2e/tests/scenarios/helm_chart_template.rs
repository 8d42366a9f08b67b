//! `spec.chart`: the source object that it makes, in which namespace and of which kind.

use anyhow::{Result, ensure};
use e2e::objects::{Id, Look};
use e2e::registry::{Registry, Setup};
use e2e::wait::Not;
use serde_json::json;

use crate::helm_chart_ref::{push, version_of};
use crate::helm_release::{Helm, MAP, RELEASE};

#[tokio::test(flavor = "multi_thread")]
async fn the_source_of_a_template_is_kept_as_it_says() -> Result<()> {
    let helm = Helm::shared("helm-template").await?;
    let test = &helm.test;
    helm.commit_chart("1.0.0", &[("map.yaml", MAP)])?;
    helm.commit_chart_in("another", "1.5.0", &[("templates/map.yaml", MAP)])?;
    // No source yet: the chart says so, and the release after it.
    helm.release(&json!({"chart": {
        "metadata": {"labels": {"team": "a"}, "annotations": {"note": "b"}},
        "spec": {
            "chart": "./chart", "sourceRef": {"kind": "GitRepository", "name": "app"}, "reconcileStrategy": "Revision",
            "valuesFiles": ["values.yaml", "more.yaml"], "ignoreMissingValuesFiles": true,
        },
    }})).await?;
    let name = format!("HelmChart/{}-app", test.namespace);
    let text = format!("HelmChart '{}/{}-app' is not ready: ", test.namespace, test.namespace);
    helm.says("Ready", "False", "SourceNotReady", &text).await?;
    let chart = test.get(&name).await?;
    let labels = &chart["metadata"]["labels"];
    ensure!(labels["team"] == "a" && labels["helm.toolkit.fluxcd.io/name"] == "app", "{chart}");
    ensure!(labels["helm.toolkit.fluxcd.io/namespace"] == test.namespace.as_str(), "{chart}");
    ensure!(chart["metadata"]["annotations"]["note"] == "b", "{chart}");
    ensure!(chart.text("/spec/interval") == "1h0m0s" && chart.text("/spec/version") == "*", "{chart}");
    ensure!(chart["spec"]["ignoreMissingValuesFiles"] == true, "{chart}");
    test.apply_source().await?;
    helm.ready("app.v1 with chart app@1.0.0").await?;

    // What others change is set back.
    test.patch(&name, &json!({"spec": {"interval": "2h"}})).await?;
    test.run(RELEASE).await?;
    ensure!(test.get(&name).await?.text("/spec/interval") == "1h0m0s");
    test.patch(RELEASE, &json!({"spec": {"chart": {"spec": {"chart": "./another", "interval": "3h"}}}}))
        .await?;
    helm.ready("with chart app@1.5.0").await?;
    ensure!(test.get(&name).await?.text("/spec/interval") == "3h0m0s");
    test.event(RELEASE, "Normal", "HelmChartConfigured", "Configured HelmChart/").await?;

    // A source elsewhere takes the chart with it.
    let there = format!("{}-there", test.namespace);
    test.apply(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {there}}}")).await?;
    test.objects.apply(&test.source_yaml("1h", ""), &there).await?;
    test.patch(RELEASE, &json!({"spec": {"chart": {"spec": {"sourceRef": {"namespace": there}}}}})).await?;
    test.gone(&name).await?;
    let made = format!("{there}/{}-app", test.namespace);
    helm.until("has its chart there", |release| {
        release.text("/status/helmChart") == made && release.is_ready()
    })
    .await?;
    test.event(RELEASE, "Normal", "HelmChartCreated", &format!("Created HelmChart/{made} with SourceRef"))
        .await?;
    test.objects.delete(&Id::of("v1", "Namespace", "", &there)).await?;
    helm.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_source_of_another_release_is_not_replaced() -> Result<()> {
    let helm = Helm::shared("helm-taken").await?;
    let test = &helm.test;
    helm.commit_chart("1.0.0", &[("map.yaml", MAP)])?;
    test.apply_source().await?;
    helm.release_named("a-b", &json!({})).await?;
    test.ready("HelmRelease/a-b").await?;
    // Namespace and name together are the same.
    let (here, there) = (&test.namespace, format!("{}-a", test.namespace));
    test.apply(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {there}}}")).await?;
    let source = json!({"kind": "GitRepository", "name": "app", "namespace": here});
    let other = json!({
        "apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": {"name": "b", "namespace": there},
        "spec": {"interval": "1h", "chart": {"spec": {"chart": "./other", "sourceRef": source}}},
    });
    test.apply(&other.to_string()).await?;
    let id = Id::of("helm.toolkit.fluxcd.io/v2", "HelmRelease", &there, "b");
    let text = format!(
        "HelmChart/{here}/{here}-a-b is that of HelmRelease/{here}/a-b, whose namespace and name together are the same"
    );
    let refused = test
        .wait("it is refused", async || {
            let release = test.objects.get(&id).await.map_err(Not::Ever)?.unwrap_or_default();
            match release.condition("Ready") {
                Some(ready) if ready.reason == "HelmChartSyncErr" => Ok(ready),
                _ => Err(Not::Yet(release.to_string())),
            }
        })
        .await?;
    ensure!((refused.status.to_string(), refused.message) == ("False".to_owned(), text));
    let chart = test.get(&format!("HelmChart/{here}-a-b")).await?;
    ensure!(chart.text("/spec/chart") == "./chart", "{chart}");
    // It is free once the other one is gone.
    test.objects.delete(&test.id("HelmRelease/a-b")?).await?;
    test.gone("HelmRelease/a-b").await?;
    let token = json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": "now"}}});
    test.objects.patch(&id, &token).await?;
    test.until(&format!("HelmChart/{here}-a-b"), "is that of the other", |chart| {
        chart.text("/spec/chart") == "./other"
    })
    .await?;
    test.objects.delete(&id).await?;
    test.objects.delete(&Id::of("v1", "Namespace", "", &there)).await?;
    helm.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_makes_an_oci_repository_and_one_of_another_kind_replaces_it() -> Result<()> {
    let helm = Helm::shared("helm-template-oci").await?;
    let (test, folder, registry) =
        (&helm.test, tempfile::tempdir()?, Registry::start(Setup::default()).await);
    push(&folder, &registry, "1.0.0", "one")?;
    let url = format!("oci://{}/charts/app", registry.address());
    let selector =
        json!({"mediaType": "application/vnd.cncf.helm.chart.content.v1.tar+gzip", "operation": "copy"});
    let template = json!({
        "kind": "OCIRepository", "metadata": {"labels": {"team": "a"}},
        "spec": {"url": url, "ref": {"semver": "1.x"}, "interval": "2h", "layerSelector": selector},
    });
    helm.release(&json!({"chart": template})).await?;
    let made = format!("OCIRepository/{0}/{0}-app", test.namespace);
    let name = format!("OCIRepository/{}-app", test.namespace);
    let (_, release) = version_of(&helm, "app.v1 with chart", "1.0.0+").await?;
    ensure!(release.text("/status/helmChart") == made, "{release}");
    ensure!(!release.text("/status/history/0/ociDigest").is_empty(), "{release}");
    let repository = test.get(&name).await?;
    ensure!(repository["metadata"]["labels"]["team"] == "a", "{repository}");
    ensure!(repository["metadata"]["labels"]["helm.toolkit.fluxcd.io/name"] == "app", "{repository}");
    ensure!(repository.text("/spec/interval") == "2h0m0s", "{repository}");
    test.event(RELEASE, "Normal", "HelmChartCreated", &format!("Created {made} with URL '{url}'")).await?;

    // A newer version in its range, and another range.
    push(&folder, &registry, "1.1.0", "two")?;
    test.request(&name).await?;
    version_of(&helm, "app.v2 with chart", "1.1.0+").await?;
    ensure!(helm.text().await? == "two");
    let mut older = template.clone();
    older["spec"]["ref"]["semver"] = "1.0.x".into();
    helm.release(&json!({"chart": older})).await?;
    version_of(&helm, "app.v3 with chart", "1.0.0+").await?;
    test.event(RELEASE, "Normal", "HelmChartConfigured", &format!("Configured {made} with URL")).await?;

    // A HelmChart instead, and back.
    helm.commit_chart("2.0.0", &[("map.yaml", MAP)])?;
    test.apply_source().await?;
    helm.release(&json!({"chart": helm.chart_in("chart")})).await?;
    helm.ready("app.v4 with chart app@2.0.0").await?;
    test.gone(&name).await?;
    test.event(RELEASE, "Normal", "HelmChartDeleted", "deleted OCIRepository '").await?;
    helm.release(&json!({"chart": template})).await?;
    version_of(&helm, "app.v5 with chart", "1.1.0+").await?;
    test.gone(&format!("HelmChart/{}-app", test.namespace)).await?;
    test.objects.delete(&test.id(RELEASE)?).await?;
    test.gone(RELEASE).await?;
    test.gone(&name).await?;
    helm.test.finish().await
}
