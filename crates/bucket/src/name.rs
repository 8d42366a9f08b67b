//! Names of buckets: for S3 as minio-go reads them.

use std::net::Ipv4Addr;

/// A name that no bucket has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// None.
    #[error("Bucket name cannot be empty")]
    Empty,
    /// Too short.
    #[error("Bucket name cannot be shorter than 3 characters")]
    Short,
    /// Too long.
    #[error("Bucket name cannot be longer than 63 characters")]
    Long,
    /// What would be another host.
    #[error("Bucket name cannot be an ip address")]
    Address,
    /// Anything else.
    #[error("Bucket name contains invalid characters")]
    Characters,
}

/// Whether a bucket may have this name: 3 to 63 letters, digits, dots, hyphens, underscores and colons.
pub fn check(name: &str) -> Result<(), NameError> {
    let is_end = |c: char| c.is_ascii_alphanumeric();
    match name.len() {
        _ if name.trim().is_empty() => return Err(NameError::Empty),
        0..3 => return Err(NameError::Short),
        3..=63 => {}
        _ => return Err(NameError::Long),
    }
    if name.parse::<Ipv4Addr>().is_ok() {
        return Err(NameError::Address);
    }
    let is_allowed = |c: char| is_end(c) || matches!(c, '.' | '-' | '_' | ':');
    let is_odd = ["..", ".-", "-."].iter().any(|pair| name.contains(pair));
    if is_odd || !name.starts_with(is_end) || !name.ends_with(is_end) || !name.chars().all(is_allowed) {
        return Err(NameError::Characters);
    }
    Ok(())
}

/// Whether a name can stand in a URL as what it is.
pub fn check_segment(name: &str) -> Result<(), NameError> {
    match name.trim() {
        "" => Err(NameError::Empty),
        "." | ".." => Err(NameError::Characters),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_buckets_follow_the_rules_of_dns() {
        let long = "a".repeat(64);
        for (name, error) in [
            ("abc", None),
            ("my.bucket-1", None),
            ("My_bucket:x", None),
            (" ", Some(NameError::Empty)),
            ("", Some(NameError::Empty)),
            ("ab", Some(NameError::Short)),
            (&long, Some(NameError::Long)),
            ("10.0.0.1", Some(NameError::Address)),
            ("a..b", Some(NameError::Characters)),
            ("a.-b", Some(NameError::Characters)),
            ("-ab", Some(NameError::Characters)),
            ("a/b", Some(NameError::Characters)),
            ("a?b", Some(NameError::Characters)),
            ("ab\n", Some(NameError::Characters)),
        ] {
            assert_eq!(check(name).err(), error, "{name:?}");
        }
    }

    #[test]
    fn names_that_would_be_another_url_are_refused() {
        for (name, error) in [
            ("a", None),
            ("$web", None),
            ("a/b", None),
            (" ", Some(NameError::Empty)),
            ("..", Some(NameError::Characters)),
            (".", Some(NameError::Characters)),
        ] {
            assert_eq!(check_segment(name).err(), error, "{name:?}");
        }
    }
}
