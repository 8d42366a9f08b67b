//! Fields that are left to others: `spec.ignore` of a Kustomization.
//!
//! A difference in such a field alone is no reason to apply. When an object is applied for another reason, the field keeps
//! its live value: it is left out of what is sent if another manager applies it too, so that we give it up, and sent as it is
//! otherwise. An object that does not exist is created with all its fields.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::manager::Manager;
use crate::ownership::applied_fields;

/// Tells whether a rule is for an object.
pub type Target = Arc<dyn Fn(&Value) -> bool + Send + Sync>;

/// One rule.
pub struct Rule {
    /// JSON pointers (RFC 6901). One that is malformed ignores nothing.
    pub paths: Vec<String>,
    /// Which objects it is for; `None` for all.
    pub target: Option<Target>,
}

/// How many rules there may be: each is looked at for each object.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Rules.
    pub rules: usize,
    /// Paths of all rules together.
    pub paths: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rules: 256, paths: 1024 }
    }
}

/// More rules than the limits allow.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("ignore has {found} {what}, more than {limit}")]
pub struct TooMany {
    what: &'static str,
    found: usize,
    limit: usize,
}

/// The rules of one Kustomization. None by default.
#[derive(Clone, Default)]
pub struct Rules(Arc<[(Vec<Pointer>, Option<Target>)]>);

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(paths, _)| paths)).finish()
    }
}

impl Rules {
    /// Takes the rules.
    ///
    /// # Errors
    /// If there are too many.
    pub fn new(rules: Vec<Rule>, limits: Limits) -> Result<Self, TooMany> {
        let paths = rules.iter().map(|rule| rule.paths.len()).sum();
        for (what, found, limit) in [("rules", rules.len(), limits.rules), ("paths", paths, limits.paths)] {
            if found > limit {
                return Err(TooMany { what, found, limit });
            }
        }
        let read = |rule: Rule| (rule.paths.iter().filter_map(|p| Pointer::parse(p)).collect(), rule.target);
        Ok(Self(rules.into_iter().map(read).collect()))
    }

    /// The fields that are ignored in an object, which must be as the server shows it.
    pub fn of(&self, object: &Value) -> Ignored {
        let matching = self.0.iter().filter(|(_, target)| target.as_ref().is_none_or(|is| is(object)));
        let mut paths: Vec<Pointer> = matching.flat_map(|(paths, _)| paths).cloned().collect();
        // The last item of a list goes first, so that the others keep their places.
        paths.sort_by(|a, b| b.cmp(a));
        paths.dedup();
        Ignored(paths)
    }
}

/// The ignored fields of one object.
#[derive(Clone, Debug, Default)]
pub struct Ignored(Vec<Pointer>);

impl Ignored {
    /// The object without its ignored fields.
    pub fn strip<'a>(&self, object: &'a Value) -> Cow<'a, Value> {
        if self.0.is_empty() {
            return Cow::Borrowed(object);
        }
        let mut stripped = object.clone();
        self.0.iter().for_each(|path| path.remove(&mut stripped));
        Cow::Owned(stripped)
    }

    /// Remembers what a dry-run made of the ignored fields; `None` if there are none.
    pub(crate) fn pending(self, answer: &Value) -> Option<Pending> {
        let pending: Vec<_> = self.0.into_iter().map(|path| (path.get(answer).cloned(), path)).collect();
        (!pending.is_empty()).then_some(Pending(pending))
    }
}

/// Ignored fields of an object that is to be applied, each with the value it would get.
#[derive(Debug)]
pub(crate) struct Pending(Vec<(Option<Value>, Pointer)>);

impl Pending {
    /// What to apply to a live object: the desired one, but in ignored fields that would change.
    pub fn payload(&self, desired: &Value, live: &Value, manager: &Manager) -> Value {
        let mut payload = desired.clone();
        for (wanted, path) in &self.0 {
            let value = path.get(live);
            if value == wanted.as_ref() {
                continue;
            }
            let steps = path.steps(live);
            match value {
                Some(value) if !is_applied_by_another(live, &steps, manager) => {
                    set(&mut payload, &steps, value)
                }
                _ => unset(&mut payload, &steps),
            }
        }
        payload
    }
}

/// A JSON pointer, its tokens unescaped. Ordered so that items of a list are in their order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pointer(Vec<(Option<usize>, String)>);

impl Pointer {
    /// `None` if it is malformed, or means the whole object.
    fn parse(text: &str) -> Option<Self> {
        let tokens = text.strip_prefix('/')?.split('/');
        let tokens = tokens.map(|token| token.replace("~1", "/").replace("~0", "~"));
        Some(Self(tokens.map(|token| (token.parse().ok(), token)).collect()))
    }

    fn get<'a>(&self, object: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(object, |value, (index, name)| match value {
            Value::Array(items) => items.get((*index)?),
            other => other.get(name),
        })
    }

    fn remove(&self, object: &mut Value) {
        let Some(((index, name), parents)) = self.0.split_last() else { return };
        let parent = parents.iter().try_fold(object, |value, (index, name)| match value {
            Value::Array(items) => items.get_mut((*index)?),
            other => other.get_mut(name),
        });
        match (parent, index) {
            (Some(Value::Object(fields)), _) => drop(fields.shift_remove(name)),
            (Some(Value::Array(items)), Some(index)) if *index < items.len() => drop(items.remove(*index)),
            _ => {}
        }
    }

    /// The way through a live object, with items of lists called as in managedFields.
    fn steps(&self, live: &Value) -> Vec<Step> {
        let mut nodes: Vec<&Map<String, Value>> = applied_fields(live).map(|(_, fields)| fields).collect();
        let mut value = Some(live);
        let mut steps = Vec::with_capacity(self.0.len());
        for (index, name) in &self.0 {
            let (step, next) = match (value, index) {
                (Some(Value::Array(items)), Some(index)) => {
                    let item = items.get(*index);
                    let keys = nodes.iter().flat_map(|node| node.keys());
                    let key =
                        item.and_then(|item| keys.filter_map(|k| ItemKey::parse(k)).find(|k| k.is_of(item)));
                    (Step::Item(*index, key), item)
                }
                (value, _) => (Step::Field(name.clone()), value.and_then(|v| v.get(name))),
            };
            nodes = nodes.into_iter().filter_map(|node| step.down(node)?.as_object()).collect();
            value = next;
            steps.push(step);
        }
        steps
    }
}

/// One step into an object.
#[derive(Debug)]
enum Step {
    Field(String),
    /// An item by its place and, in a list with keys, by its key.
    Item(usize, Option<ItemKey>),
}

impl Step {
    /// Into a node of managedFields.
    fn down<'a>(&self, node: &'a Map<String, Value>) -> Option<&'a Value> {
        match self {
            Self::Field(name) => node.get(&format!("f:{name}")),
            Self::Item(_, key) => node.get(&key.as_ref()?.text),
        }
    }

    /// The place of the item in a list that may have others before it.
    fn place(&self, items: &[Value]) -> Option<usize> {
        match self {
            Self::Field(_) => None,
            Self::Item(_, Some(key)) => items.iter().position(|item| key.is_of(item)),
            Self::Item(index, None) => (*index < items.len()).then_some(*index),
        }
    }

    fn into<'a>(&self, value: &'a mut Value) -> Option<&'a mut Value> {
        match (self, value) {
            (Self::Field(name), Value::Object(fields)) => fields.get_mut(name),
            (step, Value::Array(items)) => {
                let place = step.place(items)?;
                items.get_mut(place)
            }
            _ => None,
        }
    }
}

/// The key of an item in managedFields: `k:{"name":"web"}`.
#[derive(Debug)]
struct ItemKey {
    text: String,
    fields: Map<String, Value>,
}

impl ItemKey {
    fn parse(text: &str) -> Option<Self> {
        let fields = serde_json::from_str(text.strip_prefix("k:")?).ok()?;
        Some(Self { text: text.to_owned(), fields })
    }

    fn is_of(&self, item: &Value) -> bool {
        self.fields.iter().all(|(name, value)| item.get(name) == Some(value))
    }
}

/// Whether somebody else applies the field, by the whole object and not by a subresource.
fn is_applied_by_another(live: &Value, steps: &[Step], own: &Manager) -> bool {
    let Some((last, parents)) = steps.split_last() else { return false };
    applied_fields(live).any(|(manager, fields)| {
        let parent = parents.iter().try_fold(fields, |node, step| step.down(node)?.as_object());
        manager != own.field_manager && parent.and_then(|node| last.down(node)).is_some()
    })
}

fn set(object: &mut Value, steps: &[Step], value: &Value) {
    let Some((last, parents)) = steps.split_last() else { return };
    match (last, parents.iter().try_fold(object, |parent, step| step.into(parent))) {
        (Step::Field(name), Some(Value::Object(fields))) => drop(fields.insert(name.clone(), value.clone())),
        (item, Some(list)) => {
            if let Some(slot) = item.into(list) {
                *slot = value.clone();
            }
        }
        (_, None) => {}
    }
}

fn unset(object: &mut Value, steps: &[Step]) {
    let Some((last, parents)) = steps.split_last() else { return };
    match (last, parents.iter().try_fold(object, |parent, step| step.into(parent))) {
        (Step::Field(name), Some(Value::Object(fields))) => drop(fields.shift_remove(name)),
        (item, Some(Value::Array(items))) => {
            if let Some(place) = item.place(items) {
                items.remove(place);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::manager::TEST_MANAGER as MANAGER;
    use serde_json::json;

    fn rules(paths: &[&str]) -> Rules {
        let paths = paths.iter().map(|p| (*p).to_owned()).collect();
        Rules::new(vec![Rule { paths, target: None }], Limits::default()).unwrap()
    }

    fn stripped(paths: &[&str], object: Value) -> Value {
        rules(paths).of(&object).strip(&object).into_owned()
    }

    fn entry(manager: &str, operation: &str, subresource: &str, fields: Value) -> Value {
        json!({"manager": manager, "operation": operation, "subresource": subresource, "fieldsV1": fields})
    }

    fn deployment(replicas: u32, managers: Value) -> Value {
        json!({"metadata": {"managedFields": managers}, "spec": {"replicas": replicas, "paused": false}})
    }

    fn payload(path: &str, desired: Value, answer: &Value, live: &Value) -> Value {
        rules(&[path]).of(answer).pending(answer).unwrap().payload(&desired, live, &MANAGER)
    }

    #[test]
    fn ignored_fields_are_left_out_of_the_comparison_and_bad_pointers_do_nothing() {
        let object = json!({"a": {"b/c": 1, "~": 2, "d": 3}, "l": [0, 1, 2, 3]});
        for (paths, left) in [
            (vec!["/a/b~1c", "/a/~0"], json!({"a": {"d": 3}, "l": [0, 1, 2, 3]})),
            (vec!["/l/1", "/l/3", "/l/2"], json!({"a": object["a"], "l": [0]})),
            (vec!["", "a/d", "/", "/a/x/y", "/l/9", "/l/-", "/l/x", "/a/d/e"], object.clone()),
            (vec!["/a", "/a/d"], json!({"l": [0, 1, 2, 3]})),
        ] {
            assert_eq!(stripped(&paths, object.clone()), left, "{paths:?}");
        }
    }

    #[test]
    fn a_rule_is_for_the_objects_it_targets() {
        let target: Target = Arc::new(|object| object["kind"] == "A");
        let rule = Rule { paths: vec!["/x".into()], target: Some(target) };
        let rules = Rules::new(vec![rule], Limits::default()).unwrap();
        for (kind, left) in [("A", json!({"kind": "A"})), ("B", json!({"kind": "B", "x": 1}))] {
            let object = json!({"kind": kind, "x": 1});
            assert_eq!(*rules.of(&object).strip(&object), left);
        }
    }

    #[test]
    fn rules_and_paths_are_limited() {
        let rule = || Rule { paths: vec!["/x".into(), "/y".into()], target: None };
        let limits = Limits { rules: 2, paths: 3 };
        assert!(Rules::new(vec![rule()], limits).is_ok());
        let error = |n: usize| Rules::new((0..n).map(|_| rule()).collect(), limits).unwrap_err().to_string();
        assert_eq!(error(2), "ignore has 4 paths, more than 3");
        assert_eq!(error(3), "ignore has 3 rules, more than 2");
    }

    #[test]
    fn a_field_that_another_applies_is_given_up() {
        let replicas = json!({"f:spec": {"f:replicas": {}}});
        let ours = entry(MANAGER.field_manager, "Apply", "", replicas.clone());
        let desired = json!({"spec": {"replicas": 2, "paused": true}});
        for (theirs, sent) in [
            (entry("hpa", "Apply", "", replicas.clone()), json!({"spec": {"paused": true}})),
            (
                entry("hpa", "Apply", "scale", replicas.clone()),
                json!({"spec": {"replicas": 9, "paused": true}}),
            ),
            (entry("hpa", "Update", "", replicas.clone()), json!({"spec": {"replicas": 9, "paused": true}})),
            (
                entry("hpa", "Apply", "", json!({"f:spec": {"f:paused": {}}})),
                json!({"spec": {"replicas": 9, "paused": true}}),
            ),
        ] {
            let live = deployment(9, json!([ours, theirs]));
            let answer = deployment(2, json!([]));
            assert_eq!(payload("/spec/replicas", desired.clone(), &answer, &live), sent, "{theirs}");
        }
    }

    #[test]
    fn a_field_that_does_not_change_is_sent_as_desired() {
        let theirs = json!([entry("hpa", "Apply", "", json!({"f:spec": {"f:replicas": {}}}))]);
        let (live, answer) = (deployment(2, theirs), deployment(2, json!([])));
        let desired = json!({"spec": {"replicas": 2}});
        assert_eq!(payload("/spec/replicas", desired.clone(), &answer, &live), desired);
    }

    #[test]
    fn a_field_that_the_live_object_does_not_have_is_not_brought_back() {
        let (answer, live) = (deployment(2, json!([])), json!({"spec": {"paused": false}}));
        let desired = json!({"spec": {"replicas": 2, "paused": true}});
        assert_eq!(payload("/spec/replicas", desired, &answer, &live), json!({"spec": {"paused": true}}));
    }

    #[test]
    fn an_item_of_a_list_is_found_by_its_key_whatever_stands_before_it() {
        let container = |name: &str, cpu: u32| json!({"name": name, "resources": {"cpu": cpu}});
        let fields = json!({"f:spec": {"f:containers": {"k:{\"name\":\"web\"}": {".": {}, "f:name": {}, "f:resources": {"f:cpu": {}}}}}});
        let pod = |cpu: u32, managers: Value| json!({"metadata": {"managedFields": managers}, "spec": {"containers": [container("proxy", 1), container("web", cpu)]}});
        let desired = json!({"spec": {"containers": [container("web", 2)]}});
        let path = "/spec/containers/1/resources";
        let ours = entry(MANAGER.field_manager, "Apply", "", fields.clone());
        let live = pod(9, json!([ours, entry("vpa", "Apply", "", fields.clone())]));
        let sent = payload(path, desired.clone(), &pod(2, json!([])), &live);
        assert_eq!(sent, json!({"spec": {"containers": [{"name": "web"}]}}));
        let live = pod(9, json!([ours, entry("vpa", "Update", "", fields)]));
        let sent = payload(path, desired.clone(), &pod(2, json!([])), &live);
        assert_eq!(sent, json!({"spec": {"containers": [container("web", 9)]}}));
        // An item that is not ours: nothing of it is sent.
        let proxy = entry(
            "injector",
            "Apply",
            "",
            json!({"f:spec": {"f:containers": {"k:{\"name\":\"proxy\"}": {"f:resources": {}}}}}),
        );
        let live = pod(2, json!([ours, proxy]));
        let mut answer = pod(2, json!([]));
        answer["spec"]["containers"][0]["resources"]["cpu"] = 7.into();
        assert_eq!(payload("/spec/containers/0/resources", desired.clone(), &answer, &live), desired);
    }
}
