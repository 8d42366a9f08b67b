//! What an action is at, for who wants to know why it takes long.

use std::fmt;
use std::sync::Arc;

use helm::Event;

/// What an action is at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A hook runs.
    Hook {
        /// When it runs.
        event: Event,
        /// Its number among those of the event, from 1.
        number: usize,
        /// How many the event has.
        count: usize,
        /// Its object, as soon as the API server has taken it.
        object: Option<String>,
    },
    /// Objects are applied.
    Apply {
        /// How many.
        count: usize,
    },
    /// Objects are waited for.
    Wait {
        /// How many are not ready; it is not known of all strategies.
        open: Option<usize>,
        /// Of how many.
        count: usize,
    },
    /// Objects are deleted, and waited for until they are gone.
    Delete {
        /// How many.
        count: usize,
    },
}

/// Hears of each step when it begins, and when its counts change.
#[derive(Clone)]
pub struct Steps(Arc<dyn Fn(Step) + Send + Sync>);

impl Steps {
    /// Calls a function, which may not take long.
    pub fn new(hear: impl Fn(Step) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hear))
    }

    /// Tells of a step.
    pub fn tell(&self, step: Step) {
        (self.0)(step);
    }
}

impl Default for Steps {
    /// Hears nothing.
    fn default() -> Self {
        Self::new(drop)
    }
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Steps")
    }
}
