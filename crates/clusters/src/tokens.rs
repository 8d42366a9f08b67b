//! Tokens for one cluster: those of a service account themselves, or what a cloud gives for an identity.

use std::time::{Duration, SystemTime};

use auth::AccessToken;
use identity::{Clouds, CredentialError, Identity, Lookup, Requester, Target};
use managed_clusters::{aks, eks};
use references::ObjectIdentity;
use secret::Secret;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Nobody gives one.
    #[error("failed to get access credential for cluster: {0}")]
    Credential(#[from] CredentialError),
    /// There is none for a cluster of EKS.
    #[error(transparent)]
    Eks(#[from] eks::EksError),
    /// The cloud gives something else.
    #[error("failed to get access credential for cluster: the credentials are of another cloud")]
    Kind,
}

/// Makes the tokens for one cluster, by way of the cache of the process.
pub struct ClusterTokens {
    pub(crate) clouds: Clouds,
    pub(crate) kind: Kind,
    /// How long a request may take.
    pub(crate) timeout: Duration,
}

/// What a cluster takes.
pub(crate) enum Kind {
    /// Tokens of a service account, for its audiences or this one.
    Account(Box<ObjectIdentity>, String),
    /// Requests to STS that somebody has signed.
    Eks(eks::Cluster, Identity),
    /// Tokens of Microsoft Entra.
    Aks(Identity),
    /// Access tokens of Google Cloud.
    Gke(Identity),
}

/// A token, and the look into the cache that it is from.
#[derive(Clone, Debug)]
pub struct Token {
    /// The token.
    pub secret: Secret,
    lookup: Lookup,
}

impl ClusterTokens {
    /// A token that is good. The look into the cache is counted for `requester`.
    ///
    /// # Errors
    /// When there is none to be had.
    pub async fn token(&self, requester: Option<Requester<'_>>) -> Result<Token, TokenError> {
        let lookup = self.credentials(requester).await?;
        let secret = match (&self.kind, &lookup.token) {
            (Kind::Eks(cluster, _), AccessToken::Aws(credentials)) => {
                // Signed for each request: that asks nobody.
                cluster.token(credentials, self.clouds.environment(), SystemTime::now())?
            }
            (Kind::Account(..) | Kind::Aks(_) | Kind::Gke(_), AccessToken::Opaque { token, .. }) => {
                token.clone()
            }
            _ => return Err(TokenError::Kind),
        };
        Ok(Token { secret, lookup })
    }

    /// What the token is, or is made of.
    pub(crate) async fn credentials(
        &self,
        requester: Option<Requester<'_>>,
    ) -> Result<Lookup, CredentialError> {
        match &self.kind {
            Kind::Account(identity, audience) => {
                Ok(self.clouds.account_token(identity, audience, requester).await?)
            }
            Kind::Eks(cluster, identity) => {
                self.of_cloud(identity, Target::Aws { region: cluster.region(), sts: None }, requester).await
            }
            Kind::Aks(identity) => {
                self.of_cloud(identity, Target::Azure { scope: aks::SCOPE }, requester).await
            }
            Kind::Gke(identity) => self.of_cloud(identity, Target::Gcp, requester).await,
        }
    }

    /// What a cloud gives, for the cluster or to ask for it.
    pub(crate) async fn of_cloud(
        &self,
        identity: &Identity,
        target: Target<'_>,
        requester: Option<Requester<'_>>,
    ) -> Result<Lookup, CredentialError> {
        let options = identity::Options { requester, proxy: None, timeout: self.timeout };
        self.clouds.token(identity, target, &options).await
    }

    /// Who is shown to the cluster: equal keys are equal identities.
    pub(crate) fn cache_key(&self) -> String {
        match &self.kind {
            Kind::Account(identity, _) => identity.cache_key(),
            Kind::Eks(_, identity) | Kind::Aks(identity) | Kind::Gke(identity) => identity.cache_key(),
        }
    }

    /// The cluster does not take this token: the next one is another.
    pub async fn refused(&self, token: &Token) {
        self.clouds.tokens().forget(&token.lookup).await;
    }
}
