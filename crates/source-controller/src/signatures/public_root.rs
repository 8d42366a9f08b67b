//! The trusted root of Sigstore's public instance, from its mirror (The Update Framework, TUF): had when it is needed first, and
//! looked for again once a day. What is had stays until something newer is.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use auth::Environment;
use cosign::{TRUSTED_ROOT_BYTES, TrustedRoot};
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use jiff::Timestamp;
use net::{Deadline, TlsConfig, causes, chain, read_body, redact};
use reqwest::StatusCode;
use sigstore_tuf::transport::FetchFuture;
use sigstore_tuf::{Error, MemoryStore, Repository, Updater, UpdaterConfig};
use url::Url;

/// Where Sigstore has it.
const MIRROR: &str = "https://tuf-repo-cdn.sigstore.dev";
/// By whom the mirror's content must be signed. Later ones are found from this one.
const ROOT: &[u8] = include_bytes!("public_root/root.json");
/// Its name there.
const TARGET: &str = "trusted_root.json";
/// How long it may take to have it.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long what is had is not looked for again.
const REFRESH: Duration = Duration::from_secs(24 * 3600);
/// How long a failure stands.
const FAILURE: Duration = Duration::from_secs(60);
/// Changes of those who sign the mirror's content, since the one that is built in.
const MAX_ROOTS: u32 = 256;

/// The root cannot be had.
#[derive(Clone, Debug, thiserror::Error)]
#[error("unable to initialize trusted root: {0}")]
pub struct PublicRootError(String);

/// An attempt to have the root, which all who need it wait for.
type Loading = Shared<BoxFuture<'static, Result<Arc<TrustedRoot>, PublicRootError>>>;

/// The root, once it was had.
pub struct PublicRoot {
    mirror: String,
    /// By whom the mirror's content must be signed, in place of [`ROOT`].
    root_file: Option<String>,
    /// What the mirror has had. It must not get older.
    seen: Arc<MemoryStore>,
    state: Mutex<State>,
    refresh: Duration,
    failure: Duration,
}

#[derive(Default)]
struct State {
    root: Option<Arc<TrustedRoot>>,
    /// When the last attempt ended, and with what.
    last: Option<(Instant, Option<PublicRootError>)>,
    loading: Option<Loading>,
}

impl PublicRoot {
    /// `TUF_MIRROR` and `TUF_ROOT_JSON` name another mirror, and a file that says by whom its content must be signed.
    pub fn new(environment: &Environment) -> PublicRoot {
        PublicRoot {
            mirror: environment.get("TUF_MIRROR").unwrap_or(MIRROR).to_owned(),
            root_file: environment.get("TUF_ROOT_JSON").map(str::to_owned),
            seen: Arc::default(),
            state: Mutex::default(),
            refresh: REFRESH,
            failure: FAILURE,
        }
    }

    /// The root as it was had last. Waits only for the first one.
    ///
    /// # Errors
    /// When it was never had; the mirror is asked again after a minute.
    pub async fn get(self: &Arc<Self>, deadline: &Deadline) -> Result<Arc<TrustedRoot>, PublicRootError> {
        let loading = {
            let mut state = self.state();
            if state.loading.is_none() && self.is_due(&state) {
                state.loading = Some(self.begin());
            }
            match &*state {
                State { root: Some(root), .. } => return Ok(root.clone()),
                State { loading: Some(loading), .. } => loading.clone(),
                State { last, .. } => {
                    let error = last.as_ref().and_then(|(_, error)| error.clone());
                    return Err(error.unwrap_or_else(|| PublicRootError("it was not loaded".to_owned())));
                }
            }
        };
        let loaded = deadline.bound(Duration::MAX, loading).await;
        loaded.map_err(|_| PublicRootError(format!("timed out waiting for {}", redact(&self.mirror))))?
    }

    fn is_due(&self, state: &State) -> bool {
        state.last.as_ref().is_none_or(|(ended, error)| {
            ended.elapsed() > if error.is_some() { self.failure } else { self.refresh }
        })
    }

    /// Goes on when those who wait for it have gone.
    fn begin(self: &Arc<Self>) -> Loading {
        let this = self.clone();
        let loading = async move {
            let loaded = match tokio::time::timeout(TIMEOUT, this.load()).await {
                Ok(loaded) => loaded,
                Err(_) => Err(format!("no trusted root from {} within {TIMEOUT:?}", redact(&this.mirror))),
            };
            let loaded = loaded.map(Arc::new).map_err(PublicRootError);
            let mut state = this.state();
            state.loading = None;
            state.last = Some((Instant::now(), loaded.clone().err()));
            match &loaded {
                Ok(root) => state.root = Some(root.clone()),
                Err(error) => tracing::warn!("{error}"),
            }
            loaded
        };
        let loading = loading.boxed().shared();
        tokio::spawn(loading.clone());
        loading
    }

    async fn load(&self) -> Result<TrustedRoot, String> {
        let root = match &self.root_file {
            Some(path) => {
                let read = tokio::fs::read(path).await;
                Cow::from(read.map_err(|error| format!("unable to read {path} of TUF_ROOT_JSON: {error}"))?)
            }
            None => Cow::from(ROOT),
        };
        let mirror = Mirror::new(&self.mirror)?;
        let mut limits = UpdaterConfig::default();
        (limits.target_max_length, limits.max_root_rotations) = (TRUSTED_ROOT_BYTES as u64, MAX_ROOTS);
        let updater = Updater::new(mirror, &root).map_err(|error| chain(&error))?;
        let mut updater = updater.with_config(limits).with_store(self.seen.clone());
        let now = Timestamp::now();
        updater.refresh(now).await.map_err(|error| chain(&error))?;
        let target = updater.get_target(TARGET, now).await.map_err(|error| chain(&error))?;
        TrustedRoot::parse(&target).map_err(|error| format!("{TARGET}: {error}"))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the root is had.
struct Mirror {
    client: reqwest::Client,
    base: Url,
}

impl Mirror {
    fn new(address: &str) -> Result<Mirror, String> {
        let base = Url::parse(&format!("{}/", address.trim_end_matches('/')))
            .map_err(|error| format!("TUF_MIRROR is no URL: {error}"))?;
        let client = net::client::builder(&TlsConfig::default(), None).map_err(|error| error.to_string())?;
        Ok(Mirror { client: client.build().map_err(|error| causes(&error))?, base })
    }

    /// What is at a path; `None` if there is nothing.
    async fn file(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let url = self.base.join(path).map_err(|error| Error::transport(error.to_string()))?;
        let failed = |why: String| Error::transport(format!("GET \"{}\": {why}", redact(url.as_str())));
        let sent = self.client.get(url.clone()).send().await;
        let mut answer = sent.map_err(|error| failed(causes(&error.without_url())))?;
        match answer.status() {
            // Stores of objects forbid what is not there.
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => Ok(None),
            StatusCode::OK => {
                let limit = usize::try_from(limit).unwrap_or(usize::MAX);
                let body = read_body(&mut answer, limit).await;
                Ok(Some(body.map_err(|error| failed(error.to_string()))?))
            }
            status => Err(failed(format!("status {status}"))),
        }
    }
}

impl Repository for Mirror {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> FetchFuture<'a> {
        Box::pin(self.file(name, max_length))
    }

    fn fetch_target<'a>(&'a self, path: &'a str, max_length: u64) -> FetchFuture<'a> {
        Box::pin(async move { self.file(&format!("targets/{path}"), max_length).await })
    }
}

#[cfg(test)]
mod tests;
