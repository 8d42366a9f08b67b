//! What a connection to a server may receive and until when, and why it broke off; the same for all transports.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use crate::memory::Taken;
use crate::{Bound, TenantMemory, TransportError};
use net::Deadline;

/// Shared by everything that reads from or writes to one server. Clones mean the same connection.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) meter: Meter,
    pub(crate) failure: Failure,
    pub(crate) deadline: Deadline,
    pub(crate) memory: Arc<Taken>,
}

impl Connection {
    pub(crate) fn new(deadline: Deadline, memory: Option<TenantMemory>) -> Connection {
        let memory = Arc::new(Taken::new(memory));
        Connection { meter: Meter::nothing(), failure: Failure::default(), deadline, memory }
    }

    /// Counts what came, which may be too much.
    pub(crate) fn received(&self, bytes: usize) -> io::Result<()> {
        let refs = self.meter.count(bytes);
        refs.and_then(|bytes| self.memory.refs(bytes)).map_err(|error| self.failure.set(error))
    }
}

/// The first failure of a connection; gix only carries opaque errors through its layers.
#[derive(Clone, Default)]
pub(crate) struct Failure(Arc<Mutex<Option<TransportError>>>);

impl Failure {
    pub(crate) fn set(&self, error: TransportError) -> io::Error {
        let text = error.to_string();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        io::Error::other(text)
    }

    pub(crate) fn take(&self) -> Option<TransportError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Bytes that were received, and how many may be.
#[derive(Clone)]
pub(crate) struct Meter(Arc<Mutex<Allowance>>);

#[derive(Clone, Copy)]
struct Allowance {
    used: u64,
    limit: u64,
    what: Bound,
}

impl Meter {
    /// Lets nothing come yet.
    fn nothing() -> Meter {
        Meter(Arc::new(Mutex::new(Allowance { used: 0, limit: 0, what: Bound::RefBytes })))
    }

    /// From now on, `limit` more bytes may come, which are `what`.
    pub(crate) fn allow(&self, limit: u64, what: Bound) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Allowance { used: 0, limit, what };
    }

    /// What came since the last [`Meter::allow`] belongs to `what` already, of which there may be `limit` bytes.
    pub(crate) fn go_on(&self, limit: u64, what: Bound) -> Result<(), TransportError> {
        let mut allowance = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *allowance = Allowance { limit, what, ..*allowance };
        allowance.add(0)
    }

    /// Counts what came; gives the bytes of refs among it.
    fn count(&self, bytes: usize) -> Result<u64, TransportError> {
        let mut allowance = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        allowance.add(bytes)?;
        Ok(if allowance.what == Bound::RefBytes { allowance.used } else { 0 })
    }
}

impl Allowance {
    fn add(&mut self, bytes: usize) -> Result<(), TransportError> {
        self.used = self.used.saturating_add(bytes as u64);
        let Allowance { used, limit, what } = *self;
        if used > limit { Err(TransportError::Limit { limit, what }) } else { Ok(()) }
    }
}

/// Bytes of what a server says that go into a message.
pub(crate) const EXCERPT_BYTES: usize = 1024;

/// The first `limit` bytes of what a server says, fit for a message.
pub(crate) fn printable(text: &[u8], limit: usize) -> String {
    let text = String::from_utf8_lossy(text.get(..limit).unwrap_or(text));
    text.trim().chars().filter(|c| !c.is_control() || *c == '\n').collect()
}
