//! How a build is ended from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Ends builds that another thread is at. Clones share the flag.
///
/// A build looks at it wherever it counts work and fails with [`Error::Cancelled`](crate::Error::Cancelled).
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl From<Arc<AtomicBool>> for Cancel {
    /// A flag that somebody else raises.
    fn from(flag: Arc<AtomicBool>) -> Self {
        Cancel(flag)
    }
}

impl Cancel {
    /// Ends the build soon: at its next counted step.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether [`Cancel::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
