//! From a reference to a digest, and from a digest to a manifest (OCI distribution specification, "Pulling manifests").

use bytes::Bytes;
use net::Deadline;
use reqwest::header::HeaderValue;
use reqwest::{Method, StatusCode};

use crate::client::Client;
use crate::digest::Digest;
use crate::http::{Answer, Call, RequestError};
use crate::manifest::{self, Descriptor, Document, FormatError, Manifest};
use crate::reference::{Identifier, Reference, Repository};
use crate::status::printable;

/// The header with a manifest's digest.
const DIGEST_HEADER: &str = "docker-content-digest";

/// Why there is no manifest, or no digest of one.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The registry gives none.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The content is not the one asked for.
    #[error(
        "manifest digest: \"{actual}\" does not match requested digest: \"{requested}\" for \"{reference}\""
    )]
    Digest {
        /// The digest of the content, or what the registry says that it is.
        actual: Digest,
        /// The digest asked for.
        requested: Digest,
        /// The reference asked for.
        reference: String,
    },
    /// The header `Docker-Content-Digest` and the content do not agree.
    #[error(
        "{request}: digest of the answer is \"{actual}\", but \"{announced}\" by its Docker-Content-Digest header"
    )]
    Header {
        /// Method and URL.
        request: String,
        /// The digest of the content.
        actual: Digest,
        /// The digest of the header.
        announced: Digest,
    },
    /// The content is not that of a manifest.
    #[error("{reference}: {source}")]
    Format {
        /// The reference asked for.
        reference: String,
        /// What is wrong with it.
        source: FormatError,
    },
    /// The reference is to an index that has nothing for linux/amd64.
    #[error("{} in index {reference}", manifest::Unavailable)]
    Platform {
        /// The reference asked for.
        reference: String,
    },
}

impl ManifestError {
    /// The failed request, if one failed.
    pub fn request(&self) -> Option<&RequestError> {
        match self {
            ManifestError::Request(error) => Some(error),
            _ => None,
        }
    }
}

/// What a reference points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The digest of the manifest or index.
    pub digest: Digest,
    /// Its type, as the registry tells it.
    pub media_type: String,
    /// Its bytes, as the registry tells them.
    pub size: u64,
}

/// A manifest or index as it is stored, for whoever has to see every byte: signatures cover these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawManifest {
    /// The digest of `bytes`.
    pub digest: Digest,
    /// The type, as the registry tells it; empty if it does not. It is not covered by the digest.
    pub media_type: String,
    /// The content.
    pub bytes: Bytes,
}

impl Client {
    /// The digest that a reference points at: by `HEAD`, or by `GET` where that is refused or does not tell type, size and digest.
    ///
    /// The answer of a `HEAD` is what the registry says; only [`Client::manifest`] proves it. A registry that asks to be spared
    /// (429) is not asked again.
    pub async fn resolve(
        &self,
        reference: &Reference,
        deadline: &Deadline,
    ) -> Result<Resolved, ManifestError> {
        let call = Call { method: Method::HEAD, ..self.call(reference, deadline).await? };
        let answer = self.send(reference.repository(), call).await?;
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            return Err(answer.refuse().await.into());
        }
        let head = (answer.status() == StatusCode::OK).then(|| head(&answer)).flatten();
        let resolved = match head {
            Some(head) => head,
            None => {
                drop(answer);
                let raw = self.raw_manifest(reference, deadline).await?;
                return Ok(Resolved {
                    size: raw.bytes.len() as u64,
                    digest: raw.digest,
                    media_type: raw.media_type,
                });
            }
        };
        check(reference, &resolved.digest)?;
        Ok(resolved)
    }

    /// A manifest or index as it is stored. Its digest is that of its bytes, and the one asked for if the reference has one.
    pub async fn raw_manifest(
        &self,
        reference: &Reference,
        deadline: &Deadline,
    ) -> Result<RawManifest, ManifestError> {
        let call = self.call(reference, deadline).await?;
        let mut answer = self.send(reference.repository(), call).await?.ok().await?;
        let bytes = answer.body(self.limits().manifest_bytes).await?;
        let digest = Digest::of(&bytes);
        check(reference, &digest)?;
        match announced(&answer) {
            Some(announced) if announced != digest => {
                Err(ManifestError::Header { request: answer.request, actual: digest, announced })
            }
            _ => Ok(RawManifest {
                digest,
                media_type: answer.media_type().unwrap_or_default(),
                bytes: bytes.into(),
            }),
        }
    }

    /// The manifest with this digest; if that is an index, the first of its manifests that is for linux/amd64 or does not tell
    /// what it is for. An index in an index is not followed.
    pub async fn manifest(
        &self,
        repository: &Repository,
        digest: &Digest,
        deadline: &Deadline,
    ) -> Result<Manifest, ManifestError> {
        let reference = repository.digest(digest.clone());
        let raw = self.raw_manifest(&reference, deadline).await?;
        let children = match read(&reference, raw)? {
            Document::Manifest(manifest) => return Ok(*manifest),
            Document::Index(children) => children,
        };
        let unavailable = |_| ManifestError::Platform { reference: reference.to_string() };
        let child = manifest::choose(&children).map_err(unavailable)?;
        let reference = repository.digest(child.digest.clone());
        let raw = match &child.data {
            Some(data) => embedded(&reference, child, data)?,
            None => self.raw_manifest(&reference, deadline).await?,
        };
        match read(&reference, raw)? {
            Document::Manifest(manifest) => Ok(*manifest),
            Document::Index(_) => Err(ManifestError::Format {
                reference: reference.to_string(),
                source: FormatError::MediaType(printable(&child.media_type)),
            }),
        }
    }

    async fn call(&self, reference: &Reference, deadline: &Deadline) -> Result<Call, RequestError> {
        let path = format!("manifests/{}", reference.identifier());
        let url = self.endpoint(reference.repository(), &path, deadline).await?;
        let accept = Some(HeaderValue::from_static(manifest::ACCEPTED_TYPES));
        Ok(Call { accept, ..Call::get(url, deadline) })
    }
}

/// What the head of an answer tells, if it tells all.
fn head(answer: &Answer) -> Option<Resolved> {
    Some(Resolved {
        digest: announced(answer)?,
        media_type: answer.media_type()?,
        size: answer.content_length()?,
    })
}

fn announced(answer: &Answer) -> Option<Digest> {
    answer.headers().get(DIGEST_HEADER)?.to_str().ok()?.parse().ok()
}

fn check(reference: &Reference, actual: &Digest) -> Result<(), ManifestError> {
    match reference.identifier() {
        Identifier::Digest(requested) if requested != actual => Err(ManifestError::Digest {
            actual: actual.clone(),
            requested: requested.clone(),
            reference: reference.to_string(),
        }),
        _ => Ok(()),
    }
}

fn embedded(reference: &Reference, child: &Descriptor, data: &Bytes) -> Result<RawManifest, ManifestError> {
    let digest = Digest::of(data);
    check(reference, &digest)?;
    Ok(RawManifest { digest, media_type: child.media_type.clone(), bytes: data.clone() })
}

fn read(reference: &Reference, raw: RawManifest) -> Result<Document, ManifestError> {
    Document::read(raw.digest, &raw.media_type, &raw.bytes)
        .map_err(|source| ManifestError::Format { reference: reference.to_string(), source })
}
