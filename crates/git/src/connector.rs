//! Opens sessions, over http(s) and SSH.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::blocking::Client;

use crate::http::{Caller, Greetings, describe};
use crate::remote::{Remote, TlsConfig};
use crate::session::Dial;
use crate::ssh::{Algorithms, Dialler};
use crate::wire::Wire;
use crate::{Budget, Limits, Proxy, Session, TransportError};

/// How long it may take to reach a server, or the proxy before it.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Opens sessions; keeps one HTTP client (and its idle connections) for each set of TLS settings and proxy in use.
#[derive(Debug, Default)]
pub struct Connector {
    clients: Mutex<HashMap<(TlsConfig, Option<Proxy>), Client>>,
    greetings: Greetings,
    ssh: Algorithms,
}

impl Connector {
    /// Clients kept before all are dropped and made anew.
    const CLIENTS: usize = 64;

    /// A connector that restricts SSH to these algorithms.
    pub fn new(ssh: Algorithms) -> Connector {
        Connector { ssh, ..Connector::default() }
    }

    /// Connects and shakes hands with the server. Blocks; must not be called on a thread that drives asynchronous tasks.
    pub fn connect(
        &self,
        remote: &Remote,
        limits: &Limits,
        budget: &Budget,
    ) -> Result<Session, TransportError> {
        let wire = Wire::new(budget.clone());
        let dial: Box<dyn Dial> = match remote.is_ssh() {
            true => Box::new(Dialler::new(remote, &self.ssh, wire.clone())?),
            false => {
                let greetings = self.greetings.clone();
                Box::new(Caller::new(remote, self.client(remote)?, greetings, wire.clone())?)
            }
        };
        Session::start(dial, wire, limits.clone())
    }

    fn client(&self, remote: &Remote) -> Result<Client, TransportError> {
        let key = (remote.tls.clone(), remote.proxy.clone());
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let client = build_client(&remote.tls, remote.proxy.as_ref())?;
        if clients.len() >= Self::CLIENTS {
            clients.clear();
        }
        clients.insert(key, client.clone());
        Ok(client)
    }
}

fn build_client(tls: &TlsConfig, proxy: Option<&Proxy>) -> Result<Client, TransportError> {
    reqwest::blocking::ClientBuilder::from(http_client(tls, proxy)?).build().map_err(invalid)
}

/// The settings of an HTTP client with this trust and this proxy, for whoever asks another server for credentials, too. It follows
/// no redirects. Without a proxy of its own it obeys `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`.
pub fn http_client(tls: &TlsConfig, proxy: Option<&Proxy>) -> Result<reqwest::ClientBuilder, TransportError> {
    let mut builder = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_max_idle_per_host(4)
        .http1_only()
        .no_gzip()
        .redirect(reqwest::redirect::Policy::none());
    if let Some(pem) = &tls.ca_bundle {
        let certificates = reqwest::Certificate::from_pem_bundle(pem).map_err(invalid)?;
        if certificates.is_empty() {
            return Err(TransportError::Tls("no certificates in the CA bundle".to_owned()));
        }
        builder = builder.tls_certs_merge(certificates);
    }
    if let Some((certificate, key)) = &tls.client {
        let mut pem = certificate.clone();
        pem.push(b'\n');
        pem.extend_from_slice(key.expose().as_bytes());
        builder = builder.identity(reqwest::Identity::from_pem(&pem).map_err(invalid)?);
    }
    if let Some(proxy) = proxy {
        builder = builder.proxy(proxy.for_http()?);
    }
    Ok(builder)
}

fn invalid(error: reqwest::Error) -> TransportError {
    TransportError::Tls(describe(&error))
}
