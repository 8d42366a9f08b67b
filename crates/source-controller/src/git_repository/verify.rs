//! `spec.verify`: whether what was checked out is signed by somebody the user trusts.

use std::fmt::Display;
use std::time::SystemTime;

use api::GitRepository;
use api::git_repository::VerificationMode;
use artifact::digest::{Algorithm, Hasher};
use git::{Checkout, Tag};
use k8s_openapi::api::core::v1::Secret;
use verification::{Keys, Limits, SSH_SUFFIX, SignedObject, VerifyError, verify};

use source::failure::{Failure, reason};
use source::upstream::Verified;

use super::repository::CheckoutError;
use super::spec;

/// What must be signed, and by whom.
#[derive(Debug)]
pub struct Verification {
    mode: VerificationMode,
    /// Whether `ref.name` says which ref is meant, whatever the tag there calls itself.
    is_ref_named: bool,
    keys: Keys,
    limits: Limits,
    /// What identifies the keys.
    fingerprint: String,
}

/// What has to be signed.
struct Signed {
    tag: bool,
    commit: bool,
}

impl Signed {
    fn of(mode: VerificationMode) -> Result<Self, Failure> {
        match mode {
            VerificationMode::LegacyHead | VerificationMode::Head => Ok(Self { tag: false, commit: true }),
            VerificationMode::Tag => Ok(Self { tag: true, commit: false }),
            VerificationMode::TagAndHead => Ok(Self { tag: true, commit: true }),
            VerificationMode::Unknown => {
                let message = "spec.verify.mode is none that this version knows";
                Err(Failure::verification(reason::INVALID_VERIFICATION_MODE, message).stalling())
            }
        }
    }
}

fn no_tag() -> Failure {
    let message = "cannot verify tag object's signature if a tag reference is not specified";
    Failure::verification(reason::INVALID_VERIFICATION_MODE, message).stalling()
}

/// Refuses a spec that asks for signatures of what there cannot be.
pub fn check(object: &GitRepository) -> Result<(), Failure> {
    let Some(wanted) = &object.spec.verification else { return Ok(()) };
    if Signed::of(wanted.mode)?.tag && !spec::reference(object).can_be_tag() {
        return Err(no_tag());
    }
    Ok(())
}

impl Verification {
    /// What `spec.verify` asks of the object, with the keys of `secret`; `None` without one.
    pub fn of(object: &GitRepository, secret: &Secret, limits: Limits) -> Option<Verification> {
        let mode = object.spec.verification.as_ref()?.mode;
        let reference = object.spec.reference.as_ref();
        let is_ref_named =
            reference.and_then(|reference| reference.name.as_ref()).is_some_and(|name| !name.is_empty());
        let entries = secret.data.iter().flatten().map(|(name, value)| (name.as_str(), value.0.as_slice()));
        let fingerprint = fingerprint(entries.clone());
        Some(Verification { mode, is_ref_named, keys: Keys::new(entries), limits, fingerprint })
    }

    /// What identifies the keys.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Verifies the tag, the commit, or both. Blocks.
    pub fn check(&self, checkout: &Checkout) -> Result<Verified, CheckoutError> {
        let Signed { tag, commit } = Signed::of(self.mode)?;
        let mut lines = vec!["verified signature of".to_owned()];
        if tag {
            lines.push(self.check_tag(checkout)?);
        }
        if commit {
            lines.push(self.check_commit(checkout)?);
        }
        Ok(Verified { message: Some(lines.join("\n\t")), keys: self.fingerprint.clone() })
    }

    fn check_tag(&self, checkout: &Checkout) -> Result<String, CheckoutError> {
        let Some(Tag { name, ref_name, object }) = checkout.tag()? else { return Err(no_tag().into()) };
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
        // Whoever has the server can show an old tag under a new name, which a range would take for the newest.
        if name != ref_name && !self.is_ref_named {
            return Err(failed(&format!("it is shown as tag '{ref_name}'")).into());
        }
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

/// What identifies a set of keys, as Flux writes it to the status: `sha256:<hex>` over the key rings, then the SSH keys, each
/// sorted. Names of entries do not count, but for their suffix.
fn fingerprint<'a>(entries: impl Iterator<Item = (&'a str, &'a [u8])> + Clone) -> String {
    let mut digest = Hasher::new(Algorithm::Sha256);
    for (prefix, is_ssh) in [("pgp:", false), ("ssh:", true)] {
        let of_kind = entries.clone().filter(|(name, _)| name.ends_with(SSH_SUFFIX) == is_ssh);
        let mut values: Vec<&[u8]> = of_kind.map(|(_, value)| value).collect();
        values.sort_unstable();
        for value in values {
            [prefix.as_bytes(), value, b"\0"].iter().for_each(|part| digest.update(part));
        }
    }
    digest.finish().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_of_the_keys_and_not_of_their_names() {
        let of = |entries: &[(&'static str, &'static [u8])]| fingerprint(entries.iter().copied());
        let keys = of(&[("b.asc", b"one"), ("a.asc", b"two"), ("a.sshpub", b"three")]);
        // printf 'pgp:one\0pgp:two\0ssh:three\0' | sha256sum
        assert_eq!(keys, "sha256:d370e88dd65f42678bf181385defdcd2ad6ce92089932f0674cfa036938b6c52");
        assert_eq!(of(&[("x.sshpub", b"three"), ("1", b"two"), ("2", b"one")]), keys);
        assert_ne!(of(&[("a.asc", b"one"), ("b.asc", b"two"), ("c.asc", b"three")]), keys);
        assert_ne!(of(&[("a.asc", b"one"), ("b.sshpub", b"three")]), keys);
    }
}
