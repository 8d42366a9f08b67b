//! Names that come from objects and go into URLs.

/// Bytes that a DNS-1123 subdomain may have.
const MAX_SUBDOMAIN_BYTES: usize = 253;

/// A name that is none for the API server either.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid resource name {name:?}: {reason}")]
pub struct InvalidName {
    /// The name.
    pub name: String,
    /// The rule that it breaks.
    pub reason: &'static str,
}

/// Whether a name or namespace may be one segment of a request's path. kube puts it there as it is, so `?watch=true` would
/// become a query.
///
/// The rules and texts are client-go's (`IsValidPathSegmentName`), and beyond them: not empty, no `?`, `#`, blanks and control
/// characters.
///
/// # Errors
/// The rule that the name breaks.
pub fn check_name(name: &str) -> Result<(), InvalidName> {
    let contains = |letter: char| name.contains(letter);
    let reason = match name {
        "" => "may not be empty",
        "." => "may not be '.'",
        ".." => "may not be '..'",
        _ if contains('/') => "may not contain '/'",
        _ if contains('%') => "may not contain '%'",
        _ if contains('?') => "may not contain '?'",
        _ if contains('#') => "may not contain '#'",
        _ if name.contains(|letter: char| letter.is_control() || letter.is_whitespace()) => {
            "may not contain blanks or control characters"
        }
        _ => return Ok(()),
    };
    Err(InvalidName { name: name.to_owned(), reason })
}

/// The service account of an object: the one that its spec names, or else the default one of the process. An empty name is none.
pub fn account_of<'a>(named: Option<&'a str>, default: Option<&'a str>) -> Option<&'a str> {
    named.filter(|name| !name.is_empty()).or(default)
}

/// Whether a name may be that of a service account: as a part of a user's name, as with impersonation, `a:b` would be the
/// account of another namespace, or a user of another kind.
///
/// # Errors
/// When it is no DNS-1123 subdomain.
pub fn check_account_name(name: &str) -> Result<(), InvalidName> {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        bytes.iter().all(|byte| is_letter(*byte) || *byte == b'-')
            && [bytes.first(), bytes.last()].iter().all(|end| end.is_some_and(|byte| is_letter(*byte)))
    };
    if name.len() <= MAX_SUBDOMAIN_BYTES && name.split('.').all(is_label) {
        return Ok(());
    }
    Err(InvalidName { name: name.to_owned(), reason: "is no DNS-1123 subdomain" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_has_the_account_that_it_names_or_the_default_one() {
        let default = Some("default");
        assert_eq!((account_of(None, None), account_of(Some(""), None)), (None, None));
        assert_eq!((account_of(None, default), account_of(Some(""), default)), (default, default));
        assert_eq!(account_of(Some("own"), default), Some("own"));
    }

    #[test]
    fn an_account_name_is_a_subdomain() {
        for name in ["app", "a.b-c", "0"] {
            assert_eq!(check_account_name(name), Ok(()));
        }
        let long = "a".repeat(254);
        for name in
            ["", "a:b", "a/b", "A", "a..b", "-a", "a-", ".a", "a.", "a_b", "kube-system:x", "é", &long]
        {
            let error = check_account_name(name).map_err(|error| error.to_string());
            assert_eq!(error, Err(format!("invalid resource name {name:?}: is no DNS-1123 subdomain")));
        }
    }

    #[test]
    fn a_name_that_would_change_the_request_is_invalid() {
        for (name, reason) in [
            ("", "may not be empty"),
            (".", "may not be '.'"),
            ("..", "may not be '..'"),
            ("a/b", "may not contain '/'"),
            ("../secrets/b", "may not contain '/'"),
            ("%2e", "may not contain '%'"),
            ("a?watch=true", "may not contain '?'"),
            ("a#b", "may not contain '#'"),
            ("a b", "may not contain blanks or control characters"),
            ("a\n", "may not contain blanks or control characters"),
        ] {
            let expected = format!("invalid resource name {name:?}: {reason}");
            assert_eq!(check_name(name).map_err(|error| error.to_string()), Err(expected));
        }
        for name in ["app", "system:node", "v1.apps", "kube-root-ca.crt", "A_b~c"] {
            assert_eq!(check_name(name), Ok(()));
        }
    }
}
