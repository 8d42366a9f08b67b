//! GKE: the token is an access token of Google Cloud.

use auth::{AccessToken, Environment, Http, HttpError, Owner, segment};
use secret::Secret;
use serde::Deserialize;

use crate::{Access, AddressError, Description, Settings, decode};

/// What the name of a cluster must look like, as Flux says it.
const PATTERN: &str = r"^projects/[^/]{1,200}/locations/[^/]{1,200}/clusters/[^/]{1,200}$";
const PUBLIC_URL: &str = "https://container.googleapis.com/";
/// gcloud's variable for another host of this API.
const ENDPOINT_VARIABLE: &str = "CLOUDSDK_API_ENDPOINT_OVERRIDES_CONTAINER";

/// Why there is no way into a cluster.
#[derive(Debug, thiserror::Error)]
pub enum GkeError {
    /// Not the name of a cluster.
    #[error("invalid GKE cluster ID: '{0}'. must match {PATTERN}")]
    Id(String),
    /// GKE does not tell.
    #[error("failed to describe GKE cluster '{cluster}': {source}")]
    Describe {
        /// Its name.
        cluster: String,
        /// What GKE says.
        source: HttpError,
    },
    /// The certificates that GKE tells are none.
    #[error("failed to decode GKE CA certificate")]
    Ca,
    /// Keys of AWS are no token.
    #[error("the credentials are not those of Google Cloud")]
    Token,
    /// The address is not used.
    #[error(transparent)]
    Address(#[from] AddressError),
}

/// A way into the cluster of `settings` with an access token.
///
/// # Errors
/// When there is none.
pub async fn access(
    settings: &Settings,
    token: &AccessToken,
    owner: Owner,
    environment: &Environment,
    http: &Http,
) -> Result<Access, GkeError> {
    let AccessToken::Opaque { token, expires } = token else { return Err(GkeError::Token) };
    // A name is looked at, whether it is needed or not.
    if !settings.cluster.is_empty() && path(&settings.cluster).is_none() {
        return Err(GkeError::Id(settings.cluster.clone()));
    }
    let description = match settings.needs_description(owner) {
        true => Some(describe(&settings.cluster, token, environment, http).await?),
        false => None,
    };
    let (address, ca) = settings.resolve(&settings.cluster, owner, description)?;
    Ok(Access { address, ca, token: token.clone(), expires: *expires })
}

/// The parts of a description that are used.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Answer {
    endpoint: String,
    master_auth: MasterAuth,
    private_cluster_config: Addresses,
    control_plane_endpoints_config: ControlPlane,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct MasterAuth {
    cluster_ca_certificate: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ControlPlane {
    dns_endpoint_config: Dns,
    ip_endpoints_config: Addresses,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Dns {
    endpoint: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Addresses {
    public_endpoint: String,
    private_endpoint: String,
}

async fn describe(
    id: &str,
    token: &Secret,
    environment: &Environment,
    http: &Http,
) -> Result<Description, GkeError> {
    let api = environment.get(ENDPOINT_VARIABLE).unwrap_or(PUBLIC_URL).trim_end_matches('/');
    let url = format!("{api}/v1/{}", path(id).ok_or_else(|| GkeError::Id(id.to_owned()))?);
    let answer = http.json::<Answer>(http.get(url).bearer_auth(token.expose())).await;
    let answer = answer.map_err(|source| GkeError::Describe { cluster: id.to_owned(), source })?;
    let ControlPlane { dns_endpoint_config, ip_endpoints_config } = answer.control_plane_endpoints_config;
    let others = [answer.private_cluster_config, ip_endpoints_config];
    let others = others.into_iter().flat_map(|both| [both.public_endpoint, both.private_endpoint]);
    let all = [answer.endpoint].into_iter().chain(others).chain([dns_endpoint_config.endpoint]);
    let ca = decode(&answer.master_auth.cluster_ca_certificate).ok_or(GkeError::Ca)?;
    Ok(Description { addresses: all.filter(|address| !address.is_empty()).collect(), ca })
}

/// The name as a path: each of its parts stays one.
fn path(id: &str) -> Option<String> {
    let parts: Vec<&str> = id.split('/').collect();
    let named = |part: &&str| (1..=200).contains(&part.chars().count()) && !matches!(*part, "." | "..");
    match parts[..] {
        ["projects", _, "locations", _, "clusters", _] if parts.iter().all(named) => {
            Some(parts.iter().map(|part| segment(part).to_string()).collect::<Vec<_>>().join("/"))
        }
        _ => None,
    }
}
