//! AWS: credentials as the platform gives them, and what CodeCommit takes for user and password.

mod codecommit;

use std::time::{Duration, SystemTime};

use serde::Deserialize;

pub use codecommit::{Login, Repository, UrlError};

use crate::cache::Key;
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
    /// STS does not give the role.
    #[error("failed to assume role with web identity: {0}")]
    AssumeRole(#[source] HttpError),
    /// The credential service of the container gives none.
    #[error("failed to get container credentials: {0}")]
    Container(#[source] HttpError),
    /// The metadata service of the machine gives none.
    #[error("failed to get credentials of the instance: {0}")]
    Metadata(#[source] HttpError),
}

/// What a role's credentials depend on.
pub fn cache_key(role: &str, service_account: &str, region: &str) -> Key {
    Key::new(["aws", role, service_account, region])
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
    http: &Http,
) -> Result<AccessToken, AwsError> {
    let credentials = if let Some(credentials) = of_environment(environment) {
        credentials
    } else if let (Some(token), Some(role)) =
        (environment.file("AWS_WEB_IDENTITY_TOKEN_FILE").await?, environment.get("AWS_ROLE_ARN"))
    {
        let session = environment.get("AWS_ROLE_SESSION_NAME").unwrap_or("source-controller");
        return assume_role(role, session, &token, region, environment, http).await;
    } else if let Some(url) = container_url(environment) {
        of_container(&url, environment, http).await?
    } else {
        of_instance(environment, http).await.map_err(AwsError::Metadata)?
    };
    Ok(AccessToken::Aws(credentials))
}

/// Credentials of `role`, which trusts the service account that `token` is a token of.
pub async fn assume_role(
    role: &str,
    session: &str,
    token: &str,
    region: &str,
    environment: &Environment,
    http: &Http,
) -> Result<AccessToken, AwsError> {
    let url = match environment.get("AWS_ENDPOINT_URL_STS") {
        Some(url) => url.to_owned(),
        None if region.starts_with("cn-") => format!("https://sts.{region}.amazonaws.com.cn/"),
        None => format!("https://sts.{region}.amazonaws.com/"),
    };
    let fields = [
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", role),
        ("RoleSessionName", session),
        ("WebIdentityToken", token),
    ];
    let request = http.submit(url, form(fields));
    let answer = http.text(request).await.map_err(AwsError::AssumeRole)?;
    let credentials = of_xml(&answer).ok_or_else(|| HttpError::Malformed("no credentials".to_owned()));
    credentials.map(AccessToken::Aws).map_err(AwsError::AssumeRole)
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
fn of_xml(answer: &str) -> Option<Credentials> {
    let credentials = element(answer, "Credentials")?;
    Some(Credentials {
        access_key: element(credentials, "AccessKeyId")?.to_owned(),
        secret_key: Secret::new(element(credentials, "SecretAccessKey")?),
        session_token: Some(Secret::new(element(credentials, "SessionToken")?)),
        expires: time(element(credentials, "Expiration")?)?,
    })
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
mod tests {
    use super::*;

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
