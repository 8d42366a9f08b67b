//! Artifacts as those who download them see them.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::objects::Look;
use crate::process::{output, temp_folder};

/// How long a server may take, which a test may have stopped.
const PATIENCE: Duration = Duration::from_secs(10);

/// The bytes of the artifact of a source, which have to be those that the status tells of, and those behind the link to the
/// current artifact for kinds that have one.
pub async fn download(source: &Value) -> Result<Vec<u8>> {
    let bytes = get(source.text("/status/artifact/url")).await?;
    let (told, digest) = (source.text("/status/artifact/digest"), digest(&bytes));
    ensure!(digest == told, "the artifact has {digest}, the status {told}");
    let link = source.text("/status/url");
    let has_link = !matches!(source.text("/kind"), "GitRepository" | "ExternalArtifact");
    ensure!(has_link != link.is_empty(), "status.url is {link:?}: {source}");
    ensure!(!has_link || get(link).await? == bytes, "something else is behind {link}: {source}");
    Ok(bytes)
}

async fn get(url: &str) -> Result<Vec<u8>> {
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
    Ok(client.get(url).send().await?.error_for_status()?.bytes().await?.to_vec())
}

/// The digest of some bytes as a status has it.
pub fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// Downloads the artifact of a source, and gives one of its files.
pub async fn artifact_file(source: &Value, path: &str) -> Result<String> {
    let folder = temp_folder("artifact")?;
    let file = folder.path().join("artifact.tar.gz");
    fs::write(&file, download(source).await?)?;
    output(Command::new("tar").arg("-xzOf").arg(&file).arg(path))
}

/// Downloads the artifact of a source, checks it against its status, and lists its entries.
pub async fn artifact_entries(source: &Value) -> Result<Vec<String>> {
    let bytes = download(source).await?;
    ensure!(
        source.number("/status/artifact/size") == i64::try_from(bytes.len())?,
        "size {} of {source}",
        bytes.len()
    );
    let folder = temp_folder("artifact")?;
    let file = folder.path().join("artifact.tar.gz");
    fs::write(&file, &bytes)?;
    let entries = output(Command::new("tar").arg("-tzf").arg(&file))?;
    Ok(entries.lines().map(|l| l.trim_end_matches('/').to_owned()).collect())
}
