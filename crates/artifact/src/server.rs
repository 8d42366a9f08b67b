//! The file server: plain HTTP, GET and HEAD, only regular files below one root.

use std::{future::Future, path::PathBuf, time::Duration};

use tokio::net::TcpListener;

/// How the server behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether a directory is answered with a list of its entries (upstream does) instead of 404. The root itself is
    /// always answered with 200, because the readiness probe asks for it.
    pub listing: bool,
    /// Connections served at once; further ones wait.
    pub max_connections: usize,
    /// How long a client may take to send a request's headers, and may stay idle between requests.
    pub header_timeout: Duration,
    /// How long a client may take no bytes of an answer.
    pub write_timeout: Duration,
    /// How long open requests may go on after shutdown was asked for.
    pub shutdown_grace: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listing: false,
            max_connections: 1024,
            header_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(60),
            shutdown_grace: Duration::from_secs(5),
        }
    }
}

/// Serves the files below `root` until `shutdown` resolves and open requests are done or their grace has passed.
pub async fn serve(
    _listener: TcpListener,
    _root: PathBuf,
    _options: Options,
    _shutdown: impl Future<Output = ()> + Send,
) {
    unimplemented!()
}
