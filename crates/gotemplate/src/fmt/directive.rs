//! Formats: text with directives such as `%-5.2f` or `%[2]*[1]d`.

use super::{Flags, Printer};
use crate::value::Value;

/// Larger widths and precisions are no numbers to Go.
const LARGEST: i64 = 1_000_000;

/// A place in a format, and in the operands.
struct Reader<'a> {
    format: &'a [u8],
    position: usize,
    operands: &'a [Value],
    /// The operand that comes next.
    next: usize,
    /// An index such as `[2]` stood somewhere in the format.
    is_reordered: bool,
    /// The indexes of this directive are right.
    is_good: bool,
    /// An index was just read.
    after_index: bool,
}

impl Printer {
    /// A format with its operands.
    pub(crate) fn format(&mut self, format: &[u8], operands: &[Value]) {
        let mut reader = Reader {
            format,
            position: 0,
            operands,
            next: 0,
            is_reordered: false,
            is_good: true,
            after_index: false,
        };
        while !self.is_full() {
            self.write(reader.text());
            if reader.rest().is_empty() {
                break;
            }
            reader.position += 1;
            if !self.directive(&mut reader) {
                break;
            }
        }
        if !reader.is_reordered && reader.next < operands.len() {
            self.flags = Flags::default();
            self.write(b"%!(EXTRA ");
            for (index, operand) in operands.iter().skip(reader.next).enumerate() {
                if index > 0 {
                    self.write(b", ");
                }
                match operand.go_type() {
                    None => self.write(b"<nil>"),
                    Some(name) => {
                        self.write(format!("{name}=").as_bytes());
                        self.operand(operand, 'v');
                    }
                }
            }
            self.write(b")");
        }
    }

    /// What stands behind a `%`; whether it was complete.
    fn directive(&mut self, reader: &mut Reader<'_>) -> bool {
        reader.is_good = true;
        reader.after_index = false;
        self.flags = Flags::default();
        while self.flag(reader.peek()) {
            reader.position += 1;
        }
        reader.index();
        if reader.accept(b'*') {
            let width = reader.integer_operand();
            if width.is_none() {
                self.write(b"%!(BADWIDTH)");
            }
            // A negative one is a flag and a width.
            if width.is_some_and(i64::is_negative) {
                self.flags.minus = true;
                self.flags.zero = false;
            }
            self.flags.width = width.and_then(|width| usize::try_from(width.unsigned_abs()).ok());
            reader.after_index = false;
        } else {
            self.flags.width = reader.number();
            if reader.after_index && self.flags.width.is_some() {
                reader.is_good = false;
            }
        }
        if reader.rest().len() > 1 && reader.accept(b'.') {
            reader.is_good &= !reader.after_index;
            reader.index();
            if reader.accept(b'*') {
                let precision = reader.integer_operand().and_then(|value| usize::try_from(value).ok());
                if precision.is_none() {
                    self.write(b"%!(BADPREC)");
                }
                self.flags.precision = precision;
                reader.after_index = false;
            } else {
                self.flags.precision = Some(reader.number().unwrap_or(0));
            }
        }
        if !reader.after_index {
            reader.index();
        }
        let Some((verb, length)) = strconv::decode(reader.rest()) else {
            self.write(b"%!(NOVERB)");
            return false;
        };
        reader.position += length;
        self.verb(verb, reader);
        true
    }

    fn flag(&mut self, byte: Option<u8>) -> bool {
        let flags = &mut self.flags;
        match byte {
            Some(b'#') => flags.sharp = true,
            Some(b'0') => flags.zero = true,
            Some(b'+') => flags.plus = true,
            Some(b'-') => flags.minus = true,
            Some(b' ') => flags.space = true,
            _ => return false,
        }
        true
    }

    fn verb(&mut self, verb: char, reader: &mut Reader<'_>) {
        if verb == '%' {
            return self.write(b"%");
        }
        if !reader.is_good {
            return self.write(format!("%!{verb}(BADINDEX)").as_bytes());
        }
        let Some(operand) = reader.operands.get(reader.next) else {
            return self.write(format!("%!{verb}(MISSING)").as_bytes());
        };
        if matches!(verb, 'v' | 'w') {
            self.flags.sharp_v = std::mem::take(&mut self.flags.sharp);
            self.flags.plus_v = std::mem::take(&mut self.flags.plus);
        }
        self.operand(operand, verb);
        reader.next += 1;
    }
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a [u8] {
        self.format.get(self.position..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.rest().first().copied()
    }

    fn accept(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.position += usize::from(is_next);
        is_next
    }

    /// What stands before the next `%`.
    fn text(&mut self) -> &'a [u8] {
        let rest = self.rest();
        let length = rest.iter().position(|byte| *byte == b'%').unwrap_or(rest.len());
        self.position += length;
        rest.get(..length).unwrap_or_default()
    }

    /// A width or precision. One that is too large swallows the rest of the format.
    fn number(&mut self) -> Option<usize> {
        let (number, length) = number(self.rest());
        self.position += length;
        number
    }

    /// An index such as `[2]`, if there is one.
    fn index(&mut self) {
        self.after_index = false;
        let rest = self.rest();
        if rest.first() != Some(&b'[') {
            return;
        }
        self.is_reordered = true;
        let Some(end) = rest.iter().position(|byte| *byte == b']').filter(|_| rest.len() >= 3) else {
            self.is_good = false;
            self.position += 1;
            return;
        };
        self.position += end + 1;
        let digits = rest.get(1..end).unwrap_or_default();
        let index = match number(digits) {
            (Some(index), length) if length == digits.len() => index,
            _ => {
                self.is_good = false;
                return;
            }
        };
        self.after_index = true;
        match index.checked_sub(1).filter(|index| *index < self.operands.len()) {
            Some(index) => self.next = index,
            None => self.is_good = false,
        }
    }

    /// The next operand as a width or precision.
    fn integer_operand(&mut self) -> Option<i64> {
        let operand = self.operands.get(self.next)?;
        self.next += 1;
        let number = match operand.underlying() {
            Value::Int(number) | Value::Int64(number) => number,
            Value::Uint8(number) => number.into(),
            Value::Uint64(number) => i64::try_from(number).ok()?,
            _ => return None,
        };
        (-LARGEST..=LARGEST).contains(&number).then_some(number)
    }
}

/// The number at the beginning of a text, if there is one that is not too large, and what was read.
fn number(text: &[u8]) -> (Option<usize>, usize) {
    let (mut number, mut length) = (None, 0);
    while let Some(digit) = text.get(length).filter(|byte| byte.is_ascii_digit()) {
        let before = number.unwrap_or(0);
        if before > LARGEST as usize {
            return (None, text.len());
        }
        number = Some(before * 10 + usize::from(digit - b'0'));
        length += 1;
    }
    (number, length)
}
