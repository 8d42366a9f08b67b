//! Error text with its causes, the way Go wraps them.

use std::error::Error;

/// `outer: cause: cause's cause`. A cause whose text its parent already ends with is not repeated.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let part = cause.to_string();
        if !text.ends_with(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("failed to open")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn causes_follow_once() {
        let io = std::io::Error::other("disk on fire");
        assert_eq!(chain(&Outer(io)), "failed to open: disk on fire");
    }
}
