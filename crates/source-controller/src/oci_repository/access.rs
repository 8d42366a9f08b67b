//! From the Secrets of a spec to what lets it into a registry.

use api::oci_repository::OciRepository;
use kube::{Client, ResourceExt};
use net::redact;
use oci::{Access, Credentials, Repository};
use references::{PullCredentials, PullSecrets, Secrets};
use source::failure::{Failure, reason};

/// The pull secret, the certificates and the proxy that the spec names.
pub async fn of(client: &Client, object: &OciRepository, repository: &Repository) -> Result<Access, Failure> {
    let (spec, secrets) = (&object.spec, Secrets::new(client, &object.namespace().unwrap_or_default()));
    let failed = |message| Failure::fetch(reason::AUTHENTICATION_FAILED, message);
    let mut access = Access { insecure: spec.insecure, ..Access::default() };
    if let Some(reference) = &spec.secret_ref {
        let secret = secrets.get(&reference.name).await.map_err(|error| {
            let full = secrets.full_name(&reference.name);
            failed(format!("failed to get credential: failed to get secret '{full}': {error}"))
        })?;
        let pull = PullSecrets::of(&[secret])
            .map_err(|error| failed(format!("failed to get credential: {error}")))?;
        let found = pull.find(repository.registry().host(), repository.name());
        access.credentials = found.map(credentials).unwrap_or_default();
    }
    if let Some(reference) = &spec.cert_secret_ref {
        access.tls = secrets.tls(&reference.name).await.map_err(|error| {
            failed(format!("failed to generate transport for '{}': {error}", redact(&spec.url)))
        })?;
    }
    if let Some(reference) = &spec.proxy_secret_ref {
        let proxy = secrets.proxy(&reference.name).await;
        access.proxy = Some(proxy.map_err(|error| failed(format!("failed to get proxy address: {error}")))?);
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
