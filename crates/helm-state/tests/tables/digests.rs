//! Digests of what renders a release: `data/rendering.jsonl` is what a Go program answered with the types of helm-controller.

use api::helm_release::HelmReleaseSpec;
use artifact::digest::Algorithm;
use helm_state::{common_metadata_digest, post_renderers_digest};
use serde_json::Value;

#[test]
fn digests_of_rendering_are_those_of_helm_controller() {
    let rows: Vec<Value> = include_str!("../data/rendering.jsonl")
        .lines()
        .map(|row| serde_json::from_str(row).unwrap())
        .collect();
    assert_eq!(rows.len(), 7);
    for row in rows {
        let spec: HelmReleaseSpec = serde_json::from_value(row["spec"].clone()).unwrap();
        assert_eq!(post_renderers_digest(&spec.post_renderers, Algorithm::Sha256), row["renderers"], "{row}");
        let metadata = common_metadata_digest(spec.common_metadata.as_ref(), Algorithm::Sha256);
        assert_eq!(metadata, row["metadata"], "{row}");
    }
}
