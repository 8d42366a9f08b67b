//! Events: core/v1 objects for `kubectl describe`, and JSON posts for notification-controller.
//!
//! Recording never waits. Each sink has its own bounded queue and its own worker; what does not fit is
//! dropped and counted, so a slow or dead sink costs the reconcilers nothing.

mod cluster;
mod correlate;
mod queue;
mod webhook;

use std::collections::BTreeMap;

use api::meta::EVENT_ANNOTATION_PREFIX;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{Client, Resource, ResourceExt};

use crate::{error::truncate, metrics::Metrics};

/// Who an event is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// For people and alerts.
    Info,
    /// Something failed.
    Error,
    /// For `kubectl describe` only, never posted.
    Trace,
}

impl Severity {
    fn kubernetes_type(self) -> &'static str {
        if self == Self::Error { "Warning" } else { "Normal" }
    }

    /// The word in events and payloads.
    pub fn label(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Error => "error",
            Self::Trace => "trace",
        }
    }
}

/// What a controller was doing when it had something to tell: `action` of Flux 2.10's events.
pub mod action {
    /// The run or pass as a whole.
    pub const RECONCILE: &str = "Reconcile";
    /// What an object depends on.
    pub const CHECK_DEPENDENCIES: &str = "CheckDependencies";
    /// The source that an object refers to.
    pub const RESOLVE_SOURCE: &str = "ResolveSource";
    /// Objects were applied.
    pub const APPLY: &str = "Apply";
    /// Objects that are no longer wanted were deleted.
    pub const PRUNE: &str = "Prune";
    /// The health of what was applied.
    pub const HEALTH_CHECK: &str = "HealthCheck";
    /// The object is deleted.
    pub const FINALIZE: &str = "Finalize";
    /// What is stored of a source.
    pub const RECONCILE_STORAGE: &str = "ReconcileStorage";
    /// Signatures of what was fetched.
    pub const VERIFY_SOURCE: &str = "VerifySource";
    /// Artifacts that are not needed any more.
    pub const GARBAGE_COLLECT: &str = "GarbageCollect";
}

/// One thing that happened to one object.
#[derive(Clone, Debug)]
pub struct Event {
    /// The object, with its resource version at the time.
    pub object: ObjectReference,
    /// Another object that has to do with it, such as the source of a Kustomization. Only posted.
    pub related: Option<ObjectReference>,
    /// One of [`action`]. Only posted.
    pub action: &'static str,
    /// Who it is for.
    pub severity: Severity,
    /// CamelCase word.
    pub reason: String,
    /// Sentence for people. No secrets.
    pub message: String,
    /// Machine-readable details, full keys.
    pub annotations: BTreeMap<String, String>,
    time: Timestamp,
}

/// Longest message that any sink takes, in bytes; the cluster's is shorter.
const MAX_MESSAGE_BYTES: usize = 39_000;
/// Bytes of an object's own event annotations, keys and values; those beyond are left out.
const MAX_ANNOTATION_BYTES: usize = 16 << 10;
/// Bytes of all events that wait for one sink.
const QUEUE_BYTES: usize = 16 << 20;

/// The event annotations of an object, as far as they are not too long.
fn own_annotations(annotations: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let own = annotations.iter().filter(|(key, _)| key.starts_with(EVENT_ANNOTATION_PREFIX));
    let mut left = MAX_ANNOTATION_BYTES;
    let fitting = own.filter(|(key, value)| match left.checked_sub(key.len() + value.len()) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    });
    fitting.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// A reference to an object as it is now, as client-go's `GetReference` makes it: with its resource version, which kube's
/// `object_ref` leaves out.
pub fn reference<K: Resource>(object: &K, dynamic_type: &K::DynamicType) -> ObjectReference {
    ObjectReference { resource_version: object.resource_version(), ..object.object_ref(dynamic_type) }
}

impl Event {
    /// An event of `object` now, with the object's own event annotations. Texts are cut to what sinks take.
    pub fn new<K: Resource<DynamicType = ()>>(
        object: &K,
        severity: Severity,
        action: &'static str,
        reason: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            object: reference(object, &()),
            related: None,
            action,
            severity,
            reason: reason.into(),
            message: truncate(&message.into(), MAX_MESSAGE_BYTES),
            annotations: own_annotations(object.annotations()),
            time: Timestamp::now(),
        }
    }

    /// Names another object that has to do with it.
    #[must_use]
    pub fn related_to(mut self, object: Option<ObjectReference>) -> Self {
        self.related = object;
        self
    }

    /// Adds one detail.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.annotations.insert(key.to_owned(), value.into());
        self
    }
}

/// Where events go.
pub struct Sinks {
    /// The cluster that stores them.
    pub client: Client,
    /// Name of the reporting controller, for example `source-controller`.
    pub component: &'static str,
    /// `--events-addr`; `None` posts nothing.
    pub webhook: Option<String>,
    /// Events waiting per sink.
    pub capacity: usize,
}

/// Hands events to the sinks. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    cluster: queue::Sender,
    webhook: Option<queue::Sender>,
    metrics: Metrics,
}

impl Recorder {
    /// Starts the sinks' workers; they end when the last recorder is dropped and the queues are empty.
    pub fn start(sinks: Sinks, metrics: Metrics) -> (Self, tokio::task::JoinSet<()>) {
        let instance = hostname();
        let mut workers = tokio::task::JoinSet::new();
        let limits = queue::Limits { events: sinks.capacity, bytes: QUEUE_BYTES };
        let (cluster, events) = queue::queue(limits);
        workers.spawn(cluster::run(events, sinks.client, sinks.component, instance.clone(), metrics.clone()));
        let webhook = sinks.webhook.map(|url| {
            let (sender, events) = queue::queue(limits);
            workers.spawn(webhook::run(events, url, sinks.component, instance, metrics.clone()));
            sender
        });
        (Self { cluster, webhook, metrics }, workers)
    }

    /// Queues an event for every sink that wants it.
    pub fn record(&self, event: Event) {
        if let Some(webhook) = self.webhook.as_ref().filter(|_| event.severity != Severity::Trace)
            && !webhook.try_send(event.clone())
        {
            self.metrics.event_dropped("webhook");
        }
        if !self.cluster.try_send(event) {
            self.metrics.event_dropped("kubernetes");
        }
    }
}

/// The pod's name, as Kubernetes sets it.
pub(crate) fn hostname() -> String {
    let named = std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
    named.or_else(|| std::fs::read_to_string("/etc/hostname").ok()).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;

    #[test]
    fn an_event_names_its_object_in_full() {
        let mut object = ConfigMap::default();
        object.metadata.name = Some("app".into());
        object.metadata.namespace = Some("ns".into());
        object.metadata.uid = Some("u".into());
        object.metadata.resource_version = Some("17".into());
        let event = Event::new(&object, Severity::Info, action::RECONCILE, "Reason", "text");
        let expected = ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("ConfigMap".into()),
            name: Some("app".into()),
            namespace: Some("ns".into()),
            uid: Some("u".into()),
            resource_version: Some("17".into()),
            field_path: None,
        };
        assert_eq!(event.object, expected);
    }

    #[test]
    fn texts_of_an_event_are_cut_to_what_sinks_take() {
        let mut object = ConfigMap::default();
        let annotations = object.annotations_mut();
        annotations.insert(format!("{EVENT_ANNOTATION_PREFIX}a"), "x".repeat(MAX_ANNOTATION_BYTES));
        annotations.insert(format!("{EVENT_ANNOTATION_PREFIX}b"), "short".into());
        annotations.insert("other".into(), "x".into());
        let event =
            Event::new(&object, Severity::Info, action::RECONCILE, "Reason", "é".repeat(MAX_MESSAGE_BYTES));
        assert!(event.message.len() <= MAX_MESSAGE_BYTES && event.message.ends_with("é..."));
        let kept: Vec<_> = event.annotations.values().map(String::as_str).collect();
        assert_eq!(kept, ["short"]);
    }
}
