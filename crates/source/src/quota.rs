//! Bytes of temporary files: the process has so many, and whoever needs some waits until they are free.
//!
//! A namespace gets half of them at most, unless a single file needs more. Those who wait get theirs in the order in which they
//! came, so each waits for others to finish and for nothing else.

use std::time::Duration;

use net::{Deadline, Permit, Permits};

/// Bytes are counted in units of so many.
const UNIT_BYTES: u64 = 4096;

/// Why there are no bytes.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum QuotaError {
    /// More than there are at all.
    #[error("{bytes} bytes of temporary files exceed the limit of {limit}")]
    TooMany {
        /// The bytes that are needed.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// Others kept them for too long.
    #[error("timed out waiting for {bytes} bytes of the {limit} that temporary files may have")]
    Deadline {
        /// The bytes that are needed.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
}

/// Bytes that the objects of a process share.
pub struct ByteQuota {
    limit: u64,
    units: Permits,
}

/// Bytes that are taken. They are free again when this is dropped.
pub type ByteShare = Permit;

impl ByteQuota {
    /// A quota of so many bytes.
    pub fn new(limit: u64) -> ByteQuota {
        let units = units(limit);
        ByteQuota { limit, units: Permits::new(units, units.div_ceil(2)) }
    }

    /// Waits until so many bytes are free for an object of `namespace`.
    ///
    /// # Errors
    /// When there are not that many at all, or not before the deadline.
    pub async fn take(
        &self,
        namespace: &str,
        bytes: u64,
        deadline: &Deadline,
    ) -> Result<ByteShare, QuotaError> {
        let limit = self.limit;
        if bytes > limit {
            return Err(QuotaError::TooMany { bytes, limit });
        }
        let taken = self.units.acquire_many(namespace, units(bytes));
        deadline.bound(Duration::MAX, taken).await.map_err(|_| QuotaError::Deadline { bytes, limit })
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn unlimited() -> Deadline {
        Deadline::new(Duration::from_secs(60))
    }

    /// For what is not to be had.
    fn soon() -> Deadline {
        Deadline::new(Duration::from_millis(10))
    }

    /// Whether so many bytes are free for the namespace.
    async fn is_free(quota: &ByteQuota, namespace: &str, bytes: u64) -> bool {
        quota.take(namespace, bytes, &soon()).await.is_ok()
    }

    #[tokio::test]
    async fn a_share_is_free_again_when_it_is_dropped() {
        let quota = ByteQuota::new(4 * MIB);
        let share = quota.take("a", 3 * MIB, &unlimited()).await.unwrap();
        assert!(is_free(&quota, "b", MIB).await && !is_free(&quota, "b", MIB + 1).await);
        drop(share);
        assert!(is_free(&quota, "b", 4 * MIB).await);
    }

    #[tokio::test]
    async fn a_quota_error_names_the_bytes_and_the_limit() {
        let quota = ByteQuota::new(4 * MIB);
        let error = |taken: Result<ByteShare, QuotaError>| taken.unwrap_err().to_string();
        assert_eq!(
            error(quota.take("a", 4 * MIB + 1, &soon()).await),
            "4194305 bytes of temporary files exceed the limit of 4194304"
        );
        let _share = quota.take("a", 4 * MIB, &unlimited()).await.unwrap();
        assert_eq!(
            error(quota.take("b", 1, &soon()).await),
            "timed out waiting for 1 bytes of the 4194304 that temporary files may have"
        );
    }

    #[tokio::test]
    async fn a_namespace_has_half_of_a_quota_unless_one_file_needs_more() {
        let quota = ByteQuota::new(4 * MIB);
        let first = quota.take("a", MIB, &unlimited()).await.unwrap();
        let second = quota.take("a", MIB, &unlimited()).await.unwrap();
        assert!(!is_free(&quota, "a", 1).await);
        assert!(is_free(&quota, "b", 2 * MIB).await, "its half is free");
        drop((first, second));
        let _large = quota.take("a", 3 * MIB, &unlimited()).await.unwrap();
        assert!(!is_free(&quota, "a", 1).await && is_free(&quota, "b", MIB).await);
    }

    #[tokio::test]
    async fn a_cancelled_waiter_gives_back_what_it_has() {
        let quota = Arc::new(ByteQuota::new(4 * MIB));
        let share = quota.take("a", 4 * MIB, &unlimited()).await.unwrap();
        let waiting = quota.clone();
        let waiter = tokio::spawn(async move { waiting.take("b", 2 * MIB, &unlimited()).await.map(drop) });
        // On the one thread of this test it now runs up to its wait.
        tokio::task::yield_now().await;
        waiter.abort();
        assert!(waiter.await.unwrap_err().is_cancelled());
        drop(share);
        assert!(is_free(&quota, "b", 4 * MIB).await);
    }

    #[tokio::test]
    async fn shares_are_given_in_the_order_in_which_they_were_asked_for() {
        let quota = Arc::new(ByteQuota::new(4 * MIB));
        let share = quota.take("a", MIB, &unlimited()).await.unwrap();
        let waiting = quota.clone();
        let large = tokio::spawn(async move { waiting.take("b", 4 * MIB, &unlimited()).await.map(drop) });
        tokio::task::yield_now().await;
        assert!(!is_free(&quota, "c", 1).await, "the larger one came first");
        drop(share);
        large.await.unwrap().unwrap();
    }
}
