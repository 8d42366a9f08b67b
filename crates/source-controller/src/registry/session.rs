//! Requests to a registry for one object, with credentials that are had again once if they are refused.

use net::{Deadline, redact};
use oci::{
    Access, Client, Digest, Manifest, ManifestError, Reference, Repository, RequestError, Resolved, retried,
};

use super::{CloudLogin, OpenError, Registries, Wanted};

/// What lets one object in, for one pass.
pub struct Session<'a> {
    registries: &'a Registries,
    wanted: Wanted<'a>,
    pub(super) access: Access,
    cloud: Option<CloudLogin>,
    client: Client,
}

impl<'a> Session<'a> {
    pub(super) async fn new(
        registries: &'a Registries,
        wanted: Wanted<'a>,
        mut access: Access,
        mut cloud: Option<CloudLogin>,
    ) -> Result<Session<'a>, OpenError> {
        if let Some(cloud) = &mut cloud {
            access.credentials = registries.log_in(&wanted, &access, cloud).await;
        }
        let client = registries.clients.get(&access);
        let client = client.map_err(|source| OpenError::Transport { url: redact(wanted.url), source })?;
        Ok(Session { registries, wanted, access, cloud, client })
    }

    /// The client, for what its limits are.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Asks the registry. What fails for a reason that may pass is tried again, and once more if credentials that a cloud gave
    /// earlier are refused: they may have ended before their time. `request` gives the request that an error is of.
    ///
    /// # Errors
    /// What the last attempt failed with.
    pub async fn ask<T, E, F: Future<Output = Result<T, E>>>(
        &mut self,
        deadline: &Deadline,
        request: fn(&E) -> Option<&RequestError>,
        attempt: impl Fn(Client) -> F,
    ) -> Result<T, E> {
        let outcome = retried(deadline, request, || attempt(self.client.clone())).await;
        let is_refused = |error: &E| request(error).is_some_and(|error| error.is_refusal());
        match outcome {
            Err(error) if is_refused(&error) && self.renew().await => {
                retried(deadline, request, || attempt(self.client.clone())).await
            }
            outcome => outcome,
        }
    }

    /// Digest, type and size of a manifest.
    ///
    /// # Errors
    /// See [`Self::ask`].
    pub async fn resolve(
        &mut self,
        reference: &Reference,
        deadline: &Deadline,
    ) -> Result<Resolved, ManifestError> {
        let attempt = |client: Client| async move { client.resolve(reference, deadline).await };
        self.ask(deadline, ManifestError::request, attempt).await
    }

    /// A manifest of a repository.
    ///
    /// # Errors
    /// See [`Self::ask`].
    pub async fn manifest(
        &mut self,
        repository: &Repository,
        digest: &Digest,
        deadline: &Deadline,
    ) -> Result<Manifest, ManifestError> {
        let attempt = |client: Client| async move { client.manifest(repository, digest, deadline).await };
        self.ask(deadline, ManifestError::request, attempt).await
    }

    /// Whether there are other credentials than those that were refused.
    async fn renew(&mut self) -> bool {
        let Session { registries, wanted, access, cloud, client } = self;
        let Some(cloud) = cloud else { return false };
        let Some(refused) = cloud.last.take().filter(|login| login.is_kept()) else { return false };
        registries.clouds.forget_login(&refused).await;
        access.credentials = registries.log_in(wanted, access, cloud).await;
        match registries.clients.get(access) {
            Ok(renewed) => *client = renewed,
            Err(_) => return false,
        }
        true
    }
}
