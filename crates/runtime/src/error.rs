//! Error text with its causes, the way Go wraps them.

use std::error::Error;

/// `outer: cause: cause's cause`. A cause whose text its parent already ends with is not repeated.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let (part, last) = match error.downcast_ref() {
            // kube prints an API server's answer with all its fields; people want the sentence.
            Some(kube::Error::Api(status)) => (status.message.clone(), true),
            _ => (error.to_string(), false),
        };
        if !text.ends_with(&part) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&part);
        }
        next = error.source().filter(|_| !last);
    }
    text
}

/// At most `most` bytes of a text, with `...` at the end if it was longer.
pub fn truncate(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(most.saturating_sub(3));
    format!("{}...", text.get(..end).unwrap_or_default())
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

    #[test]
    fn an_api_servers_answer_is_its_sentence() {
        let status = kube::core::Status::failure("configmaps \"x\" not found", "NotFound").with_code(404);
        let error = kube::Error::Api(Box::new(status));
        assert_eq!(chain(&error), "configmaps \"x\" not found");
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        assert_eq!(truncate("short", 5), "short");
        assert_eq!(truncate("ääääää", 10), "äää...");
    }
}
