//! Texts of strings and numbers as Go's package `strconv` reads and writes them. Strings are bytes, as in Go: they may be no UTF-8.

#![forbid(unsafe_code)]

mod number;
mod quote;

pub use number::{parse_float, parse_int, parse_uint};
pub use quote::{decode, is_print, quote, quote_rune, unquote, unquote_rune};
