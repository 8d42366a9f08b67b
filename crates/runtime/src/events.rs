//! Events: core/v1 objects for `kubectl describe`, and JSON posts for notification-controller.
//!
//! Recording never waits. Each sink has its own bounded queue and its own worker; what does not fit is
//! dropped and counted, so a slow or dead sink costs the reconcilers nothing.

mod cluster;
mod correlate;
mod webhook;

use std::collections::BTreeMap;

use api::meta::EVENT_ANNOTATION_PREFIX;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{Client, Resource, ResourceExt};
use tokio::sync::mpsc;

use crate::metrics::Metrics;

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

/// One thing that happened to one object.
#[derive(Clone, Debug)]
pub struct Event {
    /// The object, with its resource version at the time.
    pub object: ObjectReference,
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

impl Event {
    /// An event of `object` now, with the object's own event annotations.
    pub fn new<K: Resource<DynamicType = ()>>(
        object: &K,
        severity: Severity,
        reason: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        let own = object.annotations().iter().filter(|(key, _)| key.starts_with(EVENT_ANNOTATION_PREFIX));
        Self {
            object: object.object_ref(&()),
            severity,
            reason: reason.into(),
            message: message.into(),
            annotations: own.map(|(k, v)| (k.clone(), v.clone())).collect(),
            time: Timestamp::now(),
        }
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
    cluster: mpsc::Sender<Event>,
    webhook: Option<mpsc::Sender<Event>>,
    metrics: Metrics,
}

impl Recorder {
    /// Starts the sinks' workers; they end when the last recorder is dropped and the queues are empty.
    pub fn start(sinks: Sinks, metrics: Metrics) -> (Self, tokio::task::JoinSet<()>) {
        let instance = hostname();
        let mut workers = tokio::task::JoinSet::new();
        let (cluster, queue) = mpsc::channel(sinks.capacity);
        workers.spawn(cluster::run(queue, sinks.client, sinks.component, instance.clone(), metrics.clone()));
        let webhook = sinks.webhook.map(|url| {
            let (sender, queue) = mpsc::channel(sinks.capacity);
            workers.spawn(webhook::run(queue, url, sinks.component, instance, metrics.clone()));
            sender
        });
        (Self { cluster, webhook, metrics }, workers)
    }

    /// Queues an event for every sink that wants it.
    pub fn record(&self, event: Event) {
        if let Some(webhook) = self.webhook.as_ref().filter(|_| event.severity != Severity::Trace)
            && webhook.try_send(event.clone()).is_err()
        {
            self.metrics.event_dropped("webhook");
        }
        if self.cluster.try_send(event).is_err() {
            self.metrics.event_dropped("kubernetes");
        }
    }
}

/// The pod's name, as Kubernetes sets it.
pub(crate) fn hostname() -> String {
    let named = std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
    named.or_else(|| std::fs::read_to_string("/etc/hostname").ok()).unwrap_or_default().trim().to_owned()
}
