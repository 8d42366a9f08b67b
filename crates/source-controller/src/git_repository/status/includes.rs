//! What there is to say of included artifacts.

use api::{Artifact, ConditionStatus, GitRepository};
use jiff::Timestamp;

use source::failure::condition::*;
use source::failure::reason;
use source::status::{conditions, progressing};

/// Other artifacts are included than before. Gives whether that is so.
pub fn includes_changed(object: &mut GitRepository, includes: &[Artifact], now: Timestamp) -> bool {
    let before = &object.status.get_or_insert_default().included_artifacts;
    let known = |one: &Artifact| before.iter().any(|other| other.revision == one.revision);
    if before.len() == includes.len() && includes.iter().all(known) {
        return false;
    }
    let outdated = !before.is_empty();
    let mut conditions = conditions(object, now);
    let message = "included artifacts differ from last observed includes";
    if outdated {
        conditions.set(ARTIFACT_OUTDATED, ConditionStatus::True, reason::INCLUDE_CHANGE, message);
    }
    progressing(&mut conditions, true, &format!("building artifact: {message}"));
    true
}

/// Everything that is to be included has an artifact.
pub fn included(object: &mut GitRepository, now: Timestamp) {
    conditions(object, now).remove(INCLUDE_UNAVAILABLE);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use source::failure::Failure;
    use source::status::{End, answered, begin, end};

    use super::super::stored;
    use super::super::tests::{artifact, good, now, observed, shown};
    use super::*;

    #[test]
    fn sets_of_included_artifacts_are_compared_by_their_revisions_in_any_order() {
        let set = |revisions: &[&str]| -> Vec<_> { revisions.iter().map(|r| artifact(r, "d")).collect() };
        for (before, now_included, changed) in [
            (&[][..], &[][..], false),
            (&["a", "b"], &["b", "a"], false),
            (&["a"], &["b"], true),
            (&["a"], &["a", "a"], true),
            (&["a"], &[], true),
            (&[], &["a"], true),
        ] {
            let mut object = good();
            stored(&mut object, set(before));
            assert_eq!(includes_changed(&mut object, &set(now_included), now()), changed);
            let shown = shown(&object);
            let text = "included artifacts differ from last observed includes";
            let outdated = shown.contains(&format!("ArtifactOutdated=True/IncludeChange {text}"));
            assert_eq!(outdated, changed && !before.is_empty(), "{shown:?}");
            let unknown = shown.contains(&format!("Ready=Unknown/Progressing building artifact: {text}"));
            assert_eq!(unknown, changed, "{shown:?}");
            answered(&mut object, now());
            let kinds = self::shown(&object);
            assert!(!kinds.iter().any(|c| c.starts_with("ArtifactOutdated")), "{kinds:?}");
        }
    }

    #[test]
    fn a_missing_include_is_waited_for_and_forgotten_when_it_is_there() {
        let mut object = good();
        object.metadata.generation = Some(2);
        begin(&mut object, now());
        end(&mut object, &End::Failed(Failure::include("NoArtifact", "no artifact")), now());
        assert_eq!(
            shown(&object),
            [
                "Reconciling=True/ProgressingWithRetry processing object: new generation 1 -> 2",
                "Ready=False/NoArtifact no artifact",
                "IncludeUnavailable=True/NoArtifact no artifact",
                "ArtifactInStorage=True/Succeeded stored artifact for revision 'main@sha1:1'",
            ]
        );
        assert_eq!(observed(&object), Some(1));
        included(&mut object, now());
        assert!(!shown(&object).iter().any(|c| c.starts_with("IncludeUnavailable")));
    }
}
