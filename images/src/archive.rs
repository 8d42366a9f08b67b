//! An image of one layer, as an archive of the OCI image layout.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::{Context, Result};
use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use tar::{EntryType, Header};

use crate::sha256;

/// An image to be written.
#[derive(Clone, Debug)]
pub struct Image {
    /// The name by which it is loaded, such as `ferroflux/source-controller:v0.1.0`.
    pub reference: String,
    /// `amd64` or `arm64`.
    pub architecture: &'static str,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// Labels; they are annotations of the manifest, too.
    pub labels: BTreeMap<String, String>,
    /// What is run.
    pub entrypoint: String,
    /// Files by their paths, without a leading slash.
    pub files: BTreeMap<String, File>,
}

/// A file of an image; it belongs to root.
#[derive(Clone, Debug)]
pub struct File {
    /// What is in it.
    pub content: Vec<u8>,
    /// Its permissions.
    pub mode: u32,
}

/// A written image.
#[derive(Clone, Debug)]
pub struct Written {
    /// The archive.
    pub archive: Vec<u8>,
    /// The digest of the manifest, by which the image can be pinned: `sha256:…`.
    pub digest: String,
    /// Bytes of the layer, as they are transferred.
    pub compressed: usize,
}

/// The user and group that the process runs as: nobody, as in Flux's images.
const USER: &str = "65534:65534";

impl Image {
    /// Writes the archive.
    ///
    /// # Errors
    ///
    /// If a path is too long for an archive.
    pub fn write(&self) -> Result<Written> {
        let created = timestamp(self.created)?;
        let content = layer(&self.files)?;
        let layer = compress(&content)?;
        let config = serde_json::to_vec(&json!({
            "architecture": self.architecture,
            "config": {"Entrypoint": [self.entrypoint], "Labels": self.labels, "User": USER, "WorkingDir": "/"},
            "created": created,
            "history": [{"created": created, "created_by": "make images"}],
            "os": "linux",
            "rootfs": {"diff_ids": [digest(&content)], "type": "layers"},
        }))?;
        let manifest = serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &layer)],
            "annotations": self.labels,
        }))?;
        let tag = self.reference.rsplit_once(':').map_or("latest", |(_, tag)| tag);
        let names = json!({
            // How containerd names what it imports.
            "io.containerd.image.name": qualified(&self.reference),
            "org.opencontainers.image.ref.name": tag,
        });
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [{
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": digest(&manifest),
                "size": manifest.len(),
                "annotations": names,
                "platform": {"architecture": self.architecture, "os": "linux"},
            }],
        });
        // Versions of Docker before 25 read this alone.
        let loaded = json!([{
            "Config": blob(&config),
            "Layers": [blob(&layer)],
            "RepoTags": [self.reference],
        }]);
        let mut files = BTreeMap::from([
            ("index.json".to_owned(), serde_json::to_vec(&index)?),
            ("manifest.json".to_owned(), serde_json::to_vec(&loaded)?),
            ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
        ]);
        let (digest, compressed) = (digest(&manifest), layer.len());
        files.extend([config, layer, manifest].map(|bytes| (blob(&bytes), bytes)));
        let files = files.into_iter().map(|(path, content)| (path, File { content, mode: 0o644 })).collect();
        Ok(Written { archive: self::layer(&files)?, digest, compressed })
    }
}

/// A tar archive of files and the folders that they are in, the same for the same files.
fn layer(files: &BTreeMap<String, File>) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut folders = std::collections::BTreeSet::new();
    for (path, file) in files {
        for (end, _) in path.match_indices('/') {
            let folder = path.get(..=end).unwrap_or(path);
            if folders.insert(folder) {
                append(&mut archive, folder, EntryType::Directory, 0o755, &[])?;
            }
        }
        append(&mut archive, path, EntryType::Regular, file.mode, &file.content)?;
    }
    archive.into_inner().context("write the archive")
}

fn append(
    archive: &mut tar::Builder<Vec<u8>>,
    path: &str,
    entry_type: EntryType,
    mode: u32,
    content: &[u8],
) -> Result<()> {
    let mut header = Header::new_ustar();
    header.set_entry_type(entry_type);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(content.len() as u64);
    archive.append_data(&mut header, path, content).with_context(|| format!("add {path} to the archive"))
}

fn compress(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder: GzEncoder<Vec<u8>> = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish().context("compress the layer")
}

fn timestamp(seconds: u64) -> Result<String> {
    let seconds = i64::try_from(seconds)?;
    Ok(jiff::Timestamp::from_second(seconds).context("the time of the image")?.to_string())
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", sha256(bytes))
}

fn blob(bytes: &[u8]) -> String {
    format!("blobs/sha256/{}", sha256(bytes))
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len()})
}

/// The name with the registry that is meant where none is named, which is how Kubernetes asks for it.
fn qualified(reference: &str) -> String {
    match reference.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => reference.to_owned(),
        Some(_) => format!("docker.io/{reference}"),
        None => format!("docker.io/library/{reference}"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    fn image() -> Image {
        let file = |content: &str, mode| File { content: content.into(), mode };
        Image {
            reference: "ferroflux/source-controller:v1".into(),
            architecture: "amd64",
            created: 1_700_000_000,
            labels: BTreeMap::from([("org.opencontainers.image.version".into(), "v1".into())]),
            entrypoint: "/source-controller".into(),
            files: BTreeMap::from([
                ("source-controller".into(), file("binary", 0o755)),
                ("etc/ssl/certs/ca-certificates.crt".into(), file("certificates", 0o644)),
            ]),
        }
    }

    fn unpack(archive: &[u8]) -> BTreeMap<String, (u32, Vec<u8>)> {
        let mut archive = tar::Archive::new(archive);
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let header = entry.header();
            assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()), (0, 0, 0));
            let (path, mode) = (entry.path().unwrap().display().to_string(), header.mode().unwrap());
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (path, (mode, content))
        });
        entries.collect()
    }

    #[test]
    fn every_descriptor_leads_to_a_blob_of_its_size_and_digest() {
        let written = image().write().unwrap();
        let files = unpack(&written.archive);
        let json = |path: &str| serde_json::from_slice::<Value>(&files[path].1).unwrap();
        let follow = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().unwrap();
            let content = &files[&format!("blobs/{}", digest.replace(':', "/"))].1;
            assert_eq!(digest, super::digest(content));
            assert_eq!(descriptor["size"], content.len());
            content.clone()
        };
        let index = json("index.json");
        assert_eq!(
            index["manifests"][0]["annotations"]["io.containerd.image.name"],
            "docker.io/ferroflux/source-controller:v1"
        );
        assert_eq!(index["manifests"][0]["digest"], written.digest);
        let manifest: Value = serde_json::from_slice(&follow(&index["manifests"][0])).unwrap();
        let config: Value = serde_json::from_slice(&follow(&manifest["config"])).unwrap();
        assert_eq!(config["config"]["User"], USER);
        assert_eq!(config["created"], "2023-11-14T22:13:20Z");
        let mut content = Vec::new();
        GzDecoder::new(follow(&manifest["layers"][0]).as_slice()).read_to_end(&mut content).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], super::digest(&content));
        let files = unpack(&content);
        let modes: Vec<_> = files.iter().map(|(path, (mode, _))| (path.as_str(), *mode)).collect();
        assert_eq!(
            modes,
            [
                ("etc/", 0o755),
                ("etc/ssl/", 0o755),
                ("etc/ssl/certs/", 0o755),
                ("etc/ssl/certs/ca-certificates.crt", 0o644),
                ("source-controller", 0o755),
            ]
        );
    }

    #[test]
    fn the_same_inputs_give_the_same_bytes_and_others_another_digest() {
        let written = image().write().unwrap();
        assert_eq!(written.archive, image().write().unwrap().archive);
        let other = Image { created: 1_700_000_001, ..image() };
        assert_ne!(written.digest, other.write().unwrap().digest);
    }

    #[test]
    fn names_are_qualified_as_kubernetes_does() {
        assert_eq!(qualified("pause:1"), "docker.io/library/pause:1");
        assert_eq!(qualified("localhost/a/b:1"), "localhost/a/b:1");
        assert_eq!(qualified("ghcr.io/a/b:1"), "ghcr.io/a/b:1");
        assert_eq!(qualified("registry:5000/b:1"), "registry:5000/b:1");
    }
}
