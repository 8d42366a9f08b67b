//! Opens sessions, over http(s) and SSH.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use net::{AddressPolicy, ClientError, Deadline, Proxy, TlsConfig};

use crate::connection::Connection;
use crate::http::{AdvertisementCache, Client, Driver, HttpTransport};
use crate::remote::Remote;
use crate::session::Connect;
use crate::ssh::{Algorithms, SshTransport};
use crate::{Limits, Session, TransportError};

/// Opens sessions; keeps one HTTP client (and its idle connections) for each set of TLS settings and proxy in use.
#[derive(Debug, Default)]
pub struct Connector {
    clients: Mutex<Clients>,
    advertisements: AdvertisementCache,
    ssh: Algorithms,
    /// Where servers over http(s) may be; anywhere if there is none.
    addresses: Option<AddressPolicy>,
}

#[derive(Debug, Default)]
struct Clients {
    by_settings: HashMap<(TlsConfig, Option<Proxy>), Client>,
    /// Once there is a client.
    driver: Option<Arc<Driver>>,
}

impl Connector {
    /// Clients kept before all are dropped and made anew.
    const MAX_CLIENTS: usize = 64;

    /// A connector that restricts SSH to these algorithms.
    pub fn new(ssh: Algorithms) -> Connector {
        Connector { ssh, ..Connector::default() }
    }

    /// A connector whose connections over http(s) lead to permitted addresses only, those after a redirect included. The
    /// caller refuses SSH, and trusts a proxy to judge the names that it resolves.
    pub fn within(addresses: AddressPolicy) -> Connector {
        Connector { addresses: Some(addresses), ..Connector::default() }
    }

    /// Connects and shakes hands with the server. Blocks; must not be called on a thread that drives asynchronous tasks.
    pub fn connect(
        &self,
        remote: &Remote,
        limits: &Limits,
        deadline: &Deadline,
    ) -> Result<Session, TransportError> {
        let connection = Connection::new(deadline.clone(), limits.memory.clone());
        let connect: Box<dyn Connect> = match remote.is_ssh() {
            true => Box::new(SshTransport::new(remote, &self.ssh, connection.clone())?),
            false => {
                let advertisements = self.advertisements.clone();
                Box::new(HttpTransport::new(
                    remote,
                    self.client(remote)?,
                    self.addresses.clone(),
                    advertisements,
                    connection.clone(),
                )?)
            }
        };
        Session::start(connect, connection, limits.clone())
    }

    fn client(&self, remote: &Remote) -> Result<Client, TransportError> {
        let key = (remote.tls.clone(), remote.proxy.clone());
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.by_settings.get(&key) {
            return Ok(client.clone());
        }
        let mut client = net::client::builder(&remote.tls, remote.proxy.as_ref())?;
        if let Some(addresses) = &self.addresses {
            client = client.dns_resolver(Arc::new(addresses.clone()));
        }
        let client = Client::new(client.build().map_err(ClientError::tls)?, clients.driver()?);
        if clients.by_settings.len() >= Self::MAX_CLIENTS {
            clients.by_settings.clear();
        }
        clients.by_settings.insert(key, client.clone());
        Ok(client)
    }
}

impl Clients {
    fn driver(&mut self) -> Result<Arc<Driver>, TransportError> {
        if let Some(driver) = &self.driver {
            return Ok(driver.clone());
        }
        let driver = Driver::new().map_err(|error| TransportError::Connection(error.to_string()))?;
        Ok(self.driver.insert(Arc::new(driver)).clone())
    }
}
