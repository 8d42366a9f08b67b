//! Go's `text/template`: templates in, text out, byte for byte, errors included.
//!
//! ```text
//! source ── lex ──▶ tokens ── parse ──▶ trees ── exec ──▶ text
//!                                        │        ├─ function, builtins ── fmt
//!                                       set       └─ value
//! ```
//!
//! Texts are bytes, as in Go: what is no UTF-8 passes through.

#![forbid(unsafe_code)]

mod builtins;
mod context;
mod error;
mod exec;
mod fmt;
mod function;
mod lex;
pub mod node;
mod parse;
mod run;
mod set;
pub mod value;

pub use context::Context;
pub use error::Error;
pub use function::{Function, Functions};
pub use parse::{Limits, ParseError, Tree, parse};
pub use run::{Budget, Exhausted, Run};
pub use set::{MissingKey, Set};
pub use value::Value;
