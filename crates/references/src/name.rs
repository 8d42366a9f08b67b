//! Names that come from objects and go into URLs.

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

#[cfg(test)]
mod tests {
    use super::*;

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
