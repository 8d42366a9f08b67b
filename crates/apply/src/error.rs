//! Errors of single objects and of whole stages, in the words users know.

use std::sync::Arc;
use std::time::Duration;

use crate::applier::Memory;
use crate::change::ChangeSet;
use crate::object::ObjectId;

/// Why a request about an object failed.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The API server answered with an error.
    #[error("{}", .0.message)]
    Api(Box<kube::core::Status>),
    /// No answer in time.
    #[error("no answer from the API server within {0:?}")]
    Deadline(Duration),
    /// The kind is not served.
    #[error(transparent)]
    Kind(#[from] crate::mapper::MapError),
    /// The request did not get through, or its answer could not be read.
    #[error("{0}")]
    Transport(#[source] kube::Error),
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

/// A stage that failed. Nothing of it was applied if a check failed.
#[derive(Debug)]
pub struct StageError {
    /// Every failed object, in apply order. Empty if `before_first_write` refused.
    pub failures: Vec<ObjectError>,
    /// What `before_first_write` said.
    pub refused: Option<Box<dyn std::error::Error + Send + Sync>>,
    /// What was applied nevertheless.
    pub changes: ChangeSet,
    /// What is now known about the objects that were applied.
    pub memory: Memory,
}

impl std::fmt::Display for StageError {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        todo!()
    }
}

impl std::error::Error for StageError {}
