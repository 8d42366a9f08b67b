//! Patches that a client makes of an old manifest, a new one and the live object, as `kubectl apply` does
//! (`strategicpatch.CreateThreeWayMergePatch`, `jsonmergepatch`): what is new or differs from the live object is set, what was in the old
//! manifest and is not in the new one goes, and what others have set stays.

use serde_json::{Map, Value, json};

use super::patch_types::{Shape, Type};

/// A list of maps has one without the key by which it merges.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an item of {field} does not contain declared merge key: {key}")]
pub struct PatchError {
    field: String,
    key: &'static str,
}

type Object = Map<String, Value>;

/// The JSON merge patch; empty if there is nothing to do.
pub(super) fn merge(old: &Value, new: &Value, live: &Value) -> Value {
    let patch = match (old, new, live) {
        (Value::Object(old), Value::Object(new), Value::Object(live)) => {
            // Without types there are no lists that could be at fault.
            maps(old, new, live, Type::Other).unwrap_or_default()
        }
        _ => Object::new(),
    };
    Value::Object(patch)
}

/// The strategic merge patch; empty if there is nothing to do.
///
/// # Errors
/// A list cannot be merged.
pub(super) fn strategic(old: &Value, new: &Value, live: &Value, of: Type) -> Result<Value, PatchError> {
    let patch = match (old, new, live) {
        (Value::Object(old), Value::Object(new), Value::Object(live)) => maps(old, new, live, of)?,
        _ => Object::new(),
    };
    Ok(Value::Object(patch))
}

fn maps(old: &Object, new: &Object, live: &Object, of: Type) -> Result<Object, PatchError> {
    let mut patch = Object::new();
    for (name, wanted) in new {
        field(&mut patch, name, (old.get(name), wanted, live.get(name)), of.field(name))?;
    }
    for name in old.keys().filter(|name| !new.contains_key(*name) && live.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    Ok(patch)
}

fn field(
    patch: &mut Object,
    name: &str,
    (old, new, live): (Option<&Value>, &Value, Option<&Value>),
    shape: Option<Shape>,
) -> Result<(), PatchError> {
    if live == Some(new) || (new.is_null() && live.is_none()) {
        return Ok(());
    }
    let (empty, none) = (Object::new(), Vec::new());
    let (old_map, old_list) = (old.and_then(Value::as_object), old.and_then(Value::as_array));
    let old_list = old_list.unwrap_or(&none);
    let changed = match (new, live, shape) {
        (Value::Object(new), Some(Value::Object(_)), Some(Shape::Replaced)) => {
            let mut whole = new.clone();
            whole.insert("$patch".to_owned(), "replace".into());
            Value::Object(whole)
        }
        (Value::Object(new), Some(Value::Object(live)), shape) => {
            let of = match shape {
                Some(Shape::Map(of)) => of,
                _ => Type::Other,
            };
            let mut inner = maps(old_map.unwrap_or(&empty), new, live, of)?;
            if matches!(shape, Some(Shape::Retained)) {
                retain(&mut inner, new, live);
            }
            if inner.is_empty() {
                return Ok(());
            }
            Value::Object(inner)
        }
        (Value::Array(new), Some(Value::Array(live)), Some(Shape::List(key, of))) => {
            return list(patch, name, (old_list, new, live), key, Some(of));
        }
        (Value::Array(new), Some(Value::Array(live)), Some(Shape::RetainedList(key))) => {
            return list(patch, name, (old_list, new, live), key, None);
        }
        (Value::Array(new), Some(Value::Array(live)), Some(Shape::Set)) => {
            set(patch, name, old_list, new, live);
            return Ok(());
        }
        (whole, _, _) => whole.clone(),
    };
    patch.insert(name.to_owned(), changed);
    Ok(())
}

/// Says which keys a map has, if the live one has others: the API server drops them.
fn retain(patch: &mut Object, new: &Object, live: &Object) {
    if !patch.is_empty() || live.keys().any(|name| !new.contains_key(name)) {
        let mut keys: Vec<&String> = new.keys().collect();
        keys.sort();
        patch.insert("$retainKeys".to_owned(), json!(keys));
    }
}

/// A list that merges by a key. Without a type its items keep no key but those of the patch.
fn list(
    patch: &mut Object,
    name: &str,
    (old, new, live): (&[Value], &[Value], &[Value]),
    key: &'static str,
    of: Option<Type>,
) -> Result<(), PatchError> {
    let fault = || PatchError { field: name.to_owned(), key };
    let find = |list: &[Value], of: &Value| list.iter().find(|item| item.get(key) == Some(of)).cloned();
    let mut items = Vec::new();
    let mut order = Vec::new();
    for item in new {
        let identity = item.get(key).ok_or_else(fault)?;
        order.push(json!({key: identity}));
        let (Some(Value::Object(there)), Value::Object(wanted)) = (find(live, identity), item) else {
            items.push(item.clone());
            continue;
        };
        let before = find(old, identity).and_then(|before| before.as_object().cloned()).unwrap_or_default();
        let mut inner = maps(&before, wanted, &there, of.unwrap_or(Type::Other))?;
        if of.is_none() {
            retain(&mut inner, wanted, &there);
        }
        if !inner.is_empty() {
            inner.insert(key.to_owned(), identity.clone());
            items.push(Value::Object(inner));
        }
    }
    for item in old {
        let identity = item.get(key).ok_or_else(fault)?;
        if find(new, identity).is_none() && find(live, identity).is_some() {
            items.push(json!({"$patch": "delete", key: identity}));
        }
    }
    if !items.is_empty() {
        patch.insert(name.to_owned(), Value::Array(items));
        patch.insert(format!("$setElementOrder/{name}"), Value::Array(order));
    }
    Ok(())
}

/// A list of texts, each of which is there or not.
fn set(patch: &mut Object, name: &str, old: &[Value], new: &[Value], live: &[Value]) {
    let added: Vec<&Value> = new.iter().filter(|item| !live.contains(item)).collect();
    let gone: Vec<&Value> = old.iter().filter(|item| !new.contains(item) && live.contains(item)).collect();
    if !added.is_empty() {
        patch.insert(name.to_owned(), json!(added));
        patch.insert(format!("$setElementOrder/{name}"), json!(new));
    }
    if !gone.is_empty() {
        patch.insert(format!("$deleteFromPrimitiveList/{name}"), json!(gone));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::patch_types::type_of;
    use super::*;

    fn deployment(spec: Value) -> Value {
        json!({"spec": {"template": {"spec": spec}}})
    }

    fn patch(old: Value, new: Value, live: Value) -> Value {
        let of = type_of("apps", "Deployment").unwrap();
        let patch = strategic(&deployment(old), &deployment(new), &deployment(live), of).unwrap();
        patch.pointer("/spec/template/spec").cloned().unwrap_or(patch)
    }

    #[test]
    fn what_others_added_stays_and_what_is_not_wanted_any_more_goes() {
        let old = json!({"data": {"a": "1", "b": "2"}});
        let new = json!({"data": {"a": "3"}});
        let live = json!({"data": {"a": "1", "b": "2", "theirs": "x"}, "status": {}});
        assert_eq!(merge(&old, &new, &live), json!({"data": {"a": "3", "b": null}}));
        assert_eq!(merge(&new, &new, &json!({"data": {"a": "3", "theirs": "x"}})), json!({}));
    }

    #[test]
    fn containers_merge_by_name() {
        let old = json!({"containers": [{"name": "a", "image": "1"}, {"name": "gone", "image": "1"}]});
        let new = json!({"containers": [{"name": "a", "image": "2"}, {"name": "b", "image": "1"}]});
        let live = json!({"containers": [{"name": "a", "image": "1", "x": "default"}, {"name": "gone", "image": "1"}, {"name": "theirs"}]});
        assert_eq!(
            patch(old, new, live),
            json!({
                "containers": [{"name": "a", "image": "2"}, {"name": "b", "image": "1"}, {"$patch": "delete", "name": "gone"}],
                "$setElementOrder/containers": [{"name": "a"}, {"name": "b"}],
            })
        );
    }

    #[test]
    fn another_kind_of_volume_drops_the_former_one() {
        let old = json!({"volumes": [{"name": "v", "emptyDir": {}}]});
        let new = json!({"volumes": [{"name": "v", "configMap": {"name": "m"}}]});
        let live = json!({"volumes": [{"name": "v", "emptyDir": {}}]});
        assert_eq!(
            patch(old, new, live),
            json!({
                "volumes": [{"name": "v", "configMap": {"name": "m"}, "emptyDir": null, "$retainKeys": ["configMap", "name"]}],
                "$setElementOrder/volumes": [{"name": "v"}],
            })
        );
    }

    #[test]
    fn lists_that_do_not_merge_are_replaced() {
        let list = |items: Value| json!({"containers": [{"name": "a", "command": items}]});
        let changed = patch(list(json!(["x"])), list(json!(["y"])), list(json!(["x", "z"])));
        assert_eq!(changed.pointer("/containers/0/command"), Some(&json!(["y"])));
    }

    #[test]
    fn an_item_without_its_key_is_told() {
        let bad = json!({"spec": {"template": {"spec": {"containers": [{"image": "a"}]}}}});
        let live = deployment(json!({"containers": [{"name": "a"}]}));
        let error = strategic(&bad, &bad, &live, type_of("apps", "Deployment").unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "an item of containers does not contain declared merge key: name");
    }

    #[test]
    fn variables_of_one_policy_merge_and_those_of_the_other_do_not() {
        let policy = |names: &[&str]| {
            let variables: Vec<Value> =
                names.iter().map(|name| json!({"name": name, "expression": "1"})).collect();
            json!({"spec": {"variables": variables}})
        };
        let (old, new) = (policy(&["a", "b"]), policy(&["a"]));
        let patch = |kind| {
            let of = type_of("admissionregistration.k8s.io", kind).unwrap();
            strategic(&old, &new, &old, of).unwrap().pointer("/spec/variables").cloned()
        };
        assert_eq!(patch("ValidatingAdmissionPolicy"), Some(json!([{"$patch": "delete", "name": "b"}])));
        assert_eq!(patch("MutatingAdmissionPolicy"), new.pointer("/spec/variables").cloned());
    }

    #[test]
    fn finalizers_of_others_stay() {
        let meta = |finalizers: Value| json!({"metadata": {"finalizers": finalizers}});
        let of = type_of("", "ConfigMap").unwrap();
        let patch = strategic(
            &meta(json!(["a", "b"])),
            &meta(json!(["b", "c"])),
            &meta(json!(["a", "b", "theirs"])),
            of,
        )
        .unwrap();
        assert_eq!(patch, meta_patch(json!(["c"]), json!(["b", "c"]), json!(["a"])));
    }

    fn meta_patch(added: Value, order: Value, gone: Value) -> Value {
        json!({"metadata": {"finalizers": added, "$setElementOrder/finalizers": order, "$deleteFromPrimitiveList/finalizers": gone}})
    }
}
