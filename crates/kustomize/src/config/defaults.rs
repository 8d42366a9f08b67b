//! The built-in fields.
//!
//! `defaults.txt` lists the field specifications of kustomize 5.8.1: a section per transformer, a line per field; in
//! `[nameReference]` a line `> kind version group` names the kind that the fields after it refer to.

use std::sync::{Arc, OnceLock};

use super::{BackReferences, Config, FieldSpec};
use crate::resid::Gvk;

pub(super) fn shared() -> Arc<Config> {
    static DEFAULT: OnceLock<Arc<Config>> = OnceLock::new();
    Arc::clone(DEFAULT.get_or_init(|| Arc::new(parse(include_str!("defaults.txt")))))
}

fn parse(text: &str) -> Config {
    let mut config = Config::default();
    let mut section = "";
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
            continue;
        }
        let words: Vec<&str> = line.split(' ').map(|word| if word == "-" { "" } else { word }).collect();
        match words[..] {
            [">", kind, version, group] => {
                config
                    .name_reference
                    .push(BackReferences { target: gvk(kind, version, group), referrers: Vec::new() });
            }
            [kind, version, group, path, create] => {
                let spec = FieldSpec::new(gvk(kind, version, group), path, create == "1");
                let list = match section {
                    "namePrefix" => Some(&mut config.name_prefix),
                    "nameSuffix" => Some(&mut config.name_suffix),
                    "namespace" => Some(&mut config.namespace),
                    "commonLabels" => Some(&mut config.common_labels),
                    "templateLabels" => Some(&mut config.template_labels),
                    "commonAnnotations" => Some(&mut config.common_annotations),
                    "varReference" => Some(&mut config.var_reference),
                    "images" => Some(&mut config.images),
                    "replicas" => Some(&mut config.replicas),
                    _ => config.name_reference.last_mut().map(|references| &mut references.referrers),
                };
                list.into_iter().for_each(|list| list.push(spec.clone()));
            }
            _ => {}
        }
    }
    config.sort();
    config
}

fn gvk(kind: &str, version: &str, group: &str) -> Gvk {
    Gvk { group: group.into(), version: version.into(), kind: kind.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_fields_are_complete() {
        let config = shared();
        let counts = [
            config.name_prefix.len(),
            config.name_suffix.len(),
            config.namespace.len(),
            config.common_labels.len(),
            config.labels.len(),
            config.template_labels.len(),
            config.common_annotations.len(),
            config.name_reference.len(),
            config.var_reference.len(),
            config.images.len(),
            config.replicas.len(),
        ];
        assert_eq!(counts, [1, 1, 3, 32, 0, 10, 9, 16, 72, 6, 4]);
    }
}
