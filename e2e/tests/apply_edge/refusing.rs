//! What is refused, and that nothing is written then.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn immutable_fields_are_an_error_and_a_new_object_only_when_forced() -> Result<()> {
    let mut bed = Bed::new("immutable").await?;
    let mut memory = Memory::new();
    let secret = |value: &str| {
        format!(
            "{{apiVersion: v1, kind: Secret, metadata: {{name: s}}, immutable: true, stringData: {{k: {value}}}}}"
        )
    };
    bed.apply(&secret("one"), &mut memory).await?;
    let uid = bed.live("Secret/s").await?.text("/metadata/uid").to_owned();
    let error = bed.try_apply(&secret("two"), &memory).await?.unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with(&format!("Secret/{}/s dry-run failed (Invalid): ", bed.namespace)), "{text}");
    assert!(text.contains("field is immutable"), "{text}");
    assert!(text.ends_with("\n  in app/objects.yaml"), "{text}");
    assert_eq!(bed.live("Secret/s").await?.text("/metadata/uid"), uid);

    bed.options.force = true;
    assert_eq!(bed.apply(&secret("two"), &mut memory).await?, ["Secret/s created"]);
    assert_ne!(bed.live("Secret/s").await?.text("/metadata/uid"), uid);

    bed.apply(APP.split("---").last().unwrap(), &mut memory).await?;
    let uid = bed.live("Deployment/web").await?.text("/metadata/uid").to_owned();
    let moved = APP.split("---").last().unwrap().replace("app: web", "app: other");
    let invalid = moved.replace("containerPort: 80", "containerPort: 800000");
    let error = bed.try_apply(&invalid, &memory).await?.unwrap_err().to_string();
    assert!(error.contains("is invalid") && error.contains("800000"), "{error}");
    assert_eq!(bed.live("Deployment/web").await?.text("/metadata/uid"), uid);
    assert_eq!(bed.apply(&moved, &mut memory).await?, ["Deployment/web created"]);
    assert_ne!(bed.live("Deployment/web").await?.text("/metadata/uid"), uid);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_force_annotation_recreates_whatever_words_the_server_refuses_with() -> Result<()> {
    let bed = Bed::new("annotated").await?;
    let name = &bed.namespace;
    let binding = "
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: b, annotations: {kustomize.toolkit.fluxcd.io/force: Enabled}}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{kind: ServiceAccount, name: a, namespace: default}]
";
    let class = format!(
        "
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {{name: {name}, annotations: {{kustomize.toolkit.fluxcd.io/force: enabled}}}}
provisioner: example.org/one
"
    );
    let set = "
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: s, labels: {kustomize.toolkit.fluxcd.io/force: enabled}}
spec:
  serviceName: one
  replicas: 0
  selector: {matchLabels: {app: s}}
  template: {metadata: {labels: {app: s}}, spec: {containers: [{name: c, image: c}]}}
";
    for (yaml, from, to, created) in [
        (binding, "name: view", "name: edit", "RoleBinding/b created".to_owned()),
        (&class, "example.org/one", "example.org/two", format!("StorageClass/{name} created")),
        (set, "serviceName: one", "serviceName: two", "StatefulSet/s created".to_owned()),
    ] {
        let mut memory = Memory::new();
        let without = yaml.replace("force: enabled", "x: y").replace("force: Enabled", "x: y");
        assert_eq!(bed.apply(&without, &mut memory).await?, std::slice::from_ref(&created));
        assert!(bed.try_apply(&without.replace(from, to), &memory).await?.is_err(), "not without it");
        let before = memory.values().next().unwrap().reading().uid.clone();
        assert_eq!(bed.apply(&yaml.replace(from, to), &mut memory).await?, [created]);
        assert_ne!(memory.values().next().unwrap().reading().uid, before);
    }
    let id = ObjectId {
        kind: "StorageClass".into(),
        group: "storage.k8s.io".into(),
        namespace: String::new(),
        name: name.clone(),
    };
    let pruned = bed.prune(vec![Entry { id, version: "v1".into() }], &[]).await;
    assert_eq!(pruned.changes.lines(|_| true), format!("StorageClass/{name} deleted"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_check_leaves_everything_unapplied_and_all_failures_are_told() -> Result<()> {
    let bed = Bed::new("gate").await?;
    let bad = format!(
        "{MAP}
---
{{apiVersion: v1, kind: ConfigMap, metadata: {{name: typo}}, dat: {{k: v}}}}
---
{{apiVersion: v1, kind: ConfigMap, metadata: {{name: lost, namespace: absent}}, data: {{k: v}}}}
---
{{apiVersion: example.org/v1, kind: Widget, metadata: {{name: w}}}}
---
{{apiVersion: v1, kind: Service, metadata: {{name: s}}, spec: {{ports: [{{port: 99999}}]}}}}"
    );
    let error = bed.try_apply(&bad, &Memory::new()).await?.unwrap_err();
    let ns = &bed.namespace;
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().filter(|l| !l.starts_with("  in ")).collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert_eq!(lines[0], "ConfigMap/absent/lost not found: namespaces \"absent\" not found");
    assert!(
        lines[1]
            .starts_with(&format!("ConfigMap/{ns}/typo dry-run failed: failed to create typed patch object")),
        "{text}"
    );
    assert!(lines[1].contains(".dat: field not declared in schema"), "{text}");
    assert!(lines[2].starts_with(&format!("Service/{ns}/s dry-run failed (Invalid): ")), "{text}");
    assert_eq!(
        lines[3],
        format!("Widget/{ns}/w dry-run failed: no matches for kind \"Widget\" in version \"example.org/v1\"")
    );
    assert!(error.changes.changes.is_empty());
    assert!(bed.objects.get(&bed.id("ConfigMap/a")).await?.is_none());
    assert!(!bed.take_requests().contains(&"PATCH".to_owned()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hook_runs_before_the_first_write_and_may_refuse_it() -> Result<()> {
    let bed = Bed::new("hook").await?;
    let manifests = bed.prepared(MAP)?;
    let (applier, nothing) = (bed.applier(), Memory::new());
    let refused = applier.apply_stage(&manifests, &nothing, |planned| async move {
        assert_eq!(planned.changes.iter().map(|c| c.action).collect::<Vec<_>>(), [Action::Created]);
        Err("no inventory".into())
    });
    assert_eq!(refused.await.unwrap_err().to_string(), "no inventory");
    assert!(bed.objects.get(&bed.id("ConfigMap/a")).await?.is_none());

    let id = bed.id("ConfigMap/a");
    let objects = bed.objects.clone();
    let applied = applier.apply_stage(&manifests, &nothing, |_| async move {
        assert!(objects.get(&id).await?.is_none());
        Ok(())
    });
    let memory = applied.await?.memory;
    let quiet =
        applier.apply_stage(&manifests, &memory, |_| async { Err("nothing is to be written".into()) });
    assert_eq!(quiet.await?.changes.changes[0].action, Action::Unchanged);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_are_those_of_the_impersonated_user() -> Result<()> {
    let bed = Bed::new("tenant").await?;
    let user = format!("system:serviceaccount:{}:tenant", bed.namespace);
    let tenant = recording(bed.client.clone(), Arc::default(), Some(user.clone()));
    let applier = Applier::new(tenant, bed.mapper.clone(), MANAGER, bed.options.clone());
    let error =
        applier.apply_stage(&bed.prepared(MAP)?, &Memory::new(), |_| async { Ok(()) }).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("ConfigMap/{}/a dry-run failed (Forbidden): ", bed.namespace)),
        "{text}"
    );
    assert!(text.contains(&user), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_cannot_reach_another_path() -> Result<()> {
    let bed = Bed::new("path").await?;
    let hostile =
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: ../../kube-system/configmaps/x}, data: {k: v}}";
    assert!(bed.try_apply(hostile, &Memory::new()).await?.is_err());
    let hostile = "{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: kube-system/configmaps/y?a=}, data: {k: v}}";
    assert!(bed.try_apply(hostile, &Memory::new()).await?.is_err());
    let elsewhere = bed.objects.list(&Id::new("ConfigMap/x", "kube-system")?).await?;
    assert!(elsewhere.iter().all(|o| !["x", "y"].contains(&o.text("/metadata/name"))));
    Ok(())
}
