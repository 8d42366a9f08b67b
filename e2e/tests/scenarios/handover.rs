//! Objects that move from one Kustomization to another stay the objects they are.

use anyhow::Result;
use e2e::objects::Look;
use e2e::scenario::Scenario;
use e2e::testkit::{config_map, deployment};
use serde_json::{Value, json};

/// The scenario once Kustomization `from` has applied ConfigMap `moving`, and `to` something else.
async fn start(name: &str, to: &str) -> Result<Scenario> {
    let test = Scenario::new(name).await?;
    test.repo.write("from/moving.yaml", &config_map("moving", "1"))?;
    test.repo.write("from/stays.yaml", &config_map("from", "1"))?;
    test.repo.write("to/stays.yaml", &config_map("to", "1"))?;
    let commit = test.repo.commit("start")?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("from", "./from", "")).await?;
    test.apply(&test.kustomization_yaml("to", "./to", to)).await?;
    test.applied("Kustomization/from", &commit).await?;
    test.applied("Kustomization/to", &commit).await?;
    Ok(test)
}

/// Moves the file of ConfigMap `moving` between folders.
fn move_file(test: &Scenario, from: &str, to: &str) -> Result<()> {
    test.repo.remove(&format!("{from}/moving.yaml"))?;
    test.repo.write(&format!("{to}/moving.yaml"), &config_map("moving", "1"))
}

async fn uid(test: &Scenario) -> Result<String> {
    Ok(test.get("ConfigMap/moving").await?.text("/metadata/uid").to_owned())
}

fn owner(object: &Value) -> &str {
    object.text("/metadata/labels/kustomize.toolkit.fluxcd.io~1name")
}

fn names(test: &Scenario, app: &Value) -> Vec<String> {
    let entries = app["status"]["inventory"]["entries"].as_array().unwrap();
    let prefix = format!("{}_", test.namespace);
    let name =
        |e: &Value| e.text("/id").trim_start_matches(&prefix).trim_end_matches("__ConfigMap").to_owned();
    entries.iter().map(name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_moved_in_one_commit_is_handed_over() -> Result<()> {
    let test = start("move", "").await?;
    let first = uid(&test).await?;
    for (from, to) in [("from", "to"), ("to", "from")].repeat(3) {
        move_file(&test, from, to)?;
        let commit = test.repo.commit(&format!("to {to}"))?;
        test.request("GitRepository/app").await?;
        test.applied("Kustomization/from", &commit).await?;
        test.applied("Kustomization/to", &commit).await?;
        let moving = test.get("ConfigMap/moving").await?;
        assert_eq!((moving.text("/metadata/uid"), owner(&moving)), (&*first, to));
        let holder = names(&test, &test.get(&format!("Kustomization/{to}")).await?);
        assert_eq!(holder, if to == "to" { ["moving", "to"] } else { ["from", "moving"] });
    }
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_new_owner_may_come_first_or_last() -> Result<()> {
    // Last: it has to wait for another one, which has something to wait for itself.
    let test = Scenario::new("order").await?;
    test.repo.write("from/moving.yaml", &config_map("moving", "1"))?;
    test.repo.write("from/stays.yaml", &config_map("from", "1"))?;
    test.repo.write("to/stays.yaml", &config_map("to", "1"))?;
    test.repo.write("slow/web.yaml", &deployment("web", 0))?;
    let commit = test.repo.commit("start")?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("slow", "./slow", "  wait: true")).await?;
    test.apply(&test.kustomization_yaml("from", "./from", "")).await?;
    test.apply(&test.kustomization_yaml("to", "./to", "  dependsOn: [{name: slow}]")).await?;
    test.applied("Kustomization/from", &commit).await?;
    test.applied("Kustomization/to", &commit).await?;
    let first = uid(&test).await?;

    move_file(&test, "from", "to")?;
    test.repo.write("slow/late.yaml", &deployment("late", 0))?;
    let commit = test.repo.commit("last")?;
    test.request("GitRepository/app").await?;
    test.applied("Kustomization/from", &commit).await?;
    test.applied("Kustomization/to", &commit).await?;
    assert_eq!(uid(&test).await?, first);

    // First: the former owner is suspended until the new one has it.
    test.patch("Kustomization/to", &json!({"spec": {"suspend": true}})).await?;
    move_file(&test, "to", "from")?;
    let commit = test.repo.commit("first")?;
    test.request("GitRepository/app").await?;
    test.applied("Kustomization/from", &commit).await?;
    assert_eq!(owner(&test.get("ConfigMap/moving").await?), "from");
    test.patch("Kustomization/to", &json!({"spec": {"suspend": false}})).await?;
    let app = test.applied("Kustomization/to", &commit).await?;
    assert_eq!(names(&test, &app), ["to"]);
    assert_eq!(uid(&test).await?, first);
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_not_pruned_while_its_new_owner_has_yet_to_apply_it() -> Result<()> {
    let test = start("half", "").await?;
    let first = uid(&test).await?;
    move_file(&test, "from", "to")?;
    // The first stage of the new owner is applied, the second cannot be.
    let role = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{name: {}}}\nrules: []\n",
        test.namespace
    );
    test.repo.write("to/role.yaml", &role)?;
    test.repo.write("to/bad.yaml", &config_map("bad", "1").replace("\ndata:", "\ndat:"))?;
    let commit = test.repo.commit("half")?;
    test.request("GitRepository/app").await?;
    test.condition("Kustomization/to", "Ready", "False", "ReconciliationFailed", "bad dry-run failed")
        .await?;
    let app = test.applied("Kustomization/from", &commit).await?;
    assert_eq!(uid(&test).await?, first);
    assert_eq!(owner(&test.get("ConfigMap/moving").await?), "from");
    assert_eq!(names(&test, &app), ["from", "moving"], "it is not forgotten either");
    let ns = &test.namespace;
    let left = format!("ConfigMap/{ns}/moving is left to Kustomization/{ns}/to, which is about to apply it");
    test.event("Kustomization/from", "Normal", "Progressing", &left).await?;

    test.repo.remove("to/bad.yaml")?;
    let commit = test.repo.commit("whole")?;
    test.request("GitRepository/app").await?;
    test.applied("Kustomization/to", &commit).await?;
    test.applied("Kustomization/from", &commit).await?;
    test.run("Kustomization/from").await?;
    let app = test.ready("Kustomization/from").await?;
    assert_eq!(names(&test, &app), ["from"]);
    let moving = test.get("ConfigMap/moving").await?;
    assert_eq!((moving.text("/metadata/uid"), owner(&moving)), (&*first, "to"));
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_the_former_owner_leaves_what_it_no_longer_owns() -> Result<()> {
    let test = start("former", "").await?;
    let first = uid(&test).await?;
    // Both want it; the last one to apply it has it.
    test.repo.write("to/moving.yaml", &config_map("moving", "2"))?;
    let commit = test.repo.commit("both")?;
    test.request("GitRepository/app").await?;
    test.applied("Kustomization/to", &commit).await?;
    test.until("ConfigMap/moving", "belongs to the new owner", |o| owner(o) == "to").await?;
    test.kubectl(&["delete", "--wait=false", "kustomization/from"])?;
    test.gone("Kustomization/from").await?;
    test.gone("ConfigMap/from").await?;
    assert_eq!(uid(&test).await?, first);
    // The labels decide, whatever an inventory says.
    let labels = json!({"kustomize.toolkit.fluxcd.io/name": "nobody"});
    test.patch("Kustomization/to", &json!({"spec": {"suspend": true}})).await?;
    test.patch("ConfigMap/moving", &json!({"metadata": {"labels": labels}})).await?;
    test.repo.remove("to/moving.yaml")?;
    let commit = test.repo.commit("nobody's")?;
    test.run("GitRepository/app").await?;
    test.patch("Kustomization/to", &json!({"spec": {"suspend": false}})).await?;
    let app = test.applied("Kustomization/to", &commit).await?;
    assert_eq!(names(&test, &app), ["to"]);
    assert_eq!(uid(&test).await?, first);
    let skipped = format!("ConfigMap/{}/moving skipped", test.namespace);
    test.event("Kustomization/to", "Normal", "Progressing", &skipped).await?;
    test.finish().await
}
