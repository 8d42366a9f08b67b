//! EKS: the token is a request to STS that is signed in advance, by which the cluster sees who asks.

use std::time::{Duration, SystemTime};

use auth::aws::{Credentials, RegionError, Signer, endpoint};
use auth::{Environment, Http, HttpError, Owner};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secret::Secret;
use serde::Deserialize;

use crate::{Access, AddressError, Description, Settings, decode};

/// What the name of a cluster must look like, as Flux says it.
const PATTERN: &str = r"^arn:aws[\w-]*:eks:([^:]{1,100}):[0-9]{1,30}:cluster/(.{1,200})$";
const SERVICE: &str = "eks";
const TOKEN_PREFIX: &str = "k8s-aws-v1.";
/// The signed header by which a token is for one cluster alone.
const CLUSTER_HEADER: &str = "x-k8s-aws-id";
/// How long EKS takes a token.
const TOKEN_LIFETIME: Duration = Duration::from_secs(900);

/// A cluster of EKS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    region: String,
    name: String,
}

/// Why there is no way into a cluster.
#[derive(Debug, thiserror::Error)]
pub enum EksError {
    /// Not the ARN of a cluster.
    #[error("invalid EKS cluster ARN: '{0}'. must match {PATTERN}")]
    Arn(String),
    /// The region cannot be asked.
    #[error(transparent)]
    Region(#[from] RegionError),
    /// EKS does not tell.
    #[error("failed to describe EKS cluster '{cluster}': {source}")]
    Describe {
        /// Its name.
        cluster: String,
        /// What EKS says.
        source: HttpError,
    },
    /// The certificates that EKS tells are none.
    #[error("failed to decode EKS CA certificate")]
    Ca,
    /// The address is not used.
    #[error(transparent)]
    Address(#[from] AddressError),
}

impl Cluster {
    /// Reads an ARN.
    ///
    /// # Errors
    /// For what is not the ARN of a cluster.
    pub fn parse(arn: &str) -> Result<Cluster, EksError> {
        let invalid = || EksError::Arn(arn.to_owned());
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let ["arn", partition, SERVICE, region, account, resource] = parts[..] else { return Err(invalid()) };
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let name = resource.strip_prefix("cluster/").unwrap_or_default();
        let valid = partition.strip_prefix("aws").is_some_and(|rest| rest.chars().all(word))
            && (1..=100).contains(&region.len())
            && (1..=30).contains(&account.len())
            && account.chars().all(|c| c.is_ascii_digit())
            && (1..=200).contains(&name.chars().count())
            && !matches!(name, "." | "..");
        if !valid {
            return Err(invalid());
        }
        Ok(Cluster { region: region.to_owned(), name: name.to_owned() })
    }

    /// Where it is; credentials are asked for there.
    pub fn region(&self) -> &str {
        &self.region
    }
}

/// A way into the cluster of `settings` with `credentials`.
///
/// # Errors
/// When there is none.
pub async fn access(
    settings: &Settings,
    credentials: &Credentials,
    owner: Owner,
    environment: &Environment,
    http: &Http,
) -> Result<Access, EksError> {
    let cluster = Cluster::parse(&settings.cluster)?;
    let now = SystemTime::now();
    let token = cluster.token(credentials, environment, now)?;
    let description = match settings.needs_description(owner) {
        true => Some(cluster.describe(credentials, environment, http).await?),
        false => None,
    };
    let (address, ca) = settings.resolve(&cluster.name, owner, description)?;
    Ok(Access { address, ca, token, expires: now + TOKEN_LIFETIME })
}

impl Cluster {
    /// A request to STS that is signed in advance with `credentials`: good from `now` on for a quarter of an hour, as long as they are.
    ///
    /// # Errors
    /// For a region that cannot be asked.
    pub fn token(
        &self,
        credentials: &Credentials,
        environment: &Environment,
        now: SystemTime,
    ) -> Result<Secret, EksError> {
        let mut url = endpoint("sts", &self.region, environment)?;
        url.set_query(Some("Action=GetCallerIdentity&Version=2011-06-15"));
        let signer = Signer { credentials, region: &self.region, service: "sts" };
        let url = signer.presigned(&url, &[(CLUSTER_HEADER, &self.name)], TOKEN_LIFETIME, now);
        Ok(Secret::new(format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(url.as_str()))))
    }

    async fn describe(
        &self,
        credentials: &Credentials,
        environment: &Environment,
        http: &Http,
    ) -> Result<Description, EksError> {
        #[derive(Deserialize)]
        struct Answer {
            cluster: Described,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Described {
            endpoint: String,
            certificate_authority: Authority,
        }
        #[derive(Deserialize)]
        struct Authority {
            data: String,
        }
        let mut url = endpoint(SERVICE, &self.region, environment)?;
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["clusters", &self.name]);
        }
        let signer = Signer { credentials, region: &self.region, service: SERVICE };
        let signed = signer.headers("GET", &url, &[], b"", SystemTime::now());
        let request =
            signed.iter().fold(http.get(url), |request, (name, value)| request.header(*name, value));
        let failed = |source| EksError::Describe { cluster: self.name.clone(), source };
        let Described { endpoint, certificate_authority } =
            http.json::<Answer>(request).await.map_err(failed)?.cluster;
        let ca = decode(&certificate_authority.data).ok_or(EksError::Ca)?;
        Ok(Description { addresses: vec![endpoint], ca })
    }
}
