//! Names, tags and digests of container images.

use yaml::{Node, Value};

use super::Transformer;
use super::field::{self, Create};
use crate::build::Build;
use crate::config::FieldSpec;
use crate::error::Result;
use crate::kustomization::Image;
use crate::meta;
use crate::meter::Meter;
use crate::pattern::Pattern;
use crate::resmap::ResMap;

/// Rewrites image references of one name.
pub(crate) struct Images {
    pub image: Image,
    pub fields: Vec<FieldSpec>,
}

impl Transformer for Images {
    fn transform(&self, map: &mut ResMap, build: &mut Build<'_>) -> Result<()> {
        let pattern = format!("^{}(:[a-zA-Z0-9_.{{}}-]*)?(@sha256:[a-zA-Z0-9_.{{}}-]*)?$", self.image.name);
        let pattern = Pattern::new(&pattern, &build.options.limits)?;
        for resource in map.contents_mut() {
            if resource.kind() == "CustomResourceDefinition" {
                continue;
            }
            self.in_containers(&mut resource.node, &pattern, &build.meter)?;
            for spec in &self.fields {
                field::apply(&mut resource.node, spec, Create::Nothing, &build.meter, &mut |node| {
                    self.update(node, &pattern, &build.meter)
                })?;
            }
        }
        Ok(())
    }
}

impl Images {
    /// Every `image` in a list called `containers` or `initContainers`, wherever it stands.
    fn in_containers(&self, node: &mut Node, pattern: &Pattern, meter: &Meter<'_>) -> Result<()> {
        match node.value_mut() {
            Value::Sequence(items) => {
                items.iter_mut().try_for_each(|item| self.in_containers(item, pattern, meter))
            }
            Value::Mapping(mapping) => {
                for (key, value) in mapping.entries_mut() {
                    self.in_containers(value, pattern, meter)?;
                    if !matches!(key.as_str(), Some("containers" | "initContainers")) {
                        continue;
                    }
                    for container in value.items_mut().into_iter().flatten() {
                        if !container.is_mapping() && !container.is_null() {
                            return Err(field::wrong_kind("MappingNode", container));
                        }
                        if let Some(image) = container.get_mut("image") {
                            self.update(image, pattern, meter)?;
                        }
                    }
                }
                Ok(())
            }
            Value::Scalar(_) | Value::Alias(_) => Ok(()),
        }
    }

    fn update(&self, node: &mut Node, pattern: &Pattern, meter: &Meter<'_>) -> Result<()> {
        let old = field::scalar(node)?;
        if self.may_match(old) && pattern.is_match(old, meter)? {
            let new = self.rewrite(old);
            meter.count_bytes(new.len())?;
            meta::set_text(node, &new);
        }
        Ok(())
    }

    /// Rules out at low cost what has another beginning. The name is a regular expression; a dot is common in it.
    fn may_match(&self, reference: &str) -> bool {
        let literal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'/' | b'.');
        let name = &self.image.name;
        !name.bytes().all(literal) || reference.starts_with(name.split('.').next().unwrap_or_default())
    }

    fn rewrite(&self, reference: &str) -> String {
        let (name, tag, digest) = split(reference);
        let Image { new_name, new_tag, digest: new_digest, tag_suffix, .. } = &self.image;
        let name = if new_name.is_empty() { name } else { new_name };
        let (tag, digest) = match (new_tag.as_str(), new_digest.as_str(), tag_suffix.as_str()) {
            ("", "", "") => (tag.to_owned(), digest),
            ("", "", suffix) => (format!("{tag}{suffix}"), ""),
            (tag, digest, _) => (tag.to_owned(), digest),
        };
        let mut result = name.to_owned();
        for (separator, part) in [(':', tag.as_str()), ('@', digest)] {
            if !part.is_empty() {
                result.push(separator);
                result.push_str(part);
            }
        }
        result
    }
}

/// Name, tag and digest of an image reference; what is missing is empty.
pub(crate) fn split(reference: &str) -> (&str, &str, &str) {
    // A colon before the first slash belongs to a port.
    let start = reference.find('/').unwrap_or(0);
    let after = reference.get(start..).unwrap_or_default();
    let at = after.find('@').map(|at| at + start);
    let colon = after.find(':').map(|at| at + start).filter(|colon| at.is_none_or(|at| *colon < at));
    let (rest, digest) = at.and_then(|at| cut(reference, at)).unwrap_or((reference, ""));
    let (name, tag) = colon.and_then(|colon| cut(rest, colon)).unwrap_or((rest, ""));
    (name, tag, digest)
}

fn cut(text: &str, at: usize) -> Option<(&str, &str)> {
    Some((text.get(..at)?, text.get(at + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_split_into_name_tag_and_digest() {
        for (reference, parts) in [
            ("nginx", ("nginx", "", "")),
            ("nginx:1.0", ("nginx", "1.0", "")),
            ("host:5000/a/b", ("host:5000/a/b", "", "")),
            ("host:5000/a:v1@sha256:00", ("host:5000/a", "v1", "sha256:00")),
            ("a@sha256:00", ("a", "", "sha256:00")),
        ] {
            assert_eq!(split(reference), parts, "{reference}");
        }
    }
}
