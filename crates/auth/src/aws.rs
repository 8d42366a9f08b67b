//! AWS: credentials as the platform gives them, requests signed with them, and what CodeCommit takes for user and password.

mod codecommit;
mod ecr;
mod signature;

use std::time::{Duration, SystemTime};

use serde::Deserialize;

pub use codecommit::{Login, Repository, UrlError};
pub use ecr::{ContainerRegistry, EcrError, RegistryError};
pub use signature::Signer;
use url::Url;

use crate::http::form;
use crate::{AccessToken, Environment, FileError, Http, HttpError, Secret};

/// The audience of service account tokens that are exchanged.
pub const AUDIENCE: &str = "sts.amazonaws.com";
/// The annotation of a service account with the role that it takes.
pub const ROLE_ANNOTATION: &str = "eks.amazonaws.com/role-arn";
/// What [`ROLE_ANNOTATION`] must look like, as Flux says it.
pub const ROLE_PATTERN: &str = r"^arn:aws[\w-]*:iam::[0-9]{1,30}:role/.{1,200}$";

/// Where ECS and EKS tell credentials to a container.
const CONTAINER_URL: &str = "http://169.254.170.2";
const METADATA_URL: &str = "http://169.254.169.254";
/// What requests to STS are signed for.
const STS: &str = "sts";
const STS_VERSION: &str = "2011-06-15";
const FORM: &str = "application/x-www-form-urlencoded";
/// Domains of services, by how the names of their regions begin; all others are in [`PUBLIC_DOMAIN`].
const DOMAINS: [(&str, &str); 7] = [
    ("cn-", "amazonaws.com.cn"),
    ("eusc-", "amazonaws.eu"),
    ("us-iso-", "c2s.ic.gov"),
    ("us-isob-", "sc2s.sgov.gov"),
    ("eu-isoe-", "cloud.adc-e.uk"),
    ("us-isof-", "csp.hci.ic.gov"),
    ("eu-isof-", "csp.hci.ic.gov"),
];
const PUBLIC_DOMAIN: &str = "amazonaws.com";
const DEFAULT_SESSION: &str = "flux";
/// How long credentials without an end are taken for good.
const DEFAULT_CREDENTIAL_LIFETIME: Duration = Duration::from_secs(3600);

/// Keys that sign requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The public part.
    pub access_key: String,
    /// The secret part.
    pub secret_key: Secret,
    /// Goes with keys that end.
    pub session_token: Option<Secret>,
    /// When they end.
    pub expires: SystemTime,
}

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum AwsError {
    /// The token of the pod cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is no such region.
    #[error(transparent)]
    Region(#[from] RegionError),
    /// STS does not give the role for a token.
    #[error("failed to assume role with web identity: {0}")]
    AssumeRole(#[source] HttpError),
    /// STS does not give the role for other credentials.
    #[error("failed to assume role '{role}': {source}")]
    AssumeOtherRole {
        /// Its ARN.
        role: String,
        /// What STS says.
        source: HttpError,
    },
    /// The credential service of the container gives none.
    #[error("failed to get container credentials: {0}")]
    Container(#[source] HttpError),
    /// The metadata service of the machine gives none.
    #[error("failed to get credentials of the instance: {0}")]
    Metadata(#[source] HttpError),
}

/// A service cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegionError {
    /// No region.
    #[error("AWS region is required")]
    Missing,
    /// What would be a host of somebody else.
    #[error("invalid AWS region: '{0}'")]
    Invalid(String),
    /// The variable that names another host does not hold a URL.
    #[error("invalid URL in {0}")]
    Endpoint(String),
}

/// Where `service` of a region is: the host that `AWS_ENDPOINT_URL_<SERVICE>` names, else one of AWS, whatever the region's name is.
///
/// # Errors
/// For a name that no region has, and a variable that is no URL.
pub fn endpoint(service: &str, region: &str, environment: &Environment) -> Result<Url, RegionError> {
    let variable = format!("AWS_ENDPOINT_URL_{}", service.to_uppercase());
    endpoint_at(service, &variable, region, environment)
}

/// The same for a service whose host in a region begins with `host`, and whose variable is not named after that.
fn endpoint_at(
    host: &str,
    variable: &str,
    region: &str,
    environment: &Environment,
) -> Result<Url, RegionError> {
    if region.is_empty() {
        return Err(RegionError::Missing);
    }
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let invalid = || RegionError::Invalid(region.to_owned());
    if !region.chars().all(valid) || region.starts_with('-') {
        return Err(invalid());
    }
    if let Some(url) = environment.get(variable) {
        return Url::parse(url).map_err(|_| RegionError::Endpoint(variable.to_owned()));
    }
    let domain = DOMAINS.iter().find(|(prefix, _)| region.starts_with(prefix));
    let domain = domain.map_or(PUBLIC_DOMAIN, |(_, domain)| domain);
    Url::parse(&format!("https://{host}.{region}.{domain}/")).map_err(|_| invalid())
}

/// Whether a role may be asked for: it has the form of [`ROLE_PATTERN`].
pub fn is_role(arn: &str) -> bool {
    let mut parts = arn.splitn(6, ':');
    let mut next = || parts.next().unwrap_or_default();
    let (arn, partition, service, region, account, resource) =
        (next(), next(), next(), next(), next(), next());
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let role = resource.strip_prefix("role/").map_or(0, |name| name.chars().count());
    arn == "arn"
        && partition.strip_prefix("aws").is_some_and(|rest| rest.chars().all(word))
        && (service, region) == ("iam", "")
        && (1..=30).contains(&account.len())
        && account.chars().all(|c| c.is_ascii_digit())
        && (1..=200).contains(&role)
}

/// Credentials of the controller itself, as the platform says: variables, web identity (IRSA), the container's service (EKS Pod
/// Identity, ECS), or the machine's.
pub async fn controller_token(
    environment: &Environment,
    region: &str,
    sts: Option<&Url>,
    http: &Http,
) -> Result<AccessToken, AwsError> {
    let credentials = if let Some(credentials) = of_environment(environment) {
        credentials
    } else if let (Some(token), Some(role)) =
        (environment.file("AWS_WEB_IDENTITY_TOKEN_FILE").await?, environment.get("AWS_ROLE_ARN"))
    {
        // What a role's session is named in the logs of AWS: the pod's name, if nobody says.
        let session = environment.get("AWS_ROLE_SESSION_NAME").or_else(|| environment.get("HOSTNAME"));
        let session = session.unwrap_or(DEFAULT_SESSION);
        return assume_role(role, session, &token, &sts_url(sts, region, environment)?, http).await;
    } else if let Some(url) = container_url(environment) {
        of_container(&url, environment, http).await?
    } else {
        of_instance(environment, http).await.map_err(AwsError::Metadata)?
    };
    Ok(AccessToken::Aws(credentials))
}

/// Where STS is: at `sts` if that is said, else where it is in the region.
///
/// # Errors
/// As [`endpoint`].
pub fn sts_url(sts: Option<&Url>, region: &str, environment: &Environment) -> Result<Url, RegionError> {
    sts.map_or_else(|| endpoint(STS, region, environment), |url| Ok(url.clone()))
}

/// Whether a URL is one of AWS for STS, as Flux has it: it may get tokens of service accounts.
pub fn is_sts(url: &str) -> bool {
    let name = url.strip_prefix("https://").and_then(|host| host.strip_suffix(".amazonaws.com"));
    let Some(name) = name.map(|name| name.strip_suffix(".vpce").unwrap_or(name)) else { return false };
    let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'));
    let is_service = |label: &str| matches!(label, "sts" | "sts-fips");
    let mut labels = name.rsplit('.');
    let (last, before) = (labels.next().unwrap_or_default(), labels.next());
    is_name && (is_service(last) || (!last.is_empty() && before.is_some_and(is_service)))
}

/// Credentials of a store that asks a directory, as MinIO's STS gives them.
///
/// # Errors
/// When it gives none.
pub async fn ldap_identity(
    url: Url,
    username: &str,
    password: &Secret,
    http: &Http,
) -> Result<AccessToken, HttpError> {
    let fields = [
        ("Action", "AssumeRoleWithLDAPIdentity"),
        ("Version", STS_VERSION),
        ("LDAPUsername", username),
        ("LDAPPassword", password.expose()),
    ];
    let answer = http.text(http.submit(url, form(fields))).await?;
    of_xml(&answer).map(AccessToken::Aws)
}

/// Credentials of `role`, which trusts the service account that `token` is a token of; `sts` is where to ask.
pub async fn assume_role(
    role: &str,
    session: &str,
    token: &str,
    sts: &Url,
    http: &Http,
) -> Result<AccessToken, AwsError> {
    let fields = [
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", STS_VERSION),
        ("RoleArn", role),
        ("RoleSessionName", session),
        ("WebIdentityToken", token),
    ];
    let request = http.submit(sts.clone(), form(fields));
    let answer = http.text(request).await.map_err(AwsError::AssumeRole)?;
    of_xml(&answer).map(AccessToken::Aws).map_err(AwsError::AssumeRole)
}

/// Credentials of `role`, which trusts who has `credentials`.
///
/// # Errors
/// When STS does not give them.
pub async fn assume_other_role(
    role: &str,
    session: &str,
    credentials: &Credentials,
    region: &str,
    environment: &Environment,
    http: &Http,
) -> Result<Credentials, AwsError> {
    let url = endpoint(STS, region, environment)?;
    let fields =
        [("Action", "AssumeRole"), ("Version", STS_VERSION), ("RoleArn", role), ("RoleSessionName", session)];
    let body = form(fields);
    let signer = Signer { credentials, region, service: STS };
    let headers = [("content-type", FORM)];
    let signed = signer.headers("POST", &url, &headers, body.as_bytes(), SystemTime::now());
    let request = headers.into_iter().chain(signed.iter().map(|(name, value)| (*name, value.as_str())));
    let request = request.fold(http.post(url), |request, (name, value)| request.header(name, value));
    let answer = http.text(request.body(body)).await.and_then(|answer| of_xml(&answer));
    answer.map_err(|source| AwsError::AssumeOtherRole { role: role.to_owned(), source })
}

fn of_environment(environment: &Environment) -> Option<Credentials> {
    Some(Credentials {
        access_key: environment.get("AWS_ACCESS_KEY_ID")?.to_owned(),
        secret_key: Secret::new(environment.get("AWS_SECRET_ACCESS_KEY")?),
        session_token: environment.get("AWS_SESSION_TOKEN").map(Secret::new),
        expires: SystemTime::now() + DEFAULT_CREDENTIAL_LIFETIME,
    })
}

fn container_url(environment: &Environment) -> Option<String> {
    let full = environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI").map(str::to_owned);
    let relative = || environment.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    full.or_else(|| relative().map(|path| format!("{CONTAINER_URL}{path}")))
}

async fn of_container(url: &str, environment: &Environment, http: &Http) -> Result<Credentials, AwsError> {
    let file = environment.file("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE").await?;
    let token = file.as_deref().or_else(|| environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN"));
    let mut request = http.get(url);
    if let Some(token) = token {
        request = request.header("Authorization", token);
    }
    http.json::<Answer>(request).await.and_then(Answer::credentials).map_err(AwsError::Container)
}

/// The second version of the metadata service, which asks for a token first.
async fn of_instance(environment: &Environment, http: &Http) -> Result<Credentials, HttpError> {
    let host =
        environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or(METADATA_URL).trim_end_matches('/');
    let session = http.put(format!("{host}/latest/api/token"));
    let session = http.text(session.header("X-aws-ec2-metadata-token-ttl-seconds", "300")).await?;
    let get = |path: &str| {
        let url = format!("{host}/latest/meta-data/iam/security-credentials/{path}");
        http.get(url).header("X-aws-ec2-metadata-token", session.trim())
    };
    let role = http.text(get("")).await?;
    let role = role.lines().next().unwrap_or_default().trim();
    if role.is_empty() {
        return Err(HttpError::Malformed("the instance has no role".to_owned()));
    }
    http.json::<Answer>(get(role)).await.and_then(Answer::credentials)
}

/// What containers and machines are told.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    access_key_id: String,
    secret_access_key: Secret,
    token: Option<Secret>,
    expiration: Option<String>,
}

impl Answer {
    fn credentials(self) -> Result<Credentials, HttpError> {
        let expires = match &self.expiration {
            Some(text) => time(text).ok_or_else(|| HttpError::Malformed("Expiration".to_owned()))?,
            None => SystemTime::now() + DEFAULT_CREDENTIAL_LIFETIME,
        };
        Ok(Credentials {
            access_key: self.access_key_id,
            secret_key: self.secret_access_key,
            session_token: self.token,
            expires,
        })
    }
}

/// The credentials in an answer of STS. Their values hold nothing that XML escapes.
fn of_xml(answer: &str) -> Result<Credentials, HttpError> {
    let read = || {
        let credentials = element(answer, "Credentials")?;
        Some(Credentials {
            access_key: element(credentials, "AccessKeyId")?.to_owned(),
            secret_key: Secret::new(element(credentials, "SecretAccessKey")?),
            session_token: Some(Secret::new(element(credentials, "SessionToken")?)),
            expires: time(element(credentials, "Expiration")?)?,
        })
    };
    read().ok_or_else(|| HttpError::Malformed("no credentials".to_owned()))
}

/// What stands in the first element of that name.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (content, _) = rest.split_once(&format!("</{name}>"))?;
    Some(content.trim())
}

fn time(text: &str) -> Option<SystemTime> {
    text.parse::<jiff::Timestamp>().ok().map(SystemTime::from)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn services_are_at_hosts_of_aws_whatever_the_region_is_named() {
        let none = Environment::default();
        for (region, url) in [
            ("us-east-1", "https://kms.us-east-1.amazonaws.com/"),
            ("us-gov-west-1", "https://kms.us-gov-west-1.amazonaws.com/"),
            ("cn-north-1", "https://kms.cn-north-1.amazonaws.com.cn/"),
            ("eusc-de-east-1", "https://kms.eusc-de-east-1.amazonaws.eu/"),
            ("us-iso-east-1", "https://kms.us-iso-east-1.c2s.ic.gov/"),
        ] {
            assert_eq!(endpoint("kms", region, &none).unwrap().as_str(), url);
        }
        for region in ["evil.example/", "evil.example#", "a@b", "-a", "a:1", "A", "a b"] {
            assert_eq!(endpoint("kms", region, &none), Err(RegionError::Invalid(region.to_owned())));
        }
        assert_eq!(endpoint("kms", "", &none).unwrap_err().to_string(), "AWS region is required");
        let other: Environment = [("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:1/")].into_iter().collect();
        assert_eq!(endpoint("kms", "eu-west-1", &other).unwrap().as_str(), "http://127.0.0.1:1/");
        assert_ne!(endpoint("sts", "eu-west-1", &other).unwrap().as_str(), "http://127.0.0.1:1/");
    }

    #[test]
    fn tokens_are_for_sts_of_aws_alone() {
        for url in [
            "https://sts.amazonaws.com",
            "https://sts.eu-west-1.amazonaws.com",
            "https://sts-fips.us-east-1.amazonaws.com",
            "https://vpce-1a2b.sts.us-east-1.vpce.amazonaws.com",
        ] {
            assert!(is_sts(url), "{url}");
        }
        for url in [
            "http://sts.amazonaws.com",
            "https://sts.amazonaws.com/x",
            "https://evil.org/.sts.amazonaws.com",
            "https://me@evil.org#sts.amazonaws.com",
            "https://ec2-1-2-3-4.compute-1.amazonaws.com",
            "https://sts.evil.org",
            "https://.amazonaws.com",
        ] {
            assert!(!is_sts(url), "{url}");
        }
    }

    #[test]
    fn roles_look_like_roles() {
        for arn in ["arn:aws:iam::123456789012:role/me", "arn:aws-cn:iam::1:role/a/b:c"] {
            assert!(is_role(arn), "{arn}");
        }
        for arn in
            ["", "me", "arn:aws:iam::123:user/me", "arn:aws:iam::x:role/me", "arn:aws:iam:eu:1:role/me"]
        {
            assert!(!is_role(arn), "{arn}");
        }
    }
}
