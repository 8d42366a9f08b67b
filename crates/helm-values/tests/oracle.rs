//! What Flux composes of values and how it digests them: `data/values.jsonl`, written by `data/values.go`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use api::helm_release::ValuesReference;
use artifact::digest::Algorithm;
use helm_values::{Kind, Limits, Referent, Referents, Wanted, compose, config_digest, referents};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    references: Vec<ValuesReference>,
    #[serde(default)]
    data: BTreeMap<String, BTreeMap<String, String>>,
    values: Option<Value>,
    out: Option<Value>,
    digest: Option<String>,
    err: Option<String>,
}

/// What the API server says of the objects of a row.
fn objects(row: &Row) -> Referents {
    let mut objects = Referents::default();
    for Wanted { kind, name, .. } in referents(&row.references, &Limits::default()).unwrap() {
        let (prefix, plural) = match kind {
            Kind::ConfigMap => ("ConfigMap", "configmaps"),
            Kind::Secret => ("Secret", "secrets"),
        };
        let referent = match row.data.get(&format!("{prefix}/{name}")) {
            Some(entries) => Referent::Found(entries.clone().into_iter().collect()),
            None => Referent::NotFound(format!("{plural} \"{name}\" not found")),
        };
        objects.insert(kind, name, referent);
    }
    objects
}

#[test]
fn values_are_composed_and_digested_as_flux_does() {
    let mut differing = Vec::new();
    let rows = include_str!("data/values.jsonl");
    for line in rows.lines() {
        let row: Row = serde_json::from_str(line).unwrap();
        let limits = Limits::default();
        let made = compose("ns", row.values.as_ref(), &row.references, &objects(&row), &limits, &mut |_| {});
        let (out, digest, err) = match made {
            Ok(values) => {
                let digest = config_digest(Algorithm::Sha256, &values).to_string();
                (Some(Value::Object(values)), Some(digest), None)
            }
            Err(error) => (None, None, Some(error.to_string())),
        };
        if (&out, &digest, &err) != (&row.out, &row.digest, &row.err) {
            differing.push(format!("{line}\n  ours: {err:?} {digest:?} {}", out.unwrap_or_default()));
        }
    }
    assert!(differing.is_empty(), "{} rows differ\n{}", differing.len(), differing.join("\n"));
}
