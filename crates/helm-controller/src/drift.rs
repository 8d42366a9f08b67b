//! Drift: which fields of which objects are left to others, and what the watches tell of objects.
//!
//! Each comparison of the objects with what is wanted notes who owned their fields then. As long as the watches show the same of an
//! object it is as it was, and need not be asked for; when they do not, the release gets a pass.

use std::collections::HashMap;
use std::sync::Arc;

use api::HelmRelease;
use api::helm::actions::DRIFT_DETECTION;
use api::helm::reasons::DRIFT_REPEATED;
use apply::ignore::{Limits, Rule, Rules, Target};
use apply::object::ObjectId;
use apply::observe::Index;
use helm_actions::drift::{Correction, Diff, Difference, DriftOptions};
use helm_state::next::{Next, NextError};
use overlay::{IgnoreError, ignore_target};
use runtime::events::Severity;
use tokio::time::Instant;

use crate::pass::Pass;

impl Pass<'_> {
    fn index(&self) -> Index {
        self.slot.index(&self.context.cluster).clone()
    }

    /// A pass begins, whatever for: those objects are looked at that the watches tell of.
    pub(crate) fn look_at_drift(&mut self) {
        let index = self.index();
        let owner = self.subject.owner();
        let memory = &mut self.slot.memory;
        memory.is_done = false;
        let drifted = match self.context.arguments.watch_drift {
            true => memory.objects.drifted(&index, &owner),
            false => Vec::new(),
        };
        memory.objects.look_begins(&index, &drifted);
        if !drifted.is_empty() {
            memory.repairs.begin(&drifted, Instant::now());
        }
    }

    /// The objects that need not be asked for.
    pub(crate) fn untouched(&self) -> HashMap<ObjectId, Difference> {
        match self.context.arguments.watch_drift {
            true => self.slot.memory.objects.untouched(&self.index()),
            false => HashMap::new(),
        }
    }

    /// Takes in how the objects stand. Without server-side apply not all fields that are wanted are owned, so that nothing may tell of
    /// their changes.
    pub(crate) fn compared(&mut self, diff: &Diff, is_applied: bool) {
        let index = self.index();
        let memory = &mut self.slot.memory;
        memory.objects.compared(&index, diff, is_applied);
        for id in memory.repairs.about_to_be_repeated() {
            let live =
                diff.objects.iter().find(|drift| *drift.id() == id).and_then(|drift| drift.live.as_ref());
            if let Some(manager) = live.and_then(|live| live.other_manager.as_deref()) {
                memory.repairs.changed_by(&id, manager);
            }
        }
    }

    /// Counts the objects that have drifted and stay so, as nothing is done about them.
    pub(crate) fn count_reported_drift(&self, next: &Result<Next, NextError>, diff: Option<&Diff>) {
        let count = if *next == Ok(Next::Nothing) { diff.map_or(0, Diff::changes) } else { 0 };
        self.context.drifted.set(self.subject.namespace(), self.subject.name(), count);
    }

    /// Says of objects that were set back again and again that this goes on, once.
    pub(crate) fn tell_repeated_drift(&mut self, correction: &Correction) {
        let corrected = correction.corrected.iter().map(|(id, _)| id);
        for message in self.slot.memory.repairs.repaired(corrected, Instant::now()) {
            tracing::warn!("{message}");
            let events = &self.context.events;
            self.subject.event(events, Severity::Error, DRIFT_DETECTION, DRIFT_REPEATED, &message);
        }
    }
}

/// How drift of a release is looked for.
///
/// # Errors
/// See [`IgnoreError`].
pub fn options(object: &HelmRelease, override_managers: &[String]) -> Result<DriftOptions, IgnoreError> {
    let ignore = object.spec.drift_detection.iter().flat_map(|drift| &drift.ignore);
    let (mut rules, mut excluded) = (Vec::new(), Vec::new());
    for rule in ignore {
        let target = ignore_target(rule)?;
        // The path of an object as a whole.
        if rule.paths.iter().any(String::is_empty) {
            let all: Target = Arc::new(|_| true);
            excluded.push(target.clone().unwrap_or(all));
        }
        let paths = rule.paths.iter().filter(|path| !path.is_empty()).cloned().collect();
        rules.push(Rule { paths, target });
    }
    let ignore = Rules::new(rules, Limits::default())?;
    let override_managers = override_managers.to_vec();
    Ok(DriftOptions { ignore, excluded, override_managers, known: HashMap::new() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_rule_for_the_whole_object_excludes_it_and_others_leave_fields_alone() {
        let ignore = json!([
            {"paths": [""], "target": {"kind": "Secret"}},
            {"paths": ["/spec/replicas"]},
        ]);
        let object = json!({"metadata": {"name": "a"}, "spec": {"interval": "1m", "driftDetection": {"ignore": ignore}}});
        let options = options(&serde_json::from_value(object).unwrap(), &[]).unwrap();
        let object = |kind: &str| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "b"}, "spec": {"replicas": 1, "x": 2}});
        let is_excluded = |object: &Value| options.excluded.iter().any(|excludes| excludes(object));
        assert_eq!([object("Secret"), object("Pod")].map(|object| is_excluded(&object)), [true, false]);
        let pod = object("Pod");
        assert_eq!(options.ignore.of(&pod).strip(&pod).get("spec"), Some(&json!({"x": 2})));
    }
}
