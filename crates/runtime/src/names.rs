//! Names that come from objects and go into URLs.

/// Whether a name or namespace may be one segment of a request's path. kube formats it in as it is, so `?watch=true` would
/// become a query. The rule is the API server's own for path segments, and no control characters or blanks.
pub fn is_path_segment(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
        && !name.contains(|c: char| matches!(c, '/' | '%' | '?' | '#') || c.is_control() || c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::is_path_segment;

    #[test]
    fn what_would_change_the_request_is_no_name() {
        for name in ["", ".", "..", "a/b", "a?watch=true", "?limit=0", "a#b", "%2e", "a b", "a\n"] {
            assert!(!is_path_segment(name), "{name:?}");
        }
        for name in ["app", "system:node", "v1.apps", "kube-root-ca.crt", "A_b~c"] {
            assert!(is_path_segment(name), "{name:?}");
        }
    }
}
