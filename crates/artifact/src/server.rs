//! The file server: plain HTTP, GET and HEAD, only whole files below one root. The root itself is answered with 200,
//! because the readiness probe asks for it; other directories are not there.
//!
//! A path is decoded once, split, and refused unless every component is a plain name; then links are resolved and
//! the result must still lie below the root. Ranges and conditional requests are tower-http's.

mod files;

use std::{convert::Infallible, future::Future, io, path::Path, pin::pin, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_io_timeout::TimeoutStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::files::Files;

/// How long to wait after a failed accept, which means that the process is out of file handles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How the server behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Connections served at once; further ones wait.
    pub max_connections: usize,
    /// How long a client may take to send a request's headers, and may stay idle between requests.
    pub header_timeout: Duration,
    /// Bytes of a request's headers.
    pub max_header_bytes: usize,
    /// How long a client may take no bytes of an answer.
    pub write_timeout: Duration,
    /// How long open requests may go on after shutdown was asked for.
    pub shutdown_grace: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            header_timeout: Duration::from_secs(30),
            max_header_bytes: 16 * 1024,
            write_timeout: Duration::from_secs(60),
            shutdown_grace: Duration::from_secs(5),
        }
    }
}

/// Serves the files below `root` until `shutdown` resolves and open requests are done or their grace has passed.
///
/// Errors: `root` does not exist.
pub async fn serve(
    listener: TcpListener,
    root: &Path,
    options: Options,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let files = Arc::new(Files::new(tokio::fs::canonicalize(root).await?));
    let slots = Arc::new(Semaphore::new(options.max_connections));
    let connections = TaskTracker::new();
    let drain = CancellationToken::new();
    let abort = CancellationToken::new();
    // Ends the connections also when this future is dropped.
    let _abort = abort.clone().drop_guard();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        let (stream, slot) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let connection = connection(stream, Arc::clone(&files), options.clone(), drain.clone());
        let abort = abort.clone();
        connections.spawn(async move {
            abort.run_until_cancelled(connection).await;
            drop(slot);
        });
    }
    drop(listener);
    drain.cancel();
    connections.close();
    if timeout(options.shutdown_grace, connections.wait()).await.is_err() {
        tracing::warn!(open = connections.len(), "closing connections that are still in use");
    }
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, slot))
}

async fn connection(stream: TcpStream, files: Arc<Files>, options: Options, drain: CancellationToken) {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(options.write_timeout));
    let service = service_fn(move |request| {
        let files = Arc::clone(&files);
        async move { Ok::<_, Infallible>(files.answer(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
        .max_buf_size(options.max_header_bytes)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    let mut connection = pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = drain.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "connection ended early");
    }
}
