//! Values as Helm merges them.

use serde_json::{Map, Value as Json};

/// Merges `overlay` into `base` as Helm does with the values of several files: what is a mapping in both is merged in turn, and
/// anything else of `overlay` replaces what `base` has, a null included. The recursion is as deep as the values.
pub fn merge_values(base: &mut Map<String, Json>, overlay: Map<String, Json>) {
    for (key, value) in overlay {
        match (base.get_mut(&key), value) {
            (Some(Json::Object(below)), Json::Object(above)) => merge_values(below, above),
            (_, value) => drop(base.insert(key, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn mappings_are_merged_and_anything_else_is_replaced() {
        for (base, overlay, merged) in [
            (json!({"a": 1, "b": 2}), json!({"b": 3, "c": 4}), json!({"a": 1, "b": 3, "c": 4})),
            (json!({"a": {"x": 1, "y": 2}}), json!({"a": {"y": 3}}), json!({"a": {"x": 1, "y": 3}})),
            (json!({"a": [1, 2]}), json!({"a": [3]}), json!({"a": [3]})),
            (json!({"a": {"x": 1}}), json!({"a": null}), json!({"a": null})),
            (json!({"a": {"x": 1}}), json!({"a": 1}), json!({"a": 1})),
            (json!({"a": null}), json!({"a": {"x": 1}}), json!({"a": {"x": 1}})),
        ] {
            let (Json::Object(mut into), Json::Object(overlay)) = (base, overlay) else { continue };
            merge_values(&mut into, overlay);
            assert_eq!(Json::Object(into), merged);
        }
    }
}
