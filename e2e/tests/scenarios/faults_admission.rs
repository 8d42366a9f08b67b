//! A cluster that refuses, delays or rewrites what is applied, and objects that do not go away.

use std::time::Instant;

use anyhow::{Context, Result};
use e2e::api_proxy::Call;
use e2e::objects::{Id, Look};
use e2e::scenario::Scenario;
use e2e::testkit::{add_barrier, config_map, follow_back_off, pass_barrier};
use e2e::wait::Not;
use e2e::webhook::{Verdict, Webhook};
use serde_json::{Value, json};

use crate::admission_rules::{admits, hook, policy, remove, stamps};

const MAPS: &str = "configmaps";
const WRITES: [&str; 2] = ["CREATE", "UPDATE"];

async fn commit_and_request(test: &Scenario, message: &str) -> Result<String> {
    let commit = test.repo.commit(message)?;
    test.request("GitRepository/app").await?;
    Ok(commit)
}

#[tokio::test(flavor = "multi_thread")]
async fn denials_are_all_told_at_once_and_nothing_of_the_stage_is_applied() -> Result<()> {
    let test = Scenario::new("denied").await?;
    let denied = policy(&test, MAPS, &WRITES, "!object.metadata.name.startsWith('denied')").await?;
    admits(&test, "ConfigMap", "denied-probe", false).await?;
    for name in ["denied-a", "denied-b", "fine"] {
        test.repo.write(&format!("app/{name}.yaml"), &config_map(name, "1"))?;
    }
    let commit = test.repo.commit("three")?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    let failed = test
        .condition("Kustomization/app", "Ready", "False", "ReconciliationFailed", "not on my watch")
        .await?;
    for name in ["denied-a", "denied-b"] {
        let line = format!("ConfigMap/{}/{name} dry-run failed", test.namespace);
        assert!(failed.message.contains(&line), "{}", failed.message);
    }
    assert!(!test.exists("ConfigMap/fine").await?);
    remove(&test, denied).await?;
    // Nobody has to say so.
    test.applied("Kustomization/app", &commit).await?;
    for name in ["denied-a", "denied-b", "fine"] {
        assert!(test.exists(&format!("ConfigMap/{name}")).await?);
    }
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn deletions_that_are_denied_are_tried_until_they_are_not() -> Result<()> {
    let test = Scenario::new("undeletable").await?;
    test.repo.write("app/stays.yaml", &config_map("stays", "1"))?;
    let commit = test.repo.commit_file("app/kept.yaml", &config_map("kept", "1"))?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    test.applied("Kustomization/app", &commit).await?;
    let denied = policy(&test, MAPS, &["DELETE"], "oldObject.metadata.name != 'kept'").await?;
    // In force when a dry run is refused.
    test.wait("the policy is in force", async || {
        match test.kubectl(&["delete", "configmap", "kept", "--dry-run=server"]) {
            Ok(_) => Err(Not::Yet("it could be deleted".into())),
            Err(_) => Ok(()),
        }
    })
    .await?;
    test.repo.remove("app/kept.yaml")?;
    commit_and_request(&test, "without").await?;
    let failed =
        test.condition("Kustomization/app", "Ready", "False", "PruneFailed", "not on my watch").await?;
    assert!(
        failed.message.contains(&format!("ConfigMap/{}/kept delete failed", test.namespace)),
        "{failed:?}"
    );
    let app = test.get("Kustomization/app").await?;
    assert!(
        app["status"]["inventory"].to_string().contains("_kept_"),
        "what could not be deleted is not forgotten"
    );
    // Deleting the Kustomization waits for it too.
    test.objects.delete(&test.id("Kustomization/app")?).await?;
    test.gone("ConfigMap/stays").await?;
    test.event("Kustomization/app", "Warning", "PruneFailed", "pruning for deleted resource failed").await?;
    assert!(test.exists("Kustomization/app").await?);
    remove(&test, denied).await?;
    test.gone("Kustomization/app").await?;
    assert!(!test.exists("ConfigMap/kept").await?);
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_hangs_or_denies_holds_up_its_own_objects_only() -> Result<()> {
    let test = Scenario::new("webhook").await?;
    let webhook = Webhook::start().await?;
    webhook.say(Verdict::Deny("no maps today"));
    let id = hook(&test, "ValidatingWebhookConfiguration", &[MAPS], &WRITES, &webhook).await?;
    admits(&test, "ConfigMap", "probe", false).await?;
    test.repo
        .write("account/account.yaml", "{apiVersion: v1, kind: ServiceAccount, metadata: {name: free}}")?;
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    test.condition("Kustomization/app", "Ready", "False", "ReconciliationFailed", "no maps today").await?;
    webhook.say(Verdict::Hang);
    test.condition("Kustomization/app", "Ready", "False", "ReconciliationFailed", "failed calling webhook")
        .await?;
    test.apply(&test.kustomization_yaml("other", "./account", "")).await?;
    test.applied("Kustomization/other", &commit).await?;
    webhook.say(Verdict::Allow);
    test.applied("Kustomization/app", &commit).await?;
    test.objects.delete(&id).await?;
    test.finish().await
}

/// What is written is another thing each time: an apply is followed by no other.
#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_rewrites_each_time_is_no_reason_to_apply_for_ever() -> Result<()> {
    let test = Scenario::through_proxy("rewritten", &[]).await?;
    let webhook = Webhook::start().await?;
    test.repo.commit_file("a.txt", "one")?;
    test.apply_source().await?;
    add_barrier(&test, "{apiVersion: v1, kind: ConfigMap, metadata: {name: barrier}, data: {key: text}}")
        .await?;
    // Once a field that nobody wants, once the very field that Git says.
    for (name, key) in [("foreign", "stamp"), ("own", "value")] {
        webhook.say(Verdict::Stamp(key));
        let id = hook(&test, "MutatingWebhookConfiguration", &[MAPS], &WRITES, &webhook).await?;
        stamps(&test, key).await?;
        let commit = test.repo.commit_file(&format!("{name}/map.yaml"), &config_map(name, "1"))?;
        let begin = Instant::now();
        test.request("GitRepository/app").await?;
        test.apply(&test.kustomization_yaml(name, &format!("./{name}"), "  wait: true")).await?;
        test.applied(&format!("Kustomization/{name}"), &commit).await?;
        pass_barrier(&test, "ConfigMap/barrier").await?;
        // After the apply itself.
        let ours = |call: &Call| call.is_write() && call.is_about("configmaps") && call.is_about(name);
        let writes = test.proxy()?.calls(ours);
        follow_back_off(&writes[1..], begin).context(name)?;
        test.objects.delete(&id).await?;
    }
    test.finish().await
}

fn held_map(name: &str) -> String {
    config_map(name, "1").replace("metadata: {", "metadata: {finalizers: [e2e.test/never], ")
}

async fn let_go(test: &Scenario, object: &str) -> Result<()> {
    test.patch(object, &json!({"metadata": {"finalizers": null}})).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_whose_finalizer_never_ends_is_deleted_once_and_comes_back_when_it_is_wanted_again()
-> Result<()> {
    let test = Scenario::through_proxy("never", &[]).await?;
    test.repo.write("app/held.yaml", &config_map("held", "1"))?;
    let commit = test.repo.commit_file("app/stays.yaml", &config_map("stays", "1"))?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    test.applied("Kustomization/app", &commit).await?;
    test.patch("ConfigMap/held", &json!({"metadata": {"finalizers": ["e2e.test/never"]}})).await?;
    test.repo.remove("app/held.yaml")?;
    let commit = commit_and_request(&test, "without").await?;
    let app = test.applied("Kustomization/app", &commit).await?;
    assert!(
        !app["status"]["inventory"].to_string().contains("_held_"),
        "an accepted deletion is not waited for"
    );
    assert!(test.get("ConfigMap/held").await?["metadata"]["deletionTimestamp"].is_string());
    let deletions = test.proxy()?.calls(|call| call.method == "DELETE" && call.is_about("held"));
    assert_eq!(deletions.len(), 1, "{deletions:?}");

    // Wanted again while it still terminates: it is there when it can be.
    test.repo.write("app/held.yaml", &config_map("held", "2"))?;
    let commit = commit_and_request(&test, "again").await?;
    test.until("Kustomization/app", "has tried", |app| {
        app.text("/status/lastAttemptedRevision").ends_with(&commit)
    })
    .await?;
    let old = test.get("ConfigMap/held").await?["metadata"]["uid"].clone();
    let_go(&test, "ConfigMap/held").await?;
    test.until("ConfigMap/held", "is made anew", |map| {
        map["metadata"]["uid"] != old && map.text("/data/value") == "2"
    })
    .await?;
    test.applied("Kustomization/app", &commit).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn termination_is_waited_for_until_the_timeout_and_no_longer() -> Result<()> {
    let test = Scenario::new("terminate").await?;
    test.repo.write("ends/map.yaml", &held_map("ends"))?;
    let commit = test.repo.commit_file("never/map.yaml", &held_map("never"))?;
    test.apply_source().await?;
    for (name, timeout) in [("ends", "60s"), ("never", "3s")] {
        let more = format!("  deletionPolicy: WaitForTermination\n  timeout: {timeout}");
        test.apply(&test.kustomization_yaml(name, &format!("./{name}"), &more)).await?;
        test.applied(&format!("Kustomization/{name}"), &commit).await?;
        test.objects.delete(&test.id(&format!("Kustomization/{name}"))?).await?;
    }
    test.until("ConfigMap/ends", "terminates", |map| map["metadata"]["deletionTimestamp"].is_string())
        .await?;
    test.gone("Kustomization/never").await?;
    let text = "failed to wait for resources termination";
    let event = test.event("Kustomization/never", "Warning", "ReconciliationSucceeded", text).await?;
    assert!(event.text("/message").contains("never"), "{event}");
    assert!(test.exists("Kustomization/ends").await?, "the other one waits");
    let_go(&test, "ConfigMap/ends").await?;
    test.gone("Kustomization/ends").await?;
    let_go(&test, "ConfigMap/never").await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_terminates_refuses_and_a_new_one_is_filled() -> Result<()> {
    let test = Scenario::new("terminating").await?;
    let target = format!("{}-target", test.namespace);
    let namespace = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {target}}}");
    test.apply(&namespace).await?;
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    test.apply_source().await?;
    let yaml = test.kustomization_yaml("app", "./app", "");
    let yaml =
        yaml.replace(&format!("targetNamespace: {}", test.namespace), &format!("targetNamespace: {target}"));
    test.apply(&yaml).await?;
    test.applied("Kustomization/app", &commit).await?;
    test.objects.apply(&held_map("held"), &target).await?;
    test.objects.delete(&test.id(&format!("Namespace/{target}"))?).await?;
    let map = Id::new("ConfigMap/map", &target)?;
    test.wait("the object is gone", async || match test.objects.get(&map).await {
        Ok(None) => Ok(()),
        seen => Err(Not::Yet(format!("{seen:?}"))),
    })
    .await?;
    // Its drift is seen, and cannot be repaired.
    test.request("Kustomization/app").await?;
    test.condition("Kustomization/app", "Ready", "False", "ReconciliationFailed", "being terminated").await?;
    test.objects
        .patch(&Id::new("ConfigMap/held", &target)?, &json!({"metadata": {"finalizers": null}}))
        .await?;
    test.gone(&format!("Namespace/{target}")).await?;
    test.apply(&namespace).await?;
    test.ready("Kustomization/app").await?;
    assert!(test.objects.get(&map).await?.is_some());
    test.objects.delete(&test.id(&format!("Namespace/{target}"))?).await?;
    test.finish().await
}

/// A namespace goes with everything in it: the source, the Kustomization, the account it acts as, and its objects.
#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_is_deleted_with_everything_in_it() -> Result<()> {
    let test = Scenario::new("all-gone").await?;
    test.apply("{apiVersion: v1, kind: ServiceAccount, metadata: {name: tenant}}").await?;
    let account = format!("--serviceaccount={}:tenant", test.namespace);
    test.kubectl(&["create", "rolebinding", "tenant", "--clusterrole=admin", &account])?;
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    test.apply_source().await?;
    for (name, more) in
        [("tenant", "  serviceAccountName: tenant"), ("plain", "  deletionPolicy: WaitForTermination")]
    {
        test.apply(&test.kustomization_yaml(name, "./app", &format!("{more}\n  namePrefix: {name}-")))
            .await?;
        test.applied(&format!("Kustomization/{name}"), &commit).await?;
    }
    let namespace = format!("Namespace/{}", test.namespace);
    test.objects.delete(&test.id(&namespace)?).await?;
    test.gone(&namespace).await.context("nothing of ours holds it up")
}

/// A kind whose versions cannot be converted, because nobody answers who should, fails by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_kind_whose_conversion_is_down_harms_no_other() -> Result<()> {
    let test = Scenario::new("conversion").await?;
    let group = format!("{}.e2e.test", test.namespace);
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let version = |name: &str, storage: bool| json!({"name": name, "served": true, "storage": storage, "schema": schema});
    let dead = format!("https://127.0.0.1:{}/", e2e::process::free_port()?);
    let definition = |conversion: &Value| {
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("widgets.{group}")},
            "spec": {
                "group": group, "scope": "Namespaced", "conversion": conversion,
                "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
                "versions": [version("v1", true), version("v2", false)],
            },
        })
    };
    let down = json!({
        "strategy": "Webhook",
        "webhook": {"clientConfig": {"url": dead}, "conversionReviewVersions": ["v1"]},
    });
    let id = test.objects.apply_one(&definition(&down), "").await?;
    test.until(&format!("CustomResourceDefinition/{}", id.name()), "is established", |crd| {
        crd.condition("Established").is_some_and(|c| c.status == "True")
    })
    .await?;
    for (name, served) in [("old", "v1"), ("new", "v2")] {
        let widget = format!("apiVersion: {group}/{served}\nkind: Widget\nmetadata: {{name: {name}}}\n");
        test.repo.write(&format!("{name}/widget.yaml"), &widget)?;
    }
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    test.apply_source().await?;
    for name in ["old", "new", "app"] {
        test.apply(&test.kustomization_yaml(name, &format!("./{name}"), "")).await?;
    }
    test.applied("Kustomization/app", &commit).await?;
    let text = "conversion webhook";
    test.condition("Kustomization/new", "Ready", "False", "ReconciliationFailed", text).await?;
    // It is stored in its own version: nothing has to be converted.
    test.applied("Kustomization/old", &commit).await?;
    test.objects.apply_one(&definition(&json!({"strategy": "None"})), "").await?;
    test.applied("Kustomization/new", &commit).await?;
    for name in ["old", "new"] {
        let app = format!("Kustomization/{name}");
        test.objects.delete(&test.id(&app)?).await?;
        test.gone(&app).await?;
    }
    test.objects.delete(&id).await?;
    test.finish().await
}
