//! Stores events as core/v1 objects beside the object they are about.

use std::time::{Duration, Instant};

use k8s_openapi::{
    api::core::v1::{Event as CoreEvent, EventSource},
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::json;

use super::{
    Event,
    correlate::{Correlator, Limits, Verdict},
    queue::Receiver,
};
use crate::{conditions::MAX_MESSAGE, error::truncate, metrics::Metrics};

/// Longest time one event may take; the queue behind it is bounded.
const CREATE_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) async fn run(
    mut queue: Receiver,
    client: Client,
    component: &'static str,
    instance: String,
    metrics: Metrics,
) {
    let mut correlator = Correlator::new(Limits::default());
    while let Some(event) = queue.recv().await {
        let store = store(&event, &client, component, &instance, &mut correlator);
        match tokio::time::timeout(CREATE_TIMEOUT, store).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                metrics.event_dropped("kubernetes");
                tracing::debug!(logger = "events", error = %crate::error::chain(&error), "failed to store event");
            }
            Err(_) => metrics.event_dropped("kubernetes"),
        }
    }
}

async fn store(
    event: &Event,
    client: &Client,
    component: &'static str,
    instance: &str,
    correlator: &mut Correlator,
) -> Result<(), kube::Error> {
    let namespace = event.object.namespace.as_deref().filter(|n| !n.is_empty()).unwrap_or("default");
    let api: Api<CoreEvent> = Api::namespaced(client.clone(), namespace);
    match correlator.judge(event, Instant::now()) {
        Verdict::Drop => return Ok(()),
        Verdict::Repeat { name, count } => {
            let patch = json!({ "count": count, "lastTimestamp": Time(event.time) });
            match api.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await {
                // Expired in the meantime: store it anew below.
                Err(kube::Error::Api(status)) if status.code == 404 => correlator.forget(event),
                other => return other.map(drop),
            }
        }
        Verdict::Create => {}
    }
    let object = core_event(event, namespace, component, instance);
    let created = api.create(&PostParams::default(), &object).await?;
    correlator.stored(event, created.metadata.name.unwrap_or_default(), Instant::now());
    Ok(())
}

/// client-go's shape: the name is the object's with a hexadecimal time.
fn core_event(event: &Event, namespace: &str, component: &str, instance: &str) -> CoreEvent {
    let subject = event.object.name.as_deref().unwrap_or_default();
    CoreEvent {
        metadata: ObjectMeta {
            name: Some(format!("{subject}.{:x}", event.time.as_nanosecond())),
            namespace: Some(namespace.to_owned()),
            annotations: (!event.annotations.is_empty()).then(|| event.annotations.clone()),
            ..ObjectMeta::default()
        },
        involved_object: event.object.clone(),
        type_: Some(event.severity.kubernetes_type().to_owned()),
        reason: Some(event.reason.clone()),
        message: Some(truncate(&event.message, MAX_MESSAGE)),
        source: Some(EventSource { component: Some(component.to_owned()), host: None }),
        first_timestamp: Some(Time(event.time)),
        last_timestamp: Some(Time(event.time)),
        count: Some(1),
        reporting_component: Some(component.to_owned()),
        reporting_instance: Some(instance.to_owned()),
        ..CoreEvent::default()
    }
}
