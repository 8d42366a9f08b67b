//! Go's package `fmt`: what `print`, `printf` and `println` write.

mod directive;
mod number;
mod value;

use crate::value::{NESTING, Value};

/// How a directive wants its operand.
#[derive(Debug, Clone, Default)]
struct Flags {
    width: Option<usize>,
    precision: Option<usize>,
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    /// `%+v`: with the names of fields. The other flags are then off, as with the next.
    plus_v: bool,
    /// `%#v`: in Go's syntax.
    sharp_v: bool,
}

/// Why a text is not written to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overflow {
    /// It is longer than the limit.
    Length,
    /// A value is nested deeper than [`NESTING`].
    Nesting,
}

/// Writes values as text, at most so many bytes. What is beyond is left out.
pub(crate) struct Printer {
    text: Vec<u8>,
    limit: usize,
    overflow: Option<Overflow>,
    flags: Flags,
    /// The methods of objects do not count: the text of a bad directive is written.
    pub(crate) is_erroring: bool,
    /// What pointers point to is printed without a `&` before it.
    pub(crate) dereferences: bool,
}

impl Printer {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            text: Vec::new(),
            limit,
            overflow: None,
            flags: Flags::default(),
            is_erroring: false,
            dereferences: false,
        }
    }

    /// What was written, if it is all.
    pub(crate) fn finish(self) -> Result<Vec<u8>, Overflow> {
        self.overflow.map_or(Ok(self.text), Err)
    }

    /// Operands in their default format, with a space between two of which neither is a string.
    pub(crate) fn print(&mut self, operands: &[Value]) {
        let mut after_string = true;
        for operand in operands {
            let is_string = is_string(operand);
            if !is_string && !after_string {
                self.write(b" ");
            }
            self.operand(operand, 'v');
            after_string = is_string;
        }
    }

    /// Operands in their default format, with spaces between them and a line end.
    pub(crate) fn print_line(&mut self, operands: &[Value]) {
        for (index, operand) in operands.iter().enumerate() {
            if index > 0 {
                self.write(b" ");
            }
            self.operand(operand, 'v');
        }
        self.write(b"\n");
    }

    fn is_full(&self) -> bool {
        self.overflow.is_some()
    }

    /// No value is walked into deeper than so.
    fn is_too_deep(&mut self, depth: usize) -> bool {
        if depth > NESTING {
            self.overflow = Some(Overflow::Nesting);
        }
        self.is_full()
    }

    fn write(&mut self, bytes: &[u8]) {
        if bytes.len() > self.limit - self.text.len() {
            self.overflow.get_or_insert(Overflow::Length);
        }
        if !self.is_full() {
            self.text.extend_from_slice(bytes);
        }
    }

    fn write_padding(&mut self, count: usize) {
        if count > self.limit - self.text.len() {
            self.overflow.get_or_insert(Overflow::Length);
        }
        if !self.is_full() {
            let byte = if self.flags.zero && !self.flags.minus { b'0' } else { b' ' };
            self.text.resize(self.text.len() + count, byte);
        }
    }

    /// Text of the width that is asked for at least, counted in characters.
    fn pad(&mut self, text: &[u8]) {
        let padding = match self.flags.width {
            None | Some(0) => 0,
            Some(width) => width.saturating_sub(characters(text)),
        };
        if !self.flags.minus {
            self.write_padding(padding);
        }
        self.write(text);
        if self.flags.minus {
            self.write_padding(padding);
        }
    }

    /// The same, never with zeros.
    fn pad_with_spaces(&mut self, text: &[u8]) {
        let zero = std::mem::replace(&mut self.flags.zero, false);
        self.pad(text);
        self.flags.zero = zero;
    }
}

fn is_string(value: &Value) -> bool {
    matches!(value.underlying(), Value::String(_))
}

/// How many characters a text has; each byte that is no UTF-8 counts as one.
fn characters(text: &[u8]) -> usize {
    std::iter::successors(Some(text), |rest| rest.get(strconv::decode(rest)?.1..)).count() - 1
}
