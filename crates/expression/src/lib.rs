//! CEL expressions as the GitOps Toolkit lets users write them: with optional values and the extensions for strings,
//! sets and encoders, and with a ceiling on what an expression may cost.
//!
//! An expression is foreign input. Its text and its tree are limited before anything recurses into them, evaluation
//! counts what it does and what it allocates, and nothing in here panics or loops without counting.
//!
//! The `cel` crate is not used: its parser recurses along chains without a bound, and its evaluator cannot be stopped.

mod check;
mod evaluate;
mod functions;
mod lexer;
mod parser;
mod readiness;
mod syntax;
mod value;

use std::time::Duration;

use serde_json::Value as Json;

pub use crate::readiness::{Blocked, check_ready};
use crate::{evaluate::Evaluator, syntax::Node, value::Value};

/// What an expression may cost.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of its text.
    pub source: usize,
    /// Nodes of its tree.
    pub nodes: usize,
    /// Nodes from the root of its tree to the deepest leaf.
    pub depth: usize,
    /// Steps of one evaluation: a node, an element looked at, or eight bytes of text looked at or made.
    pub cost: u64,
    /// Longest time of one evaluation.
    pub time: Duration,
}

impl Default for Limits {
    /// A hundred conditions in one expression, over objects as large as the API server takes.
    fn default() -> Self {
        Self { source: 16 << 10, nodes: 4000, depth: 100, cost: 100_000, time: Duration::from_millis(100) }
    }
}

/// A mistake in an expression. The texts are those of Flux.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the texts say it")]
pub enum ParseError {
    #[error("failed to parse the CEL expression '{expression}': ERROR: <input>:{line}:{column}: {message}")]
    At { expression: String, line: usize, column: usize, message: String },
    #[error("failed to parse the CEL expression: {0}")]
    TooLarge(String),
    #[error("CEL expression output type mismatch: expected bool, got {0}")]
    NotBoolean(String),
}

/// Why an expression has no answer for its input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the texts say it")]
pub enum EvaluationError {
    #[error("failed to evaluate the CEL expression '{expression}': {message}")]
    Failed { expression: String, message: String },
    #[error("failed to evaluate CEL expression as boolean: '{0}'")]
    NotBoolean(String),
}

/// An expression that answers yes or no.
#[derive(Clone, Debug)]
pub struct Expression {
    source: String,
    root: Node,
    limits: Limits,
}

impl Expression {
    /// Reads an expression without looking at names and types: what is wrong with those shows when it is evaluated.
    ///
    /// # Errors
    /// See [`ParseError`].
    pub fn parse(source: &str, limits: &Limits) -> Result<Self, ParseError> {
        let root = parser::parse(source, limits)?;
        Ok(Self { source: source.to_owned(), root, limits: limits.clone() })
    }

    /// Reads an expression over these variables, each an object. Names, functions and types are checked, and its type
    /// must be known to be a boolean.
    ///
    /// # Errors
    /// See [`ParseError`].
    pub fn check(source: &str, variables: &[&str], limits: &Limits) -> Result<Self, ParseError> {
        let expression = Self::parse(source, limits)?;
        check::check(&expression.root, variables).map_err(|(at, message)| located(source, at, message))?;
        Ok(expression)
    }

    /// Evaluates over the variables that `variable` gives.
    ///
    /// # Errors
    /// See [`EvaluationError`].
    pub fn evaluate<'a>(
        &'a self,
        variable: &dyn Fn(&str) -> Option<&'a Json>,
    ) -> Result<bool, EvaluationError> {
        match Evaluator::new(variable, &self.limits).evaluate(&self.root) {
            Ok(Value::Bool(answer)) => Ok(answer),
            Ok(_) => Err(EvaluationError::NotBoolean(self.source.clone())),
            Err(failure) => {
                Err(EvaluationError::Failed { expression: self.source.clone(), message: failure.to_string() })
            }
        }
    }
}

/// An error with its place in the text: line and column from 1.
fn located(source: &str, at: usize, message: check::Mistake) -> ParseError {
    let message = match message {
        check::Mistake::NotBoolean(found) => return ParseError::NotBoolean(found),
        check::Mistake::Text(message) => message,
    };
    let before = source.get(..at).unwrap_or(source);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    ParseError::At { expression: source.to_owned(), line, column, message }
}
