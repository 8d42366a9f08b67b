//! Go's `time.Duration`, and Helm's functions on durations.

use gotemplate::value::{Object, Text, Type};
use gotemplate::{Error, Function, Value};

use crate::call::Table;
use crate::time::quote;

/// The type of [`Duration`] as a parameter.
pub(crate) const DURATION: Type = Type::Named("time.Duration");

/// In a second.
pub(crate) const NANOSECONDS: i64 = 1_000_000_000;

const ANY: Type = Type::Any;

/// So many nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Duration(pub(crate) i64);

impl Object for Duration {
    fn go_type(&self) -> &'static str {
        "time.Duration"
    }

    fn underlying(&self) -> Option<Value> {
        Some(Value::Int64(self.0))
    }

    fn text(&self) -> Option<Text> {
        Some(format(self.0).into())
    }

    fn method(&self, name: &str) -> Option<Function> {
        let constant = |result: Type, value: Value| Function::new(&[], result, move |_, _| Ok(value.clone()));
        let own = self.0;
        let multiple = |to: fn(i64, i64) -> i64| {
            Function::new(&[ANY], DURATION, move |_, values| {
                Ok(Value::object(Self(to(own, values.first().map_or(0, nanoseconds)))))
            })
        };
        Some(match name {
            "Hours" => constant(Type::Float64, in_units(own, 3600).into()),
            "Minutes" => constant(Type::Float64, in_units(own, 60).into()),
            "Seconds" => constant(Type::Float64, in_units(own, 1).into()),
            "Milliseconds" => constant(Type::Int64, Value::Int64(own / 1_000_000)),
            "Microseconds" => constant(Type::Int64, Value::Int64(own / 1000)),
            "Nanoseconds" => constant(Type::Int64, Value::Int64(own)),
            "String" => constant(Type::String, format(own).into()),
            "Abs" => constant(DURATION, Value::object(Self(own.saturating_abs()))),
            "Round" => multiple(round),
            "Truncate" => multiple(truncate),
            _ => return None,
        })
    }
}

/// The nanoseconds that a value is: a duration, or an integer.
pub(crate) fn nanoseconds(value: &Value) -> i64 {
    match value.underlying() {
        Value::Int(value) | Value::Int64(value) => value,
        _ => 0,
    }
}

/// In units of so many seconds. Go divides whole and rest on their own.
fn in_units(value: i64, seconds: i64) -> f64 {
    let unit = seconds * NANOSECONDS;
    (value / unit) as f64 + (value % unit) as f64 / unit as f64
}

/// `Duration.Round`: to the nearest multiple, halfway values away from zero.
pub(crate) fn round(value: i64, multiple: i64) -> i64 {
    if multiple <= 0 {
        return value;
    }
    let rest = value % multiple;
    let is_below_half = rest.unsigned_abs().saturating_mul(2) < multiple.unsigned_abs();
    match is_below_half {
        true => value - rest,
        false if value < 0 => (value - rest).saturating_sub(multiple),
        false => (value - rest).saturating_add(multiple),
    }
}

fn truncate(value: i64, multiple: i64) -> i64 {
    if multiple <= 0 { value } else { value - value % multiple }
}

/// `Duration.String`, such as `1h0m2.5s`.
pub(crate) fn format(value: i64) -> String {
    let magnitude = value.unsigned_abs();
    let sign = if value < 0 { "-" } else { "" };
    let with_fraction = |value: u64, unit: u64| {
        let digits = unit.ilog10() as usize;
        let fraction = format!("{:0digits$}", value % unit);
        let fraction = fraction.trim_end_matches('0');
        let whole = value / unit;
        if fraction.is_empty() || digits == 0 { whole.to_string() } else { format!("{whole}.{fraction}") }
    };
    match magnitude {
        0 => "0s".to_owned(),
        1..1000 => format!("{sign}{magnitude}ns"),
        1000..1_000_000 => format!("{sign}{}µs", with_fraction(magnitude, 1000)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", with_fraction(magnitude, 1_000_000)),
        _ => {
            let seconds = magnitude / 1_000_000_000;
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            let last = with_fraction(magnitude % 60_000_000_000, 1_000_000_000);
            match (hours, minutes) {
                (0, 0) => format!("{sign}{last}s"),
                (0, minutes) => format!("{sign}{minutes}m{last}s"),
                (hours, minutes) => format!("{sign}{hours}h{minutes}m{last}s"),
            }
        }
    }
}

/// `time.ParseDuration`
///
/// # Errors
/// Go's words for what is wrong.
pub(crate) fn parse(text: &[u8]) -> Result<i64, String> {
    let quoted = quote(text);
    let invalid = || format!("time: invalid duration {quoted}");
    let original = std::str::from_utf8(text).map_err(|_| invalid())?;
    let (is_negative, mut rest) = match original.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, original.strip_prefix('+').unwrap_or(original)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = 0_u64;
    while !rest.is_empty() {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let (whole, after) = rest.split_at(digits(rest));
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => after.split_at(digits(after)),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let length = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (name, after) = after.split_at(length);
        let unit: u64 = match name {
            "" => return Err(format!("time: missing unit in duration {quoted}")),
            "ns" => 1,
            "us" | "µs" | "μs" => 1000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => {
                let name = quote(name.as_bytes());
                return Err(format!("time: unknown unit {name} in duration {quoted}"));
            }
        };
        let whole = if whole.is_empty() { Some(0) } else { whole.parse::<u64>().ok() };
        let value = whole.and_then(|whole| whole.checked_mul(unit)).ok_or_else(invalid)?;
        let fraction = format!("0.{fraction}0").parse::<f64>().unwrap_or_default() * unit as f64;
        total = value
            .checked_add(fraction as u64)
            .and_then(|value| total.checked_add(value))
            .filter(|total| *total <= 1 << 63)
            .ok_or_else(invalid)?;
        rest = after;
    }
    match i64::try_from(total) {
        Ok(total) if is_negative => Ok(-total),
        Ok(total) => Ok(total),
        Err(_) if is_negative => Ok(i64::MIN),
        Err(_) => Err(invalid()),
    }
}

pub(crate) fn add(table: &mut Table) {
    table.add("mustToDuration", &[ANY], DURATION, |call| {
        Ok(Value::object(Duration(as_duration(call.value(0))?)))
    });
    // What is no duration counts as none.
    for (name, seconds, divisor) in [
        ("durationSeconds", 1, 1.0),
        ("durationMinutes", 60, 1.0),
        ("durationHours", 3600, 1.0),
        ("durationDays", 3600, 24.0),
        ("durationWeeks", 3600, 24.0 * 7.0),
    ] {
        table.add(name, &[ANY], Type::Float64, move |call| {
            let value = as_duration(call.value(0)).unwrap_or_default();
            let value = in_units(value, seconds);
            Ok(if divisor > 24.0 { value / 24.0 / 7.0 } else { value / divisor }.into())
        });
    }
    for (name, unit) in
        [("durationMilliseconds", 1_000_000), ("durationMicroseconds", 1000), ("durationNanoseconds", 1)]
    {
        table.add(name, &[ANY], Type::Int64, move |call| {
            Ok(Value::Int64(as_duration(call.value(0)).unwrap_or_default() / unit))
        });
    }
    for (name, to) in [("durationRoundTo", round as fn(i64, i64) -> i64), ("durationTruncateTo", truncate)] {
        table.add(name, &[ANY, ANY], DURATION, move |call| {
            let value = as_duration(call.value(0)).unwrap_or_default();
            let multiple = as_duration(call.value(1)).unwrap_or_default();
            Ok(Value::object(Duration(to(value, multiple))))
        });
    }
}

/// Helm's `asDuration`: a duration, its text, or seconds.
fn as_duration(value: &Value) -> Result<i64, Error> {
    let of_integer = |seconds: i128| {
        let nanoseconds = i64::try_from(seconds * i128::from(NANOSECONDS));
        nanoseconds.map_err(|_| Error::from(format!("duration seconds overflow: {seconds}")))
    };
    match (value, value.underlying()) {
        (Value::Object(object), Value::Int64(nanoseconds)) if object.go_type() == "time.Duration" => {
            Ok(nanoseconds)
        }
        (Value::String(text), _) => {
            let trimmed = text.trim_ascii();
            if trimmed.is_empty() {
                return Err("empty duration".into());
            }
            let number = || std::str::from_utf8(trimmed).ok().and_then(strconv::parse_float);
            match (parse(trimmed), number()) {
                (Ok(nanoseconds), _) => Ok(nanoseconds),
                (Err(_), Some(seconds)) => of_float(seconds),
                (Err(_), None) => Err(format!("could not parse duration {}", strconv::quote(text)).into()),
            }
        }
        (Value::Nil, _) => Err("invalid duration".into()),
        (_, Value::Int(seconds) | Value::Int64(seconds)) => of_integer(seconds.into()),
        (_, Value::Uint8(seconds)) => of_integer(seconds.into()),
        (_, Value::Uint64(seconds)) => of_integer(seconds.into()),
        (_, Value::Float64(seconds)) => of_float(seconds),
        (value, _) => {
            let name = value.go_type().unwrap_or(ANY);
            Err(format!("unsupported duration type {name}").into())
        }
    }
}

fn of_float(seconds: f64) -> Result<i64, Error> {
    let name = |value: f64| strconv::format_float(value, 'g', None);
    if !seconds.is_finite() {
        return Err(format!("invalid duration seconds: {}", name(seconds)).into());
    }
    let nanoseconds = seconds * NANOSECONDS as f64;
    if nanoseconds.abs() > 2_f64.powi(63) {
        return Err(format!("duration seconds overflow: {}", name(seconds)).into());
    }
    Ok(nanoseconds as i64)
}
