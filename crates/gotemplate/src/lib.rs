//! Go's `text/template`: templates in, text out, byte for byte, errors included.
//!
//! ```text
//! source ── lex ──▶ tokens ── parse ──▶ trees ── exec ──▶ text
//!                                        │        ├─ function, builtins ── fmt
//!                                       set       └─ value
//! ```
//!
//! Texts are bytes, as in Go: what is no UTF-8 passes through.
//!
//! ```
//! use gotemplate::value::Type;
//! use gotemplate::{Budget, Function, Functions, Limits, MissingKey, Run, Set, Value};
//!
//! let mut functions = Functions::default();
//! let include = Function::new(&[Type::String, Type::Any], Type::String, |context, arguments| match arguments {
//!     [Value::String(name), data] => Ok(context.execute(name, data.clone())?.into()),
//!     // The types were checked.
//!     _ => Ok(Value::Nil),
//! });
//! functions.insert("include", include);
//!
//! let mut set = Set::new("gotpl", functions, Limits::default(), MissingKey::Zero);
//! set.parse("greeting", b"{{define `who`}}the {{.}}{{end}}Hello, {{include `who` .name | printf `%q`}}!")?;
//! let run = Run::new(Budget::default(), &|| false);
//! let text = set.execute(&run, "greeting", Value::map([("name", Value::from("world"))]))?;
//! assert_eq!(&*text, br#"Hello, "the world"!"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Caveats
//! - A template that recurses as deep as the [`Budget`] allows needs a thread with a stack of [`Budget::stack_size`].
//! - A template can change the maps that it is given. Who uses them for more than one run copies them before.
//! - `slice` of a type with a name gives one without; capacities of slices are their lengths; addresses are all the same.

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
mod simplify;
pub mod value;

pub use context::Context;
pub use error::Error;
pub use function::{Function, Functions};
pub use parse::{Limits, ParseError, Tree, parse};
pub use run::{Budget, Exhausted, Run};
pub use set::{MissingKey, Set};
pub use value::Value;
