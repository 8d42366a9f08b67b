//! Buckets of object stores, read only: what objects there are, and their bytes. Stores that speak S3 are known.
//!
//! ```text
//! Endpoint + Access ──▶ Client ──┬─▶ list ──▶ Object (key, etag, size), page by page
//!                                ├─▶ get  ──▶ Body, of an object that still is as it was listed, or as it has become
//!                                └─▶ find ──▶ why a list failed: there is no such bucket, or it cannot be reached
//! ```
//!
//! # Guarantees
//! - Nothing is taken from a server without a limit in bytes, count and time: see [`Limits`].
//! - Credentials are sent to the endpoint alone; redirects are not followed.
//! - No text of an error has the query of a URL, which may hold what lets others in.
//!
//! The crate knows neither Kubernetes nor artifacts.

mod endpoint;
mod error;
mod http;
mod limits;
mod name;
mod retry;
mod s3;

pub use endpoint::{Endpoint, EndpointError};
pub use error::{Refusal, RequestError};
pub use http::Body;
pub use limits::Limits;
pub use name::{NameError, check as check_name};
pub use retry::retried;
pub use s3::{Access, AccessError, Client, ListError, Regions};

/// An object, as a list has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its key.
    pub key: String,
    /// What changes with its content, without quotes.
    pub etag: String,
    /// Bytes of its content.
    pub size: u64,
}
