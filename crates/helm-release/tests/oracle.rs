//! Releases as the real Helm 4.3.1 makes them: `data/release.json` is what it says of the chart of this test, by
//! `helm install demo app.tgz --namespace apps --dry-run=client -o json --set c=2`, but for the moment.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;

use helm::{Capabilities, Costs, HelmVersion, Input, KubeVersion, ParsedChart, World};
use helm_chart::{Limits as ChartLimits, MemoryTree, load_directory};
use helm_release::{
    ApplyMethod, DecodeError, EncodeError, Hook, Info, LimitError, Limits, Phase, Release, Stamp, Status,
    Time,
};
use proptest::prelude::*;
use serde_json::value::RawValue;

const OF_HELM: &str = include_str!("data/release.json");

/// When all files of the chart were changed.
const MODIFIED: u64 = 1_767_323_045;

const FILES: &[(&str, &str)] = &[
    (
        "Chart.lock",
        "dependencies:\n- name: sub\n  repository: https://r\n  version: 0.1.0\ndigest: sha256:abc\ngenerated: \"2026-01-02T03:04:05.6Z\"\n",
    ),
    ("Chart.yaml", CHART),
    ("README.md", "readme\n"),
    ("charts/sub/Chart.yaml", "apiVersion: v2\nname: sub\nversion: 0.1.0\n"),
    ("charts/sub/values.yaml", "exports: {data: {i: 1}}\nown: 2\n"),
    ("templates/NOTES.txt", "hello {{ .Release.Name }}\n"),
    ("templates/a.yaml", "kind: A\nmetadata: {name: a}\n"),
    (
        "templates/h.yaml",
        "kind: Job\nmetadata:\n  name: h\n  annotations: {helm.sh/hook: \"pre-install,test\", helm.sh/hook-weight: \"3\", helm.sh/hook-delete-policy: hook-failed}\n",
    ),
    ("values.schema.json", "{\"type\":\"object\"}"),
    ("values.yaml", "b: 1\na: {x: 1.5, n: null}\n"),
];

const CHART: &str = r#"apiVersion: v2
name: app
version: 1.2.3
appVersion: "4.5"
description: a <chart> & more
home: https://h
sources: [https://s]
keywords: [k]
maintainers: [{name: Ann, email: a@b}]
annotations: {b: "1", a: x}
kubeVersion: ">=1.20.0-0"
type: application
dependencies:
- name: sub
  version: "*"
  alias: part
  condition: part.enabled
  tags: [t]
  import-values: [data]
"#;

/// The release that we make of the chart.
fn made(info: Info) -> Release {
    let mut tree = MemoryTree::default();
    for (name, text) in FILES {
        tree.insert(&format!("app/{name}"), *text);
    }
    let mut chart = load_directory(&tree, "app", &ChartLimits::default()).unwrap();
    // As from an archive.
    chart.modified = Some(MODIFIED);
    for file in chart.templates.iter_mut().chain(&mut chart.files).chain(&mut chart.schema) {
        file.modified = Some(MODIFIED);
    }
    let chart = ParsedChart::new(chart);
    let values = serde_json::from_str(r#"{"c": 2}"#).unwrap();
    let input = Input {
        release: &helm::Release {
            name: "demo".into(),
            namespace: "apps".into(),
            revision: 1,
            is_upgrade: false,
        },
        values: &values,
        defaults: None,
        capabilities: &Capabilities {
            kube_version: KubeVersion::discovered("v1.37.0", "1", "37"),
            api_versions: vec!["v1".into()],
            helm_version: HelmVersion::default(),
        },
        world: &World::default(),
        costs: &Costs::default(),
        skips_schema: false,
        post_renderer: None,
        is_stopped: &|| false,
    };
    let rendered = helm::render(&chart, &input).unwrap();
    let chart = helm_release::chart_json(chart.chart(), &rendered.chart);
    Release {
        name: "demo".into(),
        info: Info { notes: rendered.notes.clone(), ..info },
        chart: Some(RawValue::from_string(chart).unwrap()),
        config: Some(values),
        manifest: rendered.manifest(),
        hooks: Some(rendered.hooks.iter().map(Hook::from).collect()),
        version: 1,
        namespace: "apps".into(),
        apply_method: Some(ApplyMethod::ServerSide),
        labels: BTreeMap::new(),
    }
}

/// The JSON within the data of a Secret.
fn json(release: &Release) -> String {
    use base64::Engine;
    use std::io::Read;
    let data = helm_release::encode(release, &Limits::default()).unwrap();
    let compressed = base64::engine::general_purpose::STANDARD.decode(data).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(compressed.as_slice()).read_to_string(&mut text).unwrap();
    text
}

/// As the storage of Helm would have it.
fn stored(json: &str) -> Vec<u8> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(json).into_bytes()
}

fn decode(json: &str) -> Result<Release, DecodeError> {
    helm_release::decode(&stored(json), &BTreeMap::new(), &Limits::default())
}

#[test]
fn what_helm_stored_is_written_again_as_it_was() {
    let release = decode(OF_HELM).unwrap();
    assert_eq!(json(&release), OF_HELM.trim_end());
    assert_eq!(release.info.status, Status::PendingInstall);
    assert!(release.info.status.is_pending());
    assert!(release.info.last_deployed.unwrap().timestamp().is_some());
}

#[test]
fn the_release_of_a_chart_is_what_helm_makes_of_it() {
    let info = decode(OF_HELM).unwrap().info;
    assert_eq!(json(&made(info)), OF_HELM.trim_end());
}

#[test]
fn what_was_encoded_is_decoded_with_the_labels_of_the_user() {
    let mut release = made(Info { status: Status::Deployed, ..Info::default() });
    release.labels.insert("team".into(), "a".into());
    let labels = helm_release::labels(&release, Stamp::Created(5));
    let pairs: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(pairs, ["createdAt=5", "name=demo", "owner=helm", "status=deployed", "team=a", "version=1"]);
    assert_eq!(helm_release::secret_name("demo", 1), "sh.helm.release.v1.demo.v1");
    let data = helm_release::encode(&release, &Limits::default()).unwrap();
    let again = helm_release::decode(&data, &labels, &Limits::default()).unwrap();
    assert_eq!(json(&again), json(&release));
    assert_eq!(again.labels, release.labels);
}

#[test]
fn times_that_helm_3_left_empty_are_none() {
    let text = r#"{"name":"a","info":{"first_deployed":"2020-01-02T03:04:05.6+01:00","last_deployed":"","deleted":"0001-01-01T00:00:00Z","status":"superseded"},"hooks":[{"last_run":{"started_at":"","completed_at":null,"phase":"Succeeded"}}],"version":3}"#;
    let release = decode(text).unwrap();
    assert_eq!(release.info.first_deployed.as_ref().map(Time::as_str), Some("2020-01-02T03:04:05.6+01:00"));
    assert_eq!((&release.info.last_deployed, &release.info.deleted), (&None, &None));
    let run = &release.hooks.as_ref().unwrap().first().unwrap().last_run;
    assert_eq!((run.phase, &run.started_at), (Phase::Succeeded, &None));
    let written = json(&release);
    assert!(written.contains(r#""first_deployed":"2020-01-02T03:04:05.6+01:00","status""#), "{written}");
}

#[test]
fn a_status_that_is_not_known_is_unknown() {
    let release = decode(r#"{"info":{"status":"resting"},"hooks":null,"config":null}"#).unwrap();
    assert_eq!(release.info.status, Status::Unknown);
}

#[test]
fn what_is_too_large_is_refused_on_both_ways() {
    let mut release = made(Info::default());
    // Nothing that repeats itself.
    let mut state = 1_u64;
    release.manifest = (0..1_200_000)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b'!' + u8::try_from(state >> 58).unwrap())
        })
        .collect();
    let error = helm_release::encode(&release, &Limits::default()).unwrap_err();
    assert!(matches!(error, EncodeError::TooLarge { .. }));
    assert_eq!(
        error.to_string(),
        "Secret \"sh.helm.release.v1.demo.v1\" is invalid: data: Too long: may not be more than 1048576 bytes"
    );
    release.manifest = " ".repeat(10 << 20);
    let data = helm_release::encode(&release, &Limits::default()).unwrap();
    let limits = Limits { bytes: 1 << 20, ..Limits::default() };
    let error = helm_release::decode(&data, &BTreeMap::new(), &limits).unwrap_err();
    assert!(matches!(error, DecodeError::Limit(LimitError::Bytes(_))), "{error}");
    let error = helm_release::encode(&release, &limits).unwrap_err();
    assert_eq!(error.to_string(), "the release has more than 1048576 bytes");
}

#[test]
fn an_apply_method_that_is_not_known_is_none() {
    for (text, method) in [
        (r#"{"apply_method":"ssa"}"#, Some(ApplyMethod::ServerSide)),
        (r#"{"apply_method":"csa"}"#, Some(ApplyMethod::ClientSide)),
        (r#"{"apply_method":""}"#, None),
        (r#"{"apply_method":"newer"}"#, None),
        (r#"{"apply_method":null}"#, None),
        ("{}", None),
    ] {
        assert_eq!(decode(text).unwrap().apply_method, method, "{text}");
    }
}

#[test]
fn errors_show_no_content() {
    let error = decode(r#"{"name": {"hunter2": 1}}"#).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
}

proptest! {
    #[test]
    fn no_data_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in r#"[{}\[\]":,a-c0-9]{0,60}"#) {
        let _ = helm_release::decode(&bytes, &BTreeMap::new(), &Limits::default());
        let _ = decode(&text);
    }
}
