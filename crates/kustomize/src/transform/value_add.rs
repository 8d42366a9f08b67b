//! A text put into fields, whole or as a part of a file path.

use serde::Deserialize;
use yaml::Node;

use super::field::{self, Create};
use super::{Namespace, SubjectMode, Transformer};
use crate::build::Build;
use crate::error::{Error, Result};
use crate::kustomization::Selector;
use crate::meta;
use crate::meter::Meter;
use crate::path;
use crate::resmap::ResMap;
use crate::selector;
use crate::shared::Written;

/// Puts a value into fields of the targets.
pub(crate) struct ValueAdd {
    pub value: String,
    pub targets: Vec<ValueTarget>,
}

/// Where the value goes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ValueTarget {
    pub selector: Option<Selector>,
    pub field_path: String,
    /// From 1: the position among the parts of the file path that the field holds. 0 replaces the whole.
    pub file_path_position: i64,
}

impl ValueTarget {
    /// Checks one target.
    pub fn check(&self) -> Result<()> {
        if self.field_path.is_empty() {
            return Err(Error::invalid("fieldPath cannot be empty"));
        }
        if self.file_path_position < 0 {
            return Err(Error::Invalid(format!(
                "value of FilePathPosition ({}) cannot be negative",
                self.file_path_position
            )));
        }
        Ok(())
    }
}

impl Transformer for ValueAdd {
    fn transform(&self, map: &mut ResMap, build: &mut Build<'_>) -> Result<()> {
        for target in &self.targets {
            let selected = match &target.selector {
                Some(selector) => selector::select(map, selector, build)?,
                None => (0..map.resources().len()).collect(),
            };
            let resources = map.resources_mut();
            for index in selected {
                let Some(resource) = resources.get_mut(index) else { continue };
                build.meter.count_bytes(self.value.len())?;
                if target.field_path == "metadata/namespace" {
                    let namespace = Namespace {
                        namespace: self.value.as_str().into(),
                        fields: Vec::new(),
                        unset_only: false,
                        subjects: SubjectMode::DefaultOnly,
                    };
                    namespace.set_in(&mut resource.node, build)?;
                } else {
                    self.set(&mut resource.node, target, &build.meter)?;
                }
            }
        }
        Ok(())
    }
}

impl ValueAdd {
    fn set(&self, node: &mut Node, target: &ValueTarget, meter: &Meter<'_>) -> Result<()> {
        let parts = path::split(&target.field_path, '/');
        let leaf = crate::lookup::create(node, &parts, Create::Scalar)?;
        let Some(leaf) = leaf else { return Ok(()) };
        let old = field::scalar(leaf)?;
        let old = if leaf.is_null() { "" } else { old };
        let new = match usize::try_from(target.file_path_position) {
            Ok(position @ 1..) => insert_part(old, position - 1, &self.value),
            _ => self.value.clone(),
        };
        let mut written = Written::default();
        written.set(leaf, |leaf| meta::set_text(leaf, &new));
        written.spread(node, meter)
    }
}

/// `part` put into a file path at a position from 0; an absolute path stays absolute.
fn insert_part(path: &str, position: usize, part: &str) -> String {
    let (root, rest) = match path.strip_prefix('/') {
        Some(rest) => ("/", rest),
        None => ("", path),
    };
    let mut parts: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
    parts.insert(position.min(parts.len()), part);
    format!("{root}{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_goes_to_its_place_and_absolute_paths_stay_absolute() {
        for (path, position, result) in [
            ("", 0, "P"),
            ("/", 0, "/P"),
            ("pie", 0, "P/pie"),
            ("/pie", 0, "/P/pie"),
            ("raw", 1, "raw/P"),
            ("a/nice/warm/pie", 3, "a/nice/warm/P/pie"),
            ("/a/b", 99, "/a/b/P"),
        ] {
            assert_eq!(insert_part(path, position, "P"), result, "{path} {position}");
        }
    }
}
