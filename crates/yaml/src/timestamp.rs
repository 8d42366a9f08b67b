//! Dates and times that go-yaml recognises in plain scalars.

use std::fmt::Write;

/// Reads the four layouts of go-yaml and gives the text Go's `time.Time` has in JSON (RFC 3339 with nanoseconds).
pub(crate) fn parse(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    if bytes.get(4) != Some(&b'-') || !bytes.iter().take(4).all(u8::is_ascii_digit) {
        return None;
    }
    let year: u32 = text.get(..4)?.parse().ok()?;
    let mut rest = text.get(5..)?;
    let month = number(&mut rest)?;
    literal(&mut rest, '-')?;
    let day = number(&mut rest)?;
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
        return None;
    }
    let mut out = format!("{year:04}-{month:02}-{day:02}T");
    if rest.is_empty() {
        out.push_str("00:00:00Z");
        return Some(out);
    }
    let zoned = match rest.chars().next()? {
        'T' | 't' => true,
        ' ' => false,
        _ => return None,
    };
    // In Go one space of a layout stands for any number of them.
    rest = if zoned { rest.get(1..)? } else { rest.trim_start_matches(' ') };
    let hour = number(&mut rest)?;
    literal(&mut rest, ':')?;
    let minute = number(&mut rest)?;
    literal(&mut rest, ':')?;
    let second = number(&mut rest)?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let _ = write!(out, "{hour:02}:{minute:02}:{second:02}");
    out.push_str(&fraction(&mut rest));
    if !zoned {
        out.push('Z');
        return rest.is_empty().then_some(out);
    }
    if rest == "Z" {
        out.push('Z');
        return Some(out);
    }
    out.push_str(&offset(rest)?);
    Some(out)
}

/// One or two digits.
fn number(rest: &mut &str) -> Option<u32> {
    let digits = rest.bytes().take(2).take_while(u8::is_ascii_digit).count();
    let (number, tail) = rest.split_at_checked(digits)?;
    *rest = tail;
    number.parse().ok()
}

fn literal(rest: &mut &str, c: char) -> Option<()> {
    *rest = rest.strip_prefix(c)?;
    Some(())
}

/// `.digits` or `,digits`, cut to nanoseconds and without trailing zeros; empty when there is none.
fn fraction(rest: &mut &str) -> String {
    let Some(digits) = rest.strip_prefix(['.', ',']) else { return String::new() };
    let count = digits.bytes().take_while(u8::is_ascii_digit).count();
    let Some((digits, tail)) = digits.split_at_checked(count).filter(|_| count > 0) else {
        return String::new();
    };
    *rest = tail;
    let kept = digits.get(..9).unwrap_or(digits).trim_end_matches('0');
    if kept.is_empty() { String::new() } else { format!(".{kept}") }
}

/// `±hh:mm`; no offset is `Z`.
fn offset(text: &str) -> Option<String> {
    let [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] = text.as_bytes() else { return None };
    let digits = [h1, h2, m1, m2].map(|byte| byte.is_ascii_digit().then(|| u32::from(byte - b'0')));
    let [Some(h1), Some(h2), Some(m1), Some(m2)] = digits else { return None };
    let (hours, minutes) = (h1 * 10 + h2, m1 * 10 + m2);
    if hours > 24 || minutes > 60 {
        return None;
    }
    let total = hours * 60 + minutes;
    if total == 0 {
        return Some("Z".into());
    }
    Some(format!("{}{:02}:{:02}", char::from(*sign), total / 60, total % 60))
}

fn days_in(year: u32, month: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}
