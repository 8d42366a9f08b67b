//! Choosing resources by regular expressions and by labels.

mod labels;

use regex::{Regex, RegexBuilder};
use serde_json::Value;

use crate::build::Build;
use crate::error::{Error, Result};
use crate::flux::SelectorOverride;
use crate::kustomization::Selector;
use crate::options::Limits;
use crate::resid::Gvk;
use crate::resmap::ResMap;
use labels::LabelSelector;

/// A compiled selector.
pub(crate) struct Matcher {
    group: Pattern,
    version: Pattern,
    kind: Pattern,
    name: Pattern,
    namespace: Pattern,
    labels: LabelSelector,
    annotations: LabelSelector,
}

/// An anchored regular expression.
enum Pattern {
    Anything,
    Text(String),
    Regex(Box<Regex>),
}

impl Pattern {
    fn new(text: &str, limits: &Limits) -> Result<Self> {
        Ok(if text.is_empty() {
            Self::Anything
        } else if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'/'))
        {
            Self::Text(text.to_owned())
        } else {
            Self::Regex(Box::new(compile(&format!("^(?:{text})$"), limits)?))
        })
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Anything => true,
            Self::Text(wanted) => wanted == text,
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

/// Compiles a regular expression within the limits. Matching takes time linear in the text.
pub(crate) fn compile(pattern: &str, limits: &Limits) -> Result<Regex> {
    if pattern.len() > limits.regex_bytes {
        return Err(Error::Limit { what: "bytes in a regular expression", limit: limits.regex_bytes as u64 });
    }
    RegexBuilder::new(pattern)
        .size_limit(limits.regex_memory)
        .dfa_size_limit(limits.regex_memory)
        .build()
        .map_err(|error| Error::Invalid(format!("error parsing regexp `{pattern}`: {error}")))
}

impl Matcher {
    pub fn new(selector: &Selector, limits: &Limits) -> Result<Self> {
        Ok(Self {
            group: Pattern::new(&selector.group, limits)?,
            version: Pattern::new(&selector.version, limits)?,
            kind: Pattern::new(&selector.kind, limits)?,
            name: Pattern::new(&selector.name, limits)?,
            namespace: Pattern::new(&selector.namespace, limits)?,
            labels: LabelSelector::parse(&selector.label_selector)?,
            annotations: LabelSelector::parse(&selector.annotation_selector)?,
        })
    }

    pub fn matches_gvk(&self, gvk: &Gvk) -> bool {
        self.group.matches(&gvk.group) && self.version.matches(&gvk.version) && self.kind.matches(&gvk.kind)
    }

    pub fn matches_name(&self, name: &str) -> bool {
        self.name.matches(name)
    }

    pub fn matches_namespace(&self, namespace: &str) -> bool {
        self.namespace.matches(namespace)
    }

    pub fn matches_labels_and_annotations(&self, node: &yaml::Node) -> bool {
        self.labels.matches(|key| lookup(node, "labels", key))
            && self.annotations.matches(|key| lookup(node, "annotations", key))
    }

    /// The exact name it wants, if it is one.
    pub fn exact_name(&self) -> Option<&str> {
        match &self.name {
            Pattern::Text(name) => Some(name),
            Pattern::Anything | Pattern::Regex(_) => None,
        }
    }
}

fn lookup<'a>(node: &'a yaml::Node, map: &str, key: &str) -> Option<&'a str> {
    Some(node.get_path(&["metadata", map, key])?.as_str().unwrap_or_default())
}

/// Chooses Kubernetes objects outside a build by the rules that patches have for their targets.
pub struct ObjectSelector(Matcher);

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
        Matcher::new(&selector, limits).map(Self)
    }

    /// Whether an object is selected.
    pub fn matches(&self, object: &Value) -> bool {
        let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let lookup = |map: &str, key: &str| {
            Some(object.get("metadata")?.get(map)?.get(key)?.as_str().unwrap_or_default())
        };
        let (group, version) = text("/apiVersion").split_once('/').unwrap_or(("", text("/apiVersion")));
        let matcher = &self.0;
        matcher.group.matches(group)
            && matcher.version.matches(version)
            && matcher.kind.matches(text("/kind"))
            && matcher.name.matches(text("/metadata/name"))
            && matcher.namespace.matches(text("/metadata/namespace"))
            && matcher.labels.matches(|key| lookup("labels", key))
            && matcher.annotations.matches(|key| lookup("annotations", key))
    }
}

/// Indexes of the selected resources, in order.
pub(crate) fn select(map: &mut ResMap, selector: &Selector, build: &mut Build<'_>) -> Result<Vec<usize>> {
    let matcher = Matcher::new(selector, &build.options.limits)?;
    let candidates = candidates(map, &matcher);
    build.count_work(candidates.len())?;
    let mut selected = Vec::new();
    for index in candidates {
        let Some(resource) = map.get(index) else { continue };
        let current = resource.id(&build.schema);
        let original = resource.original_id(&build.schema);
        let matches = matcher.matches_gvk(&current.gvk)
            && (matcher.matches_name(&original.name) || matcher.matches_name(&current.name))
            && (matcher.matches_namespace(original.effective_namespace())
                || matcher.matches_namespace(current.effective_namespace()))
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
