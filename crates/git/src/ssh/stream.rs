//! A channel as the blocking reader and writer that gix works with.

use std::future::Future;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use russh::client::{Handle, Msg};
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::connect::SshChannel;
use super::handler::{Client, CloseReason};
use crate::TransportError;
use crate::connection::{Connection, printable};

/// How long the server may take to say how its program ended, once that said its last.
const EXIT_STATUS_WAIT: Duration = Duration::from_secs(2);
/// How much of what the program says on stderr is kept.
const STDERR_BYTES: usize = 8 * 1024;
const VERSION_1: &[u8] = b"000eversion 1\n";

/// Drives the tasks of one connection, on the thread and for the time that somebody waits for it.
///
/// So whoever does not read is not read ahead of, and with the driver everything of its connection ends: tasks, timers, socket.
#[derive(Clone)]
pub(super) struct Driver(Arc<Owner>);

struct Owner {
    runtime: Option<Runtime>,
    connection: Connection,
}

impl Driver {
    pub(super) fn new(connection: Connection) -> io::Result<Driver> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        Ok(Driver(Arc::new(Owner { runtime: Some(runtime), connection })))
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.0.connection
    }

    /// Waits for `step` as long as the deadline lets it.
    pub(super) fn run<T>(&self, step: impl Future<Output = T>) -> Result<T, TransportError> {
        let (Some(runtime), deadline) = (&self.0.runtime, &self.0.connection.deadline) else {
            return Err(TransportError::Deadline);
        };
        runtime.block_on(deadline.bound(Duration::MAX, step)).map_err(|_| TransportError::Deadline)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // A name that is still being looked up must not be waited for.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What the server's program writes.
pub(super) struct Reader {
    driver: Driver,
    channel: ChannelReadHalf,
    /// The connection ends when this is dropped.
    _handle: Handle<Client>,
    close_reason: CloseReason,
    received: bytes::Bytes,
    stderr: Vec<u8>,
    exit: Option<u32>,
    begun: bool,
    ended: bool,
}

/// What the server's program reads.
pub(super) struct Writer {
    driver: Driver,
    channel: ChannelWriteHalf<Msg>,
}

pub(super) fn split(driver: Driver, ssh: SshChannel) -> (Reader, Writer) {
    let (read, write) = ssh.channel.split();
    let reader = Reader {
        driver: driver.clone(),
        channel: read,
        _handle: ssh.handle,
        close_reason: ssh.close_reason,
        received: bytes::Bytes::new(),
        stderr: Vec::new(),
        exit: None,
        begun: false,
        ended: false,
    };
    (reader, Writer { driver, channel: write })
}

impl Reader {
    /// Takes messages until there is data, or there will be none.
    fn fill(&mut self) -> Result<(), TransportError> {
        while self.received.is_empty() && !self.ended {
            match self.driver.run(self.channel.wait())? {
                Some(ChannelMsg::Data { data }) if !self.begun => self.received = self.first(data)?,
                Some(ChannelMsg::Data { data }) => self.received = data,
                Some(ChannelMsg::Eof) => self.drain()?,
                Some(ChannelMsg::Failure) => {
                    return Err(TransportError::Connection(
                        "ssh: command git-upload-pack refused".to_owned(),
                    ));
                }
                message => self.note(message),
            }
        }
        Ok(())
    }

    /// Every answer of the protocol begins with a length of four hexadecimal digits. What a login shell prints does not.
    ///
    /// Protocol 1 is protocol 0 behind one line more, which gix does not know.
    fn first(&mut self, mut data: bytes::Bytes) -> Result<bytes::Bytes, TransportError> {
        self.begun = true;
        if data.starts_with(VERSION_1) {
            return Ok(data.split_off(VERSION_1.len()));
        }
        if data.iter().take(4).all(u8::is_ascii_hexdigit) {
            return Ok(data);
        }
        let text = printable(&data, 200);
        // Gitea prints an empty line before it says on stderr why it refuses.
        if text.is_empty() {
            self.drain()?;
            return Err(self.end());
        }
        Err(TransportError::Protocol(format!("the server's answer is not one of Git: {text:?}")))
    }

    /// What comes after the last data: the exit status, more of stderr.
    fn drain(&mut self) -> Result<(), TransportError> {
        while !self.ended {
            match self.driver.run(async { timeout(EXIT_STATUS_WAIT, self.channel.wait()).await })? {
                Ok(message) => self.note(message),
                Err(_) => self.ended = true,
            }
        }
        Ok(())
    }

    fn note(&mut self, message: Option<ChannelMsg>) {
        match message {
            Some(ChannelMsg::ExtendedData { data, .. }) => {
                let room = STDERR_BYTES.saturating_sub(self.stderr.len()).min(data.len());
                self.stderr.extend_from_slice(data.get(..room).unwrap_or_default());
            }
            Some(ChannelMsg::ExitStatus { exit_status }) => self.exit = Some(exit_status),
            Some(ChannelMsg::Close) | None => self.ended = true,
            Some(_) => {}
        }
    }

    /// Why there is no more: what the program said, else what the server said.
    fn end(&self) -> TransportError {
        let stderr = printable(&self.stderr, STDERR_BYTES);
        // Forges frame their message in lines of a mere label.
        let says = |line: &&str| !matches!(line.trim_end(), "error:" | "remote:");
        let stderr = stderr.lines().filter(says).collect::<Vec<_>>().join("\n");
        let missing = [
            "does not appear to be a git repository",
            "ository not found",
            "does not exist",
            "Cannot find repository",
            "The project you were looking for could not be found",
        ];
        if missing.iter().any(|text| stderr.contains(text)) {
            return TransportError::RepositoryNotFound(stderr);
        }
        let mut text = match (stderr.is_empty(), self.close_reason.get()) {
            (false, _) => format!("ssh: {stderr}"),
            (true, Some(words)) => format!("ssh: {words}"),
            (true, None) => "ssh: the server ended the conversation".to_owned(),
        };
        if let Some(status) = self.exit.filter(|status| *status != 0) {
            text = format!("{text} (git-upload-pack: exit status {status})");
        }
        TransportError::Connection(text)
    }
}

impl Read for Reader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.fill().map_err(|error| self.driver.connection().failure.set(error))?;
        if self.received.is_empty() {
            self.driver.connection().failure.set(self.end());
            return Ok(0);
        }
        let count = out.len().min(self.received.len());
        out.get_mut(..count).unwrap_or_default().copy_from_slice(&self.received.split_to(count));
        Ok(count)
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.driver.run(self.channel.data_bytes(bytes.to_vec()));
        match sent.map_err(|error| self.driver.connection().failure.set(error))? {
            Ok(()) => Ok(bytes.len()),
            // The reader knows why.
            Err(_) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
