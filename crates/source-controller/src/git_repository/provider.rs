//! `spec.provider`: credentials that a forge or a cloud gives for an identity.

use std::fmt::Display;
use std::time::{Duration, SystemTime};

use ::auth::aws::Repository;
use ::auth::azure::Application;
use ::auth::cache::Key;
use ::auth::{AccessToken, Environment, Http, TokenCache, aws, azure, github};
use api::GitRepository;
use api::git_repository::GitProvider;
use git::{Auth, Remote};
use kube::{Client, ResourceExt};
use net::{Proxy, TlsConfig};
use references::{ObjectIdentity, SecretData};
use secret::Secret;
use url::Url;

use super::KIND;
use super::auth::bad_options;
use super::token_metrics::TokenMetrics;
use source::failure::{Failure, reason};

/// Bytes that the answer to a request for a token may have.
const TOKEN_ANSWER_BYTES: usize = 1 << 20;
const MISSING_APP_TEXT: &str =
    "secretRef with github app data must be specified when provider is set to github";

/// What all passes share.
pub struct Providers {
    client: Client,
    metrics: TokenMetrics,
    cache: TokenCache,
    environment: Environment,
    settings: Settings,
}

/// What the process's arguments say of providers.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The service account whose identity objects have that name none.
    pub default_account: Option<String>,
    /// Hosts that may get tokens for Azure DevOps beside its own.
    pub azure_devops_hosts: Vec<String>,
}

/// For whom a token is asked, and with what.
pub struct TokenContext<'a> {
    /// The object.
    pub object: &'a GitRepository,
    /// What is in the Secret of `spec.secretRef`; nothing without one.
    pub data: &'a SecretData,
    /// How long a request may take.
    pub timeout: Duration,
}

impl Settings {
    /// The service account whose identity an object has; without one it has the controller's.
    pub fn account<'a>(&'a self, object: &'a GitRepository) -> Option<&'a str> {
        object.spec.service_account_name.as_deref().or(self.default_account.as_deref())
    }
}

/// Refuses a spec that its provider cannot work with, whatever Secret and service account hold.
pub fn check(object: &GitRepository, remote: &Remote, settings: &Settings) -> Result<(), Failure> {
    match object.spec.provider {
        Some(GitProvider::Github) => check_app(object),
        Some(GitProvider::Azure) if settings.account(object).is_none() && !remote.is_ssh() => {
            check_devops(object, settings)
        }
        Some(GitProvider::Aws) => code_commit(object).map(drop),
        _ => Ok(()),
    }
}

fn check_app(object: &GitRepository) -> Result<(), Failure> {
    if object.spec.secret_ref.is_none() { Err(missing_app().stalling()) } else { Ok(()) }
}

fn missing_app() -> Failure {
    Failure::fetch(reason::INVALID_PROVIDER_CONFIGURATION, MISSING_APP_TEXT)
}

fn check_devops(object: &GitRepository, settings: &Settings) -> Result<(), Failure> {
    let url = Url::parse(&object.spec.url).map_err(bad_options)?;
    azure::check_url(&url, &settings.azure_devops_hosts).map_err(bad_options)
}

fn code_commit(object: &GitRepository) -> Result<Repository, Failure> {
    let url = Url::parse(&object.spec.url).map_err(bad_options)?;
    Repository::new(&url).map_err(bad_options)
}

impl Providers {
    /// Providers that keep tokens in `cache`.
    pub fn new(client: Client, metrics: TokenMetrics, cache: TokenCache, settings: Settings) -> Self {
        Providers { client, metrics, cache, environment: Environment::of_process(), settings }
    }

    /// Lets the remote use the credentials of the provider in place of all others.
    pub async fn authenticate(&self, remote: Remote, context: &TokenContext<'_>) -> Result<Remote, Failure> {
        // Whatever the provider: an account that is named has to be there.
        let identity = self.identity(context).await?;
        let auth = match context.object.spec.provider {
            Some(GitProvider::Github) => self.github(&remote, context).await?,
            Some(GitProvider::Azure) => self.azure(&remote, context, identity).await?,
            Some(GitProvider::Aws) => self.aws(&remote, context, identity).await?,
            _ if github::is_given(&context.data.texts()) => {
                let secret = context.data.name();
                let message =
                    format!("secretRef '{secret}' has github app data but provider is not set to github");
                return Err(Failure::fetch(reason::INVALID_PROVIDER_CONFIGURATION, message));
            }
            _ => return Ok(remote),
        };
        Ok(if remote.is_ssh() { remote } else { remote.replace_auth(auth) })
    }

    async fn github(&self, remote: &Remote, context: &TokenContext<'_>) -> Result<Auth, Failure> {
        check_app(context.object)?;
        let data = context.data.texts();
        match github::check(&data) {
            Ok(true) => {}
            Ok(false) => return Err(missing_app()),
            Err(error @ github::DataError::Missing(_)) => {
                return Err(Failure::plain(
                    reason::FAILED,
                    format!("secret '{}': {error}", context.data.name()),
                ));
            }
            Err(error) => {
                return Err(Failure::plain(
                    reason::FAILED,
                    format!("secret '{}' {error}", context.data.name()),
                ));
            }
        }
        let app = github::App::new(&data).map_err(bad_options)?;
        let key = app.cache_key().by_way_of(&(remote.tls(), remote.proxy()));
        let token = self.token(context, key, async {
            // The API is the forge's own, so what the Secret says about trust holds for it.
            app.token(&http(remote.tls(), remote.proxy(), context)?).await.map_err(bad_options)
        });
        let password = opaque(token.await?)?;
        Ok(Auth::Basic { username: github::USERNAME.to_owned(), password })
    }

    async fn azure(
        &self,
        remote: &Remote,
        context: &TokenContext<'_>,
        identity: Option<ObjectIdentity>,
    ) -> Result<Auth, Failure> {
        // The token of the controller goes to no host that a tenant chose; that of its own account is the tenant's.
        if identity.is_none() && !remote.is_ssh() {
            check_devops(context.object, &self.settings)?;
        }
        let token = match &identity {
            None => {
                let key = Key::new(["azure"]);
                self.token(context, key, async {
                    let http = http(&TlsConfig::default(), None, context)?;
                    let token = azure::controller_token(azure::DEVOPS_SCOPE, &self.environment, &http).await;
                    token.map_err(of_controller)
                })
                .await?
            }
            Some(identity) => {
                let application = application(identity)?;
                let key = application.cache_key(&identity.cache_key()).by_way_of(&remote.proxy());
                self.token(context, key, async {
                    let assertion = self.assertion(identity, azure::AUDIENCE).await?;
                    let http = http(&TlsConfig::default(), remote.proxy(), context)?;
                    let (assertion, scope) = (assertion.expose(), azure::DEVOPS_SCOPE);
                    azure::workload_token(&application, assertion, scope, &self.environment, &http)
                        .await
                        .map_err(|error| of_account(identity, &error))
                })
                .await?
            }
        };
        Ok(Auth::Bearer(opaque(token)?))
    }

    async fn aws(
        &self,
        remote: &Remote,
        context: &TokenContext<'_>,
        identity: Option<ObjectIdentity>,
    ) -> Result<Auth, Failure> {
        let repository = code_commit(context.object)?;
        let region = repository.region();
        let token = match &identity {
            None => {
                let key = aws::cache_key("", "", region);
                self.token(context, key, async {
                    let http = http(&TlsConfig::default(), None, context)?;
                    let token = aws::controller_token(&self.environment, region, &http).await;
                    token.map_err(of_controller)
                })
                .await?
            }
            Some(identity) => {
                let role = role(identity)?;
                let key = aws::cache_key(role, &identity.cache_key(), region).by_way_of(&remote.proxy());
                self.token(context, key, async {
                    let assertion = self.assertion(identity, aws::AUDIENCE).await?;
                    let http = http(&TlsConfig::default(), remote.proxy(), context)?;
                    let account = identity.account();
                    let (name, namespace) = (account.name_any(), account.namespace().unwrap_or_default());
                    let session = format!("{name}.{namespace}.{region}.fluxcd.io");
                    let environment = &self.environment;
                    aws::assume_role(role, &session, assertion.expose(), region, environment, &http)
                        .await
                        .map_err(|error| of_account(identity, &error))
                })
                .await?
            }
        };
        let AccessToken::Aws(credentials) = token else { return Err(bad_options("no keys of AWS")) };
        let login = repository.login(&credentials, SystemTime::now());
        Ok(Auth::Basic { username: login.username.expose().to_owned(), password: login.password })
    }

    /// A token from the cache, or a new one.
    async fn token(
        &self,
        context: &TokenContext<'_>,
        key: Key,
        fetch: impl Future<Output = Result<AccessToken, Failure>>,
    ) -> Result<AccessToken, Failure> {
        let lookup = self.cache.get(key, fetch).await;
        let (namespace, name) = (context.object.namespace().unwrap_or_default(), context.object.name_any());
        self.metrics.asked(KIND, &namespace, &name, lookup.as_ref().ok().map(|lookup| lookup.hit));
        self.metrics.cached(self.cache.len(), self.cache.evictions());
        lookup.map(|lookup| lookup.token)
    }

    /// The service account whose identity is asked for; without one it is the controller's.
    async fn identity(&self, context: &TokenContext<'_>) -> Result<Option<ObjectIdentity>, Failure> {
        let Some(name) = self.settings.account(context.object) else { return Ok(None) };
        let namespace = context.object.namespace().unwrap_or_default();
        let identity = ObjectIdentity::get(&self.client, &namespace, name).await;
        identity.map(Some).map_err(|error| Failure::fetch(reason::AUTHENTICATION_FAILED, error.to_string()))
    }

    /// A token by which the object proves itself to `audience`.
    async fn assertion(&self, identity: &ObjectIdentity, audience: &str) -> Result<Secret, Failure> {
        identity.token(&self.client, audience).await.map_err(|error| no_token(error.to_string()))
    }
}

/// A client for the servers that give tokens. What they give for an object's own identity may come by way of the object's
/// proxy; the identity of the controller, and the metadata services that know it, are none of its business.
fn http(tls: &TlsConfig, proxy: Option<&Proxy>, context: &TokenContext<'_>) -> Result<Http, Failure> {
    let client = net::client::builder(tls, proxy).map_err(bad_options)?;
    Ok(Http::new(
        client.timeout(context.timeout).build().map_err(|_| bad_options("no HTTP client"))?,
        TOKEN_ANSWER_BYTES,
    ))
}

fn opaque(token: AccessToken) -> Result<Secret, Failure> {
    match token {
        AccessToken::Opaque { token, .. } => Ok(token),
        AccessToken::Aws(_) => Err(bad_options("keys of AWS")),
    }
}

fn application(identity: &ObjectIdentity) -> Result<Application, Failure> {
    let annotation = |key: &'static str, what: &str| {
        identity.account().annotations().get(key).cloned().ok_or_else(|| {
            no_identity(
                identity,
                &format!("azure {what} ID is not set in the service account annotation {key}"),
            )
        })
    };
    Ok(Application {
        tenant: annotation(azure::TENANT_ANNOTATION, "tenant")?,
        client: annotation(azure::CLIENT_ANNOTATION, "client")?,
    })
}

fn role(identity: &ObjectIdentity) -> Result<&str, Failure> {
    let (key, pattern) = (aws::ROLE_ANNOTATION, aws::ROLE_PATTERN);
    let role = identity.account().annotations().get(key).map(String::as_str).unwrap_or_default();
    if aws::is_role(role) {
        return Ok(role);
    }
    Err(no_identity(identity, &format!("invalid {key} annotation: '{role}'. must match {pattern}")))
}

fn no_identity(identity: &ObjectIdentity, why: &str) -> Failure {
    let name = identity.full_name();
    no_token(format!("failed to get provider identity from service account '{name}' annotations: {why}"))
}

fn of_controller(error: impl Display) -> Failure {
    no_token(format!("failed to create provider access credential for the controller: {error}"))
}

fn of_account(identity: &ObjectIdentity, error: &dyn Display) -> Failure {
    let name = identity.full_name();
    no_token(format!("failed to create provider access credential for service account '{name}': {error}"))
}

fn no_token(why: String) -> Failure {
    bad_options(format!("failed to get access credential for Git repository: {why}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use e2e::token_server::TokenServer;
    use k8s_openapi::ByteString;

    use super::*;

    /// A server that gives this token to everybody, and its URL.
    fn token_server(token: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 4096]).unwrap();
                let body = format!("{{\"access_token\": \"{token}\", \"expires_in\": 3600}}");
                let head =
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
            }
        });
        url
    }

    /// Providers that reach an API server at `api` and see these variables.
    fn providers(api: &str, variables: &[(&'static str, &str)]) -> Providers {
        Providers {
            client: client(api),
            metrics: TokenMetrics::register(&runtime::metrics::Metrics::new().unwrap()).unwrap(),
            cache: TokenCache::new(10, Duration::from_secs(60)),
            environment: variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
            settings: Settings::default(),
        }
    }

    fn client(api: &str) -> Client {
        Client::try_from(kube::Config::new(api.parse().unwrap())).unwrap()
    }

    #[tokio::test]
    async fn the_identity_of_the_controller_does_not_come_through_the_proxy_of_an_object() {
        let (metadata, proxy) = (token_server("genuine"), token_server("forged"));
        let providers = providers("http://127.0.0.1:1", &[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &metadata)]);
        let mut object = GitRepository::new("app", api::GitRepositorySpec::default());
        object.spec.provider = Some(GitProvider::Azure);
        object.spec.url = "https://dev.azure.com/org/project/_git/app".to_owned();
        let remote = Remote::new(&object.spec.url).unwrap();
        let remote = remote.with_proxy(Proxy::new(&proxy, None).unwrap());
        let data = SecretData::default();
        let context = TokenContext { object: &object, data: &data, timeout: Duration::from_secs(60) };
        assert_eq!(
            providers.azure(&remote, &context, None).await.unwrap(),
            Auth::Bearer(Secret::new("genuine".to_owned()))
        );
        object.spec.url = "https://evil.example/app".to_owned();
        let context = TokenContext { object: &object, data: &data, timeout: Duration::from_secs(60) };
        let failure = providers.azure(&remote, &context, None).await.unwrap_err();
        assert_eq!(
            failure.message,
            "failed to configure authentication options: invalid Azure DevOps Git URL: evil.example"
        );
    }

    /// An API server with service account `ns/me`, which has these annotations beside those of Azure.
    async fn api_server(annotations: &[(&str, &str)]) -> TokenServer {
        let mut all = BTreeMap::from([
            ("azure.workload.identity/tenant-id", "tenant-1"),
            ("azure.workload.identity/client-id", "client-1"),
        ]);
        all.extend(annotations.iter().copied());
        let all: Vec<_> = all.iter().map(|(key, value)| format!("{key:?}: {value:?}")).collect();
        let account = format!(
            r#"{{"metadata": {{"name": "me", "namespace": "ns", "annotations": {{{}}}}}}}"#,
            all.join(", ")
        );
        let token = r#"{"spec": {"audiences": []}, "status": {"token": "assertion", "expirationTimestamp": "2026-01-01T00:00:00Z"}}"#;
        let path = "/api/v1/namespaces/ns/serviceaccounts/me";
        let (get, post) = (format!("GET {path}"), format!("POST {path}/token"));
        TokenServer::start(false, &[(&get, 200, &account), (&post, 201, token)]).await.unwrap()
    }

    #[tokio::test]
    async fn another_annotation_of_the_service_account_means_another_token() {
        let answer = r#"{"access_token": "entra", "expires_in": 3600}"#;
        let tenants = ["1", "2"].map(|tenant| format!("POST /tenant-{tenant}/oauth2/v2.0/token"));
        let entra = TokenServer::start(false, &[(&tenants[0], 200, answer), (&tenants[1], 200, answer)])
            .await
            .unwrap();
        let mut providers = providers("http://127.0.0.1:1", &[("AZURE_AUTHORITY_HOST", &entra.url)]);
        let mut object = GitRepository::new("app", api::GitRepositorySpec::default());
        object.metadata.namespace = Some("ns".to_owned());
        object.spec.service_account_name = Some("me".to_owned());
        object.spec.url = "https://dev.azure.com/org/project/_git/app".to_owned();
        let remote = Remote::new(&object.spec.url).unwrap();
        let data = SecretData::default();
        let context = TokenContext { object: &object, data: &data, timeout: Duration::from_secs(60) };
        for (annotations, is_asked) in [
            (&[][..], true),
            (&[], false),
            (&[("credential.auth.fluxcd.io/audiences", "a")], true),
            (&[("credential.auth.fluxcd.io/audiences", "a")], false),
            (&[("credential.auth.fluxcd.io/audiences", "a b")], true),
            (&[("credential.auth.fluxcd.io/expiration", "1h")], true),
            (&[("azure.workload.identity/tenant-id", "tenant-2")], true),
            (&[("azure.workload.identity/client-id", "client-2")], true),
            (&[("example.org/note", "x")], false),
        ] {
            let server = api_server(annotations).await;
            providers.client = client(&server.url);
            let identity = providers.identity(&context).await.unwrap();
            providers.azure(&remote, &context, identity).await.unwrap();
            assert_eq!(entra.take_requests().len(), usize::from(is_asked), "{annotations:?}");
        }
    }

    #[tokio::test]
    async fn data_of_a_github_app_goes_with_its_provider_whichever_way_the_app_is_named() {
        let (providers, remote) = (providers("http://127.0.0.1:1", &[]), Remote::new("http://h/r").unwrap());
        let mut object = GitRepository::new("app", api::GitRepositorySpec::default());
        object.spec.secret_ref = Some(Default::default());
        let generic = Some((
            "InvalidProviderConfiguration",
            "secretRef 'ns/git' has github app data but provider is not set to github",
        ));
        let both = Some((
            "Failed",
            "secret 'ns/git' must contain exactly one of 'githubAppID' or 'githubAppClientID'",
        ));
        for (provider, keys, expected) in [
            (None, &["githubAppID"][..], generic),
            (None, &["githubAppClientID"], generic),
            (None, &["githubAppID", "githubAppClientID"], generic),
            (Some(GitProvider::Generic), &["githubAppClientID"], generic),
            (None, &["githubAppPrivateKey"], None),
            (None, &["username"], None),
            (Some(GitProvider::Github), &["githubAppID", "githubAppClientID", "githubAppPrivateKey"], both),
        ] {
            object.spec.provider = provider;
            let values = keys.iter().map(|key| ((*key).to_owned(), ByteString(b"1".to_vec()))).collect();
            let data = SecretData::new("ns/git", values);
            let context = TokenContext { object: &object, data: &data, timeout: Duration::from_secs(60) };
            let failure = providers.authenticate(remote.clone(), &context).await.err();
            let failure = failure.as_ref().map(|failure| (failure.reason, failure.message.as_str()));
            assert_eq!(failure, expected, "{provider:?} {keys:?}");
        }
    }

    #[tokio::test]
    async fn the_default_service_account_has_to_be_there_whatever_the_provider() {
        let status = r#"{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404,
            "message": "serviceaccounts \"nope\" not found"}"#;
        let account = "GET /api/v1/namespaces/ns/serviceaccounts/nope";
        let server = TokenServer::start(false, &[(account, 404, status)]).await.unwrap();
        let mut providers = providers(&server.url, &[]);
        providers.settings.default_account = Some("nope".to_owned());
        let mut object = GitRepository::new("app", api::GitRepositorySpec::default());
        object.metadata.namespace = Some("ns".to_owned());
        let data = SecretData::default();
        for provider in [
            None,
            Some(GitProvider::Generic),
            Some(GitProvider::Github),
            Some(GitProvider::Azure),
            Some(GitProvider::Aws),
        ] {
            object.spec.provider = provider;
            let context = TokenContext { object: &object, data: &data, timeout: Duration::from_secs(60) };
            let remote = Remote::new("http://h/r").unwrap();
            let failure = providers.authenticate(remote, &context).await.unwrap_err();
            let text = "failed to get service account 'ns/nope': serviceaccounts \"nope\" not found";
            assert_eq!(
                (failure.reason, failure.message.as_str()),
                ("AuthenticationFailed", text),
                "{provider:?}"
            );
        }
    }
}
