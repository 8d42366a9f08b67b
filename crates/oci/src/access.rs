//! How to reach registries and be let in.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use net::{ClientError, Proxy, TlsConfig};
use reqwest::header::HeaderValue;
use secret::Secret;

/// Who asks. No variant can be printed with its secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Credentials {
    /// Nobody in particular.
    #[default]
    Anonymous,
    /// A user, for the registry or for the token server that it names.
    Basic {
        /// The user.
        username: String,
        /// Its password, may be empty.
        password: Secret,
    },
    /// A refresh token, which the token server exchanges for others (distribution's OAuth2 token authentication). Docker calls it
    /// an identity token.
    RefreshToken(Secret),
    /// A token for the registry itself, sent without an exchange. Docker calls it a registry token.
    Bearer(Secret),
    /// There should be some, but there are none, for this reason. It matters only if the registry asks for credentials.
    Unavailable(String),
}

/// Everything about the way to registries that is the same for all requests. Two equal values may share a [`Client`](crate::Client).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Access {
    /// Whether plain http may be spoken with every registry, not only with local ones. Like with Flux, certificates are then not
    /// checked, unless `tls` says which to trust.
    pub insecure: bool,
    /// Who asks.
    pub credentials: Credentials,
    /// Whom to trust.
    pub tls: TlsConfig,
    /// What to go through, whatever the environment says. Without it `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and
    /// `NO_PROXY` are obeyed.
    pub proxy: Option<Proxy>,
}

/// Why no requests can be sent. The texts about certificates are Flux's.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// Certificates or the proxy cannot be used.
    #[error("{}", .0.in_words_of_flux())]
    Client(#[from] ClientError),
    /// User, password or token cannot be put into a header, for example because of a newline in it.
    #[error("invalid header field value for \"Authorization\"")]
    Credentials,
}

// === impl Credentials ===

impl Credentials {
    /// `Authorization: Basic` (RFC 7617), if there is a user.
    pub(crate) fn basic(&self) -> Result<Option<HeaderValue>, AccessError> {
        match self {
            Credentials::Basic { username, password } if !(username.is_empty() && password.is_empty()) => {
                let pair = STANDARD.encode(format!("{username}:{}", password.expose()));
                sensitive(&format!("Basic {pair}")).map(Some)
            }
            _ => Ok(None),
        }
    }
}

/// A header that the HTTP client does not print either.
pub(crate) fn sensitive(text: &str) -> Result<HeaderValue, AccessError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| AccessError::Credentials)?;
    value.set_sensitive(true);
    Ok(value)
}

// === impl Access ===

impl Access {
    /// An HTTP client that follows no redirects and undoes no compression.
    pub(crate) fn http_client(&self, connect_timeout: Duration) -> Result<reqwest::Client, AccessError> {
        let builder = net::client::builder(&self.tls, self.proxy.as_ref())?
            .user_agent("flux/v2")
            .connect_timeout(connect_timeout)
            .referer(false)
            .tls_danger_accept_invalid_certs(self.insecure && self.tls == TlsConfig::default());
        Ok(builder.build().map_err(ClientError::tls)?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_an_access_are_not_printed() {
        let secret = || Secret::new("hunter2");
        let proxy = Proxy::new("http://me:s%40cret@proxy:3128", None).unwrap();
        let tls = TlsConfig { ca_bundle: None, client: Some((Vec::new(), secret())) };
        for credentials in [
            Credentials::Basic { username: "me".into(), password: secret() },
            Credentials::RefreshToken(secret()),
            Credentials::Bearer(secret()),
        ] {
            let access = Access { insecure: true, credentials, tls: tls.clone(), proxy: Some(proxy.clone()) };
            let debug = format!("{access:?} {:?}", access.credentials.basic().unwrap());
            assert!(
                !debug.contains("hunter2") && !debug.contains("cret@") && !debug.contains("40cret"),
                "{debug}"
            );
        }
        assert!(matches!(sensitive("Bearer a\nb"), Err(AccessError::Credentials)));
    }

    #[test]
    fn unusable_certificates_are_errors() {
        let error = |tls: TlsConfig| {
            let access = Access { tls, ..Access::default() };
            access.http_client(Duration::from_secs(1)).unwrap_err().to_string()
        };
        let garbage = || b"garbage".to_vec();
        assert_eq!(
            error(TlsConfig { ca_bundle: Some(garbage()), client: None }),
            "failed to parse CA certificate: no certificates in the CA bundle"
        );
        let client = error(TlsConfig { ca_bundle: None, client: Some((garbage(), Secret::new("hunter2"))) });
        assert!(client.starts_with("failed to parse TLS certificate and key: "), "{client}");
        assert!(!client.contains("hunter2"));
    }
}
