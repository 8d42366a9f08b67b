//! The way to an API server: which addresses may be connected to, and through which proxy.

use std::{net::SocketAddr, time::Duration};

use http::{HeaderValue, Uri};
use hyper_util::{
    client::legacy::connect::{
        HttpConnector,
        dns::Name,
        proxy::{SocksV5, Tunnel},
    },
    rt::TokioIo,
};
use net::{AddressPolicy, Proxy, Refused};
use tokio::net::TcpStream;
use tower::{BoxError, ServiceExt, util::BoxCloneSyncService};

/// Opens TCP connections, to the server or through the proxy.
pub(super) type Tcp = BoxCloneSyncService<Uri, TokioIo<TcpStream>, BoxError>;

/// How a server is reached. By default directly, at any address.
#[derive(Clone, Debug, Default)]
pub struct Route {
    /// Which addresses may be connected to, those of the proxy included; `None` allows all. Servers behind a proxy are judged by
    /// it.
    pub addresses: Option<AddressPolicy>,
    /// The proxy. Names are resolved there.
    pub proxy: Option<Proxy>,
}

/// There is no such way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// A proxy that is spoken to in TLS.
    #[error("proxies of the scheme {0} are not supported for API servers, only http and socks5")]
    Scheme(String),
    /// The proxy is at an address that may not be connected to.
    #[error("the proxy cannot be used: {0}")]
    Refused(#[from] Refused),
    /// The proxy cannot be named in a request.
    #[error("the proxy cannot be used: {0}")]
    Invalid(String),
}

impl Route {
    /// What opens connections this way, each within `timeout`.
    pub(super) fn connector(&self, timeout: Duration) -> Result<Tcp, RouteError> {
        let direct = self.direct(timeout);
        let Some(proxy) = &self.proxy else { return Ok(direct) };
        let url = proxy.url();
        self.addresses.as_ref().map_or(Ok(()), |addresses| addresses.check_url(url))?;
        let invalid = |error: http::Error| RouteError::Invalid(error.to_string());
        let host = url.host_str().unwrap_or_default();
        let at = |port: u16| {
            let authority = format!("{host}:{}", url.port().unwrap_or(port));
            Uri::builder().scheme("http").authority(authority).path_and_query("/").build().map_err(invalid)
        };
        match url.scheme() {
            "http" => {
                let mut tunnel = Tunnel::new(at(80)?, direct);
                if let Some((user, password)) = proxy.credentials() {
                    tunnel = tunnel.with_auth(basic(user, password.expose()).map_err(|e| invalid(e.into()))?);
                }
                Ok(BoxCloneSyncService::new(tunnel.map_err(BoxError::from)))
            }
            "socks5" => {
                let mut socks = SocksV5::new(at(1080)?, direct);
                if let Some((user, password)) = proxy.credentials() {
                    socks = socks.with_auth(user.to_owned(), password.expose().to_owned());
                }
                Ok(BoxCloneSyncService::new(socks.map_err(BoxError::from)))
            }
            other => Err(RouteError::Scheme(other.to_owned())),
        }
    }

    /// Connections to what a URL names, or to the proxy.
    fn direct(&self, timeout: Duration) -> Tcp {
        let addresses = self.addresses.clone();
        let resolver = tower::service_fn(move |name: Name| {
            let addresses = addresses.clone();
            async move {
                let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
                let permitted = match addresses {
                    Some(addresses) => addresses.select(name.as_str(), found)?,
                    None => found,
                };
                Ok::<_, BoxError>(permitted.into_iter())
            }
        });
        let mut tcp = HttpConnector::new_with_resolver(resolver);
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(timeout));
        BoxCloneSyncService::new(tcp.map_err(BoxError::from))
    }
}

fn basic(user: &str, password: &str) -> Result<HeaderValue, http::header::InvalidHeaderValue> {
    use base64::{Engine, prelude::BASE64_STANDARD};
    HeaderValue::from_str(&format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))))
}
