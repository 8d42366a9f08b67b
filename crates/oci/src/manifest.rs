//! Manifests and indexes (OCI image specification, `manifest.md` and `image-index.md`).

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer};

use crate::digest::Digest;
use crate::status::printable;

/// An OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// An OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Docker's image manifest, version 2, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// The layer of a Helm chart, whose tags are versions with `_` for `+`.
pub const HELM_CHART: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
/// Docker's image manifest, schema 1; not supported.
const DOCKER_SCHEMA_1: [&str; 2] = [
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
];
/// What is asked for: all of them, in go-containerregistry's order.
pub(crate) const ACCEPTED_TYPES: &str = "application/vnd.docker.distribution.manifest.v1+json,\
    application/vnd.docker.distribution.manifest.v1+prettyjws,\
    application/vnd.docker.distribution.manifest.v2+json,\
    application/vnd.oci.image.manifest.v1+json,\
    application/vnd.docker.distribution.manifest.list.v2+json,\
    application/vnd.oci.image.index.v1+json";
/// The platform that is chosen of an index, as by go-containerregistry.
const PLATFORM: (&str, &str) = ("linux", "amd64");

/// Why the bytes of a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// They are not the JSON of a manifest.
    #[error("{}", printable(&.0.to_string()))]
    Json(#[from] serde_json::Error),
    /// They are not those of a JSON object.
    #[error("not a JSON object")]
    NoObject,
    /// They are those of a kind of manifest that nobody should use any more, or of another kind than is needed.
    #[error("unsupported MediaType: {0:?}")]
    MediaType(String),
    /// They can be read both as a manifest and as an index (CVE-2021-41190).
    #[error("both layers and manifests in one manifest")]
    Ambiguous,
}

/// Why there is no layer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayerError {
    /// The manifest has none.
    #[error("no layers found in artifact")]
    None,
    /// None is of the type wanted.
    #[error("failed to find layer with media type '{0}' in artifact")]
    MediaType(String),
}

/// What a manifest says of some content (OCI image specification, `descriptor.md`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The type of the content.
    #[serde(default)]
    pub media_type: String,
    /// Of a manifest in an index: the type of the artifact that it is of, if the index tells it.
    #[serde(default)]
    pub artifact_type: Option<String>,
    /// The digest of the content.
    pub digest: Digest,
    /// Bytes of the content.
    #[serde(default)]
    pub size: u64,
    /// Where else the content can be had.
    #[serde(default, deserialize_with = "or_default")]
    pub urls: Vec<String>,
    /// What else there is to say.
    #[serde(default, deserialize_with = "annotations")]
    pub annotations: BTreeMap<String, String>,
    /// The content itself, if it is part of the manifest.
    #[serde(default, deserialize_with = "data")]
    pub data: Option<Bytes>,
    /// Of a manifest in an index: what it is for.
    #[serde(default)]
    pub platform: Option<Platform>,
}

/// Operating system and processor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Platform {
    /// For example `amd64`.
    #[serde(default)]
    pub architecture: String,
    /// For example `linux`.
    #[serde(default)]
    pub os: String,
}

/// The manifest of an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The digest of the manifest itself; of the one chosen, if the reference was to an index.
    pub digest: Digest,
    /// The type of the artifact, if the manifest tells it.
    pub artifact_type: Option<String>,
    /// The configuration, which is never fetched.
    pub config: Option<Descriptor>,
    /// The layers, in order.
    pub layers: Vec<Descriptor>,
    /// Annotations of the manifest, such as `org.opencontainers.image.revision` for the revision of the source.
    pub annotations: BTreeMap<String, String>,
}

/// What the bytes behind a reference turn out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Document {
    Manifest(Box<Manifest>),
    /// The manifests of an index.
    Index(Vec<Descriptor>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    artifact_type: Option<String>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Option<Vec<Descriptor>>,
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
    #[serde(default, deserialize_with = "annotations")]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kind {
    #[serde(default)]
    schema_version: Option<u64>,
    #[serde(default)]
    media_type: Option<String>,
}

// === impl Document ===

impl Document {
    /// Reads the content that has this digest. Whether it is a manifest or an index is decided by the content alone, since that
    /// is what the digest covers; the header `Content-Type` only tells schema 1.
    pub(crate) fn read(digest: Digest, content_type: &str, bytes: &[u8]) -> Result<Document, FormatError> {
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err(FormatError::NoObject);
        }
        let kind: Kind = serde_json::from_slice(bytes)?;
        let media_type = kind.media_type.as_deref().filter(|kind| !kind.is_empty()).unwrap_or(content_type);
        if kind.schema_version == Some(1) || DOCKER_SCHEMA_1.contains(&media_type) {
            return Err(FormatError::MediaType(printable(media_type)));
        }
        let wire: Wire = serde_json::from_slice(bytes)?;
        let is_index = match wire.media_type.as_deref().unwrap_or_default() {
            OCI_INDEX | DOCKER_LIST => true,
            OCI_MANIFEST | DOCKER_MANIFEST => false,
            _ => wire.manifests.is_some(),
        };
        match (wire.manifests, wire.layers) {
            (Some(_), Some(_)) => Err(FormatError::Ambiguous),
            (manifests, None) if is_index => Ok(Document::Index(manifests.unwrap_or_default())),
            (None, layers) if !is_index => Ok(Document::Manifest(Box::new(Manifest {
                digest,
                artifact_type: wire.artifact_type,
                config: wire.config,
                layers: layers.unwrap_or_default(),
                annotations: wire.annotations,
            }))),
            _ => Err(FormatError::Ambiguous),
        }
    }
}

/// The manifest for [`PLATFORM`]: the first one that is for it, or does not tell what it is for.
pub(crate) fn choose(manifests: &[Descriptor]) -> Result<&Descriptor, Unavailable> {
    let fits = |platform: &Platform| (platform.os.as_str(), platform.architecture.as_str()) == PLATFORM;
    manifests.iter().find(|child| child.platform.as_ref().is_none_or(fits)).ok_or(Unavailable)
}

/// No manifest of an index is for [`PLATFORM`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unavailable;

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no child with platform {}/{}", PLATFORM.0, PLATFORM.1)
    }
}

// === impl Manifest ===

impl Manifest {
    /// The first layer of this type; without a type, the first layer.
    pub fn layer(&self, media_type: Option<&str>) -> Result<&Descriptor, LayerError> {
        let first = self.layers.first().ok_or(LayerError::None)?;
        let Some(media_type) = media_type else { return Ok(first) };
        let found = self.layers.iter().find(|layer| layer.media_type == media_type);
        found.ok_or_else(|| LayerError::MediaType(media_type.to_owned()))
    }
}

// In Go, null is the same as nothing.

fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn annotations<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let pairs: Option<BTreeMap<String, Option<String>>> = Option::deserialize(deserializer)?;
    Ok(pairs.into_iter().flatten().map(|(name, value)| (name, value.unwrap_or_default())).collect())
}

fn data<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Bytes>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    let decoded = text.map(|text| STANDARD.decode(text)).transpose();
    decoded.map(|bytes| bytes.map(Bytes::from)).map_err(serde::de::Error::custom)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    const LAYER: &str = "application/vnd.cncf.flux.content.v1.tar+gzip";

    fn read(json: &str) -> Result<Document, FormatError> {
        Document::read(Digest::of(json.as_bytes()), OCI_MANIFEST, json.as_bytes())
    }

    fn descriptor(media_type: &str, more: &str) -> String {
        format!(r#"{{"mediaType":"{media_type}","digest":"{}","size":1{more}}}"#, Digest::of(b"x"))
    }

    fn manifest(json: &str) -> Manifest {
        match read(json).unwrap() {
            Document::Manifest(manifest) => *manifest,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_manifest_has_layers_and_annotations() {
        let json = format!(
            r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{},"layers":[{},{}],"annotations":
            {{"org.opencontainers.image.revision":"main@sha1:1","org.opencontainers.image.source":"https://h/r","x":null}},"unknown":[1]}}"#,
            descriptor("application/vnd.cncf.flux.config.v1+json", ""),
            descriptor("text/plain", r#","annotations":null,"urls":null,"data":"eA==""#),
            descriptor(LAYER, ""),
        );
        let manifest = manifest(&json);
        assert_eq!(manifest.annotations["org.opencontainers.image.revision"], "main@sha1:1");
        assert_eq!(manifest.annotations["org.opencontainers.image.source"], "https://h/r");
        assert_eq!(manifest.annotations["x"], "");
        assert_eq!(manifest.layer(None).unwrap().data.as_deref(), Some(&b"x"[..]));
        assert_eq!(manifest.layer(Some(LAYER)).unwrap(), &manifest.layers[1]);
        let error = manifest.layer(Some("a/b")).unwrap_err();
        assert_eq!(error.to_string(), "failed to find layer with media type 'a/b' in artifact");
    }

    #[test]
    fn a_manifest_may_have_next_to_nothing() {
        for json in ["{}", r#"{"layers":null,"annotations":null,"config":null}"#, r#"{"layers":[]}"#] {
            let error = manifest(json).layer(Some(LAYER)).unwrap_err();
            assert_eq!(error.to_string(), "no layers found in artifact", "{json}");
        }
    }

    #[test]
    fn content_tells_an_index_from_a_manifest() {
        let child = descriptor(OCI_MANIFEST, "");
        for json in [
            format!(r#"{{"manifests":[{child}]}}"#),
            format!(r#"{{"mediaType":"{OCI_INDEX}","manifests":[{child}]}}"#),
            format!(r#"{{"mediaType":"{DOCKER_LIST}","manifests":[{child}],"layers":null}}"#),
        ] {
            assert!(matches!(read(&json), Ok(Document::Index(children)) if children.len() == 1), "{json}");
        }
        for json in [
            format!(r#"{{"manifests":[{child}],"layers":[{child}]}}"#),
            format!(r#"{{"mediaType":"{OCI_INDEX}","layers":[{child}]}}"#),
            format!(r#"{{"mediaType":"{OCI_MANIFEST}","manifests":[{child}]}}"#),
        ] {
            assert!(matches!(read(&json), Err(FormatError::Ambiguous)), "{json}");
        }
    }

    #[test]
    fn schema_1_is_refused() {
        let signed = DOCKER_SCHEMA_1[1];
        let error = Document::read(Digest::of(b""), signed, br#"{"fsLayers":[]}"#).unwrap_err();
        assert_eq!(error.to_string(), format!("unsupported MediaType: {signed:?}"));
        assert!(matches!(read(r#"{"schemaVersion":1,"layers":5}"#), Err(FormatError::MediaType(_))));
    }

    #[test]
    fn broken_manifests_are_errors() {
        for json in [
            "",
            "[]",
            "null",
            "{",
            r#"{"layers":{}}"#,
            r#"{"layers":[{"digest":"sha256:1"}]}"#,
            r#"{"layers":[{"size":1}]}"#,
            &format!(r#"{{"layers":[{}]}}"#, descriptor(LAYER, "").replace(":1}", ":-1}")),
            &format!(r#"{{"layers":[{}]}}"#, descriptor(LAYER, r#","data":"%""#)),
            &"[".repeat(100_000),
            &format!(r#"{{"mediaType":"{}","mediaType":"{}"}}"#, "x".repeat(5000), "y".repeat(5000)),
        ] {
            let error = read(json).unwrap_err().to_string();
            assert!(error.len() < 1200, "{error}");
        }
    }

    #[test]
    fn of_an_index_the_first_manifest_for_linux_on_amd64_is_taken() {
        let platform = |os: &str, architecture: &str| {
            descriptor("x", &format!(r#","platform":{{"os":"{os}","architecture":"{architecture}"}}"#))
        };
        for (children, chosen) in [
            (
                vec![platform("linux", "arm64"), platform("linux", "amd64"), platform("linux", "amd64")],
                Some(1),
            ),
            (vec![platform("windows", "amd64"), descriptor("x", ""), platform("linux", "amd64")], Some(1)),
            (vec![descriptor("x", r#","platform":null"#)], Some(0)),
            (vec![platform("", ""), platform("linux", "arm64")], None),
            (vec![], None),
        ] {
            let Document::Index(index) =
                read(&format!(r#"{{"manifests":[{}]}}"#, children.join(","))).unwrap()
            else {
                panic!("not an index");
            };
            let expected = chosen.map(|chosen: usize| std::ptr::from_ref(&index[chosen]));
            assert_eq!(choose(&index).ok().map(std::ptr::from_ref), expected);
        }
        assert_eq!(Unavailable.to_string(), "no child with platform linux/amd64");
    }
}
