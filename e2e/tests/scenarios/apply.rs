//! What is applied, in which order, and what objects and the spec may say about it.

use anyhow::Result;
use e2e::objects::Look;
use e2e::scenario::Scenario;
use e2e::testkit::{applied, config_map, deployment, roll_out};
use serde_json::{Value, json};

fn role(name: &str, rules: &str) -> String {
    format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: {name}}}\nrules: {rules}\n"
    )
}

fn secret(value: &str, more: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: key{more}}}\nimmutable: true\nstringData: {{value: \"{value}\"}}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_told_in_apply_order_and_those_of_finished_stages_beside_a_failure() -> Result<()> {
    let test = Scenario::new("told").await?;
    let cluster_role = test.namespace.clone();
    test.repo.write("app/a-web.yaml", &deployment("web", 0))?;
    test.repo.write("app/b-map.yaml", &config_map("map", "1"))?;
    test.repo.write("app/c-role.yaml", &role(&cluster_role, "[]").replace("Role", "ClusterRole"))?;
    let bad = config_map("bad", "1").replace("\ndata:", "\ndat:");
    test.repo.commit_file("app/bad.yaml", &bad)?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    let text = format!("ConfigMap/{}/bad dry-run failed: ", test.namespace);
    let ready = test.condition("Kustomization/app", "Ready", "False", "ReconciliationFailed", &text).await?;
    let done = format!("\nClusterRole/{cluster_role} created");
    assert!(ready.message.ends_with(&done), "{ready:?}");
    assert!(!test.exists("ConfigMap/map").await?);
    test.repo.remove("app/bad.yaml")?;
    let commit = test.repo.commit("good")?;
    roll_out(&test, &commit).await?;
    let lines = format!("ConfigMap/{0}/map created\nDeployment/{0}/web created", test.namespace);
    let event = test.event("Kustomization/app", "Normal", "Progressing", &lines).await?;
    assert_eq!(event.text("/message"), lines);
    let app = test.get("Kustomization/app").await?;
    let kinds: Vec<&str> = app["status"]["inventory"]["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e.text("/id").rsplit('_').next().unwrap())
        .collect();
    assert_eq!(kinds, ["ClusterRole", "ConfigMap", "Deployment"]);
    test.kubectl(&["delete", "--wait=false", "kustomization/app"])?;
    test.gone("Kustomization/app").await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn owner_labels_and_common_metadata_follow_the_spec() -> Result<()> {
    let more = "  commonMetadata: {labels: {team: a}, annotations: {note: x}}";
    let files = [("map.yaml", config_map("map", "1"))];
    let test = applied(Scenario::new("common").await?, &files, more).await?;
    let key = "kustomize.toolkit.fluxcd.io";
    let owner = json!({(format!("{key}/name")): "app", (format!("{key}/namespace")): test.namespace});
    let metadata = async || anyhow::Ok(test.get("ConfigMap/map").await?["metadata"].take());
    let seen = metadata().await?;
    let mut labels = owner.clone();
    labels["team"] = "a".into();
    assert_eq!((&seen["labels"], &seen["annotations"]), (&labels, &json!({"note": "x"})));
    test.patch(
        "Kustomization/app",
        &json!({"spec": {"commonMetadata": {"labels": {"team": "b"}, "annotations": null}}}),
    )
    .await?;
    labels["team"] = "b".into();
    test.until("ConfigMap/map", "has the new label", |o| o["metadata"]["labels"] == labels).await?;
    assert_eq!(metadata().await?.get("annotations"), None);
    test.patch("Kustomization/app", &json!({"spec": {"commonMetadata": null}})).await?;
    test.until("ConfigMap/map", "has the owner's labels alone", |o| o["metadata"]["labels"] == owner).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_kubectl_applied_become_gits() -> Result<()> {
    let test = Scenario::new("adopt").await?;
    let before = config_map("map", "hand").replace("\ndata: {", "\ndata: {other: mine, ");
    test.repo.write("app/map.yaml", &config_map("map", "git"))?;
    let temp = tempfile::NamedTempFile::new()?;
    std::fs::write(temp.path(), before)?;
    test.kubectl(&["apply", "-f", &temp.path().display().to_string()])?;
    let commit = test.repo.commit("start")?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    test.applied("Kustomization/app", &commit).await?;
    let map = test.get("ConfigMap/map").await?;
    assert_eq!(map["data"], json!({"value": "git"}));
    assert_eq!(map["metadata"].get("annotations"), None, "kubectl's own record is gone");
    test.kubectl(&["patch", "configmap/map", "--type=merge", "-p", r#"{"data": {"more": "x"}}"#])?;
    test.until("ConfigMap/map", "is repaired", |o| o["data"] == json!({"value": "git"})).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_immutable_object_is_made_anew_only_by_force_and_holds_no_worker() -> Result<()> {
    let test = Scenario::with_own_controllers("force", &["--concurrent=1"]).await?;
    let files =
        [("key.yaml", secret("1", ", finalizers: [example.org/slow]")), ("map.yaml", config_map("map", "1"))];
    let test = applied(test, &files, "  wait: true").await?;
    let uid = test.get("Secret/key").await?.text("/metadata/uid").to_owned();
    test.repo.write("app/map.yaml", &config_map("map", "2"))?;
    test.repo.commit_file("app/key.yaml", &secret("2", ""))?;
    test.request("GitRepository/app").await?;
    let text = format!("Secret/{}/key dry-run failed (Invalid): ", test.namespace);
    let ready = test.condition("Kustomization/app", "Ready", "False", "ReconciliationFailed", &text).await?;
    assert!(ready.message.contains("field is immutable"), "{ready:?}");
    test.event("Kustomization/app", "Warning", "ReconciliationFailed", "field is immutable").await?;
    assert_eq!(test.get("ConfigMap/map").await?.text("/data/value"), "1", "nothing of the stage is applied");

    // The finalizer keeps the old one; the only worker does other work meanwhile.
    test.patch("Kustomization/app", &json!({"spec": {"force": true}})).await?;
    test.until("Secret/key", "is being deleted", |o| !o.text("/metadata/deletionTimestamp").is_empty())
        .await?;
    test.repo.commit_file("other/map.yaml", &config_map("other", "1"))?;
    test.apply(&test.kustomization_yaml("other", "./app", "").replace("path: ./app", "path: ./none")).await?;
    let missing = "kustomization path not found";
    test.condition("Kustomization/other", "Ready", "False", "ArtifactFailed", missing).await?;
    assert_eq!(test.get("Secret/key").await?.text("/metadata/uid"), uid);
    test.patch("Secret/key", &json!({"metadata": {"finalizers": null}})).await?;
    test.until("Secret/key", "is another one", |o| o.text("/metadata/uid") != uid).await?;
    let app = test.ready("Kustomization/app").await?;
    assert_eq!(app.condition("Healthy").unwrap().status, "True");
    assert_eq!(test.get("ConfigMap/map").await?.text("/data/value"), "2");
    let line = format!("ConfigMap/{0}/map configured\nSecret/{0}/key created", test.namespace);
    test.event("Kustomization/app", "Normal", "Progressing", &line).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_only_created_keeps_its_identity() -> Result<()> {
    let test = Scenario::new("once").await?;
    let name = test.namespace.clone();
    // A namespace is nothing that an object of the cluster has, whatever its author thinks.
    let metadata = format!(
        "{{name: {name}, namespace: odd, annotations: {{kustomize.toolkit.fluxcd.io/ssa: IfNotPresent}}}}"
    );
    let yaml =
        role(&name, "[]").replace("Role", "ClusterRole").replace(&format!("{{name: {name}}}"), &metadata);
    test.repo.write("app/role.yaml", &yaml)?;
    let once = config_map("map", "1")
        .replace("{name: map}", "{name: map, annotations: {kustomize.toolkit.fluxcd.io/ssa: IfNotPresent}}");
    let commit = test.repo.commit_file("app/map.yaml", &once)?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    let app = test.applied("Kustomization/app", &commit).await?;
    let entries = json!([{"id": format!("_{name}_rbac.authorization.k8s.io_ClusterRole"), "v": "v1"},
        {"id": format!("{name}_map__ConfigMap"), "v": "v1"}]);
    assert_eq!(app["status"]["inventory"]["entries"], entries);
    let uid = async || anyhow::Ok(test.get(&format!("ClusterRole/{name}")).await?["metadata"]["uid"].take());
    let first = uid().await?;
    test.patch("ConfigMap/map", &json!({"data": {"value": "mine"}})).await?;
    test.run("Kustomization/app").await?;
    let commit = test.repo.commit_file("app/map.yaml", &once.replace("\"1\"", "\"2\""))?;
    roll_out(&test, &commit).await?;
    let app = test.run("Kustomization/app").await?;
    assert_eq!(app["status"]["inventory"]["entries"], entries);
    assert_eq!(uid().await?, first);
    assert_eq!(test.get("ConfigMap/map").await?.text("/data/value"), "mine");
    let commit = test.repo.commit_file("app/map.yaml", &once.replace("IfNotPresent", "Override"))?;
    roll_out(&test, &commit).await?;
    assert_eq!(test.get("ConfigMap/map").await?.text("/data/value"), "1");
    test.kubectl(&["delete", "--wait=false", "kustomization/app"])?;
    test.gone("Kustomization/app").await?;
    test.gone(&format!("ClusterRole/{name}")).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_without_a_namespace_is_told() -> Result<()> {
    let test = Scenario::new("nowhere").await?;
    test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    test.apply_source().await?;
    let target = format!("  targetNamespace: {}\n", test.namespace);
    test.apply(&test.kustomization_yaml("app", "./app", "").replace(&target, "")).await?;
    let text = "ConfigMap/map namespace not specified: ";
    test.condition("Kustomization/app", "Ready", "False", "ReconciliationFailed", text).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_the_server_would_write_otherwise_are_no_difference() -> Result<()> {
    let test = Scenario::new("normal").await?;
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}, ports: [{port: 80}, {port: 443, name: tls}]}\n";
    let service = service.replace("{port: 80}", "{port: 80, name: plain}");
    let web = deployment("web", 0).replace(
        "image: app}",
        "image: app, ports: [{containerPort: 80}], resources: {limits: {cpu: 1000m}}}",
    ) + "status: {replicas: 7}\n";
    let files = [
        ("service.yaml", service),
        ("web.yaml", web),
        ("secret.yaml", secret("1", "").replace("immutable: true\n", "")),
        ("role.yaml", role("nothing", "null")),
    ];
    for (file, text) in &files {
        test.repo.write(&format!("app/{file}"), text)?;
    }
    let commit = test.repo.commit("start")?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "  wait: true")).await?;
    test.applied("Kustomization/app", &commit).await?;
    test.until("Deployment/web", "is settled", |d| d.condition("Available").is_some()).await?;
    let names = ["Service/web", "Deployment/web", "Secret/key", "Role/nothing"];
    let versions = async || -> Result<Vec<Value>> {
        let mut all = Vec::new();
        for name in names {
            all.push(test.get(name).await?["metadata"]["resourceVersion"].take());
        }
        Ok(all)
    };
    let before = versions().await?;
    for _ in 0..2 {
        test.run("Kustomization/app").await?;
        test.ready("Kustomization/app").await?;
    }
    assert_eq!(versions().await?, before);
    let secret = test.get("Secret/key").await?;
    assert_eq!(secret["data"], json!({"value": "MQ=="}));
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_can_be_a_stage_before_their_bindings() -> Result<()> {
    let stage = "--custom-apply-stage-kinds=rbac.authorization.k8s.io/Role";
    for (name, options) in [("staged", &[stage][..]), ("unstaged", &[])] {
        let test = Scenario::with_own_controllers(name, options).await?;
        test.apply("{apiVersion: v1, kind: ServiceAccount, metadata: {name: tenant}}").await?;
        let account = format!("--serviceaccount={}:tenant", test.namespace);
        test.kubectl(&["create", "rolebinding", "tenant", "--clusterrole=admin", &account])?;
        test.repo.write(
            "app/role.yaml",
            &role("reader", "[{apiGroups: [\"\"], resources: [pods], verbs: [get]}]"),
        )?;
        let binding = "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: reader}\n\
            roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}\n\
            subjects: [{kind: ServiceAccount, name: default}]\n";
        let commit = test.repo.commit_file("app/binding.yaml", binding)?;
        test.apply_source().await?;
        test.apply(&test.kustomization_yaml("app", "./app", "  serviceAccountName: tenant")).await?;
        if options.is_empty() {
            let text = format!("RoleBinding/{}/reader not found: rolebindings", test.namespace);
            let ready =
                test.condition("Kustomization/app", "Ready", "False", "ReconciliationFailed", &text).await?;
            assert!(ready.message.contains("\"reader\" not found"), "{ready:?}");
        } else {
            test.applied("Kustomization/app", &commit).await?;
        }
        test.finish().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_is_not_accepted_ends_the_run_before_what_needs_it() -> Result<()> {
    let test = Scenario::new("names").await?;
    let group = format!("{}.example.org", test.namespace.replace('-', ""));
    let definition = |plural: &str| {
        let version = json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}});
        let crd = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.{group}")},
            "spec": {"group": group, "scope": "Namespaced", "names": {"kind": "Thing", "plural": plural}, "versions": [version]}});
        serde_yaml::to_string(&crd).unwrap()
    };
    test.objects.apply(&definition("things"), "").await?;
    let id = e2e::objects::Id::new(&format!("CustomResourceDefinition/things.{group}"), "")?;
    test.until(&format!("CustomResourceDefinition/things.{group}"), "is established", |o| {
        o.condition("Established").is_some_and(|c| c.status == "True")
    })
    .await?;
    test.repo.write("app/crd.yaml", &definition("others"))?;
    test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    let text = format!("[CustomResourceDefinition/others.{group} status: 'Failed']");
    test.condition("Kustomization/app", "Ready", "False", "ReconciliationFailed", &text).await?;
    assert!(!test.exists("ConfigMap/map").await?);
    // When the name is free, the same run goes through.
    test.objects.delete(&id).await?;
    test.ready("Kustomization/app").await?;
    assert!(test.exists("ConfigMap/map").await?);
    test.kubectl(&["delete", "--wait=false", "kustomization/app"])?;
    test.gone("Kustomization/app").await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_a_named_manager_are_taken_over_before_the_dry_run_and_those_of_others_stay() -> Result<()>
{
    let test =
        Scenario::with_own_controllers("takeover", &["--override-manager-before-dry-run=legacy"]).await?;
    let test = applied(test, &[("map.yaml", config_map("map", "1"))], "").await?;
    let data = async || anyhow::Ok(test.get("ConfigMap/map").await?["data"].take());
    for manager in ["legacy-too", "legacy"] {
        let patch = json!({"data": {(manager): "x"}}).to_string();
        let manager = format!("--field-manager={manager}");
        test.kubectl(&["patch", "configmap/map", "--type=merge", &manager, "-p", &patch])?;
    }
    test.run("Kustomization/app").await?;
    // By its exact name.
    test.until("ConfigMap/map", "has lost what is legacy's", |map| map["data"].get("legacy").is_none())
        .await?;
    assert_eq!(data().await?, json!({"value": "1", "legacy-too": "x"}));
    test.finish().await
}
