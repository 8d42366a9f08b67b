//! Integers and floats in the notation of Go's literals.

use std::borrow::Cow;

/// `strconv.ParseInt(text, 0, 64)`: an optional sign, `0b`, `0o`, `0x`, a leading `0` for octal, or decimal; `_` between digits.
pub fn parse_int(text: &str) -> Option<i64> {
    let (negative, magnitude) = split_sign(text);
    let magnitude = parse_uint(magnitude)?;
    if negative { 0_i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// `strconv.Atoi(text)`: decimal, with an optional sign. What does not fit into 64 bits is out of range, whatever follows.
///
/// # Errors
/// What Go says.
pub fn atoi(text: &str) -> Result<i64, String> {
    let problem = |problem| format!("strconv.Atoi: parsing {}: {problem}", crate::quote(text.as_bytes()));
    let invalid = || problem("invalid syntax");
    let out_of_range = || problem("value out of range");
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() {
        return Err(invalid());
    }
    digits.bytes().try_fold(0_u64, |value, byte| {
        let digit = char::from(byte).to_digit(10).ok_or_else(invalid)?;
        value.checked_mul(10).and_then(|value| value.checked_add(digit.into())).ok_or_else(out_of_range)
    })?;
    text.parse().map_err(|_| out_of_range())
}

/// `strconv.ParseUint(text, 0, 64)`: the same without a sign.
pub fn parse_uint(text: &str) -> Option<u64> {
    let (radix, digits) = match text.as_bytes() {
        [b'0', b'b' | b'B', _, ..] => (2, text.get(2..)?),
        [b'0', b'o' | b'O', _, ..] => (8, text.get(2..)?),
        [b'0', b'x' | b'X', _, ..] => (16, text.get(2..)?),
        [b'0', _, ..] => (8, text.get(1..)?),
        _ => (10, text),
    };
    if digits.contains('_') && !underscores_fit(text) {
        return None;
    }
    let digits = without_underscores(digits);
    // The standard library would also take a sign.
    let are_digits = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
    are_digits.then(|| u64::from_str_radix(&digits, radix).ok()).flatten()
}

/// `strconv.ParseFloat(text, 64)`: decimal or hexadecimal, infinities and NaN by name; `None` also when out of range.
pub fn parse_float(text: &str) -> Option<f64> {
    if text.contains('_') && !underscores_fit(text) {
        return None;
    }
    let plain = without_underscores(text);
    let (negative, magnitude) = split_sign(&plain);
    let value = if let Some(digits) = strip_hex(magnitude) {
        hexadecimal(digits)?
    } else if magnitude.eq_ignore_ascii_case("inf") || magnitude.eq_ignore_ascii_case("infinity") {
        f64::INFINITY
    } else if magnitude.eq_ignore_ascii_case("nan") {
        // Without a sign alone.
        return (magnitude.len() == plain.len()).then_some(f64::NAN);
    } else {
        let is_decimal = magnitude
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
        let value = is_decimal.then(|| magnitude.parse::<f64>().ok()).flatten()?;
        (value.is_finite() && !magnitude.starts_with(['+', '-'])).then_some(value)?
    };
    Some(if negative { -value } else { value })
}

fn split_sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

fn strip_hex(text: &str) -> Option<&str> {
    text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))
}

fn without_underscores(text: &str) -> Cow<'_, str> {
    if text.contains('_') { text.replace('_', "").into() } else { text.into() }
}

/// Each `_` stands between digits, or between a prefix such as `0x` and a digit.
fn underscores_fit(text: &str) -> bool {
    let (_, number) = split_sign(text);
    let is_prefixed = matches!(number.as_bytes(), [b'0', b'b' | b'B' | b'o' | b'O' | b'x' | b'X', ..]);
    let is_hex = strip_hex(number).is_some();
    // A prefix counts as a digit.
    let mut before = if is_prefixed { '0' } else { '^' };
    for c in number.chars().skip(if is_prefixed { 2 } else { 0 }) {
        let kind = match c {
            '0'..='9' => '0',
            'a'..='f' | 'A'..='F' if is_hex => '0',
            '_' if before != '0' => return false,
            '_' => '_',
            _ if before == '_' => return false,
            _ => '!',
        };
        before = kind;
    }
    before != '_'
}

/// `1.8p-3`: hexadecimal digits with a point, and an exponent of two, which must be there.
fn hexadecimal(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let sign_and_digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if sign_and_digits.is_empty() || !sign_and_digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // No finite number other than zero has an exponent beyond this.
    let mut exponent =
        exponent.parse::<i64>().unwrap_or(if exponent.starts_with('-') { -1 << 40 } else { 1 << 40 });
    let mut value = 0_f64;
    for digit in whole.chars() {
        value = value * 16.0 + f64::from(digit.to_digit(16)?);
    }
    for digit in fraction.chars() {
        value = value * 16.0 + f64::from(digit.to_digit(16)?);
        exponent -= 4;
    }
    if value == 0.0 {
        return Some(0.0);
    }
    let scaled = value * 2_f64.powi(i32::try_from(exponent.clamp(-2000, 2000)).ok()?);
    scaled.is_finite().then_some(scaled)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Go 1.26 says.
    #[test]
    fn integers_are_read_as_go_does() {
        let cases = [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("+7", Some(7)),
            ("017", Some(15)),
            ("0o17", Some(15)),
            ("0b101", Some(5)),
            ("0xFf", Some(255)),
            ("1_000", Some(1000)),
            ("0x_ff", Some(255)),
            ("0_7", Some(7)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("089", None),
            ("_1", None),
            ("1_", None),
            ("1__0", None),
            ("0x", None),
            ("0_", None),
            ("", None),
            ("+-1", None),
            ("1e3", None),
        ];
        for (text, value) in cases {
            assert_eq!(parse_int(text), value, "{text}");
        }
        assert_eq!(parse_uint("18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_uint("-1"), None);
    }

    #[test]
    fn floats_are_read_as_go_does() {
        let cases = [
            ("1.5", Some(1.5)),
            (".5", Some(0.5)),
            ("5.", Some(5.0)),
            ("-1e3", Some(-1000.0)),
            ("+1E+3", Some(1000.0)),
            ("1_0.5", Some(10.5)),
            ("0x1p-2", Some(0.25)),
            ("0x1.8p1", Some(3.0)),
            ("0x_1p0", Some(1.0)),
            ("-0X.8p1", Some(-1.0)),
            ("inf", Some(f64::INFINITY)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("0x1", None),
            ("0x1.8", None),
            ("0xp1", None),
            ("1e", None),
            ("1e400", None),
            ("+-1", None),
            ("1._5", None),
            ("", None),
            (".", None),
            ("-nan", None),
        ];
        for (text, value) in cases {
            assert_eq!(parse_float(text), value, "{text}");
        }
        assert!(parse_float("NaN").is_some_and(f64::is_nan));
    }
}
