//! Why there are no credentials, in Flux's words.

use auth::aws::AwsError;
use auth::azure::AzureError;
use auth::gcp::GcpError;
use net::ClientError;
use references::IdentityError;

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The annotations of the service account name nobody.
    #[error("failed to get provider identity from service account '{account}' annotations: {cause}")]
    Annotations {
        /// `<namespace>/<name>`
        account: String,
        /// What is wrong with them.
        cause: String,
    },
    /// For whom a token of the service account has to be is not known.
    #[error("failed to get provider audience: {0}")]
    Audience(#[source] GcpError),
    /// GKE takes tokens for its own pool alone.
    #[error("cannot specify custom audiences for GKE workload identity")]
    CustomAudience,
    /// There is no token of the service account.
    #[error(transparent)]
    Token(#[from] IdentityError),
    /// The cloud gives the controller none.
    #[error("failed to create provider access credential for the controller: {0}")]
    Controller(#[source] ProviderError),
    /// The cloud gives the service account none.
    #[error("failed to create provider access credential for service account '{account}': {source}")]
    ServiceAccount {
        /// `<namespace>/<name>`
        account: String,
        /// What the cloud says.
        source: ProviderError,
    },
    /// The cloud cannot be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// What a cloud says.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// AWS.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// Microsoft Entra.
    #[error(transparent)]
    Azure(#[from] AzureError),
    /// Google Cloud.
    #[error(transparent)]
    Gcp(#[from] GcpError),
}
