//! Other clusters that objects are applied to: those of `spec.kubeConfig`.
//!
//! ```text
//! Secret    ── kubeconfig ─┐
//! ConfigMap ── config_map ─┴▶ Access ──▶ RemoteCluster: client pool, discovery, index; shared by content
//!                   └─ ClusterTokens, for each request (crates `identity`, `managed-clusters`)
//! ```
//!
//! # Guarantees
//! - What a Secret or ConfigMap holds decides which cluster is used, not its name: equal contents share one connection, different ones
//!   never do.
//! - A cluster is kept as long as somebody holds it ([`RemoteCluster`]), and closed after.
//! - A cluster that does not answer costs nobody more than a look now and then: see [`reachability`].
//! - A cloud that moves a cluster is followed: it is asked again where one is that does not answer.
//! - There are no more than [`Options::limits`] allow.

mod bearer;
mod config_map;
mod kubeconfig;
mod paced_owners;
mod reachability;
mod remote;
mod tokens;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use api::kustomization::KubeConfigReference;
use apply::{
    manager::Manager,
    mapper::MapperOptions,
    observe::{Index, IndexOptions},
    prepare::Owner,
};
use budget::{Budget, Limits};
use identity::{Clouds, CredentialError, Requester};
use k8s_openapi::ByteString;
use references::{GetError, Kind, SharedReads};
use runtime::{
    client::{ClientOptions, ConnectError as PoolError, Fence},
    controller::due_since,
    metrics::Metrics,
};
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use crate::paced_owners::PacedOwners;

pub use config_map::{ConfigMapError, Settings};
pub use kubeconfig::{KubeconfigError, Problem, ServerError, Trust};
pub use reachability::{Reachability, Unreachable};
pub use remote::RemoteCluster;
pub use tokens::{ClusterTokens, TokenError};

/// Keys of a kubeconfig if the spec names none, in this order.
const DEFAULT_KEYS: [&str; 2] = ["value", "value.yaml"];

/// How clusters are opened.
#[derive(Clone)]
pub struct Options {
    /// Who applies.
    pub manager: Manager,
    /// How they are asked what they serve.
    pub discovery: MapperOptions,
    /// How applied objects are watched there.
    pub watches: IndexOptions,
    /// How requests are sent; the route is that of each cluster.
    pub client: ClientOptions,
    /// What kubeconfigs may ask for.
    pub trust: Trust,
    /// The service account that a ConfigMap means which names none (`--default-kubeconfig-service-account`).
    pub default_account: Option<String>,
    /// How many may be open at once, and of one namespace.
    pub limits: Limits,
}

impl Options {
    /// For no more than `most` clusters at once, of which one namespace gets all but an eighth. Requests end as soon as with Flux, and are
    /// not sent again and again to a server that does not answer. No answer may have more than `max_answer` bytes: tenants name the servers.
    pub fn new(manager: Manager, fence: Fence, most: u64, max_answer: usize) -> Self {
        Self {
            manager,
            discovery: MapperOptions::default(),
            watches: IndexOptions::default(),
            client: ClientOptions {
                request_timeout: Duration::from_secs(30),
                connect_timeout: Duration::from_secs(5),
                retries: 1,
                max_answer,
                fence,
                host_label: Some("remote"),
                ..ClientOptions::default()
            },
            trust: Trust::default(),
            default_account: None,
            limits: Limits { process: most, tenant: (most - most / 8).max(1) },
        }
    }
}

/// Why a cluster cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The Secret cannot be read. Flux's text.
    #[error("unable to read KubeConfig secret '{name}' error: {source}")]
    Secret {
        /// `<namespace>/<name>`
        name: String,
        /// What the API server says.
        source: GetError,
    },
    /// The Secret has no such entry. Flux's text.
    #[error("KubeConfig secret '{name}' does not contain a '{key}' key with a kubeconfig")]
    NoKubeconfig {
        /// `<namespace>/<name>`
        name: String,
        /// The entry.
        key: String,
    },
    /// The kubeconfig is of no use.
    #[error(transparent)]
    Kubeconfig(#[from] KubeconfigError),
    /// The ConfigMap cannot be read. Flux's text.
    #[error("failed to get configmap {name}: {source}")]
    GetConfigMap {
        /// `<namespace>/<name>`
        name: String,
        /// What the API server says.
        source: GetError,
    },
    /// The ConfigMap is of no use.
    #[error(transparent)]
    ConfigMap(#[from] ConfigMapError),
    /// There is no token for the cluster.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The reference names nothing.
    #[error("exactly one of spec.kubeConfig.configMapRef or spec.kubeConfig.secretRef must be specified")]
    NoReference,
    /// No client can be made of it.
    #[error("{}", runtime::error::chain(.0))]
    Client(#[from] PoolError),
    /// There are as many as may be.
    #[error(
        "too many remote clusters are in use: {used} of {limit} (--remote-clusters-max), and a namespace has a share of them"
    )]
    TooMany {
        /// Open clusters.
        used: u64,
        /// Most of them.
        limit: u64,
    },
    /// The server does not answer.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The server does not know us.
    #[error("the API server {0} does not accept the credentials: Unauthorized")]
    Unauthorized(String),
}

impl ConnectError {
    /// Whether the API server says that there is no such Secret, ConfigMap or service account.
    pub fn is_not_found(&self) -> bool {
        let is_token_not_found = |error: &TokenError| match error {
            TokenError::Credential(CredentialError::Token(error)) => error.is_not_found(),
            _ => false,
        };
        match self {
            Self::Secret { source, .. } | Self::GetConfigMap { source, .. } => source.is_not_found(),
            Self::ConfigMap(ConfigMapError::Identity(error)) => error.is_not_found(),
            Self::ConfigMap(ConfigMapError::Token(error)) | Self::Token(error) => is_token_not_found(error),
            _ => false,
        }
    }
}

/// What access is made of: equal keys are one cluster.
type Key = [u8; 32];

/// The clusters that are open. Clones share them.
#[derive(Clone)]
pub struct Clusters(Arc<Shared>);

struct Shared {
    /// Whose client is that of the cluster that the controller runs in.
    clouds: Clouds,
    /// Of the same client.
    reads: SharedReads,
    metrics: Metrics,
    options: Options,
    budget: Budget,
    open: Mutex<HashMap<Key, Weak<RemoteCluster>>>,
    changed: Arc<Changed>,
}

/// Owners with objects that changed in any of the clusters.
#[derive(Default)]
struct Changed {
    owners: Mutex<BTreeSet<Owner>>,
    arrived: Notify,
}

impl Changed {
    fn add(&self, owners: Vec<Owner>) {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner).extend(owners);
        self.arrived.notify_one();
    }
}

/// What an object of the spec holds.
enum Source {
    /// The name of the Secret, and its kubeconfig.
    Kubeconfig(String, ByteString),
    ConfigMap(Box<Settings>, Arc<ClusterTokens>),
}

impl Source {
    /// What tells a cluster and an identity there apart from others.
    fn key(&self) -> Key {
        let mut hash = Sha256::new();
        match self {
            Source::Kubeconfig(_, content) => {
                hash.update(b"kubeconfig\0");
                hash.update(&content.0);
            }
            Source::ConfigMap(settings, tokens) => {
                hash.update(b"configmap\0");
                hash.update(format!("{settings:?}\0{}", tokens.cache_key()));
            }
        }
        hash.finalize().into()
    }
}

impl Clusters {
    /// None yet. `clouds` has the client of the cluster that the controller runs in, and gives the tokens of ConfigMaps; `reads` are
    /// by the same client.
    pub fn new(clouds: Clouds, reads: SharedReads, metrics: Metrics, options: Options) -> Self {
        let budget = Budget::new(options.limits);
        let (open, changed) = (Mutex::default(), Arc::default());
        Self(Arc::new(Shared { clouds, reads, metrics, options, budget, open, changed }))
    }

    /// The cluster that an object refers to, once it answers. The object is one of the namespace whose Secrets, ConfigMaps and service
    /// accounts it may use.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(
        &self,
        object: Requester<'_>,
        reference: &KubeConfigReference,
    ) -> Result<Arc<RemoteCluster>, ConnectError> {
        let source = self.0.source(object.namespace, reference).await?;
        let key = source.key();
        let cluster = match self.0.find(&key) {
            Some(cluster) if !cluster.may_have_moved() => cluster,
            found => self.0.open(key, object, source, found).await?,
        };
        cluster.authenticate(object).await?;
        cluster.ready().await?;
        Ok(cluster)
    }

    /// Waits for owners with an object that changed in any of the clusters, and takes them: see
    /// [`apply::observe::Index::changed`]. For one caller at a time.
    pub async fn changed(&self) -> Vec<Owner> {
        loop {
            let owners =
                std::mem::take(&mut *self.0.changed.owners.lock().unwrap_or_else(PoisonError::into_inner));
            if !owners.is_empty() {
                return owners.into_iter().collect();
            }
            self.0.changed.arrived.notified().await;
        }
    }

    /// Those that are open.
    pub fn all(&self) -> Vec<Arc<RemoteCluster>> {
        self.0.lock().values().filter_map(Weak::upgrade).collect()
    }

    /// Shows how many kinds and single objects are watched in all clusters, of which `own` is that of the controller, and how many objects
    /// are kept of all of them.
    pub fn show_watched(&self, metrics: &Metrics, own: &Index) {
        let (clusters, own) = (self.clone(), own.clone());
        let sizes = move || {
            let remote = clusters.all().into_iter().map(|remote| remote.cluster().index.sizes());
            remote.fold(own.sizes(), |sum, sizes| (sum.0 + sizes.0, sum.1 + sizes.1))
        };
        let watches = sizes.clone();
        metrics.kept_entries("watches_of_applied_objects", move || watches().0);
        metrics.kept_entries("applied_objects", move || sizes().1);
    }

    /// Looks at the owners of objects that change in any cluster, of which `own` is that of the controller, for ever; each owner at a rate.
    /// `look` tells when to look at an owner again though nothing changes, if at all.
    pub async fn follow_owners(&self, own: &Index, look: impl Fn(&Owner) -> Option<Duration>) {
        let [here, elsewhere] = [PacedOwners::default(), PacedOwners::default()];
        tokio::join!(here.follow(|| own.changed(), &look), elsewhere.follow(|| self.changed(), &look));
    }

    /// How many are open, of how many.
    pub fn budget(&self) -> &Budget {
        &self.0.budget
    }
}

impl Shared {
    async fn source(&self, namespace: &str, reference: &KubeConfigReference) -> Result<Source, ConnectError> {
        let full_name = |name: &str| format!("{namespace}/{name}");
        if let Some(secret) = &reference.secret_ref {
            let name = full_name(&secret.name);
            let found = self.reads.entries(Kind::Secret, namespace, &secret.name, due_since()).await;
            let data = found.map_err(|source| ConnectError::Secret { name: name.clone(), source })?;
            let named = secret.key.as_deref().filter(|key| !key.is_empty());
            let keys = named.map_or(DEFAULT_KEYS.to_vec(), |key| vec![key]);
            let content = keys.iter().find_map(|key| data.get(*key)).cloned();
            let key = named.unwrap_or("value").to_owned();
            return match content {
                Some(content) => Ok(Source::Kubeconfig(name, content)),
                None => Err(ConnectError::NoKubeconfig { name, key }),
            };
        }
        let config_map = reference.config_map_ref.as_ref().ok_or(ConnectError::NoReference)?;
        let found = self.reads.entries(Kind::ConfigMap, namespace, &config_map.name, due_since()).await;
        let name = full_name(&config_map.name);
        let data = found.map_err(|source| ConnectError::GetConfigMap { name, source })?;
        // What a ConfigMap has under `data` is text.
        let text = |(key, value): (&String, &ByteString)| {
            (key.clone(), String::from_utf8_lossy(&value.0).into_owned())
        };
        let data = data.iter().map(text).collect();
        let settings = Settings::new(&data, self.options.default_account.as_deref());
        let timeout = self.options.client.request_timeout;
        let tokens = settings.tokens(&self.clouds, namespace, timeout).await?;
        Ok(Source::ConfigMap(Box::new(settings), Arc::new(tokens)))
    }

    fn find(&self, key: &Key) -> Option<Arc<RemoteCluster>> {
        self.lock().get(key).and_then(Weak::upgrade)
    }

    /// Opens a cluster, unless it is open by now; `former` only if it is still where that one is.
    async fn open(
        &self,
        key: Key,
        object: Requester<'_>,
        source: Source,
        former: Option<Arc<RemoteCluster>>,
    ) -> Result<Arc<RemoteCluster>, ConnectError> {
        let trust = &self.options.trust;
        let (access, tokens) = match source {
            Source::Kubeconfig(name, content) => (kubeconfig::read(&content.0, &name, trust).await?, None),
            Source::ConfigMap(settings, tokens) => {
                (settings.access(&tokens, Some(object), &trust.addresses).await?, Some(tokens))
            }
        };
        let mut open = self.lock();
        open.retain(|_, cluster| cluster.strong_count() > 0);
        // Somebody may have been faster.
        let same = |cluster: &Arc<RemoteCluster>| former.is_none() || cluster.is_at(&access);
        if let Some(cluster) = open.get(&key).and_then(Weak::upgrade).filter(same) {
            return Ok(cluster);
        }
        let mut place = self.budget.start(object.namespace);
        place.try_grow(1).map_err(|_| {
            let usage = self.budget.usage();
            ConnectError::TooMany { used: usage.used, limit: usage.limit }
        })?;
        let cluster =
            RemoteCluster::open(access, tokens, place, &self.options, &self.metrics, &self.changed)?;
        open.insert(key, Arc::downgrade(&cluster));
        Ok(cluster)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Weak<RemoteCluster>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use identity::IdentityError;

    use super::*;

    #[test]
    fn what_is_gone_is_told_apart_from_what_cannot_be_read() {
        for (code, is_gone) in [(404, true), (403, false), (500, false)] {
            let error = || kube::Error::Api(Box::new(kube::core::Status { code, ..Default::default() }));
            let (name, get) = (|| "apps/a".to_owned(), || GetError::Api(Box::new(error())));
            let request = || IdentityError::Request { name: name(), source: error() };
            let token = |error: IdentityError| TokenError::Credential(error.into());
            let account = IdentityError::Get { name: name(), source: get() };
            let errors = [
                ConnectError::Secret { name: name(), source: get() },
                ConnectError::GetConfigMap { name: name(), source: get() },
                ConfigMapError::Identity(account).into(),
                ConfigMapError::Token(token(request())).into(),
                token(request()).into(),
            ];
            for error in errors {
                assert_eq!(error.is_not_found(), is_gone, "{code}: {error:?}");
            }
        }
        let others = [ConnectError::NoReference, ConnectError::Unauthorized("https://a".to_owned())];
        assert!(others.iter().all(|error| !error.is_not_found()));
    }
}
