//! HTTP clients with the trust, the identity and the proxy that somebody asked for.

use std::time::Duration;

use secret::Secret;

use crate::{Proxy, causes};

/// How long it may take to reach a server, or the proxy before it.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Idle connections kept to one host.
const IDLE_CONNECTIONS_PER_HOST: usize = 4;

/// TLS settings beyond the system's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct TlsConfig {
    /// PEM certificates trusted in addition to the system's.
    pub ca_bundle: Option<Vec<u8>>,
    /// PEM client certificate chain and its private key.
    pub client: Option<(Vec<u8>, Secret)>,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The CA bundle could not be used.
    #[error("invalid TLS configuration: {0}")]
    CaBundle(String),
    /// The client certificate or its key could not be used.
    #[error("invalid TLS configuration: {0}")]
    ClientCertificate(String),
    /// Something of the whole configuration could not be used.
    #[error("invalid TLS configuration: {0}")]
    Tls(String),
    /// The proxy's address could not be used.
    #[error("proxy: {0}")]
    Proxy(String),
}

/// The settings of a client with this trust and this proxy.
///
/// It speaks HTTP/1.1, follows no redirects and unpacks no bodies: callers say which redirects may be followed with which
/// credentials. Without a proxy of its own it obeys `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`. A caller may
/// change the settings, for example the `User-Agent`.
///
/// # Errors
/// For certificates, keys and addresses of proxies that cannot be used.
pub fn builder(tls: &TlsConfig, proxy: Option<&Proxy>) -> Result<reqwest::ClientBuilder, ClientError> {
    let mut builder = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_PER_HOST)
        .http1_only()
        .no_gzip()
        .redirect(reqwest::redirect::Policy::none());
    if let Some(pem) = &tls.ca_bundle {
        let certificates = reqwest::Certificate::from_pem_bundle(pem)
            .map_err(|error| ClientError::CaBundle(causes(&error)))?;
        if certificates.is_empty() {
            return Err(ClientError::CaBundle("no certificates in the CA bundle".to_owned()));
        }
        builder = builder.tls_certs_merge(certificates);
    }
    if let Some((certificate, key)) = &tls.client {
        let mut pem = certificate.clone();
        pem.push(b'\n');
        pem.extend_from_slice(key.expose().as_bytes());
        let identity = reqwest::Identity::from_pem(&pem);
        builder = builder.identity(identity.map_err(|error| ClientError::ClientCertificate(causes(&error)))?);
    }
    if let Some(proxy) = proxy {
        builder = builder.proxy(proxy.for_http()?);
    }
    Ok(builder)
}

impl ClientError {
    /// What Flux says of a Secret with certificates that cannot be used.
    pub fn in_words_of_flux(&self) -> String {
        match self {
            ClientError::CaBundle(cause) => format!("failed to parse CA certificate: {cause}"),
            ClientError::ClientCertificate(cause) => {
                format!("failed to parse TLS certificate and key: {cause}")
            }
            ClientError::Tls(_) | ClientError::Proxy(_) => self.to_string(),
        }
    }

    /// What building a client says of its certificates.
    pub fn tls(error: reqwest::Error) -> Self {
        ClientError::Tls(causes(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_that_cannot_be_used_are_named() {
        let ca = |pem: &[u8]| TlsConfig { ca_bundle: Some(pem.to_vec()), ..TlsConfig::default() };
        let error =
            |tls: &TlsConfig| builder(tls, None).err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(error(&TlsConfig::default()), "");
        assert_eq!(error(&ca(b"")), "invalid TLS configuration: no certificates in the CA bundle");
        let client =
            TlsConfig { client: Some((b"no PEM".to_vec(), Secret::new("s3cret"))), ..TlsConfig::default() };
        let text = error(&client);
        assert!(text.starts_with("invalid TLS configuration: ") && !text.contains("s3cret"), "{text}");
    }
}
