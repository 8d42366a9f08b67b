//! `readyExpr` of a dependency: an expression over `self`, the object that depends, and `dep`, the object it depends on.

use serde_json::Value;

use crate::{EvaluationError, Expression, Limits, ParseError};

/// Why a dependent cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotReady {
    /// The expression is wrong, whatever the objects are.
    Invalid(ParseError),
    /// The expression is false.
    False,
    /// The expression has no answer for these objects.
    Failed(EvaluationError),
}

/// Whether the expression of an entry is true. It may take as long as [`Limits::time`].
///
/// # Errors
/// It is not: see [`NotReady`].
pub fn check_ready(expression: &str, dependent: &Value, dependency: &Value) -> Result<(), NotReady> {
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
        let check = |text| check_ready(text, &own, &other);
        assert_eq!(check("dep.status.version == self.spec.version"), Ok(()));
        assert_eq!(check("dep.status.version != self.spec.version"), Err(NotReady::False));
        assert!(matches!(check("dep.status.nothing == 'x'"), Err(NotReady::Failed(_))));
        assert!(matches!(check("self.spec ="), Err(NotReady::Invalid(_))));
        assert!(matches!(check("other.spec == 1"), Err(NotReady::Invalid(_))));
    }
}
