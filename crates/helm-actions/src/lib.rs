//! What Helm does to a cluster (`pkg/action` and `pkg/kube` of Helm 4): install, upgrade, rollback, uninstall, test.
//!
//! ```text
//! plan_install, plan_upgrade ──▶ plan ── render (the caller's) ──▶ Rendition ──▶ run ──▶ Outcome
//!                                                                           │
//!                                  storage ◀── hooks ◀── resources ◀── wait ┘
//! ```
//!
//! Rendering is not done here: a plan tells for which revision, and is given what came out of it. The words of the errors are
//! Helm's, and so are the points at which a revision is stored, so that the Helm client goes on from what is stored here, and this
//! from what it stores.

#![forbid(unsafe_code)]

pub mod configuration;
pub mod crds;
pub mod drift;
pub mod error;
pub mod hooks;
mod install;
mod inventory;
mod kept;
mod log;
pub mod memory;
pub mod options;
mod pending;
pub mod resources;
mod reuse;
mod rollback;
pub mod steps;
pub mod storage;
mod test;
mod uninstall;
mod upgrade;
pub mod wait;

pub use configuration::{Configuration, Observer, Stop, Write};
pub use crds::{CrdError, CrdPolicy};
pub use error::{ActionError, Outcome};
pub use install::InstallPlan;
pub use inventory::Inventory;
pub use kept::Kept;
pub use log::Log;
pub use memory::Memory;
pub use reuse::{Former, ReuseError, Reused};
pub use steps::{Step, Steps};
pub use upgrade::UpgradePlan;
