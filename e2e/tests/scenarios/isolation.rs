//! What one tenant does reaches no other.

use std::time::Duration;

use anyhow::Result;
use e2e::objects::Id;
use e2e::scenario::Scenario;
use e2e::sops::Key;
use e2e::wait::{self, Not};
use e2e::webhook::{Verdict, Webhook};
use serde_json::json;

use e2e::testkit::config_map;

use e2e::silent_server::{SilentServer, until_open};

use crate::decryption::DECRYPTION;

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

/// A Kustomization for a folder of the repository, for the namespace of the other tenant and in it.
async fn in_tenant(test: &Scenario, tenant: &str, name: &str, path: &str) -> Result<()> {
    let kustomization = test.kustomization_yaml(name, path, "");
    let kustomization = kustomization
        .replace(&format!("targetNamespace: {}", test.namespace), &format!("targetNamespace: {tenant}"))
        .replace("metadata: {name: ", &format!("metadata: {{namespace: {tenant}, name: "));
    test.apply(&kustomization).await
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

#[tokio::test(flavor = "multi_thread")]
async fn builds_that_wait_for_a_silent_server_hold_up_no_other_namespace() -> Result<()> {
    let options = ["--concurrent=2", "--build-timeout=1h"];
    let test = Scenario::with_own_controllers("silent-base", &options).await?;
    let server = [SilentServer::start("127.0.0.6").await?];
    let base = format!("resources: ['{}.git?timeout=3600']\n", server[0].url);
    test.repo.write("attack/kustomization.yaml", &base)?;
    test.repo.write("app/a.yaml", &config_map("a", "1"))?;
    let commit = test.repo.commit("start")?;
    test.apply_source().await?;
    test.ready("GitRepository/app").await?;
    let tenant = tenant(&test, "./attack", "").await?;
    for n in 0..4 {
        in_tenant(&test, &tenant, &format!("attack-{n}"), "./attack").await?;
    }
    // Three build, which is the share of a namespace with two workers, and the last one waits.
    until_open(&server, 3).await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    test.applied("Kustomization/app", &commit).await?;
    let building = Id::of("kustomize.toolkit.fluxcd.io/v1", "Kustomization", &tenant, "attack-0");
    wait::until(LIMIT, async || match test.objects.get(&building).await.map_err(wait::not_yet)? {
        Some(object) if object.to_string().contains("Building manifests for revision") => Ok(()),
        object => Err(Not::Yet(format!("{object:?}"))),
    })
    .await?;
    // Who is deleted gives up its build.
    test.kubectl(&["delete", "namespace", &tenant, "--wait=false"])?;
    until_open(&server, 0).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_hangs_takes_the_passes_of_its_namespace_alone() -> Result<()> {
    let test = Scenario::with_own_controllers("hanging-hook", &["--concurrent=2"]).await?;
    let attacks = ["attack-0", "attack-1", "attack-2"];
    for name in attacks {
        // Many rounds of requests, each as long as the API server lets a webhook take.
        for n in 0..40 {
            test.repo.write(&format!("{name}/{n}.yaml"), &config_map(&format!("{name}-{n}"), "1"))?;
        }
    }
    test.repo.write("app/a.yaml", &config_map("a", "1"))?;
    let commit = test.repo.commit("start")?;
    test.apply_source().await?;
    test.ready("GitRepository/app").await?;
    let tenant = tenant(&test, "./app", "  suspend: true").await?;
    for name in attacks {
        in_tenant(&test, &tenant, name, name).await?;
        let object = format!("kustomization/{name}");
        test.kubectl(&["wait", "-n", &tenant, "--for=condition=Ready", &object, "--timeout=2m"])?;
    }

    let webhook = Webhook::start().await?;
    webhook.say(Verdict::Deny("not yet"));
    let hook = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": tenant},
        "webhooks": [{
            "name": "maps.e2e.test", "clientConfig": webhook.client_config, "timeoutSeconds": 30,
            "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Fail",
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": tenant}},
            "rules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["DELETE"],
            }],
        }],
    });
    let hook = test.objects.apply_one(&hook, "").await?;
    let probe = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "probe"}});
    test.wait("the webhook is asked", async || {
        let probe = test.objects.apply_one(&probe, &tenant).await.map_err(wait::not_yet)?;
        let deleted = test.objects.delete(&probe).await;
        if deleted.is_err() { Ok(()) } else { Err(Not::Yet("deleted".into())) }
    })
    .await?;
    webhook.say(Verdict::Hang);
    test.kubectl(&[&["delete", "-n", &tenant, "--wait=false", "kustomization"], &attacks[..]].concat())?;
    let waiting = ["work=\"kustomization_passes\"", "state=\"waiting\""];
    test.wait("two have the passes of their namespace, and one waits", async || {
        match test.pair().map_err(Not::Ever)?.kustomize.metric("gotk_budget", &waiting).await {
            Ok(1.0) => Ok(()),
            other => Err(Not::Yet(format!("{other:?}"))),
        }
    })
    .await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    test.applied("Kustomization/app", &commit).await?;
    test.objects.delete(&hook).await?;
    test.kubectl(&["delete", "namespace", &tenant, "--wait=false"])?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn locked_down_tenants_have_the_rights_of_their_account_and_no_others() -> Result<()> {
    let options = ["--default-service-account=tenant", "--no-cross-namespace-refs", "--no-remote-bases"];
    let test = Scenario::with_own_controllers("locked", &options).await?;
    let user = format!("system:serviceaccount:{}:tenant", test.namespace);
    let stronger = test.kustomization_yaml("strong", "./app", "  serviceAccountName: strong");
    test.repo.write("app/a.yaml", &config_map("a", "1"))?;
    test.repo.write("stronger/a.yaml", &stronger)?;
    test.repo.write("outside/a.yaml", &config_map("outside", "1"))?;
    test.repo.write("base/kustomization.yaml", &format!("resources: ['{}']\n", test.git.url("app")))?;
    let commit = test.repo.commit("start")?;
    test.apply_source().await?;
    let failed = async |name: &str, reason: &str, text: &str| -> Result<String> {
        let object = format!("Kustomization/{name}");
        Ok(test.condition(&object, "Ready", "False", reason, text).await?.message)
    };
    // Who names no account is the default one, also where that is not there yet.
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    let message = failed("app", "ReconciliationFailed", &user).await?;
    assert!(message.contains("(Forbidden)"), "{message}");
    test.apply("{apiVersion: v1, kind: ServiceAccount, metadata: {name: tenant}}").await?;
    let verbs = "--verb=get,list,watch,create,patch,delete";
    test.kubectl(&["create", "role", "tenant", verbs, "--resource=configmaps"])?;
    let account = format!("--serviceaccount={}:tenant", test.namespace);
    test.kubectl(&["create", "rolebinding", "tenant", "--role=tenant", &account])?;
    test.applied("Kustomization/app", &commit).await?;

    // Secrets that the Kustomization names are read by the controller: the account itself may not.
    let key = Key::age();
    test.objects.apply_one(&key.secret("keys"), &test.namespace).await?;
    test.apply("{apiVersion: v1, kind: Secret, metadata: {name: variables}, stringData: {colour: red}}")
        .await?;
    let map = config_map("hidden", "${colour}");
    test.repo.write("hidden/a.yaml", &key.encrypt("yaml", &["--encrypted-regex", "^data$"], &map)?)?;
    let commit = test.repo.commit("hidden")?;
    test.request("GitRepository/app").await?;
    let reads = format!("{DECRYPTION}  postBuild: {{substituteFrom: [{{kind: Secret, name: variables}}]}}\n");
    test.apply(&test.kustomization_yaml("hidden", "./hidden", &reads)).await?;
    test.applied("Kustomization/hidden", &commit).await?;
    assert_eq!(test.get("ConfigMap/hidden").await?["data"]["value"], "red");
    // An account that the spec names counts before the default one, for what is deleted at the end, too.
    test.apply("{apiVersion: v1, kind: ServiceAccount, metadata: {name: other}}").await?;
    test.patch("Kustomization/hidden", &json!({"spec": {"serviceAccountName": "other"}})).await?;
    failed("hidden", "ReconciliationFailed", &user.replace(":tenant", ":other")).await?;
    test.patch("Kustomization/hidden", &json!({"spec": {"serviceAccountName": null}})).await?;
    test.ready("Kustomization/hidden").await?;
    test.objects.delete(&test.id("Kustomization/hidden")?).await?;
    test.gone("Kustomization/hidden").await?;
    assert!(!test.exists("ConfigMap/hidden").await?, "deleted as the default account");

    // Content makes no object that the account may not make: neither one that would act as a stronger account, nor elsewhere.
    for (name, namespace) in [("stronger", &*test.namespace), ("outside", "default")] {
        let own = format!("  targetNamespace: {}", test.namespace);
        let more = test.kustomization_yaml(name, &format!("./{name}"), "");
        test.apply(&more.replace(&own, &format!("  targetNamespace: {namespace}"))).await?;
        let message = failed(name, "ReconciliationFailed", &user).await?;
        assert!(message.contains("(Forbidden)"), "{message}");
    }
    assert!(test.objects.get(&Id::new("ConfigMap/outside", "default")?).await?.is_none());
    assert!(!test.exists("Kustomization/strong").await?);
    test.apply(&test.kustomization_yaml("base", "./base", "")).await?;
    failed("base", "BuildFailed", "").await?;
    for account in ["system:masters", "system:serviceaccount:kube-system:default", "a/b", "../b"] {
        test.patch("Kustomization/app", &json!({"spec": {"serviceAccountName": account}})).await?;
        failed("app", "ReconciliationFailed", "service account: ").await?;
    }
    test.finish().await
}
