//! What is removed from the cluster when it leaves Git, and what is not.

use anyhow::{Context, Result};
use e2e::objects::Look;
use e2e::scenario::Scenario;
use e2e::testkit::{applied, config_map, roll_out};
use e2e::wait::Not;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_folder_empties_the_inventory_and_restoring_brings_all_back() -> Result<()> {
    let files = [("a.yaml", config_map("a", "1")), ("notes.txt", "not built".to_owned())];
    let test = applied(Scenario::new("empty").await?, &files, "").await?;
    test.repo.remove("app/a.yaml")?;
    let commit = test.repo.commit("empty")?;
    roll_out(&test, &commit).await?;
    let app = test.get("Kustomization/app").await?;
    assert_eq!(app["status"]["inventory"]["entries"], json!([]));
    test.gone("ConfigMap/a").await?;
    let commit = test.repo.commit_file("app/a.yaml", &config_map("a", "2"))?;
    roll_out(&test, &commit).await?;
    assert_eq!(test.get("ConfigMap/a").await?.text("/data/value"), "2");
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_keeps_an_empty_folder_from_emptying_the_cluster_until_it_is_meant() -> Result<()> {
    let files: Vec<_> =
        (0..20).map(|i| (format!("{i}.yaml"), config_map(&format!("map-{i}"), "1"))).collect();
    let named: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
    let test = Scenario::with_own_controllers("prune-guard", &["--prune-guard-percent=50"]).await?;
    let test = applied(test, &named, "").await?;
    // A small part may always go.
    for i in 12..20 {
        test.repo.remove(&format!("app/{i}.yaml"))?;
    }
    let commit = test.repo.commit("twelve are left")?;
    roll_out(&test, &commit).await?;
    test.gone("ConfigMap/map-12").await?;
    let before = test.get("Kustomization/app").await?;
    let text = "12 of 12 objects of the inventory are no longer there, and --prune-guard-percent=50 refuses to delete so many: \
                nothing was applied or deleted. If it is meant, set the annotation \
                kustomize.toolkit.fluxcd.io/prune-guard=disabled";
    let refused = async |commit: String| -> Result<()> {
        test.request("GitRepository/app").await?;
        let attempted =
            |app: &Value| !app.is_ready() && app.text("/status/lastAttemptedRevision").ends_with(&commit);
        test.until("Kustomization/app", &format!("has tried {commit}"), attempted).await?;
        // The second try comes to the same.
        let app = test.run("Kustomization/app").await?;
        let ready = app.condition("Ready").context("a condition")?;
        assert_eq!((ready.reason.as_str(), ready.message.as_str()), ("PruneFailed", text));
        for field in ["inventory", "lastAppliedRevision"] {
            assert_eq!(app["status"][field], before["status"][field], "{field}");
        }
        for i in 0..12 {
            assert!(test.exists(&format!("ConfigMap/map-{i}")).await?, "map-{i}");
        }
        Ok(())
    };
    test.repo.remove("app")?;
    refused(test.repo.commit_file("app/notes.txt", "not built")?).await?;
    test.event("Kustomization/app", "Warning", "PruneFailed", text).await?;
    for (name, map) in files.iter().take(12) {
        test.repo.write(&format!("app/{name}"), &map.replace("map-", "new-"))?;
    }
    let commit = test.repo.commit("all have other names")?;
    refused(commit.clone()).await?;
    assert!(!test.exists("ConfigMap/new-0").await?, "nothing of the commit is applied");
    test.kubectl(&["annotate", "kustomization/app", "kustomize.toolkit.fluxcd.io/prune-guard=disabled"])?;
    roll_out(&test, &commit).await?;
    test.gone("ConfigMap/map-0").await?;
    assert!(test.exists("ConfigMap/new-0").await?);
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_object_is_made_and_the_old_one_goes_in_reverse_order() -> Result<()> {
    let service =
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80}]}\n".to_owned();
    let files = [("map.yaml", config_map("a", "1")), ("service.yaml", service.clone())];
    let test = applied(Scenario::new("rename").await?, &files, "").await?;
    test.repo.write("app/map.yaml", &config_map("b", "1"))?;
    test.repo.write("app/service.yaml", &service.replace("name: a", "name: b"))?;
    let commit = test.repo.commit("rename")?;
    roll_out(&test, &commit).await?;
    let created = format!("ConfigMap/{0}/b created\nService/{0}/b created", test.namespace);
    test.event("Kustomization/app", "Normal", "Progressing", &created).await?;
    let deleted = format!("Service/{0}/a deleted\nConfigMap/{0}/a deleted", test.namespace);
    test.event("Kustomization/app", "Normal", "Progressing", &deleted).await?;
    let app = test.get("Kustomization/app").await?;
    let entry = |name: &str| json!({"id": format!("{}_b__{name}", test.namespace), "v": "v1"});
    assert_eq!(app["status"]["inventory"]["entries"], json!([entry("ConfigMap"), entry("Service")]));
    test.gone("ConfigMap/a").await?;
    test.gone("Service/a").await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn live_marks_protect_from_pruning() -> Result<()> {
    let names = ["ignored", "disabled", "once", "plain"];
    let files = names.map(|name| (name, config_map(name, "1")));
    let files: Vec<_> = files.iter().map(|(name, text)| (format!("{name}.yaml"), text.clone())).collect();
    let files: Vec<_> = files.iter().map(|(file, text)| (file.as_str(), text.clone())).collect();
    let test = applied(Scenario::new("marks").await?, &files, "").await?;
    for (name, mark) in
        [("ignored", "ssa=Ignore"), ("disabled", "reconcile=Disabled"), ("once", "ssa=IfNotPresent")]
    {
        let mark = format!("kustomize.toolkit.fluxcd.io/{mark}");
        test.kubectl(&["annotate", &format!("configmap/{name}"), &mark])?;
    }
    for name in names {
        test.repo.remove(&format!("app/{name}.yaml"))?;
    }
    let commit = test.repo.commit_file("app/new.yaml", &config_map("new", "1"))?;
    roll_out(&test, &commit).await?;
    test.gone("ConfigMap/plain").await?;
    test.gone("ConfigMap/once").await?;
    assert!(test.exists("ConfigMap/ignored").await? && test.exists("ConfigMap/disabled").await?);
    test.event("Kustomization/app", "Normal", "Progressing", "/ignored skipped").await?;
    test.finish().await
}

/// Refuses deletions of ConfigMaps of this test's namespace.
fn guard(test: &Scenario) -> String {
    let name = &test.namespace;
    format!(
        "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: {{name: {name}}}\nspec:\n  \
         failurePolicy: Fail\n  matchConstraints: {{resourceRules: [{{apiGroups: [\"\"], apiVersions: [v1], operations: [DELETE], resources: [configmaps]}}]}}\n  \
         validations: [{{expression: \"false\", message: not now}}]\n---\n\
         apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\nmetadata: {{name: {name}}}\nspec:\n  \
         policyName: {name}\n  validationActions: [Deny]\n  matchResources: {{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {name}}}}}}}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_may_not_be_deleted_stays_in_the_inventory_until_it_is() -> Result<()> {
    let files = [("a.yaml", config_map("a", "1")), ("b.yaml", config_map("b", "1"))];
    let test = applied(Scenario::new("guard").await?, &files, "").await?;
    let temp = tempfile::NamedTempFile::new()?;
    std::fs::write(temp.path(), guard(&test))?;
    let file = temp.path().display().to_string();
    test.kubectl(&["apply", "-f", &file])?;
    // A policy is not in force at once.
    test.wait("the policy is in force", async || {
        match test.kubectl(&["delete", "--dry-run=server", "configmap/b"]) {
            Err(_) => Ok(()),
            Ok(_) => Err(Not::Yet("it would be deleted".into())),
        }
    })
    .await?;
    test.repo.remove("app/b.yaml")?;
    let commit = test.repo.commit("remove")?;
    test.request("GitRepository/app").await?;
    let text = format!("delete failed, errors: ConfigMap/{}/b delete failed: ", test.namespace);
    let ready = test.condition("Kustomization/app", "Ready", "False", "PruneFailed", &text).await?;
    assert!(ready.message.contains("not now"), "{ready:?}");
    let app = test.get("Kustomization/app").await?;
    let entry = |name: &str| json!({"id": format!("{}_{name}__ConfigMap", test.namespace), "v": "v1"});
    assert_eq!(app["status"]["inventory"]["entries"], json!([entry("a"), entry("b")]));
    assert_eq!(app.text("/status/history/0/lastReconciledStatus"), "PruneFailed");
    test.kubectl(&["delete", "-f", &file])?;
    let app = test.applied("Kustomization/app", &commit).await?;
    assert_eq!(app["status"]["inventory"]["entries"], json!([entry("a")]));
    test.gone("ConfigMap/b").await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_deletion_leaves_the_inventory_whatever_finalizers_say() -> Result<()> {
    let slow =
        config_map("slow", "1").replace("{name: slow}", "{name: slow, finalizers: [example.org/slow]}");
    let files = [("a.yaml", config_map("a", "1")), ("slow.yaml", slow)];
    let test = applied(Scenario::new("accepted").await?, &files, "").await?;
    test.repo.remove("app/slow.yaml")?;
    let commit = test.repo.commit("remove")?;
    roll_out(&test, &commit).await?;
    let app = test.get("Kustomization/app").await?;
    let entries = json!([{"id": format!("{}_a__ConfigMap", test.namespace), "v": "v1"}]);
    assert_eq!(app["status"]["inventory"]["entries"], entries);
    assert!(!test.get("ConfigMap/slow").await?.text("/metadata/deletionTimestamp").is_empty());
    test.patch("ConfigMap/slow", &json!({"metadata": {"finalizers": null}})).await?;
    test.gone("ConfigMap/slow").await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inventory_that_was_tampered_with_deletes_nothing_of_others() -> Result<()> {
    let test = applied(Scenario::new("tamper").await?, &[("a.yaml", config_map("a", "1"))], "").await?;
    test.objects.apply(&config_map("theirs", "1"), &test.namespace).await?;
    let entry = |id: String| json!({"id": id, "v": "v1"});
    let tampered = json!({"status": {"inventory": {"entries": [
        entry(format!("{}_a__ConfigMap", test.namespace)), entry(format!("{}_theirs__ConfigMap", test.namespace)),
        entry("kube-system_kube-root-ca.crt__ConfigMap".into()), entry("_default__Namespace".into()),
        entry("no id at all".into()),
    ]}}});
    let tampered = tampered.to_string();
    test.kubectl(&["patch", "kustomization/app", "--subresource=status", "--type=merge", "-p", &tampered])?;
    test.run("Kustomization/app").await?;
    let app = test.ready("Kustomization/app").await?;
    assert_eq!(
        app["status"]["inventory"]["entries"],
        json!([entry(format!("{}_a__ConfigMap", test.namespace))])
    );
    assert!(test.exists("ConfigMap/theirs").await?);
    let outside = e2e::objects::Id::new("ConfigMap/kube-root-ca.crt", "kube-system")?;
    assert!(
        test.objects.get(&outside).await?.is_some_and(|o| o.text("/metadata/deletionTimestamp").is_empty())
    );
    assert!(test.get("Namespace/default").await?.text("/metadata/deletionTimestamp").is_empty());
    test.event("Kustomization/app", "Normal", "Progressing", "/theirs skipped").await?;
    test.finish().await
}
