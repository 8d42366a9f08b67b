//! Dates, times and durations.

use std::fmt::Write;

/// Go's layout of a date.
const DATE: &str = "2006-01-02";

/// As Go's package `time` quotes: what is no ASCII byte by byte.
fn quote(text: &str) -> String {
    let mut out = String::from('"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(byte)]),
            b' '..0x80 => out.push(char::from(byte)),
            // Writing to a string cannot fail.
            byte => drop(write!(out, "\\x{byte:02x}")),
        }
    }
    out.push('"');
    out
}

/// `time.Parse("2006-01-02", text)`
pub(super) fn date(text: &str) -> Result<(), String> {
    let elements: [(&str, usize); 5] = [("2006", 4), ("-", 1), ("01", 2), ("-", 1), ("02", 2)];
    let cannot = |rest: &[u8], element: &str| {
        let rest = String::from_utf8_lossy(rest);
        Err(format!(
            "parsing time {} as {}: cannot parse {} as {}",
            quote(text),
            quote(DATE),
            quote(&rest),
            quote(element)
        ))
    };
    let mut numbers = Vec::new();
    let mut rest = text.as_bytes();
    for (element, length) in elements {
        let Some((taken, after)) = rest.split_at_checked(length) else { return cannot(rest, element) };
        if element == "-" {
            if taken != b"-" {
                return cannot(rest, element);
            }
            rest = after;
            continue;
        }
        let number =
            taken.iter().try_fold(0, |number, byte| Some(number * 10 + char::from(*byte).to_digit(10)?));
        let Some(number) = number else { return cannot(rest, element) };
        if element == "01" && !(1..=12).contains(&number) {
            return Err(format!("parsing time {}: month out of range", quote(text)));
        }
        numbers.push(number);
        rest = after;
    }
    if !rest.is_empty() {
        let rest = String::from_utf8_lossy(rest);
        return Err(format!("parsing time {}: extra text: {}", quote(text), quote(&rest)));
    }
    let [year, month, day] = numbers.as_slice() else { return Ok(()) };
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if (1..=days).contains(day) {
        return Ok(());
    }
    Err(format!("parsing time {}: day out of range", quote(text)))
}

/// Numbers between colons.
fn numbers(text: &str, count: usize, of: &str) -> Result<Vec<i64>, String> {
    text.splitn(count, ':')
        .map(|number| match strconv::atoi(number) {
            Ok(number) if number < 0 => Err(format!("non-positive hour/min{of}")),
            Ok(number) => Ok(number),
            Err(_) => Err(format!("invalid hour/min{of}")),
        })
        .collect()
}

/// A time of RFC 3339.
pub(super) fn time(text: &str) -> Result<(), String> {
    let bytes = text.as_bytes();
    if bytes.len() < 9 {
        return Err("less than 9 characters long".to_owned());
    }
    if bytes.get(2) != Some(&b':') || bytes.get(5) != Some(&b':') {
        return Err("missing colon in correct place".to_owned());
    }
    let Some((clock, rest)) = text.split_at_checked(8) else {
        return Err("invalid hour/min/sec".to_owned());
    };
    let [hour, minute, second] = numbers(clock, 3, "/sec")?[..] else {
        return Err("missing hour/min/sec".to_owned());
    };
    if hour > 23 || minute > 59 || second > 60 {
        return Err("hour/min/sec out of range".to_owned());
    }
    let mut rest = rest;
    if let Some(fraction) = rest.strip_prefix('.') {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return Err("no digits in second fraction".to_owned());
        }
        rest = fraction.get(digits..).unwrap_or_default();
    }
    let minutes = hour * 60 + minute + offset(rest)?;
    // A second more there is only at the end of a day.
    if second >= 60 && minutes.rem_euclid(24 * 60) != 24 * 60 - 1 {
        return Err("invalid leap second".to_owned());
    }
    Ok(())
}

/// How many minutes are added for UTC.
fn offset(text: &str) -> Result<i64, String> {
    if matches!(text, "z" | "Z") {
        return Ok(0);
    }
    if text.len() != 6 {
        return Err("offset must be 6 characters long".to_owned());
    }
    let (sign, text) = match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(text), _) => (-1, text),
        (_, Some(text)) => (1, text),
        _ => return Err("offset must begin with plus/minus".to_owned()),
    };
    if text.as_bytes().get(2) != Some(&b':') {
        return Err("missing colon in offset in correct place".to_owned());
    }
    let [hours, minutes] = numbers(text, 2, " in offset")?[..] else {
        return Err("invalid hour/min in offset".to_owned());
    };
    if hours > 23 || minutes > 59 {
        return Err("hour/min in offset out of range".to_owned());
    }
    Ok(sign * (hours * 60 + minutes))
}

/// A date and a time of RFC 3339.
pub(super) fn date_time(text: &str) -> Result<(), String> {
    if text.len() < 20 {
        return Err("less than 20 characters long".to_owned());
    }
    if !matches!(text.as_bytes().get(10), Some(b't' | b'T')) {
        return Err("11th character must be t or T".to_owned());
    }
    let (day, clock) = text.split_at_checked(10).unwrap_or((text, ""));
    date(day).map_err(|why| format!("invalid date element: {why}"))?;
    let clock = clock.get(1..).unwrap_or_default();
    time(clock).map_err(|why| format!("invalid time element: {why}"))
}

/// A duration of ISO 8601.
pub(super) fn duration(text: &str) -> Result<(), String> {
    let Some(text) = text.strip_prefix('P') else { return Err("must start with P".to_owned()) };
    if text.is_empty() {
        return Err("nothing after P".to_owned());
    }
    if let Some(weeks) = text.strip_suffix('W') {
        return match weeks {
            "" => Err("no number in week".to_owned()),
            weeks if weeks.bytes().all(|byte| byte.is_ascii_digit()) => Ok(()),
            _ => Err("invalid week".to_owned()),
        };
    }
    for (index, part) in text.split('T').enumerate() {
        if index > 0 && part.is_empty() {
            return Err("no time elements".to_owned());
        }
        match index {
            0 => elements(part.as_bytes(), "YMD")?,
            1 => elements(part.as_bytes(), "HMS")?,
            _ => return Err("more than one T".to_owned()),
        }
    }
    Ok(())
}

/// Numbers, each with a unit that comes later than the one before.
fn elements(text: &[u8], all_units: &str) -> Result<(), String> {
    let mut units = all_units;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return Err("missing number".to_owned());
        }
        let [unit, after @ ..] = rest.get(digits..).unwrap_or_default() else {
            return Err("missing unit".to_owned());
        };
        let unit = char::from(*unit);
        let Some((_, later)) = units.split_once(unit) else {
            let shown = strconv::quote_rune(unit);
            return Err(match all_units.contains(unit) {
                true => format!("unit {shown} out of order"),
                false => format!("invalid unit {shown}"),
            });
        };
        (units, rest) = (later, after);
    }
    Ok(())
}

/// Two moments, or a moment and a duration.
pub(super) fn period(text: &str) -> Result<(), String> {
    let Some((start, end)) = text.split_once('/') else { return Err("missing slash".to_owned()) };
    let end_moment = |end| date_time(end).map_err(|why| format!("invalid end date-time: {why}"));
    if start.starts_with('P') {
        duration(start).map_err(|why| format!("invalid start duration: {why}"))?;
        return end_moment(end);
    }
    date_time(start).map_err(|why| format!("invalid start date-time: {why}"))?;
    if end.starts_with('P') {
        return duration(end).map_err(|why| format!("invalid end duration: {why}"));
    }
    end_moment(end)
}
