//! Signatures that cosign makes of artifacts in registries, judged by public keys or by identities. Bytes go in, a verdict comes out: how they are
//! found and fetched is for the caller.
//!
//! ```text
//! a referrer's blob ── Bundle ──────────── verify ─┐      ┌ one of some PublicKeys
//! a layer of the tag sha256-….sig ── SimpleSigning ┴─▶ by ┴ one of some Identities, by a TrustedRoot; and of this digest
//! ```
//!
//! # Guarantees
//! - A signature counts for the digest that it was made of alone: both forms say which one that is. Flux does not look at that of
//!   simple signing, so that a signature of one artifact would count for all others of its author.
//! - What is signed is read only after its signature was found to be good.
//!
//! - Without a key, a signature counts if its certificate is of an authority of the trusted root at each time that a log or an authority
//!   of timestamps vouches for, a log of certificates and one of signatures have recorded both, and the entry is of this signature.
//!
//! # Caveats
//! - As with Flux, keys need no transparency log: its entries, and timestamps, are not looked at.
//! - As with Flux, any in-toto statement about the digest counts, whatever its predicate says.

mod bundle;
mod identity;
mod key;
mod keyless;
mod pem;
mod simple_signing;
mod text;
mod trusted_root;

pub use bundle::{BUNDLE_MEDIA_TYPE_PREFIX, Bundle, BundleError};
pub use identity::{Identities, IdentityError, MAX_IDENTITIES, PATTERN_BYTES};
pub use key::{KeyError, PublicKey};
pub use keyless::{CHAIN_ANNOTATION, Keyless, KeylessError, LOG_ANNOTATION, MAX_CERTIFICATES, MAX_WITNESSES};
pub use simple_signing::{
    CERTIFICATE_ANNOTATION, SIGNATURE_ANNOTATION, SIMPLE_SIGNING_MEDIA_TYPE, SimpleSigning,
    SimpleSigningError,
};
pub use trusted_root::{MAX_AUTHORITIES, MAX_CHAIN, TRUSTED_ROOT_BYTES, TrustedRoot, TrustedRootError};

/// Whose signatures count.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Those of keys.
    Keys(Vec<PublicKey>),
    /// Those of identities.
    Keyless(Keyless),
}
