//! Errors of single objects and of whole stages, in the words users know.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kube::core::Status;

use crate::applier::Memory;
use crate::change::ChangeSet;
use crate::mapper::MapError;
use crate::mask::Mask;
use crate::object::ObjectId;

/// Why a request about an object failed.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The API server answered with an error.
    #[error("{}", .0.message)]
    Api(Box<Status>),
    /// No answer in time.
    #[error("no answer from the API server within {0:?}")]
    Deadline(Duration),
    /// The kind is not served.
    #[error(transparent)]
    Kind(#[from] MapError),
    /// The request did not get through, or its answer could not be read.
    #[error("{}", net::chain(.0))]
    Transport(#[source] kube::Error),
}

impl RequestError {
    /// The error without secret values in its texts.
    #[must_use]
    pub fn masked(self, mask: &Mask) -> Self {
        match self {
            Self::Api(mut status) => {
                status.message = mask.apply(&status.message);
                for cause in status.details.iter_mut().flat_map(|details| &mut details.causes) {
                    cause.message = mask.apply(&cause.message);
                }
                Self::Api(status)
            }
            error => error,
        }
    }

    /// The API server's status, if it answered.
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Api(status) => Some(status),
            _ => None,
        }
    }

    /// Whether the object, its namespace or its path does not exist.
    pub fn is_not_found(&self) -> bool {
        self.status().is_some_and(|s| s.code == 404 || s.reason == "NotFound")
    }

    /// Whether the path does not exist: what discovery said is out of date.
    pub(crate) fn is_unknown_path(&self) -> bool {
        self.is_not_found()
            && self.status().is_some_and(|s| s.details.as_ref().is_none_or(|d| d.name.is_empty()))
    }

    /// Whether the object changed or was replaced meanwhile.
    pub fn is_conflict(&self) -> bool {
        self.status().is_some_and(|s| s.code == 409)
    }

    /// Whether the API server did not answer.
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Deadline(_) | Self::Transport(kube::Error::Service(_) | kube::Error::HyperError(_))
        )
    }

    /// Whether the request would fail again: the API server refuses it, or does not serve the kind.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Api(status) => (400..500).contains(&status.code) && status.code != 429,
            Self::Kind(error) => matches!(error, MapError::NoMatch { .. }),
            Self::Deadline(_) | Self::Transport(_) => false,
        }
    }

    /// The word in brackets after `dry-run failed`.
    fn reason(&self) -> &str {
        let Some(status) = self.status() else { return "" };
        let mut causes = status.details.iter().flat_map(|d| &d.causes);
        if causes.any(|c| c.reason == "FieldManagerConflict") {
            "FieldManagerConflict"
        } else {
            &status.reason
        }
    }
}

/// One object that failed, with the message users see.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ObjectError {
    /// The object.
    pub id: ObjectId,
    /// The file it was built from.
    pub source_file: Option<Arc<str>>,
    /// Upstream's sentence: subject, failed step, reason, server's message.
    pub message: String,
    /// The request's error.
    #[source]
    pub source: RequestError,
}

impl ObjectError {
    /// A dry-run that failed.
    pub fn dry_run(id: ObjectId, source_file: Option<Arc<str>>, source: RequestError) -> Self {
        let message = if source.is_not_found() && id.namespace.is_empty() {
            format!("{id} namespace not specified: {source}")
        } else if source.is_not_found() {
            format!("{id} not found: {source}")
        } else {
            match source.reason() {
                "" => format!("{id} dry-run failed: {source}"),
                reason => format!("{id} dry-run failed ({reason}): {source}"),
            }
        };
        Self { id, source_file, message, source }
    }

    /// The error without secret values in its texts.
    #[must_use]
    pub fn masked(mut self, mask: &Mask) -> Self {
        self.message = mask.apply(&self.message);
        self.source = self.source.masked(mask);
        self
    }

    /// Another step that failed.
    pub(crate) fn step(
        id: ObjectId,
        source_file: Option<Arc<str>>,
        step: &str,
        source: RequestError,
    ) -> Self {
        let message = format!("{id} {step}: {source}");
        Self { id, source_file, message, source }
    }
}

/// A stage that failed. Nothing of it was applied if a check failed.
#[derive(Debug)]
pub struct StageError {
    /// Every failed object, in apply order. Empty if `before_first_write` refused.
    pub failures: Vec<ObjectError>,
    /// What `before_first_write` said.
    pub refused: Option<Box<dyn Error + Send + Sync>>,
    /// What was applied nevertheless.
    pub changes: ChangeSet,
    /// What is now known about the objects that were applied.
    pub memory: Memory,
    /// Most bytes of the message.
    pub(crate) message_limit: usize,
}

impl Error for StageError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.refused.as_deref().map(|e| e as &(dyn Error + 'static))
    }
}

impl fmt::Display for StageError {
    /// One failure a line, the first in upstream's words, each with its file; those beyond the limit are counted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(refused) = &self.refused {
            return write!(f, "{refused}");
        }
        let mut written = 0;
        for (i, failure) in self.failures.iter().enumerate() {
            let line = match &failure.source_file {
                Some(file) => format!("{}\n  in {file}", failure.message),
                None => failure.message.clone(),
            };
            let left = self.message_limit.saturating_sub(written);
            if i > 0 && line.len() > left {
                return write!(f, "\n... and {} more", self.failures.len() - i);
            }
            if i > 0 {
                f.write_str("\n")?;
            }
            f.write_str(truncated(&line, left))?;
            written += line.len() + 1;
        }
        Ok(())
    }
}

/// The longest prefix of whole characters within a number of bytes.
fn truncated(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn api(code: u16, reason: &str, message: &str) -> RequestError {
        let status = json!({"status": "Failure", "code": code, "reason": reason, "message": message});
        RequestError::Api(Box::new(serde_json::from_value(status).unwrap_or_default()))
    }

    fn id(namespace: &str, name: &str) -> ObjectId {
        ObjectId {
            group: String::new(),
            kind: "Service".into(),
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    fn message(namespace: &str, error: RequestError) -> String {
        ObjectError::dry_run(id(namespace, "a"), None, error).to_string()
    }

    #[test]
    fn what_may_be_answered_later_is_not_final() {
        let status = |code| RequestError::Api(Box::new(Status { code, ..Default::default() }));
        for code in [400, 401, 403, 404, 405] {
            assert!(status(code).is_final(), "{code}");
        }
        for code in [429, 500, 502, 503, 504] {
            assert!(!status(code).is_final(), "{code}");
        }
        assert!(!RequestError::Deadline(Duration::from_secs(30)).is_final());
        let unserved = MapError::NoMatch { kind: "A".to_owned(), api_version: "b/v1".to_owned() };
        assert!(RequestError::Kind(unserved).is_final());
        assert!(!RequestError::Kind(MapError::Discovery("no answer".to_owned())).is_final());
    }

    #[test]
    fn dry_run_errors_read_as_upstream() {
        assert_eq!(message("", api(404, "NotFound", "x")), "Service/a namespace not specified: x");
        assert_eq!(
            message("n", api(404, "NotFound", "namespaces \"n\" not found")),
            "Service/n/a not found: namespaces \"n\" not found"
        );
        assert_eq!(message("n", api(422, "Invalid", "bad")), "Service/n/a dry-run failed (Invalid): bad");
        assert_eq!(
            message("n", api(500, "", "failed to create typed patch object (x)")),
            "Service/n/a dry-run failed: failed to create typed patch object (x)"
        );
        let missing = MapError::NoMatch { kind: "Service".into(), api_version: "x/v1".into() };
        assert_eq!(
            message("n", missing.into()),
            "Service/n/a dry-run failed: no matches for kind \"Service\" in version \"x/v1\""
        );
    }

    #[test]
    fn a_field_manager_conflict_is_named() {
        let status = json!({"code": 409, "reason": "Conflict", "message": "m", "details": {"causes": [{"reason": "FieldManagerConflict"}]}});
        let error = RequestError::Api(Box::new(serde_json::from_value(status).unwrap_or_default()));
        assert_eq!(message("n", error), "Service/n/a dry-run failed (FieldManagerConflict): m");
    }

    fn stage(names: &[&str], message_limit: usize) -> StageError {
        let failures = names
            .iter()
            .map(|n| {
                ObjectError::dry_run(id("n", n), Some(format!("{n}.yaml").into()), api(422, "Invalid", "bad"))
            })
            .collect();
        StageError {
            failures,
            refused: None,
            changes: ChangeSet::default(),
            memory: Memory::new(),
            message_limit,
        }
    }

    #[test]
    fn all_failures_are_told_with_their_files() {
        assert_eq!(
            stage(&["a", "b"], 1000).to_string(),
            "Service/n/a dry-run failed (Invalid): bad\n  in a.yaml\nService/n/b dry-run failed (Invalid): bad\n  in b.yaml"
        );
    }

    #[test]
    fn a_long_message_is_cut_and_the_rest_counted() {
        assert_eq!(
            stage(&["a", "b", "c"], 60).to_string(),
            "Service/n/a dry-run failed (Invalid): bad\n  in a.yaml\n... and 2 more"
        );
        assert_eq!(stage(&["a"], 7).to_string(), "Service");
    }
}
