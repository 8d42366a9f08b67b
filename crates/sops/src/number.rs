//! Floats as Go writes them where it writes neither YAML nor JSON.

/// `strconv.FormatFloat(value, 'f', -1, 64)`: the shortest digits that read back as this value, without an exponent. What SOPS
/// encrypts and hashes.
pub(crate) fn plain_text(value: f64) -> String {
    if value == f64::INFINITY {
        "+Inf".into()
    } else if value.is_infinite() {
        "-Inf".into()
    } else {
        value.to_string()
    }
}

/// What SOPS writes into formats that know text alone: `strconv.FormatFloat(value, 'G', -1, 64)`, with a digit behind the point
/// where it would be taken for an integer.
pub(crate) fn short_text(value: f64) -> String {
    if !value.is_finite() {
        return plain_text(value);
    }
    let text = yaml::yaml_float(value).to_uppercase();
    if text.contains(['.', 'E']) { text } else { format!("{value:.1}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Go 1.27 prints.
    #[test]
    fn floats_are_written_as_go_does() {
        for (value, plain, short) in [
            (0.0, "0", "0.0"),
            (-0.0, "-0", "-0.0"),
            (1.0, "1", "1.0"),
            (1.5, "1.5", "1.5"),
            (1e6, "1000000", "1E+06"),
            (1.25e-7, "0.000000125", "1.25E-07"),
            (1e21, "1000000000000000000000", "1E+21"),
            (0.1, "0.1", "0.1"),
            (123456.0, "123456", "123456.0"),
            (1234567.0, "1234567", "1.234567E+06"),
            (f64::INFINITY, "+Inf", "+Inf"),
            (f64::NEG_INFINITY, "-Inf", "-Inf"),
            (f64::NAN, "NaN", "NaN"),
        ] {
            assert_eq!((plain_text(value).as_str(), short_text(value).as_str()), (plain, short), "{value}");
        }
    }
}
