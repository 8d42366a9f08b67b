//! Processes of object stores that others wrote, on the loopback address.

use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::object_store::{BUCKET, encode, gzip, hex, hmac};
use crate::process::{Owner, Process, free_port, temp_folder};
use crate::s3_server::{ACCESS_KEY, SECRET_KEY};
use crate::wait::LIMIT;

/// The region of the bucket at versitygw.
const S3_REGION: &str = "us-east-1";

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
                Err(error) if begin.elapsed() > LIMIT => return Err(error).context("fake-gcs-server"),
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
        self.upload(bucket, key, content.to_owned().into(), "").await
    }

    /// Stores an object packed, as its header will say.
    ///
    /// # Errors
    /// When the store refuses it.
    pub async fn put_packed(&self, bucket: &str, key: &str, content: &[u8]) -> Result<()> {
        self.upload(bucket, key, gzip(content), "&contentEncoding=gzip").await
    }

    async fn upload(&self, bucket: &str, key: &str, content: Vec<u8>, more: &str) -> Result<()> {
        let url = format!(
            "http://{}/upload/storage/v1/b/{bucket}/o?uploadType=media&name={}{more}",
            self.address,
            encode(key)
        );
        let answer = self.client.post(url).body(content).send().await?;
        ensure!(answer.status().is_success(), "{key}: {}", answer.text().await?);
        Ok(())
    }
}

/// versitygw, which speaks S3 over a folder; ends when dropped.
#[derive(Debug)]
pub struct VersityGateway {
    _process: Process,
    _folder: TempDir,
    address: String,
    client: reqwest::Client,
}

impl VersityGateway {
    /// Starts one that lets [`ACCESS_KEY`] with [`SECRET_KEY`] in and has the bucket [`BUCKET`].
    ///
    /// # Errors
    /// When it cannot be built, or does not answer.
    pub async fn start() -> Result<Self> {
        crate::init_tls();
        let program = tokio::task::spawn_blocking(toolchain::versitygw).await??;
        let (folder, port) = (temp_folder("s3")?, free_port()?);
        let address = format!("127.0.0.1:{port}");
        let path = |name: &str| -> Result<String> {
            let path = folder.path().join(name);
            std::fs::create_dir(&path)?;
            Ok(path.display().to_string())
        };
        let mut command = Command::new(program);
        command.args([
            "--access", ACCESS_KEY, "--secret", SECRET_KEY, "--region", S3_REGION, "--port", &address,
        ]);
        // Not every file system has attributes to keep etags in.
        command.args(["posix", "--sidecar", &path("attributes")?, &path("objects")?]);
        let process = Process::start("versitygw", &mut command, &folder.path().join("log"), Owner::Harness)?;
        let client = reqwest::Client::builder().no_proxy().build()?;
        let store = Self { _process: process, _folder: folder, address, client };
        let begin = Instant::now();
        loop {
            match store.send(&format!("/{BUCKET}"), "").await {
                Ok(()) => return Ok(store),
                Err(error) if begin.elapsed() > LIMIT => return Err(error).context("versitygw"),
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
    pub async fn put(&self, key: &str, content: &str) -> Result<()> {
        let key: Vec<String> = key.split('/').map(encode).collect();
        self.send(&format!("/{BUCKET}/{}", key.join("/")), content).await
    }

    /// A PUT, signed as "Signature Calculations for the Authorization Header" says.
    async fn send(&self, path: &str, content: &str) -> Result<()> {
        let (time, hash) = (time(SystemTime::now())?, hex(&Sha256::digest(content)));
        let names = "host;x-amz-content-sha256;x-amz-date";
        let request = format!(
            "PUT\n{path}\n\nhost:{}\nx-amz-content-sha256:{hash}\nx-amz-date:{time}\n\n{names}\n{hash}",
            self.address
        );
        let date = time.get(..8).context("no date")?;
        let scope = format!("{date}/{S3_REGION}/s3/aws4_request");
        let message = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(request)));
        let key = [date, S3_REGION, "s3", "aws4_request"]
            .iter()
            .fold(format!("AWS4{SECRET_KEY}").into_bytes(), |key, part| hmac(&key, part.as_bytes()));
        let signature = hex(&hmac(&key, message.as_bytes()));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{scope}, SignedHeaders={names}, Signature={signature}"
        );
        let request = self.client.put(format!("http://{}{path}", self.address)).header("x-amz-date", time);
        let request = request.header("x-amz-content-sha256", hash).header("authorization", authorization);
        let answer = request.body(content.to_owned()).send().await?;
        ensure!(answer.status().is_success(), "{path}: {}", answer.text().await?);
        Ok(())
    }
}

/// A time as `20261129T205300Z`.
fn time(now: SystemTime) -> Result<String> {
    let seconds = now.duration_since(UNIX_EPOCH)?.as_secs();
    let (mut days, mut year) = (seconds / 86400, 1970);
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in lengths {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    Ok(format!("{year}{month:02}{:02}T{hour:02}{minute:02}{second:02}Z", days + 1))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        // date -u -d @1709210096 +%Y%m%dT%H%M%SZ
        for (seconds, text) in [
            (0, "19700101T000000Z"),
            (1_709_210_096, "20240229T123456Z"),
            (1_735_689_599, "20241231T235959Z"),
            (1_735_689_600, "20250101T000000Z"),
        ] {
            assert_eq!(time(UNIX_EPOCH + Duration::from_secs(seconds)).unwrap(), text);
        }
    }
}
