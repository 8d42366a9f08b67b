//! Buckets of object stores, read only: what objects there are, and their bytes. Known are stores that speak S3, Google Cloud
//! Storage and Azure Blob Storage.
//!
//! ```text
//! s3::Endpoint    + s3::Access    ┐              ┌─▶ list ──▶ Object (key, etag, size), page by page
//! gcs::Endpoint   + gcs::Access   ├─▶ Client ────┼─▶ get  ──▶ Body, of an object that still is as it was listed, or as it has become
//! azure::Endpoint + azure::Access ┘              └─▶ find ──▶ why a list failed: there is no such bucket, or it cannot be reached
//! ```
//!
//! # Guarantees
//! - Nothing is taken from a server without a limit in bytes, count and time: see [`Limits`].
//! - Credentials are sent to the endpoint alone; redirects are not followed.
//! - No text of an error has the query of a URL, which may hold what lets others in.
//! - The bytes of an object are those of its etag: requests name the version that they are for.
//! - Objects come as they are stored. Whether what is stored is packed, [`Body::is_packed`] tells; [`unpacked`] unpacks it.
//!
//! The crate knows neither Kubernetes nor artifacts.

pub mod azure;
mod client;
mod error;
mod escape;
pub mod gcs;
mod http;
mod limits;
mod list;
mod name;
mod packed;
mod retry;
pub mod s3;
mod xml;

pub use client::Client;
pub use error::{Refusal, RequestError};
pub use http::Body;
pub use limits::Limits;
pub use list::ListError;
pub use name::NameError;
pub use packed::{UnpackError, unpacked, unpacked_bytes};
pub use retry::retried;

/// An object, as a list has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// Its key.
    pub key: String,
    /// What changes with its content, without quotes.
    pub etag: String,
    /// Bytes that are stored.
    pub size: u64,
    /// Bytes of the content of one that is stored packed, which no list tells.
    pub unpacked: Option<u64>,
    /// By what Google pins the content; others pin it by the etag.
    pub generation: Option<u64>,
}

impl Object {
    /// Bytes of its content, as far as that is known: see [`Object::unpacked`].
    pub fn content_bytes(&self) -> u64 {
        self.unpacked.unwrap_or(self.size)
    }
}
