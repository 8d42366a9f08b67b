//! Whether a key may have made a signature: bindings, usage, expiry, revocation.

use pgp::composed::{SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType, SubpacketData};
use pgp::types::{KeyDetails, KeyVersion, SignedUser, Tag, VerifyingKey};

/// What is wrong with a signature, or with the key that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// It does not sign this payload.
    #[error("did not sign this")]
    Forged,
    /// The key, the subkey or the user id was taken back.
    #[error("is revoked")]
    Revoked,
    /// The key or the subkey is too old, or from the future.
    #[error("is expired")]
    KeyExpired,
    /// The signature, or one that binds the key, is too old or from the future.
    #[error("has made a signature that is expired")]
    SignatureExpired,
    /// The signature claims to be older than its key.
    #[error("is newer than the signature")]
    NewerThanSignature,
    /// The key is not meant for signatures.
    #[error("is not for signatures")]
    Usage,
    /// Nothing binds the user id or the subkey to the key.
    #[error("is not bound to its owner")]
    Unbound,
    /// A hash that can be forged.
    #[error("has used a weak hash")]
    WeakHash,
    /// Something in the signature must be understood, and is not.
    #[error("has made a signature with unknown critical content")]
    Critical,
}

/// Whether `key` or one of its subkeys has made `signature` over `payload` and may; `None` if another key made it.
pub fn accepts(
    key: &SignedPublicKey,
    signature: &Signature,
    payload: &[u8],
    now: u64,
) -> Option<Result<(), Flaw>> {
    let subkeys = key.public_subkeys.iter().filter(|subkey| issued_by(signature, *subkey));
    let primary =
        issued_by(signature, &key.primary_key).then(|| primary_signed(key, signature, payload, now));
    let mut verdicts =
        primary.into_iter().chain(subkeys.map(|subkey| subkey_signed(key, subkey, signature, payload, now)));
    // Key ids can collide; one good verdict is enough.
    let first = verdicts.next()?;
    Some(verdicts.fold(first, |verdict, other| verdict.or_else(|flaw| other.map_err(|_| flaw))))
}

fn primary_signed(
    key: &SignedPublicKey,
    signature: &Signature,
    payload: &[u8],
    now: u64,
) -> Result<(), Flaw> {
    signed(&key.primary_key, signature, payload, now)?;
    let own = valid_primary(key, now)?;
    if own.key_flags().sign() { Ok(()) } else { Err(Flaw::Usage) }
}

fn subkey_signed(
    key: &SignedPublicKey,
    subkey: &SignedPublicSubKey,
    signature: &Signature,
    payload: &[u8],
    now: u64,
) -> Result<(), Flaw> {
    signed(&subkey.key, signature, payload, now)?;
    valid_primary(key, now)?;
    let of = |kind| subkey.signatures.iter().filter(move |s| s.typ() == Some(kind));
    // Nobody but the owner puts revocations into a ring; one that cannot be verified is believed all the same.
    if of(SignatureType::SubkeyRevocation).next().is_some() {
        return Err(Flaw::Revoked);
    }
    let bindings = of(SignatureType::SubkeyBinding);
    let binding = bindings.max_by_key(|s| s.created()).ok_or(Flaw::Unbound)?;
    current(binding, now)?;
    binding.verify_subkey_binding(&key.primary_key, &subkey.key).map_err(|_| Flaw::Unbound)?;
    if !binding.key_flags().sign() {
        return Err(Flaw::Usage);
    }
    let back = embedded(binding).ok_or(Flaw::Unbound)?;
    current(back, now)?;
    back.verify_primary_key_binding(&subkey.key, &key.primary_key).map_err(|_| Flaw::Unbound)?;
    unexpired(&subkey.key, binding, now)
}

/// The signature itself, and its times.
fn signed(key: &impl VerifyingKey, signature: &Signature, payload: &[u8], now: u64) -> Result<(), Flaw> {
    if !matches!(signature.typ(), Some(SignatureType::Binary | SignatureType::Text)) {
        return Err(Flaw::Forged);
    }
    strong(signature)?;
    signature.verify(key, payload).map_err(|_| Flaw::Forged)?;
    current(signature, now)?;
    if signature.created().is_none_or(|made| made < key.created_at()) {
        return Err(Flaw::NewerThanSignature);
    }
    Ok(())
}

/// The signature by which the primary key speaks of itself, if the key is neither revoked nor expired.
fn valid_primary(key: &SignedPublicKey, now: u64) -> Result<&Signature, Flaw> {
    let primary = &key.primary_key;
    if !key.details.revocation_signatures.is_empty() {
        return Err(Flaw::Revoked);
    }
    let own = match primary.version() {
        KeyVersion::V4 => {
            let user = key.details.users.iter().filter_map(|user| Identity::of(key, user));
            let user = user.max_by_key(Identity::rank).ok_or(Flaw::Unbound)?;
            if user.revoked {
                return Err(Flaw::Revoked);
            }
            user.own
                .verify_certification(primary, Tag::UserId, &user.signed.id)
                .map_err(|_| Flaw::Unbound)?;
            user.own
        }
        KeyVersion::V6 => {
            let direct = key.details.direct_signatures.iter();
            let direct = direct.filter(|s| s.typ() == Some(SignatureType::Key) && issued_by(s, primary));
            let newest = direct.max_by_key(|s| s.created()).ok_or(Flaw::Unbound)?;
            newest.verify_key(primary).map_err(|_| Flaw::Unbound)?;
            newest
        }
        _ => return Err(Flaw::Unbound),
    };
    current(own, now)?;
    unexpired(primary, own, now)?;
    Ok(own)
}

/// A user id and what the key says of it.
struct Identity<'a> {
    signed: &'a SignedUser,
    /// The newest self-signature.
    own: &'a Signature,
    revoked: bool,
}

impl<'a> Identity<'a> {
    fn of(key: &SignedPublicKey, signed: &'a SignedUser) -> Option<Identity<'a>> {
        let own = || signed.signatures.iter().filter(|s| issued_by(s, &key.primary_key));
        let revoked = own().any(|s| s.typ() == Some(SignatureType::CertRevocation));
        let newest = own().filter(|s| s.is_certification()).max_by_key(|s| s.created())?;
        Some(Identity { signed, own: newest, revoked })
    }

    /// The one that speaks for the key: not revoked, marked as primary, newest.
    fn rank(&self) -> (bool, bool, Option<pgp::types::Timestamp>) {
        (!self.revoked, self.own.is_primary(), self.own.created())
    }
}

/// Whether a signature says that `key` has made it. One that does not say is nobody's.
fn issued_by(signature: &Signature, key: &impl KeyDetails) -> bool {
    signature.issuer_key_id().contains(&&key.legacy_key_id())
        || signature.issuer_fingerprint().contains(&&key.fingerprint())
}

/// A signature that has begun, has not ended, and hides nothing.
fn current(signature: &Signature, now: u64) -> Result<(), Flaw> {
    strong(signature)?;
    let made = u64::from(signature.created().ok_or(Flaw::SignatureExpired)?.as_secs());
    let lifetime = signature.signature_expiration_time().map_or(0, |d| u64::from(d.as_secs()));
    if made > now || (lifetime > 0 && now > made + lifetime) {
        return Err(Flaw::SignatureExpired);
    }
    let critical = signature.config().into_iter().flat_map(|c| c.hashed_subpackets()).any(|s| {
        let known = !matches!(
            s.data,
            SubpacketData::Notation(_) | SubpacketData::Other(..) | SubpacketData::Experimental(..)
        );
        s.is_critical && !known
    });
    if critical { Err(Flaw::Critical) } else { Ok(()) }
}

fn strong(signature: &Signature) -> Result<(), Flaw> {
    match signature.hash_alg() {
        Some(
            HashAlgorithm::Sha1
            | HashAlgorithm::Sha224
            | HashAlgorithm::Sha256
            | HashAlgorithm::Sha384
            | HashAlgorithm::Sha512
            | HashAlgorithm::Sha3_256
            | HashAlgorithm::Sha3_512,
        ) => Ok(()),
        _ => Err(Flaw::WeakHash),
    }
}

/// Whether a key lives at `now`, by what `own` says of it.
fn unexpired(key: &impl KeyDetails, own: &Signature, now: u64) -> Result<(), Flaw> {
    let made = u64::from(key.created_at().as_secs());
    let lifetime = own.key_expiration_time().map_or(0, |d| u64::from(d.as_secs()));
    if made > now || (lifetime > 0 && now > made + lifetime) { Err(Flaw::KeyExpired) } else { Ok(()) }
}

/// The signature by which a subkey agrees to its binding. Its place is not signed, but it is verified by itself.
fn embedded(binding: &Signature) -> Option<&Signature> {
    let config = binding.config()?;
    config.hashed_subpackets().chain(config.unhashed_subpackets()).find_map(|s| match &s.data {
        SubpacketData::EmbeddedSignature(signature) => Some(&**signature),
        _ => None,
    })
}
