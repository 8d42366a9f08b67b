//! Attacks by servers, and on ours.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use e2e::silent_server::SilentServer;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;

use crate::trial::Trial;

/// Sources of the attacker, and the ports that they name.
const SOURCES: usize = 600;
const PORTS: usize = 40;
/// Connections of one address.
const CONNECTIONS: usize = 500;

#[tokio::test(flavor = "multi_thread")]
async fn sources_at_servers_that_say_nothing_leave_fetches_to_others() -> Result<()> {
    let trial = Trial::new("silent").await?;
    let mut servers = Vec::new();
    for _ in 0..PORTS {
        servers.push(SilentServer::start("127.0.0.1").await?);
    }
    trial
        .run(async |trial| {
            for n in 0..SOURCES {
                let spec = json!({"interval": "1h", "timeout": "20m", "url": servers[n % PORTS].url, "ref": {"branch": "main"}});
                trial.apply("GitRepository", &format!("silent-{n}"), spec).await?;
            }
            Ok(())
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_never_used_leave_places_to_others() -> Result<()> {
    let trial = Trial::new("connections").await?;
    let artifact = trial.test.get("GitRepository/app").await?;
    let url =
        artifact.pointer("/status/artifact/url").and_then(serde_json::Value::as_str).context("no URL")?;
    let server: SocketAddr = url.split('/').nth(2).context("no host")?.parse()?;
    trial
        .run(async |_| {
            let mut held = Vec::new();
            for _ in 0..CONNECTIONS {
                let socket = TcpSocket::new_v4()?;
                socket.bind("127.0.0.9:0".parse()?)?;
                let mut stream = socket.connect(server).await?;
                // Those beyond the limit are closed.
                let _ = stream.write_all(b"GET /").await;
                held.push(stream);
            }
            Ok(held)
        })
        .await
}
