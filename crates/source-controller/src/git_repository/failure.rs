//! What Git's errors are in the terms of the API.

use source::failure::{Failure, reason};

use super::limits::hint;

/// The failure that an error of Git is.
pub fn git_failure(error: git::Error) -> Failure {
    match error {
        git::Error::EmptyRepository => Failure::fetch(reason::EMPTY_GIT_REPOSITORY, error.to_string()),
        git::Error::SparseDirectory(_) => {
            // The space before the colon is upstream's.
            let message = format!("failed to sparse checkout directories : {error}");
            Failure::fetch(reason::GIT_OPERATION_FAILED, message)
        }
        _ => {
            let hint = hint(error.bound());
            let message = format!("failed to checkout and determine revision: {error}{hint}");
            Failure::fetch(reason::GIT_OPERATION_FAILED, message)
        }
    }
}
