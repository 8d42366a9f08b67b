//! Signatures that cosign makes of artifacts in registries, judged by public keys. Bytes go in, a verdict comes out: how they are
//! found and fetched is for the caller.
//!
//! ```text
//! a referrer's blob ── Bundle ──────────── verify ─┐
//! a layer of the tag sha256-….sig ── SimpleSigning ┴─▶ by one of PublicKeys, and of this digest
//! ```
//!
//! # Guarantees
//! - A signature counts for the digest that it was made of alone: both forms say which one that is. Flux does not look at that of
//!   simple signing, so that a signature of one artifact would count for all others of its author.
//! - What is signed is read only after its signature was found to be good.
//!
//! # Caveats
//! - As with Flux, keys need no transparency log: its entries, and timestamps, are not looked at.
//! - As with Flux, any in-toto statement about the digest counts, whatever its predicate says.

mod bundle;
mod key;
mod simple_signing;

pub use bundle::{BUNDLE_MEDIA_TYPE_PREFIX, Bundle, BundleError};
pub use key::{KeyError, PublicKey};
pub use simple_signing::{
    CERTIFICATE_ANNOTATION, SIGNATURE_ANNOTATION, SIMPLE_SIGNING_MEDIA_TYPE, SimpleSigning,
    SimpleSigningError,
};
