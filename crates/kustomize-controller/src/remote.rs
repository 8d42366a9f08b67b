//! Bases outside the artifact: Git repositories and files over http(s), fetched for one build and then forgotten.
//!
//! Called from within a build, on a thread that may block. A fetch ends with its build, also where that is given up.

use std::{io, sync::Arc, time::Duration};

use git::{Cache, Connector, Entry, Kind, Outcome, Reference, Remote, TransportError, UrlError, WalkError};
use kustomize::{FetchError, MemoryTree, RepoSpec, Repository};
use net::{AddressPolicy, BodyError, Deadline, Refused};
use reqwest::{Url, redirect::Policy};
use tokio::runtime::Handle;

use crate::{
    base_folder,
    flags::Redirects,
    render::{Bases, build_is_over},
};

/// Longest time of one fetch; a repository's may be shorter by its URL.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(27);
/// Redirects followed for a file.
const MAX_REDIRECTS: usize = 10;

/// Choices for bases.
#[derive(Clone, Debug)]
pub struct BaseOptions {
    /// Bytes of one pack.
    pub pack_bytes: u64,
    /// Memory that all fetches of repositories may take together.
    pub memory: git::Memory,
    /// Where a base may be.
    pub addresses: AddressPolicy,
    /// Where a redirect may lead.
    pub redirects: Redirects,
    /// Longest time of one fetch.
    pub timeout: Duration,
}

/// Fetches with the process's own network access and without credentials, but for those in a URL.
pub struct RemoteBases {
    connector: Connector,
    client: reqwest::Client,
    runtime: Handle,
    options: BaseOptions,
}

impl RemoteBases {
    /// For use on the runtime that this is called on.
    ///
    /// # Errors
    /// When no TLS client can be made.
    pub fn new(options: BaseOptions) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .timeout(options.timeout)
            .no_proxy()
            .dns_resolver(Arc::new(options.addresses.clone()))
            .redirect(redirect_policy(&options))
            .build()?;
        let connector = Connector::within(options.addresses.clone());
        Ok(Self { connector, client, runtime: Handle::current(), options })
    }

    fn checkout(
        &self,
        spec: &RepoSpec,
        limit: u64,
        deadline: &Deadline,
    ) -> Result<(MemoryTree, u64), BaseError> {
        let url = spec.clone_url();
        let remote = Remote::new(&url)?;
        if remote.is_ssh() {
            return Err(BaseError::Ssh);
        }
        let deadline = deadline.within(Duration::from_secs(spec.timeout).min(self.options.timeout));
        self.check_host(&url, &deadline)?;
        // How many builds a namespace has at once is limited already.
        let memory = Some(self.options.memory.of(&url));
        let limits = git::Limits { pack_bytes: self.options.pack_bytes, memory, ..git::Limits::default() };
        let reference = self.reference(spec, &remote, &limits, &deadline)?;
        let folder = base_folder::create().map_err(BaseError::Folder)?;
        let cache = Cache::new(folder.path().to_owned(), limits);
        let outcome = cache.checkout(&self.connector, &remote, &reference, None, &deadline);
        let Outcome::Checkout(checkout) = outcome? else { return Err(BaseError::Nothing) };
        let (mut tree, mut bytes) = (MemoryTree::default(), 0_u64);
        checkout.walk(|entry| {
            if deadline.is_over() {
                return Err(TransportError::Deadline.into());
            }
            add(&mut tree, &mut bytes, entry, limit)
        })?;
        Ok((tree, bytes))
    }

    /// Judges the addresses of a repository's host before a proxy of the environment may resolve it. Connections are judged
    /// by the connector.
    fn check_host(&self, url: &str, deadline: &Deadline) -> Result<(), Refused> {
        let Ok(url) = Url::parse(url) else { return Ok(()) };
        let check = deadline.bound(Duration::MAX, self.options.addresses.check_host(&url));
        // A name that does not resolve in time is for the Git client to tell.
        self.runtime.block_on(check).unwrap_or(Ok(()))
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
}

fn add(
    tree: &mut MemoryTree,
    bytes: &mut u64,
    mut entry: Entry<'_, '_>,
    limit: u64,
) -> Result<(), BaseError> {
    let Ok(path) = std::str::from_utf8(entry.path).map(str::to_owned) else { return Ok(()) };
    match entry.kind {
        Kind::Directory => tree.insert_directory(&path),
        Kind::File { .. } => {
            let content = entry.read()?;
            *bytes = bytes.saturating_add(content.len() as u64);
            if *bytes > limit {
                return Err(BaseError::TooLarge(limit));
            }
            tree.insert(&path, content);
        }
        // A link could lead out of the repository, a submodule is another one.
        Kind::Symlink | Kind::Submodule => {}
    }
    Ok(())
}

fn redirect_policy(options: &BaseOptions) -> Policy {
    let BaseOptions { addresses, redirects, .. } = options.clone();
    Policy::custom(move |attempt| {
        let from = attempt.previous().last();
        let same_origin = from.is_some_and(|from| from.origin() == attempt.url().origin());
        let downgrade =
            from.is_some_and(|from| from.scheme() == "https" && attempt.url().scheme() != "https");
        if !same_origin && redirects == Redirects::SameOrigin {
            return attempt.error(RedirectError::OtherOrigin);
        }
        if downgrade {
            return attempt.error(RedirectError::Downgrade);
        }
        if attempt.previous().len() > MAX_REDIRECTS {
            return attempt.error(RedirectError::TooMany);
        }
        match addresses.check_url(attempt.url()) {
            Ok(()) => attempt.follow(),
            Err(refused) => attempt.error(refused),
        }
    })
}

/// Why a redirect is not followed.
#[derive(Debug, thiserror::Error)]
enum RedirectError {
    /// It leads to another host, port or scheme.
    #[error("a redirect to another origin is not followed (--remote-bases-redirects)")]
    OtherOrigin,
    /// It leads from https to http.
    #[error("a redirect from https to http is not followed")]
    Downgrade,
    /// They lead in a circle.
    #[error("more than {MAX_REDIRECTS} redirects")]
    TooMany,
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
    /// The host is one that bases may not be on.
    #[error("{0} (--remote-bases-allow-link-local, --remote-bases-deny)")]
    Refused(#[from] Refused),
    /// The reference cannot be looked up, or the time is over.
    #[error("{}", without_body(.0))]
    Reference(#[from] TransportError),
    /// There is no place to fetch to.
    #[error(transparent)]
    Folder(io::Error),
    /// The fetch failed.
    #[error("{}", fetch_without_body(.0))]
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

/// The text of an error without what the server said: the author of a base must not read other hosts' pages by it.
fn without_body(error: &TransportError) -> String {
    match error {
        TransportError::AuthenticationRequired(_) => "authentication required".to_owned(),
        TransportError::AuthorizationFailed(_) => "authorization failed".to_owned(),
        TransportError::RepositoryNotFound(_) => "repository not found".to_owned(),
        TransportError::Refused(refused) => BaseError::Refused(refused.clone()).to_string(),
        other => other.to_string(),
    }
}

fn fetch_without_body(error: &git::Error) -> String {
    match error {
        git::Error::Clone { url, source } => format!("unable to clone '{url}': {}", without_body(source)),
        git::Error::List { url, source } => {
            format!("unable to list remote for '{url}': {}", without_body(source))
        }
        other => other.to_string(),
    }
}

impl Bases for RemoteBases {
    fn git(&self, spec: &RepoSpec, limit: u64, deadline: &Deadline) -> Result<Repository, FetchError> {
        let checkout = self.checkout(spec, limit, deadline);
        let (tree, bytes) = checkout.map_err(|error| FetchError::Failed(error.to_string()))?;
        Ok(Repository { tree: Arc::new(tree), bytes })
    }

    fn http(&self, url: &str, limit: usize, deadline: &Deadline) -> Result<Vec<u8>, FetchError> {
        let failed = |error: reqwest::Error| FetchError::Failed(runtime::error::chain(&error.without_url()));
        if let Ok(url) = Url::parse(url) {
            let checked = self.options.addresses.check_url(&url);
            checked.map_err(|refused| FetchError::Failed(BaseError::Refused(refused).to_string()))?;
        }
        let get = async {
            let mut response = self.client.get(url).send().await.map_err(failed)?;
            if !response.status().is_success() {
                return Err(FetchError::Status(response.status().as_u16()));
            }
            net::read_body(&mut response, limit).await.map_err(|error| match error {
                BodyError::Connection(error) => failed(error),
                BodyError::TooLarge(_) => FetchError::Failed(format!("the file has more than {limit} bytes")),
            })
        };
        let got = self.runtime.block_on(deadline.bound(Duration::MAX, get));
        got.unwrap_or_else(|_| Err(build_is_over()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
        thread,
    };

    use tokio::sync::mpsc;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// Answers each connection with one text, and tells where it is.
    fn server(answer: &str) -> String {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let (address, answer) = (listener.local_addr().unwrap(), answer.to_owned());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        format!("http://{address}")
    }

    fn redirect(to: &str) -> String {
        server(&format!(
            "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        ))
    }

    fn ok() -> String {
        server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
    }

    fn options(denied: &[&str], redirects: Redirects) -> BaseOptions {
        let denied = denied.iter().map(|text| text.parse().unwrap()).collect();
        let addresses = AddressPolicy { allow_link_local: false, denied };
        BaseOptions {
            pack_bytes: 1 << 20,
            memory: git::Memory::new(64 << 20),
            addresses,
            redirects,
            timeout: HOUR,
        }
    }

    /// What a fetch of a file says.
    async fn get(url: String, options: BaseOptions) -> Result<Vec<u8>, String> {
        let bases = RemoteBases::new(options).unwrap();
        let asked = tokio::task::spawn_blocking(move || bases.http(&url, 100, &Deadline::new(HOUR)));
        asked.await.unwrap().map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn remote_bases_follow_redirects_within_an_origin_or_as_told() {
        let other = redirect(&ok());
        let error = get(other.clone(), options(&[], Redirects::SameOrigin)).await.unwrap_err();
        assert!(
            error.ends_with("a redirect to another origin is not followed (--remote-bases-redirects)"),
            "{error}"
        );
        assert_eq!(get(other, options(&[], Redirects::AnyHost)).await, Ok(b"hi".to_vec()));
        let error = get(redirect("/again"), options(&[], Redirects::SameOrigin)).await.unwrap_err();
        assert!(error.ends_with("more than 10 redirects"), "{error}");
    }

    /// Answers its one connection with a text and falls silent. Tells where it is, of its answer, and of the end of the connection.
    fn silent(answer: &'static str) -> (String, mpsc::UnboundedReceiver<()>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let (address, (tell, told)) = (listener.local_addr().unwrap(), mpsc::unbounded_channel());
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            stream.write_all(answer.as_bytes()).unwrap();
            tell.send(()).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
            tell.send(()).unwrap();
        });
        (format!("http://{address}"), told)
    }

    #[tokio::test]
    async fn remote_bases_are_left_when_their_build_is_given_up() {
        let file = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na: ";
        let refs = "HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\n\
                    Content-Length: 99\r\n\r\n001e# service=git-upload-pack\n";
        // What waits for the answer, or for the rest of it.
        for (answer, is_git) in [("", false), (file, false), ("", true), (refs, true)] {
            let ((url, mut told), deadline) = (silent(answer), Deadline::new(HOUR));
            let bases = RemoteBases::new(options(&[], Redirects::SameOrigin)).unwrap();
            let given_up = deadline.cancel_on_drop();
            let fetch = tokio::task::spawn_blocking(move || {
                let spec = RepoSpec::parse(&format!("{url}/o/r.git?timeout=1h")).unwrap();
                let git = || bases.git(&spec, 100, &deadline).err();
                if is_git { git() } else { bases.http(&url, 100, &deadline).err() }
            });
            let ended = async {
                told.recv().await.unwrap();
                drop(given_up);
                told.recv().await.unwrap();
                fetch.await.unwrap().unwrap().to_string()
            };
            let ended = tokio::time::timeout(Duration::from_secs(60), ended).await;
            assert!(ended.is_ok(), "it goes on: {answer:?} {is_git}");
        }
    }

    #[tokio::test]
    async fn remote_bases_are_not_on_refused_addresses() {
        let flags = "(--remote-bases-allow-link-local, --remote-bases-deny)";
        let metadata = "http://169.254.169.254/latest/meta-data/";
        let open = || options(&[], Redirects::AnyHost);
        let error = get(metadata.to_owned(), open()).await.unwrap_err();
        assert_eq!(error, format!("connections to 169.254.169.254 are not allowed {flags}"));
        let error = get(redirect(metadata), open()).await.unwrap_err();
        assert!(error.ends_with("connections to 169.254.169.254 are not allowed"), "{error}");
        let url = ok();
        assert_eq!(get(url.clone(), open()).await, Ok(b"hi".to_vec()));
        for url in [url.clone(), url.replace("127.0.0.1", "localhost")] {
            let error = get(url, options(&["loopback"], Redirects::AnyHost)).await.unwrap_err();
            assert!(error.contains("are not allowed"), "{error}");
        }
    }

    #[tokio::test]
    async fn remote_bases_of_git_are_judged_and_do_not_quote_the_server() {
        let secret = server(
            "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 6\r\nConnection: close\r\n\r\ns3cret",
        );
        let get = async |url: String, denied: &'static [&'static str]| {
            let bases = RemoteBases::new(options(denied, Redirects::SameOrigin)).unwrap();
            let spec = RepoSpec::parse(&format!("{url}/o/r.git?timeout=99999999999h&ref=v1")).unwrap();
            let asked = tokio::task::spawn_blocking(move || bases.git(&spec, 100, &Deadline::new(HOUR)));
            asked.await.unwrap().err().unwrap().to_string()
        };
        assert_eq!(get(secret.clone(), &[]).await, "authorization failed");
        let flags = "(--remote-bases-allow-link-local, --remote-bases-deny)";
        for url in ["http://169.254.169.254", "http://[fd00:ec2::254]"] {
            let host = url.trim_start_matches("http://").trim_matches(['[', ']']);
            assert_eq!(
                get(url.to_owned(), &[]).await,
                format!("connections to {host} are not allowed {flags}")
            );
        }
        let elsewhere = redirect("http://169.254.169.254/o/r.git/info/refs?service=git-upload-pack");
        assert_eq!(
            get(elsewhere, &[]).await,
            format!("connections to 169.254.169.254 are not allowed {flags}")
        );
        for url in [secret.clone(), secret.replace("127.0.0.1", "localhost")] {
            let error = get(url, &["loopback"]).await;
            assert!(error.ends_with(flags), "{error}");
        }
    }
}
