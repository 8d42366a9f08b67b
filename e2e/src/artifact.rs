//! Artifacts as those who download them see them.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::objects::Look;
use crate::process::temp_folder;

/// Downloads the artifact of a source, checks it against its status, and lists its entries.
pub async fn artifact_entries(source: &Value) -> Result<Vec<String>> {
    let status = |field: &str| source.text(&format!("/status/artifact/{field}"));
    let bytes = reqwest::get(status("url")).await?.error_for_status()?.bytes().await?;
    let digest: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
    ensure!(status("digest") == format!("sha256:{digest}"), "digest {digest} of {source}");
    ensure!(
        source.number("/status/artifact/size") == i64::try_from(bytes.len())?,
        "size {} of {source}",
        bytes.len()
    );
    let folder = temp_folder("artifact")?;
    let file = folder.path().join("artifact.tar.gz");
    fs::write(&file, &bytes)?;
    let output = Command::new("tar").arg("-tzf").arg(&file).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.lines().map(|l| l.trim_end_matches('/').to_owned()).collect())
}
