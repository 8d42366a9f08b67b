//! Objects that go.

use apply::error::RequestError;
use futures::{StreamExt, stream};
use kube::api::{DeleteParams, PropagationPolicy};

use super::send::retried;
use super::{Resource, groups};
use crate::configuration::Configuration;

/// What becomes of what belongs to a deleted object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Propagation {
    /// It goes, too, sooner or later.
    #[default]
    Background,
    /// It goes first.
    Foreground,
    /// It stays.
    Orphan,
}

/// Deletes objects, all of one kind before the next. Those that are gone already are none. All are tried.
pub(crate) async fn delete_all(
    configuration: &Configuration,
    resources: &mut [Resource],
    propagation: Propagation,
) -> Vec<RequestError> {
    let mut errors = Vec::new();
    for group in groups(resources) {
        let deleted = stream::iter(group.iter()).map(|resource| delete(configuration, resource, propagation));
        let answers: Vec<_> = deleted.buffered(configuration.concurrency).collect().await;
        errors.extend(answers.into_iter().filter_map(Result::err));
    }
    errors
}

/// Deletes an object, if it is there.
pub(super) async fn delete(
    configuration: &Configuration,
    resource: &Resource,
    propagation: Propagation,
) -> Result<(), RequestError> {
    let policy = match propagation {
        Propagation::Background => PropagationPolicy::Background,
        Propagation::Foreground => PropagationPolicy::Foreground,
        Propagation::Orphan => PropagationPolicy::Orphan,
    };
    let params = DeleteParams { propagation_policy: Some(policy), ..DeleteParams::default() };
    let requests = configuration.requests();
    let deleted =
        retried(RequestError::is_conflict, async || requests.delete_named(&resource.target(), &params).await);
    match deleted.await {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}
