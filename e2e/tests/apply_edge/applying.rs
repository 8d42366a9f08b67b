//! What is written, taken over and left alone.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_repaired_also_in_the_second_of_the_last_apply() -> Result<()> {
    let bed = Bed::new("drift").await?;
    let mut memory = Memory::new();
    bed.apply(APP, &mut memory).await?;
    for round in 0..4 {
        bed.patch_as("someone", "ConfigMap/a", json!({"data": {"k": "drift", "extra": "stays"}})).await?;
        bed.patch_as("someone", "Deployment/web", json!({"spec": {"paused": true, "replicas": 3}})).await?;
        let got = bed.apply(APP, &mut memory).await?;
        assert_eq!(
            got,
            [
                "ConfigMap/a configured",
                "Secret/s unchanged",
                "Service/web unchanged",
                "Deployment/web configured"
            ],
            "round {round}"
        );
        assert_eq!(bed.live("ConfigMap/a").await?["data"], json!({"k": "v", "extra": "stays"}));
        assert_eq!(bed.live("Deployment/web").await?["spec"]["replicas"], 0);
        if round == 2 {
            age().await;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_kubectl_are_taken_over_unless_merging_is_asked_for() -> Result<()> {
    let bed = Bed::new("kubectl").await?;
    let mut memory = Memory::new();
    let edit = json!({"data": {"extra": "x"}, "metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}}});
    bed.apply(MAP, &mut memory).await?;
    bed.patch_as("kubectl-edit", "ConfigMap/a", edit.clone()).await?;
    assert_eq!(bed.apply(MAP, &mut memory).await?, ["ConfigMap/a configured"]);
    let live = bed.live("ConfigMap/a").await?;
    assert_eq!(live["data"], json!({"k": "v"}));
    assert_eq!(live["metadata"].get("annotations"), None);
    let managers: Vec<_> =
        live["metadata"]["managedFields"].as_array().unwrap().iter().map(|e| e.text("/manager")).collect();
    assert_eq!(managers, ["kustomize-controller"]);
    assert_eq!(bed.apply(MAP, &mut memory).await?, ["ConfigMap/a unchanged"]);

    let merging = MAP.replace("name: a", "name: a, annotations: {kustomize.toolkit.fluxcd.io/ssa: Merge}");
    bed.apply(&merging, &mut memory).await?;
    bed.patch_as("kubectl-edit", "ConfigMap/a", edit).await?;
    assert_eq!(bed.apply(&merging, &mut memory).await?, ["ConfigMap/a unchanged"]);
    assert_eq!(bed.live("ConfigMap/a").await?["data"]["extra"], "x");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_created_by_kubectl_is_taken_over() -> Result<()> {
    let bed = Bed::new("adopt").await?;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": bed.namespace}, "data": {"k": "v", "old": "x"}});
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "ConfigMap"));
    let api = Api::<DynamicObject>::namespaced_with(bed.client.clone(), &bed.namespace, &resource);
    let params = kube::api::PostParams { field_manager: Some("kubectl-create".into()), ..Default::default() };
    api.create(&params, &serde_json::from_value(map)?).await?;
    let mut memory = Memory::new();
    assert_eq!(bed.apply(MAP, &mut memory).await?, ["ConfigMap/a configured"]);
    assert_eq!(bed.live("ConfigMap/a").await?["data"], json!({"k": "v"}));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_say_so_are_left_alone() -> Result<()> {
    let bed = Bed::new("skip").await?;
    let mut memory = Memory::new();
    bed.apply(MAP, &mut memory).await?;
    let key = "kustomize.toolkit.fluxcd.io";
    let disabled = json!({"data": {"k": "drift"}, "metadata": {"annotations": {(format!("{key}/reconcile")): "disabled"}}});
    bed.patch_as("someone", "ConfigMap/a", disabled).await?;
    assert_eq!(bed.apply(MAP, &mut memory).await?, ["ConfigMap/a skipped"]);
    assert_eq!(bed.live("ConfigMap/a").await?["data"]["k"], "drift");
    let enabled = json!({"metadata": {"annotations": {(format!("{key}/reconcile")): null}}});
    bed.patch_as("someone", "ConfigMap/a", enabled).await?;
    assert_eq!(bed.apply(MAP, &mut memory).await?, ["ConfigMap/a configured"]);

    let with = |name: &str, value: &str| {
        format!(
            "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, labels: {{{key}/ssa: {value}}}}}, data: {{k: v}}}}"
        )
    };
    assert_eq!(bed.apply(&with("b", "ignore"), &mut memory).await?, ["ConfigMap/b skipped"]);
    assert!(bed.take_requests().is_empty());
    assert!(bed.objects.get(&bed.id("ConfigMap/b")).await?.is_none());
    assert_eq!(bed.apply(&with("c", "IfNotPresent"), &mut memory).await?, ["ConfigMap/c created"]);
    bed.patch_as("someone", "ConfigMap/c", json!({"data": {"k": "mine"}})).await?;
    assert_eq!(bed.apply(&with("c", "IfNotPresent"), &mut memory).await?, ["ConfigMap/c skipped"]);
    assert_eq!(bed.live("ConfigMap/c").await?["data"]["k"], "mine");
    assert_eq!(bed.apply(&with("c", "Override"), &mut memory).await?, ["ConfigMap/c configured"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_and_its_object_are_applied_in_one_go() -> Result<()> {
    let bed = Bed::new("crd").await?;
    let group = format!("{}.example.org", bed.namespace);
    let widget = GroupVersionKind::gvk(&group, "v1", "Widget");
    let index = bed.index();
    wait::until(LIMIT, async || match index.ensure(&widget) {
        WatchState::NotServed(_) => Ok(()),
        state => Err(Not::Yet(format!("{state:?}"))),
    })
    .await?;
    assert_eq!(index.ensure(&widget), WatchState::Starting, "and is looked for again");
    let crd = format!(
        "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: widgets.{group}}}
spec:
  group: {group}
  names: {{kind: Widget, plural: widgets}}
  scope: Namespaced
  versions: [{{name: v1, served: true, storage: true, schema: {{openAPIV3Schema: {{type: object, properties: {{spec: {{type: object, properties: {{size: {{type: integer}}}}}}}}}}}}}}]
"
    );
    let mut memory = Memory::new();
    assert_eq!(
        bed.apply(&crd, &mut memory).await?,
        [format!("CustomResourceDefinition/widgets.{group} created")]
    );
    let definition = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    settled(&index, std::slice::from_ref(&definition)).await?;
    let id = memory.keys().next().unwrap().clone();
    assert_eq!(id.namespace, "", "the scope comes from discovery");
    wait::until(LIMIT, async || match index.get(&id) {
        Some(seen) if seen.verdict.status == Status::Current => Ok(()),
        seen => Err(Not::Yet(format!("{seen:?}"))),
    })
    .await?;
    bed.mapper.invalidate();
    let object =
        format!("{{apiVersion: {group}/v1, kind: Widget, metadata: {{name: w}}, spec: {{size: 1}}}}");
    assert_eq!(bed.apply(&object, &mut memory).await?, ["Widget/w created"]);
    wait::until(LIMIT, async || match index.ensure(&widget) {
        WatchState::Synced => Ok(()),
        state => Err(Not::Yet(format!("{state:?}"))),
    })
    .await?;
    assert!(index.get(&bed.object_id(&group, "Widget", "w")).is_some());

    // When the definition goes, its objects go, and the index says so.
    let deleted = bed.prune(vec![Entry { id: id.clone(), version: "v1".into() }], &[]).await;
    assert_eq!(deleted.error(), None);
    let entry = Entry { id: bed.object_id(&group, "Widget", "w"), version: "v1".into() };
    wait::until(LIMIT, async || match index.get(&entry.id) {
        None => Ok(()),
        seen => Err(Not::Yet(format!("{seen:?}"))),
    })
    .await?;
    wait::until(LIMIT, async || {
        bed.mapper.invalidate();
        match bed.mapper.resolve(&widget).await {
            Err(MapError::NoMatch { .. }) => Ok(()),
            seen => Err(Not::Yet(format!("{seen:?}"))),
        }
    })
    .await?;
    let deleted = bed.prune(vec![entry], &[]).await;
    assert_eq!(deleted.changes.changes[0].action, Action::Deleted);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_nobody_owns_becomes_ours_though_its_content_is_right() -> Result<()> {
    let bed = Bed::new("wiped").await?;
    let mut memory = Memory::new();
    bed.apply(MAP, &mut memory).await?;
    bed.patch_as("someone", "ConfigMap/a", json!({"metadata": {"managedFields": [{}]}})).await?;
    assert_eq!(bed.apply(MAP, &mut memory).await?, ["ConfigMap/a configured"]);
    assert_eq!(bed.apply(MAP, &mut memory).await?, ["ConfigMap/a unchanged"]);
    let without = MAP.replace("data: {k: v}", "data: {l: w}");
    bed.apply(&without, &mut memory).await?;
    assert_eq!(bed.live("ConfigMap/a").await?["data"], json!({"l": "w"}));
    Ok(())
}
