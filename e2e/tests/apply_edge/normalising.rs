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

#[tokio::test(flavor = "multi_thread")]
async fn what_a_named_manager_owns_is_taken_over_before_it_makes_the_dry_run_fail() -> Result<()> {
    let mut bed = Bed::new("takeover").await?;
    let deployment = |containers: Value| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 0,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": containers}}}})
    };
    let container = |name: &str, image: &str| json!({"name": name, "image": image});
    let both = deployment(json!([container("a", "a:1"), container("b", "b:1")])).to_string();
    let one = deployment(json!([container("a", "a:1")])).to_string();
    let mut memory = Memory::new();
    bed.apply(&both, &mut memory).await?;
    // Somebody takes the second container away and puts it back with another image: they own it now.
    let containers = |list: Value| json!({"spec": {"template": {"spec": {"containers": list}}}});
    bed.patch_as("legacy", "Deployment/web", containers(json!([container("a", "a:1")]))).await?;
    let other = json!([container("a", "a:1"), container("b", "b:2")]);
    bed.patch_as("legacy", "Deployment/web", containers(other)).await?;
    bed.apply(&both, &mut memory).await?;
    let error = bed.try_apply(&one, &memory).await?.err().context("the image is missed")?.to_string();
    assert!(error.contains("image: Required value"), "{error}");

    // Only for its exact name, and not for an object that is merged with.
    bed.options.override_managers_first = vec!["leg".into()];
    assert!(bed.try_apply(&one, &memory).await?.is_err());
    bed.options.override_managers_first = vec!["other".into(), "legacy".into()];
    let merged = one.replacen(
        r#""metadata":{"#,
        r#""metadata":{"annotations":{"kustomize.toolkit.fluxcd.io/ssa":"Merge"},"#,
        1,
    );
    assert!(bed.try_apply(&merged, &memory).await?.is_err());

    // Where the dry-run fails nevertheless, what was taken over stays so.
    let invalid = deployment(json!([{"name": "a"}])).to_string();
    assert!(bed.try_apply(&invalid, &memory).await?.is_err());
    let live = bed.live("Deployment/web").await?;
    let managers = live["metadata"]["managedFields"].as_array().context("managed fields")?;
    assert!(managers.iter().all(|entry| entry["manager"] != "legacy"), "{managers:?}");

    assert_eq!(bed.apply(&one, &mut memory).await?, ["Deployment/web configured"]);
    let live = bed.live("Deployment/web").await?;
    let names = live["spec"]["template"]["spec"]["containers"].as_array().context("containers")?;
    assert_eq!(names.len(), 1, "{live}");
    assert_eq!(bed.apply(&one, &mut memory).await?, ["Deployment/web unchanged"]);
    Ok(())
}

const READER: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules: [{apiGroups: [''], resources: [configmaps], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: User, apiGroup: rbac.authorization.k8s.io, name: reader}]
";

#[tokio::test(flavor = "multi_thread")]
async fn a_takeover_that_is_refused_names_the_object_and_the_step() -> Result<()> {
    let mut bed = Bed::new("takeover-refused").await?;
    bed.apply(MAP, &mut Memory::new()).await?;
    bed.patch_as("legacy", "ConfigMap/a", json!({"data": {"legacy": "x"}})).await?;
    let before = bed.live("ConfigMap/a").await?;
    bed.objects.apply(READER, &bed.namespace).await?;
    bed.recorded = recording(bed.client.clone(), bed.requests.clone(), Some("reader".into()));
    bed.options.override_managers_first = vec!["legacy".into()];
    let object = format!("ConfigMap/{}/a", bed.namespace);
    let refused = format!("{object} metadata.managedFields takeover failed: ");
    // The rights may take a moment to count; without them the object cannot be read at all.
    let error = wait::until(LIMIT, async || match bed.try_apply(MAP, &Memory::new()).await {
        Ok(Err(error)) if error.to_string().contains(" cannot patch ") => Ok(error.to_string()),
        other => Err(Not::Yet(format!("{other:?}"))),
    })
    .await?;
    let cause = format!(
        "configmaps \"a\" is forbidden: User \"reader\" cannot patch resource \"configmaps\" in API group \"\" in the namespace \"{}\"",
        bed.namespace
    );
    assert_eq!(error, format!("{refused}{cause}\n  in app/objects.yaml"));
    assert_eq!(bed.live("ConfigMap/a").await?, before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_object_that_is_merged_with_is_not_taken_over_from_named_managers() -> Result<()> {
    const POLICY: &str = "kustomize.toolkit.fluxcd.io/ssa";
    let mut bed = Bed::new("takeover-merge").await?;
    let mut memory = Memory::new();
    bed.apply(MAP, &mut memory).await?;
    let theirs = json!({"metadata": {"annotations": {POLICY: "Merge"}}, "data": {"legacy": "x"}});
    bed.patch_as("legacy", "ConfigMap/a", theirs).await?;
    bed.options.override_managers_first = vec!["legacy".into()];
    let before = bed.live("ConfigMap/a").await?;
    assert_eq!(bed.apply(MAP, &mut memory).await?, ["ConfigMap/a unchanged"]);
    assert_eq!(bed.live("ConfigMap/a").await?, before);

    // Once it does not say so any more, all that they own goes.
    bed.patch_as("legacy", "ConfigMap/a", json!({"metadata": {"annotations": {POLICY: null}}})).await?;
    assert_eq!(bed.apply(MAP, &mut memory).await?, ["ConfigMap/a configured"]);
    assert_eq!(bed.live("ConfigMap/a").await?["data"], json!({"k": "v"}));
    assert_eq!(bed.apply(MAP, &mut memory).await?, ["ConfigMap/a unchanged"]);
    Ok(())
}
