//! `spec.driftDetection`: which fields of which objects are left to others.

use std::sync::Arc;

use api::HelmRelease;
use apply::ignore::{Limits, Rule, Rules, Target};
use helm_actions::drift::DriftOptions;
use overlay::{IgnoreError, ignore_target};

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
    Ok(DriftOptions { ignore, excluded, override_managers: override_managers.to_vec() })
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
