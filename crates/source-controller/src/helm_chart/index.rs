//! Charts in the index of an HTTP server.

use std::io::Read;
use std::sync::Arc;

use ::helm_repository::{
    self as helm_repository, Answer, Client, Credentials, FetchError, Index, IndexError, NotFound, Request,
    UrlError,
};
use net::Deadline;
use runtime::error::chain;
use source::blocking::BlockingError;
use source::temporary::{Room, RoomError};
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
    /// There is no room for it.
    #[error("{0} (half of --helm-temporary-max-size)")]
    Room(#[from] RoomError),
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

/// Downloads an index that is no artifact, and reads it. The temporary file that it comes in is one of `files`.
pub async fn download(
    client: &Client,
    request: &Request<'_>,
    files: &Room,
    namespace: &str,
    deadline: &Deadline,
) -> Result<Index, RepositoryError> {
    let room = files.take(namespace, request.limit, deadline).await?;
    let download = match client.get(request, deadline).await? {
        Answer::Content(download) => download,
        // Nobody said what there is already.
        Answer::NotModified => return Err(NotFound::Name.into()),
    };
    let (limits, deadline) = (client.limits().clone(), deadline.clone());
    let read = move || {
        let _room = room;
        helm_repository::read(&download.body, &limits, &|| !deadline.is_over())
    };
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use ::helm_repository::{Limits, index_url, normalize};
    use e2e::file_server::FileServer;
    use net::TlsConfig;

    use super::*;

    #[tokio::test]
    async fn an_index_without_a_helm_repository_takes_room_until_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"{"apiVersion": "v1", "entries": {"app": [{"name": "app", "version": "1.0.0"}]}}"#;
        std::fs::write(folder.path().join("index.yaml"), text).unwrap();
        let server = FileServer::start(folder.path(), None).await.unwrap();
        let client = Client::new(&TlsConfig::default(), Limits::default()).unwrap();
        let url = index_url(&normalize(&server.url()).unwrap());
        let download = async |files: &Room, limit: u64, seconds: Duration| {
            let request = Request { url: &url, credentials: None, validators: None, limit };
            let index = download(&client, &request, files, "ns", &Deadline::new(seconds)).await;
            index.map(|index| index.len()).map_err(|error| error.to_string())
        };
        let (minute, soon) = (Duration::from_secs(60), Duration::from_millis(20));
        let files = Room::new(1000);
        assert_eq!(download(&files, 1000, minute).await, Ok(1));
        assert_eq!(files.budget().usage().used, 0, "it is given back");
        let text =
            "1001 bytes of temporary files exceed the limit of 1000 (half of --helm-temporary-max-size)";
        assert_eq!(download(&files, 1001, minute).await, Err(text.to_owned()));
        let other = files.take("other", 500, &Deadline::new(minute)).await.unwrap();
        let text = "timed out waiting for 501 bytes of the 1000 that temporary files may have (half of --helm-temporary-max-size)";
        assert_eq!(download(&files, 501, soon).await, Err(text.to_owned()));
        drop(other);
        assert_eq!(download(&files, 501, minute).await, Ok(1));
    }
}
