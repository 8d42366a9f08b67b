//! Times out of texts: Go's `time.ParseInLocation` in UTC.

use super::{Element, Fill, next_element};
use crate::time::{Civil, DAYS, MONTHS, Time, quote};

/// Why an element does not fit.
enum Misfit {
    /// It is not there.
    Absent,
    /// Its number is out of the range of what it is.
    OutOfRange(&'static str),
}

/// What was read so far.
struct Parser<'t> {
    rest: &'t [u8],
    civil: Civil,
    year_day: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    nanoseconds: i64,
    is_afternoon: bool,
    is_morning: bool,
    offset: Option<i64>,
    zone: Option<String>,
}

/// The time that a text has in a layout.
///
/// # Errors
/// Go's words for what does not fit.
pub(crate) fn parse(layout: &[u8], text: &[u8]) -> Result<Time, String> {
    let mut parser = Parser {
        rest: text,
        civil: Civil::default(),
        year_day: None,
        month: None,
        day: None,
        nanoseconds: 0,
        is_afternoon: false,
        is_morning: false,
        offset: None,
        zone: None,
    };
    let out_of_range = |what: &str| format!("parsing time {}: {what} out of range", quote(text));
    let mut rest = layout;
    loop {
        let (before, element, after) = next_element(rest);
        let mismatch = |found: &[u8], wanted: &[u8]| {
            format!(
                "parsing time {} as {}: cannot parse {} as {}",
                quote(text),
                quote(layout),
                quote(found),
                quote(wanted)
            )
        };
        let start = parser.rest;
        if !parser.skip(before) {
            return Err(mismatch(start, before));
        }
        let Some((element, name)) = element else { break };
        let hold = parser.rest;
        match parser.element(element, after) {
            Ok(()) => rest = after,
            Err(Misfit::Absent) => return Err(mismatch(hold, name)),
            Err(Misfit::OutOfRange(what)) => return Err(out_of_range(what)),
        }
    }
    if !parser.rest.is_empty() {
        return Err(format!("parsing time {}: extra text: {}", quote(text), quote(parser.rest)));
    }
    parser.finish().map_err(out_of_range)
}

impl Parser<'_> {
    /// Text between elements; one space stands for any number.
    fn skip(&mut self, mut prefix: &[u8]) -> bool {
        while let Some(byte) = prefix.first() {
            if *byte == b' ' {
                if self.rest.first().is_some_and(|byte| *byte != b' ') {
                    return false;
                }
                prefix = prefix.trim_ascii_start();
                let spaces = self.rest.iter().take_while(|byte| **byte == b' ').count();
                self.advance(spaces);
                continue;
            }
            if self.rest.first() != Some(byte) {
                return false;
            }
            prefix = prefix.get(1..).unwrap_or_default();
            self.advance(1);
        }
        true
    }

    fn advance(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }

    /// A number of one or two digits, or of exactly two.
    fn two(&mut self, is_fixed: bool) -> Result<i64, Misfit> {
        let digits = self.rest.iter().take(2).take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 || is_fixed && digits < 2 {
            return Err(Misfit::Absent);
        }
        self.digits(digits)
    }

    fn digits(&mut self, count: usize) -> Result<i64, Misfit> {
        let digits = self.rest.get(..count).filter(|digits| digits.iter().all(u8::is_ascii_digit));
        let digits = digits.ok_or(Misfit::Absent)?;
        let value = digits.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
        self.advance(count);
        Ok(value)
    }

    fn ranged(&mut self, fill: Fill, most: i64, what: &'static str) -> Result<i64, Misfit> {
        let value = self.two(fill == Fill::Zero)?;
        if value > most { Err(Misfit::OutOfRange(what)) } else { Ok(value) }
    }

    fn name(&mut self, names: &[&str], is_long: bool) -> Result<i64, Misfit> {
        for (index, name) in names.iter().enumerate() {
            let name = if is_long { name } else { name.get(..3).unwrap_or_default() };
            let found = self.rest.get(..name.len());
            if found.is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes())) {
                self.advance(name.len());
                return Ok(i64::try_from(index).unwrap_or_default());
            }
        }
        Err(Misfit::Absent)
    }

    fn element(&mut self, element: Element, after: &[u8]) -> Result<(), Misfit> {
        match element {
            Element::Year { is_long: true } => self.civil.year = self.digits(4)?,
            Element::Year { is_long: false } => {
                let year = self.digits(2)?;
                self.civil.year = if year >= 69 { year + 1900 } else { year + 2000 };
            }
            Element::MonthName { is_long } => self.month = Some(self.name(&MONTHS, is_long)? + 1),
            Element::Month(fill) => {
                let month = self.two(fill == Fill::Zero)?;
                if !(1..=12).contains(&month) {
                    return Err(Misfit::OutOfRange("month"));
                }
                self.month = Some(month);
            }
            // It says nothing that the date does not say.
            Element::DayName { is_long } => {
                self.name(&DAYS, is_long)?;
            }
            Element::Day(fill) => {
                if fill == Fill::Space && self.rest.first() == Some(&b' ') {
                    self.advance(1);
                }
                self.day = Some(self.two(fill == Fill::Zero)?);
            }
            Element::YearDay(fill) => {
                for _ in 0..2 {
                    if fill == Fill::Space && self.rest.first() == Some(&b' ') {
                        self.advance(1);
                    }
                }
                let digits = self.rest.iter().take(3).take_while(|byte| byte.is_ascii_digit()).count();
                if digits == 0 || fill == Fill::Zero && digits < 3 {
                    return Err(Misfit::Absent);
                }
                self.year_day = Some(self.digits(digits)?);
            }
            Element::Hour => self.civil.hour = self.ranged(Fill::Nothing, 23, "hour")?,
            Element::HalfHour(fill) => self.civil.hour = self.ranged(fill, 12, "hour")?,
            Element::Minute(fill) => self.civil.minute = self.ranged(fill, 59, "minute")?,
            Element::Second(fill) => {
                self.civil.second = self.ranged(fill, 59, "second")?;
                // A fraction may follow that the layout does not have.
                let has_fraction = matches!(self.rest, [b'.' | b',', b'0'..=b'9', ..]);
                let is_expected = matches!(next_element(after), ([], Some((Element::Fraction { .. }, _)), _));
                if has_fraction && !is_expected {
                    self.fraction();
                }
            }
            Element::Half { is_upper } => {
                let half = self.rest.get(..2).ok_or(Misfit::Absent)?;
                match (half, is_upper) {
                    (b"PM", true) | (b"pm", false) => self.is_afternoon = true,
                    (b"AM", true) | (b"am", false) => self.is_morning = true,
                    _ => return Err(Misfit::Absent),
                }
                self.advance(2);
            }
            Element::Offset { is_z, has_colons, parts } => self.read_offset(is_z, has_colons, parts)?,
            Element::ZoneName => self.zone_name()?,
            Element::Fraction { digits, trims: false, .. } => {
                let is_there = matches!(self.rest, [b'.' | b',', ..])
                    && self.rest.iter().skip(1).take(digits).filter(|byte| byte.is_ascii_digit()).count()
                        == digits;
                if !is_there {
                    return Err(Misfit::Absent);
                }
                self.advance(1);
                let text = self.rest.get(..digits).unwrap_or_default();
                self.nanoseconds = nanoseconds(text);
                self.advance(digits);
            }
            Element::Fraction { trims: true, .. } => {
                if matches!(self.rest, [b'.' | b',', b'0'..=b'9', ..]) {
                    self.fraction();
                }
            }
        }
        Ok(())
    }

    fn fraction(&mut self) {
        self.advance(1);
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.nanoseconds = nanoseconds(self.rest.get(..digits).unwrap_or_default());
        self.advance(digits);
    }

    fn read_offset(&mut self, is_z: bool, has_colons: bool, parts: usize) -> Result<(), Misfit> {
        if is_z && self.rest.first() == Some(&b'Z') {
            self.advance(1);
            self.offset = Some(0);
            return Ok(());
        }
        let step = if has_colons { 3 } else { 2 };
        let length = 1 + parts * step - usize::from(has_colons);
        let text = self.rest.get(..length).ok_or(Misfit::Absent)?;
        if has_colons && (1..parts).any(|part| text.get(part * step) != Some(&b':')) {
            return Err(Misfit::Absent);
        }
        let number = |part| {
            let digits = std::str::from_utf8(text.get(1 + part * step..3 + part * step)?).ok()?;
            digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<i64>().ok())?
        };
        let numbers: Vec<i64> = (0..parts).map_while(number).collect();
        // Go looks at the ranges first, and tells the last one.
        let ranges =
            [(24, "time zone offset hour"), (60, "time zone offset minute"), (60, "time zone offset second")];
        let mut beyond = numbers.iter().zip(ranges).filter(|(number, (most, _))| **number > *most);
        if let Some((_, (_, name))) = beyond.next_back() {
            return Err(Misfit::OutOfRange(name));
        }
        let sign = match text.first() {
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return Err(Misfit::Absent),
        };
        if numbers.len() < parts {
            return Err(Misfit::Absent);
        }
        self.advance(length);
        self.offset =
            Some(sign * numbers.iter().zip([3600, 60, 1]).map(|(number, unit)| number * unit).sum::<i64>());
        Ok(())
    }

    /// Three or four capitals, such as `CEST`, or `GMT+3`.
    fn zone_name(&mut self) -> Result<(), Misfit> {
        let capitals = self.rest.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
        let mut length = match capitals {
            3 => 3,
            4 if self.rest.get(3) == Some(&b'T') || self.rest.starts_with(b"WITA") => 4,
            5 if self.rest.get(4) == Some(&b'T') => 5,
            _ => return Err(Misfit::Absent),
        };
        if let Some([b'+' | b'-', digits @ ..]) = self.rest.strip_prefix(b"GMT") {
            let count = digits.iter().take(2).take_while(|byte| byte.is_ascii_digit()).count();
            length += if count > 0 { 1 + count } else { 0 };
        }
        let name = self.rest.get(..length).unwrap_or_default();
        self.zone = Some(String::from_utf8_lossy(name).into_owned());
        self.advance(length);
        Ok(())
    }

    fn finish(mut self) -> Result<Time, &'static str> {
        if self.is_afternoon && self.civil.hour < 12 {
            self.civil.hour += 12;
        } else if self.is_morning && self.civil.hour == 12 {
            self.civil.hour = 0;
        }
        let year = self.civil.year;
        let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        self.civil.month = self.month.unwrap_or(1);
        self.civil.day = self.day.unwrap_or(1);
        let days = match self.civil.month {
            2 if is_leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        if !(1..=days).contains(&self.civil.day) {
            return Err("day");
        }
        if let Some(year_day) = self.year_day {
            if !(1..=if is_leap { 366 } else { 365 }).contains(&year_day) {
                return Err("day-of-year");
            }
            (self.civil.month, self.civil.day) = (1, year_day);
        }
        let (offset, zone) = match (self.offset, self.zone) {
            (Some(0), None) | (None, None) => (0, "UTC".to_owned()),
            (Some(offset), zone) => (offset, zone.unwrap_or_default()),
            // Hours are all that a name tells.
            (None, Some(zone)) => {
                let hours = zone.strip_prefix("GMT").and_then(|hours| hours.parse::<i64>().ok());
                (hours.unwrap_or_default() * 3600, zone)
            }
        };
        Ok(Time::of_civil(&self.civil, self.nanoseconds, offset, &zone))
    }
}

/// The digits behind the point of a second; more than nine do not count.
fn nanoseconds(digits: &[u8]) -> i64 {
    let digits = digits.iter().chain(std::iter::repeat(&b'0')).take(9);
    digits.fold(0, |value, digit| value * 10 + i64::from(digit - b'0'))
}
