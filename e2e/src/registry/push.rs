//! Content, and how it gets into a registry: the pushing half of the protocol, by hand.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use oci::{Digest, OCI_INDEX, OCI_MANIFEST};
use reqwest::{Client, StatusCode};

/// Media type of the layers that `flux push artifact` makes.
pub const LAYER: &str = "application/vnd.cncf.flux.content.v1.tar+gzip";
/// Media type of their config.
pub const CONFIG: &str = "application/vnd.cncf.flux.config.v1+json";

/// The descriptor of some content.
pub fn descriptor(media_type: &str, content: &[u8]) -> serde_json::Value {
    serde_json::json!({"mediaType": media_type, "digest": Digest::of(content).to_string(), "size": content.len()})
}

/// What `flux push artifact` writes: a manifest with these layers.
pub fn manifest(layers: &[(&str, &[u8])]) -> Vec<u8> {
    let layers: Vec<_> = layers.iter().map(|(media_type, content)| descriptor(media_type, content)).collect();
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(CONFIG, b"{}"),
        "layers": layers,
        "annotations": {
            "org.opencontainers.image.created": "1970-01-01T00:00:00Z",
            "org.opencontainers.image.revision": "main@sha1:0123",
            "org.opencontainers.image.source": "https://example.com/repo",
        },
    });
    serde_json::to_vec(&manifest).unwrap()
}

/// An index of manifests, each with operating system and processor.
pub fn index(manifests: &[(&str, &str, &[u8])]) -> Vec<u8> {
    let manifests: Vec<_> = manifests
        .iter()
        .map(|(os, architecture, content)| {
            let mut child = descriptor(OCI_MANIFEST, content);
            child["platform"] = serde_json::json!({"os": os, "architecture": architecture});
            child
        })
        .collect();
    let index = serde_json::json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests});
    serde_json::to_vec(&index).unwrap()
}

/// Pushes to one repository.
#[derive(Debug)]
pub struct Pusher {
    /// Trusts the registry.
    pub client: Client,
    /// `http://host:port/v2/name`
    pub url: String,
    /// The header `Authorization`.
    pub authorization: Option<String>,
}

impl Pusher {
    fn request(&self, method: &str, url: &str) -> reqwest::RequestBuilder {
        let request = self.client.request(method.parse().unwrap(), url);
        match &self.authorization {
            Some(authorization) => request.header("Authorization", authorization),
            None => request,
        }
    }

    /// Pushes a blob.
    pub async fn blob(&self, content: &[u8]) {
        let begun = self.request("POST", &format!("{}/blobs/uploads/", self.url)).send().await.unwrap();
        assert_eq!(begun.status(), StatusCode::ACCEPTED);
        let location = begun.headers()["location"].to_str().unwrap();
        let mut target = begun.url().join(location).unwrap();
        target.query_pairs_mut().append_pair("digest", &Digest::of(content).to_string());
        let put = self.request("PUT", target.as_str()).body(content.to_vec()).send().await.unwrap();
        assert_eq!(put.status(), StatusCode::CREATED);
    }

    /// Pushes a manifest or index under a tag or its digest.
    pub async fn manifest(&self, reference: &str, media_type: &str, content: &[u8]) -> Digest {
        let url = format!("{}/manifests/{reference}", self.url);
        let request = self.request("PUT", &url).header("Content-Type", media_type).body(content.to_vec());
        let put = request.send().await.unwrap();
        let status = put.status();
        assert_eq!(status, StatusCode::CREATED, "{}", put.text().await.unwrap());
        Digest::of(content)
    }

    /// A manifest that was pushed.
    pub async fn get(&self, reference: &str) -> Vec<u8> {
        let request = self.request("GET", &format!("{}/manifests/{reference}", self.url));
        let got = request.header("Accept", OCI_MANIFEST).send().await.unwrap();
        assert_eq!(got.status(), StatusCode::OK);
        got.bytes().await.unwrap().to_vec()
    }

    /// A manifest with its layers, under a tag.
    pub async fn artifact(&self, tag: &str, layers: &[(&str, &[u8])]) -> Digest {
        self.blob(b"{}").await;
        for (_, content) in layers {
            self.blob(content).await;
        }
        self.manifest(tag, OCI_MANIFEST, &manifest(layers)).await
    }
}
