//! How to reach registries and be let in.

use reqwest::header::HeaderValue;
use secret::Secret;
use url::Url;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::http::causes;

/// Bytes that the address of a proxy may have.
const PROXY_ADDRESS: usize = 2048;

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
}

/// TLS settings beyond the system's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tls {
    /// PEM certificates trusted in addition to the system's.
    pub ca_bundle: Option<Vec<u8>>,
    /// PEM client certificate chain and its private key.
    pub client: Option<(Vec<u8>, Secret)>,
}

/// An HTTP or SOCKS5 proxy. Names are resolved by the proxy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Proxy {
    /// Without user and password.
    url: Url,
    credentials: Option<(String, Secret)>,
}

/// The address is not one of a proxy. The texts are those of [`Proxy`]'s counterpart for Git.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// More bytes than anybody needs.
    #[error("proxy URL exceeds maximum length of {PROXY_ADDRESS} characters")]
    TooLong,
    /// Not a URL at all. The address is not repeated, because a password may be in it.
    #[error("failed to parse proxy address: {0}")]
    Invalid(#[from] url::ParseError),
    /// Nothing that we can speak.
    #[error("proxy URL must use one of the supported schemes (http, https, socks5), got '{0}'")]
    Scheme(String),
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
    pub tls: Tls,
    /// What to go through, whatever the environment says. Without it `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and
    /// `NO_PROXY` are obeyed.
    pub proxy: Option<Proxy>,
}

/// Why no requests can be sent.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The certificates to trust cannot be used.
    #[error("failed to parse CA certificate: {}", causes(.0))]
    CaBundle(#[source] reqwest::Error),
    /// There are no certificates where some should be.
    #[error("failed to parse CA certificate: no certificates")]
    NoCertificates,
    /// The client's certificate or key cannot be used.
    #[error("failed to parse TLS certificate and key: {}", causes(.0))]
    ClientCertificate(#[source] reqwest::Error),
    /// The proxy cannot be used.
    #[error("proxy: {}", causes(.0))]
    Proxy(#[source] reqwest::Error),
    /// User, password or token cannot be put into a header, for example because of a newline in it.
    #[error("invalid header field value for \"Authorization\"")]
    Credentials,
    /// The HTTP client cannot be made.
    #[error("failed to make an HTTP client: {}", causes(.0))]
    Client(#[source] reqwest::Error),
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

// === impl Proxy ===

impl Proxy {
    /// Reads an address such as `http://proxy:3128`; user and password in it are used if there are no `credentials`.
    pub fn new(address: &str, credentials: Option<(String, Secret)>) -> Result<Proxy, ProxyError> {
        if address.len() > PROXY_ADDRESS {
            return Err(ProxyError::TooLong);
        }
        let mut url = Url::parse(address)?;
        if !matches!(url.scheme(), "http" | "https" | "socks5") {
            return Err(ProxyError::Scheme(url.scheme().to_owned()));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(ProxyError::Invalid(url::ParseError::EmptyHost));
        }
        let in_url = (!url.username().is_empty())
            .then(|| (decode(url.username()), Secret::new(decode(url.password().unwrap_or_default()))));
        // Neither can fail: the URL has a host.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        Ok(Proxy { url, credentials: credentials.or(in_url) })
    }

    fn for_http(&self) -> Result<reqwest::Proxy, AccessError> {
        // With `socks5` the client would resolve names itself.
        let address = self.url.as_str().replacen("socks5://", "socks5h://", 1);
        let proxy = reqwest::Proxy::all(address).map_err(|e| AccessError::Proxy(e.without_url()))?;
        Ok(match &self.credentials {
            Some((username, password)) => proxy.basic_auth(username, password.expose()),
            None => proxy,
        })
    }
}

/// User or password of a URL.
fn decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

// === impl Access ===

impl Access {
    /// An HTTP client that follows no redirects and undoes no compression.
    pub(crate) fn http_client(
        &self,
        connect_timeout: std::time::Duration,
    ) -> Result<reqwest::Client, AccessError> {
        let mut builder = reqwest::Client::builder()
            .user_agent("flux/v2")
            .connect_timeout(connect_timeout)
            .pool_max_idle_per_host(4)
            .http1_only()
            .no_gzip()
            .referer(false)
            .redirect(reqwest::redirect::Policy::none());
        if let Some(pem) = &self.tls.ca_bundle {
            let certificates = reqwest::Certificate::from_pem_bundle(pem).map_err(AccessError::CaBundle)?;
            if certificates.is_empty() {
                return Err(AccessError::NoCertificates);
            }
            builder = builder.tls_certs_merge(certificates);
        }
        if let Some((certificate, key)) = &self.tls.client {
            let pem = [certificate, &b"\n"[..], key.expose().as_bytes()].concat();
            let identity = reqwest::Identity::from_pem(&pem).map_err(AccessError::ClientCertificate)?;
            builder = builder.identity(identity);
        }
        if self.insecure && self.tls == Tls::default() {
            builder = builder.tls_danger_accept_invalid_certs(true);
        }
        if let Some(proxy) = &self.proxy {
            builder = builder.proxy(proxy.for_http()?);
        }
        builder.build().map_err(AccessError::Client)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_is_printed() {
        let secret = || Secret::new("hunter2");
        let proxy = Proxy::new("http://me:s%40cret@proxy:3128", None).unwrap();
        assert_eq!(proxy.credentials, Some(("me".into(), Secret::new("s@cret"))));
        let tls = Tls { ca_bundle: None, client: Some((Vec::new(), secret())) };
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
    fn addresses_of_proxies_are_checked() {
        let error = |address: &str| Proxy::new(address, None).unwrap_err().to_string();
        assert_eq!(
            error("ftp://h:1"),
            "proxy URL must use one of the supported schemes (http, https, socks5), got 'ftp'"
        );
        assert_eq!(error(&format!("http://{}", "x".repeat(2048))), ProxyError::TooLong.to_string());
        assert_eq!(error("http://me:secret@h:port"), "failed to parse proxy address: invalid port number");
        assert_eq!(error("socks5://"), "failed to parse proxy address: empty host");
    }

    #[test]
    fn unusable_certificates_are_errors() {
        let error = |tls: Tls| {
            let access = Access { tls, ..Access::default() };
            access.http_client(std::time::Duration::from_secs(1)).unwrap_err().to_string()
        };
        let garbage = || b"garbage".to_vec();
        assert_eq!(
            error(Tls { ca_bundle: Some(garbage()), client: None }),
            "failed to parse CA certificate: no certificates"
        );
        let client = error(Tls { ca_bundle: None, client: Some((garbage(), Secret::new("hunter2"))) });
        assert!(client.starts_with("failed to parse TLS certificate and key: "), "{client}");
        assert!(!client.contains("hunter2"));
    }
}
