//! Artifacts as those who download them see them.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::objects::Look;
use crate::process::{output, temp_folder};

/// The bytes of the artifact of a source, which have to be those that the status tells of.
pub async fn download(source: &Value) -> Result<Vec<u8>> {
    let answer = reqwest::get(source.text("/status/artifact/url")).await?.error_for_status()?;
    let bytes = answer.bytes().await?.to_vec();
    let (told, digest) = (source.text("/status/artifact/digest"), digest(&bytes));
    ensure!(digest == told, "the artifact has {digest}, the status {told}");
    Ok(bytes)
}

/// The digest of some bytes as a status has it.
pub fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
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
