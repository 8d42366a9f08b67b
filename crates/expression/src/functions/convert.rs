//! Conversions between types, and base64.

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::{SignedDuration, Timestamp};

use super::{Gives, Overload, giving, global, mismatch};
use crate::{
    evaluate::{Failure, Meter, Outcome},
    value::{
        Type::{self, Bool, Bytes, Double, Duration, Dyn, Int, String as Text, Timestamp as Time, Uint},
        Value,
    },
};

pub(super) fn named(name: &str) -> Option<&'static [Overload]> {
    Some(match name {
        "int" => {
            const {
                &[
                    global(&[Int], Int, int),
                    global(&[Uint], Int, int),
                    global(&[Double], Int, int),
                    global(&[Text], Int, int),
                    global(&[Time], Int, int),
                ]
            }
        }
        "uint" => {
            const {
                &[
                    global(&[Uint], Uint, uint),
                    global(&[Int], Uint, uint),
                    global(&[Double], Uint, uint),
                    global(&[Text], Uint, uint),
                ]
            }
        }
        "double" => {
            const {
                &[
                    global(&[Double], Double, double),
                    global(&[Int], Double, double),
                    global(&[Uint], Double, double),
                    global(&[Text], Double, double),
                ]
            }
        }
        "string" => {
            const {
                &[
                    global(&[Text], Text, string),
                    global(&[Int], Text, string),
                    global(&[Uint], Text, string),
                    global(&[Double], Text, string),
                    global(&[Bool], Text, string),
                    global(&[Bytes], Text, string),
                    global(&[Time], Text, string),
                    global(&[Duration], Text, string),
                ]
            }
        }
        "bool" => const { &[global(&[Bool], Bool, bool), global(&[Text], Bool, bool)] },
        "bytes" => const { &[global(&[Bytes], Bytes, bytes), global(&[Text], Bytes, bytes)] },
        "timestamp" => {
            const {
                &[
                    global(&[Time], Time, timestamp),
                    global(&[Text], Time, timestamp),
                    global(&[Int], Time, timestamp),
                ]
            }
        }
        "duration" => {
            const { &[global(&[Duration], Duration, duration), global(&[Text], Duration, duration)] }
        }
        "dyn" => const { &[giving(global(&[Dyn], Dyn, dynamic), Gives::Is(Dyn))] },
        "type" => const { &[global(&[Dyn], Type::Type, type_of)] },
        "base64.encode" => const { &[global(&[Bytes], Text, encode)] },
        "base64.decode" => const { &[global(&[Text], Bytes, decode)] },
        _ => return None,
    })
}

fn range() -> Failure {
    Failure::error("range error")
}

fn parsed<T: std::str::FromStr>(meter: &mut Meter, text: &str) -> Result<T, Failure> {
    meter.text(text.len())?;
    text.parse().map_err(|_| Failure::error("type conversion error"))
}

#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
fn int<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    // The least double that is no i64 any more.
    const END: f64 = 9_223_372_036_854_775_808.0;
    Ok(Value::Int(match values {
        [Value::Int(n)] => *n,
        [Value::Uint(n)] => i64::try_from(*n).map_err(|_| range())?,
        [Value::Double(n)] if *n > -END && *n < END => *n as i64,
        [Value::Double(_)] => return Err(range()),
        [Value::String(text)] => parsed(meter, text)?,
        [Value::Timestamp(t)] => t.as_second(),
        _ => return mismatch(),
    }))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
fn uint<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    // The least double that is no u64 any more.
    const END: f64 = 18_446_744_073_709_551_616.0;
    Ok(Value::Uint(match values {
        [Value::Uint(n)] => *n,
        [Value::Int(n)] => u64::try_from(*n).map_err(|_| range())?,
        [Value::Double(n)] if *n >= 0.0 && *n < END => *n as u64,
        [Value::Double(_)] => return Err(range()),
        [Value::String(text)] => parsed(meter, text)?,
        _ => return mismatch(),
    }))
}

#[expect(clippy::cast_precision_loss, reason = "that is what the conversion does")]
fn double<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Double(match values {
        [Value::Double(n)] => *n,
        [Value::Int(n)] => *n as f64,
        [Value::Uint(n)] => *n as f64,
        [Value::String(text)] => parsed(meter, text)?,
        _ => return mismatch(),
    }))
}

fn string<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(match values {
        [text @ Value::String(_)] => text.clone(),
        [Value::Int(n)] => Value::text(n.to_string()),
        [Value::Uint(n)] => Value::text(n.to_string()),
        [Value::Double(n)] => Value::text(n.to_string()),
        [Value::Bool(b)] => Value::text(b.to_string()),
        [Value::Timestamp(t)] => Value::text(t.to_string()),
        [Value::Duration(d)] => Value::text(seconds(*d)),
        [Value::Bytes(bytes)] => {
            meter.text(bytes.len())?;
            let text = std::str::from_utf8(bytes);
            Value::text(text.map_err(|_| Failure::error("invalid UTF-8 in bytes, cannot convert to string"))?)
        }
        _ => return mismatch(),
    })
}

/// A duration as CEL writes it: seconds with a fraction.
fn seconds(duration: SignedDuration) -> String {
    let nanoseconds = duration.subsec_nanos().unsigned_abs();
    let sign = if duration.is_negative() { "-" } else { "" };
    let whole = duration.as_secs().unsigned_abs();
    if nanoseconds == 0 {
        return format!("{sign}{whole}s");
    }
    let fraction = format!("{nanoseconds:09}");
    format!("{sign}{whole}.{}s", fraction.trim_end_matches('0'))
}

fn bool<'a>(_: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Bool(match values {
        [Value::Bool(b)] => *b,
        [Value::String(text)] => match &**text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
            "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
            _ => return Err(Failure::error("type conversion error")),
        },
        _ => return mismatch(),
    }))
}

fn bytes<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(match values {
        [bytes @ Value::Bytes(_)] => bytes.clone(),
        [Value::String(text)] => {
            meter.text(text.len())?;
            Value::Bytes(text.as_bytes().into())
        }
        _ => return mismatch(),
    })
}

fn timestamp<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Timestamp(match values {
        [Value::Timestamp(t)] => *t,
        [Value::String(text)] => parsed(meter, text)?,
        [Value::Int(second)] => Timestamp::from_second(*second).map_err(|_| range())?,
        _ => return mismatch(),
    }))
}

fn duration<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Duration(match values {
        [Value::Duration(d)] => *d,
        [Value::String(text)] => parsed(meter, text)?,
        _ => return mismatch(),
    }))
}

fn dynamic<'a>(_: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    values.first().cloned().map_or_else(mismatch, Ok)
}

fn type_of<'a>(_: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    values.first().map_or_else(mismatch, |value| Ok(Value::Type(value.kind())))
}

fn encode<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::Bytes(bytes)] = values else { return mismatch() };
    meter.text(2 * bytes.len())?;
    Ok(Value::text(STANDARD.encode(bytes)))
}

fn decode<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::String(text)] = values else { return mismatch() };
    meter.text(text.len())?;
    let decoded = STANDARD.decode(text.as_bytes());
    // Padding may be left out.
    let decoded =
        decoded.or_else(|_| base64::engine::general_purpose::STANDARD_NO_PAD.decode(text.as_bytes()));
    decoded.map(|bytes| Value::Bytes(bytes.into())).map_err(|_| Failure::error("invalid base64"))
}
