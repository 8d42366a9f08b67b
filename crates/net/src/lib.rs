//! What every client of another server needs, whatever it speaks: TLS settings, proxies, deadlines, the reading of
//! answers, and texts that are fit to be shown. And what every HTTP server of ours needs: limits for those who connect.
//!
//! ```text
//! TlsConfig + Proxy ──▶ client::builder ──▶ a reqwest client (Git, tokens, registries, buckets)
//!             Proxy ──▶ Proxy::connect  ──▶ a TCP stream (SSH)
//!     ServerOptions ──▶ serve           ──▶ artifacts, metrics, health
//! ```
//!
//! The crate knows neither Git nor Kubernetes.

mod address;
mod answer;
mod backoff;
mod causes;
pub mod client;
mod deadline;
mod go_value;
mod host_pattern;
mod named;
mod proxy;
mod server;
mod text;

pub use address::{AddressPolicy, Denied, Network, NotANetwork, Refused};
pub use answer::{BodyError, read_body, retry_after};
pub use backoff::Backoff;
pub use causes::{causes, chain, join};
pub use client::{ClientError, TlsConfig};
pub use deadline::{CancelOnDrop, Deadline, Expired};
pub use go_value::GoValue;
pub use host_pattern::{HostPattern, NotAHost};
pub use named::Named;
pub use proxy::{ConnectError, Proxy, ProxyError};
pub use secret::{redact, remove_credentials};
pub use server::{Pace, ServerOptions, serve};
pub use text::percent_decode;
