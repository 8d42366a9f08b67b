//! Bases outside the artifact: Git repositories and files over http(s), fetched for one build and then forgotten.
//!
//! Called from within a build, on a thread that may block.

use std::{io, sync::Arc, time::Duration};

use git::{Cache, Connector, Entry, Kind, Outcome, Reference, Remote, TransportError, UrlError, WalkError};
use kustomize::{FetchError, Fetcher, FileTree, MemoryTree, RepoSpec};
use net::{BodyError, Deadline};
use tokio::runtime::Handle;

/// How long a file may take; a repository's time is in its URL.
const FILE_TIMEOUT: Duration = Duration::from_secs(27);

/// Fetches with the process's own network access and without credentials, but for those in a URL.
pub struct RemoteBases {
    connector: Connector,
    client: reqwest::Client,
    runtime: Handle,
    /// Bytes of one pack, and of all files of one repository.
    max_bytes: u64,
}

impl RemoteBases {
    /// For use on the runtime that this is called on.
    ///
    /// # Errors
    /// When no TLS client can be made.
    pub fn new(max_bytes: u64) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder().timeout(FILE_TIMEOUT).build()?;
        Ok(Self { connector: Connector::default(), client, runtime: Handle::current(), max_bytes })
    }

    fn checkout(&self, spec: &RepoSpec) -> Result<MemoryTree, BaseError> {
        let remote = Remote::new(&spec.clone_url())?;
        if remote.is_ssh() {
            return Err(BaseError::Ssh);
        }
        let limits = git::Limits { pack_bytes: self.max_bytes, ..git::Limits::default() };
        let deadline = Deadline::new(Duration::from_secs(spec.timeout));
        let reference = self.reference(spec, &remote, &limits, &deadline)?;
        let folder = tempfile::tempdir().map_err(BaseError::Folder)?;
        let cache = Cache::new(folder.path().to_owned(), limits);
        let outcome = cache.checkout(&self.connector, &remote, &reference, None, &deadline);
        let Outcome::Checkout(checkout) = outcome? else { return Err(BaseError::Nothing) };
        let (mut tree, mut bytes) = (MemoryTree::default(), 0_u64);
        checkout.walk(|entry| self.add(&mut tree, &mut bytes, entry))?;
        Ok(tree)
    }

    /// What `?ref=` names, in Git's own order: a commit, a tag, a branch; the default branch if it is empty.
    fn reference(
        &self,
        spec: &RepoSpec,
        remote: &Remote,
        limits: &git::Limits,
        deadline: &Deadline,
    ) -> Result<Reference, TransportError> {
        let wanted = spec.reference.as_str();
        if wanted.len() == 40 && wanted.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(Reference { commit: Some(wanted.to_owned()), ..Reference::default() });
        }
        let name = if wanted.is_empty() {
            "HEAD".to_owned()
        } else {
            let (tag, branch) = (format!("refs/tags/{wanted}"), format!("refs/heads/{wanted}"));
            let refs = self.connector.connect(remote, limits, deadline)?.refs(&[&tag, &branch])?;
            if refs.iter().any(|r| r.name == tag) { tag } else { branch }
        };
        Ok(Reference { name: Some(name), ..Reference::default() })
    }

    fn add(&self, tree: &mut MemoryTree, bytes: &mut u64, mut entry: Entry<'_, '_>) -> Result<(), BaseError> {
        let Ok(path) = std::str::from_utf8(entry.path).map(str::to_owned) else { return Ok(()) };
        match entry.kind {
            Kind::Directory => tree.insert_directory(&path),
            Kind::File { .. } => {
                let content = entry.read()?;
                *bytes += content.len() as u64;
                if *bytes > self.max_bytes {
                    return Err(BaseError::TooLarge(self.max_bytes));
                }
                tree.insert(&path, content);
            }
            // A link could lead out of the repository, a submodule is another one.
            Kind::Symlink | Kind::Submodule => {}
        }
        Ok(())
    }
}

/// Why a base in another repository cannot be had.
#[derive(Debug, thiserror::Error)]
enum BaseError {
    /// The URL is none.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// A build has no key.
    #[error("unsupported scheme 'ssh': there is no key for it")]
    Ssh,
    /// The reference cannot be looked up.
    #[error(transparent)]
    Reference(#[from] TransportError),
    /// There is no place to fetch to.
    #[error(transparent)]
    Folder(io::Error),
    /// The fetch failed.
    #[error(transparent)]
    Fetch(#[from] git::Error),
    /// The fetch had no result.
    #[error("nothing was fetched")]
    Nothing,
    /// The tree cannot be read.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// The files are too large.
    #[error("the repository has more than {0} bytes")]
    TooLarge(u64),
}

impl Fetcher for RemoteBases {
    fn git(&self, spec: &RepoSpec) -> Result<Arc<dyn FileTree>, FetchError> {
        let tree = self.checkout(spec).map_err(|error| FetchError::Failed(error.to_string()))?;
        Ok(Arc::new(tree))
    }

    fn http(&self, url: &str, limit: usize) -> Result<Vec<u8>, FetchError> {
        let failed = |error: reqwest::Error| FetchError::Failed(runtime::error::chain(&error.without_url()));
        self.runtime.block_on(async {
            let mut response = self.client.get(url).send().await.map_err(failed)?;
            if !response.status().is_success() {
                return Err(FetchError::Status(response.status().as_u16()));
            }
            net::read_body(&mut response, limit).await.map_err(|error| match error {
                BodyError::Connection(error) => failed(error),
                BodyError::TooLarge(_) => FetchError::Failed(format!("the file has more than {limit} bytes")),
            })
        })
    }
}
