//! managedFields that speak of a version that has gone.

use super::*;

/// A definition of Widgets in a group of its own, with these versions; the first is stored.
fn definition(group: &str, versions: &[&str]) -> String {
    let version = |(i, name): (usize, &&str)| {
        let field = if *name == "v1beta1" { "old" } else { "size" };
        let served = json!({"name": name, "served": true, "storage": i == 0, "schema": {"openAPIV3Schema": {"type": "object",
            "properties": {"spec": {"type": "object", "properties": {(field): {"type": "integer"}}},
                "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}});
        served
    };
    let versions: Vec<Value> = versions.iter().enumerate().map(version).collect();
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("widgets.{group}")},
        "spec": {"group": group, "scope": "Namespaced", "names": {"kind": "Widget", "plural": "widgets"}, "versions": versions}})
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_a_version_that_has_gone_are_an_error_unless_they_are_migrated() -> Result<()> {
    let mut bed = Bed::new("migrate").await?;
    let group = format!("{}.example.org", bed.namespace);
    let define = async |versions: &[&str]| -> Result<()> {
        let id = bed.objects.apply(&definition(&group, versions), "").await?.remove(0);
        wait::until(LIMIT, async || match bed.objects.get(&id).await {
            Ok(Some(crd)) if crd.condition("Established").is_some_and(|c| c.status == "True") => Ok(()),
            seen => Err(Not::Yet(format!("{seen:?}"))),
        })
        .await?;
        bed.mapper.invalidate();
        Ok(())
    };
    define(&["v1beta1"]).await?;
    let widget = |version: &str, field: &str| {
        format!(
            "{{apiVersion: {group}/{version}, kind: Widget, metadata: {{name: w}}, spec: {{{field}: 1}}}}"
        )
    };
    let mut memory = Memory::new();
    let served = async |memory: &mut Memory, yaml: &str| {
        wait::until(LIMIT, async || {
            bed.mapper.invalidate();
            match bed.try_apply(yaml, memory).await {
                Ok(Ok(done)) => {
                    *memory = done.memory;
                    Ok(())
                }
                other => Err(Not::Yet(format!("{other:?}"))),
            }
        })
        .await
    };
    served(&mut memory, &widget("v1beta1", "old")).await?;
    // Somebody else has written the status in terms of it too.
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(&group, "v1beta1", "Widget"));
    let api = Api::<DynamicObject>::namespaced_with(bed.client.clone(), &bed.namespace, &resource);
    let status = json!({"status": {"old": 1}});
    let params = PatchParams { field_manager: Some("operator".into()), ..PatchParams::default() };
    api.patch("w", &params, &Patch::Merge(status)).await?;

    // The next version has other fields; then the first one goes.
    define(&["v1", "v1beta1"]).await?;
    define(&["v1"]).await.ok();
    let crd = bed.id(&format!("CustomResourceDefinition/widgets.{group}"));
    bed.objects.patch(&crd, &json!({"status": {"storedVersions": ["v1"]}})).await.ok();
    let next = widget("v1", "size");
    let error = wait::until(LIMIT, async || {
        bed.mapper.invalidate();
        match bed.try_apply(&next, &memory).await {
            Ok(Err(error)) if error.to_string().contains("field not declared in schema") => {
                Ok(error.to_string())
            }
            other => Err(Not::Yet(format!("{other:?}"))),
        }
    })
    .await?;
    assert!(error.starts_with(&format!("Widget/{}/w dry-run failed", bed.namespace)), "{error}");

    bed.options.migrate_api_version = true;
    assert_eq!(bed.apply(&next, &mut memory).await?, ["Widget/w configured"]);
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(&group, "v1", "Widget"));
    let api = Api::<DynamicObject>::namespaced_with(bed.client.clone(), &bed.namespace, &resource);
    let live = serde_json::to_value(api.get("w").await?)?;
    let versions: BTreeSet<&str> =
        live["metadata"]["managedFields"].as_array().unwrap().iter().map(|e| e.text("/apiVersion")).collect();
    assert_eq!(versions, BTreeSet::from([&*format!("{group}/v1")]));
    assert_eq!(live["spec"], json!({"size": 1}));
    bed.options.migrate_api_version = false;
    assert_eq!(bed.apply(&next, &mut memory).await?, ["Widget/w unchanged"]);
    Ok(())
}
