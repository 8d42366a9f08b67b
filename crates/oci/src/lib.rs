//! The OCI distribution protocol, read only: tags, manifests, blobs, and the tokens that registries ask for.
//!
//! ```text
//! oci://host/name ── Repository ─┬─ Client::tags      all tags, for whoever picks one
//!                                ├─ Client::resolve   a tag's digest: one HEAD while a token lives
//!                                ├─ Client::manifest  the manifest with a digest, or of an index its linux/amd64
//!                                └─ Client::blob      a layer, verified to its last byte
//! ```
//!
//! Whom a client trusts, what it goes through and who it is stands in [`Access`]; what a registry may cost, in [`Limits`]; how long an
//! operation may take, in a [`Deadline`](net::Deadline). A client tries nothing twice: for callers that want to, there is
//! [`retried`].
//!
//! Rules come from the OCI distribution and image specifications 1.1, from distribution's token authentication, and, where these leave
//! things open, from go-containerregistry, which Flux uses. Stricter than the latter: names cannot leave their path, a manifest that
//! can be read in two ways is refused, and so is one whose digest is not the announced one.

mod access;
mod blob;
mod challenge;
mod client;
mod digest;
mod http;
mod limits;
mod link;
mod manifest;
mod pull;
mod reference;
mod referrers;
mod retry;
mod status;
mod tags;
mod token;
mod urls;

pub use access::{Access, AccessError, Credentials};
pub use blob::{Blob, BlobError};
pub use challenge::ChallengeError;
pub use client::{Client, Clients};
pub use digest::{Digest, DigestError};
pub use http::RequestError;
pub use limits::Limits;
pub use link::LinkError;
pub use manifest::{
    DOCKER_LIST, DOCKER_MANIFEST, Descriptor, FormatError, HELM_CHART, LayerError, Manifest, OCI_INDEX,
    OCI_MANIFEST, Platform,
};
pub use pull::{ManifestError, RawManifest, Resolved};
pub use reference::{Identifier, Reference, Registry, Repository, Tag, TagError, UrlError};
pub use referrers::ReferrersError;
pub use retry::retried;
pub use status::StatusError;
pub use tags::TagsError;
pub use token::{RealmError, TokenError};
