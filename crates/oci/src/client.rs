//! Requests to a registry: by https or http, with the credentials it asks for.

use std::collections::HashMap;
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use net::{Deadline, Proxy, TlsConfig};
use reqwest::StatusCode;
use tokio::select;
use tokio::sync::MutexGuard;
use tokio::time::Instant;
use url::Url;

use crate::access::{Access, AccessError, Credentials, sensitive};
use crate::challenge::Challenge;
use crate::http::{Answer, Call, Http, RequestError, late};
use crate::limits::Limits;
use crate::reference::{Registry, Repository};
use crate::token::{Grant, Slot, TokenError, Tokens};
use crate::urls::{Redirects, redact};

/// How long it is believed that a registry is spoken with by http or https, before that is found out anew.
const ENDPOINT_LIFETIME: Duration = Duration::from_secs(300);
/// How long https has before http is tried as well, where that is allowed.
const HTTPS_ADVANTAGE: Duration = Duration::from_millis(300);

/// Reads from registries. Cheap to clone; clones share connections, tokens, and what is known of registries.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    http: Http,
    insecure: bool,
    credentials: Credentials,
    tokens: Tokens,
    /// The roots of registries that may be spoken with in either way, and until when that is believed.
    roots: Mutex<HashMap<Registry, (Url, Instant)>>,
}

/// Clients by what they were made for, so that connections and tokens outlive one use.
#[derive(Debug)]
pub struct Clients {
    limits: Limits,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Trust and proxy decide which connections can be shared; who asks does not.
    http: HashMap<(bool, TlsConfig, Option<Proxy>), reqwest::Client>,
    clients: HashMap<Access, Client>,
}

// === impl Clients ===

impl Clients {
    /// HTTP clients kept before all are dropped and made anew.
    const MAX_HTTP_CLIENTS: usize = 64;
    /// Clients kept before all are dropped and made anew, with their tokens.
    const MAX_CLIENTS: usize = 1024;

    /// No clients yet; all will have these limits.
    pub fn new(limits: Limits) -> Clients {
        Clients { limits, kept: Mutex::default() }
    }

    /// The client for this access.
    pub fn get(&self, access: &Access) -> Result<Client, AccessError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = kept.clients.get(access) {
            return Ok(client.clone());
        }
        let key = (access.insecure, access.tls.clone(), access.proxy.clone());
        let http = match kept.http.get(&key) {
            Some(http) => http.clone(),
            None => access.http_client(self.limits.connect_timeout)?,
        };
        let client = Client::with_http(access, self.limits.clone(), http.clone())?;
        if kept.http.len() >= Self::MAX_HTTP_CLIENTS {
            kept.http.clear();
        }
        if kept.clients.len() >= Self::MAX_CLIENTS {
            kept.clients.clear();
        }
        kept.http.insert(key, http);
        // The next one may have credentials, or another reason.
        if !matches!(access.credentials, Credentials::Unavailable(_)) {
            kept.clients.insert(access.clone(), client.clone());
        }
        Ok(client)
    }
}

// === impl Client ===

impl Client {
    /// A client that shares nothing with others.
    pub fn new(access: &Access, limits: Limits) -> Result<Client, AccessError> {
        let http = access.http_client(limits.connect_timeout)?;
        Client::with_http(access, limits, http)
    }

    fn with_http(access: &Access, limits: Limits, http: reqwest::Client) -> Result<Client, AccessError> {
        access.credentials.basic()?;
        if let Credentials::Bearer(token) = &access.credentials {
            sensitive(token.expose())?;
        }
        Ok(Client {
            shared: Arc::new(Shared {
                http: Http::new(http, limits),
                insecure: access.insecure,
                credentials: access.credentials.clone(),
                tokens: Tokens::default(),
                roots: Mutex::default(),
            }),
        })
    }

    /// What a registry may cost.
    pub fn limits(&self) -> &Limits {
        self.shared.http.limits()
    }

    /// The URL `/v2/<name>/<path>` of a repository (OCI distribution specification, "Endpoints").
    pub(crate) async fn endpoint(
        &self,
        repository: &Repository,
        path: &str,
        deadline: &Deadline,
    ) -> Result<Url, RequestError> {
        let mut url = self.root(repository.registry(), deadline).await?;
        // Neither a name nor a path has characters that would have to be escaped, or could end the path.
        url.set_path(&format!("/v2/{}/{path}", repository.name()));
        Ok(url)
    }

    /// Sends a request to a repository, and once more with the credentials that the registry then asks for.
    pub(crate) async fn send(&self, repository: &Repository, mut call: Call) -> Result<Answer, RequestError> {
        let scope = repository.scope();
        let slot = self.shared.tokens.slot(&call.url, &scope);
        call.redirects = Redirects::Content { plain_http: self.shared.insecure };
        let used = lock(&slot, &call).await?.clone().filter(Grant::is_valid);
        call.authorization = used.map(|grant| grant.header);
        let answer = self.send_once(repository, &call).await?;
        // Whoever stands behind a redirect is not the registry.
        if answer.status() != StatusCode::UNAUTHORIZED || answer.url.origin() != call.url.origin() {
            forget(&slot, &answer);
            return Ok(answer);
        }
        let challenge = Challenge::select(answer.headers(), self.limits().challenge_bytes)
            .map_err(|source| failed(TokenError::Challenge { request: answer.request.clone(), source }))?;
        let Some(challenge) = challenge else { return Ok(answer) };
        let Some(grant) = self.renew(&slot, &call, challenge, &scope).await? else { return Ok(answer) };
        answer.discard().await;
        call.authorization = Some(grant.header);
        let answer = self.send_once(repository, &call).await?;
        forget(&slot, &answer);
        Ok(answer)
    }

    /// A grant other than the one that the call was refused with, if there is one.
    async fn renew(
        &self,
        slot: &Slot,
        call: &Call,
        challenge: Challenge,
        scope: &str,
    ) -> Result<Option<Grant>, RequestError> {
        let is_new = |grant: &Grant| Some(&grant.header) != call.authorization.as_ref();
        let mut kept = lock(slot, call).await?;
        if let Some(grant) = kept.clone().filter(|grant| grant.is_valid() && is_new(grant)) {
            // Somebody else was faster.
            return Ok(Some(grant));
        }
        *kept = None;
        let Shared { http, credentials, .. } = &*self.shared;
        let grant = Grant::obtain(http, credentials, challenge, &call.url, scope, &call.deadline);
        *kept = grant.await.map_err(failed)?;
        Ok(kept.clone().filter(is_new))
    }

    /// Sends a request without any credentials to whatever server.
    pub(crate) async fn send_anonymously(&self, mut call: Call) -> Result<Answer, RequestError> {
        call.redirects = Redirects::Content { plain_http: self.shared.insecure };
        self.shared.http.send(&call).await
    }

    async fn send_once(&self, repository: &Repository, call: &Call) -> Result<Answer, RequestError> {
        let outcome = self.shared.http.send(call).await;
        if let Err(RequestError::Connection { .. }) = outcome {
            // It may be that the registry has changed from http to https.
            self.roots().remove(repository.registry());
        }
        outcome
    }

    fn roots(&self) -> std::sync::MutexGuard<'_, HashMap<Registry, (Url, Instant)>> {
        self.shared.roots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The root of a registry: by https, or by http where that is allowed and https gives no answer. As go-containerregistry does,
    /// http is tried after 300 ms, and what answers first is taken.
    async fn root(&self, registry: &Registry, deadline: &Deadline) -> Result<Url, RequestError> {
        if !self.shared.insecure && !registry.is_local() {
            return Ok(registry.https().clone());
        }
        if let Some((root, _)) = self.roots().get(registry).filter(|(_, until)| Instant::now() < *until) {
            return Ok(root.clone());
        }
        let root = self.race(registry, deadline).await?;
        let mut roots = self.roots();
        if roots.len() >= Clients::MAX_CLIENTS {
            roots.clear();
        }
        roots.insert(registry.clone(), (root.clone(), Instant::now() + ENDPOINT_LIFETIME));
        Ok(root)
    }

    async fn race(&self, registry: &Registry, deadline: &Deadline) -> Result<Url, RequestError> {
        let (https, http) = (registry.https(), registry.http());
        let mut primary = pin!(self.ping(https, deadline));
        let mut fallback = pin!(self.ping(http, deadline));
        let advantage = tokio::time::timeout(HTTPS_ADVANTAGE, &mut primary).await;
        let (primary, fallback) = match advantage {
            Ok(Ok(())) => return Ok(https.clone()),
            Ok(Err(error)) => (Err(error), fallback.await),
            Err(_) => select! {
                outcome = &mut primary => match outcome {
                    Ok(()) => return Ok(https.clone()),
                    Err(error) => (Err(error), fallback.await),
                },
                outcome = &mut fallback => match outcome {
                    Ok(()) => return Ok(http.clone()),
                    Err(error) => (primary.await, Err(error)),
                },
            },
        };
        match (primary, fallback) {
            (Ok(()), _) => Ok(https.clone()),
            (_, Ok(())) => Ok(http.clone()),
            (Err(https), Err(http)) => {
                Err(RequestError::Unreachable { https: Box::new(https), http: Box::new(http) })
            }
        }
    }

    /// Whether a registry answers at all (OCI distribution specification, "Determining Support"). Without credentials.
    async fn ping(&self, root: &Url, deadline: &Deadline) -> Result<(), RequestError> {
        let mut url = root.clone();
        url.set_path("/v2/");
        let answer = self.shared.http.send(&Call::get(url, deadline)).await?;
        match answer.status() {
            StatusCode::OK | StatusCode::UNAUTHORIZED => {
                answer.discard().await;
                Ok(())
            }
            _ => Err(answer.refuse().await),
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("insecure", &self.shared.insecure)
            .field("credentials", &self.shared.credentials)
            .finish_non_exhaustive()
    }
}

/// The grant of a slot, as soon as nobody fetches one.
async fn lock<'a>(slot: &'a Slot, call: &Call) -> Result<MutexGuard<'a, Option<Grant>>, RequestError> {
    let guard = call.deadline.bound(Duration::MAX, slot.lock()).await;
    guard.map_err(|expired| late(&format!("{} {}", call.method, redact(&call.url)), expired))
}

/// Keeps no token that was not accepted: some registries answer 400 or 403 to one that is over or allows too little. Who cannot get
/// the lock leaves that to the next.
fn forget(slot: &Slot, answer: &Answer) {
    let refused = matches!(answer.status().as_u16(), 400 | 401 | 403);
    if let (true, Ok(mut kept)) = (refused, slot.try_lock()) {
        // User and password would not be others the next time.
        kept.take_if(|grant| grant.until.is_some());
    }
}

/// A token error, of which refusals and broken connections are told as what they are.
fn failed(error: TokenError) -> RequestError {
    match error {
        TokenError::Request(error) => error,
        other => RequestError::Token(Box::new(other)),
    }
}
