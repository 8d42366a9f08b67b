//! What bounds a conversation with a server, and why it broke off; the same for all transports.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Budget, TransportError};

/// Shared by everything that reads from or writes to one server. Clones mean the same conversation.
#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) meter: Meter,
    pub(crate) failure: Failure,
    pub(crate) budget: Budget,
}

impl Wire {
    pub(crate) fn new(budget: Budget) -> Wire {
        Wire { meter: Meter::default(), failure: Failure::default(), budget }
    }

    /// Counts what came, which may be too much.
    pub(crate) fn received(&self, bytes: usize) -> io::Result<()> {
        self.meter.count(bytes).map_err(|error| self.failure.set(error))
    }
}

/// The first failure of a conversation; gix only carries opaque errors through its layers.
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

/// Bytes that may still be received and their limit.
#[derive(Clone, Default)]
pub(crate) struct Meter(Arc<Mutex<(u64, u64)>>);

impl Meter {
    /// From now on, `limit` more bytes may come.
    pub(crate) fn allow(&self, limit: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (limit, limit);
    }

    fn count(&self, bytes: usize) -> Result<(), TransportError> {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (left, limit) = *guard;
        match left.checked_sub(bytes as u64) {
            Some(left) => guard.0 = left,
            None => return Err(TransportError::Limit { limit, what: "bytes" }),
        }
        Ok(())
    }
}

/// How much of what a server says goes into a message.
pub(crate) const EXCERPT: usize = 1024;

/// The first `limit` bytes of what a server says, fit for a message.
pub(crate) fn printable(text: &[u8], limit: usize) -> String {
    let text = String::from_utf8_lossy(text.get(..limit).unwrap_or(text));
    text.trim().chars().filter(|c| !c.is_control() || *c == '\n').collect()
}
