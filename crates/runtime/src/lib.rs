//! What every controller shares. Each module is one concern:
//!
//! - [`app`]: the main function of a controller process, which ties the others together.
//! - [`flags`], [`gates`], [`log`], [`serve`], [`readiness`], [`metrics`], [`process`]: the process and its surface.
//! - [`diagnostics`]: what the process does with each object, for who asks.
//! - [`client`]: the connection pool to an API server, and impersonation.
//! - [`preflight`]: what would not work in a cluster of Flux, asked before this takes over.
//! - [`leader`]: who may act when several replicas run.
//! - [`watch`] and [`controller`]: from watch events to passes over objects.
//! - [`latest`], [`conditions`], [`patch`], [`serial_patcher`], [`events`], [`backoff`]: what a pass needs to say and when it comes again.

pub mod app;
pub mod backoff;
pub mod client;
pub mod conditions;
pub mod controller;
pub mod diagnostics;
pub mod error;
pub mod events;
pub mod flags;
pub mod gates;
pub mod index;
pub mod latest;
pub mod leader;
pub mod log;
pub mod metrics;
pub mod patch;
pub mod preflight;
pub mod process;
pub mod queue;
pub mod readiness;
pub mod serial_patcher;
pub mod serve;
pub mod token_bucket;
pub mod watch;
