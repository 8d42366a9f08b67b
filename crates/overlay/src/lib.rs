//! What specs lay over objects: patches and images, in the words of the build engine, and fields that are left to others.
//!
//! Kustomizations and HelmReleases have the same fields for it.

#![forbid(unsafe_code)]

use std::sync::Arc;

use api::kustomization::{IgnoreRule, Image, Patch, Selector};
use apply::ignore::{Target, TooMany};
use kustomize::ObjectSelector;
use kustomize::flux::{ImageOverride, PatchOverride, SelectorOverride};

/// Why the rules of fields that are left to others cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IgnoreError {
    /// A selector cannot be read.
    #[error("failed to create ignore rule selector: {0}")]
    Selector(#[source] kustomize::Error),
    /// There are more than is allowed.
    #[error(transparent)]
    TooMany(#[from] TooMany),
}

/// Patches of a spec.
pub fn patches(patches: &[Patch]) -> Vec<PatchOverride> {
    let patch = |patch: &Patch| PatchOverride {
        patch: patch.patch.clone(),
        target: patch.target.as_ref().map(selector),
    };
    patches.iter().map(patch).collect()
}

/// Images of a spec.
pub fn images(images: &[Image]) -> Vec<ImageOverride> {
    let image = |image: &Image| ImageOverride {
        name: image.name.clone(),
        new_name: text(&image.new_name),
        new_tag: text(&image.new_tag),
        digest: text(&image.digest),
    };
    images.iter().map(image).collect()
}

/// Which objects a rule is about; `None` is all.
///
/// # Errors
/// Its selector cannot be read.
pub fn ignore_target(rule: &IgnoreRule) -> Result<Option<Target>, IgnoreError> {
    let target = rule.target.as_ref().map(|target| {
        let selector = ObjectSelector::new(&selector(target), &kustomize::Limits::default())
            .map_err(IgnoreError::Selector)?;
        Ok::<Target, IgnoreError>(Arc::new(move |object| selector.matches(object)))
    });
    target.transpose()
}

fn selector(target: &Selector) -> SelectorOverride {
    SelectorOverride {
        group: text(&target.group),
        version: text(&target.version),
        kind: text(&target.kind),
        name: text(&target.name),
        namespace: text(&target.namespace),
        annotation_selector: text(&target.annotation_selector),
        label_selector: text(&target.label_selector),
    }
}

fn text(field: &Option<String>) -> String {
    field.clone().unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rule_is_about_the_objects_that_its_selector_takes() {
        let rule = |kind: &str| IgnoreRule {
            paths: Vec::new(),
            target: Some(Selector { kind: Some(kind.into()), ..Selector::default() }),
        };
        let object = |kind: &str| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "a"}});
        let target = ignore_target(&rule("Secret|Pod")).unwrap().unwrap();
        assert_eq!(["Pod", "Secret", "Podium"].map(|kind| target(&object(kind))), [true, true, false]);
        assert!(ignore_target(&IgnoreRule::default()).unwrap().is_none());
        let error = ignore_target(&rule("(")).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.starts_with("failed to create ignore rule selector: error parsing regexp"), "{error}");
    }
}
