//! What is waited for, and how waits end.

use std::time::Duration;

use anyhow::Result;
use futures::future::join_all;
use helm_actions::options::WaitStrategy;
use helm_actions::{CrdPolicy, Step};
use helm_release::ApplyMethod;
use serde_json::json;

use crate::bed::*;
use crate::definitions::definition;

fn deployment(name: &str, replicas: u32) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  replicas: {replicas}\n  selector: {{matchLabels: {{app: \
         {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec: {{containers: [{{name: a, image: a}}]}}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_install_waits_until_its_objects_are_ready() -> Result<()> {
    let bed = Bed::new().await?;
    let (one, two) = (deployment("one", 0), deployment("two", 0));
    let chart = bed.chart("1.0.0", &[("templates/a.yaml", &one), ("templates/b.yaml", &two)])?;
    good(bed.install("web", &chart, "{}").await);
    for name in ["one", "two"] {
        let live = bed.get("Deployment", name).await?.unwrap();
        assert_eq!(live["status"]["observedGeneration"], live["metadata"]["generation"]);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_ready_in_time_is_told() -> Result<()> {
    let bed = Bed::new().await?;
    let never = deployment("never", 1);
    let chart = bed.chart("1.0.0", &[MAP, ("templates/a.yaml", &never)])?;
    let mut options = install();
    options.wait.timeout = Duration::from_secs(1);
    let text = failure(bed.install_as("web", &chart, "{}", &options).await);
    let namespace = &bed.namespace;
    assert_eq!(text, format!("timeout waiting for: [Deployment/{namespace}/never status: 'InProgress']"));
    let log = bed.configuration.log.text();
    let ends: Vec<&str> =
        log.lines().filter_map(|line| line.split_once(": ")).map(|(_, text)| text).collect();
    let object =
        |name: &str, more: &str| format!("\"name\":\"{name}\",\"namespace\":\"{namespace}\"{more}}}");
    let applied =
        |gvk: &str, name: &str| format!("Patched resource: {{\"gvk\":\"{gvk}\",{}", object(name, ""));
    let waited = "waiting for resource: {\"actualStatus\":\"InProgress\",\"expectedStatus\":\"Current\",\"kind\":\"Deployment\",";
    assert_eq!(
        ends[..5],
        [
            "checking resources for changes: {\"resources\":2}".to_owned(),
            applied("/v1, Kind=ConfigMap", "web-map"),
            applied("apps/v1, Kind=Deployment", "never"),
            "waiting for resources: {\"count\":2,\"timeout\":1000000000}".to_owned(),
            format!("{waited}{}", object("never", "")),
        ],
        "{log}"
    );
    assert_eq!(bed.take_writes(), ["create v1 pending-install", "update v1 failed"]);
    let mut steps = std::mem::take(&mut *bed.steps.lock().unwrap());
    steps.dedup();
    assert_eq!(steps, [Step::Apply { count: 2 }, Step::Wait { open: Some(1), count: 2 }]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_more_namespaces_than_there_are_watches_are_waited_for() -> Result<()> {
    const NAMESPACES: usize = 40;
    let bed = Bed::new().await?;
    let name = |index: usize| format!("{}-{index:02}", bed.namespace);
    // All Deployments change with `text`, so that none is ready when it is applied; `slow` names one that never is.
    let chart = |version: &str, text: &str, slow: usize| {
        let objects = (0..NAMESPACES).map(|index| {
            let (namespace, replicas) = (name(index), if index == slow { 1 } else { 0 });
            let deployment = deployment("web", replicas)
                .replace("{name: web}", &format!("{{name: web, namespace: {namespace}}}"))
                .replace("spec:\n  replicas", "spec:\n  progressDeadlineSeconds: 1\n  replicas")
                .replace("labels: {app: web}", &format!("labels: {{app: web, text: {text}}}"));
            format!(
                "---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n---\n{deployment}"
            )
        });
        bed.chart(version, &[("templates/all.yaml", &objects.collect::<String>())])
    };
    let last = NAMESPACES - 1;
    good(bed.install("web", &chart("1.0.0", "one", NAMESPACES)?, "{}").await);
    // One that is not watched has failed.
    let text = failure(bed.upgrade("web", &chart("2.0.0", "two", last)?, "{}").await);
    let stalled = format!("Deployment/{}/web status: 'Failed'", name(last));
    assert_eq!(text, format!("failed early due to stalled resources: [{stalled}]"));
    let mut options = uninstall();
    options.wait.strategy = WaitStrategy::HooksOnly;
    good(bed.configuration.uninstall("web", &options).await);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn something_newer_ends_a_wait() -> Result<()> {
    let bed = Bed::new().await?;
    let never = deployment("never", 1);
    let chart = bed.chart("1.0.0", &[("templates/a.yaml", &never)])?;
    let interrupt = bed.configuration.stop.interrupt.clone();
    let installed = bed.install("web", &chart, "{}");
    let stopped = async {
        while bed.get("Deployment", "never").await?.is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        interrupt.cancel();
        anyhow::Ok(())
    };
    let (outcome, stopped) = tokio::join!(installed, stopped);
    stopped?;
    assert_eq!(failure(outcome), "context canceled");
    assert_eq!(bed.take_writes(), ["create v1 pending-install", "update v1 failed"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_object_that_stays_is_told_and_the_release_is_gone() -> Result<()> {
    let bed = Bed::new().await?;
    let chart = bed.chart("1.0.0", &[MAP])?;
    good(bed.install("web", &chart, "{}").await);
    let id = bed.id("ConfigMap", "web-map");
    bed.objects.patch(&id, &json!({"metadata": {"finalizers": ["example.org/hold"]}})).await?;
    let mut options = uninstall();
    options.wait.timeout = Duration::from_secs(1);
    let text = failure(bed.configuration.uninstall("web", &options).await);
    let namespace = &bed.namespace;
    assert_eq!(
        text,
        format!(
            "uninstallation completed with 1 error(s): ConfigMap/{namespace}/web-map termination timeout: context deadline exceeded"
        )
    );
    assert!(bed.configuration.storage().entries("web").await?.is_empty());
    bed.objects.patch(&id, &json!({"metadata": {"finalizers": null}})).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_stores_the_release_as_failed() -> Result<()> {
    let bed = Bed::new().await?;
    let chart = bed.chart("1.0.0", &[MAP])?;
    bed.configuration.stop.shutdown.cancel();
    let text = failure(bed.install("web", &chart, "{}").await);
    assert!(text.contains("context canceled"), "{text}");
    assert_eq!(bed.take_writes(), ["create v1 pending-install", "update v1 failed"]);
    assert_eq!(bed.text("web-map").await?, None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rules_of_helm_3_have_their_own_words() -> Result<()> {
    let bed = Bed::new().await?;
    let (good_one, never) = (deployment("good", 0), deployment("never", 1));
    let bad = "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: bad\n  annotations: {helm.sh/hook: pre-upgrade}\nspec:\n  \
        activeDeadlineSeconds: 1\n  template: {spec: {restartPolicy: Never, containers: [{name: a, image: a}]}}\n";
    let mut options = install();
    options.wait.strategy = WaitStrategy::Legacy;
    let chart = bed.chart("1.0.0", &[MAP, ("templates/a.yaml", &good_one)])?;
    good(bed.install_as("web", &chart, "{}", &options).await);
    let live = bed.get("Deployment", "good").await?.unwrap();
    assert_eq!(live["status"]["observedGeneration"], live["metadata"]["generation"]);
    let mut options = upgrade();
    options.wait.strategy = WaitStrategy::Legacy;
    let chart = bed.chart("2.0.0", &[MAP, ("templates/a.yaml", bad)])?;
    let text = failure(bed.upgrade_as("web", &chart, "{}", &options).await);
    assert_eq!(text, "pre-upgrade hooks failed: job bad failed: DeadlineExceeded");
    let chart = bed.chart("3.0.0", &[MAP, ("templates/a.yaml", &never)])?;
    options.wait.timeout = Duration::from_secs(3);
    let text = failure(bed.upgrade_as("web", &chart, "{}", &options).await);
    assert_eq!(text, "context deadline exceeded");
    Ok(())
}

/// All but the right to list and to watch Deployments.
const RIGHTS: &str = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: tenant}\nrules:\n- {apiGroups: [\"\"], resources: \
    [secrets, configmaps], verbs: [\"*\"]}\n- {apiGroups: [apps], resources: [deployments], verbs: [get, create, patch, delete]}\n---\n\
    apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: tenant}\nroleRef: {apiGroup: rbac.authorization.k8s.io, \
    kind: Role, name: tenant}\nsubjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: tenant}]\n";

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_watch_waits_too() -> Result<()> {
    let mut bed = Bed::new().await?;
    bed.objects.apply(RIGHTS, &bed.namespace).await?;
    bed.impersonate("tenant").await?;
    let one = deployment("one", 0);
    let chart = bed.chart("1.0.0", &[("templates/a.yaml", &one)])?;
    good(bed.install("web", &chart, "{}").await);
    let live = bed.get("Deployment", "one").await?.unwrap();
    assert_eq!(live["status"]["observedGeneration"], live["metadata"]["generation"]);
    good(bed.configuration.uninstall("web", &uninstall()).await);
    assert!(bed.get("Deployment", "one").await?.is_none());
    Ok(())
}

/// An object of this kind for each release.
fn of_kind(kind: &str, body: &str) -> String {
    let (version, kind) = kind.rsplit_once('/').unwrap();
    format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: \"{{{{ .Release.Name }}}}\"}}\n{body}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rules_of_helm_3_differ_about_load_balancers_and_custom_resources_alone() -> Result<()> {
    let bed = Bed::new().await?;
    let plural = format!("w{:05x}", rand::random_range(0..0x10_0000));
    let (files, labels) = ([definition(&plural, "one")], Default::default());
    bed.configuration
        .apply_crds(&files, CrdPolicy::Create, ApplyMethod::ServerSide, &labels, &wait())
        .await?;
    let custom = format!("example.org/v1/K{plural}");
    let condition = |status: &str| {
        format!("status: {{conditions: [{{type: Ready, status: '{status}', reason: A, message: a}}]}}")
    };
    let (ready, unready) = (condition("True"), condition("False"));
    let labels = "{release: {{ .Release.Name | quote }}}";
    let pods = format!(
        "selector: {{matchLabels: {labels}}}, template: {{metadata: {{labels: {labels}}}, spec: {{containers: [{{name: a, image: a}}]}}}}"
    );
    let [none, one] = [0, 1].map(|replicas| format!("spec: {{replicas: {replicas}, {pods}}}"));
    let set = format!("spec: {{{pods}}}");
    let job = "spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: a}]}}}";
    let claim = "spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}";
    let service = |kind: &str| format!("spec: {{type: {kind}, ports: [{{port: 80}}]}}");
    let (plain, balancer) = (service("ClusterIP"), service("LoadBalancer"));
    let external = "spec: {type: ExternalName, externalName: example.org}";
    // By kstatus, and by the rules of Helm 3.
    let cases = [
        ("v1/ConfigMap", "data: {}", true, true),
        ("apps/v1/Deployment", &none, true, true),
        ("apps/v1/Deployment", &one, false, false),
        ("apps/v1/ReplicaSet", &none, true, true),
        ("apps/v1/ReplicaSet", &one, false, false),
        ("apps/v1/StatefulSet", &none, true, true),
        ("apps/v1/StatefulSet", &one, false, false),
        ("apps/v1/DaemonSet", &set, true, true),
        ("batch/v1/Job", job, false, false),
        ("v1/PersistentVolumeClaim", claim, false, false),
        ("v1/Service", &plain, true, true),
        ("v1/Service", &balancer, true, false),
        ("v1/Service", external, true, true),
        (&*custom, &ready, true, true),
        (&*custom, &unready, false, true),
    ];
    let mut installs = Vec::new();
    for (index, (kind, body, by_status, by_legacy)) in cases.into_iter().enumerate() {
        let chart = bed.chart(&format!("1.0.{index}"), &[("templates/a.yaml", &of_kind(kind, body))])?;
        for (strategy, is_ready) in [(WaitStrategy::Status, by_status), (WaitStrategy::Legacy, by_legacy)] {
            let (chart, bed) = (chart.clone(), &bed);
            let mut options = install();
            // What is ready is so within moments; a busy machine takes longer.
            options.wait.timeout = if is_ready { LIMIT } else { Duration::from_secs(4) };
            options.wait.strategy = strategy;
            installs.push(async move {
                let name = format!("{strategy:?}{index}").to_lowercase();
                let outcome = bed.install_as(&name, &chart, "{}", &options).await.unwrap();
                let error = outcome.error.as_ref().map(|error| net::chain(error));
                assert_eq!(error.is_none(), is_ready, "{kind} {body} {strategy:?}: {error:?}");
            });
        }
    }
    join_all(installs).await;
    Ok(())
}
