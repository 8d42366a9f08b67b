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
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};
use net::TlsConfig;
use references::{SecretData, get};
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
const DISABLED_GATE_TEXT: &str = "to use spec.serviceAccountName for provider authentication please enable the ObjectLevelWorkloadIdentity feature gate in the controller";

/// What all passes share.
pub struct Providers {
    client: Client,
    metrics: TokenMetrics,
    cache: TokenCache,
    environment: Environment,
    /// Whether objects may have identities of their own, and the service account of those that name none.
    object_identity: Option<Option<String>>,
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

impl Providers {
    /// Providers that keep tokens in `cache`.
    pub fn new(
        client: Client,
        metrics: TokenMetrics,
        cache: TokenCache,
        object_identity: Option<Option<String>>,
    ) -> Self {
        Providers { client, metrics, cache, environment: Environment::of_process(), object_identity }
    }

    /// Lets the remote use the credentials of the provider in place of all others.
    pub async fn authenticate(&self, remote: Remote, context: &TokenContext<'_>) -> Result<Remote, Failure> {
        let auth = match context.object.spec.provider {
            Some(GitProvider::Github) => self.github(&remote, context).await?,
            Some(GitProvider::Azure) => self.azure(&remote, context).await?,
            Some(GitProvider::Aws) => self.aws(&remote, context).await?,
            _ if context.data.given("githubAppID").is_some() => {
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
        let invalid = || Failure::fetch(reason::INVALID_PROVIDER_CONFIGURATION, MISSING_APP_TEXT);
        if context.object.spec.secret_ref.is_none() {
            return Err(invalid().stalling());
        }
        let data = context.data.texts();
        match github::check(&data) {
            Ok(true) => {}
            Ok(false) => return Err(invalid()),
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
        let token = self.token(context, app.cache_key(), async {
            // The API is the forge's own, so what the Secret says about trust holds for it.
            app.token(&http(remote.tls(), remote, context)?).await.map_err(bad_options)
        });
        let password = opaque(token.await?)?;
        Ok(Auth::Basic { username: github::USERNAME.to_owned(), password })
    }

    async fn azure(&self, remote: &Remote, context: &TokenContext<'_>) -> Result<Auth, Failure> {
        let account = self.service_account(context).await?;
        let token = match &account {
            None => {
                let key = Key::new(["azure"]);
                self.token(context, key, async {
                    let http = http(&TlsConfig::default(), remote, context)?;
                    let token = azure::controller_token(&self.environment, &http).await;
                    token.map_err(of_controller)
                })
                .await?
            }
            Some(account) => {
                let application = application(account)?;
                let key = application.cache_key(&full_name(account));
                self.token(context, key, async {
                    let assertion = self.assertion(account, azure::AUDIENCE).await?;
                    let http = http(&TlsConfig::default(), remote, context)?;
                    azure::workload_token(&application, assertion.expose(), &self.environment, &http)
                        .await
                        .map_err(|error| of_account(account, &error))
                })
                .await?
            }
        };
        Ok(Auth::Bearer(opaque(token)?))
    }

    async fn aws(&self, remote: &Remote, context: &TokenContext<'_>) -> Result<Auth, Failure> {
        self.check_gate(context)?;
        let url = Url::parse(&context.object.spec.url).map_err(bad_options)?;
        let repository = Repository::new(&url).map_err(bad_options)?;
        let region = repository.region();
        let account = self.service_account(context).await?;
        let token = match &account {
            None => {
                let key = aws::cache_key("", "", region);
                self.token(context, key, async {
                    let http = http(&TlsConfig::default(), remote, context)?;
                    let token = aws::controller_token(&self.environment, region, &http).await;
                    token.map_err(of_controller)
                })
                .await?
            }
            Some(account) => {
                let role = role(account)?;
                let key = aws::cache_key(role, &full_name(account), region);
                self.token(context, key, async {
                    let assertion = self.assertion(account, aws::AUDIENCE).await?;
                    let http = http(&TlsConfig::default(), remote, context)?;
                    let (name, namespace) = (account.name_any(), account.namespace().unwrap_or_default());
                    let session = format!("{name}.{namespace}.{region}.fluxcd.io");
                    let environment = &self.environment;
                    aws::assume_role(role, &session, assertion.expose(), region, environment, &http)
                        .await
                        .map_err(|error| of_account(account, &error))
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

    fn check_gate(&self, context: &TokenContext<'_>) -> Result<(), Failure> {
        if context.object.spec.service_account_name.is_some() && self.object_identity.is_none() {
            return Err(Failure::fetch(reason::FEATURE_GATE_DISABLED, DISABLED_GATE_TEXT).stalling());
        }
        Ok(())
    }

    /// The service account whose identity is asked for; without one it is the controller's.
    async fn service_account(&self, context: &TokenContext<'_>) -> Result<Option<ServiceAccount>, Failure> {
        self.check_gate(context)?;
        let default = self.object_identity.as_ref().and_then(Option::as_deref);
        let Some(name) = context.object.spec.service_account_name.as_deref().or(default) else {
            return Ok(None);
        };
        let account = get(&self.accounts(&context.object.namespace().unwrap_or_default()), name).await;
        account.map(Some).map_err(|error| {
            let namespace = context.object.namespace().unwrap_or_default();
            no_token(format!("failed to get service account '{namespace}/{name}': {error}"))
        })
    }

    /// A token by which the service account proves itself to `audience`.
    async fn assertion(&self, account: &ServiceAccount, audience: &str) -> Result<Secret, Failure> {
        let spec = TokenRequestSpec { audiences: vec![audience.to_owned()], ..TokenRequestSpec::default() };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let accounts = self.accounts(&account.namespace().unwrap_or_default());
        let (name, parameters) = (account.name_any(), PostParams::default());
        let answer = accounts.create_token_request(&name, &parameters, &request).await.map_err(|error| {
            let name = full_name(account);
            no_token(format!(
                "failed to create kubernetes token for service account '{name}': {}",
                runtime::error::chain(&error)
            ))
        })?;
        Ok(Secret::new(answer.status.map(|status| status.token).unwrap_or_default()))
    }

    fn accounts(&self, namespace: &str) -> Api<ServiceAccount> {
        Api::namespaced(self.client.clone(), namespace)
    }
}

/// A client for the servers that give tokens.
fn http(tls: &TlsConfig, remote: &Remote, context: &TokenContext<'_>) -> Result<Http, Failure> {
    let client = net::client::builder(tls, remote.proxy()).map_err(bad_options)?;
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

fn full_name(account: &ServiceAccount) -> String {
    format!("{}/{}", account.namespace().unwrap_or_default(), account.name_any())
}

fn application(account: &ServiceAccount) -> Result<Application, Failure> {
    let annotation = |key: &'static str, what: &str| {
        account.annotations().get(key).cloned().ok_or_else(|| {
            no_identity(
                account,
                &format!("azure {what} ID is not set in the service account annotation {key}"),
            )
        })
    };
    Ok(Application {
        tenant: annotation(azure::TENANT_ANNOTATION, "tenant")?,
        client: annotation(azure::CLIENT_ANNOTATION, "client")?,
    })
}

fn role(account: &ServiceAccount) -> Result<&str, Failure> {
    let (key, pattern) = (aws::ROLE_ANNOTATION, aws::ROLE_PATTERN);
    let role = account.annotations().get(key).map(String::as_str).unwrap_or_default();
    if aws::is_role(role) {
        return Ok(role);
    }
    Err(no_identity(account, &format!("invalid {key} annotation: '{role}'. must match {pattern}")))
}

fn no_identity(account: &ServiceAccount, why: &str) -> Failure {
    let name = full_name(account);
    no_token(format!("failed to get provider identity from service account '{name}' annotations: {why}"))
}

fn of_controller(error: impl Display) -> Failure {
    no_token(format!("failed to create provider access token for the controller: {error}"))
}

fn of_account(account: &ServiceAccount, error: &dyn Display) -> Failure {
    let name = full_name(account);
    no_token(format!("failed to create provider access token for service account '{name}': {error}"))
}

fn no_token(why: String) -> Failure {
    bad_options(format!("failed to get access token for Git repository: {why}"))
}
