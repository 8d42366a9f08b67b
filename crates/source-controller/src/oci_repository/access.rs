//! From the Secrets of a spec to what lets it into a registry.

use api::oci_repository::OciRepository;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt};
use net::redact;
use oci::{Access, Credentials, Repository};
use references::{GetError, PullCredentials, PullSecrets, SecretData, get};
use source::failure::{Failure, reason};

/// The pull secret, the certificates and the proxy that the spec names.
pub async fn of(client: &Client, object: &OciRepository, repository: &Repository) -> Result<Access, Failure> {
    let (spec, namespace) = (&object.spec, object.namespace().unwrap_or_default());
    let api: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let failed = |why: String| Failure::fetch(reason::AUTHENTICATION_FAILED, why);
    let full = |name: &str| format!("{namespace}/{name}");
    let missing = |name: &str, error: &GetError| match error.is_not_found() {
        true => format!("secret '{}' not found", full(name)),
        false => format!("failed to get secret '{}': {error}", full(name)),
    };
    let mut access = Access { insecure: spec.insecure, ..Access::default() };
    if let Some(reference) = &spec.secret_ref {
        let name = &reference.name;
        let secret = get(&api, name).await.map_err(|error| {
            failed(format!("failed to get credential: failed to get secret '{}': {error}", full(name)))
        })?;
        let secrets = PullSecrets::of(&[secret])
            .map_err(|error| failed(format!("failed to get credential: {error}")))?;
        let found = secrets.find(repository.registry().host(), repository.name());
        access.credentials = found.map(credentials).unwrap_or_default();
    }
    if let Some(reference) = &spec.cert_secret_ref {
        let name = &reference.name;
        let bad = |why: String| {
            failed(format!("failed to generate transport for '{}': {why}", redact(&object.spec.url)))
        };
        let secret = get(&api, name).await.map_err(|error| bad(missing(name, &error)))?;
        access.tls =
            SecretData::of(&namespace, name, secret).tls().map_err(|error| bad(error.to_string()))?;
    }
    if let Some(reference) = &spec.proxy_secret_ref {
        let name = &reference.name;
        let bad = |why: String| failed(format!("failed to get proxy address: {why}"));
        let secret = get(&api, name).await.map_err(|error| bad(missing(name, &error)))?;
        let proxy = SecretData::of(&namespace, name, secret).proxy();
        access.proxy = Some(proxy.map_err(|error| bad(error.to_string()))?);
    }
    Ok(access)
}

fn credentials(found: PullCredentials) -> Credentials {
    match found {
        PullCredentials::Basic { username, password } => Credentials::Basic { username, password },
        PullCredentials::IdentityToken(token) => Credentials::RefreshToken(token),
        PullCredentials::RegistryToken(token) => Credentials::Bearer(token),
    }
}
