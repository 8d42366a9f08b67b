//! Generators and transformers configured by objects of their own, `apiVersion: builtin`.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use yaml::Node;

use crate::build::Build;
use crate::config::FieldSpec;
use crate::decode::{self, Mode};
use crate::document;
use crate::error::{Context, Error, Result};
use crate::generate;
use crate::kustomization::{
    GeneratorArgs, Image, ObjectMeta, Patch, PatchOptions, Replacement, Replica, Selector, StringMap,
};
use crate::loader::Loader;
use crate::patch::json;
use crate::resource::Resource;
use crate::transform::{
    Affix, Annotations, Hash, Images, JsonPatch, Labels, Namespace, Patches, Replacements, Replicas, Side,
    StrategicPatches, SubjectMode, Transformer, ValueAdd, ValueTarget,
};
use crate::tree::path;

/// What several plugins are configured by.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Settings {
    metadata: ObjectMeta,
    field_specs: Option<Vec<FieldSpec>>,
    prefix: String,
    suffix: String,
    labels: StringMap,
    annotations: StringMap,
    unset_only: bool,
    set_role_binding_subjects: SubjectMode,
    image_tag: Image,
    replica: Replica,
    replacements: Vec<Replacement>,
    path: String,
    patch: String,
    json_op: String,
    target: Option<Selector>,
    options: Option<PatchOptions>,
    paths: Vec<String>,
    patches: String,
    value: String,
    targets: Vec<ValueTarget>,
    target_file_path: String,
}

/// Reads a configuration as the plugin does.
fn configure<T: DeserializeOwned + Default>(config: &Resource) -> Result<T> {
    let node = yaml::from_json(&config.to_json()?);
    decode::from_node(&node, Mode::Lenient)
}

fn fails(config: &Resource) -> String {
    format!("plugin {} fails configuration", config.describe())
}

/// Refuses what is no plugin of kustomize's own.
fn require_builtin(config: &Resource) -> Result<()> {
    if config.api_version() == "builtin" {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "external plugins disabled; unable to load external plugin '{}'",
        config.kind()
    )))
}

fn unknown(config: &Resource, wanted: &str) -> Error {
    let known = matches!(
        config.kind(),
        "ConfigMapGenerator"
            | "SecretGenerator"
            | "IAMPolicyGenerator"
            | "AnnotationsTransformer"
            | "HashTransformer"
            | "ImageTagTransformer"
            | "LabelTransformer"
            | "NamespaceTransformer"
            | "PatchJson6902Transformer"
            | "PatchStrategicMergeTransformer"
            | "PatchTransformer"
            | "PrefixSuffixTransformer"
            | "PrefixTransformer"
            | "SuffixTransformer"
            | "ReplacementTransformer"
            | "ReplicaCountTransformer"
            | "ValueAddTransformer"
    );
    let gvk = config.gvk();
    if known {
        Error::Invalid(format!("plugin {} not a {wanted}", config.describe()))
    } else if config.kind() == "HelmChartInflationGenerator" {
        Error::invalid("must specify --enable-helm: Helm charts are not rendered")
    } else {
        Error::Invalid(format!("unable to load builtin {gvk}"))
    }
}

/// What a generator brings forth.
pub(crate) fn generate(config: &Resource, loader: &Loader<'_>, build: &mut Build<'_>) -> Result<Resource> {
    require_builtin(config)?;
    match config.kind() {
        "ConfigMapGenerator" => generate::config_map(&arguments(config)?, loader, build),
        "SecretGenerator" => generate::secret(&arguments(config)?, loader, build),
        "IAMPolicyGenerator" => generate::iam_policy(&configure(config).context(|| fails(config))?),
        _ => Err(unknown(config, "generator")),
    }
}

/// A generator's arguments; name and namespace default to those of the configuration.
fn arguments(config: &Resource) -> Result<GeneratorArgs> {
    let mut arguments: GeneratorArgs = configure(config).context(|| fails(config))?;
    if arguments.name.is_empty() {
        arguments.name = config.name().to_owned();
    }
    if arguments.namespace.is_empty() {
        arguments.namespace = config.namespace().to_owned();
    }
    Ok(arguments)
}

/// A configured transformer.
pub(crate) fn transformer(
    config: &Resource,
    loader: &Loader<'_>,
    build: &mut Build<'_>,
) -> Result<Vec<Box<dyn Transformer>>> {
    require_builtin(config)?;
    let settings: Settings = configure(config).context(|| fails(config))?;
    make(config, settings, loader, build).context(|| fails(config))
}

fn make(
    config: &Resource,
    settings: Settings,
    loader: &Loader<'_>,
    build: &mut Build<'_>,
) -> Result<Vec<Box<dyn Transformer>>> {
    let fields = || settings.field_specs.clone().unwrap_or_default();
    let affix = |side: Side, text: &str| -> Result<Box<dyn Transformer>> {
        let fields = settings
            .field_specs
            .clone()
            .ok_or_else(|| Error::invalid("fieldSpecs is not expected to be nil"))?;
        Ok(Box::new(Affix { side, text: text.into(), fields }))
    };
    let one: Box<dyn Transformer> = match config.kind() {
        "PrefixSuffixTransformer" => {
            return Ok(vec![affix(Side::Prefix, &settings.prefix)?, affix(Side::Suffix, &settings.suffix)?]);
        }
        "PrefixTransformer" => affix(Side::Prefix, &settings.prefix)?,
        "SuffixTransformer" => affix(Side::Suffix, &settings.suffix)?,
        "AnnotationsTransformer" => {
            Box::new(Annotations { fields: fields(), annotations: settings.annotations })
        }
        "LabelTransformer" => Box::new(Labels { fields: fields(), labels: settings.labels }),
        "HashTransformer" => Box::new(Hash),
        "ImageTagTransformer" => Box::new(Images { fields: fields(), image: settings.image_tag }),
        "ReplicaCountTransformer" => Box::new(Replicas { fields: fields(), replica: settings.replica }),
        "NamespaceTransformer" => Box::new(Namespace {
            fields: fields(),
            namespace: settings.metadata.namespace.as_str().into(),
            unset_only: settings.unset_only,
            subjects: settings.set_role_binding_subjects,
        }),
        "PatchTransformer" => {
            let patch = Patch {
                path: settings.path,
                patch: settings.patch,
                target: settings.target,
                options: settings.options,
            };
            Box::new(patches(&patch, loader, build)?)
        }
        "PatchJson6902Transformer" => Box::new(json_patch(
            &Patch { path: settings.path, patch: settings.json_op, target: settings.target, options: None },
            loader,
            build,
        )?),
        "PatchStrategicMergeTransformer" => {
            Box::new(strategic_patches(&settings.paths, &settings.patches, loader, build)?)
        }
        "ReplacementTransformer" => Box::new(replacements(&settings.replacements, loader, build)?),
        "ValueAddTransformer" => Box::new(value_add(settings, loader, build)?),
        _ => return Err(unknown(config, "transformer")),
    };
    Ok(vec![one])
}

/// One entry of `patches`.
pub(crate) fn patches(patch: &Patch, loader: &Loader<'_>, build: &mut Build<'_>) -> Result<Patches> {
    let inline = patch.patch.trim();
    let (text, source) = match (inline.is_empty(), patch.path.is_empty()) {
        (true, true) => return Err(Error::invalid("must specify one of patch and path")),
        (false, false) => return Err(Error::invalid("patch and path can't be set at the same time")),
        (false, true) => (inline.to_owned(), format!("[patch: {inline:?}]")),
        (true, false) => {
            let text = loader
                .load_text(&patch.path, build)
                .context(|| format!("failed to get the patch file from path({})", patch.path))?;
            (text, format!("[path: {:?}]", patch.path))
        }
    };
    Patches::new(&text, patch.target.clone(), patch.options.as_ref(), source, &build.meter)
}

/// One entry of `patchesJson6902`.
pub(crate) fn json_patch(patch: &Patch, loader: &Loader<'_>, build: &mut Build<'_>) -> Result<JsonPatch> {
    let target = patch.target.clone().unwrap_or_default();
    if target.name.is_empty() {
        return Err(Error::invalid("must specify the target name"));
    }
    let text = match (patch.patch.is_empty(), patch.path.is_empty()) {
        (true, true) => return Err(Error::invalid("empty file path and empty jsonOp")),
        (false, false) => return Err(Error::invalid("must specify a file path or jsonOp, not both")),
        (false, true) => patch.patch.clone(),
        (true, false) => loader.load_text(&patch.path, build)?,
    };
    let operations = json::parse(&text, &build.meter).context(|| format!("decoding {text}"))?;
    if operations.is_empty() {
        return Err(Error::Invalid(format!("patch appears to be empty; file={}, JsonOp={text}", patch.path)));
    }
    Ok(JsonPatch { target, operations })
}

/// `patchesStrategicMerge`: each entry a patch or the file of one, then patches in one text.
pub(crate) fn strategic_patches(
    entries: &[String],
    text: &str,
    loader: &Loader<'_>,
    build: &mut Build<'_>,
) -> Result<StrategicPatches> {
    if entries.is_empty() && text.is_empty() {
        return Err(Error::invalid("empty file path and empty patch content"));
    }
    let mut patches = Vec::new();
    for entry in entries {
        match document::resources(entry, &build.meter) {
            Ok(inline) => patches.extend(inline),
            Err(error) if error.is_final() => return Err(error),
            Err(_) => {
                let text = loader.load_text(entry, build)?;
                let loaded = document::resources(&text, &build.meter);
                patches.extend(loaded.context(|| format!("patch file '{entry}'"))?);
            }
        }
    }
    patches.extend(document::resources(text, &build.meter)?);
    if patches.is_empty() {
        return Err(Error::Invalid(format!("patch appears to be empty; files={entries:?}, Patch={text}")));
    }
    Ok(StrategicPatches { patches })
}

/// `replacements`, those in files included.
pub(crate) fn replacements(
    entries: &[Replacement],
    loader: &Loader<'_>,
    build: &mut Build<'_>,
) -> Result<Replacements> {
    let mut replacements = Vec::new();
    for entry in entries {
        if entry.path.is_empty() {
            replacements.push(entry.clone());
            continue;
        }
        if entry.source.is_some() || entry.targets.as_ref().is_some_and(|targets| !targets.is_empty()) {
            return Err(Error::invalid("cannot specify both path and inline replacement"));
        }
        let text = loader.load_text(&entry.path, build)?;
        let root = build.meter.parse(&text)?.into_iter().next().unwrap_or_else(Node::null);
        let context = || format!("replacement file '{}'", entry.path);
        if root.is_sequence() {
            let several: Vec<Replacement> = decode::from_node(&root, Mode::Lenient).context(context)?;
            replacements.extend(several);
        } else if root.is_mapping() {
            replacements.push(decode::from_node(&root, Mode::Lenient).context(context)?);
        } else {
            return Err(Error::invalid("unsupported replacement type encountered within replacement path"))
                .context(context);
        }
    }
    Ok(Replacements { replacements })
}

fn value_add(settings: Settings, loader: &Loader<'_>, build: &mut Build<'_>) -> Result<ValueAdd> {
    let mut targets = settings.targets;
    if !settings.target_file_path.is_empty() {
        let text = loader.load_text(&settings.target_file_path, build)?;
        let file: Settings = decode::from_text(&text, Mode::Lenient, &build.meter)?;
        targets.extend(file.targets);
    }
    if targets.is_empty() {
        return Err(Error::invalid("must specify at least one target"));
    }
    targets.iter().try_for_each(ValueTarget::check)?;
    let value = match settings.value.trim() {
        "" => path::base_name(&loader.display_root()).to_owned(),
        value => value.to_owned(),
    };
    Ok(ValueAdd { value, targets })
}
