//! What a controller says of an object that it works on, or that waits.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use kube::Resource;
use kube::runtime::reflector::ObjectRef;

use super::{Ready, stalled};
use crate::conditions::{Condition, READY, find};

/// What an object says of itself, and what its controller does with it.
#[derive(Debug, Default)]
pub struct Activity {
    /// Whether it is suspended.
    pub suspended: bool,
    /// Status and reason of its Ready condition.
    pub ready: Option<Ready>,
    /// The work that goes on, in a pass or without one.
    pub step: Option<Step>,
    /// Why nothing goes on, if the controller knows more than that an interval has to pass.
    pub pause: Option<String>,
}

/// Work on an object.
#[derive(Clone, Debug)]
pub struct Step {
    /// What is done: fetch, build, apply, wait and so on.
    pub name: &'static str,
    /// Since when.
    pub since: Option<Instant>,
    /// What it waits for.
    pub waits_for: Option<String>,
}

/// The step of a pass that takes long. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Mutex<Option<Step>>>);

impl Progress {
    /// The pass is at this step, and has been since it first said so.
    pub fn at(&self, name: &'static str, waits_for: Option<String>) {
        let mut step = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = step.as_ref().filter(|step| step.name == name).and_then(|step| step.since);
        *step = Some(Step { name, since: Some(begun.unwrap_or_else(Instant::now)), waits_for });
    }

    /// Where the pass is; `None` if it has not said so.
    pub fn step(&self) -> Option<Step> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What keeps an object that has no step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pause {
    /// A source or dependency that is missing or not ready, as the reason of its Ready condition says.
    Blocked,
    /// The time until its retry.
    Failed,
    /// A short time until it goes on.
    Again,
    /// What its conditions say, or nothing but time.
    #[default]
    Other,
}

impl Pause {
    /// What an object with these conditions waits for. `blocked_by` gives what a reason of Ready means.
    pub fn told(
        self,
        conditions: &[Condition],
        blocked_by: impl FnOnce(&str) -> Option<String>,
    ) -> Option<String> {
        let reason = find(conditions, READY).map(|ready| ready.reason.as_str()).unwrap_or_default();
        match self {
            Self::Blocked => blocked_by(reason).or_else(|| stalled(conditions)),
            Self::Failed => Some(format!("its retry interval, after {reason}")),
            Self::Again => Some("back-off before it goes on".to_owned()),
            Self::Other => stalled(conditions),
        }
    }
}

/// The first of the dependencies of an object that is not ready, as the watch has it.
pub fn missing_dependency<K: Resource<DynamicType = ()>>(
    dependencies: impl IntoIterator<Item = ObjectRef<K>>,
    is_ready: impl Fn(&ObjectRef<K>) -> bool,
) -> String {
    match dependencies.into_iter().find(|key| !is_ready(key)) {
        Some(key) => {
            format!("its dependency {}/{}", key.namespace.as_deref().unwrap_or_default(), key.name)
        }
        None => "its dependencies".to_owned(),
    }
}

/// So many objects, as text.
pub fn objects(count: usize) -> String {
    if count == 1 { "1 object".to_owned() } else { format!("{count} objects") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_lasts_from_the_first_time_that_it_is_told() {
        let progress = Progress::default();
        assert!(progress.step().is_none());
        let told = |name, waits_for: &str| {
            progress.at(name, Some(waits_for.to_owned()));
            progress.clone().step().map(|step| (step.since, step.waits_for))
        };
        let first = told("wait", "2 of 2 objects");
        let second = told("wait", "1 of 2 objects");
        assert_eq!(first.as_ref().map(|(since, _)| since), second.as_ref().map(|(since, _)| since));
        assert_eq!(second.and_then(|(_, waits_for)| waits_for).as_deref(), Some("1 of 2 objects"));
        assert_ne!(told("apply", "").map(|(since, _)| since), first.map(|(since, _)| since));
    }
}
