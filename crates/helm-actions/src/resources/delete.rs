//! Objects that go.

use apply::error::RequestError;
use futures::FutureExt;
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
        let deleted = group.iter().map(|resource| delete(configuration, resource, propagation).boxed());
        let answers = configuration.side_by_side(deleted.collect()).await;
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
    let [namespace, name, kind] = resource.named();
    configuration.log.debug("starting delete resource", [namespace, name, kind]);
    let params = DeleteParams { propagation_policy: Some(policy), ..DeleteParams::default() };
    let requests = configuration.requests();
    let target = resource.target();
    let deleted = retried(RequestError::is_conflict, || requests.delete_named(&target, &params).boxed());
    match deleted.await {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}
