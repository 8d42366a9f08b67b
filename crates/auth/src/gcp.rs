//! Google Cloud: tokens for service accounts by their keys, and for workloads as the platform tells or by federation.

mod federation;
mod metadata;
mod registry;
mod service_account;

use std::time::{Duration, SystemTime};

use serde::Deserialize;

pub use federation::{AnnotationError, WorkloadIdentity, workload_token};
pub use metadata::GkeCluster;
pub use registry::{REGISTRY_USERNAME, RegistryError, check_registry};
pub use service_account::ServiceAccountKey;

use crate::{AccessToken, Environment, FileError, Http, HttpError, KeyError, Secret};

/// The annotation of a Kubernetes service account with the Google service account that it acts for.
pub const SERVICE_ACCOUNT_ANNOTATION: &str = "iam.gke.io/gcp-service-account";
/// The annotation of a service account with the provider that trusts its cluster, where that is not GKE.
pub const PROVIDER_ANNOTATION: &str = "gcp.auth.fluxcd.io/workload-identity-provider";
/// What tokens are for, unless somebody asks for something else.
pub const SCOPES: [&str; 2] =
    ["https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/userinfo.email"];

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum GcpError {
    /// A file of the platform cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The credentials are not understood. The text holds nothing of them.
    #[error("invalid Google credentials: {0}")]
    Credentials(String),
    /// Credentials of another kind, which could make this process read files and ask hosts of its own.
    #[error("invalid Google credentials: type '{0}' is not supported, only 'service_account'")]
    Kind(String),
    /// The key of a service account does not sign.
    #[error("invalid Google credentials: could not parse private key: {0}")]
    Key(#[from] KeyError),
    /// The server of tokens gives none.
    #[error("failed to get a token of the Google service account: {0}")]
    Token(#[source] HttpError),
    /// The token of the workload is not exchanged.
    #[error("failed to exchange the token of the workload: {0}")]
    Exchange(#[source] HttpError),
    /// The workload may not act for the service account.
    #[error("failed to impersonate the Google service account: {0}")]
    Impersonate(#[source] HttpError),
    /// The metadata service gives no token.
    #[error("failed to get a token of the instance: {0}")]
    Metadata(#[source] HttpError),
    /// The metadata service does not tell about the cluster.
    #[error("failed to get GKE cluster {what} from the metadata service: {source}")]
    Cluster {
        /// What it does not tell.
        what: &'static str,
        /// What it says.
        source: HttpError,
    },
}

/// A token for the controller itself: by the file that `GOOGLE_APPLICATION_CREDENTIALS` names, else from the metadata service.
///
/// # Errors
/// When there is none.
pub async fn controller_token(environment: &Environment, http: &Http) -> Result<AccessToken, GcpError> {
    match environment.file("GOOGLE_APPLICATION_CREDENTIALS").await? {
        None => metadata::token(environment, http).await,
        Some(json) => match kind(&json)?.as_str() {
            "service_account" => ServiceAccountKey::parse(&json)?.token(&SCOPES, http).await,
            "external_account" => federation::of_file(&json, http).await,
            other => Err(GcpError::Credentials(format!("type '{other}' is not supported"))),
        },
    }
}

/// The kind of credentials that a file of Google's holds.
fn kind(json: &str) -> Result<String, GcpError> {
    #[derive(Deserialize)]
    struct Kind {
        #[serde(default)]
        r#type: String,
    }
    Ok(read::<Kind>(json)?.r#type)
}

fn read<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, GcpError> {
    serde_json::from_str(json).map_err(|error| {
        // Not the error's own text, which may quote the file.
        GcpError::Credentials(format!("line {}, column {}", error.line(), error.column()))
    })
}

/// What servers of tokens answer.
#[derive(Deserialize)]
struct Answer {
    access_token: Secret,
    expires_in: u32,
}

impl Answer {
    fn token(self) -> AccessToken {
        let expires = SystemTime::now() + Duration::from_secs(self.expires_in.into());
        AccessToken::Opaque { token: self.access_token, expires }
    }
}
