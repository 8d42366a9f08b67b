//! What is wrong with a spec, whatever its sources hold.

use std::collections::HashSet;

use api::ArtifactGenerator;
use api::artifact_generator::CopyStrategy;

use crate::meter::{LimitError, Limits, within};
use crate::names::invalid_subdomain;

/// Why a spec is refused. Only another spec can help.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// Two sources have one alias.
    #[error("duplicate source alias '{0}' found")]
    DuplicateAlias(String),
    /// Two artifacts have one name.
    #[error("duplicate artifact name '{0}' found")]
    DuplicateName(String),
    /// A name that no object can have.
    #[error("artifact name \"{0}\" is not a valid Kubernetes object name: {1}")]
    Name(String, &'static str),
    /// The revision is that of no source.
    #[error("artifact {artifact} revision source alias '{alias}' not found")]
    RevisionAlias {
        /// Name of the artifact.
        artifact: String,
        /// The alias that no source has.
        alias: String,
    },
    /// A strategy that this version does not know.
    #[error("artifact {0} has a copy strategy that is not supported")]
    Strategy(String),
    /// There is more than there may be.
    #[error(transparent)]
    Limit(#[from] LimitError),
}

/// Looks for mistakes in a spec.
///
/// # Errors
/// See [`SpecError`]; the first mistake in the order of the spec.
pub fn check(object: &ArtifactGenerator, limits: &Limits) -> Result<(), SpecError> {
    let spec = &object.spec;
    let mut aliases = HashSet::new();
    for source in &spec.sources {
        if !aliases.insert(source.alias.as_str()) {
            return Err(SpecError::DuplicateAlias(source.alias.clone()));
        }
    }
    within("artifacts", spec.artifacts.len() as u64, limits.artifacts as u64)?;
    let operations = spec.artifacts.iter().map(|artifact| artifact.copy.len() as u64).sum();
    within("copy operations", operations, limits.operations as u64)?;
    let mut names = HashSet::new();
    for artifact in &spec.artifacts {
        let name = &artifact.name;
        if !names.insert(name.as_str()) {
            return Err(SpecError::DuplicateName(name.clone()));
        }
        if path_pattern(object).is_none()
            && let Some(why) = invalid_subdomain(name)
        {
            return Err(SpecError::Name(name.clone(), why));
        }
        if let Some(alias) = artifact.revision.as_deref().map(|revision| revision.trim_start_matches('@'))
            && !alias.is_empty()
            && !aliases.contains(alias)
        {
            return Err(SpecError::RevisionAlias { artifact: name.clone(), alias: alias.to_owned() });
        }
        if artifact.copy.iter().any(|copy| copy.strategy == Some(CopyStrategy::Unknown)) {
            return Err(SpecError::Strategy(name.clone()));
        }
    }
    Ok(())
}

/// The path pattern of a generator that has one.
pub(crate) fn path_pattern(object: &ArtifactGenerator) -> Option<&str> {
    object.spec.path_pattern.as_deref().filter(|pattern| !pattern.is_empty())
}

/// The alias and the path of `@alias/path`.
pub fn path_alias(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix('@')?.split_once('/')
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn checked(sources: &[&str], artifacts: Value, pattern: Option<&str>) -> Result<(), String> {
        let source = |alias: &&str| json!({"alias": alias, "kind": "GitRepository", "name": "a"});
        let sources: Vec<_> = sources.iter().map(source).collect();
        let spec = json!({"sources": sources, "artifacts": artifacts, "pathPattern": pattern});
        let object = serde_json::from_value(json!({"metadata": {"name": "g"}, "spec": spec})).unwrap();
        let limits = Limits { artifacts: 2, operations: 2, ..Limits::default() };
        check(&object, &limits).map_err(|error| error.to_string())
    }

    #[test]
    fn mistakes_of_a_spec_are_named() {
        let copy = || json!([{"from": "@a/x", "to": "@artifact/"}]);
        let named = |name: &str| json!({"name": name, "copy": copy()});
        let refused = |sources: &[&str], artifacts: Value, text: &str| {
            assert_eq!(checked(sources, artifacts, None), Err(text.to_owned()));
        };
        assert_eq!(checked(&["a", "b"], json!([named("x"), named("y.z")]), None), Ok(()));
        refused(&["a", "b", "a"], json!([named("x")]), "duplicate source alias 'a' found");
        refused(&["a"], json!([named("x"), named("x")]), "duplicate artifact name 'x' found");
        let of_b = json!([{"name": "x", "copy": copy(), "revision": "@b"}]);
        refused(&["a"], of_b.clone(), "artifact x revision source alias 'b' not found");
        assert_eq!(checked(&["a", "b"], of_b, None), Ok(()));
        let of_origin = json!([{"name": "x", "copy": copy(), "originRevision": "@b"}]);
        assert_eq!(checked(&["a"], of_origin, None), Ok(()), "as with Flux");
        let strange =
            json!([{"name": "x", "copy": [{"from": "@a/x", "to": "@artifact/", "strategy": "Link"}]}]);
        refused(&["a"], strange, "artifact x has a copy strategy that is not supported");
        for name in ["X", "x_y", "-x", "x.", "", &"x".repeat(254)] {
            let error = checked(&["a"], json!([named(name)]), None).unwrap_err();
            let begin = format!("artifact name \"{name}\" is not a valid Kubernetes object name: ");
            assert!(error.starts_with(&begin), "{error}");
            assert_eq!(checked(&["a"], json!([named(name)]), Some("@a/{x}")), Ok(()));
        }
    }

    #[test]
    fn a_spec_has_limits_of_artifacts_and_operations() {
        let copies = |count| vec![json!({"from": "@a/x", "to": "@artifact/"}); count];
        let many: Vec<_> =
            ["x", "y", "z"].iter().map(|name| json!({"name": name, "copy": copies(0)})).collect();
        let error = checked(&["a"], many.into(), None).unwrap_err();
        assert_eq!(error, "the limit of 2 artifacts is exceeded");
        let error = checked(&["a"], json!([{"name": "x", "copy": copies(3)}]), None).unwrap_err();
        assert_eq!(error, "the limit of 2 copy operations is exceeded");
    }
}
