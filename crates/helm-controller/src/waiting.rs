//! What actions that wait keep in memory together.
//!
//! A release may take minutes to become ready, and its revision is kept meanwhile. So that other HelmReleases go on, a pass that waits
//! gives up its turn, but only when what its action keeps fits with what the others keep that have given up theirs. Until then it has
//! its turn, of which there are few.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use budget::{Budget, Grant, Limits, Request};
use helm_actions::Memory;
use runtime::controller::give_up_turn;

/// How long an action waits before others get the turn of its pass.
const TURN: Duration = Duration::from_millis(500);
/// Part of the memory for what waits.
const PART: u64 = 8;
const LEAST: u64 = 32 << 20;
/// What a pass keeps besides its release and its values, in bytes: its HelmRelease, connections, and watches.
const PASS: u64 = 256 << 10;
/// What the process takes for each byte that is kept: 4.5 MB were measured for a release of 1 MB of manifest and 1.5 MB of chart.
const ALLOCATED: u64 = 2;

/// How much may be kept, by default, of so much memory.
pub fn limits(memory: u64, given: Option<u64>) -> Limits {
    Limits::halved(given.unwrap_or((memory / PART).max(LEAST)))
}

/// Waits for work of a tenant. Once that waits for something that takes long, others get the turn of this pass as soon as what is kept
/// meanwhile has its share: what the work tells, and `beside` bytes of others.
pub async fn without_turn<T>(
    budget: &Budget,
    tenant: &str,
    memory: &Memory,
    beside: u64,
    work: impl Future<Output = T>,
) -> T {
    let (mut work, mut waits) = (pin!(work), memory.waits());
    let mut grant: Option<Grant> = None;
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            // The sender is there as long as `memory` is.
            _ = waits.changed() => {}
        }
        let bytes = ALLOCATED * (waits.borrow_and_update().unwrap_or_default() + beside) + PASS;
        if let Some(grant) = &mut grant {
            grant.shrink(bytes);
            continue;
        }
        let share = async {
            tokio::time::sleep(TURN).await;
            budget.acquire(Request::new(tenant, bytes)).await
        };
        tokio::select! {
            biased;
            done = &mut work => return done,
            share = share => grant = Some(share),
        }
        give_up_turn();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::future::pending;

    use super::*;

    #[test]
    fn what_waits_gets_a_part_of_the_memory_or_what_the_flag_says() {
        assert_eq!(limits(1 << 30, None), Limits { process: 128 << 20, tenant: 64 << 20 });
        assert_eq!(limits(1 << 20, None).process, 32 << 20);
        assert_eq!(limits(1 << 30, Some(1 << 20)).process, 1 << 20);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_has_a_share_and_who_gets_none_goes_on_waiting_all_the_same() {
        let budget = Budget::new(Limits { process: 100 << 20, tenant: 60 << 20 });
        let [first, second] = [Memory::default(), Memory::default()];
        first.wait_with(20 << 20);
        second.wait_with(20 << 20);
        let mut waiting = Box::pin(without_turn(&budget, "a", &first, 0, pending::<()>()));
        assert!(tokio::time::timeout(Duration::from_secs(1), &mut waiting).await.is_err());
        assert_eq!(budget.usage().used, (40 << 20) + PASS);
        // The same tenant gets no second share, but its work ends when it ends.
        let work = tokio::time::sleep(Duration::from_secs(5));
        without_turn(&budget, "a", &second, 0, work).await;
        assert_eq!((budget.usage().used, budget.usage().waiting), ((40 << 20) + PASS, 0));
        // What is not kept any more is given back.
        first.wait_with(1 << 19);
        assert!(tokio::time::timeout(Duration::from_secs(1), &mut waiting).await.is_err());
        assert_eq!(budget.usage().used, (1 << 20) + PASS);
        drop(waiting);
        assert_eq!(budget.usage().used, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_does_not_wait_needs_no_share() {
        let budget = Budget::new(Limits::halved(1 << 20));
        let memory = Memory::default();
        let work = async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            budget.usage().used
        };
        assert_eq!(without_turn(&budget, "a", &memory, 0, work).await, 0);
    }
}
