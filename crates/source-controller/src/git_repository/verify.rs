//! `spec.verify`: whether what was checked out is signed by somebody the user trusts.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use api::GitRepository;
use api::git_repository::VerificationMode;
use git::{Checkout, Tag};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use verification::{Keys, Limits, SignedObject, VerifyError, verify};

use source::failure::{Failure, reason};
use source::upstream::Verified;

use super::repository::CheckoutError;

/// What must be signed, and by whom.
#[derive(Debug)]
pub struct Verification {
    mode: VerificationMode,
    keys: Keys,
    limits: Limits,
    /// The version of the Secret with the keys.
    version: String,
}

impl Verification {
    /// A verification with the keys of `secret`.
    pub fn new(mode: VerificationMode, secret: &Secret, limits: Limits) -> Verification {
        let entries = secret.data.iter().flatten();
        Verification {
            mode,
            keys: Keys::new(entries.map(|(name, value)| (name.as_str(), value.0.as_slice()))),
            limits,
            version: format!(
                "{}/{}",
                secret.uid().unwrap_or_default(),
                secret.resource_version().unwrap_or_default()
            ),
        }
    }

    /// Verifies the tag, the commit, or both. Blocks.
    pub fn check(&self, checkout: &Checkout) -> Result<Verified, CheckoutError> {
        let (tag, commit) = match self.mode {
            VerificationMode::LegacyHead | VerificationMode::Head => (false, true),
            VerificationMode::Tag => (true, false),
            VerificationMode::TagAndHead => (true, true),
            VerificationMode::Unknown => {
                let message = "spec.verify.mode is none that this version knows";
                return Err(Failure::verification(reason::INVALID_VERIFICATION_MODE, message)
                    .stalling()
                    .into());
            }
        };
        let mut lines = vec!["verified signature of".to_owned()];
        if tag {
            lines.push(self.check_tag(checkout)?);
        }
        if commit {
            lines.push(self.check_commit(checkout)?);
        }
        Ok(Verified { message: lines.join("\n\t"), version: self.version.clone() })
    }

    fn check_tag(&self, checkout: &Checkout) -> Result<String, CheckoutError> {
        let Some(Tag { name, object }) = checkout.tag()? else {
            let message = "cannot verify tag object's signature if a tag reference is not specified";
            return Err(Failure::verification(reason::INVALID_VERIFICATION_MODE, message).stalling().into());
        };
        let unsigned = |tag: &str| {
            let message = format!("cannot verify signature of tag '{tag}' since it is not signed");
            Failure::verification(reason::INVALID_GIT_OBJECT, message)
        };
        let Some(object) = object else { return Err(unsigned(&name).into()) };
        let tag = format!("{name}@{}", object.id);
        let signed = SignedObject::tag(&object.data);
        if !signed.is_signed() {
            return Err(unsigned(&tag).into());
        }
        let failed = |why: &dyn Display| {
            let message = format!("signature verification of tag '{tag}' failed: {why}");
            Failure::verification(reason::INVALID_TAG_SIGNATURE, message)
        };
        let key = self.key(&signed).map_err(|error| failed(&error))?;
        if !object.is_of_commit {
            return Err(failed(&format!("it is not a tag of commit '{}'", checkout.commit.id)).into());
        }
        Ok(format!("- tag '{tag}' with key '{key}'"))
    }

    fn check_commit(&self, checkout: &Checkout) -> Result<String, CheckoutError> {
        let id = checkout.commit.id;
        let raw = checkout.commit_object()?;
        let key = self.key(&SignedObject::commit(&raw)).map_err(|error| {
            let message = format!("signature verification of commit '{id}' failed: {error}");
            Failure::verification(reason::INVALID_COMMIT_SIGNATURE, message)
        })?;
        Ok(format!("- commit '{id}' with key '{key}'"))
    }

    fn key(&self, object: &SignedObject) -> Result<String, VerifyError> {
        verify(object, &self.keys, SystemTime::now(), &self.limits)
    }
}

/// With which version of its keys each object was verified last, so that other keys mean another verification.
///
/// It is lost when the process ends; then every object is verified once more, with what is in its cache.
#[derive(Debug, Default)]
pub struct KeyVersions(Mutex<HashMap<ObjectRef<GitRepository>, String>>);

impl KeyVersions {
    /// Whether the object was last verified with the keys that `verification` has.
    pub fn is_current(&self, object: &ObjectRef<GitRepository>, verification: &Verification) -> bool {
        self.lock().get(object) == Some(&verification.version)
    }

    /// The object was verified.
    pub fn set(&self, object: ObjectRef<GitRepository>, version: String) {
        self.lock().insert(object, version);
    }

    /// The object is gone.
    pub fn forget(&self, object: &ObjectRef<GitRepository>) {
        self.lock().remove(object);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ObjectRef<GitRepository>, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
