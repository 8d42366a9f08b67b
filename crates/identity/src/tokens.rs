//! The cache of tokens, and what Flux's dashboards read of it.

use std::future::Future;
use std::sync::Arc;

use auth::cache::{Key, Lookup};
use auth::{AccessToken, TokenCache};
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts};
use runtime::metrics::Metrics;

/// What a look into the token cache can find.
const LOOKUPS: [&str; 2] = ["cache_miss", "cache_hit"];

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A source is fetched.
    Reconcile,
    /// Another cluster is opened.
    FetchKubeconfig,
    /// AWS KMS decrypts.
    DecryptWithAws,
    /// Azure Key Vault decrypts.
    DecryptWithAzure,
    /// Google Cloud KMS decrypts.
    DecryptWithGcp,
    /// The transit engine of Vault or OpenBao decrypts.
    DecryptWithTransitEngine,
}

impl Operation {
    const ALL: [Operation; 6] = [
        Operation::Reconcile,
        Operation::FetchKubeconfig,
        Operation::DecryptWithAws,
        Operation::DecryptWithAzure,
        Operation::DecryptWithGcp,
        Operation::DecryptWithTransitEngine,
    ];

    /// Flux's label.
    fn label(self) -> &'static str {
        match self {
            Operation::Reconcile => "reconcile",
            Operation::FetchKubeconfig => "fetch_kubeconfig",
            Operation::DecryptWithAws => "decrypt_with_aws",
            Operation::DecryptWithAzure => "decrypt_with_azure",
            Operation::DecryptWithGcp => "decrypt_with_gcp",
            Operation::DecryptWithTransitEngine => "decrypt_with_transit_engine",
        }
    }
}

/// For which object a token is asked, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requester<'a> {
    /// Kind of the object.
    pub kind: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// What for.
    pub operation: Operation,
}

/// The cache of a process and its series. Clones share them.
#[derive(Clone)]
pub struct Tokens(Arc<Shared>);

struct Shared {
    cache: TokenCache,
    events: IntCounterVec,
    requests: IntCounterVec,
    items: IntGauge,
    evictions: IntCounter,
}

impl Tokens {
    /// Keeps tokens in `cache`, and adds its series to those of the process.
    ///
    /// # Errors
    /// When one is there already, which is a programming error.
    pub fn new(cache: TokenCache, metrics: &Metrics) -> Result<Self, prometheus::Error> {
        let counter = |name, help, labels: &[&str]| {
            IntCounterVec::new(Opts::new(name, help), labels).and_then(|vec| metrics.register(vec))
        };
        let shared = Shared {
            cache,
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
        let events = shared.events.clone();
        metrics.on_forget(move |kind, namespace, name| {
            for (lookup, operation) in LOOKUPS.into_iter().flat_map(|l| Operation::ALL.map(|o| (l, o))) {
                // An object that never asked has no series; that is no fault.
                let _absent = events.remove_label_values(&[lookup, kind, name, namespace, operation.label()]);
            }
        });
        Ok(Self(Arc::new(shared)))
    }

    /// The token for `key`, from `fetch` if there is none that is good. The look is counted for `requester`.
    ///
    /// # Errors
    /// That of `fetch`.
    pub async fn get<E>(
        &self,
        requester: Option<Requester<'_>>,
        key: Key,
        fetch: impl Future<Output = Result<AccessToken, E>>,
    ) -> Result<Lookup, E> {
        let shared = &self.0;
        let lookup = shared.cache.get(key, fetch).await;
        let status = if lookup.is_ok() { "success" } else { "failure" };
        shared.requests.with_label_values(&[status]).inc();
        if let (Some(requester), Ok(lookup)) = (requester, &lookup) {
            let Requester { kind, namespace, name, operation } = requester;
            let [miss, found] = LOOKUPS;
            let event = if lookup.hit { found } else { miss };
            shared.events.with_label_values(&[event, kind, name, namespace, operation.label()]).inc();
        }
        self.count();
        lookup
    }

    /// A server does not take the token of a look: who asks next gets another one.
    pub async fn forget(&self, lookup: &Lookup) {
        self.0.cache.forget(lookup).await;
    }

    /// Tells how many tokens there are, and how many had to go since the start.
    fn count(&self) {
        let Shared { cache, items, evictions, .. } = &*self.0;
        items.set(i64::try_from(cache.len()).unwrap_or(i64::MAX));
        let new = cache.evictions().saturating_sub(evictions.get());
        evictions.inc_by(new);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::{Duration, SystemTime};

    use auth::Secret;

    use super::*;

    #[tokio::test]
    async fn the_token_cache_is_counted_as_flux_counts_it() {
        let metrics = Metrics::new().unwrap();
        let tokens = Tokens::new(TokenCache::new(1, Duration::from_secs(3600)), &metrics).unwrap();
        let source = Requester {
            kind: "GitRepository",
            namespace: "ns",
            name: "app",
            operation: Operation::Reconcile,
        };
        let cluster = Requester { kind: "Kustomization", operation: Operation::FetchKubeconfig, ..source };
        let expires = SystemTime::now() + Duration::from_secs(600);
        let token = AccessToken::Opaque { token: Secret::new("t"), expires };
        for (requester, key, given) in [
            (Some(source), "a", Ok(token.clone())),
            (Some(source), "a", Err(())),
            (None, "a", Err(())),
            (Some(cluster), "b", Ok(token.clone())),
            (Some(cluster), "c", Err(())),
        ] {
            let _counted = tokens.get(requester, Key::new([key]), async { given }).await;
        }
        let text = metrics.render();
        for line in [
            r#"gotk_token_cache_events_total{event_type="cache_hit",kind="GitRepository",name="app",namespace="ns",operation="reconcile"} 1"#,
            r#"gotk_token_cache_events_total{event_type="cache_miss",kind="GitRepository",name="app",namespace="ns",operation="reconcile"} 1"#,
            r#"gotk_token_cache_events_total{event_type="cache_miss",kind="Kustomization",name="app",namespace="ns",operation="fetch_kubeconfig"} 1"#,
            r#"gotk_token_cache_requests_total{status="success"} 4"#,
            r#"gotk_token_cache_requests_total{status="failure"} 1"#,
            "gotk_token_cached_items 1",
            "gotk_token_cache_evictions_total 2",
        ] {
            assert!(text.contains(line), "{line}\nnot in\n{text}");
        }
        metrics.forget("GitRepository", "ns", "app");
        metrics.forget("Kustomization", "ns", "app");
        assert!(!metrics.render().contains("gotk_token_cache_events_total{"));
    }
}
