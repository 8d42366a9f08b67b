//! Numbers the way Go's `strconv` reads and writes them.

use strconv::{shortest, shortest_32};

/// What go-yaml tries last: a sign behind the `0b`, or in version 3 behind the `0o`.
pub(crate) fn parse_odd_int(text: &str, octal: bool) -> Option<i64> {
    let (digits, radix) = match text.get(..2) {
        Some("0b") => (text.get(2..)?, 2),
        Some("0o") if octal => (text.get(2..)?, 8),
        _ => return None,
    };
    let (negative, digits) = split_sign(digits);
    signed(negative, parse_radix(digits, radix)?)
}

fn split_sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

fn signed(negative: bool, magnitude: u64) -> Option<i64> {
    if negative { 0_i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// Digits alone; the standard library would also take a sign.
fn parse_radix(digits: &str, radix: u32) -> Option<u64> {
    let only_digits = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if only_digits { u64::from_str_radix(digits, radix).ok() } else { None }
}

/// A float in the notation go-yaml looks for: `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`.
pub(crate) fn parse_yaml_float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let numeric = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-');
    if !unsigned.bytes().all(numeric) || unsigned.starts_with(['+', '-']) {
        return None;
    }
    parse_float(text)
}

/// `strconv.ParseFloat` for text of digits, point and exponent; `None` also when out of range.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    let ascii_number =
        text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
    if !ascii_number {
        return None;
    }
    text.parse::<f64>().ok().filter(|value| value.is_finite())
}

/// `d.ddde±xx` with an exponent of at least `min_exponent_digits` digits.
fn exponent_form(digits: &str, exponent: i32, min_exponent_digits: usize) -> String {
    let (first, rest) = digits.split_at(digits.len().min(1));
    let point = if rest.is_empty() { "" } else { "." };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{first}{point}{rest}e{sign}{:0min_exponent_digits$}", exponent.unsigned_abs())
}

/// Digits with the point where the exponent says, without an exponent.
fn plain_form(digits: &str, exponent: i32) -> String {
    if exponent < 0 {
        let zeros = exponent.unsigned_abs() as usize - 1;
        return format!("0.{}{digits}", "0".repeat(zeros));
    }
    let whole = exponent as usize + 1;
    match digits.split_at_checked(whole) {
        Some((whole, "")) => whole.to_owned(),
        Some((whole, fraction)) => format!("{whole}.{fraction}"),
        None => format!("{digits:0<whole$}"),
    }
}

fn with_sign(value: f64, text: String) -> String {
    if value.is_sign_negative() { format!("-{text}") } else { text }
}

/// How `encoding/json` writes a finite float.
pub fn json_float(value: f64) -> String {
    let (digits, exponent) = shortest(value);
    let magnitude = value.abs();
    let text = if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        exponent_form(&digits, exponent, 1)
    } else {
        plain_form(&digits, exponent)
    };
    with_sign(value, text)
}

/// How go-yaml writes a float: `strconv.FormatFloat(value, 'g', -1, 64)`, infinities and NaN in YAML's words.
pub fn yaml_float(value: f64) -> String {
    if value.is_nan() {
        return ".nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { ".inf".into() } else { "-.inf".into() };
    }
    let (digits, exponent) = shortest(value);
    let text = if value != 0.0 && !(-4..6).contains(&exponent) {
        exponent_form(&digits, exponent, 2)
    } else {
        plain_form(&digits, exponent)
    };
    with_sign(value, text)
}

/// How go-yaml writes a float it read from JSON, where a zero has no sign.
pub(crate) fn yaml_float_from_json(value: f64) -> String {
    if value == 0.0 { "0".into() } else { yaml_float(value) }
}

/// The same for the nearest 32-bit float, which sigs.k8s.io/yaml uses for keys.
pub fn yaml_float32(value: f64) -> String {
    let single = value as f32;
    if !single.is_finite() || value == 0.0 {
        return yaml_float(f64::from(single));
    }
    let (digits, exponent) = shortest_32(single);
    let text = if (-4..6).contains(&exponent) {
        plain_form(&digits, exponent)
    } else {
        exponent_form(&digits, exponent, 2)
    };
    with_sign(value, text)
}

/// A finite float as a JSON value that serialises to the digits Go writes, as far as 64-bit integers reach.
pub(crate) fn json_number(value: f64) -> Option<serde_json::Number> {
    let text = json_float(value);
    if let Ok(integer) = text.parse::<i64>()
        && text != "-0"
    {
        return Some(integer.into());
    }
    if let Ok(integer) = text.parse::<u64>() {
        return Some(integer.into());
    }
    serde_json::Number::from_f64(value)
}
