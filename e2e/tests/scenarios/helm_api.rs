//! What the API server takes of a HelmRelease, and what is said of one that is new or wrong.

use anyhow::{Result, ensure};
use e2e::objects::Look;
use serde_json::{Value, json};

use crate::helm_release::{Helm, MAP, RELEASE};

/// What the API server says of a HelmRelease with this spec; empty if it takes it.
async fn refused(helm: &Helm, name: &str, change: Value) -> String {
    let mut spec = json!({"interval": "1h", "chart": helm.chart_in("chart")});
    for (key, value) in change.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    spec.as_object_mut().into_iter().for_each(|spec| spec.retain(|_, value| !value.is_null()));
    let object = json!({
        "apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease",
        "metadata": {"name": name}, "spec": spec,
    });
    // Suspended, so that nobody works on what is taken.
    let mut object = object;
    object["spec"]["suspend"] = true.into();
    match helm.test.objects.apply_one(&object, &helm.test.namespace).await {
        Ok(_) => String::new(),
        Err(error) => format!("{error:#}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_takes_what_flux_s_takes() -> Result<()> {
    let helm = Helm::shared("helm-api").await?;
    let chart_ref = json!({"kind": "OCIRepository", "name": "a"});
    let from = |field: &str, value: &str| {
        let mut reference = json!({"kind": "Secret", "name": "a"});
        reference[field] = value.into();
        json!({"valuesFrom": [reference]})
    };
    let strategy =
        |action: &str, name: &str| json!({action: {"strategy": {"name": name, "retryInterval": "1m"}}});
    let repository = |spec: Value| json!({"chart": {"kind": "OCIRepository", "spec": spec}});
    let long = "a".repeat(54);
    let cases = [
        (json!({"chartRef": chart_ref}), "either chart or chartRef must be set"),
        (json!({"chart": null}), "either chart or chartRef must be set"),
        (json!({"chart": null, "chartRef": chart_ref}), ""),
        (
            json!({"chart": null, "chartRef": {"kind": "GitRepository", "name": "a"}}),
            "Unsupported value: \"GitRepository\"",
        ),
        (json!({"interval": "1 hour"}), "spec.interval"),
        (json!({"interval": "1h30m0.5s10ms", "timeout": "90s"}), ""),
        (json!({"timeout": "5"}), "spec.timeout"),
        (json!({"releaseName": long}), "spec.releaseName"),
        (json!({"releaseName": &long[1..]}), ""),
        (json!({"targetNamespace": ""}), "spec.targetNamespace"),
        (from("targetPath", "a.b[0]\\.c/d"), ""),
        (from("targetPath", "a b"), "targetPath"),
        (from("targetPath", "a[123456]"), "targetPath"),
        (from("valuesKey", "a-b_c.yaml"), ""),
        (from("valuesKey", "a/b"), "valuesKey"),
        (from("kind", "Deployment"), "Unsupported value: \"Deployment\""),
        (
            strategy("install", "RemediateOnFailure"),
            ".retryInterval cannot be set when .name is 'RemediateOnFailure'",
        ),
        (
            strategy("upgrade", "RemediateOnFailure"),
            ".retryInterval can only be set when .name is 'RetryOnFailure'",
        ),
        (strategy("upgrade", "RetryOnFailure"), ""),
        (json!({"upgrade": {"serverSideApply": "perhaps"}}), "Unsupported value: \"perhaps\""),
        (json!({"install": {"crds": "Delete"}}), "Unsupported value: \"Delete\""),
        (json!({"driftDetection": {"mode": "on"}}), "Unsupported value: \"on\""),
        (
            json!({"kubeConfig": {}}),
            "exactly one of spec.kubeConfig.configMapRef or spec.kubeConfig.secretRef must be specified",
        ),
        // Rules of Flux 2.10 for templates of OCIRepositories.
        (repository(json!({"url": "oci://registry.example/a"})), ""),
        (repository(json!({})), "chart.spec.url must be set when chart.kind is 'OCIRepository'"),
        (
            json!({"chart": {"spec": {"url": "oci://registry.example/a"}}}),
            "chart.spec.url requires chart.kind: 'OCIRepository'",
        ),
        (
            repository(json!({"url": "oci://registry.example/a", "chart": "b"})),
            "chart.spec.chart cannot be set when chart.kind is 'OCIRepository'",
        ),
        (
            repository(json!({"url": "oci://registry.example/a", "version": "1.x"})),
            "chart.spec.version cannot be set when",
        ),
        (repository(json!({"url": "oci://registry.example/a", "version": "*"})), ""),
        (json!({"chart": {"spec": {"chart": "a"}}}), "chart.spec.chart and chart.spec.sourceRef must be set"),
    ];
    for (at, (spec, text)) in cases.into_iter().enumerate() {
        let said = refused(&helm, &format!("any-{at}"), spec.clone()).await;
        ensure!(
            said.contains(text) && said.is_empty() == text.is_empty(),
            "{spec}: {said:?} instead of {text:?}"
        );
    }
    // What nobody has looked at says so, and gets no defaults that Flux does not set.
    let any = helm.test.get("HelmRelease/any-2").await?;
    ensure!(
        any["spec"]["install"].is_null()
            && any["spec"]["upgrade"].is_null()
            && any["spec"]["timeout"].is_null(),
        "{any}"
    );
    ensure!(any["spec"]["driftDetection"].is_null() && any["spec"]["maxHistory"].is_null(), "{any}");
    helm.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn expressions_that_are_none_and_dependencies_by_expression_are_told() -> Result<()> {
    let helm = Helm::shared("helm-exprs").await?;
    let test = &helm.test;
    let broken = json!([{"apiVersion": "v1", "kind": "ConfigMap", "current": "status.("}]);
    helm.begin(&[("map.yaml", MAP)], &json!({"healthCheckExprs": broken})).await?;
    let text = "Reconciliation failed terminally due to configuration error: ";
    let release = helm.says("Stalled", "True", "InvalidCELExpression", text).await?;
    ensure!(
        release
            .condition("Ready")
            .is_some_and(|ready| ready.reason == "InvalidCELExpression" && ready.message.starts_with(text)),
        "{release}"
    );
    ensure!(
        release.number("/status/observedGeneration") == release.number("/metadata/generation"),
        "{release}"
    );
    ensure!(release["metadata"]["finalizers"] == json!(["finalizers.fluxcd.io"]), "{release}");
    test.event(RELEASE, "Warning", "InvalidCELExpression", text).await?;
    // A request is answered, well or not.
    test.run(RELEASE).await?;

    let depends = |expression: &str| json!({"spec": {"healthCheckExprs": null, "dependsOn": [{"name": "base", "readyExpr": expression}]}});
    test.patch(RELEASE, &depends("dep.metadata.labels['wave'] == self.metadata.name")).await?;
    let text = format!("unable to get '{}/base' dependency: ", test.namespace);
    let release = helm.says("Ready", "False", "DependencyNotReady", &text).await?;
    ensure!(release.condition("Stalled").is_none(), "{release}");
    // It is suspended, so never ready; but that is not asked for.
    helm.release_named("base", &json!({"suspend": true})).await?;
    test.patch("HelmRelease/base", &json!({"metadata": {"labels": {"wave": "other"}}})).await?;
    test.request(RELEASE).await?;
    let text = format!("dependency '{}/base' is not ready according to readyExpr eval", test.namespace);
    helm.says("Ready", "False", "DependencyNotReady", &text).await?;
    test.event(RELEASE, "Normal", "DependencyNotReady", &text).await?;
    test.patch(RELEASE, &depends("dep.(")).await?;
    helm.says("Stalled", "True", "InvalidCELExpression", "failed to evaluate dependency base: ").await?;
    test.patch(RELEASE, &depends("dep.metadata.labels['wave'] == self.metadata.name")).await?;
    helm.says("Ready", "False", "DependencyNotReady", &text).await?;
    test.patch("HelmRelease/base", &json!({"metadata": {"labels": {"wave": "app"}}})).await?;
    // It is noticed, without a request.
    let release = helm.ready("Helm install succeeded").await?;
    ensure!(release.condition("Reconciling").is_none(), "{release}");
    helm.test.finish().await
}
