//! `spec.provider`: credentials that a forge or a cloud gives for an identity.

use std::time::{Duration, SystemTime};

use ::auth::aws::Repository;
use ::auth::{AccessToken, azure, github};
use api::GitRepository;
use api::git_repository::GitProvider;
use git::{Auth, Remote};
use identity::{Clouds, CredentialError, Identity, Operation, Options, Owner, Requester, Target};
use kube::ResourceExt;
use references::{SecretData, account_of};
use secret::Secret;
use url::Url;

use super::KIND;
use super::auth::bad_options;
use source::failure::{Failure, reason};

const MISSING_APP_TEXT: &str =
    "secretRef with github app data must be specified when provider is set to github";

/// What all passes share.
pub struct Providers {
    clouds: Clouds,
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
        account_of(object.spec.service_account_name.as_deref(), self.default_account.as_deref())
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
    /// Providers that ask `clouds` for credentials, and keep there what a forge gives, too.
    pub fn new(clouds: Clouds, settings: Settings) -> Self {
        Providers { clouds, settings }
    }

    /// Lets the remote use the credentials of the provider in place of all others.
    pub async fn authenticate(&self, remote: Remote, context: &TokenContext<'_>) -> Result<Remote, Failure> {
        // Whatever the provider: an account that is named has to be there.
        let identity = self.identity(context).await?;
        let auth = match context.object.spec.provider {
            Some(GitProvider::Github) => self.github(&remote, context).await?,
            Some(GitProvider::Azure) => self.azure(&remote, context, &identity).await?,
            Some(GitProvider::Aws) => self.aws(&remote, context, &identity).await?,
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
        let fetch = async {
            // The API is the forge's own, so what the Secret says about trust holds for it.
            let http = identity::http(remote.tls(), remote.proxy(), context.timeout).map_err(bad_options)?;
            app.token(&http).await.map_err(bad_options)
        };
        let namespace = context.object.namespace().unwrap_or_default();
        let name = context.object.name_any();
        let token = self.clouds.tokens().get(Some(requester(&namespace, &name)), key, fetch).await?.token;
        Ok(Auth::Basic { username: github::USERNAME.to_owned(), password: opaque(token)? })
    }

    async fn azure(
        &self,
        remote: &Remote,
        context: &TokenContext<'_>,
        identity: &Identity,
    ) -> Result<Auth, Failure> {
        // The token of the controller goes to no host that a tenant chose; that of its own account is the tenant's.
        if identity.owner() == Owner::Controller && !remote.is_ssh() {
            check_devops(context.object, &self.settings)?;
        }
        let target = Target::Azure { scope: azure::DEVOPS_SCOPE };
        Ok(Auth::Bearer(opaque(self.token(remote, context, identity, target).await?)?))
    }

    async fn aws(
        &self,
        remote: &Remote,
        context: &TokenContext<'_>,
        identity: &Identity,
    ) -> Result<Auth, Failure> {
        let repository = code_commit(context.object)?;
        let target = Target::Aws { region: repository.region(), sts: None };
        let AccessToken::Aws(credentials) = self.token(remote, context, identity, target).await? else {
            return Err(bad_options("no keys of AWS"));
        };
        let login = repository.login(&credentials, SystemTime::now());
        Ok(Auth::Basic { username: login.username.expose().to_owned(), password: login.password })
    }

    /// Credentials at a cloud. What it gives for an object's own identity may come by way of the object's proxy.
    async fn token(
        &self,
        remote: &Remote,
        context: &TokenContext<'_>,
        identity: &Identity,
        target: Target<'_>,
    ) -> Result<AccessToken, Failure> {
        let namespace = context.object.namespace().unwrap_or_default();
        let name = context.object.name_any();
        let options = Options {
            requester: Some(requester(&namespace, &name)),
            proxy: remote.proxy(),
            timeout: context.timeout,
        };
        let lookup = self.clouds.token(identity, target, &options).await;
        lookup.map(|lookup| lookup.token).map_err(|error| match error {
            CredentialError::Client(error) => bad_options(error),
            error => bad_options(format!("failed to get access credential for Git repository: {error}")),
        })
    }

    /// Whose credentials are asked for: an account that is named, else the controller's.
    async fn identity(&self, context: &TokenContext<'_>) -> Result<Identity, Failure> {
        let (object, client) = (context.object, self.clouds.client());
        let namespace = object.namespace().unwrap_or_default();
        let identity = Identity::get(client, &namespace, self.settings.account(object)).await;
        identity.map_err(|error| Failure::fetch(reason::AUTHENTICATION_FAILED, error.to_string()))
    }
}

fn requester<'a>(namespace: &'a str, name: &'a str) -> Requester<'a> {
    Requester { kind: KIND, namespace, name, operation: Operation::Reconcile }
}

fn opaque(token: AccessToken) -> Result<Secret, Failure> {
    match token {
        AccessToken::Opaque { token, .. } => Ok(token),
        AccessToken::Aws(_) => Err(bad_options("keys of AWS")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use ::auth::TokenCache;
    use e2e::token_server::TokenServer;
    use identity::Tokens;
    use k8s_openapi::ByteString;
    use kube::Client;
    use net::Proxy;

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
        let cache = TokenCache::new(10, Duration::from_secs(60));
        let tokens = Tokens::new(cache, &runtime::metrics::Metrics::new().unwrap()).unwrap();
        let environment = variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Providers { clouds: Clouds::new(client(api), environment, tokens), settings: Settings::default() }
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
            providers.azure(&remote, &context, &Identity::Controller).await.unwrap(),
            Auth::Bearer(Secret::new("genuine".to_owned()))
        );
        object.spec.url = "https://evil.example/app".to_owned();
        let context = TokenContext { object: &object, data: &data, timeout: Duration::from_secs(60) };
        let failure = providers.azure(&remote, &context, &Identity::Controller).await.unwrap_err();
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
            let environment = providers.clouds.environment().clone();
            providers.clouds =
                Clouds::new(client(&server.url), environment, providers.clouds.tokens().clone());
            let identity = providers.identity(&context).await.unwrap();
            providers.azure(&remote, &context, &identity).await.unwrap();
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
