//! Texts of strings and numbers as Go's package `strconv` reads and writes them. Strings are bytes, as in Go: they may be no UTF-8.

#![forbid(unsafe_code)]

mod float;
mod number;
mod quote;

pub use float::{format_float, shortest, shortest_32};
pub use number::{atoi, parse_float, parse_int, parse_uint};
pub use quote::{
    can_backquote, decode, is_print, quote, quote_rune, quote_rune_to_ascii, quote_to_ascii, unquote,
    unquote_rune,
};
