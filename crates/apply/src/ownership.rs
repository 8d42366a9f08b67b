//! Who owns which field of an object, read from `metadata.managedFields`.
//!
//! Whoever changes, removes or takes a field that we own changes the set of owners; a write of status or of fields that
//! nobody declared does not. So ownership alone tells drift, without asking the API server to compare.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::hash;
use crate::manager::Manager;
use crate::object::{annotation, label, meta};

/// Who owns an object's fields, in short. Times play no part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owners {
    /// Digest of our own entry; 0 if there is none.
    pub own: u64,
    /// Digest of everybody else's entries that are not for `status`.
    pub others: u64,
}

impl Owners {
    /// Reads them from an object.
    pub fn of(object: &Value, manager: &Manager) -> Self {
        let (own, others): (Vec<_>, Vec<_>) =
            entries(object).filter(|e| text(e, "subresource") != "status").partition(|e| is_own(e, manager));
        let digest = |entries: Vec<&Value>| {
            let mut parts: Vec<u64> = entries.into_iter().map(entry_digest).collect();
            parts.sort_unstable();
            if parts.is_empty() { 0 } else { hash::combine(parts) }
        };
        Self { own: digest(own), others: digest(others) }
    }

    /// One number that changes exactly when somebody takes, adds or gives up a field of the object.
    pub fn fingerprint(self) -> u64 {
        hash::combine([self.own, self.others])
    }
}

/// When our entry was last written with a change.
pub fn own_time(object: &Value, manager: &Manager) -> Option<Timestamp> {
    entries(object).filter(|e| is_own(e, manager)).filter_map(|e| text(e, "time").parse().ok()).max()
}

/// The manager other than us who wrote last to the object itself, not to its status.
pub fn last_foreign_manager<'a>(object: &'a Value, manager: &Manager) -> Option<&'a str> {
    let foreign = entries(object).filter(|e| text(e, "subresource") != "status" && !is_own(e, manager));
    foreign.max_by_key(|e| text(e, "time")).map(|e| text(e, "manager"))
}

fn entries(object: &Value) -> impl Iterator<Item = &Value> {
    object.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten()
}

/// Who applies which fields of the object itself, not of a subresource: manager and fieldsV1.
pub(crate) fn applied_fields(object: &Value) -> impl Iterator<Item = (&str, &Map<String, Value>)> {
    let applied =
        entries(object).filter(|e| text(e, "operation") == "Apply" && text(e, "subresource").is_empty());
    applied.filter_map(|e| Some((text(e, "manager"), e.get("fieldsV1")?.as_object()?)))
}

fn text<'a>(entry: &'a Value, field: &str) -> &'a str {
    entry.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn is_own(entry: &Value, manager: &Manager) -> bool {
    text(entry, "manager") == manager.field_manager
        && text(entry, "operation") == "Apply"
        && text(entry, "subresource").is_empty()
}

fn entry_digest(entry: &Value) -> u64 {
    hash::json(&json!([
        text(entry, "manager"),
        text(entry, "operation"),
        text(entry, "apiVersion"),
        text(entry, "subresource"),
        entry.get("fieldsV1")
    ]))
}

/// Annotations that other tools leave behind and that make them believe they still own the object.
const FOREIGN_ANNOTATIONS: &[&str] = &[
    "kubectl.kubernetes.io/last-applied-configuration",
    "kustomize.toolkit.fluxcd.io/checksum",
    "fluxcd.io/sync-checksum",
];
const FOREIGN_LABELS: &[&str] = &["fluxcd.io/sync-gc-mark"];

/// Whose fields are taken over.
#[derive(Clone, Copy, Debug)]
pub struct Takeover<'a> {
    /// Who takes them.
    pub manager: Manager,
    /// Prefixes of further field managers whose fields are taken, beside kubectl.
    pub prefixes: &'a [String],
}

/// Whether an entry belongs to a manager whose fields are ours to take: kubectl, our own former updates, and those the
/// operator named. All of them by prefix, except the two that are exact.
fn is_foreign(entry: &Value, takeover: &Takeover<'_>) -> bool {
    if !text(entry, "subresource").is_empty() {
        return false;
    }
    let (manager, operation) = (text(entry, "manager"), text(entry, "operation"));
    let prefixed = manager.starts_with("kubectl")
        || takeover.prefixes.iter().any(|prefix| !prefix.is_empty() && manager.starts_with(prefix.as_str()));
    let exact = manager == takeover.manager.field_manager || manager == "before-first-apply";
    (prefixed && matches!(operation, "Apply" | "Update")) || (exact && operation == "Update")
}

/// Whether the object carries traces of other tools that must go before it is applied. Annotations and labels that
/// the desired object itself has do not count: taking them away would only bring them back.
pub fn needs_cleanup(object: &Value, desired: &Value, takeover: &Takeover<'_>) -> bool {
    !foreign_metadata(object, desired).is_empty() || entries(object).any(|e| is_foreign(e, takeover))
}

fn foreign_metadata(object: &Value, desired: &Value) -> Vec<(&'static str, &'static str)> {
    let annotations = FOREIGN_ANNOTATIONS
        .iter()
        .filter(|k| annotation(object, k).is_some() && annotation(desired, k).is_none());
    let labels = FOREIGN_LABELS.iter().filter(|k| label(object, k).is_some() && label(desired, k).is_none());
    annotations.map(|k| ("annotations", *k)).chain(labels.map(|k| ("labels", *k))).collect()
}

/// The JSON patch that removes the traces from the live object: foreign entries are merged into ours, so that the next
/// apply removes what is not desired. It fails with a conflict if the object changed meanwhile. `None` if there is
/// nothing to do.
pub fn cleanup_patch(live: &Value, desired: &Value, takeover: &Takeover<'_>) -> Option<Value> {
    let mut ops: Vec<Value> = foreign_metadata(live, desired)
        .into_iter()
        .map(|(field, key)| json!({"op": "remove", "path": format!("/metadata/{field}/{}", key.replace('/', "~1"))}))
        .collect();
    ops.extend(taken_over(live, &takeover.manager, |entry| is_foreign(entry, takeover)));
    conditional(live, ops)
}

/// The JSON patch that merges the entries of the field managers with these very names into that of `manager`, whatever they did
/// to the object itself. It fails with a conflict if the object changed meanwhile. `None` if there are none.
pub fn takeover_patch(live: &Value, manager: &Manager, names: &[String]) -> Option<Value> {
    let is_theirs = |entry: &Value| {
        text(entry, "subresource").is_empty()
            && matches!(text(entry, "operation"), "Apply" | "Update")
            && names.iter().any(|name| name == text(entry, "manager"))
            && !is_own(entry, manager)
    };
    conditional(live, taken_over(live, manager, is_theirs).into_iter().collect())
}

/// The JSON patch that moves every entry of the live object to one version, status and other managers included. It fails
/// with a conflict if the object changed meanwhile. `None` if all are there.
pub(crate) fn migration_patch(live: &Value, api_version: &str) -> Option<Value> {
    let mut migrated: Vec<Value> = entries(live).cloned().collect();
    let stale = migrated.iter_mut().filter(|e| text(e, "apiVersion") != api_version);
    let moved =
        stale.filter_map(Value::as_object_mut).map(|e| e.insert("apiVersion".into(), api_version.into()));
    let ops = match moved.count() {
        0 => Vec::new(),
        _ => vec![json!({"op": "replace", "path": "/metadata/managedFields", "value": migrated})],
    };
    conditional(live, ops)
}

/// The patch for exactly this version of the live object; `None` if there is nothing to do.
fn conditional(live: &Value, mut ops: Vec<Value>) -> Option<Value> {
    if ops.is_empty() {
        return None;
    }
    ops.push(
        json!({"op": "replace", "path": "/metadata/resourceVersion", "value": meta(live, "resourceVersion")}),
    );
    Some(Value::Array(ops))
}

/// The operation that merges foreign entries of managedFields into ours, which goes last. Without an entry of ours the first
/// foreign one becomes it, with its version and time.
fn taken_over(live: &Value, manager: &Manager, is_foreign: impl Fn(&Value) -> bool) -> Option<Value> {
    let (foreign, mut rest): (Vec<_>, Vec<_>) = entries(live).cloned().partition(is_foreign);
    let mut foreign = foreign.into_iter();
    let mut ours = match rest.iter().rposition(|e| is_own(e, manager)) {
        Some(at) if foreign.len() > 0 => rest.remove(at),
        _ => {
            let mut first = foreign.next()?;
            if let Value::Object(fields) = &mut first {
                fields.insert("manager".into(), manager.field_manager.into());
                fields.insert("operation".into(), "Apply".into());
            }
            first
        }
    };
    for entry in foreign {
        let fields = |e: &Value| e.get("fieldsV1").and_then(Value::as_object).cloned().unwrap_or_default();
        let merged = union(fields(&ours), fields(&entry));
        if let Value::Object(ours) = &mut ours {
            ours.insert("fieldsV1".into(), Value::Object(merged));
        }
    }
    rest.push(ours);
    Some(json!({"op": "replace", "path": "/metadata/managedFields", "value": rest}))
}

/// Union of two field sets. A node without children is a member; one with children is a member only if it holds `.`.
fn union(a: Map<String, Value>, b: Map<String, Value>) -> Map<String, Value> {
    let mut all: BTreeMap<String, Value> = a.into_iter().collect();
    for (key, theirs) in b {
        let merged = match (all.remove(&key), theirs) {
            (Some(Value::Object(x)), Value::Object(y)) => {
                let leaf = x.is_empty() || y.is_empty();
                let mut node = union(x, y);
                if leaf && !node.is_empty() {
                    node.insert(".".into(), json!({}));
                }
                Value::Object(node)
            }
            (_, theirs) => theirs,
        };
        all.insert(key, merged);
    }
    all.into_iter().collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::manager::TEST_MANAGER as MANAGER;

    fn takeover(prefixes: &[String]) -> Takeover<'_> {
        Takeover { manager: MANAGER, prefixes }
    }

    fn entry(manager: &str, operation: &str, subresource: &str, fields: Value) -> Value {
        let mut e = json!({"manager": manager, "operation": operation, "apiVersion": "v1", "time": "2026-01-02T03:04:05Z",
            "fieldsType": "FieldsV1", "fieldsV1": fields});
        if !subresource.is_empty() {
            e["subresource"] = subresource.into();
        }
        e
    }

    fn object(entries: Vec<Value>) -> Value {
        json!({"metadata": {"resourceVersion": "7", "managedFields": entries}})
    }

    fn fingerprint(entries: Vec<Value>) -> u64 {
        Owners::of(&object(entries), &MANAGER).fingerprint()
    }

    fn ours() -> Value {
        entry(MANAGER.field_manager, "Apply", "", json!({"f:data": {"f:a": {}}}))
    }

    #[test]
    fn the_fingerprint_ignores_times_order_and_status_writes() {
        let other = entry("x", "Update", "", json!({"f:data": {"f:b": {}}}));
        let first = fingerprint(vec![ours(), other.clone()]);
        let mut later = ours();
        later["time"] = "2027-01-01T00:00:00Z".into();
        let status = entry("kcm", "Update", "status", json!({"f:status": {}}));
        assert_eq!(first, fingerprint(vec![other, later, status]));
    }

    #[test]
    fn the_fingerprint_changes_with_managers_operations_versions_subresources_and_fields() {
        let first = fingerprint(vec![ours()]);
        let fields = json!({"f:data": {"f:a": {}}});
        let mut version = ours();
        version["apiVersion"] = "v2".into();
        for changed in [
            vec![],
            vec![version],
            vec![entry("x", "Apply", "", fields.clone())],
            vec![entry(MANAGER.field_manager, "Update", "", fields.clone())],
            vec![entry(MANAGER.field_manager, "Apply", "scale", fields.clone())],
            vec![entry(MANAGER.field_manager, "Apply", "", json!({"f:data": {"f:b": {}}}))],
            vec![ours(), entry("x", "Update", "", fields)],
        ] {
            assert_ne!(first, fingerprint(changed.clone()), "{changed:?}");
        }
    }

    #[test]
    fn our_time_is_that_of_our_own_entry() {
        let mut other = entry("x", "Apply", "", json!({}));
        other["time"] = "2030-01-01T00:00:00Z".into();
        let time = own_time(&object(vec![other, ours()]), &MANAGER).unwrap();
        assert_eq!(time.to_string(), "2026-01-02T03:04:05Z");
        assert_eq!(own_time(&object(vec![]), &MANAGER), None);
    }

    #[test]
    fn the_last_foreign_manager_is_the_latest_that_did_not_write_the_status() {
        let at = |manager: &str, subresource: &str, time: &str| {
            let mut entry = entry(manager, "Update", subresource, json!({}));
            entry["time"] = time.into();
            entry
        };
        let live = object(vec![
            at("first", "", "2026-01-01T00:00:00Z"),
            at("hpa", "scale", "2026-01-03T00:00:00Z"),
            at("kcm", "status", "2026-01-04T00:00:00Z"),
            ours(),
        ]);
        assert_eq!(last_foreign_manager(&live, &MANAGER), Some("hpa"));
        assert_eq!(last_foreign_manager(&object(vec![ours()]), &MANAGER), None);
    }

    #[test]
    fn the_known_foreign_managers_are_taken_over_and_no_others() {
        let banned = ["helm".to_owned()];
        for (manager, operation, subresource, expected) in [
            ("kubectl", "Apply", "", true),
            ("kubectl-client-side-apply", "Update", "", true),
            ("kubectl-edit", "Update", "scale", false),
            ("before-first-apply", "Update", "", true),
            ("before-first-apply-x", "Update", "", false),
            (MANAGER.field_manager, "Update", "", true),
            (MANAGER.field_manager, "Apply", "", false),
            ("helm-x", "Update", "", true),
            ("flux-client-side-apply", "Update", "", false),
            ("kube-controller-manager", "Update", "", false),
        ] {
            let o = object(vec![ours(), entry(manager, operation, subresource, json!({}))]);
            assert_eq!(needs_cleanup(&o, &json!({}), &takeover(&banned)), expected, "{manager} {operation}");
            assert_eq!(
                cleanup_patch(&o, &json!({}), &takeover(&banned)).is_some(),
                expected,
                "{manager} {operation}"
            );
        }
    }

    #[test]
    fn foreign_fields_are_merged_into_our_entry_which_goes_last() {
        let stays = entry("other", "Update", "", json!({"f:z": {}}));
        let live = object(vec![
            ours(),
            entry(
                "kubectl-edit",
                "Update",
                "",
                json!({"f:data": {".": {}, "f:b": {}}, "f:metadata": {"f:labels": {"f:x": {}}}}),
            ),
            stays.clone(),
        ]);
        let patch = cleanup_patch(&live, &json!({}), &takeover(&[])).unwrap();
        assert_eq!(patch[0]["path"], "/metadata/managedFields");
        assert_eq!(patch[0]["value"][0], stays);
        assert_eq!(
            patch[0]["value"][1]["fieldsV1"],
            json!({"f:data": {".": {}, "f:a": {}, "f:b": {}}, "f:metadata": {"f:labels": {"f:x": {}}}})
        );
        assert_eq!(patch[1], json!({"op": "replace", "path": "/metadata/resourceVersion", "value": "7"}));
    }

    #[test]
    fn without_an_entry_of_ours_the_first_foreign_one_becomes_it() {
        let live = object(vec![
            entry("kubectl", "Update", "", json!({"f:a": {}})),
            entry("kubectl-x", "Apply", "", json!({"f:b": {}})),
        ]);
        let patch = cleanup_patch(&live, &json!({}), &takeover(&[])).unwrap();
        let entries = patch[0]["value"].as_array().unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0], entry(MANAGER.field_manager, "Apply", "", json!({"f:a": {}, "f:b": {}})));
    }

    #[test]
    fn traces_in_metadata_are_removed_unless_desired() {
        let key = "kubectl.kubernetes.io/last-applied-configuration";
        let live = json!({"metadata": {"resourceVersion": "1", "annotations": {(key): "{}"}, "labels": {"fluxcd.io/sync-gc-mark": "x"}}});
        let patch = cleanup_patch(&live, &json!({}), &takeover(&[])).unwrap();
        assert_eq!(
            patch[0]["path"],
            "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration"
        );
        assert_eq!(patch[1]["path"], "/metadata/labels/fluxcd.io~1sync-gc-mark");
        assert!(needs_cleanup(&live, &json!({"metadata": {"annotations": {(key): "{}"}}}), &takeover(&[])));
        assert!(!needs_cleanup(&live, &live, &takeover(&[])));
    }

    #[test]
    fn migration_moves_every_entry_to_the_version_and_does_nothing_twice() {
        let mut theirs = entry("x", "Update", "status", json!({"f:status": {}}));
        theirs["apiVersion"] = "v1beta1".into();
        let live = object(vec![ours(), theirs.clone()]);
        let patch = migration_patch(&live, "v1").unwrap();
        theirs["apiVersion"] = "v1".into();
        assert_eq!(patch[0]["value"], json!([ours(), theirs]));
        assert_eq!(patch[1]["path"], "/metadata/resourceVersion");
        assert_eq!(migration_patch(&object(vec![ours(), theirs]), "v1"), None);
    }

    #[test]
    fn union_keeps_a_member_that_has_children_elsewhere() {
        let map = |v: Value| v.as_object().unwrap().clone();
        let u = |a, b| Value::Object(union(map(a), map(b)));
        assert_eq!(u(json!({"f:a": {}}), json!({"f:a": {"f:b": {}}})), json!({"f:a": {".": {}, "f:b": {}}}));
        assert_eq!(
            u(json!({"f:a": {"f:c": {}}}), json!({"f:a": {"f:b": {}}})),
            json!({"f:a": {"f:b": {}, "f:c": {}}})
        );
        assert_eq!(u(json!({"f:a": {}}), json!({"f:a": {}})), json!({"f:a": {}}));
        assert_eq!(u(json!({}), json!({"v:1": {}})), json!({"v:1": {}}));
    }
}
