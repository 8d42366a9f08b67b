//! What Flux composes of values and how it digests them: `data/values.jsonl`, written by `data/values.go`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use api::helm_release::ValuesReference;
use artifact::digest::Algorithm;
use helm_values::{Kind, Limits, Referent, Referents, compose, referents};
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
    for (kind, name) in referents(&row.references) {
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

/// What is beyond this is another number once it was stored: Flux digests it as it was before, and finds a difference for ever.
const EXACT: i64 = 1 << 53;

fn has_inexact(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_i64().is_some_and(|number| number.abs() > EXACT),
        Value::Array(items) => items.iter().any(has_inexact),
        Value::Object(map) => map.values().any(has_inexact),
        _ => false,
    }
}

#[test]
fn values_are_composed_and_digested_as_flux_does() {
    let (mut differing, mut inexact) = (Vec::new(), 0);
    let rows = include_str!("data/values.jsonl");
    for line in rows.lines() {
        let row: Row = serde_json::from_str(line).unwrap();
        let limits = Limits::default();
        let made = compose("ns", row.values.as_ref(), &row.references, &objects(&row), &limits, &mut |_| {});
        let (out, digest, err) = match made {
            Ok(values) => {
                let digest = helm_release::config_digest(Some(&values), Algorithm::Sha256).to_string();
                (Some(Value::Object(values)), Some(digest), None)
            }
            Err(error) => (None, None, Some(error.to_string())),
        };
        let is_inexact = out.as_ref().is_some_and(has_inexact);
        inexact += usize::from(is_inexact);
        if (&out, &err) != (&row.out, &row.err) || (digest == row.digest) == is_inexact {
            differing.push(format!("{line}\n  ours: {err:?} {digest:?} {}", out.unwrap_or_default()));
        }
    }
    assert_eq!(inexact, 4);
    assert!(differing.is_empty(), "{} rows differ\n{}", differing.len(), differing.join("\n"));
}
