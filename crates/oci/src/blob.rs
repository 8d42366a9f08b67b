//! Blobs: the content of layers (OCI distribution specification, "Pulling blobs").

use bytes::Bytes;
use net::Deadline;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use url::Url;

use crate::client::Client;
use crate::digest::{Digest, Hasher};
use crate::http::{Answer, Call, RequestError};
use crate::manifest::Descriptor;
use crate::reference::Repository;
use crate::urls::is_internal;

/// Why a blob cannot be had whole.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The registry does not give it, or the connection broke.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The manifest says that it is larger than [`Limits::blob_bytes`](crate::Limits::blob_bytes).
    #[error("{digest}: blob of {size} bytes is larger than the limit of {limit} bytes")]
    TooLarge {
        /// Which blob.
        digest: Digest,
        /// Its size in the manifest.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// The answer says that it has another size than the manifest says.
    #[error("{request}: Content-Length header {length} does not match expected size {size}")]
    Length {
        /// Method and URL.
        request: String,
        /// The size in the header.
        length: u64,
        /// The size in the manifest.
        size: u64,
    },
    /// It has another size than the manifest says. What is too long is not read to its end.
    #[error("{request}: error verifying size; got {actual}, want {size}")]
    Size {
        /// Method and URL.
        request: String,
        /// Bytes received.
        actual: u64,
        /// The size in the manifest.
        size: u64,
    },
    /// It is other content than the manifest says.
    #[error(
        "{request}: error verifying sha256 checksum after reading {size} bytes; got \"{actual}\", want \"{digest}\""
    )]
    Digest {
        /// Method and URL.
        request: String,
        /// Bytes received.
        size: u64,
        /// The digest of what was received.
        actual: Digest,
        /// The digest in the manifest.
        digest: Digest,
    },
    /// It could not be written to where it should go.
    #[error("failed to write blob: {0}")]
    Write(#[from] std::io::Error),
}

impl BlobError {
    /// The failed request, if one failed.
    pub fn request(&self) -> Option<&RequestError> {
        match self {
            BlobError::Request(error) => Some(error),
            _ => None,
        }
    }
}

/// A blob on its way. Until [`Blob::chunk`] has answered `None`, nothing that it gave may be published: size and digest are
/// known only then.
#[derive(Debug)]
pub struct Blob {
    source: Source,
    /// For errors.
    request: String,
    digest: Digest,
    size: u64,
    read: u64,
    hasher: Hasher,
    is_done: bool,
}

#[derive(Debug)]
enum Source {
    Answer(Box<Answer>),
    /// Content that is part of the manifest.
    Data(Option<Bytes>),
}

impl Client {
    /// Begins to fetch a blob: out of the descriptor if it holds the content, else from the registry, else from the descriptor's
    /// URLs. The latter are asked without credentials.
    pub async fn blob(
        &self,
        repository: &Repository,
        descriptor: &Descriptor,
        deadline: &Deadline,
    ) -> Result<Blob, BlobError> {
        let limit = self.limits().blob_bytes;
        if descriptor.size > limit {
            let digest = descriptor.digest.clone();
            return Err(BlobError::TooLarge { digest, size: descriptor.size, limit });
        }
        if let Some(data) = &descriptor.data {
            let request = format!("data of {}", descriptor.digest);
            return Ok(Blob::new(Source::Data(Some(data.clone())), request, descriptor));
        }
        let url = self.endpoint(repository, &format!("blobs/{}", descriptor.digest), deadline).await?;
        let is_plain = url.scheme() == "http";
        let answer = self.send(repository, Call::get(url, deadline)).await?.ok().await;
        let mut outcome = answer.map_err(BlobError::from).and_then(|answer| Blob::begin(answer, descriptor));
        for url in descriptor.urls.iter().filter_map(|url| foreign(url, is_plain)) {
            if outcome.is_ok() {
                break;
            }
            outcome = match self.send_anonymously(Call::get(url, deadline)).await {
                Ok(answer) => answer
                    .ok()
                    .await
                    .map_err(BlobError::from)
                    .and_then(|answer| Blob::begin(answer, descriptor)),
                Err(error) => Err(error.into()),
            };
        }
        outcome
    }
}

impl Client {
    /// The whole of a blob of at most `limit` bytes, which has to be small enough for memory.
    ///
    /// # Errors
    /// When the manifest says that it is larger, so that nothing is asked, and when it does not come whole.
    pub async fn small_blob(
        &self,
        repository: &Repository,
        descriptor: &Descriptor,
        limit: u64,
        deadline: &Deadline,
    ) -> Result<Vec<u8>, BlobError> {
        if descriptor.size > limit {
            let digest = descriptor.digest.clone();
            return Err(BlobError::TooLarge { digest, size: descriptor.size, limit });
        }
        let mut blob = self.blob(repository, descriptor, deadline).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = blob.chunk().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

impl Blob {
    fn begin(answer: Answer, descriptor: &Descriptor) -> Result<Blob, BlobError> {
        let (request, size) = (answer.request.clone(), descriptor.size);
        match answer.content_length() {
            Some(length) if length != size => Err(BlobError::Length { request, length, size }),
            _ => Ok(Blob::new(Source::Answer(Box::new(answer)), request, descriptor)),
        }
    }

    fn new(source: Source, request: String, descriptor: &Descriptor) -> Blob {
        Blob {
            source,
            request,
            digest: descriptor.digest.clone(),
            size: descriptor.size,
            read: 0,
            hasher: Hasher::new(),
            is_done: false,
        }
    }

    /// Bytes of the whole blob.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The next bytes. `None` means that all have come, and that they are those the manifest names.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, BlobError> {
        if self.is_done {
            return Ok(None);
        }
        let chunk = match &mut self.source {
            Source::Answer(answer) => answer.chunk().await?,
            Source::Data(data) => data.take(),
        };
        let wrong_size =
            |read: u64| BlobError::Size { request: self.request.clone(), actual: read, size: self.size };
        match chunk {
            Some(chunk) => {
                self.read = self.read.saturating_add(chunk.len() as u64);
                if self.read > self.size {
                    return Err(wrong_size(self.read));
                }
                self.hasher.update(&chunk);
                Ok(Some(chunk))
            }
            None if self.read < self.size => Err(wrong_size(self.read)),
            None => {
                let actual = self.hasher.clone().finish();
                if actual != self.digest {
                    return Err(BlobError::Digest {
                        request: self.request.clone(),
                        size: self.read,
                        actual,
                        digest: self.digest.clone(),
                    });
                }
                self.is_done = true;
                Ok(None)
            }
        }
    }

    /// Writes what has not been read yet, and verifies the whole. After an error, what was written is worth nothing.
    pub async fn copy_to(mut self, sink: &mut (impl AsyncWrite + Unpin)) -> Result<(), BlobError> {
        while let Some(chunk) = self.chunk().await? {
            sink.write_all(&chunk).await?;
        }
        Ok(sink.flush().await?)
    }
}

/// A URL of a descriptor, if it may be asked: https, or http if the registry is spoken with that way; not within the network.
fn foreign(text: &str, is_plain: bool) -> Option<Url> {
    let mut url = Url::parse(text).ok()?;
    let allowed = url.scheme() == "https" || (url.scheme() == "http" && is_plain);
    // Credentials that a manifest thinks of are not ours.
    net::remove_credentials(&mut url);
    (allowed && !is_internal(&url)).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_descriptors_are_outside_the_network() {
        let asked = |url: &str, is_plain: bool| foreign(url, is_plain).map(String::from);
        assert_eq!(asked("https://me:pw@cdn.example/x?y", false).as_deref(), Some("https://cdn.example/x?y"));
        assert_eq!(asked("http://cdn.example/x", true).as_deref(), Some("http://cdn.example/x"));
        for url in
            ["http://cdn.example/x", "file:///etc/passwd", "https://127.0.0.1/x", "https://10.0.0.1/", "x"]
        {
            assert_eq!(asked(url, false), None, "{url}");
        }
    }
}
