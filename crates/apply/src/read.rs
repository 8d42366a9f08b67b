//! Reading single objects, where no watch tells of them.

use std::time::Duration;

use kube::Client;
use serde_json::Value;

use crate::error::RequestError;
use crate::mapper::Mapper;
use crate::prune::Entry;
use crate::request::{Requests, Target};

/// The live object of an entry, in the identity of `client`; `None` if it does not exist.
///
/// # Errors
/// If the API server does not serve the kind, refuses, or does not answer within `timeout`.
pub async fn object(
    client: &Client,
    mapper: &Mapper,
    entry: &Entry,
    timeout: Duration,
) -> Result<Option<Value>, RequestError> {
    let mapped = mapper.resolve(&entry.id.gvk(&entry.version)).await?;
    let requests = Requests { client: client.clone(), timeout };
    requests.get(&Target { mapped: &mapped, namespace: &entry.id.namespace, name: &entry.id.name }).await
}
