//! The tags of a repository.

use net::Deadline;
use serde::Deserialize;

use crate::client::Client;
use crate::http::{Call, RequestError};
use crate::link::{self, LinkError};
use crate::reference::Repository;

/// Why there is no list of tags.
#[derive(Debug, thiserror::Error)]
pub enum TagsError {
    /// A page was not to be had.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A page is not the JSON of a list of tags.
    #[error("{request}: list of tags is not understood: line {}, column {}", source.line(), source.column())]
    Malformed {
        /// Method and URL.
        request: String,
        /// What is wrong with it. Its text may quote the answer.
        source: serde_json::Error,
    },
    /// The page names one after it that is not asked for.
    #[error("{request}: {source}")]
    Link {
        /// Method and URL.
        request: String,
        /// Why not.
        source: LinkError,
    },
    /// The list has more tags than [`Limits::tags`](crate::Limits::tags).
    #[error("{repository}: more than {limit} tags")]
    TooMany {
        /// The repository.
        repository: String,
        /// The limit.
        limit: usize,
    },
    /// The list has more pages than [`Limits::tag_pages`](crate::Limits::tag_pages).
    #[error("{repository}: more than {limit} pages of tags")]
    TooManyPages {
        /// The repository.
        repository: String,
        /// The limit.
        limit: usize,
    },
}

impl TagsError {
    /// The failed request, if one failed.
    pub fn request(&self) -> Option<&RequestError> {
        match self {
            TagsError::Request(error) => Some(error),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

impl Client {
    /// All tags of a repository, in the registry's order (OCI distribution specification, "Listing Tags").
    ///
    /// Pages are followed by their `Link` headers, on the registry's own host only.
    pub async fn tags(&self, repository: &Repository, deadline: &Deadline) -> Result<Vec<String>, TagsError> {
        let limits = self.limits().clone();
        let mut url = self.endpoint(repository, "tags/list", deadline).await?;
        url.set_query(Some(&format!("n={}", limits.tags_per_page)));
        let registry = url.clone();
        let (mut tags, mut bytes) = (Vec::new(), limits.tag_bytes);
        for _ in 0..limits.tag_pages {
            let mut answer = self.send(repository, Call::get(url, deadline)).await?.ok().await?;
            let body = answer.body(bytes).await?;
            bytes = bytes.saturating_sub(body.len() as u64);
            let request = || answer.request.clone();
            let page: Page = serde_json::from_slice(&body)
                .map_err(|source| TagsError::Malformed { request: request(), source })?;
            tags.extend(page.tags.unwrap_or_default());
            if tags.len() > limits.tags {
                return Err(TagsError::TooMany { repository: repository.to_string(), limit: limits.tags });
            }
            let next = link::next(answer.headers(), &answer.url, &registry)
                .map_err(|source| TagsError::Link { request: request(), source })?;
            match next {
                Some(next) => url = next,
                None => return Ok(tags),
            }
        }
        Err(TagsError::TooManyPages { repository: repository.to_string(), limit: limits.tag_pages })
    }
}
