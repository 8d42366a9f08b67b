//! Kubeconfigs in Secrets: what of them is used, and what is refused.
//!
//! A tenant writes them and the controller acts on them, so nothing in one may reach beyond it: no file, no program, and no address
//! that is not the tenant's to name. The rules and texts are Flux's (kustomize-controller 1.9.6), where they are not stricter.

use kube::{
    Config,
    config::{AuthInfo, Cluster, KubeConfigOptions, Kubeconfig, NamedAuthInfo, NamedCluster},
};
use net::{AddressPolicy, Proxy, Refused};
use runtime::client::Route;
use url::Url;

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
    /// It cannot be read. The text of the parser would quote it.
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
    let mut kubeconfig: Kubeconfig = serde_yaml::from_slice(content).map_err(|error| {
        let place = error.location().map(|at| format!(" (line {}, column {})", at.line(), at.column()));
        Problem::Syntax(place.unwrap_or_default())
    })?;
    kubeconfig.auth_infos.iter().try_for_each(check_user)?;
    kubeconfig.clusters.iter().try_for_each(check_cluster)?;
    let (cluster, user) = current(&kubeconfig)?;
    let (cluster, user) = (cluster.to_owned(), user.map(str::to_owned));
    if let Some(named) = kubeconfig.auth_infos.iter_mut().find(|named| Some(&named.name) == user.as_ref())
        && let Some(info) = &mut named.auth_info
    {
        keep_inline_credentials(&named.name, info)?;
    }
    let entry = kubeconfig.clusters.iter_mut().find(|named| named.name == cluster);
    let entry = entry.and_then(|named| named.cluster.as_mut());
    let entry = entry.ok_or_else(|| Problem::Incomplete(format!("cluster '{cluster}' does not exist")))?;
    let server = server(entry, trust)?;
    let route = Route { addresses: Some(trust.addresses.clone()), proxy: proxy(entry, &server)? };
    entry.server = Some(server.to_string());
    entry.proxy_url = None;
    if !trust.insecure_tls {
        entry.insecure_skip_tls_verify = None;
    }
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let mut config = config.map_err(|error| Problem::Tls(runtime::error::chain(&error)))?;
    // What the environment of this process says is in the route.
    config.proxy_url = None;
    Ok(Access { config, route })
}

/// Nothing outside of the Secret may be named, not even by an entry that is not used.
fn check_user(named: &NamedAuthInfo) -> Result<(), Problem> {
    let Some(info) = &named.auth_info else { return Ok(()) };
    let is_set = |field: &Option<String>| field.as_ref().is_some_and(|text| !text.is_empty());
    let file = |what, instead| Problem::File { entry: "user", name: named.name.clone(), what, instead };
    if is_set(&info.token_file) {
        return Err(Problem::TokenFile(named.name.clone()));
    }
    if is_set(&info.client_certificate) {
        return Err(file("client-certificate", "client-certificate-data"));
    }
    if is_set(&info.client_key) {
        return Err(file("client-key", "client-key-data"));
    }
    Ok(())
}

fn check_cluster(named: &NamedCluster) -> Result<(), Problem> {
    let file = named.cluster.as_ref().and_then(|cluster| cluster.certificate_authority.as_ref());
    match file.filter(|path| !path.is_empty()) {
        None => Ok(()),
        Some(_) => Err(Problem::File {
            entry: "cluster",
            name: named.name.clone(),
            what: "certificate-authority",
            instead: "certificate-authority-data",
        }),
    }
}

/// The cluster and the user of the current context.
fn current(kubeconfig: &Kubeconfig) -> Result<(&str, Option<&str>), Problem> {
    let name = kubeconfig.current_context.as_deref().filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Problem::Incomplete("current-context is not set".to_owned()))?;
    let context = kubeconfig.contexts.iter().find(|named| named.name == name);
    let context = context.and_then(|named| named.context.as_ref());
    let context = context.ok_or_else(|| Problem::Incomplete(format!("context '{name}' does not exist")))?;
    Ok((&context.cluster, context.user.as_deref().filter(|user| !user.is_empty())))
}

/// Leaves only what the Secret itself holds. Who acts for whom is ours to say: impersonation is not taken over.
fn keep_inline_credentials(name: &str, info: &mut AuthInfo) -> Result<(), Problem> {
    let (exec, plugin) = (info.exec.take(), info.auth_provider.take());
    (info.impersonate, info.impersonate_uid) = (None, None);
    (info.impersonate_groups, info.impersonate_user_extra) = (None, None);
    let has_own = info.token.is_some() || info.client_certificate_data.is_some() || info.username.is_some();
    let what = match (exec, plugin) {
        _ if has_own => return Ok(()),
        (Some(_), _) => "the program of user.exec",
        (None, Some(_)) => "an auth-provider",
        (None, None) => return Ok(()),
    };
    Err(Problem::Program { name: name.to_owned(), what })
}

/// The server's URL. As with client-go, one without a scheme is https if there is something to verify it or to sign in with.
fn server(cluster: &Cluster, trust: &Trust) -> Result<Url, Problem> {
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
fn proxy(cluster: &Cluster, server: &Url) -> Result<Option<Proxy>, Problem> {
    match cluster.proxy_url.as_deref().filter(|url| !url.is_empty()) {
        Some(url) => Proxy::new(url, None).map(Some).map_err(|error| Problem::Proxy(error.to_string())),
        None => Ok(Proxy::of_environment(server, |name| std::env::var(name).ok())),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
