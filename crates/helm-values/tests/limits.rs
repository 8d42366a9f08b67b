//! What one HelmRelease may ask for, and what an error may tell.
#![allow(clippy::unwrap_used)]

use api::helm_release::ValuesReference;
use helm_values::{Error, Kind, Limits, Referent, Referents, compose};
use serde_json::json;

fn reference(kind: &str, path: Option<&str>) -> ValuesReference {
    ValuesReference {
        kind: kind.to_owned(),
        name: "v".to_owned(),
        target_path: path.map(str::to_owned),
        ..ValuesReference::default()
    }
}

fn holding(content: &str) -> Referents {
    let mut referents = Referents::default();
    for kind in [Kind::Secret, Kind::ConfigMap] {
        referents.insert(kind, "v", Referent::Found([("values.yaml", content)].into_iter().collect()));
    }
    referents
}

fn error(references: &[ValuesReference], referents: &Referents, limits: &Limits) -> Error {
    compose("ns", None, references, referents, limits, &mut |_| {}).unwrap_err()
}

#[test]
fn references_bytes_and_values_are_bounded() {
    let content = holding("a: [1, 2, 3]\n");
    let two = vec![reference("ConfigMap", None); 2];
    let bounded = |limits: Limits| compose("ns", None, &two, &content, &limits, &mut |_| {});
    let limits = Limits { references: 2, bytes: 26, values: 4, ..Limits::default() };
    assert!(bounded(limits.clone()).is_ok());
    assert_eq!(bounded(Limits { references: 1, ..limits.clone() }), Err(Error::References(1)));
    assert_eq!(bounded(Limits { bytes: 25, ..limits.clone() }), Err(Error::Bytes(25)));
    assert_eq!(bounded(Limits { values: 3, ..limits }), Err(Error::Values(3)));
}

/// Each reference lengthens another list to the greatest length that Helm takes.
#[test]
fn many_long_lists_end_at_the_limit() {
    let references: Vec<_> =
        (0..900).map(|list| reference("ConfigMap", Some(&format!("l{list}[65536]")))).collect();
    assert_eq!(error(&references, &holding("x"), &Limits::default()), Error::Values(500_000));
}

#[test]
fn an_error_tells_nothing_of_what_a_secret_holds() {
    for (content, path, of_secret, of_config_map) in [
        ("a: *hunter2\n", None, "failed to read values data", "unknown anchor 'hunter2' referenced"),
        ("x,hunter2", Some("a"), "failed to merge value", "key \"hunter2\" has no value"),
    ] {
        let content = holding(content);
        let text = |kind| error(&[reference(kind, path)], &content, &Limits::default()).to_string();
        assert_eq!(
            text("Secret"),
            format!(
                "could not resolve Secret chart values reference 'ns/v' with key 'values.yaml': {of_secret}"
            )
        );
        assert!(text("ConfigMap").ends_with(of_config_map), "{}", text("ConfigMap"));
    }
}

#[test]
fn what_the_api_server_refuses_is_told_as_it_is_and_what_is_missing_is_told_if_optional() {
    let mut referents = Referents::default();
    referents.insert(Kind::Secret, "v", Referent::Failed("secrets \"v\" is forbidden".to_owned()));
    let denied = error(&[reference("Secret", None)], &referents, &Limits::default());
    assert_eq!(denied.to_string(), "secrets \"v\" is forbidden");

    let optional = ValuesReference { optional: true, ..reference("ConfigMap", None) };
    let mut told = Vec::new();
    let inline = json!({"a": 1});
    let values =
        compose("ns", Some(&inline), &[optional], &Referents::default(), &Limits::default(), &mut |error| {
            told.push(error.to_string())
        });
    assert_eq!(values.unwrap().len(), 1);
    assert_eq!(
        told,
        [
            "could not resolve optional ConfigMap chart values reference 'ns/v' with key 'values.yaml': resource not found"
        ]
    );
}

/// The most that a spec can ask for of merges: many references, each of which shares a large inline list anew.
#[test]
fn many_references_over_large_inline_values_take_little_time() {
    let inline = json!({"list": (0..100_000).collect::<Vec<_>>(), "a": {"b": "c"}});
    let references = vec![reference("ConfigMap", Some("a.b")); 1_000];
    let start = std::time::Instant::now();
    let values =
        compose("ns", Some(&inline), &references, &holding("x"), &Limits::default(), &mut |_| {}).unwrap();
    assert_eq!(values.get("a"), Some(&json!({"b": "x"})));
    assert!(start.elapsed() < std::time::Duration::from_secs(20), "{:?}", start.elapsed());
}
