//! The edge of the apply crate against a real API server: what is written, what is left alone, how many requests it
//! takes, and what the observed index sees.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use apply::applier::{Applier, Memory, Options, StageOutcome};
use apply::change::Action;
use apply::drift;
use apply::error::StageError;
use apply::kstatus::Status;
use apply::mapper::{MapError, Mapper, MapperOptions};
use apply::object::{Manifest, ObjectId, manifests};
use apply::observe::{Index, IndexOptions, WatchState};
use apply::order::stages;
use apply::prepare::{CommonMetadata, Owner, prepare};
use apply::prune::{self, Entry, PruneOptions, Pruned};
use e2e::cluster::{Cluster, User};
use e2e::objects::{Id, Look, Objects, documents};
use e2e::wait::{self, Not};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, Config};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(30);

/// A namespace with a client that records what it asks.
struct Bed {
    namespace: String,
    objects: Objects,
    /// Not recorded.
    client: Client,
    recorded: Client,
    requests: Arc<Mutex<Vec<String>>>,
    mapper: Arc<Mapper>,
    options: Options,
}

impl Bed {
    async fn new(name: &str) -> Result<Self> {
        Self::on(Cluster::shared().await?, name).await
    }

    async fn on(cluster: &Cluster, name: &str) -> Result<Self> {
        let objects = cluster.objects().await?;
        let namespace = format!("{name}-{:05x}", rand::random_range(0..0x10_0000));
        objects
            .apply(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}"), "")
            .await?;
        let kubeconfig = Kubeconfig::read_from(cluster.kubeconfig(User::Admin))?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        let client = Client::try_from(config)?;
        let requests = Arc::new(Mutex::new(Vec::new()));
        let recorded = recording(client.clone(), requests.clone(), None);
        let floor = Duration::from_millis(200);
        let mapper = Arc::new(Mapper::new(client.clone(), MapperOptions { floor, request_timeout: LIMIT }));
        let options = Options {
            force: false,
            override_managers: Vec::new(),
            concurrency: 8,
            request_timeout: LIMIT,
            recreate_timeout: LIMIT,
            message_limit: 10_000,
        };
        Ok(Self { namespace, objects, client, recorded, requests, mapper, options })
    }

    fn owner(&self) -> Owner {
        Owner { namespace: self.namespace.clone(), name: "app".into() }
    }

    /// Objects as a build gives them, prepared; those without a namespace get that of the test.
    fn prepared(&self, yaml: &str) -> Result<Vec<Manifest>> {
        let mut built = Vec::new();
        for mut object in documents(yaml)? {
            if object["metadata"].get("namespace").is_none() {
                object["metadata"]["namespace"] = self.namespace.clone().into();
            }
            built.extend(manifests(object, Some("app/objects.yaml".into()))?);
        }
        let prepared = prepare(built, &self.owner(), &CommonMetadata::default())?;
        Ok(stages(prepared, &BTreeSet::new()).into_iter().flat_map(|s| s.manifests).collect())
    }

    fn applier(&self) -> Applier {
        Applier::new(self.recorded.clone(), self.mapper.clone(), self.options.clone())
    }

    async fn try_apply(&self, yaml: &str, memory: &Memory) -> Result<Result<StageOutcome, StageError>> {
        let manifests = self.prepared(yaml)?;
        self.take_requests();
        Ok(self.applier().apply_stage(&manifests, memory, |_| async { Ok(()) }).await)
    }

    /// Applies and answers what was done, as `Kind/name action`.
    async fn apply(&self, yaml: &str, memory: &mut Memory) -> Result<Vec<String>> {
        let outcome = self.try_apply(yaml, memory).await??;
        *memory = outcome.memory;
        let lines = outcome.changes.lines(|_| true);
        Ok(lines.lines().map(|l| l.replace(&format!("{}/", self.namespace), "")).collect())
    }

    /// The requests since the last call, sorted: method, and whether it was a dry run.
    fn take_requests(&self) -> Vec<String> {
        let mut requests = std::mem::take(&mut *self.requests.lock().unwrap());
        requests.sort();
        requests
    }

    fn id(&self, text: &str) -> Id {
        Id::new(text, &self.namespace).unwrap()
    }

    /// Waits until the controllers of the cluster have dealt with a Deployment.
    async fn available(&self, text: &str) -> Result<()> {
        let id = self.id(text);
        wait::until(LIMIT, async || match self.objects.get(&id).await {
            Ok(Some(live)) if live.condition("Available").is_some() => Ok(()),
            seen => Err(Not::Yet(format!("{seen:?}"))),
        })
        .await
    }

    async fn live(&self, text: &str) -> Result<Value> {
        self.objects.get(&self.id(text)).await?.with_context(|| format!("{text} does not exist"))
    }

    /// A merge patch in the name of some field manager.
    async fn patch_as(&self, manager: &str, text: &str, merge: Value) -> Result<()> {
        let (kind, name) = text.split_once('/').unwrap();
        let (group, version) = if kind == "Deployment" { ("apps", "v1") } else { ("", "v1") };
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let api = Api::<DynamicObject>::namespaced_with(self.client.clone(), &self.namespace, &resource);
        let params = PatchParams { field_manager: Some(manager.into()), ..PatchParams::default() };
        api.patch(name, &params, &Patch::Merge(merge)).await?;
        Ok(())
    }

    fn object_id(&self, group: &str, kind: &str, name: &str) -> ObjectId {
        ObjectId {
            group: group.into(),
            kind: kind.into(),
            namespace: self.namespace.clone(),
            name: name.into(),
        }
    }

    fn index(&self) -> Index {
        let retry = (Duration::from_millis(100), Duration::from_secs(1));
        let options = IndexOptions { idle: Duration::from_secs(3600), retry, page_size: 2 };
        Index::new(self.client.clone(), self.mapper.clone(), options)
    }

    async fn prune(&self, entries: Vec<Entry>, protected: &[&str]) -> Pruned {
        let options = PruneOptions {
            owner: self.owner(),
            protected_namespaces: protected.iter().map(|n| (*n).to_owned()).collect(),
            concurrency: 4,
            request_timeout: LIMIT,
        };
        prune::delete(&self.recorded, &self.mapper, entries, &options).await
    }
}

/// A client that records its requests, and impersonates a user if one is given.
fn recording(base: Client, requests: Arc<Mutex<Vec<String>>>, user: Option<String>) -> Client {
    let service = tower::service_fn(move |mut request: http::Request<Body>| {
        let dry_run = request.uri().query().is_some_and(|q| q.contains("dryRun=All"));
        let method = request.method().to_string();
        requests.lock().unwrap().push(if dry_run { format!("{method} dry-run") } else { method });
        if let Some(user) = &user {
            request.headers_mut().insert("impersonate-user", user.parse().unwrap());
        }
        let base = base.clone();
        async move { base.send(request).await }
    });
    Client::new(service, "default")
}

const APP: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: a}
data: {k: v}
---
apiVersion: v1
kind: Secret
metadata: {name: s}
stringData: {k: v}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web, ports: [{containerPort: 80}], resources: {limits: {cpu: 1000m}}}]}
";

const MAP: &str = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {k: v}}";

fn repeated(what: &[(&str, usize)]) -> Vec<String> {
    what.iter().flat_map(|(request, n)| std::iter::repeat_n((*request).to_owned(), *n)).collect()
}

fn age() -> tokio::time::Sleep {
    // Longer than the clocks of API servers may differ.
    tokio::time::sleep(Duration::from_millis(5100))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_install_takes_two_requests_an_object_and_a_run_without_changes_one() -> Result<()> {
    let bed = Bed::new("counts").await?;
    let mut memory = Memory::new();
    assert_eq!(
        bed.apply(APP, &mut memory).await?,
        ["ConfigMap/a created", "Secret/s created", "Service/web created", "Deployment/web created"]
    );
    assert_eq!(bed.take_requests(), repeated(&[("PATCH", 4), ("PATCH dry-run", 4)]));
    // The Deployment's status moves its version on.
    bed.available("Deployment/web").await?;
    let versions = async || -> Result<Vec<String>> {
        let mut all = Vec::new();
        for text in ["ConfigMap/a", "Secret/s", "Service/web", "Deployment/web"] {
            all.push(bed.live(text).await?.text("/metadata/resourceVersion").to_owned());
        }
        Ok(all)
    };
    let before = versions().await?;
    age().await;
    let unchanged =
        ["ConfigMap/a unchanged", "Secret/s unchanged", "Service/web unchanged", "Deployment/web unchanged"];
    assert_eq!(bed.apply(APP, &mut memory).await?, unchanged);
    assert_eq!(bed.take_requests(), repeated(&[("PATCH dry-run", 4)]));
    assert_eq!(bed.apply(APP, &mut memory).await?, unchanged);
    assert_eq!(bed.take_requests(), repeated(&[("PATCH dry-run", 4)]));
    // As after a restart.
    let mut memory = Memory::new();
    assert_eq!(bed.apply(APP, &mut memory).await?, unchanged);
    assert_eq!(bed.take_requests(), repeated(&[("GET", 4), ("PATCH dry-run", 4)]));
    assert_eq!(bed.apply(APP, &mut memory).await?, unchanged);
    assert_eq!(bed.take_requests(), repeated(&[("PATCH dry-run", 4)]));
    assert_eq!(versions().await?, before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_manifest_configures_that_object_only() -> Result<()> {
    let bed = Bed::new("change").await?;
    let mut memory = Memory::new();
    bed.apply(APP, &mut memory).await?;
    age().await;
    let changed = APP.replace("image: web", "image: web:2");
    let got = bed.apply(&changed, &mut memory).await?;
    assert_eq!(
        got,
        ["ConfigMap/a unchanged", "Secret/s unchanged", "Service/web unchanged", "Deployment/web configured"]
    );
    assert_eq!(bed.take_requests(), repeated(&[("PATCH", 1), ("PATCH dry-run", 4)]));
    // The same content in other words.
    age().await;
    let reworded = changed.replace("1000m", "1");
    let got = bed.apply(&reworded, &mut memory).await?;
    assert_eq!(got.last().map(String::as_str), Some("Deployment/web unchanged"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_repaired_also_in_the_second_of_the_last_apply() -> Result<()> {
    let bed = Bed::new("drift").await?;
    let mut memory = Memory::new();
    bed.apply(APP, &mut memory).await?;
    for round in 0..4 {
        bed.patch_as("someone", "ConfigMap/a", json!({"data": {"k": "drift", "extra": "stays"}})).await?;
        bed.patch_as("someone", "Deployment/web", json!({"spec": {"paused": true, "replicas": 3}})).await?;
        let got = bed.apply(APP, &mut memory).await?;
        assert_eq!(
            got,
            [
                "ConfigMap/a configured",
                "Secret/s unchanged",
                "Service/web unchanged",
                "Deployment/web configured"
            ],
            "round {round}"
        );
        assert_eq!(bed.live("ConfigMap/a").await?["data"], json!({"k": "v", "extra": "stays"}));
        assert_eq!(bed.live("Deployment/web").await?["spec"]["replicas"], 0);
        if round == 2 {
            age().await;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_kubectl_are_taken_over_unless_merging_is_asked_for() -> Result<()> {
    let bed = Bed::new("kubectl").await?;
    let mut memory = Memory::new();
    let edit = json!({"data": {"extra": "x"}, "metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}}});
    bed.apply(MAP, &mut memory).await?;
    bed.patch_as("kubectl-edit", "ConfigMap/a", edit.clone()).await?;
    assert_eq!(bed.apply(MAP, &mut memory).await?, ["ConfigMap/a configured"]);
    let live = bed.live("ConfigMap/a").await?;
    assert_eq!(live["data"], json!({"k": "v"}));
    assert_eq!(live["metadata"].get("annotations"), None);
    let managers: Vec<_> =
        live["metadata"]["managedFields"].as_array().unwrap().iter().map(|e| e.text("/manager")).collect();
    assert_eq!(managers, ["kustomize-controller"]);
    assert_eq!(bed.apply(MAP, &mut memory).await?, ["ConfigMap/a unchanged"]);

    let merging = MAP.replace("name: a", "name: a, annotations: {kustomize.toolkit.fluxcd.io/ssa: Merge}");
    bed.apply(&merging, &mut memory).await?;
    bed.patch_as("kubectl-edit", "ConfigMap/a", edit).await?;
    assert_eq!(bed.apply(&merging, &mut memory).await?, ["ConfigMap/a unchanged"]);
    assert_eq!(bed.live("ConfigMap/a").await?["data"]["extra"], "x");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_created_by_kubectl_is_taken_over() -> Result<()> {
    let bed = Bed::new("adopt").await?;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": bed.namespace}, "data": {"k": "v", "old": "x"}});
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "ConfigMap"));
    let api = Api::<DynamicObject>::namespaced_with(bed.client.clone(), &bed.namespace, &resource);
    let params = kube::api::PostParams { field_manager: Some("kubectl-create".into()), ..Default::default() };
    api.create(&params, &serde_json::from_value(map)?).await?;
    let mut memory = Memory::new();
    assert_eq!(bed.apply(MAP, &mut memory).await?, ["ConfigMap/a configured"]);
    assert_eq!(bed.live("ConfigMap/a").await?["data"], json!({"k": "v"}));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_say_so_are_left_alone() -> Result<()> {
    let bed = Bed::new("skip").await?;
    let mut memory = Memory::new();
    bed.apply(MAP, &mut memory).await?;
    let key = "kustomize.toolkit.fluxcd.io";
    let disabled = json!({"data": {"k": "drift"}, "metadata": {"annotations": {(format!("{key}/reconcile")): "disabled"}}});
    bed.patch_as("someone", "ConfigMap/a", disabled).await?;
    assert_eq!(bed.apply(MAP, &mut memory).await?, ["ConfigMap/a skipped"]);
    assert_eq!(bed.live("ConfigMap/a").await?["data"]["k"], "drift");
    let enabled = json!({"metadata": {"annotations": {(format!("{key}/reconcile")): null}}});
    bed.patch_as("someone", "ConfigMap/a", enabled).await?;
    assert_eq!(bed.apply(MAP, &mut memory).await?, ["ConfigMap/a configured"]);

    let with = |name: &str, value: &str| {
        format!(
            "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, labels: {{{key}/ssa: {value}}}}}, data: {{k: v}}}}"
        )
    };
    assert_eq!(bed.apply(&with("b", "ignore"), &mut memory).await?, ["ConfigMap/b skipped"]);
    assert!(bed.take_requests().is_empty());
    assert!(bed.objects.get(&bed.id("ConfigMap/b")).await?.is_none());
    assert_eq!(bed.apply(&with("c", "IfNotPresent"), &mut memory).await?, ["ConfigMap/c created"]);
    bed.patch_as("someone", "ConfigMap/c", json!({"data": {"k": "mine"}})).await?;
    assert_eq!(bed.apply(&with("c", "IfNotPresent"), &mut memory).await?, ["ConfigMap/c skipped"]);
    assert_eq!(bed.live("ConfigMap/c").await?["data"]["k"], "mine");
    assert_eq!(bed.apply(&with("c", "Override"), &mut memory).await?, ["ConfigMap/c configured"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn immutable_fields_are_an_error_and_a_new_object_only_when_forced() -> Result<()> {
    let mut bed = Bed::new("immutable").await?;
    let mut memory = Memory::new();
    let secret = |value: &str| {
        format!(
            "{{apiVersion: v1, kind: Secret, metadata: {{name: s}}, immutable: true, stringData: {{k: {value}}}}}"
        )
    };
    bed.apply(&secret("one"), &mut memory).await?;
    let uid = bed.live("Secret/s").await?.text("/metadata/uid").to_owned();
    let error = bed.try_apply(&secret("two"), &memory).await?.unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with(&format!("Secret/{}/s dry-run failed (Invalid): ", bed.namespace)), "{text}");
    assert!(text.contains("field is immutable"), "{text}");
    assert!(text.ends_with("\n  in app/objects.yaml"), "{text}");
    assert_eq!(bed.live("Secret/s").await?.text("/metadata/uid"), uid);

    bed.options.force = true;
    assert_eq!(bed.apply(&secret("two"), &mut memory).await?, ["Secret/s created"]);
    assert_ne!(bed.live("Secret/s").await?.text("/metadata/uid"), uid);

    bed.apply(APP.split("---").last().unwrap(), &mut memory).await?;
    let uid = bed.live("Deployment/web").await?.text("/metadata/uid").to_owned();
    let moved = APP.split("---").last().unwrap().replace("app: web", "app: other");
    let invalid = moved.replace("containerPort: 80", "containerPort: 800000");
    let error = bed.try_apply(&invalid, &memory).await?.unwrap_err().to_string();
    assert!(error.contains("is invalid") && error.contains("800000"), "{error}");
    assert_eq!(bed.live("Deployment/web").await?.text("/metadata/uid"), uid);
    assert_eq!(bed.apply(&moved, &mut memory).await?, ["Deployment/web created"]);
    assert_ne!(bed.live("Deployment/web").await?.text("/metadata/uid"), uid);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_applied_when_a_check_fails_and_all_failures_are_told() -> Result<()> {
    let bed = Bed::new("gate").await?;
    let bad = format!(
        "{MAP}
---
{{apiVersion: v1, kind: ConfigMap, metadata: {{name: typo}}, dat: {{k: v}}}}
---
{{apiVersion: v1, kind: ConfigMap, metadata: {{name: lost, namespace: absent}}, data: {{k: v}}}}
---
{{apiVersion: example.org/v1, kind: Widget, metadata: {{name: w}}}}
---
{{apiVersion: v1, kind: Service, metadata: {{name: s}}, spec: {{ports: [{{port: 99999}}]}}}}"
    );
    let error = bed.try_apply(&bad, &Memory::new()).await?.unwrap_err();
    let ns = &bed.namespace;
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().filter(|l| !l.starts_with("  in ")).collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert_eq!(lines[0], "ConfigMap/absent/lost not found: namespaces \"absent\" not found");
    assert!(
        lines[1]
            .starts_with(&format!("ConfigMap/{ns}/typo dry-run failed: failed to create typed patch object")),
        "{text}"
    );
    assert!(lines[1].contains(".dat: field not declared in schema"), "{text}");
    assert!(lines[2].starts_with(&format!("Service/{ns}/s dry-run failed (Invalid): ")), "{text}");
    assert_eq!(
        lines[3],
        format!("Widget/{ns}/w dry-run failed: no matches for kind \"Widget\" in version \"example.org/v1\"")
    );
    assert!(error.failures.iter().all(|f| f.source.is_permanent()));
    assert!(error.changes.changes.is_empty());
    assert!(bed.objects.get(&bed.id("ConfigMap/a")).await?.is_none());
    assert!(!bed.take_requests().contains(&"PATCH".to_owned()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hook_runs_before_the_first_write_and_may_refuse_it() -> Result<()> {
    let bed = Bed::new("hook").await?;
    let manifests = bed.prepared(MAP)?;
    let (applier, nothing) = (bed.applier(), Memory::new());
    let refused = applier.apply_stage(&manifests, &nothing, |planned| async move {
        assert_eq!(planned.changes.iter().map(|c| c.action).collect::<Vec<_>>(), [Action::Created]);
        Err("no inventory".into())
    });
    assert_eq!(refused.await.unwrap_err().to_string(), "no inventory");
    assert!(bed.objects.get(&bed.id("ConfigMap/a")).await?.is_none());

    let id = bed.id("ConfigMap/a");
    let objects = bed.objects.clone();
    let applied = applier.apply_stage(&manifests, &nothing, |_| async move {
        assert!(objects.get(&id).await?.is_none());
        Ok(())
    });
    let memory = applied.await?.memory;
    let quiet =
        applier.apply_stage(&manifests, &memory, |_| async { Err("nothing is to be written".into()) });
    assert_eq!(quiet.await?.changes.changes[0].action, Action::Unchanged);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_are_those_of_the_impersonated_user() -> Result<()> {
    let bed = Bed::new("tenant").await?;
    let user = format!("system:serviceaccount:{}:tenant", bed.namespace);
    let tenant = recording(bed.client.clone(), Arc::default(), Some(user.clone()));
    let applier = Applier::new(tenant, bed.mapper.clone(), bed.options.clone());
    let error =
        applier.apply_stage(&bed.prepared(MAP)?, &Memory::new(), |_| async { Ok(()) }).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("ConfigMap/{}/a dry-run failed (Forbidden): ", bed.namespace)),
        "{text}"
    );
    assert!(text.contains(&user), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_cannot_reach_another_path() -> Result<()> {
    let bed = Bed::new("path").await?;
    let hostile =
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: ../../kube-system/configmaps/x}, data: {k: v}}";
    assert!(bed.try_apply(hostile, &Memory::new()).await?.is_err());
    let hostile = "{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: kube-system/configmaps/y?a=}, data: {k: v}}";
    assert!(bed.try_apply(hostile, &Memory::new()).await?.is_err());
    let elsewhere = bed.objects.list(&Id::new("ConfigMap/x", "kube-system")?).await?;
    assert!(elsewhere.iter().all(|o| !["x", "y"].contains(&o.text("/metadata/name"))));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_and_its_object_are_applied_in_one_go() -> Result<()> {
    let bed = Bed::new("crd").await?;
    let group = format!("{}.example.org", bed.namespace);
    let widget = GroupVersionKind::gvk(&group, "v1", "Widget");
    let index = bed.index();
    index.settled(std::slice::from_ref(&widget), LIMIT).await;
    assert!(matches!(index.ensure(&widget), WatchState::Starting), "asked for again");
    let crd = format!(
        "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: widgets.{group}}}
spec:
  group: {group}
  names: {{kind: Widget, plural: widgets}}
  scope: Namespaced
  versions: [{{name: v1, served: true, storage: true, schema: {{openAPIV3Schema: {{type: object, properties: {{spec: {{type: object, properties: {{size: {{type: integer}}}}}}}}}}}}}}]
"
    );
    let mut memory = Memory::new();
    assert_eq!(
        bed.apply(&crd, &mut memory).await?,
        [format!("CustomResourceDefinition/widgets.{group} created")]
    );
    let definition = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    index.settled(std::slice::from_ref(&definition), LIMIT).await;
    let id = memory.keys().next().unwrap().clone();
    assert_eq!(id.namespace, "", "the scope comes from discovery");
    wait::until(LIMIT, async || match index.get(&id) {
        Some(seen) if seen.verdict.status == Status::Current => Ok(()),
        seen => Err(Not::Yet(format!("{seen:?}"))),
    })
    .await?;
    bed.mapper.invalidate();
    let object =
        format!("{{apiVersion: {group}/v1, kind: Widget, metadata: {{name: w}}, spec: {{size: 1}}}}");
    assert_eq!(bed.apply(&object, &mut memory).await?, ["Widget/w created"]);
    index.settled(std::slice::from_ref(&widget), LIMIT).await;
    assert_eq!(index.ensure(&widget), WatchState::Synced);
    assert!(index.get(&bed.object_id(&group, "Widget", "w")).is_some());

    // When the definition goes, its objects go, and the index says so.
    bed.objects
        .delete(&Id::of(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            "",
            &format!("widgets.{group}"),
        ))
        .await
        .ok();
    let deleted = bed.prune(vec![Entry { id: id.clone(), version: "v1".into() }], &[]).await;
    assert_eq!(deleted.error(), None);
    let entry = Entry { id: bed.object_id(&group, "Widget", "w"), version: "v1".into() };
    wait::until(LIMIT, async || match index.get(&entry.id) {
        None => Ok(()),
        seen => Err(Not::Yet(format!("{seen:?}"))),
    })
    .await?;
    wait::until(LIMIT, async || {
        bed.mapper.invalidate();
        match bed.mapper.resolve(&widget).await {
            Err(MapError::NoMatch { .. }) => Ok(()),
            seen => Err(Not::Yet(format!("{seen:?}"))),
        }
    })
    .await?;
    let deleted = bed.prune(vec![entry], &[]).await;
    assert_eq!(deleted.changes.changes[0].action, Action::Deleted);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_our_own_objects_are_pruned() -> Result<()> {
    let bed = Bed::new("prune").await?;
    let maps = ["gone", "kept", "moved", "absent"]
        .map(|n| format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {n}}}, data: {{k: v}}}}"))
        .join("\n---\n");
    let service = "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{port: 80}]}}";
    let mut memory = Memory::new();
    bed.apply(&format!("{maps}\n---\n{service}"), &mut memory).await?;
    let keep = json!({"metadata": {"annotations": {"kustomize.toolkit.fluxcd.io/prune": "disabled"}}});
    bed.patch_as("someone", "ConfigMap/kept", keep).await?;
    let moved = json!({"metadata": {"labels": {"kustomize.toolkit.fluxcd.io/name": "other"}}});
    bed.patch_as("someone", "ConfigMap/moved", moved).await?;
    bed.objects.delete(&bed.id("ConfigMap/absent")).await?;
    let namespace = ObjectId {
        group: String::new(),
        kind: "Namespace".into(),
        namespace: String::new(),
        name: bed.namespace.clone(),
    };
    let mut entries: Vec<Entry> =
        memory.keys().cloned().map(|id| Entry { id, version: "v1".into() }).collect();
    entries.push(Entry { id: namespace, version: "v1".into() });
    let pruned = bed.prune(entries, &[&bed.namespace]).await;
    let lines = pruned.changes.lines(|_| true).replace(&format!("{}/", bed.namespace), "");
    assert_eq!(
        lines.lines().collect::<Vec<_>>(),
        [
            "Service/web deleted",
            "ConfigMap/moved skipped",
            "ConfigMap/kept skipped",
            "ConfigMap/gone deleted",
            "ConfigMap/absent deleted",
            &format!("Namespace/{} skipped", bed.namespace)
        ]
    );
    assert_eq!(pruned.error(), None);
    assert!(bed.objects.get(&bed.id("ConfigMap/gone")).await?.is_none());
    assert!(bed.objects.get(&bed.id("ConfigMap/moved")).await?.is_some());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_may_not_be_deleted_stays_in_the_inventory() -> Result<()> {
    let bed = Bed::new("denied").await?;
    let mut memory = Memory::new();
    bed.apply(MAP, &mut memory).await?;
    let tenant = recording(bed.client.clone(), Arc::default(), Some("nobody".into()));
    let options = PruneOptions {
        owner: bed.owner(),
        protected_namespaces: vec![],
        concurrency: 1,
        request_timeout: LIMIT,
    };
    let entry = Entry { id: bed.object_id("", "ConfigMap", "a"), version: "v1".into() };
    let pruned = prune::delete(&tenant, &bed.mapper, vec![entry.clone()], &options).await;
    assert_eq!(pruned.failed.iter().map(|(e, _)| e.clone()).collect::<Vec<_>>(), [entry]);
    let error = pruned.error().unwrap();
    assert!(
        error.starts_with(&format!("delete failed, errors: ConfigMap/{}/a query failed: ", bed.namespace)),
        "{error}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_tells_drift_and_health_without_being_asked() -> Result<()> {
    let bed = Bed::new("index").await?;
    let mut memory = Memory::new();
    bed.apply(APP, &mut memory).await?;
    let index = bed.index();
    let kinds = ["ConfigMap", "Secret", "Service"].map(|k| GroupVersionKind::gvk("", "v1", k));
    let deployments = GroupVersionKind::gvk("apps", "v1", "Deployment");
    let all: Vec<_> = kinds.into_iter().chain([deployments]).collect();
    index.settled(&all, LIMIT).await;
    assert!(all.iter().all(|k| index.ensure(k) == WatchState::Synced));
    let deployment = bed.object_id("apps", "Deployment", "web");
    // Scaled to zero, it becomes available, which its status tells and no owner of a field.
    wait::until(LIMIT, async || match index.get(&deployment) {
        Some(seen) if seen.verdict.status == Status::Current => Ok(()),
        seen => Err(Not::Yet(format!("{seen:?}"))),
    })
    .await?;
    assert_eq!(drifted(&memory, &index), []);
    assert!(told(&index, &bed.owner()).await);

    let map = bed.object_id("", "ConfigMap", "a");
    for (manager, change) in [
        ("someone", json!({"data": {"k": "drift"}})),
        ("someone", json!({"metadata": {"labels": {"kustomize.toolkit.fluxcd.io/namespace": null}}})),
        ("kubectl-edit", json!({"data": {"new": "x"}})),
    ] {
        bed.patch_as(manager, "ConfigMap/a", change.clone()).await?;
        wait::until(LIMIT, async || match drifted(&memory, &index) {
            found if found == [(map.clone(), "Changed".into())] => Ok(()),
            found => Err(Not::Yet(format!("{change}: {found:?}"))),
        })
        .await?;
        assert!(told(&index, &bed.owner()).await, "{change}");
        bed.apply(APP, &mut memory).await?;
        wait::until(LIMIT, async || match drifted(&memory, &index) {
            found if found.is_empty() => Ok(()),
            found => Err(Not::Yet(format!("{change}: {found:?}"))),
        })
        .await?;
    }
    bed.objects.delete(&bed.id("ConfigMap/a")).await?;
    wait::until(LIMIT, async || match drifted(&memory, &index) {
        found if found == [(map.clone(), "gone".into())] => Ok(()),
        found => Err(Not::Yet(format!("{found:?}"))),
    })
    .await
}

/// The remembered objects that the index shows changed, or does not show, with a word on what is wrong.
fn drifted(memory: &Memory, index: &Index) -> Vec<(ObjectId, String)> {
    let look = |(id, applied): (&ObjectId, _)| match index.get(id) {
        None => Some((id.clone(), "gone".to_owned())),
        Some(seen) => drift::of(applied, &seen).map(|d| (id.clone(), format!("{d:?}"))),
    };
    memory.iter().filter_map(look).collect()
}

/// Whether the index has told this owner; other tests' owners may be told too.
async fn told(index: &Index, owner: &Owner) -> bool {
    tokio::time::timeout(LIMIT, async { while !index.changed().await.contains(owner) {} }).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_object_is_watched_for_as_long_as_somebody_asks() -> Result<()> {
    let bed = Bed::new("single").await?;
    let index = bed.index();
    let kind = GroupVersionKind::gvk("", "v1", "ConfigMap");
    let first = index.watch_object(&kind, &bed.namespace, "outside", &bed.owner());
    let second = index.watch_object(&kind, &bed.namespace, "outside", &bed.owner());
    wait::until(LIMIT, async || match first.state() {
        WatchState::Synced => Ok(()),
        state => Err(Not::Yet(format!("{state:?}"))),
    })
    .await?;
    assert_eq!(first.get(), None);
    assert!(told(&index, &bed.owner()).await, "that the watch is complete");
    bed.objects
        .apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: outside}, data: {k: v}}", &bed.namespace)
        .await?;
    assert!(told(&index, &bed.owner()).await);
    drop(first);
    assert_eq!(second.get().map(|o| o.verdict.status), Some(Status::Current));
    drop(second);
    assert_eq!(index.get(&bed.object_id("", "ConfigMap", "outside")), None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forbidden_watch_says_so() -> Result<()> {
    let bed = Bed::new("forbidden").await?;
    let nobody = recording(bed.client.clone(), Arc::default(), Some("nobody".into()));
    let retry = (Duration::from_millis(100), Duration::from_secs(1));
    let index = Index::new(nobody, bed.mapper.clone(), IndexOptions { idle: LIMIT, retry, page_size: 100 });
    let kind = GroupVersionKind::gvk("", "v1", "Secret");
    index.settled(std::slice::from_ref(&kind), LIMIT).await;
    assert!(matches!(index.ensure(&kind), WatchState::Forbidden(_)));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_and_the_apply_survive_an_api_server_restart() -> Result<()> {
    let cluster = Cluster::start().await?;
    let bed = Bed::on(&cluster, "restart").await?;
    let mut memory = Memory::new();
    bed.apply(APP, &mut memory).await?;
    // A controller manager that loses the API server while it starts gives up.
    bed.available("Deployment/web").await?;
    let index = bed.index();
    let kind = GroupVersionKind::gvk("", "v1", "ConfigMap");
    let watch = async |wanted: fn(&WatchState) -> bool| {
        wait::until(LIMIT, async || match index.ensure(&kind) {
            state if wanted(&state) => Ok(()),
            state => Err(Not::Yet(format!("{state:?}"))),
        })
        .await
    };
    watch(|state| *state == WatchState::Synced).await?;
    cluster.kill_apiserver();
    watch(|state| matches!(state, WatchState::Failing(_))).await?;
    let error = bed.try_apply(MAP, &memory).await?.unwrap_err();
    assert!(error.failures.iter().all(|f| !f.source.is_permanent()), "{error}");
    cluster.start_apiserver().await?;
    watch(|state| *state == WatchState::Synced).await?;
    // What happens from now on is seen.
    bed.patch_as("someone", "ConfigMap/a", json!({"data": {"k": "drift"}})).await?;
    let map = bed.object_id("", "ConfigMap", "a");
    wait::until(LIMIT, async || match index.get(&map).and_then(|seen| drift::of(&memory[&map], &seen)) {
        Some(drift::Drift::Changed) => Ok(()),
        seen => Err(Not::Yet(format!("{seen:?}"))),
    })
    .await?;
    assert_eq!(bed.apply(MAP, &mut memory).await?, ["ConfigMap/a configured"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_server_costs_a_few_deadlines_not_one_an_object() -> Result<()> {
    let mut bed = Bed::new("silent").await?;
    let maps: Vec<String> = (0..40).map(|i| MAP.replace("name: a", &format!("name: m{i}"))).collect();
    let manifests = bed.prepared(&maps.join("\n---\n"))?;
    // Takes connections and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let config = Config::new(format!("http://{}", silent.local_addr()?).parse()?);
    let client = recording(Client::try_from(config)?, bed.requests.clone(), None);
    bed.options = Options { concurrency: 2, request_timeout: Duration::from_millis(200), ..bed.options };
    let applier = Applier::new(client.clone(), bed.mapper.clone(), bed.options.clone());
    let error = applier.apply_stage(&manifests, &Memory::new(), |_| async { Ok(()) }).await.unwrap_err();
    assert!(error.to_string().contains("no answer from the API server within 200ms"), "{error}");
    let sent = bed.take_requests().len();
    assert!(sent <= 4, "{sent} requests");

    let entries: Vec<Entry> = manifests.iter().map(|m| Entry { id: m.id(), version: "v1".into() }).collect();
    let options = PruneOptions {
        owner: bed.owner(),
        protected_namespaces: vec![],
        concurrency: 2,
        request_timeout: Duration::from_millis(200),
    };
    let pruned = prune::delete(&client, &bed.mapper, entries, &options).await;
    assert_eq!((pruned.changes.changes.len(), pruned.failed.len()), (0, 40));
    let sent = bed.take_requests().len();
    assert!(sent <= 4, "{sent} requests");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_nobody_owns_becomes_ours_though_its_content_is_right() -> Result<()> {
    let bed = Bed::new("wiped").await?;
    let mut memory = Memory::new();
    bed.apply(MAP, &mut memory).await?;
    bed.patch_as("someone", "ConfigMap/a", json!({"metadata": {"managedFields": [{}]}})).await?;
    assert_eq!(bed.apply(MAP, &mut memory).await?, ["ConfigMap/a configured"]);
    assert_eq!(bed.apply(MAP, &mut memory).await?, ["ConfigMap/a unchanged"]);
    let without = MAP.replace("data: {k: v}", "data: {l: w}");
    bed.apply(&without, &mut memory).await?;
    assert_eq!(bed.live("ConfigMap/a").await?["data"], json!({"l": "w"}));
    Ok(())
}
