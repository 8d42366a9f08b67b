//! Numbers and strings.

use super::Printer;
use crate::value::Value;

impl Printer {
    /// An integer of this magnitude and sign. `value` is what it is, for the text of a bad directive.
    pub(super) fn integer(
        &mut self,
        value: &Value,
        magnitude: u64,
        is_negative: bool,
        is_signed: bool,
        verb: char,
    ) {
        match verb {
            'v' if self.flags.sharp_v && !is_signed => {
                let sharp = std::mem::replace(&mut self.flags.sharp, true);
                self.digits(format!("{magnitude:x}"), is_negative, 'x');
                self.flags.sharp = sharp;
            }
            'v' | 'd' => self.digits(magnitude.to_string(), is_negative, 'd'),
            'b' => self.digits(format!("{magnitude:b}"), is_negative, 'b'),
            'o' | 'O' => self.digits(format!("{magnitude:o}"), is_negative, verb),
            'x' => self.digits(format!("{magnitude:x}"), is_negative, 'x'),
            'X' => self.digits(format!("{magnitude:X}"), is_negative, 'X'),
            'c' => self.pad(character(magnitude, is_negative).encode_utf8(&mut [0; 4]).as_bytes()),
            'q' => {
                let c = character(magnitude, is_negative);
                let quoted = match self.flags.plus {
                    true => strconv::quote_rune_to_ascii(c),
                    false => strconv::quote_rune(c),
                };
                self.pad(quoted.as_bytes());
            }
            'U' => self.code_point(magnitude, is_negative),
            _ => self.bad_verb(value, verb),
        }
    }

    fn digits(&mut self, digits: String, is_negative: bool, verb: char) {
        let has_sign = is_negative || self.flags.plus || self.flags.space;
        let count = match (self.flags.precision, self.flags.width) {
            (Some(0), _) if digits == "0" => return self.pad_with_spaces(b""),
            (Some(precision), _) => precision,
            // Zeros up to the width, with room for the sign.
            (None, Some(width)) if self.flags.zero && !self.flags.minus => {
                width.saturating_sub(usize::from(has_sign))
            }
            _ => 0,
        };
        let mut text = String::with_capacity(count.max(digits.len()) + 5);
        text.push_str(match is_negative {
            true => "-",
            false if self.flags.plus => "+",
            false if self.flags.space => " ",
            false => "",
        });
        let zeros = count.saturating_sub(digits.len());
        text.push_str(match verb {
            'O' => "0o",
            'b' if self.flags.sharp => "0b",
            'x' if self.flags.sharp => "0x",
            'X' if self.flags.sharp => "0X",
            _ => "",
        });
        let leading_zero = zeros > 0 || digits.starts_with('0');
        if matches!(verb, 'o' | 'O') && self.flags.sharp && !leading_zero {
            text.push('0');
        }
        text.extend(std::iter::repeat_n('0', zeros));
        text.push_str(&digits);
        self.pad_with_spaces(text.as_bytes());
    }

    /// `U+0078`, or `U+0078 'x'` with `#`.
    fn code_point(&mut self, magnitude: u64, is_negative: bool) {
        // Go prints the bits of a negative number.
        let bits = if is_negative { magnitude.wrapping_neg() } else { magnitude };
        let digits = self.flags.precision.unwrap_or(0).max(4);
        let mut text = format!("{bits:X}");
        let zeros = digits.saturating_sub(text.len());
        text.insert_str(0, &"0".repeat(zeros));
        text.insert_str(0, "U+");
        let c = u32::try_from(bits).ok().and_then(char::from_u32).filter(|c| strconv::is_print(*c));
        if let Some(c) = c.filter(|_| self.flags.sharp) {
            text.push_str(&format!(" '{c}'"));
        }
        self.pad_with_spaces(text.as_bytes());
    }

    /// A string or bytes. The verb is one that strings have.
    pub(super) fn string(&mut self, text: &[u8], verb: char) {
        match verb {
            'x' => self.hexadecimal(text, false),
            'X' => self.hexadecimal(text, true),
            'q' => self.quoted(text),
            _ if verb == 'v' && self.flags.sharp_v => self.quoted(text),
            _ => {
                let text = self.truncated(text);
                self.pad(text);
            }
        }
    }

    /// As many characters as the precision allows.
    fn truncated<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        let Some(precision) = self.flags.precision else { return text };
        let mut end = 0;
        for _ in 0..precision {
            let Some((_, length)) = text.get(end..).and_then(strconv::decode) else { break };
            end += length;
        }
        text.get(..end).unwrap_or(text)
    }

    fn quoted(&mut self, text: &[u8]) {
        let text = self.truncated(text);
        if self.is_full() || text.len() > self.limit - self.text.len() {
            // The quoted text is longer still.
            return self.write(text);
        }
        let quoted = match (self.flags.sharp, self.flags.plus) {
            (true, _) if strconv::can_backquote(text) => return self.pad(&[b"`", text, b"`"].concat()),
            (_, true) => strconv::quote_to_ascii(text),
            (_, false) => strconv::quote(text),
        };
        self.pad(quoted.as_bytes());
    }

    fn hexadecimal(&mut self, bytes: &[u8], is_upper: bool) {
        let count = self.flags.precision.unwrap_or(bytes.len()).min(bytes.len());
        let bytes = bytes.get(..count).unwrap_or(bytes);
        let (sharp, space) = (self.flags.sharp, self.flags.space);
        let length = match (count, space) {
            (0, _) => 0,
            (_, true) => count * if sharp { 4 } else { 2 } + count - 1,
            (_, false) => count * 2 + if sharp { 2 } else { 0 },
        };
        let padding = self.flags.width.unwrap_or(0).saturating_sub(length);
        if !self.flags.minus || count == 0 {
            self.write_padding(padding);
        }
        let prefix: &[u8] = if is_upper { b"0X" } else { b"0x" };
        for (index, byte) in bytes.iter().enumerate() {
            if self.is_full() {
                return;
            }
            if index > 0 && space {
                self.write(b" ");
            }
            if sharp && (index == 0 || space) {
                self.write(prefix);
            }
            let text = if is_upper { format!("{byte:02X}") } else { format!("{byte:02x}") };
            self.write(text.as_bytes());
        }
        if self.flags.minus && count > 0 {
            self.write_padding(padding);
        }
    }

    pub(super) fn float(&mut self, value: &Value, number: f64, verb: char) {
        let (verb, precision) = match verb {
            'v' => ('g', None),
            'b' | 'g' | 'G' | 'x' | 'X' => (verb, None),
            'f' | 'e' | 'E' => (verb, Some(6)),
            'F' => ('f', Some(6)),
            _ => return self.bad_verb(value, verb),
        };
        let precision = self.flags.precision.or(precision);
        let text = strconv::format_float(number, verb, precision);
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => ('-', digits.to_owned()),
            None => ('+', text.trim_start_matches('+').to_owned()),
        };
        let shown_sign = match sign {
            '+' if self.flags.plus => "+",
            '+' if self.flags.space => " ",
            '+' if number.is_infinite() => "+",
            '+' => "",
            _ => "-",
        };
        if !number.is_finite() {
            return self.pad_with_spaces(format!("{shown_sign}{digits}").as_bytes());
        }
        let digits =
            if self.flags.sharp && verb != 'b' { with_point(&digits, verb, precision) } else { digits };
        let length = shown_sign.len() + digits.len();
        let width = self.flags.width.unwrap_or(0);
        if !shown_sign.is_empty() && self.flags.zero && !self.flags.minus && width > length {
            // The sign stands before the zeros.
            self.write(shown_sign.as_bytes());
            self.write_padding(width - length);
            return self.write(digits.as_bytes());
        }
        self.pad(format!("{shown_sign}{digits}").as_bytes());
    }

    pub(super) fn complex(&mut self, value: &Value, real: f64, imaginary: f64, verb: char) {
        if !matches!(verb, 'v' | 'b' | 'g' | 'G' | 'x' | 'X' | 'f' | 'F' | 'e' | 'E') {
            return self.bad_verb(value, verb);
        }
        self.write(b"(");
        self.float(value, real, verb);
        let plus = std::mem::replace(&mut self.flags.plus, true);
        self.float(value, imaginary, verb);
        self.flags.plus = plus;
        self.write(b"i)");
    }
}

fn character(magnitude: u64, is_negative: bool) -> char {
    let c = u32::try_from(magnitude).ok().and_then(char::from_u32);
    c.filter(|_| !is_negative || magnitude == 0).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// What `#` asks for: a decimal point in any case, and for `%g` the zeros at the end that it leaves out.
fn with_point(digits: &str, verb: char, precision: Option<usize>) -> String {
    let mut missing = match verb {
        'g' | 'G' | 'x' => precision.unwrap_or(6),
        _ => 0,
    };
    let is_hexadecimal = matches!(verb, 'x' | 'X');
    let exponent = digits.find(|c| matches!(c, 'p' | 'P') || (!is_hexadecimal && matches!(c, 'e' | 'E')));
    let (mantissa, exponent) = digits.split_at(exponent.unwrap_or(digits.len()));
    let significant = mantissa.trim_start_matches(['0', '.']);
    missing = missing.saturating_sub(significant.chars().filter(|c| *c != '.').count());
    let mut text = mantissa.to_owned();
    if !text.contains('.') {
        if text == "0" {
            // It counts as a digit.
            missing = missing.saturating_sub(1);
        }
        text.push('.');
    }
    text.extend(std::iter::repeat_n('0', missing));
    text + exponent
}
