use api::HelmRelease;
use api::helm_release::{HelmReleaseStatus, Snapshot, latest};
use artifact::digest::Algorithm;
use jiff::Timestamp;
use runtime::conditions::Conditions;

/// What the flags of the controller say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settings {
    /// `--snapshot-digest-algo`: the algorithm of new digests.
    pub digest: Algorithm,
    /// Feature gate DefaultToRetryOnFailure: failures are tried again, not remediated, where no strategy is given.
    pub retry_on_failure: bool,
}

/// `status` of the object, made if absent.
pub fn status(object: &mut HelmRelease) -> &mut HelmReleaseStatus {
    object.status.get_or_insert_default()
}

/// The snapshots of the object.
pub(crate) fn history(object: &HelmRelease) -> &[Snapshot] {
    object.status.as_ref().map_or(&[], |status| &status.history)
}

/// The newest snapshot of the object.
pub(crate) fn current(object: &HelmRelease) -> Option<&Snapshot> {
    latest(history(object))
}

/// Works on the object's conditions, at its generation.
pub(crate) fn conditions(object: &mut HelmRelease, now: Timestamp) -> Conditions<'_> {
    let generation = object.metadata.generation.unwrap_or_default();
    Conditions::new(&mut status(object).conditions, generation, now)
}

/// The object's conditions as they are.
pub(crate) fn listed(object: &HelmRelease) -> &[api::Condition] {
    object.status.as_ref().map_or(&[], |status| &status.conditions)
}

/// Whether failed tests are left alone, by the remediation that is active or by the tests' own setting.
pub(crate) fn ignores_test_failures(object: &HelmRelease) -> bool {
    let own = object.spec.test.ignore_failures;
    object.active_remediation().map_or(own, |remediation| remediation.ignore_test_failures)
}

/// A text field; Go knows no difference between an absent and an empty one.
pub(crate) fn text(field: Option<&String>) -> &str {
    field.map(String::as_str).unwrap_or_default()
}

/// The field of a text.
pub(crate) fn field(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
