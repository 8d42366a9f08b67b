//! Git over the wire and from a bare object cache: ls-refs, fetch, walk a tree.
//!
//! The way of one reconcile: a [`Connector`] opens a [`Session`] to a [`Remote`] (one handshake), [`Cache::checkout`]
//! asks the server where the wanted [`Reference`] points, fetches what the cache lacks, and hands out a [`Checkout`]
//! whose tree can be [walked](Checkout::walk) as often as needed. No work tree is ever written and no program is started.
//!
//! Everything blocks; callers bring a thread, and a [`Deadline`](net::Deadline) that ends every wait.

mod cache;
mod commit;
mod connection;
mod connector;
mod error;
mod history;
mod http;
mod lazy_session;
mod limits;
mod memory;
mod objects;
mod pack;
mod ref_cache;
mod reference;
mod remote;
mod session;
mod signed;
mod sparse;
pub mod ssh;
mod store;
mod submodule;
mod tree;

pub use cache::{Cache, Checkout, Outcome, SharedState};
pub use commit::Commit;
pub use connector::Connector;
pub use error::{Error, TransportError};
pub use http::RedirectError;
pub use limits::{Bound, Limits};
pub use memory::{Memory, TenantMemory};
pub use reference::{Reference, current_revision};
pub use remote::{Auth, Remote, UrlError};
pub use session::{RemoteRef, Session};
pub use signed::{Tag, TagObject};
pub use submodule::SubmoduleError;
pub use tree::{Blobs, Entry, Kind, NameError, WalkError};
