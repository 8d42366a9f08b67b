//! Dates. The local zone is UTC.

use std::sync::Arc;

use gotemplate::Value;
use gotemplate::value::Type;

use crate::call::{Call, Table};
use crate::duration::{self, NANOSECONDS};
use crate::host::Host;
use crate::layout;
use crate::time::{TIME, Time};

const ANY: Type = Type::Any;
const TEXT: Type = Type::String;

pub(crate) fn add(table: &mut Table, host: &Arc<dyn Host>) {
    let clock = host.clone();
    table.add("now", &[], TIME, move |_| Ok(Value::object(now(&*clock))));

    let clock = host.clone();
    table.add("date", &[TEXT, ANY], TEXT, move |call| shown(call, &*clock, call.text(0), 1, b"UTC"));
    for name in ["dateInZone", "date_in_zone"] {
        let clock = host.clone();
        table.add(name, &[TEXT, ANY, TEXT], TEXT, move |call| {
            shown(call, &*clock, call.text(0), 1, call.text(2))
        });
    }
    let clock = host.clone();
    table.add("htmlDate", &[ANY], TEXT, move |call| shown(call, &*clock, b"2006-01-02", 0, b"UTC"));
    let clock = host.clone();
    table.add("htmlDateInZone", &[ANY, TEXT], TEXT, move |call| {
        shown(call, &*clock, b"2006-01-02", 0, call.text(1))
    });

    for name in ["dateModify", "date_modify"] {
        table.add(name, &[TEXT, TIME], TIME, |call| {
            Ok(Value::object(time(call, 1).later(duration::parse(call.text(0)).unwrap_or_default())))
        });
    }
    for name in ["mustDateModify", "must_date_modify"] {
        table.add(name, &[TEXT, TIME], TIME, |call| {
            Ok(Value::object(time(call, 1).later(duration::parse(call.text(0))?)))
        });
    }
    table.add("toDate", &[TEXT, TEXT], TIME, |call| {
        step_for(call, call.text(0), call.text(1))?;
        let time = layout::parse(call.text(0), call.text(1));
        Ok(Value::object(time.unwrap_or_else(|_| Time::zero())))
    });
    table.add("mustToDate", &[TEXT, TEXT], TIME, |call| {
        step_for(call, call.text(0), call.text(1))?;
        Ok(Value::object(layout::parse(call.text(0), call.text(1))?))
    });
    table.add("unixEpoch", &[TIME], TEXT, |call| call.string(time(call, 0).seconds.to_string()));

    let clock = host.clone();
    table.add("ago", &[ANY], TEXT, move |call| {
        let passed = now(&*clock).since(&instant(call.value(0), &*clock));
        call.string(duration::format(duration::round(passed, NANOSECONDS)))
    });
    table.add("duration", &[ANY], TEXT, |call| {
        let seconds = match call.value(0) {
            Value::String(text) => std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()),
            Value::Int64(seconds) => Some(*seconds),
            _ => None,
        };
        call.string(duration::format(seconds.unwrap_or(0_i64).wrapping_mul(NANOSECONDS)))
    });
    let clock = host.clone();
    table.add("durationRound", &[ANY], TEXT, move |call| {
        let nanoseconds = match call.value(0) {
            Value::String(text) => duration::parse(text).unwrap_or_default(),
            Value::Int64(nanoseconds) => *nanoseconds,
            value => Time::of(value).map_or(0, |time| now(&*clock).since(time)),
        };
        call.string(rounded(nanoseconds))
    });
}

fn now(host: &dyn Host) -> Time {
    let (seconds, nanoseconds) = host.now();
    Time::unix(seconds, nanoseconds.into())
}

fn time<'a>(call: &Call<'a>, index: usize) -> std::borrow::Cow<'a, Time> {
    match Time::of(call.value(index)) {
        Some(time) => std::borrow::Cow::Borrowed(time),
        None => std::borrow::Cow::Owned(Time::zero()),
    }
}

/// A time, or seconds since 1970; anything else means now.
fn instant(value: &Value, host: &dyn Host) -> Time {
    match value {
        Value::Int(seconds) | Value::Int64(seconds) => Time::unix(*seconds, 0),
        value => Time::of(value).cloned().unwrap_or_else(|| now(host)),
    }
}

/// A layout is read word by word, each of which is looked for in the text.
fn step_for(call: &Call<'_>, layout: &[u8], text: &[u8]) -> Result<(), gotemplate::Error> {
    call.context.step(layout.len().saturating_add(text.len()))
}

fn shown(call: &Call<'_>, host: &dyn Host, layout: &[u8], date: usize, zone: &[u8]) -> crate::call::Outcome {
    // An element is at most so many times longer than what stands for it.
    call.context.step(layout.len())?;
    let zone = std::str::from_utf8(zone).unwrap_or_default();
    call.string(instant(call.value(date), host).in_zone(zone).format(layout))
}

/// In the largest unit of which there is more than one.
fn rounded(nanoseconds: i64) -> String {
    let seconds = nanoseconds.unsigned_abs();
    let second = NANOSECONDS.unsigned_abs();
    let units = [(86_400 * 365, "y"), (86_400 * 30, "mo"), (86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let found = units.iter().find(|(unit, _)| seconds > unit * second);
    found.map_or_else(|| "0s".to_owned(), |(unit, name)| format!("{}{name}", seconds / (unit * second)))
}
