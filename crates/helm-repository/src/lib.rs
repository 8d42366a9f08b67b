//! Repositories of Helm charts: their index, the versions in it, and downloads from them, as Helm 4 and source-controller see them.
//!
//! ```text
//! Client::get ──▶ file ── Body ──▶ convert ──▶ the index as JSON, and an Index ──▶ Index::find ──▶ URL of a chart
//! ```
//!
//! An index is read once from beginning to end and never held: what stays is an [`Index`], with what finding a chart needs.

#![forbid(unsafe_code)]

mod body;
mod client;
mod convert;
mod index;
mod limits;
mod urls;
mod version;

pub use body::{Body, BodyError, Encoding};
pub use client::{Answer, Client, Credentials, Download, FetchError, Request, Validators};
pub use convert::{IndexError, convert, read};
pub use index::{Entry, Index, NotFound};
pub use limits::Limits;
pub use urls::{UrlError, index_url, normalize, resolve};
