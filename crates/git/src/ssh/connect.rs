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

use super::handler::{Client, Ended, Farewell};
use super::{Address, KnownHosts};
use crate::TransportError;
use crate::wire::{EXCERPT, Wire, printable};
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

/// A connection whose channel is Git's.
pub(super) struct Line {
    pub(super) handle: Handle<Client>,
    pub(super) channel: Channel<Msg>,
    pub(super) farewell: Farewell,
}

impl Plan<'_> {
    /// All steps. Whoever awaits this sets the deadline.
    pub(super) async fn run(self, wire: &Wire) -> Result<Line, TransportError> {
        let Address { host, port, user, .. } = self.address;
        let dialled = tokio::time::timeout(CONNECT_TIMEOUT, self.dial()).await;
        let timeout = || TransportError::Connection(format!("dial tcp {host}:{port}: i/o timeout"));
        let stream = dialled.map_err(|_| timeout())??;
        // Answers are waited for: a small packet must not wait for a larger one.
        stream.set_nodelay(true).map_err(|error| TransportError::Connection(error.to_string()))?;
        let stream = Metered { stream, wire: wire.clone() };
        let config = client::Config {
            client_id: SshId::Standard(concat!("SSH-2.0-ferroflux_", env!("CARGO_PKG_VERSION")).into()),
            preferred: self.preferred,
            ..client::Config::default()
        };
        let farewell = Farewell::default();
        let client = Client {
            known: Arc::new(self.known),
            host: host.clone(),
            port: *port,
            farewell: farewell.clone(),
        };
        let mut handle =
            client::connect_stream(Arc::new(config), stream, client).await.map_err(handshake_error)?;
        let lost = |error: russh::Error| farewell.explain(&error);
        authenticate(&mut handle, user, Arc::new(self.key), &farewell).await?;
        let channel = handle.channel_open_session().await.map_err(lost)?;
        // Servers may refuse the variable; then they speak an older protocol.
        channel.set_env(false, "GIT_PROTOCOL", "version=2").await.map_err(lost)?;
        channel.exec(true, self.address.command()).await.map_err(lost)?;
        Ok(Line { handle, channel, farewell })
    }

    async fn dial(&self) -> Result<TcpStream, TransportError> {
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
    farewell: &Farewell,
) -> Result<(), TransportError> {
    let lost = |error: russh::Error| farewell.explain(&error);
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
    match farewell.get() {
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
                printable(theirs.join(" ").as_bytes(), EXCERPT)
            ))
        }
        other => TransportError::SshHandshake(other.to_string()),
    }
}

/// A connection whose bytes are counted as they come, whatever they are good for.
struct Metered {
    stream: TcpStream,
    wire: Wire,
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        Poll::Ready(self.wire.received(buffer.filled().len() - before))
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
