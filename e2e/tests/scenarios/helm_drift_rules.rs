//! Drift that is told alone, left to others, or cannot be looked for; and kinds that a hook brings.

use anyhow::{Context, Result, ensure};
use e2e::objects::{Id, Look};
use e2e::wait::Not;
use e2e::webhook::{Verdict, Webhook};
use serde_json::{Value, json};

use crate::admission_rules::{admits, hook};
use crate::helm_release::{Helm, MAP, RELEASE};

const SECRET: &str =
    "apiVersion: v1\nkind: Secret\nmetadata: {name: token}\nstringData: {token: very-s3cret}\n";
/// What somebody else has taken, and what the release leaves to others.
const FREE: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: free, annotations: {helm.toolkit.fluxcd.io/driftDetection: disabled}}\ndata: {text: a}\n---\n\
                    apiVersion: v1\nkind: ConfigMap\nmetadata: {name: free-too, labels: {helm.toolkit.fluxcd.io/driftDetection: disabled}}\ndata: {text: a}\n";

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_told_alone_or_left_to_others() -> Result<()> {
    let helm = Helm::shared("helm-drifting").await?;
    let ignore = json!([
        {"paths": ["/data/left"]},
        {"paths": [""], "target": {"kind": "ConfigMap", "name": "whole.*"}},
    ]);
    let whole = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: whole-one}\ndata: {text: a}\n";
    let web = e2e::testkit::deployment("web", 0);
    let templates = [
        ("map.yaml", MAP),
        ("secret.yaml", SECRET),
        ("free.yaml", FREE),
        ("whole.yaml", whole),
        ("web.yaml", &*web),
    ];
    let spec = json!({"driftDetection": {"mode": "warn", "ignore": ignore}});
    let helm = helm.installed(&templates, &spec).await?;
    let test = &helm.test;
    let change = async |object: &str, patch: Value| test.patch(object, &patch).await;
    // Left to others: whole objects, fields, more metadata, what the API server and its controllers fill in.
    for free in ["ConfigMap/free", "ConfigMap/free-too"] {
        change(free, json!({"data": {"text": "b"}})).await?;
    }
    change("ConfigMap/whole-one", json!({"data": {"text": "b"}})).await?;
    change(
        "ConfigMap/app-map",
        json!({"data": {"left": "to others"}, "metadata": {"labels": {"more": "yes"}}}),
    )
    .await?;
    change("Deployment/web", json!({"metadata": {"annotations": {"more": "yes"}}})).await?;
    // The same value, of which somebody else says that it is theirs.
    test.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app-map}\ndata: {text: default}\n").await?;
    let release = test.run(RELEASE).await?;
    let drifted = release.condition("Drifted").context("it was looked for")?;
    ensure!(
        drifted.status == "False" && drifted.message == "No drift detected against the cluster state",
        "{release}"
    );
    // Told, and nothing else.
    change("Secret/token", json!({"stringData": {"token": "anoth3r"}})).await?;
    change("ConfigMap/app-map", json!({"data": {"text": "drifted"}})).await?;
    test.kubectl(&["delete", "deployment", "web"])?;
    let release = test.run(RELEASE).await?;
    let drifted = release.condition("Drifted").context("it was looked for")?;
    let namespace = &test.namespace;
    for line in [
        format!("Cluster state of release {namespace}/app.v1 has drifted from the desired state:"),
        format!("Deployment/{namespace}/web removed"),
        format!("ConfigMap/{namespace}/app-map changed (0 additions, 1 changes, 0 removals)"),
        format!("Secret/{namespace}/token changed ("),
    ] {
        ensure!(drifted.message.contains(&line), "{line} in {}", drifted.message);
    }
    test.event(RELEASE, "Warning", "DriftDetected", "has drifted from the desired state").await?;
    ensure!(helm.text().await? == "drifted" && !test.exists("Deployment/web").await?);
    // Corrected, where that is wanted; what is in Secrets is nowhere.
    test.patch(RELEASE, &json!({"spec": {"driftDetection": {"mode": "enabled"}}})).await?;
    test.event(RELEASE, "Normal", "DriftCorrected", &format!("Deployment/{namespace}/web created")).await?;
    helm.says("Drifted", "False", "NoDriftDetected", "").await?;
    ensure!(helm.text().await? == "default" && helm.version().await? == 1);
    for free in ["ConfigMap/free", "ConfigMap/free-too"] {
        ensure!(test.get(free).await?.text("/data/text") == "b");
    }
    let log = helm.controller.log_text();
    ensure!(!log.contains("very-s3cret") && !log.contains("anoth3r"));
    helm.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_of_what_may_be_read_is_found_beside_what_may_not() -> Result<()> {
    let helm = Helm::shared("helm-drift-rights").await?;
    let test = &helm.test;
    let role = |resources: &[&str]| {
        let rule = json!({"apiGroups": ["", "apps"], "resources": resources, "verbs": ["*"]});
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "tenant"}, "rules": [rule]})
    };
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "tenant"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "tenant"},
        "subjects": [{"kind": "ServiceAccount", "name": "tenant", "namespace": test.namespace}],
    });
    for object in [
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "tenant"}}),
        role(&["secrets", "configmaps", "deployments"]),
        binding,
    ] {
        test.apply(&object.to_string()).await?;
    }
    let web = e2e::testkit::deployment("web", 0);
    let spec = json!({"serviceAccountName": "tenant", "driftDetection": {"mode": "enabled"}});
    helm.begin(&[("map.yaml", MAP), ("web.yaml", &web)], &spec).await?;
    helm.ready("Helm install succeeded").await?;
    test.apply(&role(&["secrets", "configmaps"]).to_string()).await?;
    test.patch("ConfigMap/app-map", &json!({"data": {"text": "drifted"}})).await?;
    test.request(RELEASE).await?;
    test.event(RELEASE, "Normal", "DriftCorrected", "app-map configured").await?;
    ensure!(helm.text().await? == "default");
    // Then nothing is left but what cannot be told.
    helm.says("Ready", "False", "StateError", "unable to determine cluster state: ").await?;
    test.apply(&role(&["secrets", "configmaps", "deployments"]).to_string()).await?;
    test.request(RELEASE).await?;
    helm.ready("").await?;
    helm.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_and_what_is_of_the_whole_cluster_come_back_and_refusals_are_told() -> Result<()> {
    let helm = Helm::shared("helm-drift-cluster").await?;
    let webhook = Webhook::start().await?;
    let (inner, role) = (format!("{}-inner", helm.test.namespace), format!("{}-reader", helm.test.namespace));
    let namespace = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {inner}}}\n");
    let map = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: inside, namespace: {inner}}}\ndata: {{text: a}}\n"
    );
    let rule = |verb: &str| json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": [verb]}]);
    let reader = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": role}, "rules": rule("get"),
    });
    let templates = [
        ("a.yaml", &*map),
        ("map.yaml", MAP),
        ("namespace.yaml", &namespace),
        ("role.yaml", &reader.to_string()),
    ];
    let helm = helm.installed(&templates, &json!({"driftDetection": {"mode": "enabled"}})).await?;
    let test = &helm.test;
    let role = format!("ClusterRole/{role}");
    let is_back =
        async || test.until(&role, "is as wanted", |object| object["rules"] == rule("get")).await.map(drop);
    test.patch(&role, &json!({"rules": rule("list")})).await?;
    is_back().await?;
    test.event(RELEASE, "Normal", "DriftCorrected", &format!("{role} configured")).await?;
    test.objects.delete(&test.id(&role)?).await?;
    is_back().await?;
    test.event(RELEASE, "Normal", "DriftCorrected", &format!("{role} created")).await?;

    // A namespace, with what was in it.
    let inside = Id::of("v1", "ConfigMap", &inner, "inside");
    let space = Id::of("v1", "Namespace", "", &inner);
    let before = test.objects.get(&space).await?.context("it is there")?.text("/metadata/uid").to_owned();
    test.objects.delete(&space).await?;
    test.wait("the object of the new namespace", async || {
        let found = [test.objects.get(&space).await, test.objects.get(&inside).await];
        match found.map(|found| found.ok().flatten()) {
            [Some(space), Some(_)] if space.text("/metadata/uid") != before => Ok(()),
            other => Err(Not::Yet(format!("{other:?}"))),
        }
    })
    .await?;
    helm.says("Drifted", "False", "NoDriftDetected", "").await?;
    ensure!(helm.version().await? == 1);

    // What may not be set back is told beside what was.
    webhook.say(Verdict::Deny("no maps today"));
    let hook = hook(test, "ValidatingWebhookConfiguration", &["configmaps"], &["CREATE"], &webhook).await?;
    admits(test, "ConfigMap", "probe", false).await?;
    test.patch(RELEASE, &json!({"spec": {"suspend": true}})).await?;
    test.objects.delete(&test.id("ConfigMap/app-map")?).await?;
    test.patch(&role, &json!({"rules": rule("list")})).await?;
    test.patch(RELEASE, &json!({"spec": {"suspend": false}})).await?;
    let text = format!("Failed to partially correct cluster state of release {}/app.v1:", test.namespace);
    let event = test.event(RELEASE, "Warning", "DriftCorrectionFailed", &text).await?;
    let message = event.text("/message");
    ensure!(
        message.contains(&format!("ConfigMap/{}/app-map creation failure: ", test.namespace)),
        "{message}"
    );
    ensure!(message.contains("no maps today"), "{message}");
    ensure!(message.ends_with(&format!("Successful corrections:\n{role} configured")), "{message}");
    webhook.say(Verdict::Allow);
    test.request(RELEASE).await?;
    test.until("ConfigMap/app-map", "is back", |_| true).await?;
    helm.says("Drifted", "False", "NoDriftDetected", "").await?;
    for id in [&hook, &space] {
        test.objects.delete(id).await?;
    }
    test.objects.delete(&test.id(RELEASE)?).await?;
    test.gone(&role).await?;
    helm.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_that_a_hook_brings_are_known_to_what_follows() -> Result<()> {
    let helm = Helm::shared("helm-kind-hook").await?;
    let group = format!("{}.example", helm.test.namespace);
    let definition = format!(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n\
         metadata: {{name: things.{group}, annotations: {{helm.sh/hook: \"pre-install\"}}}}\nspec:\n  group: {group}\n  \
         scope: Namespaced\n  names: {{kind: Thing, listKind: ThingList, plural: things, singular: thing}}\n  versions:\n  \
         - name: v1\n    served: true\n    storage: true\n    schema: {{openAPIV3Schema: {{type: object}}}}\n"
    );
    helm.begin(&[("definition.yaml", &definition)], &json!({"persistentClient": false})).await?;
    helm.ready("Helm install succeeded").await?;
    let thing = format!("apiVersion: {group}/v1\nkind: Thing\nmetadata: {{name: one}}\n");
    helm.commit_chart("2.0.0", &[("thing.yaml", &thing)])?;
    helm.test.request("GitRepository/app").await?;
    helm.ready("app.v2 with chart app@2.0.0").await?;
    helm.test.objects.delete(&helm.test.id(&format!("CustomResourceDefinition/things.{group}"))?).await?;
    helm.test.finish().await
}
