//! Tokens for Git hosts and clouds: GitHub Apps, identities of AWS, Azure and Google Cloud, and their cache.
//!
//! A provider is asked over an [`Http`] client that the caller has set up (proxy, trust, timeouts) and finds what the platform
//! tells it in an [`Environment`], so that nothing here reads the process or the clock behind its caller's back. Nothing that is
//! secret can be printed.

pub mod aws;
pub mod azure;
pub mod cache;
mod environment;
pub mod gcp;
pub mod github;
mod http;
mod jwt;

use std::time::SystemTime;

pub use cache::TokenCache;
pub use environment::{Environment, FileError};
pub use http::{Http, HttpError, segment};
pub use jwt::KeyError;
pub use secret::Secret;

/// Whose credentials are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Those of this process or of its machine. They go to hosts of the cloud and of the operator alone.
    Controller,
    /// Those of a tenant: they came out of a Secret or belong to a service account of its namespace.
    Tenant,
}

/// What a provider has given, and until when it is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessToken {
    /// One opaque text.
    Opaque {
        /// The text.
        token: Secret,
        /// When it ends.
        expires: SystemTime,
    },
    /// Keys that sign requests to AWS.
    Aws(aws::Credentials),
}

impl AccessToken {
    /// When it ends.
    pub fn expires(&self) -> SystemTime {
        match self {
            AccessToken::Opaque { expires, .. } => *expires,
            AccessToken::Aws(credentials) => credentials.expires,
        }
    }
}
