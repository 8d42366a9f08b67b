//! What the server takes in another form than it was written, and whose fields are taken over.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn metrics_of_an_autoscaler_are_no_difference_until_they_are_changed() -> Result<()> {
    let bed = Bed::new("hpa").await?;
    let metric = |name: &str| {
        format!(
            "{{type: Resource, resource: {{name: {name}, target: {{type: Utilization, averageUtilization: 80}}}}}}"
        )
    };
    let hpa = |metrics: &[&str]| {
        let metrics = metrics.iter().map(|m| metric(m)).collect::<Vec<_>>().join(", ");
        format!(
            "{{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {{name: h}}, spec: {{maxReplicas: 3, \
             scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: web}}, metrics: [{metrics}]}}}}"
        )
    };
    let mut memory = Memory::new();
    let (unchanged, configured) =
        (["HorizontalPodAutoscaler/h unchanged"], ["HorizontalPodAutoscaler/h configured"]);
    bed.apply(&hpa(&["cpu"]), &mut memory).await?;
    assert_eq!(bed.apply(&hpa(&["cpu"]), &mut Memory::new()).await?, unchanged);
    assert_eq!(bed.apply(&hpa(&["cpu", "memory"]), &mut memory).await?, configured);
    assert_eq!(bed.apply(&hpa(&["cpu", "memory"]), &mut Memory::new()).await?, unchanged);
    assert_eq!(bed.apply(&hpa(&["memory"]), &mut memory).await?, configured);
    assert_eq!(bed.apply(&hpa(&["memory"]), &mut Memory::new()).await?, unchanged);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_is_applied_without_a_bundle_that_is_none() -> Result<()> {
    let bed = Bed::new("bundle").await?;
    let group = format!("{}.example.org", bed.namespace);
    let crd = |bundle: &str| {
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("things.{group}")},
            "spec": {"group": group, "scope": "Namespaced", "names": {"kind": "Thing", "plural": "things"},
                "conversion": {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig":
                    {"caBundle": bundle, "service": {"name": "s", "namespace": "default"}}}},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}]}})
        .to_string()
    };
    let id = bed.id(&format!("CustomResourceDefinition/things.{group}"));
    let bundle = async || -> Result<Value> {
        let live = bed.objects.get(&id).await?.context("absent")?;
        Ok(live["spec"]["conversion"]["webhook"]["clientConfig"]["caBundle"].clone())
    };
    let mut memory = Memory::new();
    // "Cg==" is a line break, a placeholder for an injector.
    for invalid in ["bm90IGEgY2VydGlmaWNhdGU=", "Cg=="] {
        bed.apply(&crd(invalid), &mut memory).await?;
        assert_eq!(bundle().await?, Value::Null, "{invalid}");
    }
    bed.objects.delete(&id).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_named_managers_are_removed_and_those_of_others_stay() -> Result<()> {
    let mut bed = Bed::new("override").await?;
    bed.options.override_managers = vec!["banned".into()];
    let mut memory = Memory::new();
    bed.apply(MAP, &mut memory).await?;
    bed.patch_as("banned-tool", "ConfigMap/a", json!({"data": {"banned": "x"}})).await?;
    bed.patch_as("other", "ConfigMap/a", json!({"data": {"other": "x"}})).await?;
    assert_eq!(bed.apply(MAP, &mut memory).await?, ["ConfigMap/a configured"]);
    assert_eq!(bed.live("ConfigMap/a").await?["data"], json!({"k": "v", "other": "x"}));
    assert_eq!(bed.apply(MAP, &mut memory).await?, ["ConfigMap/a unchanged"]);
    Ok(())
}
