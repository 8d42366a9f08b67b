//! `config` and the chart are the same installation.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use e2e::controller::find_binary;
use serde_json::Value;

use crate::manifests::{NAMESPACE, arguments, build, by_name, of_kind, render, stdout};

/// A folder of kustomizations, and the values that make the chart the same.
const SAME: [(&str, &[&str]); 4] = [
    ("config/default", &[]),
    ("config/multi-tenancy", &["tenancy.lockdown=true"]),
    ("config/sharding", &["sharding.shards={shard1}"]),
    (
        "e2e/tests/install/locked-shards",
        &["tenancy.lockdown=true", "sharding.shards={shard1}", "sourceWatcher.create=true"],
    ),
];

/// An installation, what comes to it, and the values that make the chart the same.
const MORE: [(&str, &str, &[&str]); 4] = [
    ("config/default", "config/source-watcher", &["sourceWatcher.create=true"]),
    (
        "config/sharding",
        "config/sharding/source-watcher",
        &["sharding.shards={shard1}", "sourceWatcher.create=true"],
    ),
    ("config/default", "config/rbac/workload-identity", &["rbac.workloadIdentity=true"]),
    (
        "config/default",
        "config/prometheus",
        &[
            "monitoring.podMonitor.create=true",
            "monitoring.prometheusRule.create=true",
            "monitoring.dashboard.create=true",
        ],
    ),
];

#[test]
fn the_chart_renders_what_config_builds() {
    for (folder, values) in SAME {
        compare(folder, build(folder), values);
    }
    for (installation, folder, values) in MORE {
        compare(folder, [build(installation), build(folder)].concat(), values);
    }
}

fn compare(folder: &str, built: Vec<Value>, values: &[&str]) {
    let rendered = render(NAMESPACE, values).unwrap();
    let built =
        by_name(built.into_iter().filter(|object| object["kind"] != "Namespace").map(common).collect());
    let rendered = by_name(rendered.into_iter().map(common).collect());
    let names = |objects: &BTreeMap<String, Value>| objects.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&rendered), names(&built), "the chart with {values:?}, and {folder}");
    for (name, object) in built {
        let different = difference(&rendered[&name], &object, String::new());
        assert_eq!(different, None, "{name} of the chart with {values:?}, and of {folder}");
    }
}

/// The first place where two values differ, with what is there. Numbers are equal however they are written.
fn difference(one: &Value, other: &Value, path: String) -> Option<String> {
    match (one, other) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            keys.into_iter().find_map(|key| {
                let [a, b] = [a, b].map(|fields| fields.get(key).unwrap_or(&Value::Null));
                difference(a, b, format!("{path}/{key}"))
            })
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().find_map(|(at, (a, b))| difference(a, b, format!("{path}/{at}")))
        }
        (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64() => None,
        _ => (one != other).then(|| format!("{path}: {one} and {other}")),
    }
}

/// An object without what has to differ: Helm's labels, and on CRDs, which are no templates in a chart, the one that holds the
/// namespace. Helm does not make the namespace that it installs into.
fn common(mut object: Value) -> Value {
    let is_crd = object["kind"] == "CustomResourceDefinition";
    let metadata = object["metadata"].as_object_mut().unwrap();
    if let Some(labels) = metadata.get_mut("labels").and_then(Value::as_object_mut) {
        labels.remove("helm.sh/chart");
        labels.remove("app.kubernetes.io/managed-by");
        if is_crd {
            labels.remove("app.kubernetes.io/instance");
        }
    }
    object
}

#[test]
fn objects_are_named_as_flux_names_them() {
    let objects = by_name(build("config/default"));
    let roles = "rbac.authorization.k8s.io/v1";
    let names = [
        format!("{roles} ClusterRole /crd-controller-{NAMESPACE}"),
        format!("{roles} ClusterRole /flux-edit-{NAMESPACE}"),
        format!("{roles} ClusterRole /flux-view-{NAMESPACE}"),
        format!("{roles} ClusterRoleBinding /cluster-reconciler-{NAMESPACE}"),
        format!("{roles} ClusterRoleBinding /crd-controller-{NAMESPACE}"),
        format!("apps/v1 Deployment {NAMESPACE}/helm-controller"),
        format!("apps/v1 Deployment {NAMESPACE}/kustomize-controller"),
        format!("apps/v1 Deployment {NAMESPACE}/source-controller"),
        format!("networking.k8s.io/v1 NetworkPolicy {NAMESPACE}/allow-egress"),
        format!("networking.k8s.io/v1 NetworkPolicy {NAMESPACE}/allow-scraping"),
        format!("v1 Namespace /{NAMESPACE}"),
        format!("v1 ResourceQuota {NAMESPACE}/critical-pods-{NAMESPACE}"),
        format!("v1 Service {NAMESPACE}/source-controller"),
        format!("v1 ServiceAccount {NAMESPACE}/helm-controller"),
        format!("v1 ServiceAccount {NAMESPACE}/kustomize-controller"),
        format!("v1 ServiceAccount {NAMESPACE}/source-controller"),
    ];
    for name in names {
        let object = objects.get(&name).unwrap_or_else(|| panic!("{name} is not in {:?}", objects.keys()));
        // By these `flux uninstall` finds what to remove.
        let labels = &object["metadata"]["labels"];
        assert_eq!(labels["app.kubernetes.io/part-of"], "flux", "{name}");
        assert_eq!(labels["app.kubernetes.io/instance"], NAMESPACE, "{name}");
        assert_eq!(labels["app.kubernetes.io/version"], format!("v{}", env!("CARGO_PKG_VERSION")), "{name}");
    }
}

#[test]
fn names_for_the_whole_cluster_hold_the_namespace() {
    let names = |namespace: &str| by_name(render(namespace, &["rbac.workloadIdentity=true"]).unwrap());
    let (one, other) = (names("one"), names("other"));
    let shared: Vec<&String> = one.keys().filter(|name| other.contains_key(*name)).collect();
    assert!(shared.iter().all(|name| name.contains(" CustomResourceDefinition ")), "{shared:?}");
    assert_eq!(one.len(), other.len());
}

#[test]
fn the_controllers_understand_their_arguments() {
    let everything = [
        "tenancy.lockdown=true",
        "sharding.shards={a,b}",
        "eventsAddr=http://events/",
        "sourceWatcher.create=true",
    ];
    let mut objects = render(NAMESPACE, &everything).unwrap();
    for folder in SAME.map(|(folder, _)| folder).into_iter().chain(MORE.map(|(_, folder, _)| folder)) {
        objects.extend(build(folder));
    }
    let deployments = of_kind(&objects, "Deployment");
    assert_eq!(deployments.len(), 12 + 3 + 3 + 6 + 8 + 1 + 2);
    for deployment in deployments {
        let arguments = arguments(deployment);
        assert!(arguments.contains(&"--enable-leader-election"), "{arguments:?}");
        let program = deployment["metadata"]["labels"]["app.kubernetes.io/component"].as_str().unwrap();
        // With --help nothing runs, but what stands before it has been read.
        stdout(Command::new(find_binary(program).unwrap()).args(arguments).arg("--help"));
    }
}

#[test]
fn the_controllers_understand_the_arguments_of_fluxs_manifests() {
    // Those of install.yaml, and those of Flux's documents on tenants, shards and large clusters.
    let common = [
        "--events-addr=http://notification-controller.flux-system.svc.cluster.local./",
        "--watch-all-namespaces=true",
        "--log-level=info",
        "--log-encoding=json",
        "--enable-leader-election",
        "--concurrent=20",
        "--requeue-dependency=5s",
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
        "--interval-jitter-percentage=10",
        "--watch-label-selector=!sharding.fluxcd.io/key",
        "--default-service-account=default",
        "--feature-gates=ObjectLevelWorkloadIdentity=true",
    ];
    let source = [
        "--storage-path=/data",
        "--storage-adv-addr=source-controller.$(RUNTIME_NAMESPACE).svc.cluster.local.",
        "--helm-cache-max-size=10",
        "--helm-cache-ttl=60m",
        "--helm-cache-purge-interval=5m",
    ];
    let kustomize = [
        "--no-cross-namespace-refs=true",
        "--no-remote-bases=true",
        "--concurrent-ssa=8",
        "--feature-gates=DisableStatusPollerCache=true,CancelHealthCheckOnNewRevision=true",
    ];
    let helm = [
        "--no-cross-namespace-refs=true",
        "--graceful-shutdown-timeout=600s",
        "--http-retry=9",
        "--snapshot-digest-algo=sha256",
        "--feature-gates=CancelHealthCheckOnNewRevision=true,DefaultToRetryOnFailure=true,DisableChartDigestTracking=true",
    ];
    let programs = [
        ("source-controller", &source[..]),
        ("kustomize-controller", &kustomize[..]),
        ("helm-controller", &helm[..]),
    ];
    for (program, own) in programs {
        stdout(Command::new(find_binary(program).unwrap()).args(common).args(own).arg("--help"));
    }
}

#[test]
fn the_lockdown_holds_in_shards() {
    let objects = build("e2e/tests/install/locked-shards");
    let with = |flags: &[&str]| -> Vec<&str> {
        of_kind(&objects, "Deployment")
            .into_iter()
            .filter(|deployment| flags.iter().all(|flag| arguments(deployment).contains(flag)))
            .map(|deployment| deployment["metadata"]["name"].as_str().unwrap())
            .collect()
    };
    assert_eq!(with(&["--no-remote-bases=true"]), ["kustomize-controller", "kustomize-controller-shard1"]);
    let mut appliers = with(&["--no-cross-namespace-refs=true", "--default-service-account=default"]);
    appliers.sort_unstable();
    assert_eq!(
        appliers,
        ["helm-controller", "helm-controller-shard1", "kustomize-controller", "kustomize-controller-shard1"]
    );
    let mut for_others = with(&["--default-kubeconfig-service-account=default"]);
    for_others.sort_unstable();
    assert_eq!(for_others, appliers, "nobody enters another cluster as the controller");
    let decrypting = with(&["--default-decryption-service-account=default"]);
    assert_eq!(decrypting, ["kustomize-controller", "kustomize-controller-shard1"]);
    let readers = with(&["--no-cross-namespace-refs=true"]);
    assert_eq!(readers.len(), 6, "source-watcher reads sources of its own namespace alone: {readers:?}");
    let silent = with(&["--debug-objects=false"]);
    assert_eq!(silent.len(), 8, "the ports of metrics tell nothing of what goes on: {silent:?}");
}

#[test]
fn a_token_of_artifacts_is_for_all_who_publish_them_and_for_nobody_else() {
    let hosts = |values: &[&str], name: &str| {
        let objects = render(NAMESPACE, &[values, &["artifactToken.secretName=token"]].concat()).unwrap();
        let deployments = of_kind(&objects, "Deployment");
        let deployment = deployments.iter().find(|object| object["metadata"]["name"] == name).unwrap();
        let all = arguments(deployment);
        assert!(all.contains(&"--artifact-token-file=/artifact-token/token"), "{name}: {all:?}");
        let hosts = all.iter().filter_map(|argument| argument.strip_prefix("--artifact-hosts="));
        let hosts = hosts.map(|host| host.strip_suffix(".$(RUNTIME_NAMESPACE).svc.cluster.local.").unwrap());
        hosts.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(hosts(&[], "kustomize-controller"), ["source-controller"]);
    assert_eq!(hosts(&[], "source-controller"), [""; 0]);
    let watched = ["sourceWatcher.create=true", "sharding.shards={a}"];
    let publishers = ["source-controller", "source-controller-a", "source-watcher", "source-watcher-a"];
    for name in ["kustomize-controller", "helm-controller-a", "source-watcher", "source-watcher-a"] {
        assert_eq!(hosts(&watched, name), publishers, "{name}");
    }
}

#[test]
fn each_object_is_for_one_shard_and_each_shard_serves_its_own_artifacts() {
    let objects = [build("config/sharding"), build("config/sharding/source-watcher")].concat();
    let mut selectors = Vec::new();
    for deployment in of_kind(&objects, "Deployment") {
        let name = deployment["metadata"]["name"].as_str().unwrap();
        let all = arguments(deployment);
        let of =
            |flag: &str| all.iter().filter_map(|argument| argument.strip_prefix(flag)).collect::<Vec<_>>();
        let selector = of("--watch-label-selector=");
        assert_eq!(selector.len(), 1, "{name}");
        selectors.push((name, selector[0]));
        assert_eq!(deployment["spec"]["selector"]["matchLabels"]["app"], name);
        assert_eq!(deployment["spec"]["template"]["metadata"]["labels"]["app"], name);
        // The others serve nothing.
        if name.starts_with("source-") {
            assert_eq!(
                of("--storage-adv-addr="),
                [format!("{name}.$(RUNTIME_NAMESPACE).svc.cluster.local.")]
            );
            let service = objects.iter().find(|o| o["kind"] == "Service" && o["metadata"]["name"] == name);
            assert_eq!(service.unwrap()["spec"]["selector"]["app"], name);
        }
    }
    selectors.sort_unstable();
    let (main, shard) = ("!sharding.fluxcd.io/key", "sharding.fluxcd.io/key=shard1");
    let expected = [
        ("helm-controller", main),
        ("helm-controller-shard1", shard),
        ("kustomize-controller", main),
        ("kustomize-controller-shard1", shard),
        ("source-controller", main),
        ("source-controller-shard1", shard),
        ("source-watcher", main),
        ("source-watcher-shard1", shard),
    ];
    assert_eq!(selectors, expected);
}
