//! The CRD manifests in the repository are those of the types.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

#[test]
fn committed_manifests_are_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let installed = std::fs::read_to_string(root.join("config/crd/kustomization.yaml")).unwrap();
    for crd in api::crd::all().unwrap() {
        let name = api::crd::file_name(&crd);
        // The chart has those of the controllers that it can install.
        let of_chart = ("charts/ferroflux/crds", api::crd::of_chart(crd.clone()));
        let chart = installed.contains(&name).then_some(of_chart);
        for (folder, crd) in [("config/crd/bases", crd)].into_iter().chain(chart) {
            let path = root.join(folder).join(&name);
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
fn the_chart_has_the_definitions_that_are_installed_and_no_others() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let installed = std::fs::read_to_string(root.join("config/crd/kustomization.yaml")).unwrap();
    let listed = installed.lines().filter_map(|line| line.strip_prefix("- bases/"));
    let files = std::fs::read_dir(root.join("charts/ferroflux/crds")).unwrap();
    let files = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    assert_eq!(files.collect::<BTreeSet<_>>(), listed.map(str::to_owned).collect());
}

#[test]
fn the_newest_version_is_stored_and_older_ones_are_served_with_a_warning_where_they_exist() {
    for crd in api::crd::all().unwrap() {
        let kind = &crd.spec.names.kind;
        let versions: Vec<_> = crd
            .spec
            .versions
            .iter()
            .map(|v| (v.name.as_str(), v.served, v.storage, v.deprecation_warning.clone()))
            .collect();
        let (newest, older): (_, &[&str]) = match kind.as_str() {
            "ArtifactGenerator" => ("v1beta1", &[]),
            "HelmRelease" => ("v2", &["v2beta2", "v2beta1"]),
            "ExternalArtifact" | "OCIRepository" => ("v1", &[]),
            _ => ("v1", &["v1beta2"]),
        };
        let mut expected = vec![(newest, true, true, None)];
        expected.extend(older.iter().map(|version| {
            let warning = format!("{version} {kind} is deprecated, upgrade to {newest}");
            (*version, true, false, Some(warning))
        }));
        assert_eq!(versions, expected, "{kind}");
    }
}

/// A rule is not read where a required field is missing, so what a rule asks for is not in a list of required fields.
#[test]
fn rules_of_the_root_ask_for_what_an_oci_repository_must_have() {
    for crd in api::crd::all().unwrap() {
        let kind = &crd.spec.names.kind;
        for version in &crd.spec.versions {
            let schema = version.schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap();
            let schema = serde_json::to_value(schema).unwrap();
            let (rules, required) = if kind == "OCIRepository" {
                let rules = json!([
                    {"rule": "has(self.spec) && has(self.spec.url)", "message": "spec.url is required"},
                    {"rule": "has(self.spec) && has(self.spec.interval)", "message": "spec.interval is required"},
                ]);
                let spec = &schema["properties"]["spec"];
                assert_eq!(spec.get("required"), None);
                let defaults = spec["properties"].as_object().unwrap().iter();
                assert_eq!(defaults.filter(|(_, field)| field.get("default").is_some()).count(), 0);
                (rules, Value::Null)
            } else if kind == "ExternalArtifact" {
                (Value::Null, Value::Null)
            } else {
                (Value::Null, json!(["spec"]))
            };
            assert_eq!(
                (&schema["x-kubernetes-validations"], &schema["required"]),
                (&rules, &required),
                "{kind}"
            );
        }
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
