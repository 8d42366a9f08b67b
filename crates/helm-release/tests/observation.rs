//! Digests of revisions against helm-controller's: `data/observations.jsonl` is what a Go program answered that decodes a stored
//! release with Helm 4.3.1, takes what helm-controller observes of it, and hashes it; `config` is `chartutil.DigestValues` of its values.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use artifact::digest::{Algorithm, Digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use helm_release::{Limits, Observation, Release, Status, config_digest};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow)]
    stored: &'a RawValue,
    #[serde(default, rename = "ociDigest")]
    oci_digest: &'a str,
    digest: &'a str,
    config: &'a str,
}

fn decode(json: &str) -> Release {
    helm_release::decode(STANDARD.encode(json).as_bytes(), &BTreeMap::new(), &Limits::default()).unwrap()
}

#[test]
fn digests_are_those_of_helm_controller() {
    let rows: Vec<Row<'_>> = include_str!("data/observations.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut algorithms: Vec<&str> = Vec::new();
    for row in &rows {
        let release = decode(row.stored.get());
        let algorithm = row.digest.parse::<Digest>().unwrap().algorithm();
        algorithms.push(algorithm.name());
        let observed = Observation::new(&release, row.oci_digest).unwrap();
        assert_eq!(observed.config_digest(algorithm).to_string(), row.config, "{}", row.stored);
        assert_eq!(observed.digest(algorithm).to_string(), row.digest, "{}", row.stored);
        // It is the same after the revision was stored by us.
        let data = helm_release::encode(&release).unwrap();
        let again = helm_release::decode(&data, &BTreeMap::new(), &Limits::default()).unwrap();
        let again = Observation::new(&again, row.oci_digest).unwrap();
        assert_eq!(again.digest(algorithm).to_string(), row.digest, "{}", row.stored);
    }
    algorithms.sort_unstable();
    algorithms.dedup();
    assert_eq!(algorithms, ["blake3", "sha256", "sha384", "sha512"]);
}

#[test]
fn no_values_have_the_digest_of_nothing() {
    let nothing = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    for values in [None, Some(serde_json::Map::new())] {
        assert_eq!(config_digest(values.as_ref(), Algorithm::Sha256).to_string(), nothing);
    }
}

#[test]
fn the_order_of_values_does_not_count() {
    let digest = |value: serde_json::Value| config_digest(value.as_object(), Algorithm::Sha256);
    assert_eq!(
        digest(json!({"a": 1, "b": {"c": 2, "d": 3}})),
        digest(json!({"b": {"d": 3, "c": 2.0}, "a": 1}))
    );
    assert_ne!(digest(json!({"a": [1, 2]})), digest(json!({"a": [2, 1]})));
}

#[test]
fn metadata_that_are_none_are_an_error_that_shows_no_content() {
    for chart in [r#""hunter2""#, r#"{"metadata": "hunter2"}"#, r#"{"metadata": {"name": ["hunter2"]}}"#] {
        let release = decode(&format!(r#"{{"name": "a", "chart": {chart}}}"#));
        let error = Observation::new(&release, "").unwrap_err();
        assert_eq!(error.to_string(), "the chart of the release has no valid metadata");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn a_status_has_one_name() {
    for name in ["deployed", "uninstalled", "superseded", "failed", "uninstalling", "pending-install"] {
        assert_eq!(Status::of(name).name(), name);
        assert_eq!(decode(&format!(r#"{{"info": {{"status": "{name}"}}}}"#)).info.status.name(), name);
    }
    assert_eq!(Status::of("resting"), Status::Unknown);
}

/// Of fluxcd/pkg, `chartutil/digest_test.go`.
#[test]
fn digests_are_those_of_flux_and_do_not_depend_on_order() {
    let ports = json!([{"protocol": "TCP", "port": 8080}, {"port": 9090, "protocol": "UDP"}]);
    let numeric = json!({
        "632bd80235a05f4192aefade": "value1", "632bd80ddf416cf32fd50679": "value2",
        "632bd817c559818a52307da2": "value3", "632bd82398e71231a98004b6": "value4",
    });
    for (algorithm, values, digest) in [
        (
            Algorithm::Sha256,
            json!({}),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        (
            Algorithm::Sha256,
            json!({"replicas": 3, "image": {"tag": "latest", "repository": "nginx"}, "ports": ports}),
            "sha256:fcdc2b0de1581a3633ada4afee3f918f6eaa5b5ab38c3fef03d5b48d3f85d9f6",
        ),
        (
            Algorithm::Sha256,
            json!({"ports": ports, "image": {"repository": "nginx", "tag": "latest"}, "replicas": 3.0}),
            "sha256:fcdc2b0de1581a3633ada4afee3f918f6eaa5b5ab38c3fef03d5b48d3f85d9f6",
        ),
        (
            Algorithm::Sha256,
            json!({"replicas": 3, "test": numeric}),
            "sha256:8a980fcbeadd6f05818f07e8aec14070c22250ca3d96af1fcd5f93b3e85b4d70",
        ),
        (
            Algorithm::Sha512,
            json!({"foo": "bar", "baz": {"cool": "stuff"}}),
            "sha512:b5f9cd4855ca3b08afd602557f373069b1732ce2e6d52341481b0d38f1938452e9d7759ab177c66699962b592f20ceded03eea3cd405d8670578c47842e2c550",
        ),
    ] {
        assert_eq!(config_digest(values.as_object(), algorithm).to_string(), digest);
    }
}
