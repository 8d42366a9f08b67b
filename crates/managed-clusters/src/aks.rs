//! AKS: the token is one of Microsoft Entra for the API servers of AKS; another one asks Azure for the cluster.

use auth::{AccessToken, Environment, FileError, Http, HttpError, Owner};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::RequestBuilder;
use secret::Secret;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use url::Url;
use yaml::{Limits, Resolver};

use crate::{Access, AddressError, Description, Settings, decode};

/// What tokens for API servers of AKS are for, in every cloud.
pub const SCOPE: &str = "6dae42f8-4368-4678-94ff-3960e28e3630/.default";
/// What the name of a cluster must look like, as Flux says it.
const PATTERN: &str = r"(?i)^/subscriptions/([^/]{36})/resourceGroups/([^/]{1,200})/providers/Microsoft\.ContainerService/managedClusters/([^/]{1,200})$";
const API_VERSION: &str = "2024-05-01";
/// The variable of a file that tells of a cloud: `resourceManagerEndpoint` and `tokenAudience`.
const CLOUD_VARIABLE: &str = "AZURE_ENVIRONMENT_FILEPATH";
/// What a kubeconfig may be.
const KUBECONFIG_LIMITS: Limits =
    Limits { bytes: 1 << 20, depth: 32, documents: 1, nodes: 10_000, alias_nodes: 1000 };

/// Azure Resource Manager of the cloud that this process is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceManager {
    endpoint: String,
    audience: String,
}

/// The tokens for a cluster.
#[derive(Debug, Clone, Copy)]
pub struct Tokens<'a> {
    /// For [`SCOPE`].
    pub cluster: &'a AccessToken,
    /// For [`ResourceManager::scope`]; needed where [`needs_manager`] says so.
    pub manager: Option<&'a AccessToken>,
}

/// Why there is no way into a cluster.
#[derive(Debug, thiserror::Error)]
pub enum AksError {
    /// Not the ID of a cluster.
    #[error("invalid AKS cluster ID: '{0}'. must match {PATTERN}")]
    Id(String),
    /// The file that tells of the cloud cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file does not tell of the cloud.
    #[error("resourceManagerEndpoint and tokenAudience must be set in the environment file")]
    Cloud,
    /// Azure does not tell.
    #[error("failed to describe AKS cluster: {0}")]
    Describe(#[source] HttpError),
    /// The cluster knows no tokens of Entra.
    #[error(
        "AKS cluster {0} does not have Microsoft Entra ID integration enabled. See docs for enabling: https://learn.microsoft.com/en-us/azure/aks/enable-authentication-microsoft-entra-id"
    )]
    NoEntra(String),
    /// Azure gives no kubeconfigs.
    #[error("failed to list the user credentials of AKS cluster: {0}")]
    Credentials(#[source] HttpError),
    /// A kubeconfig is not understood.
    #[error("failed to parse kubeconfig[{0}]")]
    Kubeconfig(usize),
    /// There is none.
    #[error("no kubeconfig found for AKS cluster {0}")]
    NoKubeconfig(String),
    /// There is none for the address.
    #[error(
        "no kubeconfig found for AKS cluster {cluster} matching the specified address '{address}'. cluster addresses: [{}]",
        quoted(.addresses)
    )]
    NoMatch {
        /// Name of the cluster.
        cluster: String,
        /// The address of the settings.
        address: String,
        /// Those of the cluster.
        addresses: Vec<String>,
    },
    /// Keys of AWS are no token, and without one Azure cannot be asked.
    #[error("there is no token of Microsoft Entra")]
    Token,
    /// The address is not used.
    #[error(transparent)]
    Address(#[from] AddressError),
}

fn quoted(addresses: &[String]) -> String {
    addresses.iter().map(|address| format!("'{address}'")).collect::<Vec<_>>().join(", ")
}

impl ResourceManager {
    /// The one of the cloud that `AZURE_ENVIRONMENT_FILEPATH` tells of, else of the cloud of `AZURE_AUTHORITY_HOST`.
    ///
    /// # Errors
    /// When the file does not tell.
    pub async fn of(environment: &Environment) -> Result<ResourceManager, AksError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        #[derive(Default)]
        struct Cloud {
            resource_manager_endpoint: String,
            token_audience: String,
        }
        if let Some(json) = environment.file(CLOUD_VARIABLE).await? {
            let cloud: Cloud = serde_json::from_str(&json).map_err(|_| AksError::Cloud)?;
            let (endpoint, audience) = (cloud.resource_manager_endpoint, cloud.token_audience);
            if endpoint.is_empty() || audience.is_empty() {
                return Err(AksError::Cloud);
            }
            return Ok(ResourceManager { endpoint, audience });
        }
        let authority = environment.get("AZURE_AUTHORITY_HOST").unwrap_or_default();
        let (endpoint, audience) = if authority.contains("chinacloudapi.cn") {
            ("https://management.chinacloudapi.cn", "https://management.core.chinacloudapi.cn/")
        } else if authority.contains("microsoftonline.us") {
            ("https://management.usgovcloudapi.net", "https://management.core.usgovcloudapi.net/")
        } else {
            ("https://management.azure.com", "https://management.core.windows.net/")
        };
        Ok(ResourceManager { endpoint: endpoint.to_owned(), audience: audience.to_owned() })
    }

    /// What its token has to be for.
    pub fn scope(&self) -> String {
        format!("{}/.default", self.audience)
    }
}

/// Whether Azure has to be asked for a cluster, and so a token for that is needed.
pub fn needs_manager(settings: &Settings, owner: Owner) -> bool {
    settings.needs_description(owner)
}

/// A way into the cluster of `settings` with tokens of Entra.
///
/// # Errors
/// When there is none.
pub async fn access(
    settings: &Settings,
    tokens: Tokens<'_>,
    owner: Owner,
    manager: &ResourceManager,
    http: &Http,
) -> Result<Access, AksError> {
    let opaque = |token: &AccessToken| match token {
        AccessToken::Opaque { token, expires } => Ok((token.clone(), *expires)),
        AccessToken::Aws(_) => Err(AksError::Token),
    };
    let (token, expires) = opaque(tokens.cluster)?;
    // A name is looked at, whether it is needed or not.
    if !settings.cluster.is_empty() && url(manager, &settings.cluster, &[]).is_none() {
        return Err(AksError::Id(settings.cluster.clone()));
    }
    let description = match settings.needs_description(owner) {
        true => {
            let (token, _) = opaque(tokens.manager.ok_or(AksError::Token)?)?;
            Some(describe(settings, &token, manager, http).await?)
        }
        false => None,
    };
    let (address, ca) = settings.resolve(&settings.cluster, owner, description)?;
    Ok(Access { address, ca, token, expires })
}

async fn describe(
    settings: &Settings,
    token: &Secret,
    manager: &ResourceManager,
    http: &Http,
) -> Result<Description, AksError> {
    #[derive(Deserialize)]
    struct Cluster {
        properties: Properties,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Properties {
        aad_profile: Option<IgnoredAny>,
    }
    #[derive(Deserialize)]
    struct Listed {
        #[serde(default)]
        kubeconfigs: Vec<Kubeconfig>,
    }
    #[derive(Deserialize)]
    struct Kubeconfig {
        value: Secret,
    }
    let id = &settings.cluster;
    let name = id.rsplit('/').next().unwrap_or_default().to_owned();
    let url = |below: &[&str]| url(manager, id, below).ok_or_else(|| AksError::Id(id.clone()));
    let cluster: Cluster = ask(http.get(url(&[])?), token, http).await.map_err(AksError::Describe)?;
    if cluster.properties.aad_profile.is_none() {
        return Err(AksError::NoEntra(name));
    }
    // Azure demands the length of a body that is not there, too.
    let request = http.post(url(&["listClusterUserCredential"])?).header("Content-Length", "0");
    let listed: Listed = ask(request, token, http).await.map_err(AksError::Credentials)?;
    let given = settings.address().map(crate::canonical_address).transpose()?;
    let mut addresses = Vec::new();
    for (index, kubeconfig) in listed.kubeconfigs.iter().enumerate() {
        let (address, ca) = server(kubeconfig.value.expose()).ok_or(AksError::Kubeconfig(index))?;
        let canonical = crate::canonical_address(&address)?;
        if given.as_ref().is_none_or(|given| *given == canonical) {
            return Ok(Description { addresses: vec![address], ca });
        }
        addresses.push(address);
    }
    Err(match settings.address() {
        Some(address) => AksError::NoMatch { cluster: name, address: secret::redact(address), addresses },
        None => AksError::NoKubeconfig(name),
    })
}

async fn ask<T: DeserializeOwned>(
    request: RequestBuilder,
    token: &Secret,
    http: &Http,
) -> Result<T, HttpError> {
    http.json(request.bearer_auth(token.expose())).await
}

/// The URL of a cluster: each part of its ID stays one.
fn url(manager: &ResourceManager, id: &str, below: &[&str]) -> Option<Url> {
    let parts: Vec<&str> = id.split('/').collect();
    let ["", subscriptions, subscription, groups, group, providers, provider, kind, name] = parts[..] else {
        return None;
    };
    let fixed = [
        (subscriptions, "subscriptions"),
        (groups, "resourceGroups"),
        (providers, "providers"),
        (provider, "Microsoft.ContainerService"),
        (kind, "managedClusters"),
    ];
    let named = |part: &str| (1..=200).contains(&part.chars().count()) && !matches!(part, "." | "..");
    let valid = fixed.iter().all(|(given, expected)| given.eq_ignore_ascii_case(expected))
        && subscription.chars().count() == 36
        && named(group)
        && named(name);
    if !valid {
        return None;
    }
    let mut url = Url::parse(&manager.endpoint).ok()?;
    url.path_segments_mut().ok()?.pop_if_empty().extend(parts.iter().skip(1)).extend(below);
    url.set_query(Some(&format!("api-version={API_VERSION}")));
    Some(url)
}

/// Address and certificates of the current context of a kubeconfig.
fn server(base64: &str) -> Option<(String, Vec<u8>)> {
    let text = Secret::new(String::from_utf8(STANDARD.decode(base64).ok()?).ok()?);
    let config = yaml::parse(text.expose(), &KUBECONFIG_LIMITS).ok()?;
    let config = config.first()?.to_json(Resolver::KubernetesV2).ok()?;
    let named = |list: &str, name: &str| {
        let items = config.get(list)?.as_array()?;
        items.iter().find(|item| item.get("name").and_then(Value::as_str) == Some(name)).cloned()
    };
    let context = named("contexts", config.get("current-context")?.as_str()?)?;
    let cluster = named("clusters", context.get("context")?.get("cluster")?.as_str()?)?;
    let cluster = cluster.get("cluster")?;
    let ca = cluster.get("certificate-authority-data").and_then(Value::as_str).unwrap_or_default();
    Some((cluster.get("server")?.as_str()?.to_owned(), decode(ca)?))
}
