//! ECR, private and public: keys of AWS are exchanged for what its registries take for a password.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::{Credentials, RegionError, Signer, endpoint_at};
use crate::{AccessToken, Environment, Http, HttpError, Secret};

/// What the host of a registry must look like: Flux's pattern, which holds for the whole host here.
const PATTERN: &str = r"^([0-9+]*).dkr[.-]ecr(?:-fips)?\.([^/.]*)\.(amazonaws\.com[.cn]*|amazonaws\.eu|sc2s\.sgov\.gov|c2s\.ic\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov|on\.aws)$";
/// The registry for everybody.
const PUBLIC_HOST: &str = "public.ecr.aws";
/// Where passwords for [`PUBLIC_HOST`] are given.
const PUBLIC_REGION: &str = "us-east-1";
/// What the hosts of private registries end with, after their region.
const DOMAINS: [&str; 8] = [
    "amazonaws.com",
    "amazonaws.com.cn",
    "amazonaws.eu",
    "sc2s.sgov.gov",
    "c2s.ic.gov",
    "cloud.adc-e.uk",
    "csp.hci.ic.gov",
    "on.aws",
];
const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

/// A registry of ECR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerRegistry {
    region: String,
    is_public: bool,
}

/// The host is none of ECR's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid AWS registry: '{0}'. must match {PATTERN}")]
pub struct RegistryError(String);

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
pub enum EcrError {
    /// The region cannot be asked.
    #[error(transparent)]
    Region(#[from] RegionError),
    /// ECR gives none.
    #[error("failed to get an authorization token of ECR: {0}")]
    Request(#[from] HttpError),
    /// ECR's answer holds none. Nothing of it is told.
    #[error("invalid authorization token of ECR: {0}")]
    Token(&'static str),
}

impl ContainerRegistry {
    /// The user that passwords are for.
    pub const USERNAME: &'static str = "AWS";

    /// Reads the host of a registry: `<account>.dkr.ecr[-fips].<region>.<domain>`, `<account>.dkr-ecr.<region>.on.aws`, or
    /// `public.ecr.aws`.
    ///
    /// # Errors
    /// For all other hosts.
    pub fn of_host(host: &str) -> Result<ContainerRegistry, RegistryError> {
        let lower = host.to_ascii_lowercase();
        if lower == PUBLIC_HOST {
            return Ok(ContainerRegistry { region: PUBLIC_REGION.to_owned(), is_public: true });
        }
        let region = private_region(&lower).ok_or_else(|| RegistryError(host.to_owned()))?;
        Ok(ContainerRegistry { region: region.to_owned(), is_public: false })
    }

    /// Where passwords are given; keys are asked for there, too.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Whether it is the one for everybody.
    pub fn is_public(&self) -> bool {
        self.is_public
    }

    /// A password for [`Self::USERNAME`].
    ///
    /// # Errors
    /// When ECR gives none.
    pub async fn password(
        &self,
        credentials: &Credentials,
        environment: &Environment,
        http: &Http,
    ) -> Result<AccessToken, EcrError> {
        let (service, variable, target) = match self.is_public {
            true => {
                ("ecr-public", "AWS_ENDPOINT_URL_ECR_PUBLIC", "SpencerFrontendService.GetAuthorizationToken")
            }
            false => {
                let target = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken";
                ("ecr", "AWS_ENDPOINT_URL_ECR", target)
            }
        };
        let url = endpoint_at(&format!("api.{service}"), variable, &self.region, environment)?;
        let headers = [("content-type", CONTENT_TYPE), ("x-amz-target", target)];
        let signer = Signer { credentials, region: &self.region, service };
        let signed = signer.headers("POST", &url, &headers, b"{}", SystemTime::now());
        let all = headers.into_iter().chain(signed.iter().map(|(name, value)| (*name, value.as_str())));
        let request = all.fold(http.post(url), |request, (name, value)| request.header(name, value));
        http.json::<Answer>(request.body("{}")).await?.password()
    }
}

/// The region in the host of a private registry.
fn private_region(host: &str) -> Option<&str> {
    let (account, rest) = host.split_once('.')?;
    let rest = rest.strip_prefix("dkr.ecr").or_else(|| rest.strip_prefix("dkr-ecr"))?;
    let (region, domain) = rest.strip_prefix("-fips").unwrap_or(rest).strip_prefix('.')?.split_once('.')?;
    let is_account = !account.is_empty() && account.chars().all(|c| c.is_ascii_digit());
    (is_account && !region.is_empty() && DOMAINS.contains(&domain)).then_some(region)
}

/// ECR gives a list, its public half one.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    authorization_data: OneOrMany,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(Authorization),
    Many(Vec<Authorization>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authorization {
    /// User and password in base64.
    authorization_token: Secret,
    /// Seconds since 1970.
    expires_at: f64,
}

impl Answer {
    fn password(self) -> Result<AccessToken, EcrError> {
        let first = match self.authorization_data {
            OneOrMany::One(only) => Some(only),
            OneOrMany::Many(all) => all.into_iter().next(),
        };
        let Authorization { authorization_token, expires_at } =
            first.ok_or(EcrError::Token("there is none"))?;
        let pair = STANDARD.decode(authorization_token.expose()).ok();
        let pair = pair.and_then(|pair| String::from_utf8(pair).ok());
        let pair = pair.ok_or(EcrError::Token("it is not base64"))?;
        let (_, password) = pair.split_once(':').ok_or(EcrError::Token("it has no colon"))?;
        if password.contains(':') {
            return Err(EcrError::Token("it has more than one colon"));
        }
        let life = Duration::try_from_secs_f64(expires_at).ok();
        let expires = life.and_then(|life| SystemTime::UNIX_EPOCH.checked_add(life));
        let expires = expires.ok_or(EcrError::Token("its end is no time"))?;
        Ok(AccessToken::Opaque { token: Secret::new(password), expires })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_exchanged_for_registries_of_ecr_alone() {
        for (host, region) in [
            ("123456789012.dkr.ecr.us-east-1.amazonaws.com", "us-east-1"),
            ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
            ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1"),
            ("123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"),
            ("123456789012.dkr-ecr.us-west-2.on.aws", "us-west-2"),
            ("123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"),
            ("123456789012.DKR.ecr.us-east-1.amazonaws.com", "us-east-1"),
            ("public.ecr.aws", "us-east-1"),
        ] {
            assert_eq!(ContainerRegistry::of_host(host).map(|r| r.region), Ok(region.to_owned()), "{host}");
        }
        for host in [
            "ghcr.io",
            "public.ecr.aws.evil.example",
            "x.public.ecr.aws",
            "1.dkr.ecr.us-east-1.amazonaws.com.evil.example",
            "1.dkr.ecr.evil.example",
            "evil.dkr.ecr.us-east-1.amazonaws.com",
            "evil.example.1.dkr.ecr.us-east-1.amazonaws.com",
            ".dkr.ecr.us-east-1.amazonaws.com",
            "1.dkr.ecr..amazonaws.com",
            "1.dkr.ecr.a.b.amazonaws.com",
            "1.dkr.ecr.us-east-1.amazonaws.com:5000",
        ] {
            let error = ContainerRegistry::of_host(host).map_err(|error| error.to_string());
            assert_eq!(error, Err(format!("invalid AWS registry: '{host}'. must match {PATTERN}")));
        }
    }
}
