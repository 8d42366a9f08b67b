//! Error text with its causes, the way Go wraps them.

use std::error::Error;

/// As [`net::chain`], but of what an API server answered only its sentence: kube prints it with all its fields.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| match error.downcast_ref() {
        Some(kube::Error::Api(_)) => None,
        _ => (*error).source(),
    });
    net::join(causes.map(|error| match error.downcast_ref() {
        Some(kube::Error::Api(status)) => status.message.clone(),
        _ => error.to_string(),
    }))
}

/// Why a task gave no result. What a panic says may quote what it was about, secrets too: nobody is told, and the log has the place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    /// The task panicked.
    #[error("the work panicked: the log of the controller says where")]
    Panicked,
    /// The process ends.
    #[error("the work was cancelled")]
    Cancelled,
}

impl From<tokio::task::JoinError> for TaskError {
    fn from(error: tokio::task::JoinError) -> Self {
        if error.is_panic() { Self::Panicked } else { Self::Cancelled }
    }
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
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("failed to read")]
    struct Outer(#[source] kube::Error);

    #[test]
    fn an_api_servers_answer_is_its_sentence() {
        let status = kube::core::Status::failure("configmaps \"x\" not found", "NotFound").with_code(404);
        let error = Outer(kube::Error::Api(Box::new(status)));
        assert_eq!(chain(&error), "failed to read: configmaps \"x\" not found");
    }

    #[tokio::test]
    async fn what_a_panic_says_is_not_told() {
        let panicked = tokio::spawn(async { panic!("hunter2") }).await.unwrap_err();
        assert_eq!(
            TaskError::from(panicked).to_string(),
            "the work panicked: the log of the controller says where"
        );
        let task = tokio::spawn(std::future::pending::<()>());
        task.abort();
        assert_eq!(TaskError::from(task.await.unwrap_err()), TaskError::Cancelled);
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        assert_eq!(truncate("short", 5), "short");
        assert_eq!(truncate("ääääää", 10), "äää...");
    }
}
