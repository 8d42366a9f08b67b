//! Charts of HelmRepositories, and dependencies of charts that are in one.

use std::sync::Arc;

use ::helm_chart::{Dependency, with_build_metadata};
use ::helm_repository::{Request, index_url, normalize};
use ::oci::{Digest, Repository};
use api::helm_chart::HelmChart;
use api::helm_repository::HelmRepository;
use api::source::Source as _;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use net::{Deadline, redact};
use source::failure::{Failure, Interrupted, reason};
use source::timeout;
use source::upstream::{Fetched, Outcome};
use url::Url;

use super::index::{self, Indexed, IndexedRepository, RepositoryError};
use super::pulls::{PullError, Pulled};
use super::recipe::{Base, Recipe, values_files};
use super::registry::{RegistryChart, RegistryError};
use super::{HelmCharts, access, dependencies, failure, summary, verify};
use crate::helm_repository::Access;

/// HelmRepositories of a namespace that are looked at for a dependency.
const REPOSITORIES: u32 = 500;

/// Finds the version of the chart that is meant, and pulls it unless it is the stored one.
pub async fn fetch(
    charts: &Arc<HelmCharts>,
    object: &HelmChart,
    repository: &HelmRepository,
    known: Option<&str>,
) -> Result<Fetched<Recipe>, Interrupted> {
    let (name, wanted) = (object.spec.chart.as_str(), object.spec.version.as_str());
    let deadline = Deadline::new(timeout(repository, charts.max_timeout));
    let place = place(repository, name)?;
    let trusted = match &place {
        Place::Registry(repository) => verify::trusted(charts, object, repository).await?,
        Place::Index(_) if verify::wanted(object).is_some() => {
            return Err(failure::verification("not implemented").into());
        }
        Place::Index(_) => None,
    };
    let mut opened = open(charts, repository, &place, &deadline).await?;
    check_name(name)?;
    let found = opened.find(name, wanted, &deadline).await.map_err(|error| {
        let why = format!("failed to get chart version for remote reference: {error}");
        failure::of_repository(if error.is_of_reference() {
            failure::reference(why)
        } else {
            failure::pull(why)
        })
    })?;
    let is_packaged = !values_files(object).is_empty();
    let version = match is_packaged {
        true => {
            let generation = object.metadata.generation.unwrap_or_default().to_string();
            with_build_metadata(found.version(), &generation).map_err(failure::metadata)?
        }
        false => found.version().to_owned(),
    };
    let observed = object.status.as_ref().and_then(|status| status.observed_chart_name.as_deref());
    let is_known = known == Some(&version) && observed == Some(name);
    let is_verified = |trusted| verify::is_verified(object, &version, trusted, &charts.verified);
    if is_known && trusted.as_ref().is_none_or(is_verified) {
        return Ok(Fetched { outcome: Outcome::Unchanged(version), verified: None });
    }
    let not_pulled = |error: RemoteError| {
        let why = format!("failed to download chart for remote reference: {error}");
        failure::of_repository(failure::pull(why))
    };
    let mut located = found.locate(&deadline).await.map_err(not_pulled)?;
    let verified = match (&trusted, &mut located) {
        (Some(trusted), Located::Manifest(chart, version, digest)) => {
            let what = (version.as_str(), &*digest);
            Some(verify::verify(charts, chart, what, trusted, &deadline).await?)
        }
        _ => None,
    };
    let namespace = object.namespace().unwrap_or_default();
    let archive = located.pull(charts, &namespace, &deadline).await.map_err(not_pulled)?;
    let news = summary::new(name, &version);
    let source_revision = repository.artifact().map(|artifact| artifact.revision.clone());
    let base = Base::Pulled { archive, is_packaged };
    let by = verified.as_ref().map(|verified| verified.keys.clone());
    let (name, revision) = (name.to_owned(), version.clone());
    let content = Recipe { name, version, base, source_revision, verified: by };
    Ok(Fetched { outcome: Outcome::New { revision, news, content }, verified })
}

/// Pulls a dependency of a chart from where it says; a HelmRepository of the namespace with that address tells how.
pub async fn dependency(
    charts: &Arc<HelmCharts>,
    object: &HelmChart,
    dependency: &Dependency,
) -> Result<(String, Arc<Pulled>), Interrupted> {
    let (name, namespace) = (dependency.local_name(), object.namespace().unwrap_or_default());
    let failed = |why: String| dependencies::remote(name, why);
    let url = dependency_url(&dependency.repository).map_err(failed)?;
    let unreachable =
        |why: String| failed(format!("failed to get chart repository for URL '{}': {why}", redact(&url)));
    let repository =
        repository_of(charts, &namespace, &url).await.map_err(|error| unreachable(error.to_string()))?;
    let deadline = Deadline::new(timeout(&repository, charts.max_timeout));
    let place = place(&repository, &dependency.name).map_err(|failure| unreachable(failure.message))?;
    let opened = open(charts, &repository, &place, &deadline).await;
    let mut opened = opened.map_err(|interrupted| match interrupted {
        Interrupted::Failure(failure) => unreachable(failure.message).into(),
        other => other,
    })?;
    let Dependency { name: chart, version, repository, .. } = dependency;
    let found = opened.find(chart, version, &deadline).await.map_err(|error| {
        failed(format!(
            "failed to get chart '{chart}' version '{version}' from '{}': {error}",
            redact(repository)
        ))
    })?;
    let version = found.version().to_owned();
    let archive = async { found.locate(&deadline).await?.pull(charts, &namespace, &deadline).await }.await;
    let archive =
        archive.map_err(|error| failed(format!("chart download of version '{version}' failed: {error}")))?;
    Ok((version, archive))
}

/// The address of a dependency's repository in the form in which addresses are compared.
fn dependency_url(text: &str) -> Result<String, String> {
    if text.starts_with('@') || text.starts_with("alias:") {
        return Err(format!("aliased repository dependency is not supported: {text}"));
    }
    match normalize(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https" | "oci") => Ok(url.to_string()),
        _ => Err(format!("invalid dependency repository URL: {}", redact(text))),
    }
}

/// The HelmRepository with this address, or one that knows nothing but the address.
async fn repository_of(
    charts: &HelmCharts,
    namespace: &str,
    url: &str,
) -> Result<HelmRepository, kube::Error> {
    let api = Api::<HelmRepository>::namespaced(charts.client.clone(), namespace);
    let listed = api.list(&ListParams::default().limit(REPOSITORIES)).await?;
    let is_it = |repository: &HelmRepository| {
        normalize(&repository.spec.url).is_ok_and(|other| other.as_str() == url)
    };
    Ok(listed.items.into_iter().find(is_it).unwrap_or_else(|| {
        let mut anonymous = HelmRepository::new("", Default::default());
        anonymous.metadata.namespace = Some(namespace.to_owned());
        anonymous.spec.url = url.to_owned();
        anonymous
    }))
}

/// Where a chart is looked for.
enum Place {
    Registry(Repository),
    Index(Url),
}

/// A repository that can be asked for charts.
enum Opened<'a> {
    Registry(Box<RegistryChart<'a>>),
    Index(Box<IndexedRepository>),
}

/// A version of a chart, and whom to ask for it.
enum Found<'o, 'a> {
    Tag(&'o mut RegistryChart<'a>, String),
    Indexed(&'o IndexedRepository, Indexed),
}

/// What a version of a chart is now.
enum Located<'o, 'a> {
    /// A manifest with this digest.
    Manifest(&'o mut RegistryChart<'a>, String, Digest),
    Indexed(&'o IndexedRepository, Indexed),
}

/// Why a version is not found or not pulled.
#[derive(Debug, thiserror::Error)]
enum RemoteError {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    #[error("{0}")]
    Pull(String),
}

impl RemoteError {
    /// Whether it is the reference that means nothing, so that trying again is pointless.
    fn is_of_reference(&self) -> bool {
        matches!(self, RemoteError::Repository(RepositoryError::NotFound(_)))
    }
}

/// Finds out where a repository has a chart.
fn place(repository: &HelmRepository, chart: &str) -> Result<Place, Failure> {
    let spec = &repository.spec;
    let invalid = |message: String| failure::set_up(Failure::fetch(reason::URL_INVALID, message).stalling());
    let unusable = |why: String| {
        let message = format!("failed to construct Helm client: {why}");
        failure::set_up(Failure::fetch(reason::FAILED, message).stalling())
    };
    let url =
        normalize(&spec.url).map_err(|error| invalid(format!("invalid Helm repository URL: {error}")))?;
    let is_registry = url.scheme() == "oci";
    // A repository that is only an address is of the type that the address has.
    let wants_registry = repository.is_oci() || (is_registry && repository.name_any().is_empty());
    if is_registry != wants_registry {
        let sort = if wants_registry { "OCI registry" } else { "Helm repository" };
        return Err(unusable(format!("invalid {sort} URL: {}", redact(url.as_str()))));
    }
    if !is_registry {
        return Ok(Place::Index(url));
    }
    let repository = Repository::parse(&format!("{url}/{chart}"));
    Ok(Place::Registry(repository.map_err(|error| failure::reference(error.to_string()))?))
}

/// Makes ready what a repository says and refers to.
async fn open<'a>(
    charts: &'a Arc<HelmCharts>,
    repository: &'a HelmRepository,
    place: &'a Place,
    deadline: &Deadline,
) -> Result<Opened<'a>, Interrupted> {
    let access = Access::with_secret(&charts.client, repository).await;
    let (access, secret) = access.map_err(|error| failure::authentication(error.to_string()))?;
    let url = match place {
        Place::Registry(place) => {
            let session = access::registry(charts, repository, place, access.tls, secret.as_ref());
            let session = session.await?;
            return Ok(Opened::Registry(Box::new(RegistryChart { session, repository: place })));
        }
        Place::Index(url) => url.clone(),
    };
    let client = charts.clients.get(&access).map_err(|error| tls(error.in_words_of_flux()))?;
    let credentials = access.credentials;
    let (namespace, name) = (repository.namespace().unwrap_or_default(), repository.name_any());
    let index = match repository.artifact() {
        Some(artifact) => {
            charts.indexes.get(artifact, &namespace, &name, deadline).await.map_err(RepositoryError::from)
        }
        None => {
            let limit = client.limits().index_bytes;
            let request =
                Request { url: &index_url(&url), credentials: credentials.as_ref(), validators: None, limit };
            index::download(&client, &request, &charts.downloads, &namespace, deadline).await.map(Arc::new)
        }
    };
    let index = index.map_err(|error| failure::of_repository(failure::pull(error)))?;
    let pass_credentials = repository.spec.pass_credentials;
    Ok(Opened::Index(Box::new(IndexedRepository { client, url, credentials, pass_credentials, index })))
}

/// There is no client with the certificates of a repository.
pub fn tls(why: String) -> Failure {
    failure::authentication(format!("failed to construct Helm client's TLS config: {why}"))
}

impl<'a> Opened<'a> {
    async fn find(
        &mut self,
        chart: &str,
        wanted: &str,
        deadline: &Deadline,
    ) -> Result<Found<'_, 'a>, RemoteError> {
        Ok(match self {
            Opened::Registry(registry) => {
                let version = registry.version(chart, wanted, deadline).await?;
                Found::Tag(registry, version)
            }
            Opened::Index(index) => Found::Indexed(index, index.find(chart, wanted)?),
        })
    }
}

impl<'o, 'a> Found<'o, 'a> {
    fn version(&self) -> &str {
        match self {
            Found::Tag(_, version) => version,
            Found::Indexed(_, indexed) => &indexed.version,
        }
    }

    async fn locate(self, deadline: &Deadline) -> Result<Located<'o, 'a>, RemoteError> {
        Ok(match self {
            Found::Tag(registry, version) => {
                let digest = registry.digest(&version, deadline).await?;
                Located::Manifest(registry, version, digest)
            }
            Found::Indexed(index, chart) => Located::Indexed(index, chart),
        })
    }
}

impl Located<'_, '_> {
    async fn pull(
        self,
        charts: &HelmCharts,
        namespace: &str,
        deadline: &Deadline,
    ) -> Result<Arc<Pulled>, RemoteError> {
        match self {
            Located::Manifest(registry, version, digest) => {
                let layer = registry.layer(&version, &digest, deadline).await?;
                // Its manifest was read with the same credentials, and the digest is that of the content.
                let (key, most) = (layer.digest.to_string(), layer.size.min(charts.chart_bytes));
                let download = registry.archive(&version, &layer, deadline);
                charts.pulls.get(namespace, &key, most, deadline, download).await.map_err(not_pulled)
            }
            Located::Indexed(index, chart) => {
                let (key, most) = (index.key(namespace, &chart), charts.chart_bytes);
                let download = index.archive(&chart, most, deadline);
                charts.pulls.get(namespace, &key, most, deadline, download).await.map_err(not_pulled)
            }
        }
    }
}

fn not_pulled<E: Into<RemoteError> + std::fmt::Display>(error: PullError<E>) -> RemoteError {
    match error {
        PullError::Download(error) => error.into(),
        PullError::Room(..) | PullError::Busy => RemoteError::Pull(error.to_string()),
    }
}

/// `^([-a-z0-9]+/?\.?)+$`
fn check_name(name: &str) -> Result<(), Failure> {
    if name.is_empty() {
        return Err(failure::reference("no name set for remote chart reference"));
    }
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let mut previous = b'.';
    let fits = name.bytes().all(|byte| {
        let fits = match byte {
            b'/' => is_word(previous),
            b'.' => is_word(previous) || previous == b'/',
            byte => is_word(byte),
        };
        previous = byte;
        fits
    });
    if fits {
        return Ok(());
    }
    Err(failure::reference(format!(
        "invalid chart name '{name}': a valid name must be lower case letters and numbers and MAY be separated with \
         dashes (-), slashes (/) or periods (.)"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_flux_allows() {
        for name in ["app", "my-app", "org/app", "a.b", "a/.b", "app/", "app.", "0"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["App", "a_b", "../x", "/a", ".a", "a//b", "a..b", "a./b", "a b", "é"] {
            let failure = check_name(name).err().map(|failure| failure.message).unwrap_or_default();
            assert!(
                failure.starts_with(&format!("invalid chart reference: invalid chart name '{name}': ")),
                "{name}"
            );
        }
        assert_eq!(check_name(""), Err(failure::reference("no name set for remote chart reference")));
    }

    #[test]
    fn addresses_of_dependencies_are_compared_in_one_form() {
        for (text, expected) in [
            ("https://h/a", Ok("https://h/a/")),
            ("https://h/a//", Ok("https://h/a/")),
            ("oci://h/a/", Ok("oci://h/a")),
            ("@a", Err("aliased repository dependency is not supported: @a")),
            ("alias:a", Err("aliased repository dependency is not supported: alias:a")),
            ("ftp://h/a", Err("invalid dependency repository URL: ftp://h/a")),
        ] {
            assert_eq!(dependency_url(text), expected.map(str::to_owned).map_err(str::to_owned));
        }
    }
}
