//! Digests of revisions against helm-controller's: `data/observations.jsonl` is what a Go program answered that decodes a stored
//! release with Helm 4.3.1, takes what helm-controller observes of it, and hashes it.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use artifact::digest::Digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use helm_release::{Limits, Observation, Release, Status};
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow)]
    stored: &'a RawValue,
    #[serde(default, rename = "ociDigest")]
    oci_digest: &'a str,
    digest: &'a str,
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
        assert_eq!(observed.digest(algorithm).to_string(), row.digest, "{}", row.stored);
        // It is the same after the revision was stored by us.
        let data = helm_release::encode(&release, &Limits::default()).unwrap();
        let again = helm_release::decode(&data, &BTreeMap::new(), &Limits::default()).unwrap();
        let again = Observation::new(&again, row.oci_digest).unwrap();
        assert_eq!(again.digest(algorithm).to_string(), row.digest, "{}", row.stored);
    }
    algorithms.sort_unstable();
    algorithms.dedup();
    assert_eq!(algorithms, ["blake3", "sha256", "sha384", "sha512"]);
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
