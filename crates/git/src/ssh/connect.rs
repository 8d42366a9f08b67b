//! From an address to a running `git-upload-pack`: connection, host key, user key, channel.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use russh::client::{self, AuthResult, Handle, Msg};
use russh::keys::PrivateKeyWithHashAlg;
use russh::{AlgorithmKind, Channel, Preferred, SshId};
use ssh_key::{HashAlg, PrivateKey};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::handler::{Client, CloseReason, Ended};
use super::{Address, KnownHosts};
use crate::TransportError;
use crate::connection::{Connection, EXCERPT_BYTES, printable};
use net::Proxy;
use net::client::CONNECT_TIMEOUT;

/// Everything that a connection needs, checked and decoded.
pub(super) struct Plan<'a> {
    pub(super) address: &'a Address,
    pub(super) proxy: Option<&'a Proxy>,
    pub(super) key: PrivateKey,
    pub(super) known: KnownHosts,
    pub(super) preferred: Preferred,
}

/// The channel in which Git's program runs, and its connection.
pub(super) struct SshChannel {
    pub(super) handle: Handle<Client>,
    pub(super) channel: Channel<Msg>,
    pub(super) close_reason: CloseReason,
}

impl Plan<'_> {
    /// All steps. Whoever awaits this sets the deadline.
    pub(super) async fn run(self, connection: &Connection) -> Result<SshChannel, TransportError> {
        let Address { host, port, user, .. } = self.address;
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, self.connect_tcp()).await;
        let timeout = || TransportError::Connection(format!("dial tcp {host}:{port}: i/o timeout"));
        let stream = connected.map_err(|_| timeout())??;
        // RefCache are waited for: a small packet must not wait for a larger one.
        stream.set_nodelay(true).map_err(|error| TransportError::Connection(error.to_string()))?;
        let stream = Metered { stream, connection: connection.clone() };
        let config = client::Config {
            client_id: SshId::Standard(concat!("SSH-2.0-ferroflux_", env!("CARGO_PKG_VERSION")).into()),
            preferred: self.preferred,
            ..client::Config::default()
        };
        let close_reason = CloseReason::default();
        let client = Client {
            known: Arc::new(self.known),
            host: host.clone(),
            port: *port,
            close_reason: close_reason.clone(),
        };
        let mut handle =
            client::connect_stream(Arc::new(config), stream, client).await.map_err(handshake_error)?;
        let lost = |error: russh::Error| close_reason.explain(&error);
        authenticate(&mut handle, user, Arc::new(self.key), &close_reason).await?;
        let channel = handle.channel_open_session().await.map_err(lost)?;
        // Servers may refuse the variable; then they speak an older protocol.
        channel.set_env(false, "GIT_PROTOCOL", "version=2").await.map_err(lost)?;
        channel.exec(true, self.address.command()).await.map_err(lost)?;
        Ok(SshChannel { handle, channel, close_reason })
    }

    async fn connect_tcp(&self) -> Result<TcpStream, TransportError> {
        let Address { host, port, .. } = self.address;
        match self.proxy {
            Some(proxy) => Ok(proxy.connect(host, *port).await?),
            None => TcpStream::connect((host.as_str(), *port))
                .await
                .map_err(|error| TransportError::Connection(format!("dial tcp {host}:{port}: {error}"))),
        }
    }
}

/// RSA keys sign with the best hash that the server names; if it names none, with each until one is taken.
async fn authenticate(
    handle: &mut Handle<Client>,
    user: &str,
    key: Arc<PrivateKey>,
    close_reason: &CloseReason,
) -> Result<(), TransportError> {
    let lost = |error: russh::Error| close_reason.explain(&error);
    let hashes = match key.algorithm().is_rsa() {
        false => vec![None],
        true => match handle.best_supported_rsa_hash().await.map_err(lost)? {
            Some(hash) => vec![hash],
            None => vec![Some(HashAlg::Sha512), Some(HashAlg::Sha256), None],
        },
    };
    for hash in hashes {
        let key = PrivateKeyWithHashAlg::new(key.clone(), hash);
        if let AuthResult::Success = handle.authenticate_publickey(user, key).await.map_err(lost)? {
            return Ok(());
        }
    }
    // A refusal and the end of the connection look the same.
    match close_reason.get() {
        Some(words) if handle.is_closed() => Err(TransportError::SshHandshake(words)),
        _ => Err(TransportError::KeyRefused),
    }
}

fn handshake_error(error: Ended) -> TransportError {
    match error {
        Ended::HostKey(error) => TransportError::HostKey(error),
        Ended::Ssh(russh::Error::NoCommonAlgo { kind, ours, theirs }) => {
            let what = match kind {
                AlgorithmKind::Kex => "key exchange",
                AlgorithmKind::Key => "host key",
                AlgorithmKind::Cipher => "cipher",
                AlgorithmKind::Mac => "MAC",
                AlgorithmKind::Compression => "compression",
            };
            TransportError::SshHandshake(format!(
                "ssh: no common algorithm for {what}; we offered: [{}], peer offered: [{}]",
                ours.join(" "),
                printable(theirs.join(" ").as_bytes(), EXCERPT_BYTES)
            ))
        }
        other => TransportError::SshHandshake(other.to_string()),
    }
}

/// A connection whose bytes are counted as they come, whatever they are good for.
struct Metered {
    stream: TcpStream,
    connection: Connection,
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        Poll::Ready(self.connection.received(buffer.filled().len() - before))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
