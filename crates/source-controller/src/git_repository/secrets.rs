//! The Secrets that a spec names. They are read when they are needed, never watched.

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use net::Proxy;
use references::{GetError, SecretData, get};

use source::failure::{Failure, reason};

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
        self.data(name).await.map_err(|error| {
            let full = self.full_name(name);
            // Upstream says it twice, and people search for it.
            let message = format!("failed to get secret '{full}': failed to get secret '{full}': {error}");
            Failure::fetch(reason::AUTHENTICATION_FAILED, message)
        })
    }

    /// The proxy that `spec.proxySecretRef` names.
    pub async fn proxy(&self, name: &str) -> Result<Proxy, Failure> {
        let failed = |why| {
            Failure::fetch(reason::AUTHENTICATION_FAILED, format!("failed to configure proxy options: {why}"))
        };
        let full = self.full_name(name);
        let data = self.data(name).await.map_err(|error| match error.is_not_found() {
            true => failed(format!("secret '{full}' not found")),
            false => failed(format!("failed to get secret '{full}': {error}")),
        })?;
        data.proxy().map_err(|error| failed(error.to_string()))
    }

    /// The keys that `spec.verify.secretRef` names.
    pub async fn keys(&self, name: &str) -> Result<Secret, Failure> {
        get(&self.api, name).await.map_err(|error| {
            Failure::verification(reason::VERIFICATION_ERROR, format!("public keys secret error: {error}"))
        })
    }

    async fn data(&self, name: &str) -> Result<SecretData, GetError> {
        Ok(SecretData::of(self.namespace, name, get(&self.api, name).await?))
    }

    /// `<namespace>/<name>`.
    fn full_name(&self, name: &str) -> String {
        format!("{}/{name}", self.namespace)
    }
}
