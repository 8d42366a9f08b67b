//! `spec.dependsOn`: whether a dependency is ready (Flux: `HelmReleaseReconciler.checkDependencies`).

use std::fmt::Display;

use api::ConditionStatus;
use api::helm_release::HelmRelease;
use api::kustomization::DependencyReference;
use api::meta::conditions::READY;
use expression::{Blocked, check_ready};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

/// Namespace and name of what an entry refers to.
pub fn key(dependent: &HelmRelease, entry: &DependencyReference) -> (String, String) {
    let namespace = entry.namespace.clone().filter(|namespace| !namespace.is_empty());
    let own = || dependent.namespace().unwrap_or_default();
    (namespace.unwrap_or_else(own), entry.name.clone())
}

/// What an entry refers to.
pub fn reference(dependent: &HelmRelease, entry: &DependencyReference) -> ObjectRef<HelmRelease> {
    let (namespace, name) = key(dependent, entry);
    ObjectRef::new(&name).within(&namespace)
}

/// What is said when a dependency cannot be read.
pub fn unreadable_text((namespace, name): &(String, String), error: &impl Display) -> String {
    format!("unable to get '{namespace}/{name}' dependency: {error}")
}

/// Whether an entry waits for more than its expression; `additive` is the feature gate AdditiveCELDependencyCheck.
pub fn waits_for_readiness(entry: &DependencyReference, additive: bool) -> bool {
    additive || expression_of(entry).is_none()
}

/// Answers by the entry's expression if it has one, else, or if both count, by whether the dependency is ready at its present generation.
/// An expression may take as long as [`expression::Limits::time`]: the answer is to be had where blocking is allowed.
///
/// `restricted` keeps the spec of the dependency from the expression, for whoever may not read it.
///
/// # Errors
/// The dependent cannot go on: see [`Blocked`].
pub fn check(
    dependent: &HelmRelease,
    entry: &DependencyReference,
    dependency: &HelmRelease,
    additive: bool,
    restricted: bool,
) -> Result<(), Blocked> {
    if let Some(text) = expression_of(entry) {
        check_ready(text, dependent, dependency, restricted)?;
    }
    if waits_for_readiness(entry, additive) && !is_ready(dependency) {
        let namespace = dependency.namespace().unwrap_or_default();
        let text = format!("dependency '{namespace}/{}' is not ready", dependency.name_any());
        return Err(Blocked::Waiting(text));
    }
    Ok(())
}

/// Whether a release is ready at its present generation.
pub fn is_ready(release: &HelmRelease) -> bool {
    let Some(status) = &release.status else { return false };
    let ready = status.conditions.iter().find(|condition| condition.type_ == READY);
    status.observed_generation == release.metadata.generation
        && ready.is_some_and(|condition| condition.status == ConditionStatus::True)
}

/// The expression of an entry, if it has one.
pub fn expression_of(entry: &DependencyReference) -> Option<&str> {
    entry.ready_expr.as_deref().filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn release(name: &str, observed: i64, ready: &str) -> HelmRelease {
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "ns", "generation": 2},
            "spec": {"interval": "1m", "releaseName": "shown"},
            "status": {
                "observedGeneration": observed, "lastAttemptedRevision": "1.0.0",
                "conditions": [{"type": "Ready", "status": ready}],
            },
        }))
        .unwrap_or_else(|error| panic!("{error}"))
    }

    fn entry(expression: Option<&str>) -> DependencyReference {
        DependencyReference {
            name: "base".to_owned(),
            namespace: None,
            ready_expr: expression.map(str::to_owned),
        }
    }

    fn text(entry: &DependencyReference, base: &HelmRelease, additive: bool) -> Option<String> {
        check(&release("app", 2, "True"), entry, base, additive, false)
            .err()
            .map(|blocked| blocked.to_string())
    }

    #[test]
    fn a_dependency_is_ready_at_its_present_generation_only() {
        let waiting = Some("dependency 'ns/base' is not ready".to_owned());
        assert_eq!(text(&entry(None), &release("base", 2, "True"), false), None);
        assert_eq!(text(&entry(None), &release("base", 1, "True"), false), waiting);
        assert_eq!(text(&entry(None), &release("base", 2, "Unknown"), false), waiting);
        let new = HelmRelease { status: None, ..release("base", 2, "True") };
        assert_eq!(text(&entry(Some("")), &new, false), waiting);
    }

    #[test]
    fn an_expression_replaces_the_built_in_check_unless_it_is_additive() {
        let failing = release("base", 2, "False");
        let upgraded =
            entry(Some("dep.status.lastAttemptedRevision == '1.0.0' && self.metadata.name == 'app'"));
        assert_eq!(text(&upgraded, &failing, false), None);
        assert_eq!(text(&upgraded, &failing, true).as_deref(), Some("dependency 'ns/base' is not ready"));
        assert!(waits_for_readiness(&entry(None), false) && !waits_for_readiness(&upgraded, false));
        assert_eq!(
            text(&entry(Some("dep.status.lastAttemptedRevision == '2.0.0'")), &failing, false).as_deref(),
            Some("dependency 'ns/base' is not ready according to readyExpr eval")
        );
    }

    #[test]
    fn a_wrong_expression_is_the_fault_of_the_dependent() {
        let blocked = check(
            &release("app", 2, "True"),
            &entry(Some("dep.")),
            &release("base", 2, "True"),
            false,
            false,
        );
        assert!(
            matches!(&blocked, Err(Blocked::Invalid(text))
                if text.starts_with("terminal error: failed to evaluate dependency base: failed to parse")),
            "{blocked:?}"
        );
    }

    #[test]
    fn a_restricted_expression_does_not_see_the_spec_of_the_dependency() {
        let (app, base) = (release("app", 2, "True"), release("base", 2, "True"));
        let entry = entry(Some("dep.spec.releaseName == 'shown'"));
        assert_eq!(check(&app, &entry, &base, false, false), Ok(()));
        assert!(matches!(check(&app, &entry, &base, false, true), Err(Blocked::Waiting(_))));
    }

    #[test]
    fn an_entry_without_namespace_means_its_own() {
        let app = release("app", 2, "True");
        assert_eq!(key(&app, &entry(None)), ("ns".to_owned(), "base".to_owned()));
        let foreign = DependencyReference { namespace: Some("other".to_owned()), ..entry(None) };
        let key = key(&app, &foreign);
        assert_eq!(unreadable_text(&key, &"gone"), "unable to get 'other/base' dependency: gone");
    }
}
