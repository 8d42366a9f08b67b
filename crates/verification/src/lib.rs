//! Signatures of Git commits and tags: OpenPGP and SSH, key rings, what makes one good.
//!
//! Everything here is a function from bytes and a point in time to a verdict: no I/O, no clock, no program started.
//!
//! ```text
//! raw object ── SignedObject ──▶ payload + signature ─┐
//! Secret data ── Keys ──────────────────────────────────┴─ verify ──▶ name of the key, or why not
//! ```
//!
//! The payload is what stands in the object, byte for byte, as Git signs it; Flux encodes it anew from the parts that its
//! Git library knows, which is the same for every object that `git` writes.

mod keys;
mod object;
mod openpgp;
mod ssh;

use std::time::SystemTime;

pub use keys::{Keys, SSH_SUFFIX};
pub use object::{Kind, SignedObject};
pub use openpgp::{ArmorError, Flaw, OpenPgpError, RingError};
pub use ssh::SshError;

/// What a signed object may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a commit or tag without its signature.
    pub payload: usize,
    /// Bytes of an armored signature.
    pub signature: usize,
    /// Signature packets in one armored OpenPGP signature.
    pub signatures: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { payload: 16 << 20, signature: 64 << 10, signatures: 16 }
    }
}

/// Why an object is not verified. The texts are Flux's.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The Secret has SSH keys only.
    #[error("PGP signature detected but no PGP public keys found in secret (keys with .asc suffix)")]
    NoRings,
    /// The Secret has OpenPGP keys only.
    #[error("SSH signature detected but no SSH public keys found in secret (keys with .sshpub suffix)")]
    NoAuthorizedKeys,
    /// Neither OpenPGP nor SSH: `x509`, `empty` or `unknown`.
    #[error("unsupported signature type: {0}")]
    Unsupported(&'static str),
    /// The object, or its signature, is out of all proportion.
    #[error("{what} of more than {limit} bytes")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large it may be.
        limit: usize,
    },
    /// An OpenPGP signature that no key accepts.
    #[error("unable to verify Git {kind}: {source}")]
    OpenPgp {
        /// What was signed.
        kind: Kind,
        /// Why not.
        #[source]
        source: OpenPgpError,
    },
    /// An SSH signature that no key accepts.
    #[error("unable to verify Git {kind} SSH signature: {source}")]
    Ssh {
        /// What was signed.
        kind: Kind,
        /// Why not.
        #[source]
        source: SshError,
    },
}

/// The format of a signature, told by the first line of its armor as Git does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    OpenPgp,
    Ssh,
    X509,
    Empty,
    Unknown,
}

impl Format {
    fn of(signature: &str) -> Format {
        let text = signature.trim();
        if text.starts_with("-----BEGIN PGP SIGNATURE-----") {
            Format::OpenPgp
        } else if text.starts_with("-----BEGIN SSH SIGNATURE-----") {
            Format::Ssh
        } else if text.starts_with("-----BEGIN SIGNED MESSAGE-----") {
            Format::X509
        } else if signature.is_empty() {
            Format::Empty
        } else {
            Format::Unknown
        }
    }
}

/// Verifies `object` at the time `now`; gives the key that signed it: the id of an OpenPGP primary key in 16 hex digits,
/// or the `SHA256:…` fingerprint of an SSH key.
pub fn verify(
    object: &SignedObject,
    keys: &Keys,
    now: SystemTime,
    limits: &Limits,
) -> Result<String, VerifyError> {
    let kind = object.kind();
    for (what, length, limit) in [
        ("signature", object.signature().len(), limits.signature),
        ("object", object.payload().len(), limits.payload),
    ] {
        if length > limit {
            return Err(VerifyError::TooLarge { what, limit });
        }
    }
    match Format::of(object.signature()) {
        Format::OpenPgp if keys.rings().is_empty() => Err(VerifyError::NoRings),
        Format::OpenPgp => openpgp::verify(object, keys.rings(), now, limits)
            .map_err(|source| VerifyError::OpenPgp { kind, source }),
        Format::Ssh if keys.authorized().is_empty() => Err(VerifyError::NoAuthorizedKeys),
        Format::Ssh => {
            ssh::verify(object, keys.authorized()).map_err(|source| VerifyError::Ssh { kind, source })
        }
        Format::X509 => Err(VerifyError::Unsupported("x509")),
        Format::Empty => Err(VerifyError::Unsupported("empty")),
        Format::Unknown => Err(VerifyError::Unsupported("unknown")),
    }
}
