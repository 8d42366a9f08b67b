//! Go's `time.Time`: an instant and the zone that it is shown in.

use gotemplate::value::{Object, Text, Type};
use gotemplate::{Error, Function, Value};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::duration::{self, Duration, NANOSECONDS};
use crate::layout;

/// Go's `time.RFC3339Nano`
const RFC_3339: &[u8] = b"2006-01-02T15:04:05.999999999Z07:00";

/// The type of [`Time`] as a parameter.
pub(crate) const TIME: Type = Type::Named("time.Time");

/// The seconds from the year 1, where Go's zero is, to the year 1970.
const ZERO: i64 = -62_135_596_800;

const SECONDS_PER_DAY: i64 = 86_400;

pub(crate) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

pub(crate) const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// An instant, with the offset of its zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Time {
    /// Since 1970.
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: i64,
    /// Seconds east of UTC.
    pub(crate) offset: i64,
    /// Such as `CET`; empty if the zone has none.
    pub(crate) zone: String,
}

/// A day of the calendar and a time of the day.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Civil {
    pub(crate) year: i64,
    /// From 1.
    pub(crate) month: i64,
    pub(crate) day: i64,
    pub(crate) hour: i64,
    pub(crate) minute: i64,
    pub(crate) second: i64,
    /// From 0 for Sunday.
    pub(crate) weekday: usize,
    /// From 1.
    pub(crate) year_day: i64,
}

/// The days from 1970 to a day; months and days may be out of their ranges.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let months = year.saturating_mul(12).saturating_add(month - 1);
    // A year begins in March here, so that the leap day is its last.
    let shifted = months.saturating_sub(2);
    let (year, month) = (shifted.div_euclid(12), shifted.rem_euclid(12));
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era.saturating_mul(146_097).saturating_add(day_of_era - 719_468).saturating_add(day - 1)
}

/// Year, month and day of the days since 1970.
fn day_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (year_of_era + era * 400 + carry, month, day)
}

impl Time {
    /// In UTC.
    pub(crate) fn unix(seconds: i64, nanoseconds: i64) -> Self {
        Self { seconds, nanoseconds, offset: 0, zone: "UTC".to_owned() }
    }

    /// Go's zero.
    pub(crate) fn zero() -> Self {
        Self::unix(ZERO, 0)
    }

    /// What a calendar and a clock show in a zone. Whatever is out of its range carries over.
    pub(crate) fn of_civil(civil: &Civil, nanoseconds: i64, offset: i64, zone: &str) -> Self {
        let days = days_of(civil.year, civil.month, civil.day);
        let seconds = civil.hour * 3600 + civil.minute * 60 + civil.second - offset;
        let seconds = days.saturating_mul(SECONDS_PER_DAY).saturating_add(seconds);
        Self { seconds, nanoseconds, offset, zone: zone.to_owned() }
    }

    pub(crate) fn civil(&self) -> Civil {
        let local = self.seconds.saturating_add(self.offset);
        let (days, seconds) = (local.div_euclid(SECONDS_PER_DAY), local.rem_euclid(SECONDS_PER_DAY));
        let (year, month, day) = day_of(days);
        Civil {
            year,
            month,
            day,
            hour: seconds / 3600,
            minute: seconds / 60 % 60,
            second: seconds % 60,
            weekday: usize::try_from((days + 4).rem_euclid(7)).unwrap_or_default(),
            year_day: days - days_of(year, 1, 1) + 1,
        }
    }

    /// In a zone of the IANA's database, by its exact name. Any other name means UTC, and so does the local zone: what is rendered
    /// must not depend on the machine.
    pub(crate) fn in_zone(&self, name: &str) -> Self {
        let found = TimeZone::get(name).ok().filter(|zone| zone.iana_name() == Some(name));
        match found.zip(Timestamp::from_second(self.seconds).ok()) {
            None => Self::unix(self.seconds, self.nanoseconds),
            Some((zone, instant)) => {
                let info = zone.to_offset_info(instant);
                Self {
                    offset: info.offset().seconds().into(),
                    zone: info.abbreviation().to_owned(),
                    ..self.clone()
                }
            }
        }
    }

    pub(crate) fn format(&self, layout: &[u8]) -> Vec<u8> {
        layout::format(self, layout)
    }

    /// As JSON, TOML and YAML have it.
    pub(crate) fn rfc3339(&self) -> Vec<u8> {
        self.format(RFC_3339)
    }

    /// So many nanoseconds later.
    pub(crate) fn later(&self, by: i64) -> Self {
        let nanoseconds = self.nanoseconds + by % NANOSECONDS;
        Self {
            seconds: self
                .seconds
                .saturating_add(by / NANOSECONDS)
                .saturating_add(nanoseconds.div_euclid(NANOSECONDS)),
            nanoseconds: nanoseconds.rem_euclid(NANOSECONDS),
            ..self.clone()
        }
    }

    /// The nanoseconds since another, at most as many as a duration has.
    pub(crate) fn since(&self, other: &Self) -> i64 {
        let seconds = i128::from(self.seconds) - i128::from(other.seconds);
        let difference = seconds * i128::from(NANOSECONDS) + i128::from(self.nanoseconds - other.nanoseconds);
        i64::try_from(difference).unwrap_or(if difference < 0 { i64::MIN } else { i64::MAX })
    }

    /// The time that a value is.
    pub(crate) fn of(value: &Value) -> Option<&Self> {
        value.downcast()
    }

    fn instant(&self) -> (i64, i64) {
        (self.seconds, self.nanoseconds)
    }
}

/// As Go's package `time` quotes: each byte that is not printable ASCII is escaped.
pub(crate) fn quote(text: &[u8]) -> String {
    let mut quoted = String::from('"');
    for byte in text {
        match byte {
            b'"' | b'\\' => quoted.extend(['\\', char::from(*byte)]),
            b' '..=0x7f => quoted.push(char::from(*byte)),
            byte => quoted.push_str(&format!("\\x{byte:02x}")),
        }
    }
    quoted.push('"');
    quoted
}

/// A method without parameters that always gives a value.
fn constant(value: Value) -> Function {
    let result = value.go_type().unwrap_or(Type::Any);
    Function::new(&[], result, move |_, _| Ok(value.clone()))
}

fn time_argument(values: &[Value]) -> Result<&Time, Error> {
    values.first().and_then(Time::of).ok_or_else(|| "a time is missing".into())
}

impl Object for Time {
    fn go_type(&self) -> &'static str {
        "time.Time"
    }

    /// Go shares the local zone, and those without a name whose offsets are whole hours. Another one is made anew each time that it is
    /// read, and differs from all others.
    fn equals(&self, other: &Value) -> bool {
        let is_local = self.zone == "UTC" && self.offset == 0;
        let is_shared = self.zone.is_empty()
            && self.offset % 3600 == 0
            && (-12 * 3600..=14 * 3600).contains(&self.offset);
        (is_local || is_shared) && Self::of(other) == Some(self)
    }

    fn text(&self) -> Option<Text> {
        let nanoseconds: &[u8] = if self.nanoseconds == 0 { b"" } else { b".999999999" };
        let layout = [b"2006-01-02 15:04:05", nanoseconds, b" -0700 MST"].concat();
        Some(self.format(&layout).into())
    }

    fn method(&self, name: &str) -> Option<Function> {
        let civil = self.civil();
        let int = |value: i64| constant(Value::Int(value));
        let compare = |test: fn((i64, i64), (i64, i64)) -> bool| {
            let own = self.instant();
            Function::new(&[TIME], Type::Bool, move |_, values| {
                Ok(test(own, time_argument(values)?.instant()).into())
            })
        };
        let time = self.clone();
        Some(match name {
            "Year" => int(civil.year),
            "Month" => constant(Value::object(Named { go_type: "time.Month", number: civil.month })),
            "Day" => int(civil.day),
            "Hour" => int(civil.hour),
            "Minute" => int(civil.minute),
            "Second" => int(civil.second),
            "Nanosecond" => int(self.nanoseconds),
            "YearDay" => int(civil.year_day),
            "Weekday" => {
                let number = i64::try_from(civil.weekday).unwrap_or_default();
                constant(Value::object(Named { go_type: "time.Weekday", number }))
            }
            "Unix" => constant(Value::Int64(self.seconds)),
            "UnixMilli" => {
                let milliseconds = self.seconds.wrapping_mul(1000).wrapping_add(self.nanoseconds / 1_000_000);
                constant(Value::Int64(milliseconds))
            }
            "UnixNano" => {
                constant(Value::Int64(self.seconds.wrapping_mul(NANOSECONDS).wrapping_add(self.nanoseconds)))
            }
            "IsZero" => constant((self.instant() == (ZERO, 0)).into()),
            "String" => constant(Value::String(self.text().unwrap_or_default())),
            "UTC" | "Local" => constant(Value::object(Self::unix(self.seconds, self.nanoseconds))),
            "Format" => Function::new(&[Type::String], Type::String, move |context, values| {
                let Some(Value::String(layout)) = values.first() else { return Ok("".into()) };
                let text = time.format(layout);
                context.charge(text.len())?;
                Ok(Value::String(text.into()))
            }),
            "Add" => Function::new(&[Type::Any], TIME, move |_, values| {
                Ok(Value::object(time.later(values.first().map_or(0, duration::nanoseconds))))
            }),
            "AddDate" => Function::new(&[Type::Int; 3], TIME, move |_, values| {
                let [Value::Int(years), Value::Int(months), Value::Int(days)] = *values else {
                    return Ok(Value::Nil);
                };
                // What calendars have no room for is as good as any other wrong result.
                let clamp = |value: i64| value.clamp(-1_000_000, 1_000_000);
                let civil = Civil {
                    year: civil.year + clamp(years),
                    month: civil.month + clamp(months),
                    day: civil.day + clamp(days),
                    ..civil
                };
                Ok(Value::object(Self::of_civil(&civil, time.nanoseconds, time.offset, &time.zone)))
            }),
            "Sub" => Function::new(&[TIME], duration::DURATION, move |_, values| {
                Ok(Value::object(Duration(time.since(time_argument(values)?))))
            }),
            "After" => compare(|own, other| own > other),
            "Before" => compare(|own, other| own < other),
            "Equal" => compare(|own, other| own == other),
            _ => return None,
        })
    }
}

/// A month or a day of the week.
#[derive(Debug)]
struct Named {
    go_type: &'static str,
    number: i64,
}

impl Object for Named {
    fn go_type(&self) -> &'static str {
        self.go_type
    }

    fn underlying(&self) -> Option<Value> {
        Some(Value::Int(self.number))
    }

    fn text(&self) -> Option<Text> {
        let name = match self.go_type {
            "time.Month" => MONTHS.get(usize::try_from(self.number - 1).ok()?),
            _ => DAYS.get(usize::try_from(self.number).ok()?),
        };
        name.map(|name| Text::from(*name))
    }

    fn method(&self, name: &str) -> Option<Function> {
        (name == "String").then(|| constant(Value::String(self.text().unwrap_or_default())))
    }
}
