//! From a spec and its Secrets to a client of its bucket.

mod azure;
mod gcs;
mod s3;

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use ::auth::cache::Key;
use ::auth::{AccessToken, Environment, Http};
use api::Bucket;
use api::bucket::{BucketProvider, BucketSts, StsProvider};
use bucket::s3::Regions;
use bucket::{Client, Limits};
use identity::{Clouds, Identity, IdentityError, Operation, Options, Requester, Target};
use kube::ResourceExt;
use net::{AddressPolicy, ClientError, Proxy, TlsConfig};
use references::{SecretData, Secrets, account_of};
use secret::{Secret, redact};
use source::failure::{Failure, reason};
use url::Url;

use super::{KIND, not_confirmed};

/// By this the operator names an emulator of Google's store.
pub const EMULATOR: &str = "STORAGE_EMULATOR_HOST";
/// Bytes that the answer to a request for a token may have.
const TOKEN_ANSWER_BYTES: usize = 1 << 20;

/// Where the store of a bucket is.
#[derive(Clone, Debug)]
pub enum Endpoint {
    /// A store that speaks S3.
    S3(bucket::s3::Endpoint),
    /// Google's store, or an emulator of it.
    Gcs(bucket::gcs::Endpoint),
    /// An account of Azure.
    Azure(bucket::azure::Endpoint),
}

impl Endpoint {
    /// Its host, without a port.
    pub fn host(&self) -> &str {
        match self {
            Endpoint::S3(endpoint) => endpoint.host(),
            Endpoint::Gcs(endpoint) => endpoint.host(),
            Endpoint::Azure(endpoint) => endpoint.host(),
        }
    }
}

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
    let spec = &object.spec;
    if let Some(sts) = &spec.sts {
        check_sts(spec.provider, sts)?;
    }
    match spec.provider {
        BucketProvider::Unknown => {
            let message = "spec.provider is not supported";
            Err(Failure::plain(reason::UNSUPPORTED_FIELD, message.to_owned()).stalling())
        }
        _ => Ok(()),
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

/// Reads `spec.endpoint`, which Google's client ignores: its store is where it is, or where the operator says.
pub fn endpoint(object: &Bucket, emulator: Option<&str>) -> Result<Endpoint, Failure> {
    let spec = &object.spec;
    match spec.provider {
        BucketProvider::Generic | BucketProvider::Aws | BucketProvider::Unknown => {
            bucket::s3::Endpoint::parse(&spec.endpoint, spec.insecure).map(Endpoint::S3).map_err(failed)
        }
        BucketProvider::Gcp => {
            let emulator = emulator.map(bucket::gcs::Endpoint::emulator).transpose().map_err(failed)?;
            Ok(Endpoint::Gcs(emulator.unwrap_or_default()))
        }
        BucketProvider::Azure => {
            bucket::azure::Endpoint::parse(&spec.endpoint).map(Endpoint::Azure).map_err(failed)
        }
    }
}

fn failed(message: impl Display) -> Failure {
    Failure::fetch(reason::AUTHENTICATION_FAILED, message.to_string())
}

/// There is no client with the certificates of a Secret, which `what` names.
fn no_client(what: &str, error: &ClientError) -> Failure {
    match error {
        ClientError::Proxy(_) => failed(error),
        error => failed(format!("failed to get {what}: {}", error.in_words_of_flux())),
    }
}

/// What a client is made for, and what its Secrets hold.
struct Asked<'a> {
    object: &'a Bucket,
    namespace: String,
    secrets: Secrets,
    /// The name of the Secret with credentials, and what it holds.
    secret: Option<(&'a str, SecretData)>,
    proxy: Option<Proxy>,
    tls: TlsConfig,
    /// How long a request for credentials may take.
    timeout: Duration,
}

impl Clients {
    /// What the platform says.
    pub fn environment(&self) -> &Environment {
        self.clouds.environment()
    }

    /// A client of the bucket of `object`, which has the keys that the spec gives it. Requests for keys take no longer than `timeout`.
    pub async fn of(
        &self,
        object: &Bucket,
        endpoint: Endpoint,
        timeout: Duration,
    ) -> Result<Client, Failure> {
        let (spec, namespace) = (&object.spec, object.namespace().unwrap_or_default());
        let secrets = Secrets::new(self.clouds.client(), &namespace);
        let mut secret = None;
        if let Some(reference) = &spec.secret_ref {
            let data = secrets.data(&reference.name).await.map_err(|error| {
                failed(format!("failed to get secret '{}': {error}", secrets.full_name(&reference.name)))
            })?;
            secret = Some((reference.name.as_str(), data));
        }
        let mut proxy = None;
        if let Some(reference) = &spec.proxy_secret_ref {
            let found = secrets.proxy(&reference.name).await;
            proxy = Some(found.map_err(|error| failed(format!("failed to get proxy URL: {error}")))?);
        }
        let mut tls = TlsConfig::default();
        if let Some(reference) = &spec.cert_secret_ref {
            let found = secrets.tls(&reference.name).await;
            tls = found.map_err(|error| failed(format!("failed to get TLS config: {error}")))?;
        }
        let asked = Asked { object, namespace, secrets, secret, proxy, tls, timeout };
        match endpoint {
            Endpoint::S3(endpoint) => self.s3(asked, endpoint).await,
            Endpoint::Gcs(endpoint) => self.gcs(asked, endpoint).await,
            Endpoint::Azure(endpoint) => self.azure(asked, endpoint).await,
        }
    }

    /// Whose identity an object has that has no Secret.
    async fn identity(&self, asked: &Asked<'_>) -> Result<Identity, Failure> {
        let named = asked.object.spec.service_account_name.as_deref();
        let account = account_of(named, self.default_account.as_deref());
        let found = Identity::get(self.clouds.client(), &asked.namespace, account).await;
        found.map_err(|error| match error {
            IdentityError::Configuration(why) => failed(format!(
                "failed to build spec for service account '{}/{}': {why}",
                asked.namespace,
                account.unwrap_or_default()
            )),
            error => failed(error),
        })
    }

    /// What a cloud gives to an identity. Clients of Flux ask with their first request, which is the one for the bucket.
    async fn of_identity(
        &self,
        asked: &Asked<'_>,
        identity: &Identity,
        target: Target<'_>,
    ) -> Result<Secret, Failure> {
        let name = asked.object.name_any();
        let requester = Some(asked.requester(&name));
        let options = Options { requester, proxy: asked.proxy.as_ref(), timeout: asked.timeout };
        let given = self.clouds.token(identity, target, &options).await;
        opaque(asked, given.map_err(|error| not_confirmed(asked.object, &error))?.token)
    }

    /// The token for `key`, from `fetch` if there is none that is good.
    async fn kept(
        &self,
        asked: &Asked<'_>,
        key: Key,
        fetch: impl Future<Output = Result<AccessToken, Failure>>,
    ) -> Result<Secret, Failure> {
        let name = asked.object.name_any();
        let lookup = self.clouds.tokens().get(Some(asked.requester(&name)), key, fetch).await?;
        opaque(asked, lookup.token)
    }
}

impl Asked<'_> {
    fn requester<'a>(&'a self, name: &'a str) -> Requester<'a> {
        Requester { kind: KIND, namespace: &self.namespace, name, operation: Operation::Reconcile }
    }

    /// A client for servers of tokens that a Secret names.
    fn tenant_http(&self) -> Result<Http, Failure> {
        let client = net::client::builder(&TlsConfig::default(), self.proxy.as_ref()).map_err(failed)?;
        Http::within(client.timeout(self.timeout), TOKEN_ANSWER_BYTES, AddressPolicy::default())
            .map_err(failed)
    }
}

fn opaque(asked: &Asked<'_>, token: AccessToken) -> Result<Secret, Failure> {
    match token {
        AccessToken::Opaque { token, .. } => Ok(token),
        AccessToken::Aws(_) => Err(not_confirmed(asked.object, &"keys of AWS")),
    }
}

/// What Flux says of a Secret that lacks entries.
fn lacks(secret: &str, what: &str) -> Failure {
    failed(format!("invalid '{secret}' secret data: {what}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_sts_that_its_provider_does_not_know_stalls_as_in_flux() {
        let checked = |provider: &str, sts: &str, endpoint: &str| {
            let spec = json!({"provider": provider, "bucketName": "b", "endpoint": "h", "interval": "1m",
                "sts": {"provider": sts, "endpoint": endpoint}});
            check(&Bucket::new("app", serde_json::from_value(spec).unwrap()))
        };
        let url = "https://sts.example.org";
        assert_eq!(checked("generic", "ldap", url), Ok(()));
        assert_eq!(checked("aws", "aws", url), Ok(()));
        for (provider, sts, message) in [
            ("generic", "aws", "STS provider 'aws' is not supported for 'generic' bucket provider"),
            ("aws", "ldap", "STS provider 'ldap' is not supported for 'aws' bucket provider"),
            ("gcp", "aws", "STS configuration is not supported for 'gcp' bucket provider"),
            ("gcp", "ldap", "STS configuration is not supported for 'gcp' bucket provider"),
            ("azure", "aws", "STS configuration is not supported for 'azure' bucket provider"),
            ("azure", "ldap", "STS configuration is not supported for 'azure' bucket provider"),
        ] {
            let expected = Failure::fetch("InvalidSTSConfiguration", message).stalling();
            assert_eq!(checked(provider, sts, url), Err(expected), "{provider} {sts}");
        }
        let message = "failed to parse STS endpoint 'https://h:port': invalid port number";
        let expected = Failure::fetch("URLInvalid", message).stalling();
        assert_eq!(checked("generic", "ldap", "https://h:port"), Err(expected));
    }
}
