//! Git over SSH, in process: no `ssh` program, no agent, no files of the user's.
//!
//! A connection's tasks run on a runtime of its own, which is driven by the thread that waits for the next bytes: reading
//! and writing block as gix expects it, nothing is read ahead without bound, and nothing outlives the session.

mod address;
mod algorithms;
mod connect;
mod handler;
mod identity;
mod known_hosts;
mod stream;

use gix::protocol::transport::Protocol;
use gix::protocol::transport::client::git::ConnectMode;
use gix::protocol::transport::client::git::blocking_io::Connection as GitConnection;

pub(crate) use self::address::Address;
pub use self::algorithms::{Algorithms, HostKeyAlgorithms, KexAlgorithms, UnknownAlgorithm};
use self::connect::Plan;
pub use self::identity::{IdentityError, is_encrypted};
pub(crate) use self::known_hosts::KnownHosts;
pub use self::known_hosts::{HostKeyError, MalformedLine};
use self::stream::{Driver, split};
use crate::connection::Connection;
use crate::session::{Connect, Transport};
use crate::{Auth, Remote, TransportError};
use net::Proxy;
use secret::Secret;

/// What is needed to connect to one repository, again if need be.
pub(crate) struct SshTransport {
    url: String,
    address: Address,
    identity: Secret,
    passphrase: Option<Secret>,
    known_hosts: String,
    algorithms: Algorithms,
    proxy: Option<Proxy>,
    connection: Connection,
}

impl SshTransport {
    pub(crate) fn new(
        remote: &Remote,
        algorithms: &Algorithms,
        connection: Connection,
    ) -> Result<SshTransport, TransportError> {
        let address =
            Address::new(&remote.url).map_err(|error| TransportError::Protocol(error.to_string()))?;
        let Auth::Key { identity, passphrase, known_hosts } = &remote.auth else {
            return Err(TransportError::SshOption("identity"));
        };
        if known_hosts.is_empty() {
            return Err(TransportError::SshOption("known_hosts"));
        }
        let environment = |name: &str| std::env::var(name).ok();
        let proxy = remote.proxy.clone();
        Ok(SshTransport {
            url: remote.url().to_owned(),
            proxy: proxy.or_else(|| Proxy::from_environment(&address.host, address.port, environment)),
            address,
            identity: identity.clone(),
            passphrase: passphrase.clone(),
            known_hosts: known_hosts.clone(),
            algorithms: algorithms.clone(),
            connection,
        })
    }
}

impl Connect for SshTransport {
    fn connect(&self, _use_cached: bool) -> Result<(Box<dyn Transport>, bool), TransportError> {
        let known = KnownHosts::parse(&self.known_hosts)?;
        let plan = Plan {
            address: &self.address,
            proxy: self.proxy.as_ref(),
            key: identity::decode(self.identity.expose(), self.passphrase.as_ref().map(Secret::expose))?,
            preferred: self.algorithms.preferred(&known, &self.address.host, self.address.port),
            known,
        };
        let driver = Driver::new(self.connection.clone())?;
        let connected = driver.run(plan.run(&self.connection)).and_then(|channel| channel);
        // The limit of bytes knows better why a connection broke.
        let channel = connected.map_err(|error| self.connection.failure.take().unwrap_or(error))?;
        let (reader, writer) = split(driver, channel);
        let host = None::<(String, Option<u16>)>;
        let transport =
            GitConnection::new(reader, writer, Protocol::V2, "", host, ConnectMode::Process, false);
        Ok((Box::new(transport.custom_url(Some(self.url.as_str().into()))), false))
    }

    fn url(&self) -> &str {
        &self.url
    }
}
