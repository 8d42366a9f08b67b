//! `readyExpr` of a dependency: an expression over `self`, the object that depends, and `dep`, the object it depends on.

use serde::Serialize;
use serde_json::Value;

use crate::{EvaluationError, Expression, Limits, ParseError};

/// Why a dependent cannot go on. The texts are Flux's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Blocked {
    /// The dependency has to change first.
    #[error("{0}")]
    Waiting(String),
    /// The dependent's expression has to change first.
    #[error("{0}")]
    Invalid(String),
}

/// Whether the expression of an entry is true of two objects of Kubernetes. It may take as long as [`Limits::time`]: the answer is to
/// be had where blocking is allowed.
///
/// `restricted` keeps the spec of the dependency from the expression, for whoever may not read it.
///
/// # Errors
/// The dependent cannot go on: see [`Blocked`].
pub fn check_ready(
    expression: &str,
    dependent: &impl Serialize,
    dependency: &impl Serialize,
    restricted: bool,
) -> Result<(), Blocked> {
    let (own, mut other) = (json(dependent, "self")?, json(dependency, "dep")?);
    if restricted && let Some(fields) = other.as_object_mut() {
        fields.remove("spec");
    }
    evaluate(expression, &own, &other).map_err(|not_ready| {
        let text = |field| other.pointer(field).and_then(Value::as_str).unwrap_or_default();
        let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
        match not_ready {
            NotReady::Invalid(error) => {
                Blocked::Invalid(format!("terminal error: failed to evaluate dependency {name}: {error}"))
            }
            NotReady::False => Blocked::Waiting(format!(
                "dependency '{namespace}/{name}' is not ready according to readyExpr eval"
            )),
            NotReady::Failed(error) => Blocked::Waiting(error.to_string()),
        }
    })
}

fn json(object: &impl Serialize, name: &str) -> Result<Value, Blocked> {
    let unreadable = |error| Blocked::Waiting(format!("failed to convert {name} object to map: {error}"));
    serde_json::to_value(object).map_err(unreadable)
}

/// What an expression says of two objects, unless it is true.
#[derive(Debug, PartialEq, Eq)]
enum NotReady {
    /// The expression is wrong, whatever the objects are.
    Invalid(ParseError),
    /// The expression is false.
    False,
    /// The expression has no answer for these objects.
    Failed(EvaluationError),
}

fn evaluate(expression: &str, dependent: &Value, dependency: &Value) -> Result<(), NotReady> {
    let expression = Expression::check(expression, &["self", "dep"], &Limits::default());
    let variable = |name: &str| match name {
        "self" => Some(dependent),
        "dep" => Some(dependency),
        _ => None,
    };
    match expression.map_err(NotReady::Invalid)?.evaluate(&variable) {
        Ok(true) => Ok(()),
        Ok(false) => Err(NotReady::False),
        Err(error) => Err(NotReady::Failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_expression_sees_both_objects_and_is_right_wrong_or_without_an_answer() {
        let (own, other) = (json!({"spec": {"version": "1"}}), json!({"status": {"version": "1"}}));
        let check = |text| evaluate(text, &own, &other);
        assert_eq!(check("dep.status.version == self.spec.version"), Ok(()));
        assert_eq!(check("dep.status.version != self.spec.version"), Err(NotReady::False));
        assert!(matches!(check("dep.status.nothing == 'x'"), Err(NotReady::Failed(_))));
        assert!(matches!(check("self.spec ="), Err(NotReady::Invalid(_))));
        assert!(matches!(check("other.spec == 1"), Err(NotReady::Invalid(_))));
    }
}
