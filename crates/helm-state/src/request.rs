//! Annotations that ask for something once.

use api::HelmRelease;
use api::helm::{FORCE_REQUEST_ANNOTATION, RESET_REQUEST_ANNOTATION};
use api::helm_release::HelmReleaseStatus;
use api::meta::RECONCILE_REQUEST_ANNOTATION;
use kube::ResourceExt;

use crate::object::{status, text};

/// Whether an upgrade or install is asked for whatever the state is. It counts as handled from then on, even if it is not granted.
pub fn takes_force_request(object: &mut HelmRelease) -> bool {
    take(object, FORCE_REQUEST_ANNOTATION, |status| &mut status.last_handled_force_at)
}

/// Whether the counters of failures are to be set to zero. It counts as handled from then on, even if it is not granted.
pub fn takes_reset_request(object: &mut HelmRelease) -> bool {
    take(object, RESET_REQUEST_ANNOTATION, |status| &mut status.last_handled_reset_at)
}

/// A request has the value of the request to reconcile, and both are new (`meta.HandleAnnotationRequest`).
fn take(
    object: &mut HelmRelease,
    annotation: &str,
    handled: impl Fn(&mut HelmReleaseStatus) -> &mut Option<String>,
) -> bool {
    let Some(asked) = object.annotations().get(annotation).cloned() else { return false };
    let reconcile = object.annotations().get(RECONCILE_REQUEST_ANNOTATION).cloned();
    let status = status(object);
    let before = handled(status).replace(asked.clone());
    reconcile.as_ref() == Some(&asked)
        && text(before.as_ref()) != asked
        && text(status.last_handled_reconcile_at.as_ref()) != asked
}
