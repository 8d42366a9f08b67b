//! The part of [`runtime::preflight`] that judges Kustomizations, by the functions with which a pass refuses a spec.

use std::collections::BTreeSet;

use api::{Kustomization, kustomize, source};
use references::account_of;
use runtime::{
    error::chain,
    preflight::{Preflight, PreflightError, Right},
};

use crate::{Arguments, health::health_rules, limits, sources};

/// What the service account has to be allowed, beside what all controllers are and what it applies.
pub const RIGHTS: [Right; 21] = [
    ("get", kustomize::GROUP, "kustomizations"),
    ("list", kustomize::GROUP, "kustomizations"),
    ("watch", kustomize::GROUP, "kustomizations"),
    ("patch", kustomize::GROUP, "kustomizations"),
    ("patch", kustomize::GROUP, "kustomizations/status"),
    ("list", source::GROUP, "gitrepositories"),
    ("watch", source::GROUP, "gitrepositories"),
    ("list", source::GROUP, "ocirepositories"),
    ("watch", source::GROUP, "ocirepositories"),
    ("list", source::GROUP, "buckets"),
    ("watch", source::GROUP, "buckets"),
    ("list", source::GROUP, "externalartifacts"),
    ("watch", source::GROUP, "externalartifacts"),
    ("get", "", "configmaps"),
    ("list", "", "configmaps"),
    ("watch", "", "configmaps"),
    ("get", "", "secrets"),
    ("list", "", "secrets"),
    ("watch", "", "secrets"),
    ("get", "", "serviceaccounts"),
    ("impersonate", "", "serviceaccounts"),
];

/// What it needs beside that where Kustomizations have identities of their own: `spec.decryption.serviceAccountName`, and service
/// accounts of ConfigMaps of `spec.kubeConfig`.
pub const IDENTITY_RIGHTS: [Right; 1] = [("create", "", "serviceaccounts/token")];

/// Judges the Kustomizations that a process with these arguments would look after.
///
/// # Errors
/// When the API server refuses or does not answer.
pub async fn look(preflight: &mut Preflight, arguments: &Arguments) -> Result<(), PreflightError> {
    let mut needed = BTreeSet::new();
    let refusals = |object: &Kustomization| {
        needed.extend(identity_rights(object));
        refusals(object, arguments)
    };
    preflight.look_at(refusals).await?;
    preflight.require(&Vec::from_iter(needed)).await
}

/// What a Kustomization with an identity of its own needs. A default account for decryption does not count: keys of Secrets, which most
/// have, need none.
fn identity_rights(object: &Kustomization) -> impl Iterator<Item = Right> {
    let decryption = object
        .spec
        .decryption
        .as_ref()
        .is_some_and(|spec| account_of(spec.service_account_name.as_deref(), None).is_some());
    let cluster = object.spec.kube_config.as_ref().is_some_and(|spec| spec.config_map_ref.is_some());
    IDENTITY_RIGHTS.into_iter().filter(move |_| decryption || cluster)
}

/// Why passes over a Kustomization would refuse its spec.
fn refusals(object: &Kustomization, arguments: &Arguments) -> Vec<String> {
    let expressions = health_rules(object, arguments).err().map(|error| chain(&error));
    let refusals = [limits::excess(&object.spec), expressions, sources::denied(object, arguments)];
    refusals.into_iter().flatten().collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use api::KustomizationSpec;

    use super::*;

    #[test]
    fn what_a_pass_would_refuse_depends_on_the_flags() {
        let refusals = |kind: &str, namespace: &str, flags: &[&str]| {
            let mut object = Kustomization::new("app", KustomizationSpec::default());
            object.metadata.namespace = Some("own".to_owned());
            object.spec.source_ref.kind = kind.to_owned();
            object.spec.source_ref.name = "s".to_owned();
            object.spec.source_ref.namespace = Some(namespace.to_owned());
            let arguments = runtime::flags::try_parse_from([&["kustomize-controller"], flags].concat());
            super::refusals(&object, &arguments.unwrap())
        };
        let none = [""; 0];
        let lockdown = ["--no-cross-namespace-refs"];
        assert_eq!(refusals("GitRepository", "other", &[]), none);
        assert_eq!(refusals("GitRepository", "own", &lockdown), none);
        assert_eq!(
            refusals("GitRepository", "other", &lockdown),
            ["can't access 'GitRepository/other/s', cross-namespace references have been blocked"]
        );
        let disabled = "can't access 'ExternalArtifact/own/s', ExternalArtifact feature gate is disabled";
        assert_eq!(refusals("ExternalArtifact", "own", &[]), none);
        assert_eq!(
            refusals("ExternalArtifact", "own", &["--feature-gates=ExternalArtifact=false"]),
            [disabled]
        );
    }

    #[test]
    fn tokens_are_needed_for_identities_alone() {
        let needed = |spec: serde_json::Value| {
            let mut all = serde_json::json!({"interval": "1h", "prune": true, "sourceRef": {"kind": "GitRepository", "name": "s"}});
            all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
            let object = Kustomization::new("app", serde_json::from_value(all).unwrap());
            identity_rights(&object).count() > 0
        };
        for (spec, expected) in [
            (serde_json::json!({}), false),
            (serde_json::json!({"serviceAccountName": "a"}), false),
            (serde_json::json!({"decryption": {"provider": "sops"}}), false),
            (serde_json::json!({"decryption": {"provider": "sops", "serviceAccountName": ""}}), false),
            (serde_json::json!({"decryption": {"provider": "sops", "serviceAccountName": "a"}}), true),
            (serde_json::json!({"kubeConfig": {"secretRef": {"name": "s"}}}), false),
            (serde_json::json!({"kubeConfig": {"configMapRef": {"name": "c"}}}), true),
        ] {
            assert_eq!(needed(spec.clone()), expected, "{spec}");
        }
    }
}
