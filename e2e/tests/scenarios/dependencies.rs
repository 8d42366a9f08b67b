//! `spec.dependsOn`: expressions, revisions, cycles.

use anyhow::Result;
use e2e::objects::Look;
use e2e::scenario::Scenario;
use e2e::testkit::config_map;
use serde_json::json;

/// A scenario whose source has a folder with one ConfigMap for each of `names`.
async fn folders(test: Scenario, names: &[&str]) -> Result<(Scenario, String)> {
    for name in names {
        test.repo.write(&format!("{name}/map.yaml"), &config_map(name, "1"))?;
    }
    let commit = test.repo.commit("start")?;
    test.apply_source().await?;
    test.ready("GitRepository/app").await?;
    Ok((test, commit))
}

async fn add(test: &Scenario, name: &str, more: &str) -> Result<()> {
    test.apply(&test.kustomization_yaml(name, &format!("./{name}"), more)).await
}

/// Flags with which nothing but a change of a dependency can wake who waits for it: the backstop comes every hour.
const NO_BACKSTOP: [&str; 1] = ["--requeue-dependency=1h"];

fn waits_for(name: &str, expression: &str) -> String {
    format!("  dependsOn: [{{name: {name}, readyExpr: \"{expression}\"}}]")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dependency_on_an_older_revision_of_the_same_source_blocks() -> Result<()> {
    let (test, first) = folders(Scenario::new("dep-old").await?, &["base", "app"]).await?;
    add(&test, "base", "").await?;
    test.applied("Kustomization/base", &first).await?;
    test.patch("Kustomization/base", &json!({"spec": {"suspend": true}})).await?;
    let second = test.repo.commit_file("app/map.yaml", &config_map("app", "2"))?;
    test.run("GitRepository/app").await?;
    add(&test, "app", "  dependsOn: [{name: base}]").await?;
    let blocked = format!("dependency '{}/base' revision is not up to date", test.namespace);
    test.condition("Kustomization/app", "Ready", "False", "DependencyNotReady", &blocked).await?;
    // An expression looks past that.
    let ready = "dep.status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')";
    add(&test, "app", &waits_for("base", ready)).await?;
    test.applied("Kustomization/app", &second).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expression_decides_whether_a_dependency_is_ready() -> Result<()> {
    let test = Scenario::with_own_controllers("dep-cel", &NO_BACKSTOP).await?;
    let (test, commit) = folders(test, &["app"]).await?;
    // Never ready: there is no such folder, and nobody looks for it again.
    let base =
        test.kustomization_yaml("base", "./base", "").replace("retryInterval: 2s", "retryInterval: 1h");
    test.apply(&base).await?;
    test.condition("Kustomization/base", "Ready", "False", "ArtifactFailed", "path not found").await?;
    let version = "has(dep.metadata.labels) && dep.metadata.labels[?'version'].orValue('') == self.metadata.name + '-2'";
    add(&test, "app", &waits_for("base", version)).await?;
    let text = format!("dependency '{}/base' is not ready according to readyExpr eval", test.namespace);
    test.condition("Kustomization/app", "Ready", "False", "DependencyNotReady", &text).await?;
    assert!(test.get("Kustomization/app").await?.condition("Stalled").is_none());
    test.event(
        "Kustomization/app",
        "Normal",
        "DependencyNotReady",
        "Dependencies do not meet ready condition",
    )
    .await?;
    // A label is no readiness, and still the dependent is woken.
    test.kubectl(&["label", "kustomization/base", "version=app-2"])?;
    test.applied("Kustomization/app", &commit).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expression_that_cannot_be_evaluated_waits_and_one_that_is_wrong_stalls() -> Result<()> {
    let (test, commit) = folders(Scenario::new("dep-wrong").await?, &["base", "app"]).await?;
    add(&test, "base", "").await?;
    test.ready("Kustomization/base").await?;
    add(&test, "app", &waits_for("base", "dep.status.missing == 1")).await?;
    let text = "failed to evaluate the CEL expression 'dep.status.missing == 1': no such key: missing";
    test.condition("Kustomization/app", "Ready", "False", "DependencyNotReady", text).await?;
    assert!(test.get("Kustomization/app").await?.condition("Stalled").is_none());
    for (expression, text) in [
        ("dep.status.", "failed to parse the CEL expression 'dep.status.': "),
        ("dep.spec.suspend", "CEL expression output type mismatch: expected bool, got dyn"),
    ] {
        add(&test, "app", &waits_for("base", expression)).await?;
        let text = format!(
            "Reconciliation failed terminally due to configuration error: terminal error: failed to evaluate \
             dependency base: {text}"
        );
        test.condition("Kustomization/app", "Ready", "False", "InvalidCELExpression", &text).await?;
        test.condition("Kustomization/app", "Stalled", "True", "InvalidCELExpression", &text).await?;
        let app = test.get("Kustomization/app").await?;
        assert_eq!(app.number("/status/observedGeneration"), app.number("/metadata/generation"));
    }
    add(&test, "app", &waits_for("base", "dep.status.lastAppliedRevision != ''")).await?;
    test.applied("Kustomization/app", &commit).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_built_in_check_of_a_dependency_counts_too_with_the_gate() -> Result<()> {
    let gate = "--feature-gates=AdditiveCELDependencyCheck=true";
    let test = Scenario::with_own_controllers("dep-both", &[gate]).await?;
    let (test, _) = folders(test, &["app"]).await?;
    add(&test, "base", "").await?;
    add(&test, "app", &waits_for("base", "true")).await?;
    let text = format!("dependency '{}/base' is not ready", test.namespace);
    let ready = test.condition("Kustomization/app", "Ready", "False", "DependencyNotReady", &text).await?;
    assert_eq!(ready.message, text);
    let commit = test.repo.commit_file("base/map.yaml", &config_map("base", "1"))?;
    test.request("GitRepository/app").await?;
    test.applied("Kustomization/app", &commit).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_dependency_does_not_keep_what_is_deleted() -> Result<()> {
    let (test, commit) = folders(Scenario::new("dep-gone").await?, &["app"]).await?;
    add(&test, "app", "").await?;
    test.applied("Kustomization/app", &commit).await?;
    test.patch("Kustomization/app", &json!({"spec": {"dependsOn": [{"name": "nobody"}]}})).await?;
    test.condition("Kustomization/app", "Ready", "False", "DependencyNotReady", "nobody' not found").await?;
    test.kubectl(&["delete", "--wait=false", "kustomization/app"])?;
    test.gone("Kustomization/app").await?;
    test.gone("ConfigMap/app").await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cycle_is_named_and_ends_when_it_is_broken() -> Result<()> {
    let test = Scenario::with_own_controllers("dep-cycle", &NO_BACKSTOP).await?;
    let (test, commit) = folders(test, &["a", "b", "c"]).await?;
    let own = format!("  dependsOn: [{{name: b, namespace: {}}}]", test.namespace);
    add(&test, "a", &own).await?;
    add(&test, "b", "  dependsOn: [{name: c}]").await?;
    add(&test, "c", "  dependsOn: [{name: a}]").await?;
    let cycle = |names: [&str; 4]| {
        let names: Vec<_> = names.iter().map(|name| format!("{}/{name}", test.namespace)).collect();
        format!("dependency cycle: {}", names.join(" -> "))
    };
    for (name, names) in
        [("a", ["a", "b", "c", "a"]), ("b", ["b", "c", "a", "b"]), ("c", ["c", "a", "b", "c"])]
    {
        let object = format!("Kustomization/{name}");
        let ready =
            test.condition(&object, "Ready", "False", "DependencyNotReady", "dependency cycle: ").await?;
        assert_eq!(ready.message, cycle(names));
    }
    add(&test, "c", "").await?;
    for name in ["a", "b", "c"] {
        test.applied(&format!("Kustomization/{name}"), &commit).await?;
    }
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_is_applied_in_order_whatever_order_it_was_made_in() -> Result<()> {
    let (test, first) = folders(Scenario::new("dep-chain").await?, &["a", "b", "c"]).await?;
    add(&test, "c", "  dependsOn: [{name: b}]").await?;
    add(&test, "b", "  dependsOn: [{name: a}]").await?;
    // A dead end: nobody waits for it and it waits for nobody there.
    add(&test, "dead", "  dependsOn: [{name: nobody}]").await?;
    add(&test, "a", "").await?;
    test.applied("Kustomization/c", &first).await?;
    let commit = test.repo.commit_file("c/map.yaml", &config_map("c", "2"))?;
    test.request("GitRepository/app").await?;
    test.applied("Kustomization/c", &commit).await?;
    // The dependencies have moved to the revision first.
    for name in ["a", "b"] {
        let object = test.get(&format!("Kustomization/{name}")).await?;
        assert!(object.text("/status/lastAppliedRevision").ends_with(&commit), "{name}");
    }
    test.condition("Kustomization/dead", "Ready", "False", "DependencyNotReady", "nobody' not found").await?;
    test.finish().await
}
