//! Posts events to notification-controller (`--events-addr`), in order.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::core::v1::ObjectReference;
use net::{Backoff, chain};
use serde::Serialize;

use super::queue::Receiver;
use crate::metrics::Metrics;

/// Upstream's client: 5 s a request, four more attempts, 1 s to 30 s between them.
const POST_TIMEOUT: Duration = Duration::from_secs(5);
const RETRIES: u32 = 4;
const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(30) };

/// event.toolkit.fluxcd.io/v1.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    involved_object: &'a ObjectReference,
    #[serde(skip_serializing_if = "Option::is_none")]
    related_object: Option<&'a ObjectReference>,
    action: &'a str,
    severity: &'a str,
    timestamp: String,
    message: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: &'a BTreeMap<String, String>,
    reporting_controller: &'a str,
    reporting_instance: &'a str,
}

pub(super) async fn run(
    mut queue: Receiver,
    url: String,
    component: &'static str,
    instance: String,
    metrics: Metrics,
) {
    let client = match reqwest::Client::builder().timeout(POST_TIMEOUT).no_proxy().build() {
        Ok(client) => client,
        Err(error) => {
            tracing::error!(logger = "events", error = %error, "events are not posted");
            return;
        }
    };
    let shown = net::redact(&url);
    while let Some(event) = queue.recv().await {
        let payload = Payload {
            involved_object: &event.object,
            related_object: event.related.as_ref(),
            action: event.action,
            severity: event.severity.label(),
            timestamp: event.time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            message: &event.message,
            reason: &event.reason,
            metadata: &event.annotations,
            reporting_controller: component,
            reporting_instance: &instance,
        };
        if let Err(error) = post(&client, &url, &payload).await {
            metrics.event_dropped("webhook");
            tracing::error!(
                logger = "events",
                reason = event.reason,
                error,
                url = shown,
                "failed to post event"
            );
        }
    }
}

/// Delivers an event, or says why it could not. 429 means that the receiver has it already.
async fn post(client: &reqwest::Client, url: &str, payload: &Payload<'_>) -> Result<(), String> {
    let mut attempt = 0;
    loop {
        let (error, is_final) =
            match client.post(url).json(payload).send().await.map(|answer| answer.status()) {
                Ok(status) if status.is_success() || status.as_u16() == 429 => return Ok(()),
                Ok(status) => (format!("the receiver answers {status}"), !status.is_server_error()),
                // Without the URL, whose path may be a secret.
                Err(error) => (chain(&error.without_url()), false),
            };
        if is_final || attempt == RETRIES {
            return Err(error);
        }
        attempt += 1;
        tokio::time::sleep(BACKOFF.after(attempt)).await;
    }
}
