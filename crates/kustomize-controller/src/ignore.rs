//! `spec.ignore`: which fields of which objects are left to others.

use api::KustomizationSpec;
use apply::ignore::{Limits, Rule, Rules};
use overlay::{IgnoreError, ignore_target};

/// The rules of a Kustomization.
///
/// # Errors
/// See [`IgnoreError`].
pub fn rules(spec: &KustomizationSpec) -> Result<Rules, IgnoreError> {
    let rule = |rule: &api::kustomization::IgnoreRule| {
        Ok::<Rule, IgnoreError>(Rule { paths: rule.paths.clone(), target: ignore_target(rule)? })
    };
    let rules = spec.ignore.iter().map(rule).collect::<Result<_, IgnoreError>>()?;
    Ok(Rules::new(rules, Limits::default())?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use api::kustomization::{IgnoreRule, Selector};

    fn spec(kind: Option<&str>, rules: usize) -> KustomizationSpec {
        let target = kind.map(|kind| Selector { kind: Some(kind.into()), ..Selector::default() });
        let rule = IgnoreRule { paths: vec!["/spec/replicas".into()], target };
        KustomizationSpec { ignore: vec![rule; rules], ..KustomizationSpec::default() }
    }

    #[test]
    fn rules_that_cannot_be_used_are_told() {
        assert!(rules(&spec(None, 1)).is_ok() && rules(&spec(Some("Deployment|X"), 1)).is_ok());
        let error = rules(&spec(Some("("), 1)).unwrap_err().to_string();
        assert!(error.starts_with("failed to create ignore rule selector: error parsing regexp"), "{error}");
        assert_eq!(rules(&spec(None, 257)).unwrap_err().to_string(), "ignore has 257 rules, more than 256");
    }
}
