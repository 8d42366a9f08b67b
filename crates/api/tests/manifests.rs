//! The CRD manifests in the repository are those of the types.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::path::Path;

use serde_json::{Value, json};

#[test]
fn committed_manifests_are_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    for folder in ["config/crd/bases", "charts/ferroflux/crds"] {
        for crd in api::crd::all().unwrap() {
            let path = root.join(folder).join(api::crd::file_name(&crd));
            let committed = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                committed == api::crd::to_yaml(&crd).unwrap(),
                "{} is stale: run `make crds`",
                path.display()
            );
        }
    }
}

#[test]
fn v1_is_stored_and_v1beta2_is_served_with_a_warning() {
    for crd in api::crd::all().unwrap() {
        let kind = &crd.spec.names.kind;
        let versions: Vec<_> = crd
            .spec
            .versions
            .iter()
            .map(|v| (v.name.as_str(), v.served, v.storage, v.deprecation_warning.clone()))
            .collect();
        let warning = format!("v1beta2 {kind} is deprecated, upgrade to v1");
        assert_eq!(versions, [("v1", true, true, None), ("v1beta2", true, false, Some(warning))]);
    }
}

/// A structural schema of Go types: a type everywhere, nothing nullable, no combinators, only known formats.
#[test]
fn schemas_have_the_shape_of_go_types() {
    fn check(path: &str, schema: &Value) {
        let free = schema.get("x-kubernetes-preserve-unknown-fields") == Some(&json!(true));
        assert!(free || schema["type"].is_string(), "{path} has no type");
        for keyword in
            ["nullable", "anyOf", "oneOf", "allOf", "not", "title", "$ref", "x-kubernetes-list-type"]
        {
            assert!(schema.get(keyword).is_none(), "{path} has {keyword}");
        }
        let format = schema.get("format").and_then(Value::as_str);
        assert!(matches!(format, None | Some("int64" | "date-time")), "{path} has format {format:?}");
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            for (name, property) in properties {
                let path = format!("{path}.{name}");
                assert!(
                    name == "metadata" || property["description"].is_string(),
                    "{path} has no description"
                );
                check(&path, property);
            }
        }
        for keyword in ["items", "additionalProperties"] {
            if let Some(inner) = schema.get(keyword) {
                check(&format!("{path}.{keyword}"), inner);
            }
        }
    }
    for crd in api::crd::all().unwrap() {
        for version in crd.spec.versions {
            let schema = version.schema.unwrap().open_api_v3_schema.unwrap();
            check(
                &format!("{} {}", crd.spec.names.kind, version.name),
                &serde_json::to_value(schema).unwrap(),
            );
        }
    }
}
