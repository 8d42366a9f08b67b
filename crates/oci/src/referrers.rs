//! What refers to a manifest, such as its signatures (OCI distribution specification, "Listing Referrers").

use net::Deadline;
use reqwest::StatusCode;
use reqwest::header::HeaderValue;

use crate::client::Client;
use crate::digest::Digest;
use crate::http::{Answer, Call, RequestError};
use crate::link::{self, LinkError};
use crate::manifest::{Descriptor, Document, FormatError, OCI_INDEX};
use crate::pull::ManifestError;
use crate::reference::{Reference, Repository, TagError};

/// Why there is no list of referrers.
#[derive(Debug, thiserror::Error)]
pub enum ReferrersError {
    /// A page was not to be had.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The index behind the tag that stands for the list was not to be had.
    #[error(transparent)]
    Tag(#[from] ManifestError),
    /// There is no such tag.
    #[error(transparent)]
    Name(#[from] TagError),
    /// A page is not an index.
    #[error("{request}: list of referrers is not understood: {source}")]
    Malformed {
        /// Method and URL.
        request: String,
        /// What is wrong with it.
        source: FormatError,
    },
    /// The page names one after it that is not asked for.
    #[error("{request}: {source}")]
    Link {
        /// Method and URL.
        request: String,
        /// Why not.
        source: LinkError,
    },
    /// The list has more entries than [`Limits::referrers`](crate::Limits::referrers).
    #[error("{reference}: more than {limit} referrers")]
    TooMany {
        /// What they refer to.
        reference: String,
        /// The limit.
        limit: usize,
    },
    /// The list has more pages than [`Limits::referrer_pages`](crate::Limits::referrer_pages).
    #[error("{reference}: more than {limit} pages of referrers")]
    TooManyPages {
        /// What they refer to.
        reference: String,
        /// The limit.
        limit: usize,
    },
}

impl ReferrersError {
    /// The failed request, if one failed.
    pub fn request(&self) -> Option<&RequestError> {
        match self {
            ReferrersError::Request(error) => Some(error),
            ReferrersError::Tag(error) => error.request(),
            _ => None,
        }
    }
}

impl Client {
    /// What refers to the manifest with this digest, in the registry's order. A registry that does not know the request has the list
    /// as an index behind a tag, `sha256-<hash>`; without one there are none.
    ///
    /// # Errors
    /// When a page is not to be had, or there is more than [`Limits`](crate::Limits) allow.
    pub async fn referrers(
        &self,
        repository: &Repository,
        digest: &Digest,
        deadline: &Deadline,
    ) -> Result<Vec<Descriptor>, ReferrersError> {
        let limits = self.limits().clone();
        let reference = repository.digest(digest.clone());
        let mut url = self.endpoint(repository, &format!("referrers/{digest}"), deadline).await?;
        let (registry, mut found, mut bytes) = (url.clone(), Vec::new(), limits.referrer_bytes);
        for page in 0..limits.referrer_pages {
            let accept = Some(HeaderValue::from_static(OCI_INDEX));
            let answer = self.send(repository, Call { accept, ..Call::get(url, deadline) }).await?;
            if page == 0 && is_unknown(&answer) {
                answer.discard().await;
                return self.tagged_referrers(repository, digest, deadline).await;
            }
            let mut answer = answer.ok().await?;
            let body = answer.body(bytes).await?;
            bytes = bytes.saturating_sub(body.len() as u64);
            let request = || answer.request.clone();
            let read = Document::read(Digest::of(&body), OCI_INDEX, &body);
            found.extend(
                children(read).map_err(|source| ReferrersError::Malformed { request: request(), source })?,
            );
            check(&reference, &found, limits.referrers)?;
            let next = link::next(answer.headers(), &answer.url, &registry)
                .map_err(|source| ReferrersError::Link { request: request(), source })?;
            match next {
                Some(next) => url = next,
                None => return Ok(found),
            }
        }
        Err(ReferrersError::TooManyPages { reference: reference.to_string(), limit: limits.referrer_pages })
    }

    /// The list of a registry that does not know the request ("Unavailable Referrers API").
    async fn tagged_referrers(
        &self,
        repository: &Repository,
        digest: &Digest,
        deadline: &Deadline,
    ) -> Result<Vec<Descriptor>, ReferrersError> {
        let tag = repository.tag(&format!("sha256-{}", digest.hex()))?;
        let raw = match self.raw_manifest(&tag, deadline).await {
            Ok(raw) => raw,
            Err(error) if is_missing(&error) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let read = Document::read(raw.digest, &raw.media_type, &raw.bytes);
        let request = || tag.to_string();
        let found =
            children(read).map_err(|source| ReferrersError::Malformed { request: request(), source })?;
        check(&tag, &found, self.limits().referrers)?;
        Ok(found)
    }
}

/// Whether the registry does not know the request, as go-containerregistry judges it.
fn is_unknown(answer: &Answer) -> bool {
    let status = answer.status();
    let is_refused =
        matches!(status, StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST | StatusCode::NOT_ACCEPTABLE);
    is_refused || (status == StatusCode::OK && answer.media_type().as_deref() != Some(OCI_INDEX))
}

fn is_missing(error: &ManifestError) -> bool {
    error.request().and_then(RequestError::status).is_some_and(|error| error.status == StatusCode::NOT_FOUND)
}

fn children(read: Result<Document, FormatError>) -> Result<Vec<Descriptor>, FormatError> {
    match read? {
        Document::Index(children) => Ok(children),
        Document::Manifest(_) => Err(FormatError::MediaType("a manifest, not an index".to_owned())),
    }
}

fn check(reference: &Reference, found: &[Descriptor], limit: usize) -> Result<(), ReferrersError> {
    match found.len() > limit {
        true => Err(ReferrersError::TooMany { reference: reference.to_string(), limit }),
        false => Ok(()),
    }
}
