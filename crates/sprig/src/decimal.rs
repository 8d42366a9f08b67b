//! Exact decimal arithmetic: the package `shopspring/decimal`, as far as sprig needs it.

use gotemplate::Error;
use num_bigint::{BigInt, Sign};

/// How many places a quotient has.
const PLACES: i32 = 16;

/// `digits` times ten to the power of `exponent`.
pub(crate) struct Decimal {
    digits: BigInt,
    exponent: i32,
}

impl Decimal {
    /// The shortest decimal that reads back as the float.
    pub(crate) fn new(value: f64) -> Result<Self, Error> {
        if !value.is_finite() {
            let name = strconv::format_float(value, 'g', None);
            return Err(format!("Cannot create a Decimal from {name}").into());
        }
        let (digits, exponent) = strconv::shortest(value);
        let places = i32::try_from(digits.len()).unwrap_or_default() - 1;
        let digits: BigInt = digits.parse().unwrap_or_default();
        let digits = if value.is_sign_negative() { -digits } else { digits };
        Ok(Self { digits, exponent: exponent - places })
    }

    /// The nearest float.
    pub(crate) fn to_float64(&self) -> f64 {
        format!("{}e{}", self.digits, self.exponent).parse().unwrap_or_default()
    }

    /// Bytes of the digits.
    pub(crate) fn size(&self) -> usize {
        usize::try_from(self.digits.bits() / 8).unwrap_or(usize::MAX)
    }

    /// The sum.
    pub(crate) fn add(&self, other: &Self) -> Result<Self, Error> {
        let exponent = self.exponent.min(other.exponent);
        Ok(Self { digits: self.digits_at(exponent) + other.digits_at(exponent), exponent })
    }

    /// The difference.
    pub(crate) fn subtract(&self, other: &Self) -> Result<Self, Error> {
        let exponent = self.exponent.min(other.exponent);
        Ok(Self { digits: self.digits_at(exponent) - other.digits_at(exponent), exponent })
    }

    /// The product.
    pub(crate) fn multiply(&self, other: &Self) -> Result<Self, Error> {
        Ok(Self { digits: &self.digits * &other.digits, exponent: self.exponent + other.exponent })
    }

    /// The quotient, rounded to 16 places, half away from zero.
    pub(crate) fn divide(&self, other: &Self) -> Result<Self, Error> {
        if other.digits.sign() == Sign::NoSign {
            return Err("decimal division by 0".into());
        }
        let shift = self.exponent - other.exponent + PLACES;
        let (mut dividend, mut divisor) = (self.digits.clone(), other.digits.clone());
        if shift < 0 {
            divisor *= power(-shift);
        } else {
            dividend *= power(shift);
        }
        let is_negative = dividend.sign() != divisor.sign();
        let (dividend, divisor) = (dividend.magnitude(), divisor.magnitude());
        let quotient = BigInt::from((dividend * 2_u32 + divisor) / (divisor * 2_u32));
        Ok(Self { digits: if is_negative { -quotient } else { quotient }, exponent: -PLACES })
    }

    fn digits_at(&self, exponent: i32) -> BigInt {
        &self.digits * power(self.exponent - exponent)
    }
}

fn power(exponent: i32) -> BigInt {
    BigInt::from(10).pow(exponent.unsigned_abs())
}
