//! A server that takes connections and never answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::wait::{self, Not};

/// A server that accepts and says nothing, at a loopback address of its own.
#[derive(Debug)]
pub struct SilentServer {
    /// Of a repository on it.
    pub url: String,
    open: Arc<AtomicUsize>,
    serving: tokio::task::JoinHandle<()>,
}

impl SilentServer {
    /// Listens at a free port of `host`.
    pub async fn start(host: &str) -> Result<SilentServer> {
        let listener = TcpListener::bind((host, 0)).await?;
        let (url, open) = (format!("http://{}/app", listener.local_addr()?), Arc::new(AtomicUsize::new(0)));
        let counted = open.clone();
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let counted = counted.clone();
                tokio::spawn(async move {
                    let _ = stream.read_to_end(&mut Vec::new()).await;
                    counted.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Ok(SilentServer { url, open, serving })
    }
}

impl Drop for SilentServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Connections that are open at all of them.
pub fn open(servers: &[SilentServer]) -> usize {
    servers.iter().map(|server| server.open.load(Ordering::SeqCst)).sum()
}

/// Waits until so many connections are open.
pub async fn until_open(servers: &[SilentServer], wanted: usize) -> Result<()> {
    wait::until(wait::LIMIT, async || match open(servers) {
        now if now == wanted => Ok(()),
        now => Err(Not::Yet(format!("{now} open connections, not {wanted}"))),
    })
    .await
}
