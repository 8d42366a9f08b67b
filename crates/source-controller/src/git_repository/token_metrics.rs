//! What Flux's dashboards read of the token cache.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts};
use runtime::metrics::Metrics;

/// The only operation that asks the token cache.
const OPERATION: &str = "reconcile";
/// What a look into the token cache can find.
const LOOKUPS: [&str; 2] = ["cache_miss", "cache_hit"];

/// Series of the token cache. Clones share them.
#[derive(Clone)]
pub struct TokenMetrics {
    events: IntCounterVec,
    requests: IntCounterVec,
    items: IntGauge,
    evictions: IntCounter,
}

impl TokenMetrics {
    /// Adds the series to those of the process.
    ///
    /// # Errors
    /// When one is there already, which is a programming error.
    pub fn register(metrics: &Metrics) -> Result<Self, prometheus::Error> {
        let counter = |name, help, labels: &[&str]| {
            IntCounterVec::new(Opts::new(name, help), labels).and_then(|vec| metrics.register(vec))
        };
        let tokens = Self {
            events: counter(
                "gotk_token_cache_events_total",
                "Total number of cache retrieval events for a Gitops Toolkit resource reconciliation.",
                &["event_type", "kind", "name", "namespace", "operation"],
            )?,
            requests: counter(
                "gotk_token_cache_requests_total",
                "Total number of cache requests partioned by success or failure.",
                &["status"],
            )?,
            items: IntGauge::new("gotk_token_cached_items", "Total number of items in the cache.")
                .and_then(|gauge| metrics.register(gauge))?,
            evictions: IntCounter::new(
                "gotk_token_cache_evictions_total",
                "Total number of cache evictions.",
            )
            .and_then(|counter| metrics.register(counter))?,
        };
        let events = tokens.events.clone();
        metrics.on_forget(move |kind, namespace, name| {
            for lookup in LOOKUPS {
                // An object that never asked has no series; that is no fault.
                let _absent = events.remove_label_values(&[lookup, kind, name, namespace, OPERATION]);
            }
        });
        Ok(tokens)
    }

    /// Counts a look into the cache for an object: whether the token was there, or that there is none to be had.
    pub fn asked(&self, kind: &str, namespace: &str, name: &str, hit: Option<bool>) {
        let status = if hit.is_some() { "success" } else { "failure" };
        self.requests.with_label_values(&[status]).inc();
        if let Some(hit) = hit {
            let [miss, found] = LOOKUPS;
            let labels = [if hit { found } else { miss }, kind, name, namespace, OPERATION];
            self.events.with_label_values(&labels).inc();
        }
    }

    /// Tells how many tokens there are, and how many had to go since the start.
    pub fn cached(&self, items: usize, evictions: u64) {
        self.items.set(i64::try_from(items).unwrap_or(i64::MAX));
        let new = evictions.saturating_sub(self.evictions.get());
        self.evictions.inc_by(new);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_token_cache_is_counted_as_flux_counts_it() {
        let metrics = Metrics::new().unwrap();
        let tokens = TokenMetrics::register(&metrics).unwrap();
        for hit in [Some(false), Some(true), Some(true), None] {
            tokens.asked("GitRepository", "ns", "app", hit);
        }
        tokens.cached(2, 1);
        tokens.cached(2, 3);
        let text = metrics.render();
        for line in [
            r#"gotk_token_cache_events_total{event_type="cache_hit",kind="GitRepository",name="app",namespace="ns",operation="reconcile"} 2"#,
            r#"gotk_token_cache_events_total{event_type="cache_miss",kind="GitRepository",name="app",namespace="ns",operation="reconcile"} 1"#,
            r#"gotk_token_cache_requests_total{status="success"} 3"#,
            r#"gotk_token_cache_requests_total{status="failure"} 1"#,
            "gotk_token_cached_items 2",
            "gotk_token_cache_evictions_total 3",
        ] {
            assert!(text.contains(line), "{line}\nnot in\n{text}");
        }
        metrics.forget("GitRepository", "ns", "app");
        assert!(!metrics.render().contains("gotk_token_cache_events_total{"));
    }
}
