//! Post-build variable substitution with envsubst's grammar.
//!
//! ```text
//! let variables = Variables::new([("region", "eu")])?;                       // names checked, newlines stripped
//! substitute("r: ${region:=us}", &variables, strict, &Limits::default())?    // text
//! substitute_object(&object, &variables, strict, &Limits::default())?        // a Kubernetes object in JSON
//! ```
//!
//! The grammar is that of Flux's fork of drone/envsubst, faults included: users' manifests depend on both.

mod error;
mod expression;
mod functions;
mod object;
mod parser;
mod variables;

pub use error::{Error, SyntaxError};
pub use expression::{Limits, substitute};
pub use object::{is_disabled, substitute_object};
pub use variables::Variables;
