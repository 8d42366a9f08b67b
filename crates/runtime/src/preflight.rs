//! The verb `preflight`: what would not work if this controller took over a cluster from Flux. It only reads.
//!
//! ```text
//! Deployments that run the controller ─▶ their flags, and the rights of their service accounts
//! for each, its CRDs                  ─▶ versions that are served
//!           objects in its scope      ─▶ fields that nobody would read, and what the controller says of its own kinds
//! ```
//!
//! What is found is printed as a table. The exit code is 0 if nothing was found, 1 if something was, and 2 if the cluster could
//! not be read.

mod fields;
mod flux;
mod rights;

pub use rights::{EVENT_RIGHTS, LEASE_RIGHTS, Right};

use std::{fmt, fmt::Write as _, process::ExitCode, time::Duration};

use clap::Parser;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams},
};
use serde::de::DeserializeOwned;

use self::flux::FluxDeployment;
use crate::{
    app::Arguments,
    client::{self, ClientOptions, ConnectError},
    error::chain,
    flags::Flags,
    metrics::Metrics,
    watch::Scope,
};

/// The word that asks for it, in place of flags.
pub const VERB: &str = "preflight";

/// Objects that are read at once.
const PAGE: u32 = 500;

/// How the process ends if the cluster could not be read, as with arguments that cannot be used.
const FAILED: u8 = 2;
/// Longest wait for an answer of the API server.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Says what would not work if this controller took over the cluster from Flux. It only reads, with the kubeconfig or the service
/// account that it finds. The exit code is 0 if nothing was found, 1 if something was, and 2 if the cluster could not be read.
#[derive(Debug, Parser)]
#[command(disable_version_flag = true)]
struct Options {
    /// Namespace of Flux's Deployments.
    #[arg(short, long, default_value = "flux-system")]
    namespace: String,
}

/// Why the cluster could not be read.
#[derive(Debug, thiserror::Error)]
pub enum PreflightError {
    /// No runtime for what waits.
    #[error("failed to start the runtime")]
    Tokio(#[source] std::io::Error),
    /// No TLS implementation.
    #[error("failed to set up TLS")]
    Tls,
    /// No client for the API server.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// No series for the requests.
    #[error("failed to register metrics")]
    Metrics(#[source] prometheus::Error),
    /// The defaults of the flags are refused, which an environment variable can cause.
    #[error("failed to read the flags: {0}")]
    Flags(String),
    /// The API server refuses, or does not answer.
    #[error("failed to read {what}")]
    Read {
        /// What was to be read.
        what: String,
        /// Why not.
        #[source]
        source: kube::Error,
    },
    /// The CRDs of this program are broken.
    #[error("failed to make the schemas of the kinds")]
    Schemas,
}

/// What would not work, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    namespace: String,
    /// `Kind/name`.
    object: String,
    problem: String,
}

/// What was found in a cluster so far.
pub struct Preflight {
    client: Client,
    /// The Deployment that is taken over, if there is one.
    deployment: Option<FluxDeployment>,
    /// What it looks after.
    scope: Scope,
    findings: Vec<Finding>,
}

/// Whether the process was started for this.
pub(crate) fn is_asked_for() -> bool {
    std::env::args_os().nth(1).is_some_and(|first| first == VERB)
}

/// Prints what would not work if the controller `name` took over. For each Deployment `look` judges the objects of its own kinds.
pub(crate) fn main<A: Arguments>(
    name: &'static str,
    rights: &[Right],
    look: impl AsyncFn(&mut Preflight, &A) -> Result<(), PreflightError>,
) -> ExitCode {
    let options = Options::parse_from(std::env::args_os().skip(1));
    let looked = || {
        rustls::crypto::aws_lc_rs::default_provider().install_default().map_err(|_| PreflightError::Tls)?;
        let tokio = tokio::runtime::Runtime::new().map_err(PreflightError::Tokio)?;
        tokio.block_on(async {
            let mut preflight = Preflight::connect().await?;
            for (deployment, arguments) in preflight.deployments::<A>(name, &options.namespace).await? {
                preflight.take_over(deployment, arguments.shared());
                preflight.require(rights).await?;
                preflight.require_shared(arguments.shared()).await?;
                look(&mut preflight, &arguments).await?;
            }
            Ok::<_, PreflightError>(preflight)
        })
    };
    match looked() {
        Ok(preflight) => {
            print(&mut std::io::stdout(), &preflight.to_string());
            if preflight.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            print(&mut std::io::stderr(), &format!("error: {}\n", chain(&error)));
            ExitCode::from(FAILED)
        }
    }
}

/// A closed pipe is no error.
fn print(to: &mut dyn std::io::Write, text: &str) {
    let _ = to.write_all(text.as_bytes());
}

impl Preflight {
    async fn connect() -> Result<Self, PreflightError> {
        let metrics = Metrics::new().map_err(PreflightError::Metrics)?;
        let options = ClientOptions { request_timeout: ANSWER_TIMEOUT, ..ClientOptions::default() };
        let client = client::connect_now(client::infer_config().await?, options, metrics).await?;
        Ok(Self { client, deployment: None, scope: Scope::default(), findings: Vec::new() })
    }

    /// From now on it is about this Deployment, or about all objects if Flux has none.
    fn take_over(&mut self, deployment: Option<FluxDeployment>, flags: &Flags) {
        self.deployment = deployment;
        self.scope = flags.scope();
    }

    /// Something that would not work.
    pub fn find(&mut self, namespace: Option<String>, object: String, problem: impl Into<String>) {
        let (namespace, problem) = (namespace.unwrap_or_default(), problem.into());
        self.findings.push(Finding { namespace, object, problem });
    }

    /// Looks at all objects of a kind that the controller serves: at the versions of its CRD, at fields that this version does not
    /// know, and at what `problems` says of each.
    ///
    /// # Errors
    /// When the API server refuses or does not answer.
    pub async fn look_at<K>(
        &mut self,
        mut problems: impl FnMut(&K) -> Vec<String>,
    ) -> Result<(), PreflightError>
    where
        K: kube::Resource<DynamicType = ()> + kube::CustomResourceExt + DeserializeOwned,
    {
        let (resource, name) = (K::api_resource(), K::crd_name());
        if let Some(problem) = self.crd_problem(name, &resource.version).await? {
            self.find(None, format!("CustomResourceDefinition/{name}"), problem);
            return Ok(());
        }
        let kind = &*resource.kind;
        let schema = schema_of::<K>()?;
        for object in self.objects(&resource).await? {
            let (namespace, name) = (object.namespace(), format!("{kind}/{}", object.name_any()));
            let mut found = fields::unknown(&object.data, &schema);
            for field in &mut found {
                field.push_str(" is not known, and would be ignored");
            }
            match object.try_parse::<K>() {
                Ok(object) => found.extend(problems(&object)),
                Err(error) => found.push(format!("cannot be read: {error}")),
            }
            found.into_iter().for_each(|problem| self.find(namespace.clone(), name.clone(), problem));
        }
        Ok(())
    }

    /// What is wrong with the CRD of this name, of which this version is needed.
    async fn crd_problem(&self, name: &str, version: &str) -> Result<Option<String>, PreflightError> {
        let crds: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let crd = crds.get_opt(name).await.map_err(|source| read(name, source))?;
        let Some(crd) = crd else { return Ok(Some("is not installed".into())) };
        let served = crd.spec.versions.iter().any(|known| known.name == version && known.served);
        if !served {
            return Ok(Some(format!("does not serve {version}")));
        }
        Ok(None)
    }

    /// All objects of a kind that are in scope; none of a kind that is not installed.
    async fn objects(&self, resource: &ApiResource) -> Result<Vec<DynamicObject>, PreflightError> {
        let mut all = Vec::new();
        let api: Api<DynamicObject> = match &self.scope.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, resource),
            None => Api::all_with(self.client.clone(), resource),
        };
        let mut params = ListParams::default().limit(PAGE);
        params.label_selector.clone_from(&self.scope.labels);
        loop {
            let page = match api.list(&params).await {
                Err(kube::Error::Api(status)) if status.code == 404 => return Ok(all),
                page => page.map_err(|source| read(&resource.plural, source))?,
            };
            params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
            all.extend(page.items);
            if params.continue_token.is_none() {
                return Ok(all);
            }
        }
    }
}

/// The schema of the version that controllers work with, without what the CRD adds to it.
fn schema_of<K: kube::CustomResourceExt>() -> Result<serde_json::Value, PreflightError> {
    let crd = serde_json::to_value(K::crd()).map_err(|_| PreflightError::Schemas)?;
    let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec");
    schema.cloned().ok_or(PreflightError::Schemas)
}

fn read(what: &str, source: kube::Error) -> PreflightError {
    PreflightError::Read { what: what.to_owned(), source }
}

impl fmt::Display for Preflight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut findings = self.findings.clone();
        findings.sort();
        findings.dedup();
        if findings.is_empty() {
            return writeln!(f, "No problems found.");
        }
        let mut rows = vec![["NAMESPACE", "OBJECT", "PROBLEM"].map(str::to_owned)];
        rows.extend(findings.into_iter().map(|f| [f.namespace, f.object, f.problem]));
        let width = |column: fn(&[String; 3]) -> &String| {
            rows.iter().map(|row| column(row).chars().count()).max().unwrap_or_default()
        };
        let (first, second) = (width(|[first, ..]| first), width(|[_, second, _]| second));
        for [namespace, object, problem] in &rows {
            let mut line = String::new();
            write!(line, "{namespace:first$}   {object:second$}   {problem}")?;
            // Text of others stays in its line.
            writeln!(f, "{}", line.replace(char::is_control, " "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn preflight(findings: &[(&str, &str, &str)]) -> String {
        let nobody = tower::service_fn(|_: http::Request<kube::client::Body>| async {
            Err::<http::Response<kube::client::Body>, _>(std::io::Error::other("no server"))
        });
        let client = Client::new(nobody, "default");
        let mut preflight = Preflight { client, deployment: None, scope: Scope::default(), findings: vec![] };
        for (namespace, object, problem) in findings {
            preflight.find(Some((*namespace).into()), (*object).into(), *problem);
        }
        preflight.to_string()
    }

    #[tokio::test]
    async fn findings_are_a_sorted_table_without_repetition() {
        assert_eq!(preflight(&[]), "No problems found.\n");
        let table = preflight(&[("b", "Bucket/x", "is not\nserved"), ("", "CRD/y", "z"), ("", "CRD/y", "z")]);
        assert_eq!(
            table,
            "NAMESPACE   OBJECT     PROBLEM\n            CRD/y      z\nb           Bucket/x   is not served\n"
        );
    }
}
