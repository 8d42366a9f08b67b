//! What is read of a kubeconfig that a tenant has written. Of all else, such as programs to run, it is known at most that it is there.

use serde::Deserialize;
use serde::de::IgnoredAny;
use yaml::{Error, Limits, Resolver};

use super::Problem;

/// A Secret has a megabyte, and a kubeconfig of many clusters some ten nodes for each.
const LIMITS: Limits = Limits { bytes: 1 << 20, depth: 32, documents: 1, nodes: 50_000, alias_nodes: 1000 };

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(super) struct Written {
    pub current_context: Option<String>,
    pub contexts: Option<Vec<WrittenContext>>,
    pub clusters: Option<Vec<WrittenCluster>>,
    pub users: Option<Vec<WrittenUser>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct WrittenContext {
    pub name: String,
    pub context: Option<Context>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Context {
    pub cluster: String,
    pub user: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct WrittenCluster {
    pub name: String,
    pub cluster: Option<Cluster>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(super) struct Cluster {
    pub server: Option<String>,
    pub insecure_skip_tls_verify: Option<bool>,
    pub certificate_authority: Option<String>,
    pub certificate_authority_data: Option<String>,
    pub proxy_url: Option<String>,
    pub disable_compression: Option<bool>,
    pub tls_server_name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct WrittenUser {
    pub name: String,
    pub user: Option<User>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(super) struct User {
    pub token: Option<String>,
    #[serde(rename = "tokenFile")]
    pub token_file: Option<String>,
    pub client_certificate: Option<String>,
    pub client_certificate_data: Option<String>,
    pub client_key: Option<String>,
    pub client_key_data: Option<String>,
    pub username: Option<String>,
    pub password: Option<String>,
    pub exec: Option<IgnoredAny>,
    pub auth_provider: Option<IgnoredAny>,
}

impl Written {
    pub(super) fn parse(content: &[u8]) -> Result<Self, Problem> {
        let text = str::from_utf8(content).map_err(|_| Problem::Syntax(": it is not UTF-8".to_owned()))?;
        let (document, _) = yaml::parse_v2(text, &LIMITS).map_err(|error| problem(&error))?;
        let Some(document) = document else { return Ok(Self::default()) };
        let json = document.to_json(Resolver::KubernetesV2).map_err(|error| problem(&error))?;
        // The text of this error would quote what is not as it should be.
        let written: Option<Self> =
            serde_json::from_value(json).map_err(|_| Problem::Syntax(String::new()))?;
        Ok(written.unwrap_or_default())
    }
}

fn problem(error: &Error) -> Problem {
    Problem::Syntax(match error {
        Error::Syntax { line, .. } | Error::Convert { line, .. } => format!(" (line {line})"),
        Error::UnsupportedValue(_) => String::new(),
        Error::Limit { .. } => format!(": {error}"),
    })
}
