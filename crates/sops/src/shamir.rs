//! Shamir's secret sharing over GF(2⁸), in the form that HashiCorp's Vault gave it and SOPS uses.
//!
//! A share has one byte for each byte of the secret, the value of a random polynomial at the share's `x`, and `x` itself at its end.
//! The secret is the value at 0.

use zeroize::Zeroizing;

use crate::keys::KeyBytes;

/// Why shares do not make a secret. The texts are those of SOPS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CombineError {
    /// There are fewer than two.
    #[error("less than two parts cannot be used to reconstruct the secret")]
    Few,
    /// One has no value.
    #[error("parts must be at least two bytes")]
    Short,
    /// They are of different secrets.
    #[error("all parts must be the same length")]
    Lengths,
    /// Two are at the same place.
    #[error("duplicate part detected")]
    Duplicate,
}

/// The secret that all of `shares` belong to.
///
/// Shares of another secret, or too few, are not noticed: the result is random then.
pub(crate) fn combine(shares: &[KeyBytes]) -> Result<KeyBytes, CombineError> {
    let mut points = Vec::with_capacity(shares.len());
    for share in shares {
        let (x, values) = share.expose().split_last().ok_or(CombineError::Short)?;
        points.push((*x, values));
    }
    let [(_, first), _, ..] = points.as_slice() else { return Err(CombineError::Few) };
    if first.is_empty() {
        return Err(CombineError::Short);
    }
    if points.iter().any(|(_, values)| values.len() != first.len()) {
        return Err(CombineError::Lengths);
    }
    let mut seen = [false; 256];
    for (x, _) in &points {
        let seen = seen.get_mut(usize::from(*x)).ok_or(CombineError::Duplicate)?;
        if std::mem::replace(seen, true) {
            return Err(CombineError::Duplicate);
        }
    }
    let mut secret = Zeroizing::new(vec![0; first.len()]);
    for (position, (x, values)) in points.iter().enumerate() {
        // Lagrange's basis polynomial of this share, at 0.
        let others = points.iter().enumerate().filter(|(other, _)| *other != position);
        let basis = others.fold(1, |basis, (_, (other, _))| multiply(basis, divide(*other, x ^ other)));
        for (byte, value) in secret.iter_mut().zip(*values) {
            *byte ^= multiply(*value, basis);
        }
    }
    Ok(KeyBytes::new(secret))
}

/// The product modulo x⁸ + x⁴ + x³ + x + 1, in the same time for all operands.
fn multiply(a: u8, b: u8) -> u8 {
    let mut product = 0_u8;
    for bit in (0..8).rev() {
        let overflow = (product >> 7).wrapping_neg();
        product = (product << 1) ^ (overflow & 0x1b);
        product ^= ((b >> bit) & 1).wrapping_neg() & a;
    }
    product
}

/// `a` by `b`, which is not 0. The inverse of `b` is `b²⁵⁴`.
fn divide(a: u8, b: u8) -> u8 {
    let mut power = b;
    let mut quotient = a;
    for _ in 1..8 {
        power = multiply(power, power);
        quotient = multiply(quotient, power);
    }
    quotient
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    fn share(bytes: &[u8]) -> KeyBytes {
        KeyBytes::new(bytes.to_vec())
    }

    #[test]
    fn field_has_inverses_and_the_known_products() {
        assert_eq!(multiply(0x53, 0xca), 1);
        assert_eq!(multiply(3, 7), 9);
        for b in 1..=255 {
            assert_eq!(multiply(divide(1, b), b), 1, "{b}");
        }
    }

    /// Polynomials of degree 2 with coefficients of our choice: any three of five shares give the secret, two do not.
    #[test]
    fn enough_shares_give_the_secret() {
        let secret = b"a secret of some length";
        let share_at = |x: u8| {
            let values = secret.iter().enumerate().map(|(index, byte)| {
                let (linear, square) = (index as u8 ^ 0x5a, (index as u8).wrapping_mul(17) ^ 0xc3);
                byte ^ multiply(linear, x) ^ multiply(square, multiply(x, x))
            });
            share(&values.chain([x]).collect::<Vec<_>>())
        };
        let shares: Vec<_> = [1, 2, 3, 99, 255].map(share_at).into();
        for chosen in [[0, 1, 2], [4, 0, 3], [2, 3, 4]] {
            let chosen = chosen.map(|index| shares[index].clone());
            assert_eq!(combine(&chosen).unwrap().expose(), secret);
        }
        assert_eq!(combine(&shares).unwrap().expose(), secret);
        assert_ne!(combine(&shares[..2]).unwrap().expose(), secret);
    }

    #[test]
    fn shares_that_do_not_fit_are_refused() {
        for (shares, error) in [
            (vec![], CombineError::Few),
            (vec![share(b"ab")], CombineError::Few),
            (vec![share(b""), share(b"ab")], CombineError::Short),
            (vec![share(b"1"), share(b"2")], CombineError::Short),
            (vec![share(b"ab"), share(b"abc")], CombineError::Lengths),
            (vec![share(b"ax"), share(b"bx")], CombineError::Duplicate),
        ] {
            assert_eq!(combine(&shares).unwrap_err(), error, "{}", shares.len());
        }
    }
}
