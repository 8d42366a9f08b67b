//! Objects that a spec names: Secrets, ConfigMaps, service accounts, sources.
//!
//! Whoever writes a spec chooses these names, and the controllers read with an identity of their own. So every such read goes
//! through [`get()`], which refuses names that would change the request.
//!
//! ```text
//! spec.secretRef.name ── Secrets, get ──▶ Secret ── SecretData ──▶ TLS settings, a proxy, texts
//! ```

pub mod configs;
mod get;
mod name;
mod object_identity;
mod pull_secret;
mod secret_data;
mod secrets;
mod shared_reads;
pub mod sources;

pub use get::{GetError, get};
pub use name::{InvalidName, account_of, check_account_name, check_name};
pub use object_identity::{IdentityError, ObjectIdentity, audiences};
pub use pull_secret::{PullCredentials, PullSecretError, PullSecrets};
pub use secret_data::{SecretData, SecretDataError};
pub use secrets::{SecretError, Secrets};
pub use shared_reads::{Entries, Kind, SharedReads};
