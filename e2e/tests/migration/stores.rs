//! Sources beside Git and registries, a bucket and an index of charts, and a Secret that only SOPS can read.

use std::path::Path;

use anyhow::Result;
use e2e::file_server::FileServer;
use e2e::helm::helm;
use e2e::object_store::BUCKET;
use e2e::process::temp_folder;
use e2e::real_stores::VersityGateway;
use e2e::s3_server::{ACCESS_KEY, SECRET_KEY};
use e2e::scenario::Scenario;
use e2e::sops::Key;
use e2e::testkit::config_map;
use serde_json::json;
use tempfile::TempDir;

use crate::releases::{chart, map, version};

/// The servers, and the key that the Secret is encrypted for.
pub struct Stores {
    bucket: VersityGateway,
    folder: TempDir,
    index: FileServer,
    key: Key,
}

impl Stores {
    /// Fills the servers, and writes the Secret into the repository of the test, whose commit is somebody else's.
    pub async fn start(test: &Scenario) -> Result<Self> {
        let folder = temp_folder("charts")?;
        let index = FileServer::start(folder.path(), None).await?;
        let this = Self { bucket: VersityGateway::start().await?, folder, index, key: Key::age() };
        this.change(test, "1").await?;
        Ok(this)
    }

    /// Another value in all of them; that of the Secret is to be committed.
    pub async fn change(&self, test: &Scenario, value: &str) -> Result<()> {
        self.bucket.put("map.yaml", &config_map("from-bucket", value)).await?;
        package(self.folder.path(), &version(value))?;
        test.repo.write("secrets/secret.yaml", &self.key.manifest("encrypted", value)?)?;
        Ok(())
    }

    /// Applies the objects that read them.
    pub async fn plant(&self, test: &Scenario) -> Result<()> {
        let keys = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bucket"},
            "stringData": {"accesskey": ACCESS_KEY, "secretkey": SECRET_KEY},
        });
        for secret in [keys, self.key.secret("age")] {
            test.apply(&secret.to_string()).await?;
        }
        let objects = OBJECTS.replace("BUCKET", BUCKET).replace("ENDPOINT", self.bucket.address());
        test.apply(&objects.replace("INDEX", &self.index.url()).replace("NAMESPACE", &test.namespace)).await
    }

    /// Waits until what was made of them has this value.
    pub async fn changed(&self, test: &Scenario, value: &str) -> Result<()> {
        test.until("ConfigMap/from-bucket", "has the new value", |map| map["data"]["value"] == value).await?;
        let encoded = base64(value);
        test.until("Secret/encrypted", "has the new value", |secret| secret["data"]["value"] == *encoded)
            .await
            .map(drop)
    }
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// Has Helm package the chart of `from-index`, and list it beside its former versions.
fn package(folder: &Path, version: &str) -> Result<()> {
    let source = folder.join("source/packed");
    std::fs::create_dir_all(source.join("templates"))?;
    std::fs::write(source.join("Chart.yaml"), chart("packed", version))?;
    std::fs::write(source.join("values.yaml"), "color: none\npassword: none\n")?;
    std::fs::write(source.join("templates/map.yaml"), map(version))?;
    helm(folder, &["package", "source/packed"])?;
    helm(folder, &["repo", "index", "."]).map(drop)
}

const OBJECTS: &str = "\
apiVersion: source.toolkit.fluxcd.io/v1
kind: Bucket
metadata: {name: bucket}
spec: {interval: 1h, endpoint: \"ENDPOINT\", bucketName: BUCKET, insecure: true, secretRef: {name: bucket}}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: HelmRepository
metadata: {name: index}
spec: {interval: 1h, url: \"INDEX\"}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: from-bucket}
spec:
  interval: 1h
  prune: true
  targetNamespace: NAMESPACE
  sourceRef: {kind: Bucket, name: bucket}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: secrets}
spec:
  interval: 1h
  path: ./secrets
  prune: true
  targetNamespace: NAMESPACE
  sourceRef: {kind: GitRepository, name: app}
  decryption: {provider: sops, secretRef: {name: age}}
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: from-index}
spec:
  interval: 1h
  chart: {spec: {chart: packed, version: 1.x, interval: 1h, sourceRef: {kind: HelmRepository, name: index}}}
";
