//! Keys for stores that speak S3: of a Secret, of an identity at AWS, or of a directory.

use std::fmt::Display;
use std::time::{Duration, SystemTime};

use ::auth::aws::{self, Credentials};
use ::auth::cache::Key;
use ::auth::{AccessToken, Environment};
use api::bucket::{BucketProvider, BucketSts};
use bucket::Client;
use bucket::s3::{Access, Endpoint};
use identity::{Options, Owner, Target};
use kube::ResourceExt;
use net::TlsConfig;
use secret::{Secret, redact};
use source::failure::Failure;

use super::{Asked, Clients, failed, lacks, no_client, not_confirmed, sts_url};

/// Keys of a Secret are taken for good as long as nobody asks.
const STATIC_LIFETIME: Duration = Duration::from_secs(3600);
/// By this the operator names a store that may see what the controller's keys sign.
const OPERATOR_ENDPOINT: &str = "AWS_ENDPOINT_URL_S3";

impl Clients {
    pub(super) async fn s3(&self, asked: Asked<'_>, endpoint: Endpoint) -> Result<Client, Failure> {
        let spec = &asked.object.spec;
        let credentials = match (of_secret(&asked)?, spec.provider, &spec.sts) {
            (Some(credentials), ..) => Some(credentials),
            (None, BucketProvider::Aws, _) => Some(self.of_aws(&asked, &endpoint).await?),
            (None, _, Some(sts)) => Some(self.of_ldap(&asked, sts).await?),
            _ => None,
        };
        // As with Flux, plain HTTP has no use for certificates, and they need not be of any.
        let tls = if spec.insecure { TlsConfig::default() } else { asked.tls };
        let access = Access { credentials, tls, proxy: asked.proxy, regions: self.regions.clone() };
        let limits = self.limits.clone();
        Client::s3(endpoint, &spec.bucket_name, spec.region.as_deref(), access, limits)
            .map_err(|error| no_client("TLS config", &error))
    }

    /// Keys of a service account, or of the controller: those sign for hosts of AWS and of the operator alone.
    async fn of_aws(&self, asked: &Asked<'_>, endpoint: &Endpoint) -> Result<Credentials, Failure> {
        let (spec, identity) = (&asked.object.spec, self.identity(asked).await?);
        let no_keys = |error: &dyn Display| failed(format!("AWS authentication failed: {error}"));
        let environment = self.clouds.environment();
        let given = spec.region.as_deref().filter(|region| !region.is_empty());
        let region = match identity.owner() {
            Owner::Tenant => given.ok_or_else(|| {
                no_keys(&"an AWS region is required for authenticating with a service account")
            })?,
            Owner::Controller => {
                if !endpoint.is_of_aws() && !is_of_operator(&spec.endpoint, environment) {
                    let host = endpoint.host();
                    let why = format!("the controller's own credentials are not for the host '{host}'");
                    return Err(no_keys(&why));
                }
                let of_process = || environment.get("AWS_REGION").unwrap_or("us-east-1");
                given.or_else(|| endpoint.region()).unwrap_or_else(of_process)
            }
        };
        let sts = spec.sts.as_ref().map(sts_url).transpose()?;
        if let Some(sts) = spec.sts.as_ref().filter(|sts| !aws::is_sts(sts.endpoint.trim_end_matches('/'))) {
            let host = redact(&sts.endpoint);
            return Err(no_keys(&format!("invalid STS endpoint: '{host}' is none of AWS")));
        }
        let (name, target) = (asked.object.name_any(), Target::Aws { region, sts: sts.as_ref() });
        let requester = Some(asked.requester(&name));
        let options = Options { requester, proxy: asked.proxy.as_ref(), timeout: asked.timeout };
        match self.clouds.token(&identity, target, &options).await.map_err(|error| no_keys(&error))?.token {
            AccessToken::Aws(credentials) => Ok(credentials),
            AccessToken::Opaque { .. } => Err(no_keys(&"no keys of AWS")),
        }
    }

    async fn of_ldap(&self, asked: &Asked<'_>, sts: &BucketSts) -> Result<Credentials, Failure> {
        let (url, secrets) = (sts_url(sts)?, &asked.secrets);
        let (mut username, mut password) = (String::new(), Secret::default());
        if let Some(reference) = &sts.secret_ref {
            let data = secrets.data(&reference.name).await.map_err(|error| {
                failed(format!("failed to get STS secret '{}': {error}", secrets.full_name(&reference.name)))
            })?;
            let given = |key: &str| data.secret(key).filter(|value| !value.is_empty());
            let (Some(user), Some(secret)) = (given("username"), given("password")) else {
                return Err(lacks(&reference.name, "required fields 'username' and 'password'"));
            };
            (username, password) = (user.expose().to_owned(), secret);
        }
        let tls = match &sts.cert_secret_ref {
            Some(reference) => {
                let tls = secrets.tls(&reference.name).await;
                tls.map_err(|error| failed(format!("failed to get STS TLS config: {error}")))?
            }
            None => TlsConfig::default(),
        };
        let http = identity::http(&tls, asked.proxy.as_ref(), asked.timeout);
        let http = http.map_err(|error| no_client("STS TLS config", &error))?;
        let key = Key::new(["ldap", url.as_str(), &username, password.expose()]);
        let key = key.by_way_of(&(&tls, &asked.proxy));
        // Flux's client asks with its first request, which is the one for the bucket.
        let not_confirmed =
            |error| not_confirmed(asked.object, &format!("failed to get credentials: {error}"));
        let fetch = async {
            aws::ldap_identity(url.clone(), &username, &password, &http).await.map_err(not_confirmed)
        };
        let name = asked.object.name_any();
        match self.clouds.tokens().get(Some(asked.requester(&name)), key, fetch).await?.token {
            AccessToken::Aws(credentials) => Ok(credentials),
            AccessToken::Opaque { .. } => Err(failed("no keys")),
        }
    }
}

fn of_secret(asked: &Asked<'_>) -> Result<Option<Credentials>, Failure> {
    let Some((name, data)) = &asked.secret else { return Ok(None) };
    let given = |key: &str| data.secret(key).filter(|value| !value.is_empty());
    let (Some(access_key), Some(secret_key)) = (given("accesskey"), given("secretkey")) else {
        return Err(lacks(name, "required fields 'accesskey' and 'secretkey'"));
    };
    Ok(Some(Credentials {
        access_key: access_key.expose().trim().to_owned(),
        secret_key: Secret::new(secret_key.expose().trim()),
        session_token: None,
        expires: SystemTime::now() + STATIC_LIFETIME,
    }))
}

/// Whether `endpoint` is the host and port that the operator has named.
fn is_of_operator(endpoint: &str, environment: &Environment) -> bool {
    let url = environment.get(OPERATOR_ENDPOINT);
    let host = url.and_then(|url| url.trim_end_matches('/').split_once("://")).map(|(_, host)| host);
    host.is_some_and(|host| host.eq_ignore_ascii_case(endpoint))
}
