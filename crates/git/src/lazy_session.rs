//! A session that is opened when something has to be asked that the ref cache does not know.

use std::time::Instant;

use crate::ref_cache::RefCache;
use crate::{Connector, Limits, Remote, RemoteRef, Session, TransportError};
use net::Deadline;

/// A session that is opened when it is needed.
pub(crate) struct LazySession<'a> {
    pub(crate) connector: &'a Connector,
    pub(crate) remote: &'a Remote,
    pub(crate) limits: &'a Limits,
    pub(crate) deadline: &'a Deadline,
    pub(crate) cached: &'a RefCache,
    /// Refs that were listed earlier do not count.
    pub(crate) since: Instant,
    pub(crate) opened: Option<Session>,
}

impl LazySession<'_> {
    /// The open session.
    pub(crate) fn open(&mut self) -> Result<&mut Session, TransportError> {
        let session = match self.opened.take() {
            Some(session) => session,
            None => self.connector.connect(self.remote, self.limits, self.deadline)?,
        };
        Ok(self.opened.insert(session))
    }

    /// All refs that start with `prefix`.
    pub(crate) fn refs(&mut self, prefix: &str) -> Result<Vec<RemoteRef>, TransportError> {
        if let Some(refs) = self.cached.get(prefix, self.since) {
            return Ok(refs);
        }
        let listed = Instant::now();
        let refs = self.open()?.refs(&[prefix])?;
        self.cached.put(prefix.to_owned(), listed, &refs);
        Ok(refs)
    }
}
