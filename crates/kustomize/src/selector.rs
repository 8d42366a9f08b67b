//! Choosing resources by regular expressions and by labels.

mod labels;

use serde_json::Value;

use crate::build::Build;
use crate::cancel::Cancel;
use crate::error::Result;
use crate::flux::SelectorOverride;
use crate::kustomization::Selector;
use crate::meter::Meter;
use crate::options::Limits;
use crate::pattern::Pattern;
use crate::resid::Gvk;
use crate::resmap::ResMap;
use labels::LabelSelector;

/// A compiled selector.
pub(crate) struct Matcher {
    group: Text,
    version: Text,
    kind: Text,
    name: Text,
    namespace: Text,
    labels: LabelSelector,
    annotations: LabelSelector,
}

/// What a text has to be: an anchored regular expression.
enum Text {
    Anything,
    Exactly(String),
    Pattern(Box<Pattern>),
}

impl Text {
    fn new(text: &str, limits: &Limits) -> Result<Self> {
        Ok(if text.is_empty() {
            Self::Anything
        } else if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'/'))
        {
            Self::Exactly(text.to_owned())
        } else {
            Self::Pattern(Box::new(Pattern::new(&format!("^(?:{text})$"), limits)?))
        })
    }

    fn matches(&self, text: &str, meter: &Meter<'_>) -> Result<bool> {
        match self {
            Self::Anything => Ok(true),
            Self::Exactly(wanted) => Ok(wanted == text),
            Self::Pattern(pattern) => pattern.is_match(text, meter),
        }
    }
}

impl Matcher {
    pub fn new(selector: &Selector, limits: &Limits) -> Result<Self> {
        Ok(Self {
            group: Text::new(&selector.group, limits)?,
            version: Text::new(&selector.version, limits)?,
            kind: Text::new(&selector.kind, limits)?,
            name: Text::new(&selector.name, limits)?,
            namespace: Text::new(&selector.namespace, limits)?,
            labels: LabelSelector::parse(&selector.label_selector)?,
            annotations: LabelSelector::parse(&selector.annotation_selector)?,
        })
    }

    pub fn matches_gvk(&self, gvk: &Gvk, meter: &Meter<'_>) -> Result<bool> {
        Ok(self.group.matches(&gvk.group, meter)?
            && self.version.matches(&gvk.version, meter)?
            && self.kind.matches(&gvk.kind, meter)?)
    }

    pub fn matches_name(&self, name: &str, meter: &Meter<'_>) -> Result<bool> {
        self.name.matches(name, meter)
    }

    pub fn matches_namespace(&self, namespace: &str, meter: &Meter<'_>) -> Result<bool> {
        self.namespace.matches(namespace, meter)
    }

    pub fn matches_labels_and_annotations(&self, node: &yaml::Node) -> bool {
        self.labels.matches(|key| lookup(node, "labels", key))
            && self.annotations.matches(|key| lookup(node, "annotations", key))
    }

    /// The exact name it wants, if it is one.
    pub fn exact_name(&self) -> Option<&str> {
        match &self.name {
            Text::Exactly(name) => Some(name),
            Text::Anything | Text::Pattern(_) => None,
        }
    }
}

fn lookup<'a>(node: &'a yaml::Node, map: &str, key: &str) -> Option<&'a str> {
    Some(node.get_path(&["metadata", map, key])?.as_str().unwrap_or_default())
}

/// Chooses Kubernetes objects outside a build by the rules that patches have for their targets.
pub struct ObjectSelector {
    matcher: Matcher,
    limits: Limits,
}

impl ObjectSelector {
    /// Compiles a selector.
    ///
    /// # Errors
    /// If an expression is malformed or beyond the limits.
    pub fn new(selector: &SelectorOverride, limits: &Limits) -> Result<Self> {
        let selector = Selector {
            group: selector.group.clone(),
            version: selector.version.clone(),
            kind: selector.kind.clone(),
            name: selector.name.clone(),
            namespace: selector.namespace.clone(),
            annotation_selector: selector.annotation_selector.clone(),
            label_selector: selector.label_selector.clone(),
        };
        Ok(Self { matcher: Matcher::new(&selector, limits)?, limits: limits.clone() })
    }

    /// Whether an object is selected. One that would take more work than the limits allow is not.
    pub fn matches(&self, object: &Value) -> bool {
        let cancel = Cancel::default();
        self.selects(object, &Meter::over(&self.limits, &cancel)).unwrap_or(false)
    }

    fn selects(&self, object: &Value, meter: &Meter<'_>) -> Result<bool> {
        let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let lookup = |map: &str, key: &str| {
            Some(object.get("metadata")?.get(map)?.get(key)?.as_str().unwrap_or_default())
        };
        let (group, version) = text("/apiVersion").split_once('/').unwrap_or(("", text("/apiVersion")));
        let matcher = &self.matcher;
        Ok(matcher.group.matches(group, meter)?
            && matcher.version.matches(version, meter)?
            && matcher.kind.matches(text("/kind"), meter)?
            && matcher.name.matches(text("/metadata/name"), meter)?
            && matcher.namespace.matches(text("/metadata/namespace"), meter)?
            && matcher.labels.matches(|key| lookup("labels", key))
            && matcher.annotations.matches(|key| lookup("annotations", key)))
    }
}

/// Indexes of the selected resources, in order.
pub(crate) fn select(map: &mut ResMap, selector: &Selector, build: &mut Build<'_>) -> Result<Vec<usize>> {
    let matcher = Matcher::new(selector, &build.options.limits)?;
    let candidates = candidates(map, &matcher);
    build.meter.count_work(candidates.len())?;
    let mut selected = Vec::new();
    for index in candidates {
        let Some(resource) = map.get(index) else { continue };
        let current = resource.id(&build.schema);
        let original = resource.original_id(&build.schema);
        let meter = &build.meter;
        let matches = matcher.matches_gvk(&current.gvk, meter)?
            && (matcher.matches_name(&original.name, meter)?
                || matcher.matches_name(&current.name, meter)?)
            && (matcher.matches_namespace(original.effective_namespace(), meter)?
                || matcher.matches_namespace(current.effective_namespace(), meter)?)
            && matcher.matches_labels_and_annotations(&resource.node);
        if matches {
            selected.push(index);
        }
    }
    Ok(selected)
}

/// Resources worth a look: those of the name, if the selector has exactly one.
pub(crate) fn candidates(map: &mut ResMap, matcher: &Matcher) -> Vec<usize> {
    match matcher.exact_name() {
        Some(name) => map.matching_any_name(name),
        None => (0..map.resources().len()).collect(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    type Field = fn(&mut SelectorOverride) -> &mut String;

    const FIELDS: [Field; 7] = [
        |s| &mut s.group,
        |s| &mut s.version,
        |s| &mut s.kind,
        |s| &mut s.name,
        |s| &mut s.namespace,
        |s| &mut s.label_selector,
        |s| &mut s.annotation_selector,
    ];

    fn compiled(field: Field, text: &str) -> Result<ObjectSelector> {
        let mut selector = SelectorOverride::default();
        text.clone_into(field(&mut selector));
        ObjectSelector::new(&selector, &Limits::default())
    }

    #[test]
    fn an_object_is_selected_by_whole_matches_of_each_field() {
        let [group, version, kind, name, namespace, labels, annotations] = FIELDS;
        let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web-1", "namespace": "prod",
            "labels": {"tier": "front"}, "annotations": {"x": "y"}}});
        let all = ObjectSelector::new(&SelectorOverride::default(), &Limits::default()).unwrap();
        assert!(all.matches(&object) && all.matches(&json!({})), "an empty one selects everything");
        for (field, text, expected) in [
            (group, "apps", true),
            (group, "app", false),
            (group, "apps|batch", true),
            (version, "v.", true),
            (version, "v", false),
            (kind, "Deployment|StatefulSet", true),
            (kind, "eployment", false),
            (kind, "Deploy|ment", false),
            (name, "web-.*", true),
            (name, "web-", false),
            (namespace, "pro[dx]", true),
            (namespace, "dev", false),
            (labels, "tier in (front, back)", true),
            (labels, "tier!=front", false),
            (annotations, "x=y", true),
            (annotations, "!x", false),
        ] {
            assert_eq!(compiled(field, text).unwrap().matches(&object), expected, "{text}");
        }
    }

    #[test]
    fn malformed_and_huge_expressions_are_refused() {
        let [group, .., annotations] = FIELDS;
        assert!(compiled(group, "(").is_err() && compiled(annotations, "a b").is_err());
        assert!(compiled(group, &"(a.)".repeat(2000)).is_err(), "long");
        assert!(compiled(group, "(((a{99}){99}){99})").is_err(), "short, but large once compiled");
    }
}
