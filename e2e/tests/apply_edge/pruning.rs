//! What is deleted and what is not.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn pruning_takes_our_own_objects_only() -> Result<()> {
    let bed = Bed::new("prune").await?;
    let maps = ["gone", "kept", "moved", "absent"]
        .map(|n| format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {n}}}, data: {{k: v}}}}"))
        .join("\n---\n");
    let service = "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{port: 80}]}}";
    let mut memory = Memory::new();
    bed.apply(&format!("{maps}\n---\n{service}"), &mut memory).await?;
    let keep = json!({"metadata": {"annotations": {"kustomize.toolkit.fluxcd.io/prune": "disabled"}}});
    bed.patch_as("someone", "ConfigMap/kept", keep).await?;
    let moved = json!({"metadata": {"labels": {"kustomize.toolkit.fluxcd.io/name": "other"}}});
    bed.patch_as("someone", "ConfigMap/moved", moved).await?;
    bed.objects.delete(&bed.id("ConfigMap/absent")).await?;
    let namespace = ObjectId {
        group: String::new(),
        kind: "Namespace".into(),
        namespace: String::new(),
        name: bed.namespace.clone(),
    };
    let mut entries: Vec<Entry> =
        memory.keys().cloned().map(|id| Entry { id, version: "v1".into() }).collect();
    entries.push(Entry { id: namespace, version: "v1".into() });
    let pruned = bed.prune(entries, &[&bed.namespace]).await;
    let lines = pruned.changes.lines(|_| true).replace(&format!("{}/", bed.namespace), "");
    assert_eq!(
        lines.lines().collect::<Vec<_>>(),
        [
            "Service/web deleted",
            "ConfigMap/moved skipped",
            "ConfigMap/kept skipped",
            "ConfigMap/gone deleted",
            "ConfigMap/absent deleted",
            &format!("Namespace/{} skipped", bed.namespace)
        ]
    );
    assert_eq!(pruned.error(), None);
    assert!(bed.objects.get(&bed.id("ConfigMap/gone")).await?.is_none());
    assert!(bed.objects.get(&bed.id("ConfigMap/moved")).await?.is_some());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_may_not_be_deleted_stays_in_the_inventory() -> Result<()> {
    let bed = Bed::new("denied").await?;
    let mut memory = Memory::new();
    bed.apply(MAP, &mut memory).await?;
    let tenant = recording(bed.client.clone(), Arc::default(), Some("nobody".into()));
    let options = PruneOptions {
        manager: MANAGER,
        owner: bed.owner(),
        keep: Default::default(),
        claimed: Default::default(),
        protected_namespaces: vec![],
        concurrency: 1,
        request_timeout: LIMIT,
    };
    let entry = Entry { id: bed.object_id("", "ConfigMap", "a"), version: "v1".into() };
    let pruned = prune::delete(&tenant, &bed.mapper, vec![entry.clone()], &options).await;
    assert_eq!(pruned.failed.iter().map(|(e, _)| e.clone()).collect::<Vec<_>>(), [entry]);
    let error = pruned.error().unwrap();
    assert!(
        error.starts_with(&format!("delete failed, errors: ConfigMap/{}/a query failed: ", bed.namespace)),
        "{error}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_api_fails_its_own_kinds_only_and_loses_no_entry() -> Result<()> {
    let bed = Bed::new("broken").await?;
    let group = format!("{}.example.org", bed.namespace);
    let service = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": format!("v1.{group}")},
        "spec": {"group": group, "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 100, "insecureSkipTLSVerify": true,
            "service": {"name": "absent", "namespace": bed.namespace}}});
    let resource =
        ApiResource::from_gvk(&GroupVersionKind::gvk("apiregistration.k8s.io", "v1", "APIService"));
    let services = Api::<DynamicObject>::all_with(bed.client.clone(), &resource);
    services.create(&kube::api::PostParams::default(), &serde_json::from_value(service)?).await?;
    let widget = GroupVersionKind::gvk(&group, "v1", "Widget");
    wait::until(LIMIT, async || {
        bed.mapper.invalidate();
        match bed.mapper.resolve(&widget).await {
            Err(MapError::Discovery(_)) => Ok(()),
            seen => Err(Not::Yet(format!("{seen:?}"))),
        }
    })
    .await?;
    let mut memory = Memory::new();
    assert_eq!(bed.apply(MAP, &mut memory).await?, ["ConfigMap/a created"]);
    let mut entries: Vec<Entry> =
        memory.keys().cloned().map(|id| Entry { id, version: "v1".into() }).collect();
    let lost = Entry { id: bed.object_id(&group, "Widget", "w"), version: "v1".into() };
    entries.push(lost.clone());
    let pruned = bed.prune(entries, &[]).await;
    assert_eq!(pruned.changes.lines(|_| true), format!("ConfigMap/{}/a deleted", bed.namespace));
    assert_eq!(pruned.failed.iter().map(|(entry, _)| entry.clone()).collect::<Vec<_>>(), [lost]);
    services.delete(&format!("v1.{group}"), &kube::api::DeleteParams::default()).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_means_a_wanted_object_deletes_nothing() -> Result<()> {
    let bed = Bed::new("alias").await?;
    let role = format!(
        "{{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {{name: {}}}, rules: []}}",
        bed.namespace
    );
    let mut memory = Memory::new();
    bed.apply(&role, &mut memory).await?;
    let wanted = memory.keys().next().unwrap().clone();
    assert_eq!(wanted.namespace, "");
    let written_ahead = ObjectId { namespace: bed.namespace.clone(), ..wanted.clone() };
    let options = PruneOptions {
        manager: MANAGER,
        owner: bed.owner(),
        keep: [wanted.clone()].into(),
        claimed: Default::default(),
        protected_namespaces: vec![],
        concurrency: 1,
        request_timeout: LIMIT,
    };
    let entry = Entry { id: written_ahead, version: "v1".into() };
    let pruned = prune::delete(&bed.client, &bed.mapper, vec![entry.clone()], &options).await;
    assert_eq!(pruned.changes.lines(|_| true), "");
    assert!(bed.objects.get(&bed.id(&format!("ClusterRole/{}", bed.namespace))).await?.is_some());
    let pruned = bed.prune(vec![entry], &[]).await;
    assert_eq!(pruned.changes.lines(|_| true).matches("deleted").count(), 1, "unless nobody wants it");
    Ok(())
}
