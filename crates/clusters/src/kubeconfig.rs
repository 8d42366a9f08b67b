//! Kubeconfigs in Secrets: what of them is used, and what is refused.
//!
//! A tenant writes them and the controller acts on them, so nothing in one may reach beyond it: no file, no program, and no address
//! that is not the tenant's to name. The rules and texts are Flux's (kustomize-controller 1.9.6), where they are not stricter.

mod written;

use http::HeaderValue;
use kube::{
    Config,
    config::{
        AuthInfo, Cluster, Context, KubeConfigOptions, Kubeconfig, NamedAuthInfo, NamedCluster, NamedContext,
    },
};
use net::{AddressPolicy, Proxy, Refused};
use runtime::client::Route;
use url::Url;

use self::written::{Written, WrittenCluster, WrittenUser};

/// The name of context, cluster and user in the kubeconfig that is handed on.
const NAME: &str = "used";

/// What the process allows.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Whether a kubeconfig may turn off the verification of the server (`--insecure-kubeconfig-tls`).
    pub insecure_tls: bool,
    /// Which addresses a server or proxy may have.
    pub addresses: AddressPolicy,
}

/// Why a kubeconfig is of no use. No text quotes a value of it but names and addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid KubeConfig in secret '{secret}': {problem}")]
pub struct KubeconfigError {
    /// `<namespace>/<name>` of the Secret.
    pub secret: String,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a kubeconfig.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It cannot be read; a place or a limit follows. The text of the parser would quote it.
    #[error("it cannot be parsed{0}")]
    Syntax(String),
    /// It refers to a file of this container.
    #[error("{entry} '{name}' references a {what} file, only {instead} is supported")]
    File {
        /// `user` or `cluster`.
        entry: &'static str,
        /// The name of the entry.
        name: String,
        /// The field.
        what: &'static str,
        /// What to use instead.
        instead: &'static str,
    },
    /// It refers to a file with a token.
    #[error("user '{0}' references a tokenFile, only an inline token is supported")]
    TokenFile(String),
    /// Its token cannot be sent.
    #[error("the token of user '{0}' has a line break or another character that no HTTP header may have")]
    Token(String),
    /// The only credentials are what a program or plugin would give.
    #[error(
        "user '{name}' has no credentials but {what}, which is not supported: use a token or a client certificate"
    )]
    Program {
        /// The user.
        name: String,
        /// What would give credentials.
        what: &'static str,
    },
    /// Something that the current context needs is not there.
    #[error("{0}")]
    Incomplete(String),
    /// The address of the server is none, or may not be used.
    #[error("cluster server {0}")]
    Server(ServerError),
    /// The address of the proxy is none.
    #[error("{0}")]
    Proxy(String),
    /// A certificate or key is none.
    #[error("its certificates or keys cannot be read: {0}")]
    Tls(String),
}

/// Why an API server may not be asked; to be put after words that name it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// There is no address.
    #[error("is not set")]
    Missing,
    /// The address is no URL.
    #[error("'{0}' is no URL: {1}")]
    Syntax(String, url::ParseError),
    /// It is spoken to in another way than by HTTP.
    #[error("'{0}' must use http or https")]
    Scheme(String),
    /// Credentials belong to the user of the kubeconfig.
    #[error("'{0}' must not have a user or password")]
    Credentials(String),
    /// The URL names no host.
    #[error("'{0}' has no host")]
    NoHost(String),
    /// The address is one that is not connected to.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// How a cluster is reached and who we are there.
pub struct Access {
    /// For the client.
    pub config: Config,
    /// The way there.
    pub route: Route,
}

/// Reads the kubeconfig that the Secret `secret` holds.
///
/// # Errors
/// See [`Problem`].
pub async fn read(content: &[u8], secret: &str, trust: &Trust) -> Result<Access, KubeconfigError> {
    parse(content, trust).await.map_err(|problem| KubeconfigError { secret: secret.to_owned(), problem })
}

async fn parse(content: &[u8], trust: &Trust) -> Result<Access, Problem> {
    let written = Written::parse(content)?;
    written.users.iter().flatten().try_for_each(check_user)?;
    written.clusters.iter().flatten().try_for_each(check_cluster)?;
    let (cluster, user) = current(written)?;
    let server = server(&cluster, trust)?;
    let route = Route { addresses: Some(trust.addresses.clone()), proxy: proxy(&cluster, &server)? };
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(handed_on(cluster, user, &server, trust), &options).await;
    let mut config = config.map_err(|error| Problem::Tls(runtime::error::chain(&error)))?;
    // What the environment of this process says is in the route.
    config.proxy_url = None;
    Ok(Access { config, route })
}

/// Nothing outside of the Secret may be named, not even by an entry that is not used.
fn check_user(user: &WrittenUser) -> Result<(), Problem> {
    let Some(info) = &user.user else { return Ok(()) };
    let is_set = |field: &Option<String>| field.as_ref().is_some_and(|text| !text.is_empty());
    let file = |what, instead| Problem::File { entry: "user", name: user.name.clone(), what, instead };
    if is_set(&info.token_file) {
        return Err(Problem::TokenFile(user.name.clone()));
    }
    if is_set(&info.client_certificate) {
        return Err(file("client-certificate", "client-certificate-data"));
    }
    if is_set(&info.client_key) {
        return Err(file("client-key", "client-key-data"));
    }
    Ok(())
}

fn check_cluster(cluster: &WrittenCluster) -> Result<(), Problem> {
    let file = cluster.cluster.as_ref().and_then(|info| info.certificate_authority.as_ref());
    match file.filter(|path| !path.is_empty()) {
        None => Ok(()),
        Some(_) => Err(Problem::File {
            entry: "cluster",
            name: cluster.name.clone(),
            what: "certificate-authority",
            instead: "certificate-authority-data",
        }),
    }
}

/// The cluster and the credentials of the current context. As with client-go, a user without a name is one of that name.
fn current(written: Written) -> Result<(written::Cluster, AuthInfo), Problem> {
    let name = written.current_context.filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Problem::Incomplete("current-context is not set".to_owned()))?;
    let context = written.contexts.into_iter().flatten().find(|named| named.name == name);
    let context = context.and_then(|named| named.context);
    let context = context.ok_or_else(|| Problem::Incomplete(format!("context '{name}' does not exist")))?;
    let cluster = written.clusters.into_iter().flatten().find(|named| named.name == context.cluster);
    let cluster = cluster
        .and_then(|named| named.cluster)
        .ok_or_else(|| Problem::Incomplete(format!("cluster '{}' does not exist", context.cluster)))?;
    let name = context.user.unwrap_or_default();
    let user = written.users.into_iter().flatten().find(|named| named.name == name);
    let user = match user {
        Some(user) => inline_credentials(&name, user.user.unwrap_or_default())?,
        None if name.is_empty() => AuthInfo::default(),
        None => return Err(Problem::Incomplete(format!("user '{name}' does not exist"))),
    };
    Ok((cluster, user))
}

/// The credentials that the Secret itself holds. Who acts for whom is ours to say: impersonation is not taken over.
fn inline_credentials(name: &str, user: written::User) -> Result<AuthInfo, Problem> {
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    let token = filled(user.token);
    if token.as_ref().is_some_and(|token| HeaderValue::from_str(token).is_err()) {
        return Err(Problem::Token(name.to_owned()));
    }
    let credentials = AuthInfo {
        token: token.map(Into::into),
        client_certificate_data: filled(user.client_certificate_data),
        client_key_data: filled(user.client_key_data).map(Into::into),
        username: filled(user.username),
        password: user.password.map(Into::into),
        ..AuthInfo::default()
    };
    let has_own = credentials.token.is_some()
        || credentials.client_certificate_data.is_some()
        || credentials.username.is_some();
    let what = match (user.exec, user.auth_provider) {
        _ if has_own => return Ok(credentials),
        (Some(_), _) => "the program of user.exec",
        (None, Some(_)) => "an auth-provider",
        (None, None) => return Ok(credentials),
    };
    Err(Problem::Program { name: name.to_owned(), what })
}

/// A kubeconfig of that alone which was looked at: whatever else a tenant writes, no library gets to see it.
fn handed_on(cluster: written::Cluster, user: AuthInfo, server: &Url, trust: &Trust) -> Kubeconfig {
    let cluster = Cluster {
        server: Some(server.to_string()),
        insecure_skip_tls_verify: cluster.insecure_skip_tls_verify.filter(|_| trust.insecure_tls),
        certificate_authority_data: cluster.certificate_authority_data,
        disable_compression: cluster.disable_compression,
        tls_server_name: cluster.tls_server_name,
        ..Cluster::default()
    };
    let context = Context { cluster: NAME.to_owned(), user: Some(NAME.to_owned()), ..Context::default() };
    Kubeconfig {
        current_context: Some(NAME.to_owned()),
        contexts: vec![NamedContext { name: NAME.to_owned(), context: Some(context), ..Default::default() }],
        clusters: vec![NamedCluster { name: NAME.to_owned(), cluster: Some(cluster), ..Default::default() }],
        auth_infos: vec![NamedAuthInfo {
            name: NAME.to_owned(),
            auth_info: Some(user),
            ..Default::default()
        }],
        ..Kubeconfig::default()
    }
}

/// The server's URL. As with client-go, one without a scheme is https if there is something to verify it or to sign in with.
fn server(cluster: &written::Cluster, trust: &Trust) -> Result<Url, Problem> {
    let text = cluster.server.as_deref().unwrap_or_default();
    if text.is_empty() {
        return Err(Problem::Server(ServerError::Missing));
    }
    let secure =
        cluster.certificate_authority_data.is_some() || cluster.insecure_skip_tls_verify == Some(true);
    let whole = match text.contains("://") {
        true => text.to_owned(),
        false if secure => format!("https://{text}"),
        false => format!("http://{text}"),
    };
    check_server(&whole, &trust.addresses).map_err(Problem::Server)
}

/// A URL of an API server that may be used.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check_server(text: &str, addresses: &AddressPolicy) -> Result<Url, ServerError> {
    let url = Url::parse(text).map_err(|error| ServerError::Syntax(net::redact(text), error))?;
    let shown = net::redact(url.as_str());
    if !matches!(url.scheme(), "http" | "https") {
        return Err(ServerError::Scheme(shown));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(ServerError::Credentials(shown));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(ServerError::NoHost(shown));
    }
    addresses.check_url(&url)?;
    Ok(url)
}

/// The proxy of the kubeconfig, or that of this process.
fn proxy(cluster: &written::Cluster, server: &Url) -> Result<Option<Proxy>, Problem> {
    match cluster.proxy_url.as_deref().filter(|url| !url.is_empty()) {
        Some(url) => Proxy::new(url, None).map(Some).map_err(|error| Problem::Proxy(error.to_string())),
        None => Ok(Proxy::of_environment(server, |name| std::env::var(name).ok())),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
