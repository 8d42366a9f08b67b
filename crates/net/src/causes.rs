//! Errors with their causes, the way Go wraps them.

use std::error::Error;
use std::iter::successors;

/// `outer: cause: cause's cause`. A cause whose text its parent already ends with is not repeated.
///
/// ```
/// #[derive(Debug, thiserror::Error)]
/// #[error("failed to open")]
/// struct Open(#[source] std::io::Error);
///
/// let error = Open(std::io::Error::other("disk full"));
/// assert_eq!(net::chain(&error), "failed to open: disk full");
/// ```
pub fn chain(error: &(dyn Error + 'static)) -> String {
    join(successors(Some(error), |error| (*error).source()).map(ToString::to_string))
}

/// The causes of an HTTP client's error, outermost first, without the error's own text: that repeats the URL, which may hold
/// secrets.
pub fn causes(error: &(dyn Error + 'static)) -> String {
    match error.source() {
        Some(cause) => chain(cause),
        None => "request failed".to_owned(),
    }
}

/// Joins the texts of errors, outermost first, as [`chain`] does.
pub fn join(texts: impl IntoIterator<Item = String>) -> String {
    let mut joined = String::new();
    for text in texts {
        if !joined.ends_with(&text) {
            joined.push_str(if joined.is_empty() { "" } else { ": " });
            joined.push_str(&text);
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("error sending request for url (https://h/?token=secret)")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("client error: {0}")]
    struct Inner(#[source] std::io::Error);

    #[test]
    fn a_cause_that_its_parent_ends_with_is_not_repeated() {
        let error = Outer(Inner(std::io::Error::other("connection reset")));
        let text = "error sending request for url (https://h/?token=secret): client error: connection reset";
        assert_eq!(chain(&error), text);
    }

    #[test]
    fn the_text_of_the_error_itself_is_not_among_its_causes() {
        let error = Outer(Inner(std::io::Error::other("connection reset")));
        assert_eq!(causes(&error), "client error: connection reset");
        assert_eq!(causes(&std::io::Error::from(std::io::ErrorKind::TimedOut)), "request failed");
    }
}
