//! The memory of the fetches of a process.
//!
//! [`Limits`](crate::Limits) bound what one server can make one fetch take, which is far more than most fetches do. Not all that
//! run at once may take so much, so what they take together has a limit, too: beyond it a fetch fails, and is tried again as after
//! any failure. Estimates: what gix and this crate were seen to take, rounded up.

use std::sync::{Mutex, PoisonError};

use budget::{Budget, Exceeded, Grant, Limits};

use crate::{Bound, TransportError};

/// What each fetch may take without being counted: most need no more.
const FREE_BYTES: u64 = 4 << 20;
/// Memory for each byte of refs that a server advertises; 300 MiB were seen for 64 MiB.
const REF_FACTOR: u64 = 5;
/// Memory for each object of a pack: its place, its chain, its place in the index, and its name.
const OBJECT_BYTES: u64 = 200;

/// The memory that fetches may take together. Clones share it.
#[derive(Clone, Debug)]
pub struct Memory(Budget);

/// The memory for fetches of one tenant: one half, or what a single fetch needs.
#[derive(Clone, Debug)]
pub struct TenantMemory {
    budget: Budget,
    tenant: String,
}

/// What one fetch takes, given back when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Taken(Option<Mutex<(Parts, Grant)>>);

/// Bytes by what they are for.
#[derive(Clone, Copy, Debug, Default)]
struct Parts {
    refs: u64,
    objects: u64,
    deltas: u64,
}

impl Default for Memory {
    /// Without a limit.
    fn default() -> Memory {
        Memory::new(u64::MAX)
    }
}

impl Memory {
    /// So many bytes for all.
    pub fn new(limit: u64) -> Memory {
        Memory(Budget::new(Limits { process: limit, tenant: limit / 2 }))
    }

    /// The same for the fetches of a tenant.
    pub fn of(&self, tenant: &str) -> TenantMemory {
        TenantMemory { budget: self.0.clone(), tenant: tenant.to_owned() }
    }

    /// What is used of it, in bytes.
    pub fn budget(&self) -> &Budget {
        &self.0
    }
}

impl Taken {
    pub(crate) fn new(from: Option<TenantMemory>) -> Taken {
        let taken = |from: TenantMemory| Mutex::new((Parts::default(), from.budget.start(&from.tenant)));
        Taken(from.map(taken))
    }

    /// So many bytes of refs have come.
    pub(crate) fn refs(&self, bytes: u64) -> Result<(), TransportError> {
        self.raise(|parts| parts.refs = parts.refs.max(bytes.saturating_mul(REF_FACTOR)))
    }

    /// So many objects of a pack have come.
    pub(crate) fn objects(&self, count: usize) -> Result<(), TransportError> {
        self.raise(|parts| parts.objects = parts.objects.max(OBJECT_BYTES.saturating_mul(count as u64)))
    }

    /// Objects of so many bytes are in memory at once.
    pub(crate) fn deltas(&self, bytes: u64) -> Result<(), TransportError> {
        self.raise(|parts| parts.deltas = parts.deltas.max(bytes))
    }

    fn raise(&self, raise: impl FnOnce(&mut Parts)) -> Result<(), TransportError> {
        let Some(taken) = &self.0 else { return Ok(()) };
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        let (parts, grant) = &mut *taken;
        let before = parts.counted();
        raise(parts);
        let after = parts.counted();
        if after <= before {
            return Ok(());
        }
        let refused =
            |exceeded: Exceeded| TransportError::Limit { limit: exceeded.limit, what: Bound::Memory };
        grant.try_grow(after).map_err(refused)
    }
}

impl Parts {
    fn counted(&self) -> u64 {
        let all = self.refs.saturating_add(self.objects).saturating_add(self.deltas);
        all.saturating_sub(FREE_BYTES)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn fetches_share_memory_and_a_tenant_has_half_of_it() {
        let memory = Memory::new(100 * MIB);
        let take = |tenant: &str, mib: u64| {
            let taken = Taken::new(Some(memory.of(tenant)));
            taken.deltas(FREE_BYTES + mib * MIB).map(|()| taken)
        };
        let first = take("a", 30).unwrap();
        let second = take("a", 20).unwrap();
        let refused = take("a", 1).unwrap_err().to_string();
        assert_eq!(
            refused,
            "the server sent more than the limit of 104857600 bytes of memory for all fetches together"
        );
        let other = take("b", 50).unwrap();
        assert!(take("c", 1).is_err(), "nothing is left");
        drop(take("c", 0).unwrap());
        drop((first, second));
        drop(take("c", 50).unwrap());
        drop(other);
        assert_eq!(memory.budget().usage().used, 0);
        drop(take("a", 100).unwrap());
        assert!(take("a", 101).is_err());
    }

    #[test]
    fn a_fetch_counts_for_all_that_it_takes_at_once() {
        let memory = Memory::new(100 * MIB);
        let taken = Taken::new(Some(memory.of("a")));
        let counted = || memory.budget().usage().used;
        taken.refs(FREE_BYTES / REF_FACTOR).unwrap();
        assert_eq!(counted(), 0);
        taken.refs(2 * MIB).unwrap();
        taken.refs(MIB).unwrap();
        assert_eq!(counted(), 2 * MIB * REF_FACTOR - FREE_BYTES);
        taken.objects(10_000).unwrap();
        taken.deltas(MIB).unwrap();
        assert_eq!(counted(), 2 * MIB * REF_FACTOR - FREE_BYTES + 10_000 * OBJECT_BYTES + MIB);
        assert!(taken.deltas(200 * MIB).is_err());
        Taken::default().deltas(u64::MAX).unwrap();
        drop(taken);
        assert_eq!(counted(), 0);
    }
}
