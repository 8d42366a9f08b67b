//! What is deleted and what is not.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn only_our_own_objects_are_pruned() -> Result<()> {
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
        owner: bed.owner(),
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
