//! One kustomization: its resources, then generators, components, transformers, validators and vars, in kustomize's order.

mod transformers;

use std::rc::Rc;
use std::sync::Arc;

use crate::accumulator::Accumulator;
use crate::build::Build;
use crate::config::{self, Config};
use crate::document;
use crate::error::{Context, Error, Result};
use crate::generate;
use crate::kustomization::{COMPONENT_KIND, FILE_NAMES, Kustomization};
use crate::loader::Loader;
use crate::meta;
use crate::origin::{self, Origin};
use crate::plugin;
use crate::resource::Resource;
use crate::transform::Transformer;

/// A kustomization that is being built.
pub(crate) struct Target<'a> {
    loader: Rc<Loader<'a>>,
    pub file: Kustomization,
    file_name: &'static str,
    /// How the build got here; kept when `buildMetadata` asks for anything.
    origin: Option<Origin>,
}

/// A transformer and what is noted on resources it was applied to.
struct Step {
    transformer: Box<dyn Transformer>,
    origin: Option<Origin>,
}

impl<'a> Target<'a> {
    /// Reads the kustomization file of a directory.
    pub fn load(loader: Rc<Loader<'a>>, build: &mut Build<'_>) -> Result<Self> {
        build.meter.count_kustomization()?;
        let root = loader.display_root();
        let found: Vec<&'static str> = FILE_NAMES.into_iter().filter(|name| loader.has_file(name)).collect();
        let file_name = match found[..] {
            [name] => name,
            [] => {
                return Err(Error::Invalid(format!(
                    "unable to find one of 'kustomization.yaml', 'kustomization.yml' or 'Kustomization' in directory '{root}'"
                )));
            }
            _ => return Err(Error::Invalid(format!("Found multiple kustomization files under: {root}"))),
        };
        let text = loader.load_text(file_name, build)?;
        let file =
            Kustomization::parse(&text, &root, &build.meter).context(|| loader.display_file(file_name))?;
        Ok(Self { loader, file, file_name, origin: None })
    }

    /// Notes origins from here on, if the file asks for any `buildMetadata`.
    pub fn start_origin(&mut self) {
        if self.file.build_metadata.as_ref().is_some_and(|options| !options.is_empty()) {
            self.origin = Some(Origin::default());
        }
    }

    /// Applies the file's `openapi`. The first one counts, that of the root above all.
    pub fn choose_schema(&self, root: bool, build: &mut Build<'_>) -> Result<()> {
        let Some(openapi) = &self.file.openapi else {
            return build.schema.choose(None, None, root, &build.meter);
        };
        let text = match openapi.get("path") {
            Some(path) => Some(self.loader.load_text(path, build)?),
            None => None,
        };
        build.schema.choose(openapi.get("version").map(String::as_str), text.as_deref(), root, &build.meter)
    }

    /// Everything the kustomization describes, before names are final.
    pub fn accumulate(&self, mut into: Accumulator, build: &mut Build<'_>) -> Result<Accumulator> {
        let resources = self.file.resources.iter().flatten();
        self.accumulate_resources(&mut into, resources, build).context(|| "accumulating resources".into())?;
        into.merge_config(&self.config(build)?)?;
        self.run_generators(&mut into, build)?;
        for component in self.file.components.iter().flatten() {
            into = self
                .accumulate_component(into, component, build)
                .context(|| "accumulating components".into())?;
        }
        for step in self.transformers(&into.config, build)? {
            step.transformer.transform(&mut into.map, build)?;
            into.map.drop_empty();
            if let Some(origin) = &step.origin {
                into.map
                    .contents_mut()
                    .iter_mut()
                    .for_each(|resource| origin::note_transformer(resource, origin));
            }
        }
        self.run_validators(&mut into, build)?;
        let vars = self.file.vars.as_deref().unwrap_or_default();
        into.vars.add_all(vars, &mut into.map).context(|| "merging vars".into())?;
        Ok(into)
    }

    /// Default fields, `configurations` and `crds`.
    fn config(&self, build: &mut Build<'_>) -> Result<Arc<Config>> {
        let mut merged = Config::default_fields();
        for file in self.file.configurations.iter().flatten() {
            let text = self.loader.load_text(file, build)?;
            let own = Config::parse(&text, &build.meter).context(|| format!("configuration '{file}'"))?;
            merged = merged.merge(&Arc::new(own))?;
        }
        for file in self.file.crds.iter().flatten() {
            let text = self.loader.load_text(file, build).context(|| "loading CRDs".into())?;
            let own = config::from_crds(&text, &build.meter)
                .context(|| format!("unable to parse open API definition from '{file}'"))?;
            merged = merged.merge(&Arc::new(own))?;
        }
        Ok(merged)
    }

    fn accumulate_resources<'p>(
        &self,
        into: &mut Accumulator,
        paths: impl Iterator<Item = &'p String>,
        build: &mut Build<'_>,
    ) -> Result<()> {
        for path in paths {
            let Err(not_a_file) = self.accumulate_file(into, path, build) else { continue };
            if matches!(not_a_file, Error::Limit { .. }) || not_a_file.is_final() {
                return Err(not_a_file);
            }
            let loader = match self.loader.enter(path, build) {
                Ok(loader) => loader,
                Err(error) if matches!(error, Error::Limit { .. }) || error.is_final() => return Err(error),
                Err(_) if not_a_file.is_malformed_yaml() => return Err(not_a_file),
                Err(error) => return Err(error).context(|| format!("accumulation err='{not_a_file}'")),
            };
            let base = self.base(&loader, path, build).and_then(|base| {
                if base.file.kind == COMPONENT_KIND {
                    let root = loader.display_root();
                    return Err(Error::Invalid(format!(
                        "expected kind != '{COMPONENT_KIND}' for path '{root}'"
                    )));
                }
                let gathered = base.accumulate(Accumulator::default(), build);
                let gathered = gathered
                    .context(|| format!("recursed accumulation of path '{}'", loader.display_root()))?;
                let merged = into.merge(gathered, &build.schema);
                merged.context(|| format!("recursed merging from path '{}'", loader.display_root()))
            });
            base.context(|| format!("accumulation err='{not_a_file}'"))?;
        }
        Ok(())
    }

    /// The kustomization of a base or component.
    fn base(&self, loader: &Rc<Loader<'a>>, path: &str, build: &mut Build<'_>) -> Result<Self> {
        let mut base = Self::load(Rc::clone(loader), build)
            .context(|| format!("couldn't make target for path '{}'", loader.display_root()))?;
        base.file.build_metadata.clone_from(&self.file.build_metadata);
        base.origin = self.origin.as_ref().map(|origin| origin.append(path));
        base.choose_schema(false, build)?;
        Ok(base)
    }

    fn accumulate_component(
        &self,
        into: Accumulator,
        path: &str,
        build: &mut Build<'_>,
    ) -> Result<Accumulator> {
        let loader = self.loader.enter(path, build).context(|| format!("loader.New \"{path}\""))?;
        let component = self.base(&loader, path, build).context(|| "accumulateDirectory".into())?;
        if component.file.kind != COMPONENT_KIND {
            return Err(Error::Invalid(format!(
                "accumulateDirectory: expected kind '{COMPONENT_KIND}' for path '{}' but got '{}'",
                loader.display_root(),
                component.file.kind
            )));
        }
        let root = loader.display_root();
        let gathered = component
            .accumulate(into, build)
            .context(|| format!("accumulateDirectory: recursed accumulation of path '{root}'"))?;
        // Into an empty one, as kustomize does: this checks names again and settles field specifications.
        let mut merged = Accumulator::default();
        merged
            .merge(gathered, &build.schema)
            .context(|| format!("accumulateDirectory: recursed merging from path '{root}'"))?;
        Ok(merged)
    }

    fn accumulate_file(&self, into: &mut Accumulator, path: &str, build: &mut Build<'_>) -> Result<()> {
        let resources =
            self.read_file(path, build).context(|| format!("accumulating resources from '{path}'"))?;
        for resource in resources {
            into.map
                .append(resource, &build.schema)
                .context(|| format!("merging resources from '{path}'"))?;
        }
        Ok(())
    }

    fn read_file(&self, path: &str, build: &mut Build<'_>) -> Result<Vec<Resource>> {
        let text = self.loader.load_text(path, build)?;
        let mut resources =
            build.options.parse_resources(&text, &build.meter).map_err(|error| match error {
                Error::Yaml(fault) => Error::Malformed { file: path.to_owned(), fault },
                error => error,
            })?;
        build.meter.count_resources(resources.len())?;
        let label = self.loader.label(path);
        let origin = self.origin.as_ref().map(|origin| origin.append(path).to_text());
        for resource in &mut resources {
            resource.file = Some(Arc::clone(&label));
            if let Some(origin) = &origin {
                meta::set_annotation(&mut resource.node, origin::ANNOTATION, origin);
            }
        }
        Ok(resources)
    }

    /// What `generators` and the like name: files, directories, or objects written in place.
    fn plugin_configs(&self, entries: Option<&Vec<String>>, build: &mut Build<'_>) -> Result<Vec<Resource>> {
        let mut configs = Accumulator::default();
        let mut paths = Vec::new();
        for entry in entries.into_iter().flatten() {
            let inline = match document::resources(entry, &build.meter) {
                Ok(inline) => inline,
                Err(error) if error.is_final() => return Err(error),
                Err(_) => {
                    paths.push(entry);
                    continue;
                }
            };
            for mut config in inline {
                config.file = Some(self.loader.label(self.file_name));
                if let Some(origin) = &self.origin {
                    let origin = origin.append(self.file_name).to_text();
                    meta::set_annotation(&mut config.node, origin::ANNOTATION, &origin);
                }
                let added = configs.map.append(config, &build.schema);
                added.context(|| "configuring external plugin".into())?;
            }
        }
        self.accumulate_resources(&mut configs, paths.into_iter(), build)?;
        Ok(configs.map.into_resources())
    }

    fn run_generators(&self, into: &mut Accumulator, build: &mut Build<'_>) -> Result<()> {
        let mut generated = Vec::new();
        for (kind, generators) in [
            ("ConfigMapGenerator", &self.file.config_map_generator),
            ("SecretGenerator", &self.file.secret_generator),
        ] {
            let origin = self.origin.as_ref().map(|origin| origin.of_builtin(self.file_name, kind));
            for args in generators.iter().flatten() {
                let resource = match kind {
                    "SecretGenerator" => generate::secret(args, &self.loader, build),
                    _ => generate::config_map(args, &self.loader, build),
                };
                generated.push((resource.context(|| format!("{kind} '{}'", args.name))?, origin.clone()));
            }
        }
        let configs = self.plugin_configs(self.file.generators.as_ref(), build);
        for config in configs.context(|| "loading generator plugins".into())? {
            let resource = plugin::generate(&config, &self.loader, build)
                .context(|| "failed to load generator".into())?;
            generated.push((resource, Origin::of_plugin(&config)));
        }
        build.meter.count_resources(generated.len())?;
        for (mut resource, origin) in generated {
            resource.file = Some(self.loader.label(self.file_name));
            if let Some(origin) =
                origin.filter(|_| meta::annotation(&resource.node, origin::ANNOTATION).is_none())
            {
                meta::set_annotation(&mut resource.node, origin::ANNOTATION, &origin.to_text());
            }
            let described = resource.describe();
            into.map
                .absorb(resource, &build.schema)
                .context(|| format!("merging from generator {described}"))?;
        }
        Ok(())
    }

    /// Runs `validators`, which may change nothing but a label of their own.
    fn run_validators(&self, into: &mut Accumulator, build: &mut Build<'_>) -> Result<()> {
        const LABEL: &str = "validated-by";
        for step in self.external_transformers(self.file.validators.as_ref(), build)? {
            let before: Vec<Resource> = into.map.resources().to_vec();
            step.transformer.transform(&mut into.map, build)?;
            let after = into.map.resources();
            let mut same = before.len() == after.len();
            for (before, after) in before.iter().zip(after) {
                let mut after = after.clone();
                if let Some(labels) = after.node.get_path_mut(&["metadata", "labels"]) {
                    labels.remove(LABEL);
                }
                meta::normalize_string_map(&mut after.node, "labels");
                same &= yaml::canonical_json(&before.to_json()?) == yaml::canonical_json(&after.to_json()?);
            }
            if !same {
                return Err(Error::invalid("validator shouldn't modify the resource map"));
            }
        }
        Ok(())
    }
}
