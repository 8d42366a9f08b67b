//! From what a HelmRepository says to what lets into its registry.

use ::oci::{Access, Credentials, Repository};
use api::helm_repository::HelmRepository;
use k8s_openapi::api::core::v1::Secret as KubernetesSecret;
use kube::ResourceExt;
use net::TlsConfig;
use references::{PullCredentials, PullSecrets};
use secret::Secret;
use source::failure::Failure;
use source::timeout;

use super::{HelmCharts, failure, remote};
use crate::helm_repository::KIND;
use crate::registry::{OpenError, Session, Wanted};

/// Lets a repository into the registry that has `chart`: by `secret`, which is the one that it names, else by what its provider
/// gives the controller.
///
/// # Errors
/// When the Secret has nothing for the registry.
pub async fn registry<'a>(
    charts: &'a HelmCharts,
    repository: &'a HelmRepository,
    chart: &'a Repository,
    tls: TlsConfig,
    secret: Option<&KubernetesSecret>,
) -> Result<Session<'a>, Failure> {
    let (spec, metadata) = (&repository.spec, &repository.metadata);
    let wanted = Wanted {
        kind: KIND,
        namespace: metadata.namespace.as_deref().unwrap_or_default(),
        name: metadata.name.as_deref().unwrap_or_default(),
        repository: chart,
        url: &spec.url,
        insecure: spec.insecure,
        provider: spec.provider,
        account: None,
        secret: spec.secret_ref.as_ref(),
        certificates: spec.cert_secret_ref.as_ref(),
        proxy: None,
        timeout: timeout(repository, charts.max_timeout),
    };
    let credentials = match secret {
        Some(secret) => credentials(secret, chart.registry().host(), chart.name()).map_err(|why| {
            failure::authentication(format!("failed to configure OCI registry authentication: {why}"))
        })?,
        None => Credentials::Anonymous,
    };
    let access = Access { insecure: spec.insecure, credentials, tls, proxy: None };
    charts.registries.open_with(wanted, access).await.map_err(|error| match error {
        OpenError::Transport { source, .. } => remote::tls(source.to_string()),
        error => failure::authentication(format!("failed to configure OCI registry authentication: {error}")),
    })
}

fn credentials(secret: &KubernetesSecret, host: &str, repository: &str) -> Result<Credentials, String> {
    let name = secret.name_any();
    if secret.type_.as_deref() == Some("kubernetes.io/dockerconfigjson") {
        let pulls = PullSecrets::of(std::slice::from_ref(secret))
            .map_err(|error| format!("unable to load Docker config from Secret '{name}': {error}"))?;
        let found = pulls.find(host, repository);
        let found = found
            .ok_or_else(|| format!("no auth config for '{host}' in the docker-registry Secret '{name}'"))?;
        return Ok(match found {
            PullCredentials::Basic { username, password } => Credentials::Basic { username, password },
            PullCredentials::IdentityToken(token) => Credentials::RefreshToken(token),
            PullCredentials::RegistryToken(token) => Credentials::Bearer(token),
        });
    }
    match (value(secret, "username"), value(secret, "password")) {
        (Some(username), Some(password)) => {
            Ok(Credentials::Basic { username, password: Secret::new(password) })
        }
        (None, None) => Ok(Credentials::Anonymous),
        _ => Err(format!("invalid '{name}' secret data: required fields 'username' and 'password'")),
    }
}

/// The text of a key, unless it is empty.
fn value(secret: &KubernetesSecret, key: &str) -> Option<String> {
    let bytes = &secret.data.as_ref()?.get(key)?.0;
    Some(String::from_utf8_lossy(bytes).into_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret(kind: &str, data: serde_json::Value) -> KubernetesSecret {
        serde_json::from_value(
            json!({"metadata": {"name": "s", "namespace": "ns"}, "type": kind, "data": data}),
        )
        .unwrap()
    }

    #[test]
    fn a_user_and_a_password_let_in_and_half_of_them_is_told_as_by_flux() {
        let half = credentials(&secret("Opaque", json!({"username": "dXNlcg=="})), "h", "a/b");
        assert_eq!(half.unwrap_err(), "invalid 's' secret data: required fields 'username' and 'password'");
        let both = secret("Opaque", json!({"username": "dXNlcg==", "password": "cA=="}));
        assert!(matches!(credentials(&both, "h", "a/b"), Ok(Credentials::Basic { .. })));
        let none = secret("Opaque", json!({"ca.crt": "dXNlcg=="}));
        assert!(matches!(credentials(&none, "h", "a/b"), Ok(Credentials::Anonymous)));
    }

    #[test]
    fn a_docker_config_is_for_its_registries_alone() {
        // {"auths":{"h:5000":{"auth":"dTpw"}}}
        let config = json!({".dockerconfigjson": "eyJhdXRocyI6eyJoOjUwMDAiOnsiYXV0aCI6ImRUcHcifX19"});
        let secret = secret("kubernetes.io/dockerconfigjson", config);
        assert!(matches!(credentials(&secret, "h:5000", "a/b"), Ok(Credentials::Basic { .. })));
        let other = credentials(&secret, "h:5001", "a/b").unwrap_err();
        assert_eq!(other, "no auth config for 'h:5001' in the docker-registry Secret 's'");
    }
}
