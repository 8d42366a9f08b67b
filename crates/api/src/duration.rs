//! Durations as Go writes them.

use std::fmt;
use std::time::Duration as StdDuration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

/// A duration field: the text as the user wrote it, judged only when it is used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Duration(pub String);

impl Duration {
    /// The text as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether nothing is written, as in a field that is absent.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads the text by the rules of Go's `time.ParseDuration`.
    ///
    /// # Errors
    /// When the text is no Go duration, is negative, or exceeds 2^63-1 nanoseconds (about 292 years).
    pub fn parse(&self) -> Result<StdDuration, ParseDurationError> {
        parse_go_duration(&self.0)
    }

    /// What the text says, if it is a duration and not zero.
    pub fn positive(&self) -> Option<StdDuration> {
        self.parse().ok().filter(|duration| !duration.is_zero())
    }
}

impl From<&str> for Duration {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<StdDuration> for Duration {
    fn from(duration: StdDuration) -> Self {
        Self(go_duration_string(duration))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Self(text),
            other => Self(other.to_string()),
        })
    }
}

impl JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// Why a text is no duration. The texts are Go's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseDurationError {
    /// Not a sum of numbers with units, or out of range.
    #[error("time: invalid duration {0:?}")]
    Invalid(String),
    /// A number without unit.
    #[error("time: missing unit in duration {0:?}")]
    MissingUnit(String),
    /// A unit other than ns, us, µs, ms, s, m, h.
    #[error("time: unknown unit {unit:?} in duration {text:?}")]
    UnknownUnit {
        /// The unit as written.
        unit: String,
        /// The whole text.
        text: String,
    },
    /// Valid in Go, but no field of the API has a use for it.
    #[error("time: negative duration {0:?}")]
    Negative(String),
}

/// Reads a duration by the rules of Go's `time.ParseDuration`: an optional sign, then `0` or a sum of decimal numbers
/// with units, such as `1h30m`, `1.5h` or `500ms`.
///
/// # Errors
/// As [`Duration::parse`].
pub fn parse_go_duration(text: &str) -> Result<StdDuration, ParseDurationError> {
    let invalid = || ParseDurationError::Invalid(text.to_owned());
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if unsigned.is_empty() {
        return Err(invalid());
    }
    let mut total: u64 = 0;
    let mut rest = if unsigned == "0" { "" } else { unsigned };
    while !rest.is_empty() {
        let (whole, after_whole) = split_digits(rest);
        let (fraction, after_number) = match after_whole.strip_prefix('.') {
            Some(after_point) => split_digits(after_point),
            None => ("", after_whole),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let unit_length =
            after_number.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after_number.len());
        let (unit, after_unit) = after_number.split_at(unit_length);
        if unit.is_empty() {
            return Err(ParseDurationError::MissingUnit(text.to_owned()));
        }
        let scale = nanoseconds_of(unit).ok_or_else(|| ParseDurationError::UnknownUnit {
            unit: unit.to_owned(),
            text: text.to_owned(),
        })?;
        let number = if whole.is_empty() { 0 } else { whole.parse::<u64>().map_err(|_| invalid())? };
        total = number
            .checked_mul(scale)
            .and_then(|nanoseconds| nanoseconds.checked_add(fraction_of(fraction, scale)))
            .and_then(|nanoseconds| nanoseconds.checked_add(total))
            .filter(|nanoseconds| *nanoseconds <= i64::MAX as u64)
            .ok_or_else(invalid)?;
        rest = after_unit;
    }
    if negative && total > 0 {
        return Err(ParseDurationError::Negative(text.to_owned()));
    }
    Ok(StdDuration::from_nanos(total))
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

fn nanoseconds_of(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        // Both the micro sign and the Greek letter.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// The nanoseconds in a decimal fraction of a unit, with Go's rounding (through a float, then truncated). Digits that
/// would overflow are ignored: they are far below a nanosecond.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "as Go does"
)]
fn fraction_of(digits: &str, unit: u64) -> u64 {
    let (mut number, mut scale) = (0u64, 1f64);
    for digit in digits.bytes().map(|byte| u64::from(byte - b'0')) {
        let next =
            number.checked_mul(10).and_then(|n| n.checked_add(digit)).filter(|n| *n <= i64::MAX as u64);
        let Some(next) = next else { break };
        number = next;
        scale *= 10.0;
    }
    (number as f64 * (unit as f64 / scale)) as u64
}

/// Writes a duration as Go's `Duration.String` does: `0s`, `75.190237ms`, `1m30s`, `1h0m0s`, `2.818583s`.
pub fn go_duration_string(duration: StdDuration) -> String {
    let nanoseconds = duration.as_nanos();
    let (unit, digits) = match nanoseconds {
        0 => return "0s".to_owned(),
        1..1_000 => ("ns", 0),
        1_000..1_000_000 => ("\u{b5}s", 3),
        1_000_000..1_000_000_000 => ("ms", 6),
        _ => ("s", 9),
    };
    if nanoseconds < 1_000_000_000 {
        return format!("{}{unit}", decimal(nanoseconds, digits));
    }
    let (minutes, below_minute) = (nanoseconds / 60_000_000_000, nanoseconds % 60_000_000_000);
    let (hours, minutes_of_hour) = (minutes / 60, minutes % 60);
    let seconds = decimal(below_minute, digits);
    match (hours, minutes_of_hour) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// `value / 10^digits` with trailing zeros trimmed.
fn decimal(value: u128, digits: u32) -> String {
    let power = 10u128.pow(digits);
    let (whole, fraction) = (value / power, value % power);
    if fraction == 0 {
        return whole.to_string();
    }
    let fraction = format!("{fraction:0width$}", width = digits as usize);
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn parses_what_go_parses() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("-0", 0),
            ("0s", 0),
            ("5s", 5_000_000_000),
            ("+5s", 5_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1.5h", 5_400_000_000_000),
            (".5s", 500_000_000),
            ("5.s", 5_000_000_000),
            ("500ms", 500_000_000),
            ("1us2\u{b5}s3\u{3bc}s", 6_000),
            ("3h3ns", 10_800_000_000_003),
            ("52763797000ns", 52_763_797_000),
            ("0.3333333333333333333h", 1_200_000_000_000),
            ("0.9223372036854775808h", 3_320_413_933_267),
            ("0.1234567890123456789012345h", 444_444_440_444),
            ("9223372036854775807ns", i64::MAX as u64),
            ("9223372036854775.807us", i64::MAX as u64),
        ] {
            assert_eq!(parse_go_duration(text), Ok(StdDuration::from_nanos(nanoseconds)), "{text}");
        }
    }

    #[test]
    fn refuses_what_go_refuses() {
        for text in [
            "",
            "+",
            "-",
            ".",
            ".s",
            "s",
            " 1s",
            "9223372036854775808ns",
            "3000000h",
            "99999999999999999999s",
        ] {
            assert_eq!(parse_go_duration(text), Err(ParseDurationError::Invalid(text.into())), "{text}");
        }
        for (text, message) in [
            ("3", r#"time: missing unit in duration "3""#),
            ("1.5", r#"time: missing unit in duration "1.5""#),
            ("1d", r#"time: unknown unit "d" in duration "1d""#),
            ("1h-1m", r#"time: unknown unit "h-" in duration "1h-1m""#),
            ("1m ", r#"time: unknown unit "m " in duration "1m ""#),
            ("-1m", r#"time: negative duration "-1m""#),
        ] {
            assert_eq!(parse_go_duration(text).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn durations_are_written_as_go_writes_them() {
        for (nanoseconds, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1\u{b5}s"),
            (2_200_000, "2.2ms"),
            (75_190_237, "75.190237ms"),
            (2_818_583_000, "2.818583s"),
            (60_000_000_000, "1m0s"),
            (90_000_000_000, "1m30s"),
            (600_000_000_000, "10m0s"),
            (3_600_000_000_000, "1h0m0s"),
            (245_000_000_000, "4m5s"),
            (245_001_000_000, "4m5.001s"),
            (18_367_001_000_000, "5h6m7.001s"),
            (480_000_000_001, "8m0.000000001s"),
            (i64::MAX as u64, "2562047h47m16.854775807s"),
        ] {
            let duration = StdDuration::from_nanos(nanoseconds);
            assert_eq!(go_duration_string(duration), text);
            assert_eq!(parse_go_duration(text), Ok(duration));
        }
    }

    #[test]
    fn durations_of_any_text_decode() {
        for (json, text) in
            [(r#""5m""#, "5m"), (r#""soon""#, "soon"), ("5", "5"), ("null", "null"), ("{}", "{}")]
        {
            assert_eq!(serde_json::from_str::<Duration>(json).unwrap().as_str(), text);
        }
    }
}
