//! Releases as Helm stores them: each revision is a Secret, which the Helm client and helm-controller of Flux read and write, too
//! (`pkg/release/v1` and `pkg/storage/driver` of Helm 4).
//!
//! ```text
//! Rendered, Chart ──▶ Release ── encode ──▶ Secret: name, labels, data
//!                       │     ◀── decode ──
//!                       └─▶ Observation: its digest
//! ```
//!
//! What was stored comes back as it was: the chart of a release is kept as the text that it is stored as.

#![forbid(unsafe_code)]

mod chart;
mod json;
mod observation;
mod release;
mod secret;
mod time;

pub use chart::chart_json;
pub use observation::{MetadataError, Observation, TEST};
pub use release::{ApplyMethod, Execution, Hook, Info, Phase, Release, Status};
pub use secret::{
    DecodeError, EncodeError, KEY, LimitError, Limits, OWNER, SECRET_TYPE, Stamp, decode, encode, labels,
    secret_name,
};
pub use time::Time;
