//! From a spec and its Secrets to a client of its bucket.

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ::auth::aws::{self, Credentials};
use ::auth::cache::Key;
use ::auth::{AccessToken, Environment};
use api::Bucket;
use api::bucket::{BucketProvider, BucketSts, StsProvider};
use bucket::{Access, Client, Endpoint, Limits, Regions};
use identity::{Clouds, Identity, Operation, Options, Owner, Requester, Target};
use kube::ResourceExt;
use net::TlsConfig;
use references::Secrets;
use secret::{Secret, redact};
use source::failure::{Failure, reason};
use url::Url;

use super::KIND;

/// Keys of a Secret are taken for good as long as nobody asks.
const STATIC_LIFETIME: Duration = Duration::from_secs(3600);
/// By this the operator names a store that may see what the controller's keys sign.
const OPERATOR_ENDPOINT: &str = "AWS_ENDPOINT_URL_S3";

/// Clients of buckets.
pub struct Clients {
    pub clouds: Clouds,
    /// The service account whose identity objects have that name none.
    pub default_account: Option<String>,
    pub regions: Arc<Regions>,
    pub limits: Limits,
}

/// Refuses a spec that its provider cannot work with, whatever its Secrets hold.
pub fn check(object: &Bucket) -> Result<(), Failure> {
    let (spec, unsupported) = (&object.spec, |field: &str, value: &str| {
        Failure::plain(reason::UNSUPPORTED_FIELD, format!("{field}: {value} is not supported yet")).stalling()
    });
    if let Some(sts) = &spec.sts {
        check_sts(spec.provider, sts)?;
    }
    match spec.provider {
        BucketProvider::Generic | BucketProvider::Aws => Ok(()),
        provider => Err(unsupported("spec.provider", provider.name())),
    }
}

fn check_sts(provider: BucketProvider, sts: &BucketSts) -> Result<(), Failure> {
    let invalid = |message| Err(Failure::fetch(reason::INVALID_STS_CONFIGURATION, message).stalling());
    match (provider, sts.provider) {
        (BucketProvider::Generic, StsProvider::Ldap) | (BucketProvider::Aws, StsProvider::Aws) => {}
        (BucketProvider::Generic | BucketProvider::Aws, sts) => {
            let (sts, provider) = (sts.name(), provider.name());
            return invalid(format!(
                "STS provider '{sts}' is not supported for '{provider}' bucket provider"
            ));
        }
        (provider, _) => {
            let provider = provider.name();
            return invalid(format!("STS configuration is not supported for '{provider}' bucket provider"));
        }
    }
    sts_url(sts).map(drop)
}

fn sts_url(sts: &BucketSts) -> Result<Url, Failure> {
    Url::parse(&sts.endpoint).map_err(|error| {
        let message = format!("failed to parse STS endpoint '{}': {error}", redact(&sts.endpoint));
        Failure::fetch(reason::URL_INVALID, message).stalling()
    })
}

/// Reads `spec.endpoint`.
pub fn endpoint(object: &Bucket) -> Result<Endpoint, Failure> {
    Endpoint::parse(&object.spec.endpoint, object.spec.insecure).map_err(failed)
}

fn failed(message: impl Display) -> Failure {
    Failure::fetch(reason::AUTHENTICATION_FAILED, message.to_string())
}

impl Clients {
    /// A client of the bucket of `object`, which has the keys that the spec gives it. Requests for keys take no longer than `timeout`.
    pub async fn of(
        &self,
        object: &Bucket,
        endpoint: Endpoint,
        timeout: Duration,
    ) -> Result<Client, Failure> {
        let (spec, namespace) = (&object.spec, object.namespace().unwrap_or_default());
        let secrets = Secrets::new(self.clouds.client(), &namespace);
        let mut access = Access { credentials: self.of_secret(object, &secrets).await?, ..Access::default() };
        if let Some(reference) = &spec.proxy_secret_ref {
            let proxy = secrets.proxy(&reference.name).await;
            access.proxy = Some(proxy.map_err(|error| failed(format!("failed to get proxy URL: {error}")))?);
        }
        if let Some(reference) = &spec.cert_secret_ref {
            let tls = secrets.tls(&reference.name).await;
            let tls = tls.map_err(|error| failed(format!("failed to get TLS config: {error}")))?;
            // As with Flux, plain HTTP has no use for it, and it need not be of any.
            access.tls = if spec.insecure { TlsConfig::default() } else { tls };
        }
        if access.credentials.is_none() {
            access.credentials = match (spec.provider, &spec.sts) {
                (BucketProvider::Aws, _) => Some(self.of_aws(object, &endpoint, &access, timeout).await?),
                (_, Some(sts)) => Some(self.of_ldap(object, sts, &secrets, &access, timeout).await?),
                _ => None,
            };
        }
        let (regions, limits) = (self.regions.clone(), self.limits.clone());
        let client =
            Client::new(endpoint, &spec.bucket_name, spec.region.as_deref(), access, regions, limits);
        client.map_err(failed)
    }

    async fn of_secret(&self, object: &Bucket, secrets: &Secrets) -> Result<Option<Credentials>, Failure> {
        let Some(reference) = &object.spec.secret_ref else { return Ok(None) };
        let data = secrets.data(&reference.name).await.map_err(|error| {
            failed(format!("failed to get secret '{}': {error}", secrets.full_name(&reference.name)))
        })?;
        let given = |key: &str| data.secret(key).filter(|value| !value.is_empty());
        let (Some(access_key), Some(secret_key)) = (given("accesskey"), given("secretkey")) else {
            let message = "required fields 'accesskey' and 'secretkey'";
            return Err(failed(format!("invalid '{}' secret data: {message}", reference.name)));
        };
        Ok(Some(Credentials {
            access_key: access_key.expose().trim().to_owned(),
            secret_key: Secret::new(secret_key.expose().trim()),
            session_token: None,
            expires: SystemTime::now() + STATIC_LIFETIME,
        }))
    }

    /// Keys of a service account, or of the controller: those sign for hosts of AWS and of the operator alone.
    async fn of_aws(
        &self,
        object: &Bucket,
        endpoint: &Endpoint,
        access: &Access,
        timeout: Duration,
    ) -> Result<Credentials, Failure> {
        let (spec, namespace) = (&object.spec, object.namespace().unwrap_or_default());
        let account = spec.service_account_name.as_deref().or(self.default_account.as_deref());
        let identity = Identity::get(self.clouds.client(), &namespace, account).await.map_err(failed)?;
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
        let (name, target) = (object.name_any(), Target::Aws { region, sts: sts.as_ref() });
        let requester = Some(requester(&namespace, &name));
        let options = Options { requester, proxy: access.proxy.as_ref(), timeout };
        match self.clouds.token(&identity, target, &options).await.map_err(|error| no_keys(&error))?.token {
            AccessToken::Aws(credentials) => Ok(credentials),
            AccessToken::Opaque { .. } => Err(no_keys(&"no keys of AWS")),
        }
    }

    async fn of_ldap(
        &self,
        object: &Bucket,
        sts: &BucketSts,
        secrets: &Secrets,
        access: &Access,
        timeout: Duration,
    ) -> Result<Credentials, Failure> {
        let url = sts_url(sts)?;
        let (mut username, mut password) = (String::new(), Secret::default());
        if let Some(reference) = &sts.secret_ref {
            let data = secrets.data(&reference.name).await.map_err(|error| {
                failed(format!("failed to get STS secret '{}': {error}", secrets.full_name(&reference.name)))
            })?;
            let given = |key: &str| data.secret(key).filter(|value| !value.is_empty());
            let (Some(user), Some(secret)) = (given("username"), given("password")) else {
                let message = "required fields 'username' and 'password'";
                return Err(failed(format!("invalid '{}' secret data: {message}", reference.name)));
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
        let http = identity::http(&tls, access.proxy.as_ref(), timeout).map_err(failed)?;
        let key = Key::new(["ldap", url.as_str(), &username, password.expose()]);
        let key = key.by_way_of(&(&tls, &access.proxy));
        // Flux's client asks with its first request, which is the one for the bucket.
        let not_confirmed =
            |error| super::not_confirmed(object, &format!("failed to get credentials: {error}"));
        let fetch = async {
            aws::ldap_identity(url.clone(), &username, &password, &http).await.map_err(not_confirmed)
        };
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        match self.clouds.tokens().get(Some(requester(&namespace, &name)), key, fetch).await?.token {
            AccessToken::Aws(credentials) => Ok(credentials),
            AccessToken::Opaque { .. } => Err(failed("no keys")),
        }
    }
}

fn requester<'a>(namespace: &'a str, name: &'a str) -> Requester<'a> {
    Requester { kind: KIND, namespace, name, operation: Operation::Reconcile }
}

/// Whether `endpoint` is the host and port that the operator has named.
fn is_of_operator(endpoint: &str, environment: &Environment) -> bool {
    let url = environment.get(OPERATOR_ENDPOINT);
    let host = url.and_then(|url| url.trim_end_matches('/').split_once("://")).map(|(_, host)| host);
    host.is_some_and(|host| host.eq_ignore_ascii_case(endpoint))
}
