//! Requests by annotation beside that for a run: one release by force, and a reset of the counters (Flux: `HandleAnnotationRequest`).

use api::HelmRelease;
use api::helm::{FORCE_REQUEST_ANNOTATION, RESET_REQUEST_ANNOTATION};
use api::meta::RECONCILE_REQUEST_ANNOTATION;
use kube::ResourceExt;

/// Whether a release was asked for, whatever the state is. The token is recorded, even of a request that does not count, so that no request
/// counts twice.
pub fn take_force(release: &mut HelmRelease) -> bool {
    let status = release.status.get_or_insert_default();
    let mut handled = status.last_handled_force_at.take();
    let counts = take(release, FORCE_REQUEST_ANNOTATION, &mut handled);
    release.status.get_or_insert_default().last_handled_force_at = handled;
    counts
}

/// The same for a reset of the counters of failures.
pub fn take_reset(release: &mut HelmRelease) -> bool {
    let status = release.status.get_or_insert_default();
    let mut handled = status.last_handled_reset_at.take();
    let counts = take(release, RESET_REQUEST_ANNOTATION, &mut handled);
    release.status.get_or_insert_default().last_handled_reset_at = handled;
    counts
}

/// A request counts with the token of a request for a run that was not handled yet.
fn take(release: &HelmRelease, annotation: &str, handled: &mut Option<String>) -> bool {
    let Some(token) = release.annotations().get(annotation) else { return false };
    let before = handled.replace(token.clone()).filter(|before| !before.is_empty());
    let handled_run = release.status.as_ref().and_then(|status| status.last_handled_reconcile_at.as_ref());
    let is_new = |handled: Option<&String>| handled.map_or("", String::as_str) != token;
    release.annotations().get(RECONCILE_REQUEST_ANNOTATION) == Some(token)
        && is_new(handled_run)
        && is_new(before.as_ref())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn release(annotations: &[(&str, &str)], status: Value) -> HelmRelease {
        let annotations: std::collections::BTreeMap<_, _> =
            annotations.iter().map(|(name, token)| (format!("reconcile.fluxcd.io/{name}"), *token)).collect();
        serde_json::from_value(json!({
            "metadata": {"name": "a", "annotations": annotations}, "spec": {"interval": "1m"}, "status": status,
        }))
        .unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_request_counts_once_and_only_with_the_token_of_a_new_run() {
        for (annotations, status, counts) in [
            (&[("forceAt", "1"), ("requestedAt", "1")][..], json!({}), true),
            (&[("forceAt", "1"), ("requestedAt", "1")], json!({"lastHandledForceAt": "1"}), false),
            (&[("forceAt", "1"), ("requestedAt", "1")], json!({"lastHandledReconcileAt": "1"}), false),
            (
                &[("forceAt", "2"), ("requestedAt", "2")],
                json!({"lastHandledForceAt": "1", "lastHandledReconcileAt": "1"}),
                true,
            ),
            (&[("forceAt", "1"), ("requestedAt", "2")], json!({}), false),
            (&[("forceAt", "1")], json!({}), false),
            (&[("forceAt", ""), ("requestedAt", "")], json!({}), false),
        ] {
            let mut release = release(annotations, status.clone());
            assert_eq!(take_force(&mut release), counts, "{annotations:?} {status}");
            let handled = release.status.as_ref().and_then(|status| status.last_handled_force_at.clone());
            assert_eq!(handled.as_deref(), annotations.first().map(|(_, token)| *token), "it is recorded");
            assert!(!take_force(&mut release), "it counts once");
        }
        let mut none = release(&[("requestedAt", "1")], json!({"lastHandledForceAt": "0"}));
        assert!(!take_force(&mut none));
        assert_eq!(none.status.and_then(|status| status.last_handled_force_at).as_deref(), Some("0"));
    }

    #[test]
    fn a_reset_is_a_request_of_its_own() {
        let mut release =
            release(&[("resetAt", "1"), ("requestedAt", "1")], json!({"lastHandledForceAt": "1"}));
        assert!(take_reset(&mut release) && !take_reset(&mut release) && !take_force(&mut release));
    }
}
