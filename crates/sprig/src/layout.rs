//! Go's layouts of times: the reference time `Mon Jan 2 15:04:05 MST 2006`, written as one wants others to be.

mod parse;

use std::io::Write;

pub(crate) use parse::parse;

use crate::time::{DAYS, MONTHS, Time};

/// How a number is filled up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fill {
    Nothing,
    Zero,
    Space,
}

/// What stands for a part of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Element {
    Month(Fill),
    MonthName {
        is_long: bool,
    },
    Day(Fill),
    DayName {
        is_long: bool,
    },
    YearDay(Fill),
    Hour,
    /// Of twelve.
    HalfHour(Fill),
    Minute(Fill),
    Second(Fill),
    Year {
        is_long: bool,
    },
    /// `PM`
    Half {
        is_upper: bool,
    },
    ZoneName,
    Offset {
        is_z: bool,
        has_colons: bool,
        parts: usize,
    },
    /// `.000` or `.999`, with how many digits.
    Fraction {
        digits: usize,
        trims: bool,
        comma: bool,
    },
}

/// What each text stands for. Of two with the same beginning the first that fits counts.
const ELEMENTS: [(&str, Element); 37] = [
    ("January", Element::MonthName { is_long: true }),
    ("Jan", Element::MonthName { is_long: false }),
    ("Monday", Element::DayName { is_long: true }),
    ("Mon", Element::DayName { is_long: false }),
    ("MST", Element::ZoneName),
    ("002", Element::YearDay(Fill::Zero)),
    ("01", Element::Month(Fill::Zero)),
    ("02", Element::Day(Fill::Zero)),
    ("03", Element::HalfHour(Fill::Zero)),
    ("04", Element::Minute(Fill::Zero)),
    ("05", Element::Second(Fill::Zero)),
    ("06", Element::Year { is_long: false }),
    ("15", Element::Hour),
    ("1", Element::Month(Fill::Nothing)),
    ("2006", Element::Year { is_long: true }),
    ("2", Element::Day(Fill::Nothing)),
    ("__2", Element::YearDay(Fill::Space)),
    ("_2", Element::Day(Fill::Space)),
    ("3", Element::HalfHour(Fill::Nothing)),
    ("4", Element::Minute(Fill::Nothing)),
    ("5", Element::Second(Fill::Nothing)),
    ("PM", Element::Half { is_upper: true }),
    ("pm", Element::Half { is_upper: false }),
    ("-070000", Element::Offset { is_z: false, has_colons: false, parts: 3 }),
    ("-07:00:00", Element::Offset { is_z: false, has_colons: true, parts: 3 }),
    ("-0700", Element::Offset { is_z: false, has_colons: false, parts: 2 }),
    ("-07:00", Element::Offset { is_z: false, has_colons: true, parts: 2 }),
    ("-07", Element::Offset { is_z: false, has_colons: false, parts: 1 }),
    ("Z070000", Element::Offset { is_z: true, has_colons: false, parts: 3 }),
    ("Z07:00:00", Element::Offset { is_z: true, has_colons: true, parts: 3 }),
    ("Z0700", Element::Offset { is_z: true, has_colons: false, parts: 2 }),
    ("Z07:00", Element::Offset { is_z: true, has_colons: true, parts: 2 }),
    ("Z07", Element::Offset { is_z: true, has_colons: false, parts: 1 }),
    // Fractions, of which the digits are counted.
    (".0", Element::Fraction { digits: 0, trims: false, comma: false }),
    (",0", Element::Fraction { digits: 0, trims: false, comma: true }),
    (".9", Element::Fraction { digits: 0, trims: true, comma: false }),
    (",9", Element::Fraction { digits: 0, trims: true, comma: true }),
];

/// An element, and the text that stands for it.
type Found<'l> = (Element, &'l [u8]);

/// The text before the first element, the element with its text, and what follows.
fn next_element(layout: &[u8]) -> (&[u8], Option<Found<'_>>, &[u8]) {
    let part = |from: usize, to: usize| layout.get(from..to).unwrap_or_default();
    for at in 0..layout.len() {
        let rest = part(at, layout.len());
        // `_2006` is a `_` and a year.
        if rest.starts_with(b"_2006") {
            return (
                part(0, at + 1),
                Some((Element::Year { is_long: true }, part(at + 1, at + 5))),
                part(at + 5, layout.len()),
            );
        }
        for (text, element) in ELEMENTS {
            let Some(after) = rest.strip_prefix(text.as_bytes()) else { continue };
            let (mut element, mut length) = (element, text.len());
            match &mut element {
                Element::MonthName { is_long: false } | Element::DayName { is_long: false }
                    if after.first().is_some_and(u8::is_ascii_lowercase) =>
                {
                    continue;
                }
                Element::Fraction { digits, .. } => {
                    let digit = text.as_bytes().get(1).copied().unwrap_or_default();
                    *digits = 1 + after.iter().take_while(|byte| **byte == digit).count();
                    length = 1 + *digits;
                    if rest.get(length).is_some_and(u8::is_ascii_digit) {
                        continue;
                    }
                }
                _ => {}
            }
            return (part(0, at), Some((element, part(at, at + length))), part(at + length, layout.len()));
        }
    }
    (layout, None, &[])
}

/// A time in a layout.
pub(crate) fn format(time: &Time, layout: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = layout;
    loop {
        let (before, element, after) = next_element(rest);
        out.extend_from_slice(before);
        let Some((element, _)) = element else { return out };
        put(time, element, &mut out);
        rest = after;
    }
}

fn put(time: &Time, element: Element, out: &mut Vec<u8>) {
    let civil = time.civil();
    let name = |names: &[&'static str], index: i64, is_long: bool| {
        let name =
            usize::try_from(index).ok().and_then(|index| names.get(index)).copied().unwrap_or_default();
        if is_long { name } else { name.get(..3).unwrap_or_default() }
    };
    // Writing to memory cannot fail.
    let _ = match element {
        Element::Month(fill) => number(out, civil.month, fill, 2),
        Element::MonthName { is_long } => write!(out, "{}", name(&MONTHS, civil.month - 1, is_long)),
        Element::Day(fill) => number(out, civil.day, fill, 2),
        Element::DayName { is_long } => {
            write!(out, "{}", name(&DAYS, i64::try_from(civil.weekday).unwrap_or_default(), is_long))
        }
        Element::YearDay(fill) => number(out, civil.year_day, fill, 3),
        Element::Hour => number(out, civil.hour, Fill::Zero, 2),
        Element::HalfHour(fill) => number(out, (civil.hour + 11) % 12 + 1, fill, 2),
        Element::Minute(fill) => number(out, civil.minute, fill, 2),
        Element::Second(fill) => number(out, civil.second, fill, 2),
        Element::Year { is_long: true } if civil.year < 0 => write!(out, "-{:04}", -civil.year),
        Element::Year { is_long: true } => number(out, civil.year, Fill::Zero, 4),
        Element::Year { is_long: false } => number(out, civil.year.max(0) % 100, Fill::Zero, 2),
        Element::Half { is_upper } => {
            let text = if civil.hour < 12 { "am" } else { "pm" };
            write!(out, "{}", if is_upper { text.to_uppercase() } else { text.to_owned() })
        }
        Element::ZoneName if time.zone.is_empty() => offset(out, time.offset, false, 2),
        Element::ZoneName => write!(out, "{}", time.zone),
        Element::Offset { is_z: true, .. } if time.offset == 0 => write!(out, "Z"),
        Element::Offset { has_colons, parts, .. } => offset(out, time.offset, has_colons, parts),
        Element::Fraction { digits, trims, comma } => {
            let all = format!("{:09}", time.nanoseconds);
            let shown = all.get(..digits.min(9)).unwrap_or_default();
            let shown = if trims { shown.trim_end_matches('0') } else { shown };
            match shown.is_empty() {
                true => Ok(()),
                false => write!(out, "{}{shown}", if comma { ',' } else { '.' }),
            }
        }
    };
}

fn number(out: &mut Vec<u8>, value: i64, fill: Fill, width: usize) -> std::io::Result<()> {
    match fill {
        Fill::Nothing => write!(out, "{value}"),
        Fill::Zero => write!(out, "{value:0width$}"),
        Fill::Space => write!(out, "{value:width$}"),
    }
}

fn offset(out: &mut Vec<u8>, offset: i64, has_colons: bool, parts: usize) -> std::io::Result<()> {
    let colon = if has_colons { ":" } else { "" };
    let magnitude = offset.abs();
    write!(out, "{}{:02}", if offset < 0 { '-' } else { '+' }, magnitude / 3600)?;
    if parts > 1 {
        write!(out, "{colon}{:02}", magnitude / 60 % 60)?;
    }
    if parts > 2 {
        write!(out, "{colon}{:02}", magnitude % 60)?;
    }
    Ok(())
}
