//! What we answer to a server of its own accord: its key is checked, everything else is refused.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use russh::Channel;
use russh::client::{ChannelOpenHandle, DisconnectReason, Handler, Msg, Session};
use russh::keys::PublicKeyOrCertificate;

use super::known_hosts::{HostKeyError, KnownHosts};
use crate::TransportError;
use crate::connection::{EXCERPT_BYTES, printable};

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error(transparent)]
    HostKey(#[from] HostKeyError),
    #[error("the server opened a channel")]
    Channel,
    #[error(transparent)]
    Ssh(#[from] russh::Error),
}

/// Why the server closed the connection, in its words; the session's own error only says that it is gone.
#[derive(Debug, Clone, Default)]
pub(super) struct CloseReason(Arc<Mutex<Option<String>>>);

impl CloseReason {
    fn set(&self, text: &str) {
        let text = printable(text.as_bytes(), EXCERPT_BYTES);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(text);
    }

    /// What a failed step means: the server's reason, if it gave one.
    pub(super) fn explain(&self, error: &russh::Error) -> TransportError {
        TransportError::SshHandshake(self.get().unwrap_or_else(|| error.to_string()))
    }

    pub(super) fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Our side of one connection.
pub(super) struct Client {
    pub(super) known: Arc<KnownHosts>,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) close_reason: CloseReason,
}

impl Handler for Client {
    type Error = Ended;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Ended> {
        match key {
            PublicKeyOrCertificate::PublicKey { key, .. } => {
                self.known.check(&self.host, self.port, key.key_data())?;
            }
            PublicKeyOrCertificate::Certificate(certificate) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
                self.known.check_certificate(&self.host, self.port, certificate, now)?;
            }
        }
        Ok(true)
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Ended>) -> Result<(), Ended> {
        match reason {
            DisconnectReason::ReceivedDisconnect(info) => self.close_reason.set(&info.message),
            DisconnectReason::Error(error) => self.close_reason.set(&error.to_string()),
        }
        Ok(())
    }

    async fn server_channel_open_session(
        &mut self,
        _: Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Ended> {
        Err(Ended::Channel)
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _: Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Ended> {
        Err(Ended::Channel)
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Ended> {
        Err(Ended::Channel)
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Ended> {
        Err(Ended::Channel)
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Ended> {
        Err(Ended::Channel)
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Ended> {
        Err(Ended::Channel)
    }

    async fn server_channel_open_x11(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Ended> {
        Err(Ended::Channel)
    }
}
