//! `spec.verify`: which keys are trusted, what the status says of the last verification, and when another one is due.

use api::ConditionStatus;
use api::oci_repository::OciRepository;
use api::source::Source;
use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use net::Deadline;
use oci::{Digest, Repository};
use references::Secrets;
use runtime::conditions::{find, is_false};
use source::failure::condition::SOURCE_VERIFIED;
use source::failure::{Failure, reason};
use source::status::conditions;
use source::upstream::Verified;

use crate::registry::Session;
use crate::signatures::{self, Signatures, Trusted, Verdict, Wanted};
use crate::verified::VerifiedKeys;

/// What the spec says of signatures; `None` if nothing has to be signed.
pub fn wanted(object: &OciRepository) -> Option<Wanted<'_>> {
    object.spec.verification.as_ref().map(|verification| Wanted {
        provider: verification.provider,
        secret: verification.secret_ref.as_ref(),
        identities: &verification.match_oidc_identity,
        trusted_root: verification.trusted_root_secret_ref.as_ref(),
    })
}

/// Whom the spec trusts, by Secrets as they are now; `None` if nothing has to be signed.
pub async fn trusted(
    object: &OciRepository,
    repository: &Repository,
    signatures: &Signatures,
    secrets: &Secrets,
) -> Option<Result<Trusted, Failure>> {
    let wanted = wanted(object)?;
    Some(signatures.trusted(wanted, repository, secrets).await.map_err(|error| failed(wanted, &error)))
}

/// Whether the stored revision was verified by this spec and with these keys.
pub fn is_verified(
    object: &OciRepository,
    fingerprint: &str,
    verified: &VerifiedKeys<OciRepository>,
) -> bool {
    let status = object.status.as_ref();
    let told = status.and_then(|status| status.source_verification_fingerprint.as_deref());
    let stands = find(object.conditions(), SOURCE_VERIFIED).is_some_and(|condition| {
        condition.status == ConditionStatus::True
            && condition.observed_generation == object.metadata.generation
    });
    stands && told == Some(fingerprint) && verified.is_current(&ObjectRef::from_obj(object), fingerprint)
}

/// Verifies a revision, which is the manifest with this digest.
///
/// # Errors
/// When no signature is good.
pub async fn verify(
    object: &OciRepository,
    signatures: &Signatures,
    session: &mut Session<'_>,
    (repository, revision, digest): (&Repository, &str, &Digest),
    trusted: &Trusted,
    deadline: &Deadline,
) -> Result<Option<Verified>, Failure> {
    let Some(wanted) = wanted(object) else { return Ok(None) };
    let verdict = signatures.verify(session, (repository, digest), trusted, deadline).await;
    let is_signed = verdict.map_err(|error| failed(wanted, &error))? == Verdict::Signed;
    let message = is_signed.then(|| format!("verified signature of revision {revision}"));
    Ok(Some(Verified { message, keys: trusted.fingerprint().to_owned() }))
}

fn failed(wanted: Wanted<'_>, error: &dyn std::fmt::Display) -> Failure {
    Failure::verification(reason::VERIFICATION_ERROR, signatures::failed(wanted, error))
}

/// A failed verification is judged anew, one that is not asked for any more is forgotten.
pub fn forget(object: &mut OciRepository, now: Timestamp) {
    if object.spec.verification.is_none() {
        conditions(object, now).remove(SOURCE_VERIFIED);
        object.status.get_or_insert_default().source_verification_fingerprint = None;
    } else if is_false(object.conditions(), SOURCE_VERIFIED) {
        conditions(object, now).remove(SOURCE_VERIFIED);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use api::OciRepositorySpec;

    fn object(verify: serde_json::Value) -> OciRepository {
        let spec =
            OciRepositorySpec { verification: serde_json::from_value(verify).unwrap(), ..<_>::default() };
        let mut object = OciRepository::new("app", spec);
        object.metadata.namespace = Some("ns".to_owned());
        object.metadata.generation = Some(1);
        object
    }

    #[test]
    fn a_verification_stands_until_spec_keys_or_process_change() {
        let mut object = object(serde_json::json!({"provider": "cosign", "secretRef": {"name": "k"}}));
        let (keys, known) = ("sha256:0", VerifiedKeys::default());
        assert!(!is_verified(&object, keys, &known));
        source::status::verified(&mut object, Some("by me"), Timestamp::now());
        object.status.as_mut().unwrap().source_verification_fingerprint = Some(keys.to_owned());
        assert!(!is_verified(&object, keys, &known), "others may write the status");
        known.set(ObjectRef::from_obj(&object), keys.to_owned());
        assert!(is_verified(&object, keys, &known));
        forget(&mut object, Timestamp::now());
        assert!(is_verified(&object, keys, &known), "it was good");
        object.metadata.generation = Some(2);
        assert!(!is_verified(&object, keys, &known));
        object.metadata.generation = Some(1);
        object.status.as_mut().unwrap().source_verification_fingerprint = Some("sha256:1".to_owned());
        assert!(!is_verified(&object, keys, &known));
        object.spec.verification = None;
        forget(&mut object, Timestamp::now());
        assert!(find(object.conditions(), SOURCE_VERIFIED).is_none());
        assert_eq!(object.status.unwrap().source_verification_fingerprint, None);
    }
}
