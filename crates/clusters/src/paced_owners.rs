//! How often the owner of objects that change is looked at.
//!
//! Who owns an object is what its labels say, and whoever may write some object can put any owner there. A look costs a walk
//! through the owner's inventory or a pass, so each owner has a rate: a burst is free, and what comes faster than the rate is put
//! off, together with whatever else changes until then. Nothing is lost.

use std::{collections::HashMap, future::pending, time::Duration};

use apply::prepare::Owner;
use runtime::token_bucket::TokenBucket;
use tokio::time::{Instant, sleep_until};

/// Looks at one owner in a second.
const LOOKS_PER_SECOND: f64 = 5.0;
/// Looks at one owner in a row, after a quiet time.
const LOOKS_BURST: f64 = 20.0;
/// How long it takes until a burst is free again.
const QUIET_TIME: Duration = Duration::from_secs(4);

/// Owners that were looked at lately, or are due.
#[derive(Default)]
pub struct PacedOwners(HashMap<Owner, Pace>);

struct Pace {
    bucket: TokenBucket,
    changed: Instant,
    due: Option<Instant>,
    /// When it is due though nothing changes.
    again: Option<Instant>,
}

impl Pace {
    fn new(now: Instant) -> Self {
        let bucket = TokenBucket::new(LOOKS_PER_SECOND, LOOKS_BURST, now.into_std());
        Self { bucket, changed: now, due: None, again: None }
    }
}

impl PacedOwners {
    /// Objects of this owner changed.
    fn changed(&mut self, owner: Owner, now: Instant) {
        let pace = self.0.entry(owner).or_insert_with(|| Pace::new(now));
        pace.changed = now;
        if pace.due.is_none() {
            pace.due = Some(now + pace.bucket.take(now.into_std()));
        }
    }

    /// When the next owner is due.
    fn next(&self) -> Option<Instant> {
        self.0.values().flat_map(|pace| [pace.due, pace.again]).flatten().min()
    }

    /// The owners to look at now.
    fn due(&mut self, now: Instant) -> Vec<Owner> {
        let is_due = |pace: &mut Pace| {
            let is_due = [pace.due, pace.again].into_iter().flatten().any(|due| due <= now);
            if is_due {
                (pace.due, pace.again) = (None, None);
            }
            is_due
        };
        let due = self.0.iter_mut().filter_map(|(owner, pace)| is_due(pace).then(|| owner.clone())).collect();
        self.0.retain(|_, pace| {
            pace.due.or(pace.again).is_some() || now.saturating_duration_since(pace.changed) < QUIET_TIME
        });
        due
    }

    /// Looks at the owners whom `changed` gives, for ever. `look` tells when to look at an owner again though nothing changes, if at all.
    pub async fn follow<F: Future<Output = Vec<Owner>>>(
        mut self,
        changed: impl Fn() -> F,
        look: impl Fn(&Owner) -> Option<Duration>,
    ) {
        loop {
            for owner in self.wait(&changed).await {
                if let Some(pause) = look(&owner) {
                    self.look_again(owner, Instant::now(), pause);
                }
            }
        }
    }

    /// This owner is due after a pause, or earlier if its objects change.
    fn look_again(&mut self, owner: Owner, now: Instant, pause: Duration) {
        let pace = self.0.entry(owner).or_insert_with(|| Pace::new(now));
        pace.again = Some(now + pause);
    }

    /// Waits for owners to look at, of those whom `changed` gives.
    async fn wait<F: Future<Output = Vec<Owner>>>(&mut self, changed: impl Fn() -> F) -> Vec<Owner> {
        loop {
            let next = self.next();
            let pause = async {
                match next {
                    Some(due) => sleep_until(due).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                owners = changed() => {
                    let now = Instant::now();
                    owners.into_iter().for_each(|owner| self.changed(owner, now));
                }
                () = pause => {}
            }
            let due = self.due(Instant::now());
            if !due.is_empty() {
                return due;
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn owner(name: &str) -> Owner {
        Owner { namespace: "ns".to_owned(), name: name.to_owned() }
    }

    /// How often an owner is looked at while its objects change every 10 ms for a while.
    async fn looks(owners: &mut PacedOwners, name: &str, time: Duration) -> usize {
        let (end, mut looks) = (Instant::now() + time, 0);
        while Instant::now() < end {
            owners.changed(owner(name), Instant::now());
            looks += owners.due(Instant::now()).len();
            advance(Duration::from_millis(10)).await;
        }
        looks
    }

    #[tokio::test(start_paused = true)]
    async fn an_owner_is_looked_at_in_bursts_and_then_at_its_rate() {
        let mut owners = PacedOwners::default();
        assert_eq!(looks(&mut owners, "app", Duration::from_millis(200)).await, 20, "each change at first");
        let flood = looks(&mut owners, "app", Duration::from_secs(60)).await;
        assert!((298..=302).contains(&flood), "{flood}");
        // It keeps nobody else waiting.
        owners.changed(owner("other"), Instant::now());
        assert!(owners.due(Instant::now()).contains(&owner("other")));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_change_is_looked_at_however_many_came_before() {
        let mut owners = PacedOwners::default();
        looks(&mut owners, "app", Duration::from_secs(10)).await;
        owners.changed(owner("app"), Instant::now());
        let due = owners.next();
        assert!(due.is_some_and(|due| due <= Instant::now() + Duration::from_millis(200)), "{due:?}");
        advance(Duration::from_millis(200)).await;
        assert_eq!(owners.due(Instant::now()), [owner("app")]);
        assert_eq!(owners.next(), None);
        // To look again later keeps no change waiting.
        owners.look_again(owner("app"), Instant::now(), Duration::from_secs(60));
        owners.changed(owner("app"), Instant::now());
        assert!(owners.next().is_some_and(|due| due <= Instant::now() + Duration::from_millis(200)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_owner_is_looked_at_again_after_the_pause_that_a_look_asks_for() {
        let (begun, looks) = (Instant::now(), std::sync::Mutex::new(Vec::new()));
        let news = std::sync::Mutex::new(vec![owner("app")]);
        let changed = || {
            let owners = std::mem::take(&mut *news.lock().unwrap());
            async move { if owners.is_empty() { pending().await } else { owners } }
        };
        let look = |owner: &Owner| {
            let mut looks = looks.lock().unwrap();
            looks.push((owner.name.clone(), begun.elapsed().as_secs()));
            (looks.len() < 3).then_some(Duration::from_secs(7))
        };
        let follow = PacedOwners::default().follow(changed, look);
        assert!(tokio::time::timeout(Duration::from_secs(60), follow).await.is_err());
        let expected: Vec<_> = [0, 7, 14].map(|seconds| ("app".to_owned(), seconds)).to_vec();
        assert_eq!(*looks.lock().unwrap(), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn owners_are_forgotten_after_a_quiet_time() {
        let mut owners = PacedOwners::default();
        for name in 0..100 {
            owners.changed(owner(&name.to_string()), Instant::now());
        }
        assert_eq!(owners.due(Instant::now()).len(), 100);
        assert_eq!(owners.0.len(), 100);
        advance(QUIET_TIME).await;
        assert!(owners.due(Instant::now()).is_empty() && owners.0.is_empty());
    }
}
