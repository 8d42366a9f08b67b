//! Makes built objects into the objects that are applied: owner labels, common metadata, and the few corrections
//! without which server-side apply would see a difference on every run.
//!
//! Objects are not passed through typed structs: a field that a built-in kind does not know stays, and the API server
//! says so, instead of silently dropping it.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::manager::Manager;
use crate::object::Manifest;
use crate::order::is_crd;
use crate::policy;

/// The object of a controller that owns the applied objects: a Kustomization, a HelmRelease.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Owner {
    /// The labels that mark an object as owned.
    pub fn labels(&self, manager: &Manager) -> [(String, &str); 2] {
        [(manager.key("name"), &self.name), (manager.key("namespace"), &self.namespace)]
    }

    /// The owner that an object's labels name.
    pub fn of(object: &Value, manager: &Manager) -> Option<Self> {
        let label = |key| crate::object::label(object, &manager.key(key)).map(str::to_owned);
        Some(Self { namespace: label("namespace")?, name: label("name")? })
    }
}

/// Labels and annotations set on every object, over everything else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommonMetadata {
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

/// An object that must not be applied as it is.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PrepareError {
    /// A Secret that is still encrypted.
    #[error("{0} is SOPS encrypted, configuring decryption is required for this secret to be reconciled")]
    Encrypted(String),
}

/// Normalises the objects and marks them as owned.
///
/// # Errors
/// For the first object that must not be applied.
pub fn prepare(
    mut manifests: Vec<Manifest>,
    manager: &Manager,
    owner: &Owner,
    common: &CommonMetadata,
) -> Result<Vec<Manifest>, PrepareError> {
    for manifest in &mut manifests {
        refuse_encrypted(manifest, manager)?;
        normalise(manifest);
        set_metadata(manifest, "labels", owner.labels(manager).iter().map(|(k, v)| (k.as_str(), *v)));
        set_metadata(manifest, "labels", common.labels.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        set_metadata(
            manifest,
            "annotations",
            common.annotations.iter().map(|(k, v)| (k.as_str(), v.as_str())),
        );
    }
    Ok(manifests)
}

/// Refuses a Secret that SOPS encrypted, unless its author says that this is meant so; the encryption's own data never
/// reaches the cluster.
fn refuse_encrypted(manifest: &mut Manifest, manager: &Manager) -> Result<(), PrepareError> {
    if !is(manifest, "v1", "Secret") || manifest.value().get("sops").is_none() {
        return Ok(());
    }
    if !policy::decrypt_disabled(manifest.value(), manager) {
        return Err(PrepareError::Encrypted(manifest.id().subject()));
    }
    remove(manifest.value_mut(), "", "sops");
    Ok(())
}

fn normalise(manifest: &mut Manifest) {
    remove(manifest.value_mut(), "/metadata", "creationTimestamp");
    if is_crd(manifest.group(), manifest.kind()) {
        drop_invalid_ca_bundle(manifest.value_mut());
    } else {
        remove(manifest.value_mut(), "", "status");
    }
    if drops_nulls(manifest) {
        drop_nulls(manifest.value_mut());
    }
    if is(manifest, "v1", "Secret") {
        encode_string_data(manifest.value_mut());
    }
    if is(manifest, "v1", "Service") {
        default_protocol(manifest.value_mut().pointer_mut("/spec/ports"));
    }
    if let Some(pointer) = pod_spec_pointer(manifest) {
        let containers = manifest.value_mut().pointer_mut(&format!("{pointer}/containers"));
        for container in containers.and_then(Value::as_array_mut).into_iter().flatten() {
            default_protocol(container.get_mut("ports"));
        }
    }
}

fn remove(object: &mut Value, parent: &str, field: &str) {
    if let Some(Value::Object(fields)) = object.pointer_mut(parent) {
        fields.remove(field);
    }
}

fn is(manifest: &Manifest, api_version: &str, kind: &str) -> bool {
    manifest.api_version() == api_version && manifest.kind() == kind
}

/// Groups of the kinds that upstream passes through typed structs, where a null field is no field.
const BUILT_IN_GROUPS: &[&str] = &[
    "",
    "admissionregistration.k8s.io",
    "apps",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
];

/// Whether null fields are dropped. A null field that is applied counts as owned, and a `replicas: null` would fight
/// with an autoscaler. Roles keep `rules: null`.
fn drops_nulls(manifest: &Manifest) -> bool {
    let role =
        manifest.group() == "rbac.authorization.k8s.io" && matches!(manifest.kind(), "Role" | "ClusterRole");
    BUILT_IN_GROUPS.contains(&manifest.group()) && !role
}

/// Maps from string to string, where a null value is an empty string.
const STRING_MAPS: &[&str] =
    &["annotations", "data", "labels", "matchLabels", "nodeSelector", "parameters", "stringData"];

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                match field {
                    Value::Object(map) if STRING_MAPS.contains(&name.as_str()) => {
                        map.values_mut()
                            .filter(|v| v.is_null())
                            .for_each(|v| *v = Value::String(String::new()));
                    }
                    _ => drop_nulls(field),
                }
            }
            fields.retain(|_, field| !field.is_null());
        }
        _ => {}
    }
}

/// Where the pod's spec stands in the workload kinds.
fn pod_spec_pointer(manifest: &Manifest) -> Option<&'static str> {
    match (manifest.api_version(), manifest.kind()) {
        ("v1", "Pod") => Some("/spec"),
        ("apps/v1", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") | ("batch/v1", "Job") => {
            Some("/spec/template/spec")
        }
        ("batch/v1", "CronJob") => Some("/spec/jobTemplate/spec/template/spec"),
        _ => None,
    }
}

/// Ports are a list keyed by number and protocol: without the protocol the server takes its own default for a
/// different key.
fn default_protocol(ports: Option<&mut Value>) {
    for port in ports.and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut) {
        if port.get("protocol").is_none_or(|p| p.is_null() || p == "") {
            port.insert("protocol".into(), "TCP".into());
        }
    }
}

/// `stringData` is write-only and never owned, so removed keys would stay. Left alone if it is not what it should be:
/// the server then says so.
fn encode_string_data(secret: &mut Value) {
    let Value::Object(fields) = secret else { return };
    let Some(Value::Object(plain)) = fields.get("stringData") else { return };
    let encoded: Option<Vec<(String, Value)>> =
        plain.iter().map(|(k, v)| Some((k.clone(), STANDARD.encode(v.as_str()?).into()))).collect();
    let Some(encoded) = encoded else { return };
    match fields.entry("data").or_insert_with(|| Value::Object(Map::new())) {
        Value::Object(data) => data.extend(encoded),
        _ => return,
    }
    fields.remove("stringData");
}

/// Placeholders for the CA that an injector fills in would make the server refuse the whole definition.
fn drop_invalid_ca_bundle(crd: &mut Value) {
    let Some(config) =
        crd.pointer_mut("/spec/conversion/webhook/clientConfig").and_then(Value::as_object_mut)
    else {
        return;
    };
    let valid = match config.get("caBundle").and_then(Value::as_str) {
        None | Some("") => true,
        Some(text) => STANDARD.decode(text).is_ok_and(|pem| is_pem_bundle(&pem)),
    };
    if !valid {
        config.remove("caBundle");
    }
}

/// Whether the bytes hold at least one PEM certificate with a readable body.
fn is_pem_bundle(bytes: &[u8]) -> bool {
    if bytes.is_empty() {
        return true;
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Some((_, rest)) = text.split_once("-----BEGIN CERTIFICATE-----") else { return false };
    let Some((body, _)) = rest.split_once("-----END CERTIFICATE-----") else { return false };
    let body: String = body.split_whitespace().collect();
    // A certificate is a DER SEQUENCE.
    STANDARD.decode(body).is_ok_and(|der| der.first() == Some(&0x30))
}

fn set_metadata<'a>(manifest: &mut Manifest, field: &str, entries: impl Iterator<Item = (&'a str, &'a str)>) {
    let mut entries = entries.peekable();
    if entries.peek().is_none() {
        return;
    }
    let Some(Value::Object(metadata)) = manifest.value_mut().pointer_mut("/metadata") else { return };
    let map = metadata.entry(field).or_insert(Value::Null);
    if !map.is_object() {
        *map = Value::Object(Map::new());
    }
    if let Value::Object(map) = map {
        map.extend(entries.map(|(k, v)| (k.to_owned(), Value::from(v))));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::manager::TEST_MANAGER as MANAGER;
    use serde_json::json;

    fn owner() -> Owner {
        Owner { namespace: "flux-system".into(), name: "apps".into() }
    }

    fn try_prepared(value: Value) -> Result<Value, PrepareError> {
        let manifest = Manifest::new(value, None).unwrap();
        let mut done = prepare(vec![manifest], &MANAGER, &owner(), &CommonMetadata::default())?;
        Ok(done.remove(0).value().clone())
    }

    fn prepared(value: Value) -> Value {
        try_prepared(value).unwrap()
    }

    #[test]
    fn every_object_carries_its_owner() {
        let got = prepared(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": null}}),
        );
        assert_eq!(
            got["metadata"]["labels"],
            json!({"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"})
        );
        assert_eq!(Owner::of(&got, &MANAGER), Some(owner()));
    }

    #[test]
    fn common_metadata_wins_over_the_object() {
        let m = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "annotations": {"x": "1", "y": "2"}}});
        let common = CommonMetadata {
            labels: BTreeMap::from([("team".into(), "a".into())]),
            annotations: BTreeMap::from([("x".into(), "9".into())]),
        };
        let got = prepare(vec![Manifest::new(m, None).unwrap()], &MANAGER, &owner(), &common).unwrap();
        let metadata = &got[0].value()["metadata"];
        assert_eq!(metadata["annotations"], json!({"x": "9", "y": "2"}));
        assert_eq!(metadata["labels"]["team"], "a");
    }

    #[test]
    fn ports_get_their_protocol_in_containers_and_services_only() {
        let spec = json!({"containers": [{"ports": [{"containerPort": 1}, {"containerPort": 2, "protocol": "UDP"}]}],
            "initContainers": [{"ports": [{"containerPort": 3}]}]});
        let meta = json!({"name": "a"});
        for (api_version, kind, value, at) in [
            ("v1", "Pod", spec.clone(), ""),
            ("apps/v1", "Deployment", json!({"template": {"spec": spec}}), "/template/spec"),
            (
                "batch/v1",
                "CronJob",
                json!({"jobTemplate": {"spec": {"template": {"spec": spec}}}}),
                "/jobTemplate/spec/template/spec",
            ),
        ] {
            let got =
                prepared(json!({"apiVersion": api_version, "kind": kind, "metadata": meta, "spec": value}));
            let got = got.pointer(&format!("/spec{at}")).unwrap();
            assert_eq!(got["containers"][0]["ports"][0]["protocol"], "TCP", "{kind}");
            assert_eq!(got["containers"][0]["ports"][1]["protocol"], "UDP", "{kind}");
            assert_eq!(got["initContainers"][0]["ports"][0].get("protocol"), None, "{kind}");
        }
        let got = prepared(
            json!({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"ports": [{"port": 1}]}}),
        );
        assert_eq!(got["spec"]["ports"][0]["protocol"], "TCP");
        let got = prepared(
            json!({"apiVersion": "x.org/v1", "kind": "Service", "metadata": meta, "spec": {"ports": [{"port": 1}]}}),
        );
        assert_eq!(got["spec"]["ports"][0].get("protocol"), None);
    }

    #[test]
    fn string_data_of_secrets_becomes_data_and_wins() {
        let got = prepared(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"},
            "data": {"a": "eA==", "b": "eQ=="}, "stringData": {"a": "z"}}));
        assert_eq!(got["data"], json!({"a": "eg==", "b": "eQ=="}));
        assert_eq!(got.get("stringData"), None);
    }

    #[test]
    fn malformed_string_data_is_left_for_the_server_to_refuse() {
        for string_data in [json!({"a": 1}), json!([1])] {
            let got = prepared(
                json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "stringData": string_data}),
            );
            assert_eq!(got["stringData"], string_data);
        }
    }

    #[test]
    fn encrypted_secrets_are_refused_unless_meant() {
        let secret = |annotations: Value| {
            try_prepared(json!({"apiVersion": "v1", "kind": "Secret", "sops": {"mac": "x"},
                "metadata": {"name": "a", "namespace": "b", "annotations": annotations}}))
        };
        assert_eq!(
            secret(json!({})).unwrap_err().to_string(),
            "Secret/b/a is SOPS encrypted, configuring decryption is required for this secret to be reconciled"
        );
        let meant = secret(json!({"kustomize.toolkit.fluxcd.io/decrypt": "disabled"})).unwrap();
        assert_eq!(meant.get("sops"), None);
    }

    #[test]
    fn status_is_dropped_except_from_definitions() {
        let object = |api: &str, kind: &str| {
            json!({"apiVersion": api, "kind": kind, "status": {"a": 1},
            "metadata": {"name": "a", "creationTimestamp": "2020-01-01T00:00:00Z"}})
        };
        let got = prepared(object("x.org/v1", "Widget"));
        assert_eq!((got.get("status"), got["metadata"].get("creationTimestamp")), (None, None));
        assert!(
            prepared(object("apiextensions.k8s.io/v1", "CustomResourceDefinition")).get("status").is_some()
        );
    }

    #[test]
    fn nulls_of_built_in_kinds_are_no_fields() {
        let got = prepared(
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "annotations": {"x": null}},
            "spec": {"replicas": null, "template": {"spec": {"containers": [{"name": "c", "env": [{"name": "e", "value": null}]}]}}}}),
        );
        assert_eq!(
            got["spec"],
            json!({"template": {"spec": {"containers": [{"name": "c", "env": [{"name": "e"}]}]}}})
        );
        assert_eq!(got["metadata"]["annotations"]["x"], "");
        let got = prepared(
            json!({"apiVersion": "x.org/v1", "kind": "Widget", "metadata": {"name": "a"}, "spec": {"a": null}}),
        );
        assert_eq!(got["spec"], json!({"a": null}));
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "a"}, "rules": null});
        assert_eq!(prepared(role).get("rules"), Some(&Value::Null));
    }

    #[test]
    fn an_unusable_ca_bundle_is_dropped_and_a_good_one_kept() {
        let crd = |bundle: &str| {
            let got = prepared(
                json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                "metadata": {"name": "a"}, "spec": {"conversion": {"webhook": {"clientConfig": {"caBundle": bundle}}}}}),
            );
            got.pointer("/spec/conversion/webhook/clientConfig/caBundle").is_some()
        };
        let pem = |body: &str| {
            STANDARD.encode(format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"))
        };
        assert!(crd(""));
        assert!(crd(&pem("MIIB")));
        assert!(!crd("not base64!"));
        assert!(!crd(&STANDARD.encode("Cg==")));
        assert!(!crd(&pem("****")));
    }
}
