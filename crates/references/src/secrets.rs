//! The Secrets of one namespace, as a spec names them. They are read when they are needed, never watched.

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use net::{Proxy, TlsConfig};

use crate::{GetError, SecretData, SecretDataError, get};

/// Why a Secret is of no use.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// There is none of this name, which is `<namespace>/<name>`.
    #[error("secret '{0}' not found")]
    NotFound(String),
    /// It cannot be read.
    #[error("failed to get secret '{name}': {source}")]
    Get {
        /// `<namespace>/<name>`.
        name: String,
        /// What the API server says.
        source: GetError,
    },
    /// It lacks something.
    #[error(transparent)]
    Data(#[from] SecretDataError),
}

/// The Secrets of one namespace.
pub struct Secrets {
    api: Api<Secret>,
    namespace: String,
}

impl Secrets {
    /// The Secrets of `namespace`, read with the identity of `client`.
    pub fn new(client: &Client, namespace: &str) -> Secrets {
        Secrets { api: Api::namespaced(client.clone(), namespace), namespace: namespace.to_owned() }
    }

    /// `<namespace>/<name>`, for messages.
    pub fn full_name(&self, name: &str) -> String {
        format!("{}/{name}", self.namespace)
    }

    /// The Secret `name` as it is, with the error as it is.
    ///
    /// # Errors
    /// For a name that is none, and what the API server says.
    pub async fn get(&self, name: &str) -> Result<Secret, GetError> {
        get(&self.api, name).await
    }

    /// The values of the Secret `name`, with the error as it is.
    ///
    /// # Errors
    /// See [`Secrets::get`].
    pub async fn data(&self, name: &str) -> Result<SecretData, GetError> {
        Ok(SecretData::of(&self.namespace, name, self.get(name).await?))
    }

    /// The trust and the client certificate of the Secret `name`, see [`SecretData::certificates`].
    ///
    /// # Errors
    /// When there is no such Secret, and for one without what is needed.
    pub async fn tls(&self, name: &str) -> Result<TlsConfig, SecretError> {
        Ok(self.named(name).await?.certificates()?)
    }

    /// The proxy of the Secret `name`, see [`SecretData::proxy`].
    ///
    /// # Errors
    /// When there is no such Secret, and for one without what is needed.
    pub async fn proxy(&self, name: &str) -> Result<Proxy, SecretError> {
        Ok(self.named(name).await?.proxy()?)
    }

    async fn named(&self, name: &str) -> Result<SecretData, SecretError> {
        self.data(name).await.map_err(|source| match source.is_not_found() {
            true => SecretError::NotFound(self.full_name(name)),
            false => SecretError::Get { name: self.full_name(name), source },
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::get::tests::server;

    #[tokio::test]
    async fn a_secret_error_names_the_secret_and_the_cause() {
        for (code, name, message) in [
            (404, "s", "secret 'apps/s' not found"),
            (403, "s", "failed to get secret 'apps/s': what the server says"),
            (
                404,
                "../s",
                "failed to get secret 'apps/../s': invalid resource name \"../s\": may not contain '/'",
            ),
        ] {
            let secrets = Secrets::new(&server(code).0, "apps");
            assert_eq!(secrets.tls(name).await.unwrap_err().to_string(), message);
            assert_eq!(secrets.proxy(name).await.unwrap_err().to_string(), message);
        }
    }
}
