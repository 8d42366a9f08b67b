//! Chains of deltas: each object builds on one before it.
//!
//! gix-pack keeps a resolved object until all deltas on it are resolved. A chain whose objects have two deltas each, one of them
//! at the end of the queue, is then kept as a whole: a pack of some kilobytes could fill any memory. And reading the last object
//! of a chain means making all others. So depth and bytes of each chain have a limit.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use gix::ObjectId;
use gix::odb::pack::data::{self, EntryRange, entry::Header};

use super::{Object, SHA1, broken};
use crate::connection::Connection;
use crate::error::chain;
use crate::{Bound, Limits, TransportError};

/// Is asked for the bytes of each object right before it is resolved, and after the base of a delta.
pub(super) struct Chains<'a> {
    objects: &'a [Object],
    /// Each keeps a chain in memory.
    threads: u64,
    state: Mutex<State>,
    limits: &'a Limits,
    connection: &'a Connection,
}

struct State {
    /// Those of `objects` that are resolved.
    chains: Vec<Chain>,
    /// The bases that deltas name by id.
    named: HashMap<ObjectId, Chain>,
    /// That of the object before.
    last: Chain,
}

/// What an object is made of, itself included.
#[derive(Clone, Copy, Default)]
struct Chain {
    deltas: u32,
    bytes: u64,
}

impl<'a> Chains<'a> {
    pub(super) fn new(
        objects: &'a [Object],
        threads: usize,
        limits: &'a Limits,
        connection: &'a Connection,
    ) -> Self {
        let chains = vec![Chain::default(); objects.len()];
        let state = State { chains, named: HashMap::new(), last: Chain::default() };
        Chains { objects, threads: threads as u64, state: Mutex::new(state), limits, connection }
    }

    /// Gives the bytes of an object, unless its chain is too long; then the connection knows why.
    pub(super) fn resolver<'f>(
        &self,
    ) -> impl for<'p> Fn(EntryRange, &'p &'f data::File) -> Option<&'p [u8]> + Send + Clone {
        |range, pack| {
            let bytes = pack.entry_slice(range.clone())?;
            self.admit(range.start, bytes).map_err(|error| self.connection.failure.set(error)).ok()?;
            Some(bytes)
        }
    }

    fn admit(&self, offset: u64, bytes: &[u8]) -> Result<(), TransportError> {
        if self.connection.deadline.is_over() {
            return Err(TransportError::Deadline);
        }
        let entry = data::Entry::from_bytes(bytes, offset, SHA1).map_err(|e| broken(chain(&e)))?;
        let at = |offset: u64| {
            let found = self.objects.binary_search_by_key(&offset, |object| object.offset);
            found.map_err(|_| broken(format!("no object at {offset}")))
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { chains, named, last } = &mut *state;
        let base = match entry.header {
            Header::OfsDelta { base_distance } => {
                chains.get(at(offset.saturating_sub(base_distance))?).copied().unwrap_or_default()
            }
            // With one thread, the first of the deltas on an object that name it comes right after it.
            Header::RefDelta { base_id } => *named.entry(base_id).or_insert(*last),
            Header::Commit | Header::Tree | Header::Blob | Header::Tag => Chain::default(),
        };
        let index = at(offset)?;
        let size = self.objects.get(index).map_or(0, |object| object.bytes);
        let deltas = base.deltas + u32::from(entry.header.is_delta());
        *last = Chain { deltas, bytes: base.bytes.saturating_add(size) };
        if let Some(chain) = chains.get_mut(index) {
            *chain = *last;
        }
        let (deltas, bytes) = (self.limits.delta_depth, self.limits.delta_bytes);
        if last.deltas > deltas {
            return Err(TransportError::Limit { limit: deltas.into(), what: Bound::DeltaDepth });
        }
        if last.bytes > bytes && entry.header.is_delta() {
            return Err(TransportError::Limit { limit: bytes, what: Bound::DeltaBytes });
        }
        self.connection.memory.deltas(last.bytes.saturating_mul(self.threads))
    }
}
