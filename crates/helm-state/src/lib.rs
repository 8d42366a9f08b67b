//! What becomes of a HelmRelease: decisions only, no cluster and no clock (`internal/reconcile` of helm-controller).
//!
//! ```text
//!                 ┌──────────────────────────────────────────────────────────────────────┐
//!                 ▼                                                                      │ None
//! state::determine ─▶ State ─▶ next::decide ─▶ Next ─▶ Pass::before ─▶ Step ─ Run ─▶ Pass::after
//!         ▲                                                             │      │         │ Some
//! newest revision,                                                      ▼      ▼         ▼
//!      Desired                                                       Outcome  Run     Outcome
//! ```
//!
//! A [`Run`] takes notice of what an action writes to the storage ([`Run::created`], [`Run::updated`]), and records how it went
//! ([`Run::end`]).
//!
//! The caller reads the storage, looks for drift, runs the action, and sends the status and the [`Notice`]s. All that is decided is
//! written to the object it hands in.

#![forbid(unsafe_code)]

mod action;
mod attempt;
mod desired;
mod history;
pub mod next;
mod notice;
mod object;
mod pass;
mod record;
mod rendering;
mod request;
mod run;
pub mod state;
mod summary;
mod target;

pub use action::{Action, Kind};
pub use attempt::{Reset, begin_attempt};
pub use desired::{Desired, common_metadata_digest, post_renderers_digest};
pub use history::snapshot;
pub use next::{Decision, Next, NextError};
pub use notice::{About, Notice};
pub use object::{Settings, status};
pub use pass::{Outcome, Pass, Step};
pub use record::{drift_corrected, health_check_canceled};
pub use request::{takes_force_request, takes_reset_request};
pub use run::{Ended, Ran, Run, unlocked_description};
pub use state::{State, StateError, StateStatus, VerifyError, verify};
pub use summary::summarize;
pub use target::{TargetChange, clear_target, target_change};
