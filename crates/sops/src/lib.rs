//! Documents that [SOPS](https://getsops.io) has encrypted, read and decrypted as SOPS 3.13 does it.
//!
//! ```text
//! bytes ── Document::parse ──▶ Document ── metadata() ──▶ Metadata ── data_key(KeyService) ──▶ DataKey
//!                                 │                                     groups, Shamir's shares     │
//!                                 └───────────── decrypt(DataKey, MacCheck) ◀──────────────────────┘
//!                                                        │
//!                                                        ▼
//!                                                      Plain ── emit(Format) ──▶ the bytes that `sops -d` prints
//! ```
//!
//! Everything here is a function from bytes to bytes: no Kubernetes, no files, no sockets, no program started. Who has the master
//! keys is a [`KeyService`]: [`AgeIdentities`] and [`PgpKeys`] hold theirs in memory, those of clouds are asked by others.
//!
//! # Input is hostile
//!
//! Whoever can write a document can write any. [`Limits`] bound its size, its nodes, their depth, and how many keys are tried; a
//! value that is not authenticated is never shown. What is secret is wiped when it is dropped ([`zeroize`]) and has no `Display`.
//! Three places cannot promise that: numbers, the nodes that the crate `yaml` makes while it writes, and buffers that had to grow.
//!
//! # Where this differs from SOPS
//!
//! - A key that occurs twice in a mapping is refused in each document of a YAML stream, not only in the first.
//! - Text must be UTF-8, JSON must end where its object ends.
//! - A regular expression that is malformed is an error; SOPS takes it for one that matches nothing.
//! - Aliases of YAML are bounded by [`Limits::nodes`], and an anchor inside itself is an error; SOPS overflows its stack.
//! - Initialisation vectors have the 32 bytes that SOPS writes.
//! - A text of several lines that begins with a tab is kept in YAML; SOPS writes `null` in its place.
//! - A MAC that does not match is not shown: it is a hash of what is secret.

mod age_hybrid;
mod age_identities;
mod cipher;
mod data_key;
mod decrypt;
mod document;
mod format;
mod keys;
mod limits;
mod metadata;
mod number;
mod pgp_keys;
mod rule;
mod shamir;
mod stores;
mod timestamp;
mod tree;

pub use age_identities::{AgeIdentities, AgeIdentitiesError};
pub use cipher::CipherError;
pub use data_key::{DataKeyError, GroupFailure, KeyFailure};
pub use decrypt::{DecryptError, MacCheck, ValueError};
pub use document::{Document, Plain};
pub use format::Format;
pub use keys::{DataKey, KeyBytes, KeyError, KeyService, KeyType, MasterKey};
pub use limits::{LimitError, Limits};
pub use metadata::{KeyGroup, Metadata, MetadataError};
pub use pgp_keys::{PgpKeys, PgpKeysError};
pub use shamir::CombineError;
pub use stores::{EmitError, ParseError};
