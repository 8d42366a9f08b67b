//! Signatures in the status: the condition SourceVerified, and the mode of the last verification.

use api::git_repository::VerificationMode;
use api::source::Source;
use api::{ConditionStatus, GitRepository};
use jiff::Timestamp;
use runtime::conditions::{find, is_false};

use source::failure::condition::SOURCE_VERIFIED;
use source::status::conditions;

/// What was fetched is signed as the spec wants it, by one of these keys.
pub fn verified(object: &mut GitRepository, keys: &str) {
    let mode = wanted_mode(object).map(str::to_owned);
    let status = object.status.get_or_insert_default();
    (status.source_verification_mode, status.source_verification_fingerprint) = (mode, Some(keys.to_owned()));
}

/// The mode of verification as the status says it.
fn wanted_mode(object: &GitRepository) -> Option<&'static str> {
    object.spec.verification.as_ref().map(|verification| match verification.mode {
        VerificationMode::Tag => "Tag",
        VerificationMode::TagAndHead => "TagAndHEAD",
        VerificationMode::LegacyHead | VerificationMode::Head | VerificationMode::Unknown => "HEAD",
    })
}

/// Whether something must be signed that was not looked at when the artifact was made.
pub fn required(object: &GitRepository) -> bool {
    let observed = object.status.as_ref().and_then(|status| status.source_verification_mode.as_deref());
    match (wanted_mode(object), observed) {
        (None, _) | (Some(_), Some("TagAndHEAD")) => false,
        (Some(wanted), observed) => observed != Some(wanted),
    }
}

/// Whether the last verification was a good one, by the spec as it is.
pub fn stands(object: &GitRepository) -> bool {
    let conditions = object.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    object.spec.verification.is_none()
        || find(conditions, SOURCE_VERIFIED).is_some_and(|verified| {
            verified.status == ConditionStatus::True
                && verified.observed_generation == object.metadata.generation
        })
}

/// A failed verification is judged anew, one that is not asked for any more is forgotten.
pub fn forget(object: &mut GitRepository, now: Timestamp) {
    if object.spec.verification.is_none() {
        conditions(object, now).remove(SOURCE_VERIFIED);
        let status = object.status.get_or_insert_default();
        (status.source_verification_mode, status.source_verification_fingerprint) = (None, None);
    } else if is_false(object.conditions(), SOURCE_VERIFIED) {
        conditions(object, now).remove(SOURCE_VERIFIED);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::observed::{config_changed, known_revision};
    use super::super::tests::{good, now, shown, stored_text};
    use super::*;
    use api::git_repository::GitRepositoryVerification;
    use source::failure::Failure;
    use source::status::{End, begin, end, up_to_date};

    fn wanting(mode: VerificationMode) -> GitRepository {
        let mut object = good();
        object.spec.verification =
            Some(GitRepositoryVerification { mode, ..GitRepositoryVerification::default() });
        object
    }

    fn condition_of(object: &GitRepository) -> Option<String> {
        shown(object).into_iter().find(|text| text.starts_with("SourceVerified"))
    }

    #[test]
    fn a_mode_that_looks_at_more_than_the_last_one_means_another_verification() {
        use VerificationMode::{Head, LegacyHead, Tag, TagAndHead};
        for (observed, wanted, required) in [
            (None, Head, true),
            (None, Tag, true),
            (Some("HEAD"), Head, false),
            (Some("HEAD"), LegacyHead, false),
            (Some("HEAD"), Tag, true),
            (Some("HEAD"), TagAndHead, true),
            (Some("Tag"), Head, true),
            (Some("Tag"), Tag, false),
            (Some("Tag"), TagAndHead, true),
            (Some("TagAndHEAD"), Head, false),
            (Some("TagAndHEAD"), Tag, false),
        ] {
            let mut object = wanting(wanted);
            object.status.as_mut().unwrap().source_verification_mode = observed.map(str::to_owned);
            assert_eq!(config_changed(&object, &[]), required, "{observed:?} {wanted:?}");
        }
        assert!(!config_changed(&good(), &[]));
    }

    #[test]
    fn a_verification_stands_until_the_spec_changes() {
        let mut object = wanting(VerificationMode::LegacyHead);
        assert_eq!(known_revision(&object, &[]), None);
        source::status::verified(&mut object, Some("by me"), now());
        verified(&mut object, "sha256:1");
        assert_eq!(condition_of(&object).unwrap(), "SourceVerified=True/Succeeded by me");
        assert_eq!(object.status.as_ref().unwrap().source_verification_mode.as_deref(), Some("HEAD"));
        let status = object.status.as_ref().unwrap();
        assert_eq!(status.source_verification_fingerprint.as_deref(), Some("sha256:1"));
        assert!(known_revision(&object, &[]).is_some());
        forget(&mut object, now());
        up_to_date(&mut object, &stored_text("main@sha1:1"), now());
        assert!(known_revision(&object, &[]).is_some());
        object.metadata.generation = Some(2);
        assert_eq!(known_revision(&object, &[]), None, "the keys may be others");
    }

    #[test]
    fn a_verification_that_is_not_asked_for_leaves_no_condition() {
        let mut object = wanting(VerificationMode::Tag);
        source::status::verified(&mut object, Some("by me"), now());
        verified(&mut object, "sha256:1");
        object.spec.verification = None;
        forget(&mut object, now());
        assert_eq!(condition_of(&object), None);
        assert_eq!(object.status.as_ref().unwrap().source_verification_mode, None);
        assert_eq!(object.status.as_ref().unwrap().source_verification_fingerprint, None);
    }

    #[test]
    fn a_failed_verification_decides_alone_and_is_judged_anew() {
        let mut object = wanting(VerificationMode::Head);
        begin(&mut object, now());
        conditions(&mut object, now()).set("FetchFailed", ConditionStatus::True, "A", "fetch");
        let failure = Failure::verification("InvalidCommitSignature", "bad");
        end(&mut object, &End::Failed(failure), now());
        assert!(shown(&object).contains(&"Ready=False/InvalidCommitSignature bad".to_owned()));
        assert_eq!(condition_of(&object).unwrap(), "SourceVerified=False/InvalidCommitSignature bad");
        assert!(!shown(&object).iter().any(|text| text.starts_with("FetchFailed")));
        assert_eq!(known_revision(&object, &[]), None);
        forget(&mut object, now());
        assert_eq!(condition_of(&object), None);
    }

    #[test]
    fn a_mode_that_cannot_work_stalls() {
        let mut object = wanting(VerificationMode::Tag);
        let failure = Failure::verification("InvalidVerificationMode", "no tag").stalling();
        end(&mut object, &End::Failed(failure), now());
        let shown = shown(&object);
        for text in [
            "Stalled=True/InvalidVerificationMode no tag",
            "Ready=False/InvalidVerificationMode no tag",
            "SourceVerified=False/InvalidVerificationMode no tag",
        ] {
            assert!(shown.contains(&text.to_owned()), "{shown:?}");
        }
    }
}
