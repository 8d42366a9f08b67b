//! HelmRelease.

use anyhow::Result;
use serde_json::{Value, json};

use crate::server::{Server, helm_release};

const VERSIONS: [&str; 3] = ["v2", "v2beta2", "v2beta1"];

/// The template of a chart, changed by `spec`.
fn chart(spec: Value) -> Value {
    let base = json!({"chart": "a", "sourceRef": {"kind": "HelmRepository", "name": "a"}});
    json!({"chart": {"spec": crate::server::with(base, spec)}})
}

#[tokio::test(flavor = "multi_thread")]
async fn helm_releases_are_judged_by_their_schema() -> Result<()> {
    let server = Server::connect().await?;
    for version in VERSIONS {
        let release = |spec| helm_release(version, spec);
        server.rejects(&release(json!({"interval": null})), "spec.interval: Required value").await;
        for field in ["interval", "timeout"] {
            server.accepts(&release(json!({field: "1h30m"}))).await;
            server
                .rejects(&release(json!({field: "1d"})), &format!("spec.{field} in body should match"))
                .await;
        }
        for action in ["install", "upgrade", "test", "rollback", "uninstall"] {
            server.accepts(&release(json!({action: {"timeout": "10ms"}}))).await;
            let text = format!("spec.{action}.timeout in body should match");
            server.rejects(&release(json!({action: {"timeout": "soon"}})), &text).await;
        }
        for (field, longest) in [("releaseName", 53), ("targetNamespace", 63), ("storageNamespace", 63)] {
            server.accepts(&release(json!({field: "a".repeat(longest)}))).await;
            let text = format!("may not be more than {longest}");
            server.rejects(&release(json!({field: "a".repeat(longest + 1)})), &text).await;
            server.rejects(&release(json!({field: ""})), "should be at least 1 chars long").await;
        }
        for (spec, text) in [
            (chart(json!({"sourceRef": {"kind": "OCIRepository", "name": "a"}})), "kind: Unsupported value"),
            (chart(json!({"sourceRef": {"kind": "Bucket", "name": ""}})), "should be at least 1 chars long"),
            (chart(json!({"reconcileStrategy": "Never"})), "reconcileStrategy: Unsupported value"),
            (json!({"install": {"crds": "Sometimes"}}), "spec.install.crds: Unsupported value"),
            (json!({"upgrade": {"remediation": {"strategy": "hope"}}}), "strategy: Unsupported value"),
            (json!({"uninstall": {"deletionPropagation": "none"}}), "deletionPropagation: Unsupported value"),
            (json!({"driftDetection": {"mode": "loud"}}), "spec.driftDetection.mode: Unsupported value"),
            (
                json!({"driftDetection": {"ignore": [{}]}}),
                "spec.driftDetection.ignore[0].paths: Required value",
            ),
            (
                json!({"valuesFrom": [{"kind": "Pod", "name": "a"}]}),
                "spec.valuesFrom[0].kind: Unsupported value",
            ),
            (
                json!({"valuesFrom": [{"kind": "Secret", "name": "a", "valuesKey": "a/b"}]}),
                "valuesKey in body should match",
            ),
            (
                json!({"valuesFrom": [{"kind": "Secret", "name": "a", "targetPath": "a=b"}]}),
                "targetPath in body should match",
            ),
            (
                json!({"postRenderers": [{"kustomize": {"patches": [{}]}}]}),
                "patches[0].patch: Required value",
            ),
            (json!({"maxHistory": "5"}), "spec.maxHistory in body must be of type integer"),
        ] {
            server.rejects(&release(spec), text).await;
        }
        let values = json!({"any": [{"thing": null}, 1.5], "goes": {"here": true}});
        let from = json!([{"kind": "ConfigMap", "name": "a", "valuesKey": "a.yaml", "targetPath": "a.b\\.c[0]/d", "optional": true}]);
        let seen = server.accepts(&release(json!({"values": values, "valuesFrom": from}))).await;
        assert_eq!((&seen["spec"]["values"], &seen["spec"]["valuesFrom"]), (&values, &from));
        assert_eq!(seen["status"], json!({"observedGeneration": -1}));
        let seen = server.accepts(&release(json!({"uninstall": {}}))).await;
        assert_eq!(seen["spec"]["uninstall"], json!({"deletionPropagation": "background"}));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helm_release_has_a_chart_or_refers_to_one() -> Result<()> {
    let server = Server::connect().await?;
    let reference = json!({"kind": "HelmChart", "name": "a"});
    for version in ["v2", "v2beta2"] {
        let message = "either chart or chartRef must be set";
        server.rejects(&helm_release(version, json!({"chart": null})), message).await;
        server.rejects(&helm_release(version, json!({"chartRef": reference})), message).await;
        for kind in ["HelmChart", "OCIRepository"] {
            let spec = json!({"chart": null, "chartRef": {"kind": kind, "name": "a", "namespace": "b"}});
            server.accepts(&helm_release(version, spec)).await;
        }
        let foreign = json!({"chart": null, "chartRef": {"kind": "HelmRepository", "name": "a"}});
        server.rejects(&helm_release(version, foreign), "spec.chartRef.kind: Unsupported value").await;
    }
    server.rejects(&helm_release("v2beta1", json!({"chart": null})), "spec.chart: Required value").await;
    let external = json!({"chart": null, "chartRef": {"kind": "ExternalArtifact", "name": "a"}});
    server.accepts(&helm_release("v2", external.clone())).await;
    server.rejects(&helm_release("v2beta2", external), "Unsupported value: \"ExternalArtifact\"").await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_has_the_fields_of_the_kind_that_it_makes() -> Result<()> {
    let server = Server::connect().await?;
    let template = |kind: Value, spec: Value| {
        let template = crate::server::with(json!({"spec": spec}), json!({"kind": kind}));
        helm_release("v2", json!({"chart": template}))
    };
    let both = "chart.spec.chart and chart.spec.sourceRef must be set when chart.kind is not 'OCIRepository'";
    let source = json!({"kind": "HelmRepository", "name": "a"});
    for kind in [json!(null), json!("HelmChart")] {
        server.rejects(&template(kind.clone(), json!({"chart": "a"})), both).await;
        server.rejects(&template(kind.clone(), json!({"sourceRef": source})), both).await;
        let seen = server.accepts(&template(kind.clone(), json!({"chart": "a", "sourceRef": source}))).await;
        assert_eq!(seen["spec"]["chart"]["spec"].as_object().unwrap().len(), 2, "no defaults: {seen}");
        let url = json!({"chart": "a", "sourceRef": source, "url": "oci://a/b"});
        server.rejects(&template(kind, url), "chart.spec.url requires chart.kind: 'OCIRepository'").await;
    }
    server
        .rejects(&template(json!("Bucket"), json!({"chart": "a"})), "spec.chart.kind: Unsupported value")
        .await;

    let oci = |spec| template(json!("OCIRepository"), crate::server::with(json!({"url": "oci://a/b"}), spec));
    let all = json!({
        "ref": {"semver": "1.x"}, "interval": "1h", "timeout": "1m", "provider": "aws", "insecure": true,
        "layerSelector": {"operation": "copy"}, "verify": {"provider": "cosign"}, "secretRef": {"name": "a"},
        "version": "*", "reconcileStrategy": "ChartVersion",
    });
    server.accepts(&oci(all)).await;
    server
        .rejects(&oci(json!({"url": null})), "chart.spec.url must be set when chart.kind is 'OCIRepository'")
        .await;
    server.rejects(&oci(json!({"url": "https://a/b"})), "spec.chart.spec.url in body should match").await;
    for (field, value) in [
        ("chart", json!("a")),
        ("version", json!("1.x")),
        ("sourceRef", source),
        ("reconcileStrategy", json!("Revision")),
        ("valuesFiles", json!(["a"])),
        ("ignoreMissingValuesFiles", json!(true)),
    ] {
        let text = format!("chart.spec.{field} cannot be set when chart.kind is 'OCIRepository'");
        server.rejects(&oci(json!({field: value})), &text).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn strategies_have_a_retry_interval_only_where_they_retry() -> Result<()> {
    let server = Server::connect().await?;
    for (action, text) in [
        ("install", ".retryInterval cannot be set when .name is 'RemediateOnFailure'"),
        ("upgrade", ".retryInterval can only be set when .name is 'RetryOnFailure'"),
    ] {
        let strategy = |strategy| helm_release("v2", json!({action: {"strategy": strategy}}));
        server.accepts(&strategy(json!({"name": "RemediateOnFailure"}))).await;
        server.accepts(&strategy(json!({"name": "RetryOnFailure", "retryInterval": "1m"}))).await;
        let refused = json!({"name": "RemediateOnFailure", "retryInterval": "1m"});
        server.rejects(&strategy(refused), text).await;
        server.rejects(&strategy(json!({"name": "Hope"})), "strategy.name: Unsupported value").await;
    }
    for (spec, text) in [
        (json!({"waitStrategy": {"name": "watcher"}}), "spec.waitStrategy.name: Unsupported value"),
        (json!({"postRenderStrategy": "all"}), "spec.postRenderStrategy: Unsupported value"),
        (json!({"upgrade": {"serverSideApply": "yes"}}), "spec.upgrade.serverSideApply: Unsupported value"),
        (
            json!({"kubeConfig": {}}),
            "exactly one of spec.kubeConfig.configMapRef or spec.kubeConfig.secretRef",
        ),
        (json!({"dependsOn": [{"readyExpr": "true"}]}), "spec.dependsOn[0].name: Required value"),
        (json!({"test": {"filters": [{"name": ""}]}}), "should be at least 1 chars long"),
    ] {
        server.rejects(&helm_release("v2", spec), text).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn helm_release_versions_differ_where_upstreams_did() -> Result<()> {
    let server = Server::connect().await?;
    for version in ["v2beta2", "v2beta1"] {
        let answer = server.create(&helm_release(version, json!({})), "dryRun=All").await;
        assert_eq!(answer.warnings, [format!("{version} HelmRelease is deprecated, upgrade to v2")]);
        let old = json!({"postRenderers": [{"kustomize": {
            "patchesStrategicMerge": [{"kind": "Service"}],
            "patchesJson6902": [{"patch": [{"op": "remove", "path": "/a"}], "target": {}}],
        }}]});
        let seen = server.accepts(&helm_release(version, old)).await;
        // v2 is what is stored, and does not have it.
        assert_eq!(seen["spec"]["postRenderers"][0]["kustomize"], json!({}));
        let seen = server.accepts(&helm_release(version, chart(json!({"valuesFile": "a"})))).await;
        assert_eq!(seen["spec"]["chart"]["spec"]["reconcileStrategy"], "ChartVersion");
    }
    for (version, spec, field) in [
        ("v2beta2", json!({"commonMetadata": {}}), "spec.commonMetadata"),
        ("v2beta2", json!({"waitStrategy": {"name": "poller"}}), "spec.waitStrategy"),
        ("v2beta2", json!({"install": {"strategy": {"name": "RetryOnFailure"}}}), "spec.install.strategy"),
        ("v2beta2", json!({"upgrade": {"serverSideApply": "auto"}}), "spec.upgrade.serverSideApply"),
        ("v2beta2", json!({"dependsOn": [{"name": "a", "readyExpr": "b"}]}), "spec.dependsOn[0].readyExpr"),
        ("v2beta1", json!({"test": {"filters": []}}), "spec.test.filters"),
        (
            "v2beta1",
            chart(json!({"ignoreMissingValuesFiles": true})),
            "spec.chart.spec.ignoreMissingValuesFiles",
        ),
        ("v2", chart(json!({"valuesFile": "a"})), "spec.chart.spec.valuesFile"),
    ] {
        server.rejects_strictly(&helm_release(version, spec), &format!("unknown field \"{field}\"")).await;
    }
    let notation = chart(json!({"verify": {"provider": "notation"}}));
    server.accepts(&helm_release("v2beta2", notation.clone())).await;
    server.rejects(&helm_release("v2beta1", notation), "provider: Unsupported value: \"notation\"").await;
    Ok(())
}
