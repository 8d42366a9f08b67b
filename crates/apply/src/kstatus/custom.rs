//! Health by the user's own expressions (`spec.healthCheckExprs`), in place of the rules for the kind.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use api::kustomization::CustomHealthCheck;
use expression::{Expression, Limits, ParseError};
use serde_json::Value;

use super::{Status, Verdict};
use crate::object::split_api_version;
use crate::order::GroupKind;

/// Bytes that are kept of an evaluation error.
const MESSAGE_BYTES: usize = 1024;

/// A mistake in `healthCheckExprs`. The texts are Flux's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the texts say it")]
pub enum HealthRulesError {
    #[error("duplicate custom health check for GroupKind {kind} at healthchecks[{index}]")]
    Duplicate { kind: String, index: usize },
    #[error(
        "failed to create custom status evaluator for healthchecks[{index}]: expression Current not specified"
    )]
    NoCurrent { index: usize },
    #[error(
        "failed to create custom status evaluator for healthchecks[{index}]: failed to parse the expression {name}"
    )]
    Invalid {
        index: usize,
        name: &'static str,
        #[source]
        source: ParseError,
    },
}

/// The expressions of one Kustomization, by what they are for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthRules {
    /// A group alone is a kind without a name.
    rules: HashMap<GroupKind, Arc<Rule>>,
    own_jobs: bool,
}

impl HealthRules {
    /// Reads the checks. Jobs are judged by the built-in rule whatever they say, unless `own_jobs`.
    ///
    /// # Errors
    /// See [`HealthRulesError`].
    pub fn new(checks: &[CustomHealthCheck], own_jobs: bool) -> Result<Self, HealthRulesError> {
        let mut rules = HashMap::new();
        for (index, check) in checks.iter().enumerate() {
            let (group, _) = split_api_version(&check.api_version);
            let kind = check.kind.clone().unwrap_or_default();
            let about = GroupKind { group: group.to_owned(), kind };
            if rules.contains_key(&about) {
                let kind = if about.group.is_empty() {
                    about.kind
                } else {
                    format!("{}.{}", about.kind, about.group)
                };
                return Err(HealthRulesError::Duplicate { kind, index });
            }
            rules.insert(about, Arc::new(Rule::new(check, index)?));
        }
        Ok(Self { rules, own_jobs })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The rule for a kind: its own one, else that of its group.
    pub fn of(&self, group: &str, kind: &str) -> Option<&Arc<Rule>> {
        if !self.own_jobs && (group, kind) == ("batch", "Job") {
            return None;
        }
        let named =
            |kind: &str| self.rules.get(&GroupKind { group: group.to_owned(), kind: kind.to_owned() });
        named(kind).or_else(|| named(""))
    }
}

/// The expressions for one kind or group. Equal if their texts are.
#[derive(Debug)]
pub struct Rule {
    check: [String; 3],
    in_progress: Option<Expression>,
    failed: Option<Expression>,
    current: Expression,
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.check == other.check
    }
}

impl Eq for Rule {}

impl Hash for Rule {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.check.hash(state);
    }
}

impl Rule {
    fn new(check: &CustomHealthCheck, index: usize) -> Result<Self, HealthRulesError> {
        let read = |name, text: &Option<String>| {
            let text = text.as_deref().filter(|text| !text.is_empty());
            let parsed = text.map(|text| Expression::parse(text, &Limits::default())).transpose();
            parsed.map_err(|source| HealthRulesError::Invalid { index, name, source })
        };
        let current = read("Current", &Some(check.current.clone()))?;
        let current = current.ok_or(HealthRulesError::NoCurrent { index })?;
        let text = |expression: &Option<String>| expression.clone().unwrap_or_default();
        Ok(Self {
            check: [check.current.clone(), text(&check.in_progress), text(&check.failed)],
            failed: read("Failed", &check.failed)?,
            in_progress: read("InProgress", &check.in_progress)?,
            current,
        })
    }

    /// Judges an object: a generation that is not observed yet, then in progress, failed and current, in this order.
    pub fn verdict(&self, object: &Value) -> Verdict {
        let number = |pointer| object.pointer(pointer).and_then(Value::as_i64);
        let generations = (number("/status/observedGeneration"), number("/metadata/generation"));
        if let (Some(observed), Some(generation)) = generations
            && observed != generation
        {
            return Verdict::in_progress("");
        }
        let steps = [
            (self.in_progress.as_ref(), Status::InProgress),
            (self.failed.as_ref(), Status::Failed),
            (Some(&self.current), Status::Current),
        ];
        for (expression, status) in steps {
            let Some(expression) = expression else { continue };
            match expression.evaluate(&|name| object.get(name)) {
                Ok(true) => return Verdict::new(status, ""),
                Ok(false) => {}
                Err(error) => return Verdict::new(Status::Unknown, shortened(error.to_string())),
            }
        }
        Verdict::in_progress("")
    }
}

fn shortened(mut message: String) -> String {
    let end = (0..=MESSAGE_BYTES).rev().find(|at| message.is_char_boundary(*at)).unwrap_or_default();
    message.truncate(end);
    message
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use serde_json::json;

    fn check(api_version: &str, kind: &str, current: &str) -> CustomHealthCheck {
        CustomHealthCheck {
            api_version: api_version.into(),
            kind: Some(kind.to_owned()).filter(|kind| !kind.is_empty()),
            current: current.into(),
            ..CustomHealthCheck::default()
        }
    }

    #[test]
    fn the_order_is_generation_in_progress_failed_current() {
        let rule = Rule::new(
            &CustomHealthCheck {
                in_progress: Some("status.phase in ['Busy', 'All']".into()),
                failed: Some("status.phase in ['Bad', 'All']".into()),
                ..check("x.org/v1", "W", "status.phase in ['Good', 'Bad', 'All']")
            },
            0,
        )
        .unwrap();
        let status = |object: Value| rule.verdict(&object).status;
        let phase = |phase: &str| json!({"metadata": {"generation": 1}, "status": {"phase": phase}});
        assert_eq!(status(phase("All")), Status::InProgress);
        assert_eq!(status(phase("Bad")), Status::Failed);
        assert_eq!(status(phase("Good")), Status::Current);
        assert_eq!(status(phase("Other")), Status::InProgress, "nothing is true");
        let mut stale = phase("Good");
        stale["status"]["observedGeneration"] = 2.into();
        assert_eq!(status(stale.clone()), Status::InProgress);
        stale["status"]["observedGeneration"] = "2".into();
        assert_eq!(status(stale), Status::Current, "only a number counts");
    }

    #[test]
    fn an_error_is_unknown_and_says_why() {
        let rule = Rule::new(&check("x.org/v1", "W", "status.ready"), 0).unwrap();
        let verdict = rule.verdict(&json!({"status": {}}));
        let text = "failed to evaluate the CEL expression 'status.ready': no such key: ready";
        assert_eq!((verdict.status, verdict.message.as_str()), (Status::Unknown, text));
        let long =
            Rule::new(&check("x.org/v1", "W", &format!("{}status.ready", " ".repeat(5000))), 0).unwrap();
        assert!(long.verdict(&json!({})).message.len() <= MESSAGE_BYTES);
    }

    #[test]
    fn a_kind_has_its_own_rule_or_that_of_its_group() {
        let checks = [
            check("x.org/v1", "", "true"),
            check("x.org/v2", "W", "false"),
            check("batch/v1", "Job", "true"),
        ];
        let rules = HealthRules::new(&checks, false).unwrap();
        let current = |group, kind| rules.of(group, kind).map(|rule| rule.check[0].clone());
        assert_eq!(current("x.org", "Other").as_deref(), Some("true"));
        assert_eq!(current("x.org", "W").as_deref(), Some("false"));
        assert_eq!(current("", "W"), None);
        assert_eq!(current("batch", "Job"), None, "the controller knows Jobs better");
        assert!(HealthRules::new(&checks, true).unwrap().of("batch", "Job").is_some());
    }

    #[test]
    fn mistakes_have_the_words_of_flux() {
        let error = |checks: &[CustomHealthCheck]| {
            let error = HealthRules::new(checks, true).unwrap_err();
            let source = std::error::Error::source(&error).map(|s| format!(": {s}")).unwrap_or_default();
            format!("{error}{source}")
        };
        assert_eq!(
            error(&[check("x.org/v1", "W", "true"), check("x.org/v2", "W", "true")]),
            "duplicate custom health check for GroupKind W.x.org at healthchecks[1]"
        );
        assert_eq!(
            error(&[check("v1", "ConfigMap", "true"), check("v1", "ConfigMap", "true")]),
            "duplicate custom health check for GroupKind ConfigMap at healthchecks[1]"
        );
        assert_eq!(
            error(&[check("x.org/v1", "W", "foo.")]),
            "failed to create custom status evaluator for healthchecks[0]: failed to parse the expression Current: \
             failed to parse the CEL expression 'foo.': ERROR: <input>:1:5: Syntax error: mismatched input '<EOF>' \
             expecting IDENTIFIER"
        );
        assert!(error(&[check("x.org/v1", "W", "")]).ends_with("expression Current not specified"));
    }
}
