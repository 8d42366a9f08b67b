//! From an object to what its upstream has: its Secrets, a token, the object cache, Git.
//!
//! All of this waits for others, so it may outlast the pass that began it (see [`source::background`]). Credentials are read
//! once for each fetch, so new ones count from the next one on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::GitRepository;
use git::{Connector, Remote};
use kube::runtime::reflector::ObjectRef;
use kube::{Client, ResourceExt};
use net::Deadline;
use references::{SecretData, Secrets};
use source::background::Host;
use source::failure::{Failure, Interrupted, reason};
use source::{blocking, timeout};
use tokio_util::sync::CancellationToken;

use super::auth;
use super::caches::{self, Caches};
use super::failure::git_failure;
use super::limits::Limits;
use super::provider::{Providers, TokenContext};
use super::repository::{Found, Repository};
use super::spec;
use super::verify::Verification;
use crate::verified::VerifiedKeys;

/// What all fetches share.
pub struct Fetcher {
    /// Reads Secrets.
    pub client: Client,
    /// Those who give tokens.
    pub providers: Providers,
    /// What was fetched before.
    pub caches: Arc<Caches>,
    /// Asks Git servers.
    pub connector: Arc<Connector>,
    /// What was verified before.
    pub verified: VerifiedKeys<GitRepository>,
    /// What one object may cost.
    pub limits: Limits,
    /// The longest `spec.timeout` that counts.
    pub max_timeout: Duration,
    /// The process ends.
    pub stop: CancellationToken,
}

/// What is to be fetched.
pub struct Request {
    /// For whom.
    pub object: GitRepository,
    /// Where from, as `spec.url` says.
    pub remote: Remote,
    /// The revision of which nothing is needed, unless it has to be verified anew.
    pub known: Option<String>,
    /// What a server said before this does not count.
    pub since: Instant,
}

/// What was fetched, and from where.
pub type FetchResult = Result<(Arc<Repository>, Found), Interrupted>;

impl Fetcher {
    /// Gets what lets the object in, waits for its turn, and fetches.
    pub async fn fetch(self: Arc<Self>, request: Request, host: Host) -> FetchResult {
        let Request { object, remote, known, since } = request;
        let (remote, identity) = self.authenticate(&object, remote).await?;
        let verification = self.verification(&object).await;
        let known = known.filter(|_| self.is_verified(&object, verification.as_ref()));
        let namespace = object.namespace().unwrap_or_default();
        let slot = host.slot(&namespace).await;
        let limit = timeout(&object, self.max_timeout);
        let fetcher = self.clone();
        let work = move |deadline: &Deadline| {
            // A fetch that is given up goes on until it notices, and asks its host until then.
            let _slot = slot;
            let owner = caches::owner(&ObjectRef::from_obj(&object));
            let identity: Vec<&[u8]> = identity.iter().map(Vec::as_slice).collect();
            let cache = fetcher.caches.claim(&owner, &identity, deadline);
            let cache = cache.map_err(|error| git_failure(error.into()))?;
            let repository = Repository {
                connector: fetcher.connector.clone(),
                remote,
                reference: spec::reference(&object),
                sparse: object.spec.sparse_checkout,
                submodules: object.spec.recurse_submodules,
                cache,
                since,
                verification,
                limits: fetcher.limits.of(&namespace),
            };
            let found = repository.fetch(known.as_deref(), deadline)?;
            Ok::<_, Failure>((Arc::new(repository), found))
        };
        Ok(blocking::run(Deadline::new(limit), Some(limit), &self.stop, work).await??)
    }

    /// The remote with all that lets the object in, and what stands for that.
    async fn authenticate(
        &self,
        object: &GitRepository,
        mut remote: Remote,
    ) -> Result<(Remote, Vec<Vec<u8>>), Failure> {
        let (spec, namespace) = (&object.spec, object.namespace().unwrap_or_default());
        let secrets = Secrets::new(&self.client, &namespace);
        if let Some(reference) = &spec.proxy_secret_ref {
            let proxy = secrets
                .proxy(&reference.name)
                .await
                .map_err(|error| denied(format!("failed to configure proxy options: {error}")))?;
            remote = remote.with_proxy(proxy);
        }
        let data = match &spec.secret_ref {
            Some(reference) => secrets.data(&reference.name).await.map_err(|error| {
                let full = secrets.full_name(&reference.name);
                // Upstream says it twice, and people search for it.
                denied(format!("failed to get secret '{full}': failed to get secret '{full}': {error}"))
            })?,
            None => SecretData::default(),
        };
        remote = auth::authenticate(remote, &data)?;
        let context = TokenContext { object, data: &data, timeout: timeout(object, self.max_timeout) };
        let remote = self.providers.authenticate(remote, &context).await?;
        Ok((remote, auth::identity(object, &data)))
    }

    /// What `spec.verify` asks for, with the keys as they are now.
    async fn verification(&self, object: &GitRepository) -> Option<Result<Verification, Failure>> {
        let wanted = object.spec.verification.as_ref()?;
        let namespace = object.namespace().unwrap_or_default();
        let keys = Secrets::new(&self.client, &namespace).get(&wanted.secret_ref.name).await;
        let keys = keys.map_err(|error| {
            let message = format!("public keys secret error: {error}");
            Failure::verification(reason::VERIFICATION_ERROR, message)
        });
        keys.map(|keys| Verification::of(object, &keys, self.limits.verification.clone())).transpose()
    }

    /// Whether nothing has to be verified, or not again because the keys are those of the last time.
    fn is_verified(
        &self,
        object: &GitRepository,
        verification: Option<&Result<Verification, Failure>>,
    ) -> bool {
        match verification {
            None => true,
            Some(Err(_)) => false,
            Some(Ok(verification)) => {
                let status = object.status.as_ref();
                let told = status.and_then(|status| status.source_verification_fingerprint.as_deref());
                told == Some(verification.fingerprint())
                    && self.verified.is_current(&ObjectRef::from_obj(object), verification.fingerprint())
            }
        }
    }
}

/// What is to let the object in cannot be had.
fn denied(message: String) -> Failure {
    Failure::fetch(reason::AUTHENTICATION_FAILED, message)
}
