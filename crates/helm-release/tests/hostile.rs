//! Stored revisions that are made to take more than they say.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use helm_release::{DecodeError, EncodeError, LimitError, Limits, Release};
use serde_json::json;

fn decode(json: &str) -> Result<Release, DecodeError> {
    helm_release::decode(STANDARD.encode(json).as_bytes(), &BTreeMap::new(), &Limits::default())
}

/// Each is some KiB of a Secret, and would be some hundred MiB or some GiB in memory.
#[test]
fn a_release_of_too_many_values_is_refused() {
    let many = |item: &str| format!("[{}]", vec![item; 1_000_000].join(","));
    for text in [
        format!(r#"{{"hooks":{}}}"#, many("{}")),
        format!(r#"{{"ho\u006fks":{}}}"#, many("[]")),
        format!(r#"[0,0,0,0,0,{}]"#, many("{}")),
        format!(r#"{{"config":{{"a":{}}}}}"#, many("0")),
        format!(r#"{{"config":{{"a":{}}}}}"#, many(r#"{"a":0}"#)),
        format!(r#"{{"chart":{{"values":{{"a":{}}}}}}}"#, many("0")),
    ] {
        let error = decode(&text).unwrap_err();
        assert!(matches!(error, DecodeError::Limit(LimitError::Values(200_000))), "{error}");
    }
    let values = serde_json::from_str(&many("0")).unwrap();
    let config = [("a".to_owned(), values)].into_iter().collect();
    let release = Release { config: Some(config), ..Release::default() };
    let error = helm_release::encode(&release, &Limits::default()).unwrap_err();
    assert!(matches!(error, EncodeError::Limit(LimitError::Values(200_000))), "{error}");
}

#[test]
fn a_release_of_a_large_chart_is_read() {
    let file = |index: usize| json!({"name": format!("templates/{index}.yaml"), "data": "e30K".repeat(100)});
    let hook = |index: usize| json!({"name": format!("hook-{index}"), "manifest": "kind: Job", "events": ["pre-install"]});
    let text = json!({
        "name": "a",
        "chart": {"templates": (0..20_000).map(file).collect::<Vec<_>>(), "values": {"a": vec![0; 50_000]}},
        "config": {"a": vec![json!({"b": 1}); 10_000]},
        "hooks": (0..1000).map(hook).collect::<Vec<_>>(),
        "manifest": "a: b\n".repeat(2 << 20),
    });
    assert_eq!(decode(&text.to_string()).unwrap().hooks.unwrap().len(), 1000);
}
