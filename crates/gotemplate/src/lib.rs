//! Go's `text/template`: templates in, text out, byte for byte, errors included.
//!
//! ```text
//! source ── lex ──▶ tokens ── parse ──▶ trees
//! ```
//!
//! Texts are bytes, as in Go: what is no UTF-8 passes through.

#![forbid(unsafe_code)]

mod lex;
pub mod node;
mod parse;
pub mod value;

pub use parse::{Limits, ParseError, Tree, parse};
pub use value::Value;
