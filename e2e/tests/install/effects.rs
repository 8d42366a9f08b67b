//! What each value of the chart does to the object that it is about.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use e2e::objects::documents;
use serde_json::{Value, json};

use crate::manifests::{NAMESPACE, arguments, by_name, chart, helm, render};
use crate::values::check;

/// The controllers: the section of the values, the name, and whether it publishes artifacts.
const CONTROLLERS: [(&str, &str, bool); 4] = [
    ("sourceController", "source-controller", true),
    ("kustomizeController", "kustomize-controller", false),
    ("helmController", "helm-controller", false),
    ("sourceWatcher", "source-watcher", true),
];

/// A value, as `--set` takes it, and what comes of it.
struct Case {
    /// Values without which it has no effect.
    needs: Vec<String>,
    set: String,
    object: String,
    effect: Effect,
}

enum Effect {
    /// What is at a pointer of the object; null if there is nothing, or no object.
    At(&'static str, Value),
    /// An argument of the controller.
    Argument(String),
}

impl Case {
    fn needing(mut self, values: &[&str]) -> Self {
        self.needs.extend(values.iter().map(|value| (*value).to_owned()));
        self
    }

    /// Whether the effect is there in a rendering.
    fn is_in(&self, objects: &BTreeMap<String, Value>) -> bool {
        let object = objects.get(&self.object);
        match &self.effect {
            Effect::At(pointer, expected) => {
                object.and_then(|object| object.pointer(pointer)).unwrap_or(&Value::Null) == expected
            }
            Effect::Argument(argument) => {
                object.is_some_and(|object| arguments(object).contains(&argument.as_str()))
            }
        }
    }
}

fn case(set: impl Into<String>, object: impl Into<String>, effect: Effect) -> Case {
    Case { needs: Vec::new(), set: set.into(), object: object.into(), effect }
}

fn at(set: impl Into<String>, object: impl Into<String>, pointer: &'static str, value: Value) -> Case {
    case(set, object, Effect::At(pointer, value))
}

fn argument(set: impl Into<String>, object: impl Into<String>, argument: impl Into<String>) -> Case {
    case(set, object, Effect::Argument(argument.into()))
}

fn deployment(name: &str) -> String {
    format!("apps/v1 Deployment {NAMESPACE}/{name}")
}

fn role(name: &str) -> String {
    format!("rbac.authorization.k8s.io/v1 ClusterRole /{name}-{NAMESPACE}")
}

fn cases() -> Vec<Case> {
    let mut cases = common();
    for (section, name, publishes) in CONTROLLERS {
        cases.extend(of_controller(section, name));
        if publishes {
            cases.extend(of_publisher(section, name));
        }
    }
    cases.extend(monitoring());
    cases
}

/// Values that are not of one controller; those of all Pods are looked at in each.
fn common() -> Vec<Case> {
    let (source, kustomize) = (deployment("source-controller"), deployment("kustomize-controller"));
    let bindings = format!("rbac.authorization.k8s.io/v1 ClusterRoleBinding /cluster-reconciler-{NAMESPACE}");
    let scraping = format!("networking.k8s.io/v1 NetworkPolicy {NAMESPACE}/allow-scraping");
    let (token, lockdown) = ("artifactToken.secretName=token", "tenancy.lockdown=true");
    let account = "tenancy.defaultServiceAccount=tenant.a";
    let host = |domain: &str| format!("source-controller.$(RUNTIME_NAMESPACE).svc.{domain}.");
    let expression = json!([{"key": "team", "operator": "In", "values": ["a"]}]);
    let first = "networkPolicies.scrapeFrom.matchExpressions[0]";
    let in_set = format!("{first}.key=team,{first}.operator=In,{first}.values={{a}}");
    let mut cases = vec![
        at(
            "resourceQuota.create=false",
            format!("v1 ResourceQuota {NAMESPACE}/critical-pods-{NAMESPACE}"),
            "",
            Value::Null,
        ),
        at("networkPolicies.create=false", &*scraping, "", Value::Null),
        at(
            "networkPolicies.scrapeFrom.matchLabels.team=a",
            &*scraping,
            "/spec/ingress/0/from/0/namespaceSelector/matchLabels",
            json!({"team": "a"}),
        ),
        at(in_set, &*scraping, "/spec/ingress/0/from/0/namespaceSelector/matchExpressions", expression),
        at("rbac.create=false", role("source-controller"), "", Value::Null),
        at("rbac.userRoles=false", role("flux-view"), "", Value::Null),
        at("rbac.workloadIdentity=true", role("flux-object-identity"), "/kind", json!("ClusterRole")),
        argument(
            "clusterDomain=example.org",
            &*source,
            format!("--storage-adv-addr={}", host("example.org")),
        ),
        argument(
            "clusterDomain=example.org",
            &*kustomize,
            format!("--artifact-hosts={}", host("example.org")),
        )
        .needing(&[token]),
        argument(lockdown, &*kustomize, "--no-remote-bases=true"),
        at("sharding.shards={a}", deployment("source-controller-a"), "/kind", json!("Deployment")),
        at(
            "kustomizeController.clusterAdmin=false",
            &*bindings,
            "/subjects/0/name",
            json!("helm-controller"),
        ),
        at("helmController.clusterAdmin=false", &*bindings, "/subjects/1", Value::Null),
    ];
    for (_, name, _) in CONTROLLERS {
        let of_pod = [
            at(
                "priorityClassName=mine",
                deployment(name),
                "/spec/template/spec/priorityClassName",
                json!("mine"),
            ),
            at(
                "imagePullSecrets[0].name=registry",
                deployment(name),
                "/spec/template/spec/imagePullSecrets",
                json!([{"name": "registry"}]),
            ),
            at(token, deployment(name), "/spec/template/spec/volumes/0/secret/secretName", json!("token")),
            at(
                "artifactToken.key=other",
                deployment(name),
                "/spec/template/spec/volumes/0/secret/items",
                json!([{"key": "other", "path": "token"}]),
            )
            .needing(&[token]),
            argument("eventsAddr=http://events/", deployment(name), "--events-addr=http://events/"),
        ];
        cases.extend(of_pod.map(|case| case.needing(&["sourceWatcher.create=true"])));
    }
    for flag in ["default-service-account", "default-kubeconfig-service-account"] {
        for name in ["kustomize-controller", "helm-controller"] {
            cases
                .push(argument(account, deployment(name), format!("--{flag}=tenant.a")).needing(&[lockdown]));
        }
    }
    let decryption = "--default-decryption-service-account=tenant.a";
    cases.push(argument(account, kustomize, decryption).needing(&[lockdown]));
    cases
}

fn of_controller(section: &str, name: &str) -> Vec<Case> {
    let object = deployment(name);
    let set = |value: &str| format!("{section}.{value}");
    let of_pod = |value: &str, pointer, expected| at(set(value), &*object, pointer, expected);
    let argument = |value: &str, expected: &str| argument(set(value), &*object, expected);
    let version = format!("v{}", env!("CARGO_PKG_VERSION"));
    let affinity =
        "affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey=zone";
    let rules = json!({"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone"}]});
    let variable = json!({"name": "HTTPS_PROXY", "value": "http://proxy:3128"});
    let image = "/spec/template/spec/containers/0/image";
    let resources = |pointer| match pointer {
        "cpu" => "/spec/template/spec/containers/0/resources/requests/cpu",
        _ => "/spec/template/spec/containers/0/resources/limits/memory",
    };
    let mut cases = vec![
        of_pod("image.repository=mirror:5000/a", image, json!(format!("mirror:5000/a:{version}"))),
        of_pod("image.tag=v9", image, json!(format!("ferroflux/{name}:v9"))),
        of_pod(
            "image.pullPolicy=Always",
            "/spec/template/spec/containers/0/imagePullPolicy",
            json!("Always"),
        ),
        argument("logLevel=debug", "--log-level=debug"),
        argument("watchAllNamespaces=false", "--watch-all-namespaces=false"),
        argument("extraArgs={--concurrent=10}", "--concurrent=10"),
        of_pod(
            &format!("extraEnv[0].name=HTTPS_PROXY,{section}.extraEnv[0].value=http://proxy:3128"),
            "/spec/template/spec/containers/0/env/1",
            variable,
        ),
        of_pod("resources.requests.cpu=7m", resources("cpu"), json!("7m")),
        of_pod("resources.limits.memory=3Gi", resources("memory"), json!("3Gi")),
        at(
            set("serviceAccount.annotations.role=a"),
            format!("v1 ServiceAccount {NAMESPACE}/{name}"),
            "/metadata/annotations",
            json!({"role": "a"}),
        ),
        of_pod("podAnnotations.team=a", "/spec/template/metadata/annotations/team", json!("a")),
        of_pod("podLabels.team=a", "/spec/template/metadata/labels/team", json!("a")),
        of_pod("nodeSelector.disk=ssd", "/spec/template/spec/nodeSelector/disk", json!("ssd")),
        of_pod(
            "tolerations[0].operator=Exists",
            "/spec/template/spec/tolerations",
            json!([{"operator": "Exists"}]),
        ),
        of_pod(affinity, "/spec/template/spec/affinity/podAntiAffinity", rules),
    ];
    if section == "sourceWatcher" {
        cases = cases.into_iter().map(|case| case.needing(&["sourceWatcher.create=true"])).collect();
        cases.push(at(set("create=true"), object, "/kind", json!("Deployment")));
    } else {
        cases.push(at(set("create=false"), object, "", Value::Null));
    }
    cases
}

fn of_publisher(section: &str, name: &str) -> Vec<Case> {
    let (object, claim) = (deployment(name), format!("v1 PersistentVolumeClaim {NAMESPACE}/{name}"));
    let set = |value: &str| format!("{section}.{value}");
    let enabled = set("persistence.enabled=true");
    let volume = "/spec/template/spec/volumes/0/persistentVolumeClaim/claimName";
    let of_claim =
        |value: &str, pointer, expected| at(set(value), &*claim, pointer, expected).needing(&[&*enabled]);
    let cases = vec![
        at(&*enabled, &*object, volume, json!(name)),
        at(set("persistence.existingClaim=disk"), &*object, volume, json!("disk")).needing(&[&*enabled]),
        of_claim("persistence.storageClassName=fast.a", "/spec/storageClassName", json!("fast.a")),
        of_claim("persistence.accessModes={ReadWriteMany}", "/spec/accessModes", json!(["ReadWriteMany"])),
        of_claim("persistence.size=3Gi", "/spec/resources/requests/storage", json!("3Gi")),
        of_claim("persistence.annotations.keep=a", "/metadata/annotations", json!({"keep": "a"})),
        at(
            set("emptyDir.sizeLimit=5Gi"),
            object,
            "/spec/template/spec/volumes/0/emptyDir",
            json!({"sizeLimit": "5Gi"}),
        ),
    ];
    if section != "sourceWatcher" {
        return cases;
    }
    cases.into_iter().map(|case| case.needing(&["sourceWatcher.create=true"])).collect()
}

fn monitoring() -> Vec<Case> {
    let objects = [
        ("podMonitor", format!("monitoring.coreos.com/v1 PodMonitor {NAMESPACE}/{NAMESPACE}")),
        ("prometheusRule", format!("monitoring.coreos.com/v1 PrometheusRule {NAMESPACE}/{NAMESPACE}")),
        ("dashboard", format!("v1 ConfigMap {NAMESPACE}/ferroflux-dashboard")),
    ];
    let mut cases = Vec::new();
    for (section, object) in objects {
        let create = format!("monitoring.{section}.create=true");
        let labels = format!("monitoring.{section}.labels.release=a");
        let kind = object.split(' ').nth(1).unwrap().to_owned();
        cases.push(at(&*create, &*object, "/kind", kind.into()));
        cases.push(at(labels, &*object, "/metadata/labels/release", json!("a")).needing(&[&*create]));
        if section == "dashboard" {
            let annotations = "monitoring.dashboard.annotations.grafana_folder=Flux";
            let expected = json!({"grafana_folder": "Flux"});
            cases.push(at(annotations, object, "/metadata/annotations", expected).needing(&[&*create]));
        }
    }
    cases
}

/// By Helm alone: our own engine takes long, and renders all values together.
fn rendered(values: &[String]) -> BTreeMap<String, Value> {
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    by_name(documents(&helm(None, &["template", "ferroflux"], NAMESPACE, &values).unwrap()).unwrap())
}

#[test]
fn each_value_has_the_effect_that_it_is_for() {
    let mut bases = BTreeMap::new();
    for case in cases() {
        let base = bases.entry(case.needs.clone()).or_insert_with(|| rendered(&case.needs));
        assert!(!case.is_in(base), "{} has the effect of {} already", case.object, case.set);
        let objects = rendered(&[&case.needs[..], std::slice::from_ref(&case.set)].concat());
        assert!(case.is_in(&objects), "{}: {:?}", case.set, objects.get(&case.object));
    }
}

#[test]
fn each_value_is_tried() {
    let read = |file: &str| fs::read_to_string(chart().join(file)).unwrap();
    let values: Value = serde_yaml::from_str(&read("values.yaml")).unwrap();
    let schema: Value = serde_json::from_str(&read("values.schema.json")).unwrap();
    let mut leaves = Vec::new();
    check(&values, &schema, "", &mut leaves);
    let tried: Vec<String> = cases().into_iter().map(|case| case.set).collect();
    let is_tried = |leaf: &&String| {
        tried
            .iter()
            .any(|set| set.strip_prefix(leaf.as_str()).is_some_and(|rest| rest.starts_with(['=', '.', '['])))
    };
    let forgotten: BTreeSet<_> = leaves.iter().filter(|leaf| !is_tried(leaf)).collect();
    assert!(forgotten.is_empty(), "no case changes {forgotten:?}");
}

/// The objects of the chart with the values of all cases, but for those that leave out objects or the claims of others.
pub fn together() -> Vec<Value> {
    let is_alone =
        |set: &str| [".create=false", "emptyDir", "existingClaim"].iter().any(|word| set.contains(word));
    let cases = cases().into_iter().filter(|case| !is_alone(&case.set));
    let values: BTreeSet<String> = cases.flat_map(|case| [case.needs, vec![case.set]].concat()).collect();
    render(NAMESPACE, &values.iter().map(String::as_str).collect::<Vec<_>>()).unwrap()
}
