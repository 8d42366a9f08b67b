//! The transformers of a kustomization, in the order in which kustomize runs them.

use super::{Step, Target};
use crate::build::Build;
use crate::config::{Config, FieldSpec, merge_all, merge_one};
use crate::error::{Context, Result};
use crate::kustomization::Label;
use crate::origin::Origin;
use crate::plugin;
use crate::transform::{
    Affix, Annotations, Images, Labels, Namespace, Replicas, Side, SubjectMode, Transformer,
};

impl Target<'_> {
    pub(super) fn transformers(&self, config: &Config, build: &mut Build<'_>) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        let mut add = |kind: &str, transformer: Box<dyn Transformer>| {
            let origin = self.origin.as_ref().map(|origin| origin.of_builtin(self.file_name, kind));
            steps.push(Step { transformer, origin });
        };
        let file = &self.file;
        let loader = &self.loader;
        if let Some(entries) = file.patches_strategic_merge.as_ref().filter(|entries| !entries.is_empty()) {
            let patches = plugin::strategic_patches(entries, "", loader, build);
            add(
                "PatchStrategicMergeTransformer",
                Box::new(patches.context(|| trouble("patchesStrategicMerge"))?),
            );
        }
        for patch in file.patches.iter().flatten() {
            let patches = plugin::patches(patch, loader, build).context(|| trouble("patches"))?;
            add("PatchTransformer", Box::new(patches));
        }
        if !file.namespace.is_empty() {
            add(
                "NamespaceTransformer",
                Box::new(Namespace {
                    namespace: file.namespace.as_str().into(),
                    fields: config.namespace.clone(),
                    unset_only: false,
                    subjects: SubjectMode::DefaultOnly,
                }),
            );
        }
        for (kind, side, text, fields) in [
            ("PrefixTransformer", Side::Prefix, &file.name_prefix, &config.name_prefix),
            ("SuffixTransformer", Side::Suffix, &file.name_suffix, &config.name_suffix),
        ] {
            if !text.is_empty() {
                add(kind, Box::new(Affix { side, text: text.as_str().into(), fields: fields.clone() }));
            }
        }
        for label in file.labels.iter().flatten() {
            let fields = label_fields(label, config).context(|| "failed to merge labels".into())?;
            add("LabelTransformer", Box::new(Labels { labels: label.pairs.clone(), fields }));
        }
        let common = file.common_labels.clone().unwrap_or_default();
        if !common.is_empty() || file.labels.as_ref().is_some_and(|labels| !labels.is_empty()) {
            add(
                "LabelTransformer",
                Box::new(Labels { labels: common, fields: config.common_labels.clone() }),
            );
        }
        if let Some(annotations) =
            file.common_annotations.clone().filter(|annotations| !annotations.is_empty())
        {
            let fields = config.common_annotations.clone();
            add("AnnotationsTransformer", Box::new(Annotations { annotations, fields }));
        }
        for patch in file.patches_json6902.iter().flatten() {
            let patch = plugin::json_patch(patch, loader, build).context(|| trouble("patchesJson6902"))?;
            add("PatchJson6902Transformer", Box::new(patch));
        }
        for replica in file.replicas.iter().flatten() {
            let replica = replica.clone();
            add("ReplicaCountTransformer", Box::new(Replicas { replica, fields: config.replicas.clone() }));
        }
        for image in file.images.iter().flatten() {
            let image = image.clone();
            add("ImageTagTransformer", Box::new(Images { image, fields: config.images.clone() }));
        }
        if let Some(entries) = file.replacements.as_ref().filter(|entries| !entries.is_empty()) {
            let replacements = plugin::replacements(entries, loader, build);
            add("ReplacementTransformer", Box::new(replacements.context(|| trouble("replacements"))?));
        }
        steps.extend(self.external_transformers(file.transformers.as_ref(), build)?);
        Ok(steps)
    }

    pub(super) fn external_transformers(
        &self,
        entries: Option<&Vec<String>>,
        build: &mut Build<'_>,
    ) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        for config in self.plugin_configs(entries, build)? {
            let origin = Origin::of_plugin(&config);
            let transformers = plugin::transformer(&config, &self.loader, build)?;
            steps.extend(transformers.into_iter().map(|transformer| Step { transformer, origin: None }));
            // Several transformers of one configuration are noted once.
            if let Some(last) = steps.last_mut() {
                last.origin = origin;
            }
        }
        Ok(steps)
    }
}

fn trouble(field: &str) -> String {
    format!("trouble configuring field '{field}'")
}

/// The fields a `labels` entry touches: its own, then as many of the built-in ones as it asks for.
fn label_fields(label: &Label, config: &Config) -> Result<Vec<FieldSpec>> {
    let mut fields = label.fields.clone();
    merge_all(&mut fields, &config.labels)?;
    if label.include_selectors {
        merge_all(&mut fields, &config.common_labels)?;
        return Ok(fields);
    }
    if label.include_templates {
        merge_all(&mut fields, &config.template_labels)?;
    }
    merge_one(&mut fields, FieldSpec::everywhere("metadata/labels", true))?;
    Ok(fields)
}
