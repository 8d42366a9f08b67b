//! Digests of what renders a release: `data/rendering.jsonl` is what a Go program answered with the types of helm-controller.

use api::helm_release::HelmReleaseSpec;
use artifact::digest::Algorithm;
use helm_state::{common_metadata_digest, post_renderers_digest};
use serde_json::{Value, json};

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

#[test]
fn digests_of_all_fields_are_those_of_helm_controller() {
    let target = json!({
        "labelSelector": "l", "annotationSelector": "a", "name": "x", "namespace": "ns", "kind": "Service",
        "version": "v1", "group": "g",
    });
    let patch = "- op: add\n  value: <a> & \"b\" \u{2028}\t\u{7}é\n";
    let spec: HelmReleaseSpec = serde_json::from_value(json!({
        "interval": "1m",
        "postRenderers": [
            {"kustomize": {
                "images": [{"digest": "d", "newTag": "t", "newName": "m", "name": "n"}],
                "patches": [{"target": target, "patch": patch}],
            }},
            {},
            {"kustomize": {"patches": [{"patch": "p", "target": {}}, {"patch": "", "target": null}]}},
        ],
        "commonMetadata": {"labels": {"b": "2", "a": "1 > 0"}, "annotations": {"z": "é", "y": "&"}},
    }))
    .unwrap();
    assert_eq!(
        post_renderers_digest(&spec.post_renderers, Algorithm::Sha256),
        "sha256:a9ccd1522cdae5eb2e4894f2982d48c00574e34480ea4448d208f53e2bc4eaea"
    );
    assert_eq!(
        common_metadata_digest(spec.common_metadata.as_ref(), Algorithm::Sha256),
        "sha256:91046af6a1e2094f012b257f4bca5d09f14c88e25c85cbe63fcd288eb3058225"
    );
}
