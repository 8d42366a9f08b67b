//! Parts of points in time, all in UTC, and of durations.

use jiff::tz::TimeZone;

use super::{Overload, member, mismatch};
use crate::{
    evaluate::Outcome,
    value::{
        Type::{Duration, Int, Timestamp},
        Value,
    },
};

pub(super) fn named(name: &str) -> Option<&'static [Overload]> {
    Some(match name {
        "getFullYear" => const { &[member(&[Timestamp], Int, |_, v| part(v, |t| t.year().into()))] },
        "getMonth" => const { &[member(&[Timestamp], Int, |_, v| part(v, |t| i64::from(t.month()) - 1))] },
        "getDate" => const { &[member(&[Timestamp], Int, |_, v| part(v, |t| t.day().into()))] },
        "getDayOfMonth" => const { &[member(&[Timestamp], Int, |_, v| part(v, |t| i64::from(t.day()) - 1))] },
        "getDayOfYear" => {
            const { &[member(&[Timestamp], Int, |_, v| part(v, |t| i64::from(t.day_of_year()) - 1))] }
        }
        "getDayOfWeek" => {
            const { &[member(&[Timestamp], Int, |_, v| part(v, |t| t.weekday().to_sunday_zero_offset().into()))] }
        }
        "getHours" => {
            const {
                &[
                    member(&[Timestamp], Int, |_, v| part(v, |t| t.hour().into())),
                    member(&[Duration], Int, |_, v| whole(v, |ms| ms / 3_600_000)),
                ]
            }
        }
        "getMinutes" => {
            const {
                &[
                    member(&[Timestamp], Int, |_, v| part(v, |t| t.minute().into())),
                    member(&[Duration], Int, |_, v| whole(v, |ms| ms / 60_000)),
                ]
            }
        }
        "getSeconds" => {
            const {
                &[
                    member(&[Timestamp], Int, |_, v| part(v, |t| t.second().into())),
                    member(&[Duration], Int, |_, v| whole(v, |ms| ms / 1000)),
                ]
            }
        }
        "getMilliseconds" => {
            const {
                &[
                    member(&[Timestamp], Int, |_, v| part(v, |t| t.millisecond().into())),
                    member(&[Duration], Int, |_, v| whole(v, |ms| ms % 1000)),
                ]
            }
        }
        _ => return None,
    })
}

fn part<'a>(values: &[Value<'a>], part: fn(&jiff::Zoned) -> i64) -> Outcome<'a> {
    let [Value::Timestamp(t)] = values else { return mismatch() };
    Ok(Value::Int(part(&t.to_zoned(TimeZone::UTC))))
}

fn whole<'a>(values: &[Value<'a>], part: fn(i128) -> i128) -> Outcome<'a> {
    let [Value::Duration(d)] = values else { return mismatch() };
    Ok(Value::Int(i64::try_from(part(d.as_millis())).unwrap_or(i64::MAX)))
}
