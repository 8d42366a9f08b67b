//! Errors. Texts that users grep for are those of Flux's Git client.

use versions::ConstraintError;

use crate::http::RedirectError;
use crate::ssh::{HostKeyError, IdentityError, MalformedLine};
use crate::{Bound, SubmoduleError, WalkError};

/// What went wrong between us and the server.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// HTTP 401.
    #[error("authentication required: {0}")]
    AuthenticationRequired(String),
    /// HTTP 403.
    #[error("authorization failed: {0}")]
    AuthorizationFailed(String),
    /// HTTP 404.
    #[error("repository not found: {0}")]
    RepositoryNotFound(String),
    /// Any other HTTP status that is not a success.
    #[error("unexpected client error: unexpected requesting \"{url}\" status code: {status}")]
    Status {
        /// The request URL, redacted.
        url: String,
        /// The HTTP status code.
        status: u16,
    },
    /// A redirect that must not be followed.
    #[error("http redirect: {0}")]
    Redirect(#[from] RedirectError),
    /// The server was not reached, or the connection broke.
    #[error("{0}")]
    Connection(String),
    /// The host may not be connected to.
    #[error(transparent)]
    Refused(#[from] net::Refused),
    /// The bearer token cannot be put into a header, for example because of a newline in it.
    #[error("invalid header field value for \"Authorization\"")]
    Credentials,
    /// CA bundle, client certificate or the address of the proxy could not be used.
    #[error(transparent)]
    Client(#[from] net::ClientError),
    /// SSH without the key or the known hosts of the Secret.
    #[error("invalid 'ssh' auth option: '{0}' is required")]
    SshOption(&'static str),
    /// The private key cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The known hosts are not well-formed.
    #[error(transparent)]
    KnownHosts(#[from] MalformedLine),
    /// The server is not the one that is known.
    #[error("ssh: handshake failed: {0}")]
    HostKey(#[from] HostKeyError),
    /// The server does not let the key in.
    #[error(
        "ssh: handshake failed: ssh: unable to authenticate, attempted methods [none publickey], no supported methods remain"
    )]
    KeyRefused,
    /// No encrypted connection came about.
    #[error("ssh: handshake failed: {0}")]
    SshHandshake(String),
    /// The proxy gives no connection.
    #[error("proxy: {0}")]
    Proxy(#[from] net::ConnectError),
    /// The deadline ran out or the operation was cancelled.
    #[error("context deadline exceeded")]
    Deadline,
    /// A limit of [`Limits`](crate::Limits) was hit.
    #[error("the server sent more than the limit of {limit} {what}")]
    Limit {
        /// The bound.
        limit: u64,
        /// What is bounded.
        what: Bound,
    },
    /// The branch or tag does not exist.
    #[error("couldn't find remote ref \"{0}\"")]
    RefNotFound(String),
    /// The repository has no refs at all.
    #[error("remote repository is empty")]
    Empty,
    /// The server does not have (or does not give) the object.
    #[error("object not found")]
    ObjectNotFound,
    /// The server does not speak the protocol, or its pack is broken.
    #[error("{0}")]
    Protocol(String),
    /// Files of the object cache could not be written.
    #[error("object cache: {0}")]
    Io(#[from] std::io::Error),
}

/// Why no checkout could be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Connecting or fetching failed.
    #[error("unable to clone '{url}': {source}")]
    Clone {
        /// The remote, redacted.
        url: String,
        /// What happened.
        #[source]
        source: TransportError,
    },
    /// Asking for refs failed.
    #[error("unable to list remote for '{url}': {source}")]
    List {
        /// The remote, redacted.
        url: String,
        /// What happened.
        #[source]
        source: TransportError,
    },
    /// The branch mode met a repository without any refs.
    #[error("git repository is empty")]
    EmptyRepository,
    /// `ref.name` is not advertised.
    #[error("unable to resolve ref '{0}' to a specific commit")]
    UnresolvedName(String),
    /// `ref.name` is not a ref name.
    #[error("ref {0} is invalid; Git refs cannot begin or end with a slash '/'")]
    InvalidName(String),
    /// `ref.semver` is not a constraint.
    #[error("semver parse error: {0}")]
    Semver(#[from] ConstraintError),
    /// No tag satisfies `ref.semver`.
    #[error("no match found for semver: {0}")]
    NoVersion(String),
    /// The commit does not exist, or not in the given branch.
    #[error("unable to resolve commit object for '{commit}': {source}")]
    Commit {
        /// The commit as written.
        commit: String,
        /// What happened.
        #[source]
        source: TransportError,
    },
    /// Both a user (from the URL or the Secret) and a bearer token are set.
    #[error("basic auth and bearer token cannot be set at the same time")]
    TwoAuths,
    /// The branch has more commits than may be searched.
    #[error("commit '{commit}' not found among the newest {limit} commits of branch '{branch}'")]
    History {
        /// The commit looked for.
        commit: String,
        /// The branch.
        branch: String,
        /// The limit.
        limit: usize,
    },
    /// A directory of a sparse checkout is not in the tree.
    #[error("sparse checkout dir '{0}' does not exist in repository: no such file or directory")]
    SparseDirectory(String),
    /// A submodule could not be had.
    #[error("submodule '{path}': {source}")]
    Submodule {
        /// Where it is in the tree of its parent.
        path: String,
        /// What happened.
        #[source]
        source: Box<Error>,
    },
    /// A submodule names no repository that could be asked.
    #[error(transparent)]
    SubmoduleUrl(#[from] SubmoduleError),
    /// The tree could not be read.
    #[error(transparent)]
    Tree(#[from] WalkError),
    /// Files of the object cache could not be read or written.
    #[error("object cache: {0}")]
    Io(#[from] std::io::Error),
}

impl Error {
    /// The limit that was hit, if it was one.
    pub fn bound(&self) -> Option<Bound> {
        match self {
            Error::Clone { source, .. } | Error::List { source, .. } | Error::Commit { source, .. } => {
                match source {
                    TransportError::Limit { what, .. } => Some(*what),
                    _ => None,
                }
            }
            Error::Submodule { source, .. } => source.bound(),
            Error::Tree(WalkError::Limit { what, .. }) => Some(*what),
            _ => None,
        }
    }
}

/// A gix error with all its causes, in one line.
pub(crate) fn chain(error: &gix::Error) -> String {
    let mut text = String::new();
    for cause in error.iter_errors() {
        let cause = cause.to_string();
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(cause.trim_end_matches(['.', '\n']));
    }
    text
}
