//! Times in RFC 3339, which Go reads and writes.

/// A time taken apart: the date and time of day to the second, fractions of a second with their point, and the offset.
struct Parts<'a> {
    seconds: &'a str,
    fraction: &'a str,
    offset: &'a str,
}

/// Takes a time as Go's `time.Parse` does with the layout `RFC3339`.
fn parse(text: &str) -> Option<Parts<'_>> {
    let (seconds, rest) = text.split_at_checked(19)?;
    let shape = b"dddd-dd-ddTdd:dd:dd";
    let fits = seconds.bytes().zip(shape).all(|(byte, shape)| match shape {
        b'd' => byte.is_ascii_digit(),
        _ => byte == *shape,
    });
    let end = rest.find(['Z', '+', '-'])?;
    let (fraction, offset) = rest.split_at_checked(end)?;
    let digits = fraction.strip_prefix('.');
    let fraction_fits = fraction.is_empty()
        || digits
            .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
    // The calendar, and the form of the offset.
    let exists = format!("{seconds}{offset}").parse::<jiff::Timestamp>().is_ok();
    let offset_fits = offset == "Z" || offset.len() == 6 && offset.as_bytes().get(3) == Some(&b':');
    (fits && fraction_fits && offset_fits && exists).then_some(Parts { seconds, fraction, offset })
}

/// Go's `Format(time.RFC3339)` of a time in RFC 3339: without fractions of a second, `Z` for no offset.
pub(crate) fn to_seconds(text: &str) -> Option<String> {
    let Parts { seconds, offset, .. } = parse(text)?;
    Some(format!("{seconds}{}", zone(offset)))
}

/// Go's `MarshalText` of a time in RFC 3339: fractions without zeros at their end, to the nanosecond.
pub(crate) fn to_nanoseconds(text: &str) -> Option<String> {
    let Parts { seconds, fraction, offset } = parse(text)?;
    let fraction = fraction.get(..10).unwrap_or(fraction).trim_end_matches('0').trim_end_matches('.');
    Some(format!("{seconds}{fraction}{}", zone(offset)))
}

fn zone(offset: &str) -> &str {
    if matches!(offset, "+00:00" | "-00:00") { "Z" } else { offset }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_go_does() {
        for (text, seconds, nanoseconds) in [
            ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
            ("2026-01-02T03:04:05.1200Z", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.12Z"),
            ("2026-01-02T03:04:05.000+02:00", "2026-01-02T03:04:05+02:00", "2026-01-02T03:04:05+02:00"),
            ("2026-01-02T03:04:05-00:00", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        ] {
            assert_eq!(to_seconds(text).as_deref(), Some(seconds), "{text}");
            assert_eq!(to_nanoseconds(text).as_deref(), Some(nanoseconds), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2026-01-02",
            "2026-01-02 03:04:05Z",
            "2026-13-02T03:04:05Z",
            "2026-02-30T03:04:05Z",
            "2026-01-02T03:04:05",
            "2026-01-02T03:04:05.Z",
            "2026-01-02T03:04:05+0200",
            "2026-01-02T03:04:05Zjunk",
            "éééééééééééééééééééé",
        ] {
            assert_eq!(to_seconds(text), None, "{text}");
        }
    }
}
