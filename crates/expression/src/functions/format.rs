//! `string.format(list)`.

use std::fmt::Write;

use crate::{
    evaluate::{Failure, Meter},
    value::{List, Value},
};

/// Digits after the point if none are asked for, and the most that may be.
const PRECISION: usize = 6;
const LONGEST: usize = 100;

/// Fills the verbs of `text` in order.
///
/// # Errors
/// When a verb is unknown, has no argument or one of the wrong type.
pub(super) fn format(text: &str, arguments: &List<'_>, meter: &mut Meter) -> Result<String, Failure> {
    let mut out = String::new();
    let mut pieces = text.split('%');
    let first = pieces.next().unwrap_or_default();
    meter.text(text.len())?;
    out.push_str(first);
    let (mut next, mut literal) = (0, false);
    for piece in pieces {
        if literal {
            // What follows the second sign of a pair.
            out.push_str(piece);
            literal = false;
            continue;
        }
        if piece.is_empty() {
            out.push('%');
            literal = true;
            continue;
        }
        let (precision, verb) = match piece.strip_prefix('.') {
            Some(rest) => {
                let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
                let precision = rest.get(..digits).and_then(|d| d.parse().ok()).filter(|p| *p <= LONGEST);
                let precision = precision
                    .ok_or_else(|| Failure::error("could not parse formatting clause: precision"))?;
                (precision, rest.get(digits..).unwrap_or_default())
            }
            None => (PRECISION, piece),
        };
        let mut characters = verb.chars();
        let Some(kind) = characters.next() else {
            return Err(Failure::error("could not parse formatting clause: unexpected end of format string"));
        };
        let value = arguments.get(next);
        let value = value.ok_or_else(|| Failure::error("index out of range"))?;
        next += 1;
        one(&mut out, kind, precision, &value, meter)?;
        out.push_str(characters.as_str());
    }
    Ok(out)
}

fn one(
    out: &mut String,
    verb: char,
    precision: usize,
    value: &Value<'_>,
    meter: &mut Meter,
) -> Result<(), Failure> {
    let before = out.len();
    let written = match (verb, value) {
        ('s', value) => return shown(out, value, meter),
        ('d', Value::Int(n)) => write!(out, "{n}"),
        ('d', Value::Uint(n)) => write!(out, "{n}"),
        ('f', Value::Double(n)) => write!(out, "{n:.precision$}"),
        ('e', Value::Double(n)) => return exponent(out, *n, precision, meter),
        ('b', Value::Bool(b)) => write!(out, "{}", u8::from(*b)),
        ('b', Value::Int(n)) => write!(out, "{}{:b}", sign(*n), n.unsigned_abs()),
        ('b', Value::Uint(n)) => write!(out, "{n:b}"),
        ('o', Value::Int(n)) => write!(out, "{}{:o}", sign(*n), n.unsigned_abs()),
        ('o', Value::Uint(n)) => write!(out, "{n:o}"),
        ('x', Value::Int(n)) => write!(out, "{}{:x}", sign(*n), n.unsigned_abs()),
        ('x', Value::Uint(n)) => write!(out, "{n:x}"),
        ('X', Value::Int(n)) => write!(out, "{}{:X}", sign(*n), n.unsigned_abs()),
        ('X', Value::Uint(n)) => write!(out, "{n:X}"),
        ('x' | 'X', Value::String(text)) => return hexadecimal(out, text.as_bytes(), verb == 'X', meter),
        ('x' | 'X', Value::Bytes(bytes)) => return hexadecimal(out, bytes, verb == 'X', meter),
        ('d' | 'f' | 'e' | 'b' | 'o' | 'x' | 'X', other) => {
            let kind = other.kind().name();
            return Err(Failure::error(format!(
                "error during formatting: {kind} cannot be formatted by %{verb}"
            )));
        }
        _ => {
            return Err(Failure::error("could not parse formatting clause: unrecognized formatting clause"));
        }
    };
    // Writing into memory does not fail.
    let _infallible = written;
    meter.text(out.len() - before)
}

fn sign(n: i64) -> &'static str {
    if n < 0 { "-" } else { "" }
}

/// Scientific notation with a sign and at least two digits in the exponent.
fn exponent(out: &mut String, n: f64, precision: usize, meter: &mut Meter) -> Result<(), Failure> {
    let plain = format!("{n:.precision$e}");
    meter.text(plain.len())?;
    match plain.split_once('e') {
        Some((digits, power)) => {
            let (sign, power) = power.strip_prefix('-').map_or(('+', power), |power| ('-', power));
            out.push_str(&format!("{digits}e{sign}{power:0>2}"));
        }
        None => out.push_str(&plain),
    }
    Ok(())
}

fn hexadecimal(out: &mut String, bytes: &[u8], upper: bool, meter: &mut Meter) -> Result<(), Failure> {
    meter.text(2 * bytes.len())?;
    for byte in bytes {
        let digits = if upper { format!("{byte:02X}") } else { format!("{byte:02x}") };
        out.push_str(&digits);
    }
    Ok(())
}

/// A value as `%s` shows it.
fn shown(out: &mut String, value: &Value<'_>, meter: &mut Meter) -> Result<(), Failure> {
    meter.charge(1)?;
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(&b.to_string()),
        Value::Int(n) => out.push_str(&n.to_string()),
        Value::Uint(n) => out.push_str(&n.to_string()),
        Value::Double(n) => out.push_str(&n.to_string()),
        Value::String(text) => {
            meter.text(text.len())?;
            out.push_str(text);
        }
        Value::Bytes(bytes) => {
            meter.text(bytes.len())?;
            out.push_str(&String::from_utf8_lossy(bytes));
        }
        Value::Timestamp(t) => out.push_str(&t.to_string()),
        Value::Duration(d) => out.push_str(&format!("{}s", d.as_secs_f64())),
        Value::Type(kind) => out.push_str(kind.name()),
        Value::List(list) => {
            out.push('[');
            for (index, item) in list.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                shown(out, &item, meter)?;
            }
            out.push(']');
        }
        Value::Map(map) => {
            out.push('{');
            for (index, key) in map.keys(meter)?.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                shown(out, key, meter)?;
                out.push_str(": ");
                if let Some(value) = map.get(key, meter)? {
                    shown(out, &value, meter)?;
                }
            }
            out.push('}');
        }
        Value::Optional(_) => return Err(Failure::error("error during formatting: optional value")),
    }
    Ok(())
}
