//! What one tenant does reaches no other.

use std::time::Duration;

use anyhow::Result;
use e2e::objects::Id;
use e2e::scenario::Scenario;
use e2e::wait::{self, Not};
use serde_json::json;

use e2e::testkit::config_map;

const LIMIT: Duration = Duration::from_secs(120);

/// GitRepository and Kustomization of another tenant, in a namespace of its own, for a folder of the repository.
async fn tenant(test: &Scenario, path: &str, more: &str) -> Result<String> {
    let namespace = format!("{}-tenant", test.namespace);
    test.apply(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}")).await?;
    let in_namespace = |yaml: String| {
        yaml.replace("metadata: {name: ", &format!("metadata: {{namespace: {namespace}, name: "))
    };
    test.apply(&in_namespace(test.source_yaml("1h", ""))).await?;
    let kustomization = test.kustomization_yaml("tenant", path, more).replace("  targetNamespace: ", "  # ");
    test.apply(&in_namespace(kustomization)).await?;
    Ok(namespace)
}

#[tokio::test(flavor = "multi_thread")]
async fn pruning_cannot_be_vetoed_by_who_names_the_object_and_does_not_apply_it() -> Result<()> {
    let test = Scenario::new("veto").await?;
    let named = |key: &str| {
        let metadata = format!(
            "metadata: {{namespace: {}, annotations: {{kustomize.toolkit.fluxcd.io/{key}}}, ",
            test.namespace
        );
        config_map("revoked", "1").replace("metadata: {", &metadata)
    };
    test.repo.write("app/revoked.yaml", &config_map("revoked", "1"))?;
    test.repo.write("app/stays.yaml", &config_map("stays", "1"))?;
    test.repo.write("same/revoked.yaml", &named("ssa: Ignore"))?;
    test.repo.write("other/revoked.yaml", &named("reconcile: disabled"))?;
    let commit = test.repo.commit("start")?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    test.applied("Kustomization/app", &commit).await?;
    // One of the same namespace whose run is over, and one of another tenant whose run never is.
    test.apply(&test.kustomization_yaml("same", "./same", "")).await?;
    test.applied("Kustomization/same", &commit).await?;
    let absent = "  healthChecks: [{apiVersion: v1, kind: ConfigMap, namespace: default, name: never}]";
    let namespace = tenant(&test, "./other", absent).await?;
    let names_it = |object: &serde_json::Value| {
        object
            .pointer("/status/inventory/entries")
            .is_some_and(|entries| entries.to_string().contains("revoked"))
    };
    let tenant = Id::of("kustomize.toolkit.fluxcd.io/v1", "Kustomization", &namespace, "tenant");
    wait::until(LIMIT, async || match test.objects.get(&tenant).await.map_err(wait::not_yet)? {
        Some(object) if names_it(&object) => Ok(()),
        object => Err(Not::Yet(format!("{object:?}"))),
    })
    .await?;
    assert!(names_it(&test.get("Kustomization/same").await?));

    test.repo.remove("app/revoked.yaml")?;
    let commit = test.repo.commit("revoke")?;
    test.request("GitRepository/app").await?;
    test.applied("Kustomization/app", &commit).await?;
    test.gone("ConfigMap/revoked").await?;
    assert!(!names_it(&test.get("Kustomization/app").await?));
    test.kubectl(&["delete", "namespace", &namespace, "--wait=false"])?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn made_up_kinds_cost_one_discovery_and_hold_up_nobody() -> Result<()> {
    let test = Scenario::through_proxy("kinds", &[]).await?;
    let kind = |n: u32| format!("apiVersion: made{n}.up/v1\nkind: Kind{n}\nmetadata: {{name: a}}\n---\n");
    test.repo.write("attack/all.yaml", &(0..300).map(kind).collect::<String>())?;
    test.repo.write("bystander/a.yaml", &config_map("a", "1"))?;
    let commit = test.repo.commit("start")?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("bystander", "./bystander", "")).await?;
    test.applied("Kustomization/bystander", &commit).await?;
    let discoveries = || test.proxy().map(|proxy| proxy.calls(|call| call.path == "/apis").len());
    let before = discoveries()?;
    let slow = |yaml: String| yaml.replace("retryInterval: 2s", "retryInterval: 1h");
    test.apply(&slow(test.kustomization_yaml("attack", "./attack", ""))).await?;
    let failed = test
        .condition("Kustomization/attack", "Ready", "False", "ReconciliationFailed", "no matches for kind")
        .await?;
    assert!(failed.message.len() <= 32_768);
    let asked = discoveries()? - before;
    assert!(asked <= 3, "300 kinds cost {asked} discoveries");

    // Nothing of it is watched, and others are applied without another discovery.
    test.repo.write("bystander/a.yaml", &config_map("a", "2"))?;
    let (commit, before) = (test.repo.commit("bystander")?, discoveries()?);
    test.request("GitRepository/app").await?;
    test.applied("Kustomization/bystander", &commit).await?;
    test.kubectl(&["delete", "kustomization", "attack", "--wait=false"])?;
    test.gone("Kustomization/attack").await?;
    let asked = discoveries()? - before;
    // The new commit brings another run of the attacker's, too.
    assert!(asked <= 4, "a commit and a deletion cost {asked} discoveries");
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn deletion_for_another_cluster_leaves_the_objects_of_this_one() -> Result<()> {
    let test = Scenario::new("remote").await?;
    test.repo.write("app/here.yaml", &config_map("here", "1"))?;
    let commit = test.repo.commit("start")?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    test.applied("Kustomization/app", &commit).await?;
    // As if Flux had applied the same names to another cluster.
    let kube_config = json!({"spec": {"kubeConfig": {"secretRef": {"name": "elsewhere"}}}});
    test.patch("Kustomization/app", &kube_config).await?;
    test.condition("Kustomization/app", "Ready", "False", "UnsupportedField", "spec.kubeConfig").await?;
    test.kubectl(&["delete", "kustomization", "app", "--wait=false"])?;
    test.gone("Kustomization/app").await?;
    assert!(test.exists("ConfigMap/here").await?);
    let message = format!("unable to prune objects: \nConfigMap/{}/here", test.namespace);
    test.event("Kustomization/app", "Warning", "UnsupportedField", &message).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn ready_expressions_on_other_tenants_see_no_spec_if_references_to_them_are_blocked() -> Result<()> {
    let test = Scenario::with_own_controllers("oracle", &["--no-cross-namespace-refs"]).await?;
    test.repo.write("app/a.yaml", &config_map("a", "1"))?;
    test.repo.commit("start")?;
    test.apply_source().await?;
    let secret = "  postBuild: {substitute: {PASSWORD: hunter2}}";
    let namespace = tenant(&test, "./app", secret).await?;
    let depends = |expression: &str| {
        format!("  dependsOn: [{{namespace: {namespace}, name: tenant, readyExpr: \"{expression}\"}}]")
    };
    let guess = depends("dep.spec.postBuild.substitute.PASSWORD.startsWith('h')");
    test.apply(&test.kustomization_yaml("guess", "./app", &guess)).await?;
    test.condition("Kustomization/guess", "Ready", "False", "DependencyNotReady", "no such").await?;
    let name = depends("dep.metadata.name == 'tenant'");
    test.apply(&test.kustomization_yaml("name", "./app", &name)).await?;
    test.ready("Kustomization/name").await?;
    test.kubectl(&["delete", "namespace", &namespace, "--wait=false"])?;
    test.finish().await
}
