//! The file server: plain HTTP, GET and HEAD, only whole files below one root. The root itself is answered with 200,
//! because Flux's readiness probe asks for it; other directories are not there.
//!
//! A path is decoded once, split, and refused unless every component is a plain name; then links are resolved and
//! the result must still lie below the root. Ranges and conditional requests are tower-http's.

mod files;

use std::{future::Future, io, path::Path, sync::Arc};

use net::ServerOptions;
use tokio::net::TcpListener;

use self::files::Files;
use crate::token::TokenFile;

/// Serves the files below `root` until `shutdown` resolves and open requests are done or their grace has passed. With a
/// `token` they are for those alone who show it.
///
/// # Errors
/// When `root` does not exist.
pub async fn serve(
    listener: TcpListener,
    root: &Path,
    token: Option<TokenFile>,
    options: ServerOptions,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let files = Arc::new(Files::new(tokio::fs::canonicalize(root).await?, token));
    let answer = move |request| {
        let files = files.clone();
        async move { files.answer(request).await }
    };
    net::serve(listener, options, answer, shutdown).await;
    Ok(())
}
