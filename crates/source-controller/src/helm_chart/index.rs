//! Charts in the index of an HTTP server.

use std::io::Read;
use std::sync::Arc;

use ::helm_repository::{
    self as helm_repository, Answer, Client, Credentials, Download, FetchError, Index, IndexError, Limits,
    NotFound, Request, UrlError,
};
use net::Deadline;
use runtime::error::chain;
use source::blocking::BlockingError;
use url::Url;

use crate::helm_repository::IndexesError;

/// Why there is no index, or no chart in it.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// The stored index cannot be had.
    #[error("failed to load index: {}", chain(.0))]
    Stored(#[from] IndexesError),
    /// The index cannot be read.
    #[error("failed to load index: {}", chain(.0))]
    Index(#[from] IndexError),
    /// It cannot be downloaded.
    #[error("{}", chain(.0))]
    Fetch(#[from] FetchError),
    /// There is no such version.
    #[error(transparent)]
    NotFound(#[from] NotFound),
    /// The index names no address.
    #[error("chart '{0}' has no downloadable URLs")]
    NoUrl(String),
    /// The index names no proper one.
    #[error("invalid chart URL format '{url}': {source}")]
    Url {
        /// The address, without what may be secret.
        url: String,
        /// What is wrong.
        source: UrlError,
    },
    /// Neither http nor https.
    #[error("scheme \"{0}\" not supported")]
    Scheme(String),
    /// The archive cannot be read again.
    #[error("failed to read the archive: {0}")]
    Read(#[from] std::io::Error),
    /// The thread ended early.
    #[error(transparent)]
    Blocking(#[from] BlockingError),
}

/// Reads an index that was downloaded.
pub async fn read(
    download: Download,
    limits: &Limits,
    deadline: &Deadline,
) -> Result<Index, RepositoryError> {
    let (limits, deadline) = (limits.clone(), deadline.clone());
    let read = move || helm_repository::read(&download.body, &limits, &|| !deadline.is_over());
    Ok(tokio::task::spawn_blocking(read).await.map_err(BlockingError::from)??)
}

/// A repository with an index.
pub struct IndexedRepository {
    /// Who asks.
    pub client: Client,
    /// Where it is.
    pub url: Url,
    /// Who may have charts, of its own host or of all.
    pub credentials: Option<Credentials>,
    /// Whether other hosts get the credentials, too.
    pub pass_credentials: bool,
    /// Its charts.
    pub index: Arc<Index>,
}

/// A version of a chart in an index.
pub struct Indexed {
    /// The version.
    pub version: String,
    url: Url,
    /// SHA-256 of the archive, as the index tells it.
    digest: String,
}

impl IndexedRepository {
    /// The version that is meant.
    pub fn find(&self, chart: &str, wanted: &str) -> Result<Indexed, RepositoryError> {
        let entry = self.index.find(chart, wanted)?;
        if entry.url.is_empty() {
            return Err(RepositoryError::NoUrl(chart.to_owned()));
        }
        let url = helm_repository::resolve(&self.url, entry.url);
        let url = url.map_err(|source| RepositoryError::Url { url: net::redact(entry.url), source })?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(RepositoryError::Scheme(url.scheme().to_owned()));
        }
        Ok(Indexed { version: entry.version.to_owned(), url, digest: entry.digest.to_owned() })
    }

    fn credentials(&self, chart: &Indexed) -> Option<&Credentials> {
        let may = self.pass_credentials || chart.url.origin() == self.url.origin();
        self.credentials.as_ref().filter(|_| may)
    }

    /// What two downloads have in common that may share one.
    pub fn key(&self, namespace: &str, chart: &Indexed) -> String {
        // Credentials are those of the namespace.
        let place = match self.credentials(chart) {
            Some(credentials) => format!("{namespace} {}", credentials.username),
            None => namespace.to_owned(),
        };
        format!("{place} {} {}", chart.digest, chart.url)
    }

    /// The archive.
    pub async fn archive(
        &self,
        chart: &Indexed,
        limit: u64,
        deadline: &Deadline,
    ) -> Result<Vec<u8>, RepositoryError> {
        let request =
            Request { url: &chart.url, credentials: self.credentials(chart), validators: None, limit };
        let Answer::Content(download) = self.client.get(&request, deadline).await? else {
            return Ok(Vec::new());
        };
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            download.body.reader(limit)?.read_to_end(&mut bytes).map(|_| bytes)
        });
        Ok(read.await.map_err(BlockingError::from)??)
    }
}
