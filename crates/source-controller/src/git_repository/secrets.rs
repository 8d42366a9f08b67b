//! The Secrets that a spec names. They are read when they are needed, never watched.

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use net::Proxy;

use super::auth::{self, SecretData};
use super::failure::{Failure, reason};

/// The Secrets of one namespace.
pub struct Secrets<'a> {
    api: Api<Secret>,
    namespace: &'a str,
}

impl<'a> Secrets<'a> {
    /// The Secrets of `namespace`.
    pub fn new(client: &Client, namespace: &'a str) -> Self {
        Secrets { api: Api::namespaced(client.clone(), namespace), namespace }
    }

    /// What `spec.secretRef` names.
    pub async fn credentials(&self, name: &str) -> Result<SecretData, Failure> {
        let secret = self.api.get(name).await.map_err(|error| {
            let (full, why) = (self.full_name(name), api_error(&error));
            // Upstream says it twice, and people search for it.
            let message = format!("failed to get secret '{full}': failed to get secret '{full}': {why}");
            Failure::fetch(reason::AUTHENTICATION_FAILED, message)
        })?;
        Ok(secret.data.unwrap_or_default())
    }

    /// The proxy that `spec.proxySecretRef` names.
    pub async fn proxy(&self, name: &str) -> Result<Proxy, Failure> {
        let full = self.full_name(name);
        let secret = self.api.get(name).await.map_err(|error| match &error {
            kube::Error::Api(status) if status.code == 404 => format!("secret '{full}' not found"),
            _ => format!("failed to get secret '{full}': {}", api_error(&error)),
        });
        let proxy = secret.and_then(|secret| auth::proxy(&full, &secret.data.unwrap_or_default()));
        proxy.map_err(|why| {
            Failure::fetch(reason::AUTHENTICATION_FAILED, format!("failed to configure proxy options: {why}"))
        })
    }

    /// The keys that `spec.verify.secretRef` names.
    pub async fn keys(&self, name: &str) -> Result<Secret, Failure> {
        self.api.get(name).await.map_err(|error| {
            let message = format!("public keys secret error: {}", api_error(&error));
            Failure::verification(reason::VERIFICATION_ERROR, message)
        })
    }

    /// `<namespace>/<name>`.
    pub fn full_name(&self, name: &str) -> String {
        format!("{}/{name}", self.namespace)
    }
}

/// What the API server says is wrong, in its own words.
pub fn api_error(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => runtime::error::chain(other),
    }
}
