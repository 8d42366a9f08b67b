//! Processes of object stores that others wrote, on the loopback address.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tempfile::TempDir;

use crate::object_store::{BUCKET, encode};
use crate::process::{Owner, Process, free_port, temp_folder};

/// How long a store may take to answer after its start.
const START_LIMIT: Duration = Duration::from_secs(30);

/// fake-gcs-server, which speaks Google's JSON API and asks nobody who he is; ends when dropped.
#[derive(Debug)]
pub struct FakeGcs {
    _process: Process,
    _folder: TempDir,
    address: String,
    client: reqwest::Client,
}

impl FakeGcs {
    /// Starts one that has the bucket [`BUCKET`].
    ///
    /// # Errors
    /// When it cannot be built, or does not answer.
    pub async fn start() -> Result<Self> {
        crate::init_tls();
        let program = tokio::task::spawn_blocking(toolchain::fake_gcs_server).await??;
        let (folder, port) = (temp_folder("gcs")?, free_port()?);
        let address = format!("127.0.0.1:{port}");
        let mut command = Command::new(program);
        command.args(["-scheme=http", "-backend=memory", "-host=127.0.0.1", "-data="]);
        command.arg(format!("-port={port}")).arg(format!("-public-host={address}"));
        let process =
            Process::start("fake-gcs-server", &mut command, &folder.path().join("log"), Owner::Harness)?;
        let client = reqwest::Client::builder().no_proxy().build()?;
        let store = Self { _process: process, _folder: folder, address, client };
        let begin = Instant::now();
        let bucket = json!({"name": BUCKET});
        loop {
            let sent = store
                .client
                .post(format!("http://{}/storage/v1/b", store.address))
                .json(&bucket)
                .send()
                .await;
            match sent {
                Ok(answer) => {
                    ensure!(answer.status().is_success(), "no bucket: {}", answer.text().await?);
                    return Ok(store);
                }
                Err(error) if begin.elapsed() > START_LIMIT => return Err(error).context("fake-gcs-server"),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Stores an object.
    ///
    /// # Errors
    /// When the store refuses it.
    pub async fn put(&self, bucket: &str, key: &str, content: &str) -> Result<()> {
        let url = format!(
            "http://{}/upload/storage/v1/b/{bucket}/o?uploadType=media&name={}",
            self.address,
            encode(key)
        );
        let answer = self.client.post(url).body(content.to_owned()).send().await?;
        ensure!(answer.status().is_success(), "{key}: {}", answer.text().await?);
        Ok(())
    }
}
