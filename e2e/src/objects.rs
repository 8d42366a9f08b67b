//! Kubernetes objects as plain JSON, read and written as any other client would.

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use futures::{Stream, StreamExt};
use http::Request;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, WatchEvent, WatchParams,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use kube::{Client, Config};
use serde_json::Value;

/// The field manager of what tests write.
const MANAGER: &str = "e2e";

/// A client for all kinds.
#[derive(Clone)]
pub struct Objects {
    client: Client,
}

/// The name of one object; prints as `Kind/namespace/name`, or `Kind/name` when cluster-scoped.
#[derive(Clone, Debug)]
pub struct Id {
    resource: ApiResource,
    namespace: Option<String>,
    name: String,
}

impl Id {
    /// `Kind/name`, in `namespace` unless the kind is cluster-scoped. Knows the kinds that tests speak of.
    pub fn new(text: &str, namespace: &str) -> Result<Self> {
        let (kind, name) = text.split_once('/').with_context(|| format!("{text} is not Kind/name"))?;
        let api_version = match kind {
            "Bucket" | "ExternalArtifact" | "GitRepository" | "HelmChart" | "HelmRepository"
            | "OCIRepository" => "source.toolkit.fluxcd.io/v1",
            "ArtifactGenerator" => "source.extensions.fluxcd.io/v1beta1",
            "Kustomization" => "kustomize.toolkit.fluxcd.io/v1",
            "HelmRelease" => "helm.toolkit.fluxcd.io/v2",
            "Deployment" | "StatefulSet" => "apps/v1",
            "Job" => "batch/v1",
            "ConfigMap" | "Secret" | "Service" | "ServiceAccount" | "Namespace" | "Pod" | "Event" => "v1",
            "Role" | "RoleBinding" | "ClusterRole" => "rbac.authorization.k8s.io/v1",
            "CustomResourceDefinition" => "apiextensions.k8s.io/v1",
            _ => bail!("{kind}: say which API version it has"),
        };
        Ok(Self::of(api_version, kind, namespace, name))
    }

    /// The object `name` of a kind that is given in full.
    pub fn of(api_version: &str, kind: &str, namespace: &str, name: &str) -> Self {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let cluster_scoped = matches!(
            kind,
            "Namespace"
                | "ClusterRole"
                | "ClusterRoleBinding"
                | "CustomResourceDefinition"
                | "Node"
                | "PriorityClass"
                | "APIService"
                | "ValidatingAdmissionPolicy"
                | "ValidatingAdmissionPolicyBinding"
                | "ValidatingWebhookConfiguration"
                | "MutatingWebhookConfiguration"
        );
        Self {
            resource: ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind)),
            namespace: (!cluster_scoped).then(|| namespace.to_owned()),
            name: name.to_owned(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its kind.
    pub fn kind(&self) -> &str {
        &self.resource.kind
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{}/{namespace}/{}", self.resource.kind, self.name),
            None => write!(f, "{}/{}", self.resource.kind, self.name),
        }
    }
}

/// One entry of `status.conditions`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// True, False or Unknown.
    pub status: String,
    /// The machine-readable cause.
    pub reason: String,
    /// The text for people.
    pub message: String,
    /// The generation it speaks of.
    pub observed_generation: i64,
}

/// Reading an object as JSON.
pub trait Look {
    /// The string at a JSON pointer, empty when absent.
    fn text(&self, pointer: &str) -> &str;
    /// The number at a JSON pointer, 0 when absent.
    fn number(&self, pointer: &str) -> i64;
    /// The condition of a type.
    fn condition(&self, kind: &str) -> Option<Condition>;
    /// Ready for its newest generation, and nothing under way.
    fn is_ready(&self) -> bool;
}

impl Look for Value {
    fn text(&self, pointer: &str) -> &str {
        self.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    fn number(&self, pointer: &str) -> i64 {
        self.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
    }

    fn condition(&self, kind: &str) -> Option<Condition> {
        let all = self.pointer("/status/conditions")?.as_array()?;
        all.iter().find(|c| c.text("/type") == kind).map(|c| Condition {
            status: c.text("/status").to_owned(),
            reason: c.text("/reason").to_owned(),
            message: c.text("/message").to_owned(),
            observed_generation: c.number("/observedGeneration"),
        })
    }

    fn is_ready(&self) -> bool {
        let generation = self.number("/metadata/generation");
        let current = |c: Condition| c.status == "True" && c.observed_generation == generation;
        self.condition("Ready").is_some_and(current)
            && self.number("/status/observedGeneration") == generation
            && self.condition("Reconciling").is_none()
    }
}

impl Objects {
    /// Connects with the identity of a kubeconfig file.
    pub async fn connect(kubeconfig: &Path) -> Result<Self> {
        crate::init_tls();
        let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        Ok(Self { client: Client::try_from(config)? })
    }

    fn api(&self, id: &Id) -> Api<DynamicObject> {
        match &id.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &id.resource),
            None => Api::all_with(self.client.clone(), &id.resource),
        }
    }

    /// The text at a path of the API server.
    pub async fn read(&self, path: &str) -> Result<String> {
        Ok(self.client.request_text(Request::get(path).body(Vec::new())?).await?)
    }

    /// Applies every document of `yaml`; objects without a namespace go to `namespace`.
    pub async fn apply(&self, yaml: &str, namespace: &str) -> Result<Vec<Id>> {
        let mut applied = Vec::new();
        for object in documents(yaml)? {
            applied.push(self.apply_one(&object, namespace).await?);
        }
        Ok(applied)
    }

    /// Applies one object.
    pub async fn apply_one(&self, object: &Value, namespace: &str) -> Result<Id> {
        let named = object.text("/metadata/namespace");
        let namespace = if named.is_empty() { namespace } else { named };
        let id = Id::of(
            object.text("/apiVersion"),
            object.text("/kind"),
            namespace,
            object.text("/metadata/name"),
        );
        let params = PatchParams::apply(MANAGER).force();
        self.api(&id)
            .patch(&id.name, &params, &Patch::Apply(object))
            .await
            .with_context(|| format!("apply {id}"))?;
        Ok(id)
    }

    /// The object, or nothing when there is none.
    pub async fn get(&self, id: &Id) -> Result<Option<Value>> {
        let found = self.api(id).get_opt(&id.name).await.with_context(|| format!("get {id}"))?;
        Ok(found.map(serde_json::to_value).transpose()?)
    }

    /// All objects of the kind of `like`, in its namespace.
    pub async fn list(&self, like: &Id) -> Result<Vec<Value>> {
        let list = self
            .api(like)
            .list(&ListParams::default())
            .await
            .with_context(|| format!("list {}", like.kind()))?;
        list.items.into_iter().map(|object| Ok(serde_json::to_value(object)?)).collect()
    }

    /// Every state of the objects of the kind of `like`, in its namespace, as it comes; those that are there first.
    pub async fn watch(&self, like: &Id) -> Result<impl Stream<Item = Result<Value>> + Send + use<>> {
        let api = self.api(like);
        let events = api.watch(&WatchParams::default(), "0").await;
        let events = events.with_context(|| format!("watch {}", like.kind()))?;
        Ok(events.filter_map(async |event| match event {
            Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                Some(serde_json::to_value(object).map_err(Into::into))
            }
            Ok(WatchEvent::Error(status)) => Some(Err(anyhow!("watch: {}", status.message))),
            Ok(_) => None,
            Err(error) => Some(Err(error.into())),
        }))
    }

    /// Changes fields with a JSON merge patch.
    pub async fn patch(&self, id: &Id, merge: &Value) -> Result<Value> {
        let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
        let patched = self.api(id).patch(&id.name, &params, &Patch::Merge(merge)).await;
        Ok(serde_json::to_value(patched.with_context(|| format!("patch {id}"))?)?)
    }

    /// Deletes the object; one that is absent is no error.
    pub async fn delete(&self, id: &Id) -> Result<()> {
        match self.api(id).delete(&id.name, &DeleteParams::background()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            result => result.map(drop).with_context(|| format!("delete {id}")),
        }
    }

    /// The events about an object.
    pub async fn events(&self, id: &Id) -> Result<Vec<Value>> {
        let events = Id::of("v1", "Event", id.namespace.as_deref().unwrap_or("default"), "");
        let mut all = self.list(&events).await?;
        all.retain(|e| {
            e.text("/involvedObject/kind") == id.kind() && e.text("/involvedObject/name") == id.name
        });
        Ok(all)
    }
}

/// The documents of a YAML stream, empty ones left out.
pub fn documents(yaml: &str) -> Result<Vec<Value>> {
    let mut objects = Vec::new();
    for document in serde_yaml::Deserializer::from_str(yaml) {
        let object: Value = serde::Deserialize::deserialize(document).context("YAML document")?;
        if !object.is_null() {
            objects.push(object);
        }
    }
    Ok(objects)
}
