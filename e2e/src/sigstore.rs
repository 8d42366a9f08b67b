//! Signatures without keys, by authorities and logs of the test's own. A Go program makes them: `crates/cosign/tests/data/keyless.go`.
#![allow(clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use oci::{Digest, OCI_MANIFEST};
use serde_json::{Value, json};
use toolchain::command::output;

use crate::registry::{Pusher, descriptor};

/// The name in the certificate of the author.
pub const SUBJECT: &str = "https://ci.example.com/org/app/release@refs/heads/main";
/// Who vouches for it.
pub const ISSUER: &str = "https://token.ci.example.com";

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// Signatures of some artifacts, and what they are judged by.
#[derive(Debug)]
pub struct Signed(Value);

impl Signed {
    /// Signs each digest in both forms.
    pub fn new(digests: &[&Digest]) -> Result<Signed> {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/cosign/tests/data/keyless.go");
        let mut command = Command::new(toolchain::go()?);
        let digests = digests.iter().map(|digest| digest.hex());
        let json = output(command.arg("run").arg(program).args(digests))?;
        Ok(Signed(serde_json::from_str(&json)?))
    }

    /// By what the signatures are good.
    pub fn trusted_root(&self) -> String {
        self.0["trustedRoot"].to_string()
    }

    /// Another trusted root, by which they are not.
    pub fn foreign_trusted_root(&self) -> String {
        self.0["foreignTrustedRoot"].to_string()
    }

    /// Attaches a bundle to an artifact of a registry that lists referrers.
    pub async fn attach_bundle(&self, pusher: &Pusher, digest: &Digest) -> Result<()> {
        let bundle = self.0["bundles"][digest.hex()].to_string();
        anyhow::ensure!(bundle != "null", "{digest} is not signed");
        pusher.blob(b"{}").await;
        pusher.blob(bundle.as_bytes()).await;
        let url = format!("{}/manifests/{digest}", pusher.url);
        let manifest = pusher.client.get(url).header("Accept", OCI_MANIFEST).send().await?.bytes().await?;
        let manifest = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": BUNDLE, "config": descriptor(EMPTY, b"{}"),
            "layers": [descriptor(BUNDLE, bundle.as_bytes())], "subject": descriptor(OCI_MANIFEST, &manifest),
        })
        .to_string();
        let name = Digest::of(manifest.as_bytes()).to_string();
        pusher.manifest(&name, OCI_MANIFEST, manifest.as_bytes()).await;
        Ok(())
    }

    /// Pushes the tag with the signature of an artifact.
    pub async fn push_tag(&self, pusher: &Pusher, digest: &Digest) -> Result<()> {
        let signed = &self.0["layers"][digest.hex()];
        let payload = signed["payload"].as_str().context("the artifact is not signed")?;
        let annotations: BTreeMap<String, String> = serde_json::from_value(signed["annotations"].clone())?;
        pusher.blob(b"{}").await;
        pusher.blob(payload.as_bytes()).await;
        let mut layer = descriptor(SIMPLE_SIGNING, payload.as_bytes());
        layer["annotations"] = json!(annotations);
        let manifest = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(CONFIG, b"{}"), "layers": [layer],
        })
        .to_string();
        pusher.manifest(&format!("sha256-{}.sig", digest.hex()), OCI_MANIFEST, manifest.as_bytes()).await;
        Ok(())
    }
}
