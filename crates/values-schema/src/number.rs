//! Decimal numbers without loss.

use std::cmp::Ordering;

use num_bigint::BigInt;

use crate::limits::Exceeded;

/// The most digits of a number, and the largest exponent.
const MOST_DIGITS: usize = 1000;
const MOST_EXPONENT: i64 = 1000;

/// A number: `mantissa × 10^exponent`, the mantissa without zeros at its end.
#[derive(Debug, Clone)]
pub(crate) struct Number {
    text: String,
    mantissa: BigInt,
    exponent: i64,
}

impl Number {
    /// Reads a number of JSON, or a float as Go prints it.
    pub(crate) fn parse(text: &str) -> Result<Self, Exceeded> {
        let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let digits = format!("{whole}{fraction}");
        let significant = digits.trim_end_matches('0');
        let significant = if matches!(significant, "" | "-") { "0" } else { significant };
        if digits.len() > MOST_DIGITS {
            return Err(Exceeded::Number);
        }
        let exponent: i64 = exponent.parse().map_err(|_| Exceeded::Number)?;
        let mantissa: BigInt = significant.parse().map_err(|_| Exceeded::Number)?;
        if mantissa == BigInt::ZERO {
            return Ok(Self { text: text.to_owned(), mantissa, exponent: 0 });
        }
        if exponent.abs() > MOST_EXPONENT {
            return Err(Exceeded::Number);
        }
        let shift = digits.len() as i64 - significant.len() as i64 - fraction.len() as i64;
        Ok(Self { text: text.to_owned(), mantissa, exponent: exponent + shift })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn canonical(&self) -> String {
        format!("{}e{}", self.mantissa, self.exponent)
    }

    pub(crate) fn is_integer(&self) -> bool {
        self.exponent >= 0
    }

    pub(crate) fn as_f64(&self) -> f64 {
        // Without the sign of a zero.
        if self.mantissa == BigInt::ZERO { 0.0 } else { self.text.parse().unwrap_or_default() }
    }

    pub(crate) fn as_count(&self) -> Option<usize> {
        if !self.is_integer() {
            return None;
        }
        // Nothing is as many as what does not fit.
        let whole = self.scaled_to(0);
        Some(if whole.sign() == num_bigint::Sign::Minus { 0 } else { whole.try_into().unwrap_or(usize::MAX) })
    }

    /// The mantissa where the exponent is a smaller one.
    fn scaled_to(&self, exponent: i64) -> BigInt {
        let zeros = u32::try_from(self.exponent - exponent).unwrap_or_default();
        &self.mantissa * BigInt::from(10).pow(zeros)
    }

    /// Whether it is a whole number times another. Nothing is a multiple of zero.
    pub(crate) fn is_multiple_of(&self, other: &Self) -> bool {
        let exponent = self.exponent.min(other.exponent);
        let divisor = other.scaled_to(exponent);
        divisor != BigInt::ZERO && self.scaled_to(exponent) % divisor == BigInt::ZERO
    }

    pub(crate) fn compare(&self, other: &Self) -> Ordering {
        let exponent = self.exponent.min(other.exponent);
        self.scaled_to(exponent).cmp(&other.scaled_to(exponent))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.mantissa == other.mantissa && self.exponent == other.exponent
    }
}
