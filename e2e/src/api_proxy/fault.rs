//! What the proxy does wrong, and to which requests.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;

use super::{Call, lock};
use crate::wait::{self, Not};

/// How a request is spoiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not.
    None,
    /// The answer is this status, and the server is not asked.
    Status(u16),
    /// 429 with so many seconds in `Retry-After`, and the server is not asked.
    Throttle(u64),
    /// The request is refused without an answer, and the server is not asked.
    Refuse,
    /// The server does it, and the answer is lost.
    LoseAnswer,
    /// No answer ever comes.
    Hold(When),
    /// The body of the answer breaks off in the middle.
    CutBody,
    /// Half of the body comes as if it were all.
    Truncate,
    /// The answer comes late.
    Delay(Duration),
    /// The body comes in small pieces, with this pause between them.
    Trickle(Duration),
    /// A watch ends as soon as it has begun.
    EndWatch,
    /// A watch begins and says that the version is too old.
    ExpireWatch,
}

/// On which side of the server's work a request is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The server never sees it.
    Before,
    /// The server has done it.
    After,
}

/// Which requests a fault is for.
pub struct Rule {
    pub(super) fault: Fault,
    matches: Box<dyn Fn(&Call) -> bool + Send + Sync>,
    left: Mutex<(usize, usize)>,
    taken: AtomicUsize,
    hits: AtomicUsize,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} after and for {:?} requests", self.fault, lock(&self.left))
    }
}

impl Rule {
    /// Spoils every request that `matches`.
    pub fn new(fault: Fault, matches: impl Fn(&Call) -> bool + Send + Sync + 'static) -> Self {
        let left = Mutex::new((0, usize::MAX));
        Self {
            fault,
            matches: Box::new(matches),
            left,
            taken: AtomicUsize::new(0),
            hits: AtomicUsize::new(0),
        }
    }

    /// Lets the first so many pass.
    #[must_use]
    pub fn after(self, passed: usize) -> Self {
        lock(&self.left).0 = passed;
        self
    }

    /// Spoils so many, then no more.
    #[must_use]
    pub fn times(self, count: usize) -> Self {
        lock(&self.left).1 = count;
        self
    }

    /// How many it has spoiled.
    pub fn hits(&self) -> usize {
        self.hits.load(Ordering::Acquire)
    }

    /// Whether a request that it spoils is on its way: the server may have done it, and it is not counted yet.
    pub fn is_under_way(&self) -> bool {
        self.taken.load(Ordering::Acquire) > self.hits()
    }

    /// Waits until it has spoiled so many.
    pub async fn has_hit(&self, count: usize, limit: Duration) -> Result<()> {
        wait::until(limit, async || match self.hits() {
            hits if hits >= count => Ok(()),
            hits => Err(Not::Yet(format!("{hits} of {count} requests for {self:?}"))),
        })
        .await
    }

    /// Whether this request is spoiled; counts it.
    pub(super) fn takes(&self, call: &Call) -> bool {
        if !(self.matches)(call) {
            return false;
        }
        match &mut *lock(&self.left) {
            (0, 0) => false,
            (0, count) => {
                *count -= 1;
                self.taken.fetch_add(1, Ordering::AcqRel);
                true
            }
            (passed, _) => {
                *passed -= 1;
                false
            }
        }
    }

    pub(super) fn hit(&self) {
        self.hits.fetch_add(1, Ordering::AcqRel);
    }
}
