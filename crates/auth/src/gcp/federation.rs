//! Workload identity federation: a token of somebody whom Google trusts becomes one of Google.

use serde::Deserialize;
use serde_json::json;

use super::{Answer, GcpError, GkeCluster, PROVIDER_ANNOTATION, SCOPES, SERVICE_ACCOUNT_ANNOTATION, read};
use crate::http::{form, segment};
use crate::{AccessToken, Environment, FileError, Http, HttpError, Secret};

const EXCHANGE_URL: &str = "https://sts.googleapis.com/";
const IMPERSONATION_URL: &str = "https://iamcredentials.googleapis.com/";
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const TOKEN_LIFETIME: &str = "3600s";
/// What [`SERVICE_ACCOUNT_ANNOTATION`] must look like, as Flux says it.
const SERVICE_ACCOUNT_PATTERN: &str = r"^[a-zA-Z0-9-]{1,100}@[a-zA-Z0-9-]{1,100}\.iam\.gserviceaccount\.com$";
/// What [`PROVIDER_ANNOTATION`] must look like, as Flux says it.
const PROVIDER_PATTERN: &str =
    r"^projects/\d{1,30}/locations/global/workloadIdentityPools/[^/]{1,100}/providers/[^/]{1,100}$";

/// What a service account of Kubernetes is for Google.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkloadIdentity {
    /// Who trusts the cluster; in GKE nobody has to.
    provider: Option<String>,
    /// The Google service account that is acted for.
    account: Option<String>,
}

/// An annotation that names nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid {annotation} annotation: '{value}'. must match {pattern}")]
pub struct AnnotationError {
    annotation: &'static str,
    value: String,
    pattern: &'static str,
}

impl WorkloadIdentity {
    /// The identity of a service account with these annotations.
    ///
    /// # Errors
    /// For annotations that name nobody.
    pub fn of_annotations<'a>(
        annotation: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<WorkloadIdentity, AnnotationError> {
        let get = |name: &'static str, pattern: &'static str, valid: fn(&str) -> bool| {
            let value = annotation(name).filter(|value| !value.is_empty());
            let invalid =
                |value: &str| AnnotationError { annotation: name, value: value.to_owned(), pattern };
            value
                .map(|value| if valid(value) { Ok(value.to_owned()) } else { Err(invalid(value)) })
                .transpose()
        };
        Ok(WorkloadIdentity {
            provider: get(PROVIDER_ANNOTATION, PROVIDER_PATTERN, is_provider)?,
            account: get(SERVICE_ACCOUNT_ANNOTATION, SERVICE_ACCOUNT_PATTERN, is_service_account)?,
        })
    }

    /// Whether the cluster has to be known, because it is one of GKE.
    pub fn needs_cluster(&self) -> bool {
        self.provider.is_none()
    }

    /// Whom the token of the service account is for.
    pub fn token_audience(&self, cluster: Option<&GkeCluster>) -> String {
        self.provider.as_deref().map_or_else(|| cluster.map(GkeCluster::pool).unwrap_or_default(), audience)
    }

    fn exchange_audience(&self, cluster: Option<&GkeCluster>) -> String {
        self.provider
            .as_deref()
            .map_or_else(|| cluster.map(GkeCluster::audience).unwrap_or_default(), audience)
    }
}

fn audience(provider: &str) -> String {
    format!("//iam.googleapis.com/{provider}")
}

fn is_service_account(email: &str) -> bool {
    let part = |text: &str| {
        (1..=100).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    let parts = email.strip_suffix(".iam.gserviceaccount.com").and_then(|rest| rest.split_once('@'));
    parts.is_some_and(|(name, project)| part(name) && part(project))
}

fn is_provider(name: &str) -> bool {
    let part = |text: &str| (1..=100).contains(&text.chars().count());
    let number = |text: &str| (1..=30).contains(&text.len()) && text.chars().all(|c| c.is_ascii_digit());
    match name.split('/').collect::<Vec<_>>()[..] {
        [
            "projects",
            project,
            "locations",
            "global",
            "workloadIdentityPools",
            pool,
            "providers",
            provider,
        ] => number(project) && part(pool) && part(provider),
        _ => false,
    }
}

/// A token for `identity`, by `assertion`, a token of its service account for
/// [`WorkloadIdentity::token_audience`]. Without a provider, `cluster` is the one that the account is of.
///
/// # Errors
/// When Google gives none.
pub async fn workload_token(
    identity: &WorkloadIdentity,
    cluster: Option<&GkeCluster>,
    assertion: &str,
    environment: &Environment,
    http: &Http,
) -> Result<AccessToken, GcpError> {
    let api = |name: &str, default: &str| {
        let api = environment.get(&format!("CLOUDSDK_API_ENDPOINT_OVERRIDES_{name}"));
        api.unwrap_or(default).trim_end_matches('/').to_owned()
    };
    let exchange = Exchange {
        url: format!("{}/v1/token", api("STS", EXCHANGE_URL)),
        audience: &identity.exchange_audience(cluster),
        token_type: JWT,
        impersonation_url: identity.account.as_deref().map(|account| {
            let api = api("IAMCREDENTIALS", IMPERSONATION_URL);
            format!("{api}/v1/projects/-/serviceAccounts/{}:generateAccessToken", segment(account))
        }),
    };
    exchange.token(assertion, http).await
}

/// A token as a file of type `external_account` says, for the controller itself.
pub(super) async fn of_file(json: &str, http: &Http) -> Result<AccessToken, GcpError> {
    #[derive(Deserialize)]
    struct External {
        audience: String,
        subject_token_type: String,
        token_url: String,
        service_account_impersonation_url: Option<String>,
        credential_source: Source,
    }
    #[derive(Deserialize)]
    struct Source {
        file: Option<String>,
        #[serde(default)]
        format: Format,
    }
    #[derive(Deserialize, Default)]
    struct Format {
        r#type: Option<String>,
        subject_token_field_name: Option<String>,
    }
    let file: External = read(json)?;
    let Source { file: Some(path), format } = file.credential_source else {
        let text = "a credential_source other than a file is not supported";
        return Err(GcpError::Credentials(text.to_owned()));
    };
    let content = tokio::fs::read_to_string(path).await;
    let content = content.map_err(|source| FileError::new("GOOGLE_APPLICATION_CREDENTIALS", source))?;
    let subject = match format.r#type.as_deref() {
        Some("json") => {
            let field = format.subject_token_field_name.unwrap_or_default();
            let value = read::<serde_json::Value>(&content)?;
            value.get(&field).and_then(|token| token.as_str()).unwrap_or_default().to_owned()
        }
        _ => content.trim().to_owned(),
    };
    let exchange = Exchange {
        url: file.token_url,
        audience: &file.audience,
        token_type: &file.subject_token_type,
        impersonation_url: file.service_account_impersonation_url,
    };
    exchange.token(&subject, http).await
}

struct Exchange<'a> {
    url: String,
    audience: &'a str,
    token_type: &'a str,
    impersonation_url: Option<String>,
}

impl Exchange<'_> {
    async fn token(&self, subject: &str, http: &Http) -> Result<AccessToken, GcpError> {
        let [cloud_platform, _] = SCOPES;
        // Who acts for a service account needs no more than that.
        let scope =
            if self.impersonation_url.is_some() { cloud_platform.to_owned() } else { SCOPES.join(" ") };
        let fields = [
            ("grant_type", GRANT_TYPE),
            ("audience", self.audience),
            ("scope", &scope),
            ("requested_token_type", ACCESS_TOKEN),
            ("subject_token", subject),
            ("subject_token_type", self.token_type),
        ];
        let request = http.submit(self.url.as_str(), form(fields));
        let federated: Answer = http.json(request).await.map_err(GcpError::Exchange)?;
        match &self.impersonation_url {
            None => Ok(federated.token()),
            Some(url) => impersonate(url, &federated.access_token, http).await.map_err(GcpError::Impersonate),
        }
    }
}

async fn impersonate(url: &str, token: &Secret, http: &Http) -> Result<AccessToken, HttpError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Generated {
        access_token: Secret,
        expire_time: String,
    }
    let body = json!({"lifetime": TOKEN_LIFETIME, "scope": SCOPES});
    let request = http.post(url).bearer_auth(token.expose()).json(&body);
    let answer: Generated = http.json(request).await?;
    let expires: Option<jiff::Timestamp> = answer.expire_time.parse().ok();
    let expires = expires.ok_or_else(|| HttpError::Malformed("expireTime".to_owned()))?;
    Ok(AccessToken::Opaque { token: answer.access_token, expires: expires.into() })
}
