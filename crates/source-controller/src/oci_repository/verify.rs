//! `spec.verify`: which keys are trusted, what the status says of the last verification, and when another one is due.

use std::sync::Arc;

use api::ConditionStatus;
use api::oci_repository::{OciRepository, VerificationProvider};
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
use crate::signatures::{self, Keys};
use crate::verified::VerifiedKeys;

/// What of `spec.verify` is not supported yet.
pub fn unsupported(object: &OciRepository) -> Option<&'static str> {
    let wanted = object.spec.verification.as_ref()?;
    match wanted.provider {
        VerificationProvider::Cosign if wanted.secret_ref.is_none() => {
            Some("spec.verify without secretRef (keyless verification)")
        }
        VerificationProvider::Cosign => None,
        VerificationProvider::Notation => Some("spec.verify.provider 'notation'"),
        VerificationProvider::Unknown => Some("spec.verify.provider"),
    }
}

/// The keys that the spec trusts, as they are now; `None` if nothing has to be signed.
pub async fn keys(object: &OciRepository, secrets: &Secrets) -> Option<Result<Arc<Keys>, Failure>> {
    let name = &object.spec.verification.as_ref()?.secret_ref.as_ref()?.name;
    let secret = secrets.get(name).await.map_err(|error| failed(&error));
    Some(secret.map(|secret| Arc::new(Keys::of(&secrets.full_name(name), &secret))))
}

/// Whether the stored revision was verified by this spec and with these keys.
pub fn is_verified(object: &OciRepository, keys: &Keys, verified: &VerifiedKeys<OciRepository>) -> bool {
    let status = object.status.as_ref();
    let told = status.and_then(|status| status.source_verification_fingerprint.as_deref());
    let stands = find(object.conditions(), SOURCE_VERIFIED).is_some_and(|condition| {
        condition.status == ConditionStatus::True
            && condition.observed_generation == object.metadata.generation
    });
    stands
        && told == Some(keys.fingerprint())
        && verified.is_current(&ObjectRef::from_obj(object), keys.fingerprint())
}

/// Verifies a revision, which is the manifest with this digest.
///
/// # Errors
/// When no signature is good.
pub async fn verify(
    session: &mut Session<'_>,
    repository: &Repository,
    revision: &str,
    digest: &Digest,
    keys: &Arc<Keys>,
    deadline: &Deadline,
) -> Result<Verified, Failure> {
    let verified = signatures::verify(session, repository, digest, keys, deadline).await;
    verified.map_err(|error| failed(&error))?;
    let message = format!("verified signature of revision {revision}");
    Ok(Verified { message, keys: keys.fingerprint().to_owned() })
}

fn failed(error: &dyn std::fmt::Display) -> Failure {
    let message = format!("failed to verify the signature using provider 'cosign': {error}");
    Failure::verification(reason::VERIFICATION_ERROR, message)
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
    use k8s_openapi::api::core::v1::Secret;

    fn object(verify: serde_json::Value) -> OciRepository {
        let spec =
            OciRepositorySpec { verification: serde_json::from_value(verify).unwrap(), ..<_>::default() };
        let mut object = OciRepository::new("app", spec);
        object.metadata.namespace = Some("ns".to_owned());
        object.metadata.generation = Some(1);
        object
    }

    #[test]
    fn what_is_not_here_yet_is_named() {
        for (verify, field) in [
            (serde_json::json!(null), None),
            (serde_json::json!({"provider": "cosign", "secretRef": {"name": "k"}}), None),
            (
                serde_json::json!({"provider": "cosign"}),
                Some("spec.verify without secretRef (keyless verification)"),
            ),
            (
                serde_json::json!({"provider": "notation", "secretRef": {"name": "k"}}),
                Some("spec.verify.provider 'notation'"),
            ),
            (serde_json::json!({"provider": "x"}), Some("spec.verify.provider")),
        ] {
            assert_eq!(unsupported(&object(verify.clone())), field, "{verify}");
        }
    }

    #[test]
    fn a_verification_stands_until_spec_keys_or_process_change() {
        let mut object = object(serde_json::json!({"provider": "cosign", "secretRef": {"name": "k"}}));
        let (keys, known) = (Keys::of("ns/k", &Secret::default()), VerifiedKeys::default());
        assert!(!is_verified(&object, &keys, &known));
        source::status::verified(&mut object, "by me", Timestamp::now());
        let fingerprint = keys.fingerprint().to_owned();
        object.status.as_mut().unwrap().source_verification_fingerprint = Some(fingerprint.clone());
        assert!(!is_verified(&object, &keys, &known), "others may write the status");
        known.set(ObjectRef::from_obj(&object), fingerprint);
        assert!(is_verified(&object, &keys, &known));
        forget(&mut object, Timestamp::now());
        assert!(is_verified(&object, &keys, &known), "it was good");
        object.metadata.generation = Some(2);
        assert!(!is_verified(&object, &keys, &known));
        object.metadata.generation = Some(1);
        object.status.as_mut().unwrap().source_verification_fingerprint = Some("sha256:1".to_owned());
        assert!(!is_verified(&object, &keys, &known));
        object.spec.verification = None;
        forget(&mut object, Timestamp::now());
        assert!(find(object.conditions(), SOURCE_VERIFIED).is_none());
        assert_eq!(object.status.unwrap().source_verification_fingerprint, None);
    }
}
