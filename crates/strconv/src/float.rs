//! Floats as text.

/// Behind so many digits, any `f64` has only zeros.
const MOST_DIGITS: usize = 1100;

/// `strconv.FormatFloat(value, format, precision, 64)` for the formats `b`, `e`, `E`, `f`, `g`, `G`, `x` and `X`; another is `f`. Without
/// a precision the text has as many digits as it takes to tell the value from its neighbours.
pub fn format_float(value: f64, format: char, precision: Option<usize>) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() };
    }
    let sign = if value.is_sign_negative() { "-" } else { "" };
    let magnitude = value.abs();
    let text = match format {
        'b' => binary(magnitude),
        'e' | 'E' => exponential(magnitude, precision, format),
        'g' | 'G' => general(magnitude, precision, format),
        'x' | 'X' => hexadecimal(magnitude, precision, format),
        _ => plain(magnitude, precision),
    };
    format!("{sign}{text}")
}

/// The fewest digits that tell a value from its neighbours, and the exponent of the first: `1234.5` is `("12345", 3)`. It has no sign.
pub fn shortest(value: f64) -> (String, i32) {
    let value = value.abs();
    let text = format!("{value:e}");
    let rounded = format!("{value:.*e}", fraction_length(&text));
    split(if rounded.parse() == Ok(value) { &rounded } else { &text })
}

/// [`shortest`] of a value of 32 bits.
pub fn shortest_32(value: f32) -> (String, i32) {
    let value = value.abs();
    let text = format!("{value:e}");
    let rounded = format!("{value:.*e}", fraction_length(&text));
    split(if rounded.parse() == Ok(value) { &rounded } else { &text })
}

/// How many digits are behind the first. A value may be right between two texts of so many: Go takes the even one, as does formatting
/// with a precision, and the standard library's shortest one the larger one.
fn fraction_length(text: &str) -> usize {
    text.bytes().take_while(|byte| *byte != b'e').filter(u8::is_ascii_digit).count().saturating_sub(1)
}

/// The digits, and the exponent of the first.
fn split(text: &str) -> (String, i32) {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    (mantissa.replace('.', ""), exponent.parse().unwrap_or(0))
}

fn plain(value: f64, precision: Option<usize>) -> String {
    match precision {
        None => {
            let (digits, exponent) = shortest(value);
            positional(&digits, exponent)
        }
        Some(precision) => {
            let exact = precision.min(MOST_DIGITS);
            format!("{value:.exact$}") + &"0".repeat(precision - exact)
        }
    }
}

/// The significant digits, without zeros at the end, and the exponent of the first.
fn digits(value: f64, count: Option<usize>) -> (String, i32) {
    let (digits, exponent) = match count {
        None => shortest(value),
        Some(count) => split(&format!("{value:.*e}", count.min(MOST_DIGITS).saturating_sub(1))),
    };
    (digits.trim_end_matches('0').to_owned(), exponent)
}

/// `d.ddde±dd`
fn exponential(value: f64, precision: Option<usize>, letter: char) -> String {
    let (digits, exponent) = digits(value, precision.map(|precision| precision + 1));
    let fraction = precision.unwrap_or(digits.len().saturating_sub(1));
    with_exponent(&digits, exponent, fraction, letter)
}

fn with_exponent(digits: &str, exponent: i32, fraction: usize, letter: char) -> String {
    let mut digits = digits.chars();
    let mut text = String::from(digits.next().unwrap_or('0'));
    if fraction > 0 {
        text.push('.');
        text.extend(digits.chain(std::iter::repeat('0')).take(fraction));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    text + &format!("{letter}{sign}{:02}", exponent.unsigned_abs())
}

/// Exponential if the exponent is small or beyond the precision, else plain; no zeros at the end.
fn general(value: f64, precision: Option<usize>, format: char) -> String {
    let letter = if format == 'G' { 'E' } else { 'e' };
    let precision = precision.map(|precision| precision.max(1));
    let (digits, exponent) = digits(value, precision);
    let whole = i64::from(exponent) + 1;
    let count = digits.len() as i64;
    let limit = match precision.map(|precision| precision as i64) {
        None => 6,
        Some(precision) if precision > count && count >= whole => count,
        Some(precision) => precision,
    };
    // Zero has no digits.
    if !digits.is_empty() && (exponent < -4 || i64::from(exponent) >= limit) {
        return with_exponent(&digits, exponent, digits.len().saturating_sub(1), letter);
    }
    if digits.is_empty() { "0".to_owned() } else { positional(&digits, exponent) }
}

/// Digits with the point where the exponent says.
fn positional(digits: &str, exponent: i32) -> String {
    if exponent < 0 {
        return format!("0.{}{digits}", "0".repeat(exponent.unsigned_abs() as usize - 1));
    }
    let whole = exponent.unsigned_abs() as usize + 1;
    match digits.split_at_checked(whole) {
        Some((whole, "")) => whole.to_owned(),
        Some((whole, fraction)) => format!("{whole}.{fraction}"),
        None => format!("{digits:0<whole$}"),
    }
}

const MANTISSA_BITS: u32 = 52;

/// Mantissa and exponent of two: the value is their product.
fn parts(value: f64) -> (u64, i32) {
    let bits = value.to_bits();
    let fraction = bits & ((1 << MANTISSA_BITS) - 1);
    let exponent = i32::try_from(bits >> MANTISSA_BITS & 0x7ff).unwrap_or(0);
    match exponent {
        0 => (fraction, -1074),
        _ => (fraction | 1 << MANTISSA_BITS, exponent - 1075),
    }
}

fn binary(value: f64) -> String {
    let (mantissa, exponent) = parts(value);
    format!("{mantissa}p{exponent:+}")
}

/// `0x1.8p+01`
fn hexadecimal(value: f64, precision: Option<usize>, format: char) -> String {
    let (mut mantissa, mut exponent) = parts(value);
    exponent = if mantissa == 0 { 0 } else { exponent + 52 };
    // The leading one goes to bit 60, so that 15 hexadecimal digits follow.
    mantissa <<= 60 - MANTISSA_BITS;
    while mantissa != 0 && mantissa & 1 << 60 == 0 {
        mantissa <<= 1;
        exponent -= 1;
    }
    if let Some(precision) = precision.filter(|precision| *precision < 15) {
        let dropped = 60 - 4 * precision;
        let remainder = mantissa & ((1 << dropped) - 1);
        mantissa >>= dropped;
        let half = 1 << (dropped - 1);
        if remainder > half || (remainder == half && mantissa & 1 == 1) {
            mantissa += 1;
        }
        mantissa <<= dropped;
        if mantissa & 1 << 61 != 0 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let fraction = format!("{:015x}", mantissa & ((1 << 60) - 1));
    let fraction = match precision {
        None => fraction.trim_end_matches('0').to_owned(),
        Some(precision) => fraction.chars().chain(std::iter::repeat('0')).take(precision).collect(),
    };
    let point = if fraction.is_empty() { "" } else { "." };
    let sign = if exponent < 0 { '-' } else { '+' };
    let text = format!("0x{}{point}{fraction}p{sign}{:02}", mantissa >> 60 & 1, exponent.unsigned_abs());
    if format == 'X' { text.to_uppercase() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Go 1.26 prints.
    #[test]
    fn floats_are_written_as_go_does() {
        let cases = [
            (0.0, 'g', None, "0"),
            (-0.0, 'g', None, "-0"),
            (100_000.0, 'g', None, "100000"),
            (1_234_567.0, 'g', None, "1.234567e+06"),
            (0.000_012_3, 'g', None, "1.23e-05"),
            (0.000_123, 'g', None, "0.000123"),
            (123_456_789.0, 'G', None, "1.23456789E+08"),
            (1_234_567.0, 'g', Some(10), "1234567"),
            (100_000.0, 'g', Some(3), "1e+05"),
            (100.0, 'g', Some(3), "100"),
            (0.0, 'g', Some(3), "0"),
            (1e23, 'g', None, "1e+23"),
            (2.5, 'f', Some(0), "2"),
            (0.5, 'f', Some(0), "0"),
            (1.5, 'f', Some(0), "2"),
            (0.25, 'f', Some(1), "0.2"),
            (1e21, 'f', None, "1000000000000000000000"),
            (1.0, 'e', Some(6), "1.000000e+00"),
            (123.0, 'E', None, "1.23E+02"),
            (0.0, 'e', Some(2), "0.00e+00"),
            (5e-324, 'e', None, "5e-324"),
            (1.0, 'b', None, "4503599627370496p-52"),
            (0.0, 'b', None, "0p-1074"),
            (1.5, 'x', None, "0x1.8p+00"),
            (0.0, 'x', None, "0x0p+00"),
            (1.999, 'x', Some(1), "0x1.0p+01"),
            (1.0, 'X', Some(3), "0X1.000P+00"),
            (5e-324, 'x', None, "0x1p-1074"),
            // Right between two texts.
            (1_805_146_140_405_298.0 + 0.25, 'g', None, "1.8051461404052982e+15"),
            (1_805_146_140_405_298.0 + 0.75, 'e', None, "1.8051461404052988e+15"),
            (-245_219_733_710_260.0 - 0.625, 'f', None, "-245219733710260.62"),
            (245_219_733_710_260.0 + 0.375, 'f', None, "245219733710260.38"),
            (1e23, 'f', None, "100000000000000000000000"),
            (0.000_123, 'f', None, "0.000123"),
            (0.0, 'f', None, "0"),
            (f64::INFINITY, 'g', None, "+Inf"),
            (f64::NAN, 'f', Some(2), "NaN"),
        ];
        for (value, format, precision, text) in cases {
            assert_eq!(format_float(value, format, precision), text);
        }
        assert_eq!(format_float(0.1, 'f', Some(2000)).len(), 2002);
        assert_eq!(format_float(0.1, 'e', Some(2000)).len(), 2006);
    }
}
