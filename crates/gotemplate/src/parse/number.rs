//! Number constants.

use strconv::{parse_float, parse_int, parse_uint, quote, unquote_rune};

use crate::lex::{Kind, Token};
use crate::node::Number;

/// What the token is as a number; else the message of Go.
pub(super) fn read(token: &Token<'_>) -> Result<Number, String> {
    let source = String::from_utf8_lossy(token.text).into_owned();
    let number = match token.kind {
        Kind::CharConstant => character(token.text),
        Kind::Complex => complex(&source),
        _ => match source.strip_suffix('i').and_then(parse_float) {
            Some(imaginary) => Ok(simplified(0.0, imaginary)),
            None => real(&source),
        },
    };
    number.map(|number| Number { source, ..number })
}

const NONE: Number = Number { source: String::new(), int: None, uint: None, float: None, complex: None };

fn character(text: &[u8]) -> Result<Number, String> {
    let inner = text.get(1..).unwrap_or_default();
    let (value, length) = unquote_rune(inner).ok_or("invalid syntax")?;
    if inner.get(length..) != Some(b"'") {
        return Err(format!("malformed character constant: {}", String::from_utf8_lossy(text)));
    }
    Ok(Number { int: Some(value.into()), uint: Some(value.into()), float: Some(value.into()), ..NONE })
}

fn real(text: &str) -> Result<Number, String> {
    let (mut int, mut uint) = (parse_int(text), parse_uint(text));
    if int == Some(0) {
        // For -0, which is unsigned, too.
        uint = Some(0);
    }
    let mut float = int.map(|value| value as f64).or(uint.map(|value| value as f64));
    if float.is_none() {
        float = parse_float(text);
        if let Some(value) = float {
            if !text.contains(['.', 'e', 'E', 'p', 'P']) {
                return Err(format!("integer overflow: {}", quote(text.as_bytes())));
            }
            (int, uint) = (whole(value), whole_unsigned(value));
        }
    }
    match (int, uint, float) {
        (None, None, None) => Err(format!("illegal number syntax: {}", quote(text.as_bytes()))),
        (int, uint, float) => Ok(Number { int, uint, float, ..NONE }),
    }
}

/// `1+2i`: two floats, the sign of the second between them.
fn complex(text: &str) -> Result<Number, String> {
    let parts = || {
        let numbers = text.strip_suffix('i')?;
        let between = |(index, c): &(usize, char)| {
            *index > 0
                && matches!(c, '+' | '-')
                && !numbers.get(..*index).is_some_and(|before| before.ends_with(['e', 'E', 'p', 'P']))
        };
        let (index, _) = numbers.char_indices().rfind(between)?;
        Some((parse_float(numbers.get(..index)?)?, parse_float(numbers.get(index..)?)?))
    };
    let (real, imaginary) = parts().ok_or("syntax error scanning complex number")?;
    Ok(simplified(real, imaginary))
}

fn simplified(real: f64, imaginary: f64) -> Number {
    let number = Number { complex: Some((real, imaginary)), ..NONE };
    match imaginary == 0.0 {
        true => Number { float: Some(real), int: whole(real), uint: whole_unsigned(real), ..number },
        false => number,
    }
}

fn whole(value: f64) -> Option<i64> {
    let int = value as i64;
    (int as f64 == value && value < 9_223_372_036_854_775_808.0).then_some(int)
}

fn whole_unsigned(value: f64) -> Option<u64> {
    let uint = value as u64;
    (uint as f64 == value && value < 18_446_744_073_709_551_616.0).then_some(uint)
}
