//! Which kinds a cluster serves, and where: aggregated discovery of one cluster, shared by all its users.
//!
//! A group version that the API server could not reach (a broken aggregated API) affects only its own kinds.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use kube::Client;
use kube::core::discovery::v2::{APIGroupDiscovery, APIResourceDiscovery};
use kube::core::{ApiResource, GroupVersionKind};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until, timeout};

/// A served kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestMapping {
    /// Where it is served.
    pub resource: ApiResource,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

/// Why a kind could not be found.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum MapError {
    /// The cluster does not serve it.
    #[error("no matches for kind \"{kind}\" in version \"{api_version}\"")]
    NoMatch {
        /// Kind asked for.
        kind: String,
        /// `apiVersion` asked for; only the group if any version would have done.
        api_version: String,
    },
    /// The cluster could not say.
    #[error("unable to retrieve the complete list of server APIs: {0}")]
    Discovery(String),
}

/// How a mapper asks.
#[derive(Clone, Debug)]
pub struct MapperOptions {
    /// Shortest time between two discoveries: a missing kind waits that long for the next one.
    pub min_interval: Duration,
    /// Longest wait for one answer.
    pub request_timeout: Duration,
}

impl Default for MapperOptions {
    fn default() -> Self {
        Self { min_interval: Duration::from_secs(2), request_timeout: Duration::from_secs(30) }
    }
}

/// Discovery of one cluster.
pub struct Mapper {
    client: Client,
    options: MapperOptions,
    table: RwLock<Arc<Table>>,
    /// When the last discovery ended. Held while one runs, so that all who miss a kind share it.
    refreshed: Mutex<Option<Instant>>,
    /// How often definitions were applied: a table from before is asked for anew at once.
    invalidated: AtomicU64,
    /// Kinds of which a path turned out to be gone since the last discovery began: they wait for another one.
    stale: StdMutex<HashSet<(String, String)>>,
}

impl Mapper {
    /// `client` is the controller's own for that cluster.
    pub fn new(client: Client, options: MapperOptions) -> Self {
        Self {
            client,
            options,
            table: RwLock::default(),
            refreshed: Mutex::new(None),
            invalidated: AtomicU64::new(1),
            stale: StdMutex::default(),
        }
    }

    /// The kind at exactly this version.
    ///
    /// # Errors
    /// If the cluster does not serve it, or could not be asked.
    pub async fn resolve(&self, gvk: &GroupVersionKind) -> Result<RestMapping, MapError> {
        self.resolve_since(gvk, Instant::now()).await
    }

    /// The same for one of many kinds that are wanted since this moment: they share one discovery, however many are missing.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub async fn resolve_since(
        &self,
        gvk: &GroupVersionKind,
        since: Instant,
    ) -> Result<RestMapping, MapError> {
        self.find(&gvk.group, &gvk.kind, Some(&gvk.version), since).await
    }

    /// The kind at the version the cluster prefers.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub async fn resolve_preferred(&self, group: &str, kind: &str) -> Result<RestMapping, MapError> {
        self.resolve_preferred_since(group, kind, Instant::now()).await
    }

    /// The same, content with an answer from this moment or later.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub async fn resolve_preferred_since(
        &self,
        group: &str,
        kind: &str,
        since: Instant,
    ) -> Result<RestMapping, MapError> {
        self.find(group, kind, None, since).await
    }

    /// Whether the cluster served the kind, in any version, when it was last asked; `None` if it never was.
    pub fn last_known(&self, group: &str, kind: &str) -> Option<bool> {
        let table = self.table();
        (table.invalidated > 0).then(|| table.find(group, kind, None).is_ok())
    }

    /// All that is served, as `v1`, `apps/v1` and `apps/v1/Deployment`, sorted: by an answer from this moment or later.
    ///
    /// # Errors
    /// The cluster could not be asked.
    pub async fn api_versions(&self, since: Instant) -> Result<Vec<String>, MapError> {
        self.refresh(since, Duration::ZERO).await?;
        Ok(self.table().api_versions())
    }

    /// Makes the next question be answered by a fresh discovery, min_interval or not: call it when definitions were applied.
    pub fn invalidate(&self) {
        self.invalidated.fetch_add(1, Ordering::AcqRel);
    }

    /// Makes the next question about this kind be answered by a discovery after this moment, not sooner than the shortest time
    /// between two allows: a path that discovery named turned out to be gone. Questions about other kinds are not held up.
    pub(crate) fn mark_stale(&self, group: &str, kind: &str) {
        self.stale().insert((group.to_owned(), kind.to_owned()));
    }

    fn stale(&self) -> MutexGuard<'_, HashSet<(String, String)>> {
        self.stale.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn find(
        &self,
        group: &str,
        kind: &str,
        version: Option<&str>,
        since: Instant,
    ) -> Result<RestMapping, MapError> {
        let min_interval = self.options.min_interval;
        let is_stale = || self.stale().contains(&(group.to_owned(), kind.to_owned()));
        let refreshed = if self.table().invalidated != self.invalidated.load(Ordering::Acquire) {
            self.refresh(Instant::now(), Duration::ZERO).await
        } else if is_stale() {
            self.refresh(Instant::now(), min_interval).await
        } else {
            Ok(())
        };
        match (self.table().find(group, kind, version), refreshed) {
            (Ok(mapped), _) => Ok(mapped),
            (Err(_), Err(error)) => Err(error),
            (Err(_), Ok(())) => {
                self.refresh(since, min_interval).await?;
                self.table().find(group, kind, version)
            }
        }
    }

    fn table(&self) -> Arc<Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks the cluster, unless somebody did after `since`, and not sooner than `min_interval` after the last time.
    async fn refresh(&self, since: Instant, min_interval: Duration) -> Result<(), MapError> {
        let mut refreshed = self.refreshed.lock().await;
        if let Some(at) = *refreshed {
            if at > since {
                return Ok(());
            }
            sleep_until(at + min_interval).await;
        }
        let invalidated = self.invalidated.load(Ordering::Acquire);
        let stale = self.stale().clone();
        let limit = self.options.request_timeout;
        let lists = async {
            tokio::try_join!(
                self.client.list_core_api_versions_aggregated(),
                self.client.list_api_groups_aggregated()
            )
        };
        let lists = timeout(limit, lists)
            .await
            .map_err(|_| MapError::Discovery(format!("no answer within {limit:?}")))?;
        let (core, groups) = lists.map_err(|e| MapError::Discovery(e.to_string()))?;
        let table = Table::new(core.items.into_iter().chain(groups.items));
        let table = Arc::new(Table { invalidated, ..table });
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = table;
        self.stale().retain(|kind| !stale.contains(kind));
        *refreshed = Some(Instant::now());
        Ok(())
    }
}

/// What discovery said.
#[derive(Debug, Default)]
struct Table {
    /// By group and kind, preferred version first.
    kinds: HashMap<(String, String), Vec<RestMapping>>,
    /// Group versions that could not be asked.
    stale: HashSet<(String, String)>,
    /// The mapper's counter when it was asked for; zero before the first discovery.
    invalidated: u64,
}

impl Table {
    fn new(groups: impl Iterator<Item = APIGroupDiscovery>) -> Self {
        let mut table = Self::default();
        for group in groups {
            let name = group.metadata.and_then(|m| m.name).unwrap_or_default();
            for version in group.versions {
                let Some(v) = version.version else { continue };
                if version.freshness.as_deref() == Some("Stale") {
                    table.stale.insert((name.clone(), v.clone()));
                }
                for mapped in version.resources.iter().filter_map(|r| mapped(&name, &v, r)) {
                    let key = (name.clone(), mapped.resource.kind.clone());
                    table.kinds.entry(key).or_default().push(mapped);
                }
            }
        }
        table
    }

    fn api_versions(&self) -> Vec<String> {
        let resources = self.kinds.values().flatten().map(|mapped| &mapped.resource);
        let mut versions: Vec<String> = resources
            .flat_map(|resource| {
                let version = &resource.api_version;
                [version.clone(), format!("{version}/{}", resource.kind)]
            })
            .collect();
        versions.sort_unstable();
        versions.dedup();
        versions
    }

    fn find(&self, group: &str, kind: &str, version: Option<&str>) -> Result<RestMapping, MapError> {
        let served = self.kinds.get(&(group.to_owned(), kind.to_owned())).into_iter().flatten();
        if let Some(mapped) = served.into_iter().find(|m| version.is_none_or(|v| m.resource.version == v)) {
            return Ok(mapped.clone());
        }
        let is_asked = |(g, v): &&(String, String)| g == group && version.is_none_or(|asked| asked == v);
        if let Some((group, version)) = self.stale.iter().find(is_asked) {
            return Err(MapError::Discovery(format!("{group}/{version}: stale GroupVersion discovery")));
        }
        let api_version = [group, version.unwrap_or_default()].into_iter().filter(|p| !p.is_empty());
        let api_version = api_version.collect::<Vec<_>>().join("/");
        Err(MapError::NoMatch { kind: kind.to_owned(), api_version })
    }
}

/// The kind behind a resource. Its own group and version win over those it is listed under.
fn mapped(group: &str, version: &str, resource: &APIResourceDiscovery) -> Option<RestMapping> {
    let own = resource.response_kind.as_ref()?;
    let or = |own: &Option<String>, listed: &str| {
        own.clone().filter(|s| !s.is_empty()).unwrap_or_else(|| listed.to_owned())
    };
    let (group, version) = (or(&own.group, group), or(&own.version, version));
    let api_version = if group.is_empty() { version.clone() } else { format!("{group}/{version}") };
    Some(RestMapping {
        resource: ApiResource {
            group,
            version,
            api_version,
            kind: own.kind.clone().filter(|k| !k.is_empty())?,
            plural: resource.resource.clone()?,
        },
        namespaced: resource.scope.as_deref() == Some("Namespaced"),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::{Value, json};

    fn table(groups: Value) -> Table {
        Table::new(serde_json::from_value::<Vec<APIGroupDiscovery>>(groups).unwrap().into_iter())
    }

    fn served() -> Table {
        let resource = |plural: &str, kind: &str, scope: &str| json!({"resource": plural, "scope": scope, "responseKind": {"kind": kind}});
        table(json!([
            {"metadata": {"name": ""}, "versions": [{"version": "v1", "freshness": "Current", "resources": [
                resource("namespaces", "Namespace", "Cluster"), resource("configmaps", "ConfigMap", "Namespaced")]}]},
            {"metadata": {"name": "autoscaling"}, "versions": [
                {"version": "v2", "resources": [resource("horizontalpodautoscalers", "HorizontalPodAutoscaler", "Namespaced")]},
                {"version": "v1", "resources": [resource("horizontalpodautoscalers", "HorizontalPodAutoscaler", "Namespaced")]}]},
            {"metadata": {"name": "broken.org"}, "versions": [{"version": "v1", "freshness": "Stale", "resources": []}]},
        ]))
    }

    #[test]
    fn scope_and_path_come_from_discovery() {
        let t = served();
        let ns = t.find("", "Namespace", Some("v1")).unwrap();
        assert_eq!(
            (ns.namespaced, ns.resource.plural.as_str(), ns.resource.api_version.as_str()),
            (false, "namespaces", "v1")
        );
        assert!(t.find("", "ConfigMap", None).unwrap().namespaced);
    }

    #[test]
    fn the_preferred_version_is_the_first_and_others_can_be_asked_for() {
        let t = served();
        let version = |v| t.find("autoscaling", "HorizontalPodAutoscaler", v).map(|m| m.resource.api_version);
        assert_eq!(version(None).unwrap(), "autoscaling/v2");
        assert_eq!(version(Some("v1")).unwrap(), "autoscaling/v1");
        assert_eq!(
            version(Some("v9")).unwrap_err().to_string(),
            "no matches for kind \"HorizontalPodAutoscaler\" in version \"autoscaling/v9\""
        );
    }

    #[test]
    fn a_broken_group_is_no_proof_that_a_kind_is_missing() {
        let t = served();
        assert!(matches!(t.find("broken.org", "Widget", Some("v1")), Err(MapError::Discovery(_))));
        assert!(matches!(t.find("broken.org", "Widget", Some("v2")), Err(MapError::NoMatch { .. })));
        assert!(matches!(t.find("other.org", "Widget", Some("v1")), Err(MapError::NoMatch { .. })));
    }
}
