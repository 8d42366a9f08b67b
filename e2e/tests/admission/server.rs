//! The objects, and the API server that judges them.

use anyhow::Result;
use e2e::cluster::{Cluster, User};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

/// A GitRepository with the required fields, changed by `spec`.
pub fn git(version: &str, spec: Value) -> Value {
    let base = json!({"url": "https://example.org/a.git", "interval": "1m"});
    json!({
        "apiVersion": format!("source.toolkit.fluxcd.io/{version}"), "kind": "GitRepository",
        "metadata": {"name": "a", "namespace": "default"}, "spec": with(base, spec),
    })
}

/// An OCIRepository with the required fields, changed by `spec`.
pub fn oci(spec: Value) -> Value {
    let base = json!({"url": "oci://example.org/a", "interval": "1m"});
    json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "OCIRepository",
        "metadata": {"name": "a", "namespace": "default"}, "spec": with(base, spec),
    })
}

/// A Bucket with the required fields, changed by `spec`.
pub fn bucket(version: &str, spec: Value) -> Value {
    let base = json!({"bucketName": "a", "endpoint": "h:9000", "interval": "1m"});
    json!({
        "apiVersion": format!("source.toolkit.fluxcd.io/{version}"), "kind": "Bucket",
        "metadata": {"name": "a", "namespace": "default"}, "spec": with(base, spec),
    })
}

/// A HelmChart with the required fields, changed by `spec`.
pub fn helm_chart(spec: Value) -> Value {
    let base = json!({"chart": "a", "interval": "1m", "sourceRef": {"kind": "HelmRepository", "name": "a"}});
    json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "HelmChart",
        "metadata": {"name": "a", "namespace": "default"}, "spec": with(base, spec),
    })
}

/// A HelmRelease with the required fields, changed by `spec`.
pub fn helm_release(version: &str, spec: Value) -> Value {
    let source = json!({"kind": "HelmRepository", "name": "a"});
    let base = json!({"interval": "1m", "chart": {"spec": {"chart": "a", "sourceRef": source}}});
    json!({
        "apiVersion": format!("helm.toolkit.fluxcd.io/{version}"), "kind": "HelmRelease",
        "metadata": {"name": "a", "namespace": "default"}, "spec": with(base, spec),
    })
}

/// A HelmRepository with the required field, changed by `spec`.
pub fn helm_repository(version: &str, spec: Value) -> Value {
    json!({
        "apiVersion": format!("source.toolkit.fluxcd.io/{version}"), "kind": "HelmRepository",
        "metadata": {"name": "a", "namespace": "default"}, "spec": with(json!({"url": "https://example.org"}), spec),
    })
}

/// A Kustomization with the required fields, changed by `spec`.
pub fn kustomization(version: &str, spec: Value) -> Value {
    let base = json!({"interval": "1m", "prune": true, "sourceRef": {"kind": "GitRepository", "name": "a"}});
    json!({
        "apiVersion": format!("kustomize.toolkit.fluxcd.io/{version}"), "kind": "Kustomization",
        "metadata": {"name": "a", "namespace": "default"}, "spec": with(base, spec),
    })
}

/// `base` with the entries of `changes`; nulls remove.
pub fn with(base: Value, changes: Value) -> Value {
    let (Value::Object(mut merged), Value::Object(changes)) = (base, changes) else { panic!("not objects") };
    for (key, value) in changes {
        if value.is_null() {
            merged.remove(&key)
        } else {
            merged.insert(key, value)
        };
    }
    Value::Object(merged)
}

/// The path of the collection that an object belongs to.
pub fn collection(object: &Value) -> String {
    let plural = match object["kind"].as_str().unwrap() {
        "ArtifactGenerator" => "artifactgenerators",
        "ExternalArtifact" => "externalartifacts",
        "Bucket" => "buckets",
        "GitRepository" => "gitrepositories",
        "HelmChart" => "helmcharts",
        "HelmRelease" => "helmreleases",
        "HelmRepository" => "helmrepositories",
        "OCIRepository" => "ocirepositories",
        _ => "kustomizations",
    };
    format!("/apis/{}/namespaces/default/{plural}", object["apiVersion"].as_str().unwrap())
}

/// The API server, spoken to in plain requests, so that headers and exact bodies can be seen.
pub struct Server(Client);

/// What it answered, and to what.
pub struct Answer {
    status: StatusCode,
    body: Value,
    pub warnings: Vec<String>,
    request: String,
}

impl Server {
    pub async fn connect() -> Result<Self> {
        e2e::init_tls();
        let kubeconfig = Kubeconfig::read_from(Cluster::shared().await?.kubeconfig(User::Admin))?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        Ok(Self(Client::try_from(config)?))
    }

    pub async fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        let content_type =
            if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let bytes = if body.is_null() { Vec::new() } else { serde_json::to_vec(body).unwrap() };
        let request = Request::builder().method(method).uri(path).header("content-type", content_type);
        let response = self.0.send(request.body(Body::from(bytes)).unwrap()).await.unwrap();
        let warnings = response.headers().get_all("warning").iter().map(|value| {
            // 299 - "text"
            value.to_str().unwrap().split_once('"').unwrap().1.trim_end_matches('"').to_owned()
        });
        Answer {
            warnings: warnings.collect(),
            status: response.status(),
            body: serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap(),
            request: body.to_string().chars().take(300).collect(),
        }
    }

    pub async fn create(&self, object: &Value, options: &str) -> Answer {
        self.send("POST", &format!("{}?{options}", collection(object)), object).await
    }

    /// The object as the API server would store it.
    pub async fn accepts(&self, object: &Value) -> Value {
        self.create(object, "dryRun=All").await.accepted()
    }

    pub async fn rejects(&self, object: &Value, text: &str) {
        self.create(object, "dryRun=All").await.refused(text);
    }

    /// Refused when the client asks for strict validation, accepted and pruned when it does not.
    pub async fn rejects_strictly(&self, object: &Value, text: &str) {
        self.create(object, "dryRun=All&fieldValidation=Strict").await.refused(text);
        self.create(object, "dryRun=All&fieldValidation=Ignore").await.accepted();
    }
}

impl Answer {
    pub fn accepted(self) -> Value {
        assert!(self.status.is_success(), "{} is refused: {}", self.request, self.body["message"]);
        self.body
    }

    pub fn refused(&self, text: &str) {
        assert!(
            self.status.is_client_error(),
            "{} is accepted, but should be refused with: {text}",
            self.request
        );
        let message = self.body["message"].as_str().unwrap_or_default();
        assert!(message.contains(text), "{} is refused with: {message}, not with: {text}", self.request);
    }
}
