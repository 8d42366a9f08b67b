//! Substitution in Kubernetes objects.

use serde_json::Value;
use yaml::Resolver;

use crate::{Error, Limits, Variables, substitute};

/// The label or annotation that keeps an object out of substitution.
const SUBSTITUTE: &str = "kustomize.toolkit.fluxcd.io/substitute";

/// True for an object that asks to be left alone: label or annotation `kustomize.toolkit.fluxcd.io/substitute: disabled`.
pub fn is_disabled(object: &Value) -> bool {
    let metadata = object.get("metadata");
    let says_disabled = |field| {
        let value = metadata?.get(field)?.get(SUBSTITUTE)?;
        (value == "disabled").then_some(())
    };
    ["labels", "annotations"].into_iter().any(|field| says_disabled(field).is_some())
}

/// Substitutes in a whole object by way of its YAML text, as Flux does.
///
/// The text has no more quotes than its values need, so a value may change its type: `"${x}"` becomes a number for
/// `x=1` and null for an empty `x`, and a value may bring YAML syntax of its own.
///
/// # Errors
/// As [`substitute`], and [`Error::Yaml`] when the result is no YAML.
pub fn substitute_object(
    object: &Value,
    variables: &Variables,
    strict: bool,
    limits: &Limits,
) -> Result<Value, Error> {
    if !mentions_dollar(object) {
        // No expression and no `$$`: the text would come back as it went.
        return Ok(object.clone());
    }
    let text = substitute(&yaml::json_to_yaml(object), variables, strict, limits)?;
    let documents = yaml::parse(&text, &limits.yaml)?;
    // The reader behind Flux's conversion looks at the first document only.
    Ok(match documents.first() {
        Some(document) => document.to_json(Resolver::KubernetesV2)?,
        None => Value::Null,
    })
}

fn mentions_dollar(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('$'),
        Value::Array(items) => items.iter().any(mentions_dollar),
        Value::Object(object) => {
            object.iter().any(|(key, value)| key.contains('$') || mentions_dollar(value))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
