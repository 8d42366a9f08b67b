//! Values copied from one place to others.

use yaml::{Node, Resolver};

use super::Transformer;
use crate::build::Build;
use crate::error::{Context, Error, Result};
use crate::kustomization::{FieldOptions, Replacement, Source, Target};
use crate::lookup::{self, Visitor};
use crate::meta;
use crate::meter::Meter;
use crate::path;
use crate::resid::{Gvk, ResId};
use crate::resmap::ResMap;
use crate::resource::Resource;
use crate::selector::{self, Matcher};
use crate::shared::{self, Written};

const DEFAULT_FIELD: &str = "metadata.name";

/// Copies values.
pub(crate) struct Replacements {
    pub replacements: Vec<Replacement>,
}

impl Transformer for Replacements {
    fn transform(&self, map: &mut ResMap, build: &mut Build<'_>) -> Result<()> {
        for replacement in &self.replacements {
            let mut value = match (&replacement.source, &replacement.source_value, &replacement.targets) {
                (None, None, _) | (_, _, None) => {
                    return Err(Error::invalid("replacements must specify a source and at least one target"));
                }
                (Some(_), Some(_), _) => {
                    return Err(Error::invalid("value and resource selectors are mutually exclusive"));
                }
                (None, Some(text), _) => Copied { node: meta::untyped(text), place: None },
                (Some(source), None, _) => source_value(map, source, build)?,
            };
            for target in replacement.targets.iter().flatten() {
                replace(map, target, &mut value, build)?;
            }
        }
        Ok(())
    }
}

/// The value that is copied. kustomize holds the very node of the source, so that targets see what targets before them have made
/// of it.
struct Copied {
    node: Node,
    /// The resource and the path of the source; nothing for a value that is of no resource, or a part of a field.
    place: Option<(usize, Vec<String>)>,
}

impl Copied {
    /// Reads the value again after a resource was changed.
    fn refresh(&mut self, changed: usize, resource: &Node) {
        let Some((_, path)) = self.place.as_ref().filter(|(index, _)| *index == changed) else { return };
        if let Ok(Some(node)) = lookup::get(resource, path) {
            self.node = shared::copy(node);
        }
    }
}

/// Today's and former identities, compared as replacements compare them: whatever the kind's scope.
fn ids(resource: &Resource) -> Vec<ResId> {
    [resource.id_unscoped()].into_iter().chain(resource.previous_ids()).collect()
}

fn source_value(map: &mut ResMap, source: &Source, build: &mut Build<'_>) -> Result<Copied> {
    let wanted = ResId {
        gvk: Gvk {
            group: source.group.as_str().into(),
            version: source.version.as_str().into(),
            kind: source.kind.as_str().into(),
        },
        name: source.name.as_str().into(),
        namespace: source.namespace.as_str().into(),
        cluster_scoped: false,
    };
    let candidates = match source.name.as_str() {
        "" => (0..map.resources().len()).collect(),
        name => map.matching_any_name(name),
    };
    build.meter.count_work(candidates.len())?;
    let shown = || {
        let field =
            if source.field_path.is_empty() { String::new() } else { format!(":{}", source.field_path) };
        format!("{wanted}{field}")
    };
    let mut found = None;
    for (index, resource) in candidates.iter().filter_map(|index| Some((*index, map.get(*index)?))) {
        let selected = ids(resource).iter().any(|id| {
            (wanted.name.is_empty() || wanted.name == id.name)
                && (wanted.namespace.is_empty() || wanted.is_namespace_equal(id))
                && id.gvk.is_selected_by(&wanted.gvk)
        });
        if selected && found.replace((index, resource)).is_some() {
            return Err(Error::Invalid(format!("multiple matches for selector {}", shown())));
        }
    }
    let (index, resource) =
        found.ok_or_else(|| Error::Invalid(format!("nothing selected by {}", shown())))?;
    let field = if source.field_path.is_empty() { DEFAULT_FIELD } else { &source.field_path };
    let path = path::split_bracketed(field, '.');
    let value =
        lookup::get(&resource.node, &path).context(|| "error looking up replacement source".into())?;
    let value = value.filter(|value| !meta::is_empty(value)).ok_or_else(|| {
        Error::Invalid(format!("fieldPath `{field}` is missing for replacement source {wanted}"))
    })?;
    let mut node = shared::copy(value);
    match source.options.as_ref().filter(|options| !options.delimiter.is_empty()) {
        None => Ok(Copied { node, place: Some((index, path)) }),
        Some(options) => {
            take_part(&mut node, options)?;
            Ok(Copied { node, place: None })
        }
    }
}

/// Leaves one part of a text.
fn take_part(value: &mut Node, options: &FieldOptions) -> Result<()> {
    let text = value.as_str().ok_or_else(scalar_only)?;
    let part =
        usize::try_from(options.index).ok().and_then(|index| text.split(&options.delimiter).nth(index));
    let part = part.ok_or_else(|| {
        Error::Invalid(format!("options.index {} is out of bounds for value {text}", options.index))
    })?;
    let part = part.to_owned();
    value.set_scalar_text(part);
    Ok(())
}

fn scalar_only() -> Error {
    Error::invalid("delimiter option can only be used with scalar nodes")
}

fn replace(map: &mut ResMap, target: &Target, value: &mut Copied, build: &mut Build<'_>) -> Result<()> {
    let meter = &build.meter;
    let select =
        target.select.as_ref().ok_or_else(|| Error::invalid("target must specify resources to select"))?;
    let matcher = Matcher::new(select, meter.limits)?;
    let rejects = target.reject.iter().map(|selector| Ok((selector, Matcher::new(selector, meter.limits)?)));
    let rejects = rejects.collect::<Result<Vec<_>>>()?;
    let candidates = selector::candidates(map, &matcher);
    let default = [DEFAULT_FIELD.to_owned()];
    let fields = if target.field_paths.is_empty() { &default[..] } else { &target.field_paths };
    let fields: Vec<(&String, Vec<String>)> =
        fields.iter().map(|field| (field, path::split_bracketed(field, '.'))).collect();
    build.meter.count_work(candidates.len().saturating_mul(fields.len()))?;
    let mut selected = Vec::new();
    for index in candidates {
        let Some(resource) = map.get(index) else { continue };
        if !matcher.matches_labels_and_annotations(&resource.node) {
            continue;
        }
        let ids = ids(resource);
        let matches = |matcher: &Matcher, id: &ResId| -> Result<bool> {
            Ok(matcher.matches_gvk(&id.gvk, meter)?
                && matcher.matches_name(&id.name, meter)?
                && matcher.matches_namespace(&id.namespace, meter)?)
        };
        let matches_any = |matcher: &Matcher| {
            ids.iter().try_fold(false, |found, id| Ok::<_, Error>(found || matches(matcher, id)?))
        };
        let mut rejected = false;
        for (selector, matcher) in &rejects {
            let by_labels = !selector.label_selector.is_empty() || !selector.annotation_selector.is_empty();
            let by_id =
                [&selector.group, &selector.version, &selector.kind, &selector.name, &selector.namespace]
                    .iter()
                    .any(|part| !part.is_empty());
            rejected |= by_labels && matcher.matches_labels_and_annotations(&resource.node)
                || by_id && matches_any(matcher)?;
        }
        if !rejected && matches_any(&matcher)? {
            selected.push(index);
        }
    }
    let resources = map.resources_mut();
    for index in selected {
        let Some(resource) = resources.get_mut(index) else { continue };
        for (field, path) in &fields {
            let (depth, nodes) = meta::measure(&value.node);
            meter.count_copy(path.len(), depth, nodes)?;
            copy_to(&mut resource.node, field, path, &value.node, target.options.as_ref(), meter)?;
            value.refresh(index, &resource.node);
        }
    }
    Ok(())
}

fn copy_to(
    node: &mut Node,
    field: &str,
    path: &[String],
    value: &Node,
    options: Option<&FieldOptions>,
    meter: &Meter<'_>,
) -> Result<()> {
    let create = options.is_some_and(|options| options.create);
    if copy_into_text(node, path, value, create, meter).unwrap_or(false) {
        return Ok(());
    }
    let verb = if create { "find or create" } else { "find" };
    let missing = || format!("unable to {verb} field \"{field}\" in replacement target");
    let mut written = Written::default();
    let mut visitor = Visitor {
        create: create.then(|| value.clone()),
        meter,
        visit: &mut |node| written.set(node, |node| set(node, value, options)),
        found: 0,
    };
    visitor.walk(node, path).context(missing)?;
    if visitor.found == 0 {
        return Err(Error::Invalid(missing()));
    }
    written.spread(node, meter)
}

fn set(node: &mut Node, value: &Node, options: Option<&FieldOptions>) -> Result<()> {
    let Some(options) = options.filter(|options| !options.delimiter.is_empty()) else {
        if node.is_scalar() {
            set_text(node, value.as_str().unwrap_or_default());
        } else {
            *node = value.clone();
        }
        return Ok(());
    };
    let old = node.as_str().ok_or_else(scalar_only)?;
    let new = value.as_str().unwrap_or_default();
    let mut parts: Vec<&str> = old.split(&options.delimiter).collect();
    match usize::try_from(options.index) {
        Err(_) => parts.insert(0, new),
        Ok(index) => match parts.get_mut(index) {
            Some(part) => *part = new,
            None => parts.push(new),
        },
    }
    let joined = parts.join(&options.delimiter);
    set_text(node, &joined);
    Ok(())
}

/// Sets the text alone. A string that needs quotes now is only written with them; what it is merged with later finds it plain.
fn set_text(node: &mut Node, text: &str) {
    let style = node.style();
    node.set_scalar_text(text);
    if node.style() != style {
        node.assign(meta::plain_string(text));
    }
}

/// A scalar takes over the text alone, of which a collection has none; any other node is replaced.
fn put(node: &mut Node, value: &Node) {
    if node.is_scalar() {
        node.set_scalar_text(value.as_str().unwrap_or_default());
    } else {
        *node = value.clone();
    }
}

/// Sets a field within a text that is YAML or JSON itself. False when the path does not lead into such a text.
fn copy_into_text(
    node: &mut Node,
    path: &[String],
    value: &Node,
    create: bool,
    meter: &Meter<'_>,
) -> Result<bool> {
    for length in 1..path.len() {
        let (outer, inner) = path.split_at(length);
        let Ok(Some(found)) = lookup::get(node, outer) else { continue };
        let Some(text) = found.as_str().filter(|_| !found.is_null()).map(str::to_owned) else { continue };
        let Ok(parsed) = meter.parse_as_written(&text) else { continue };
        let Some(mut parsed) = parsed.into_iter().next() else { continue };
        let mut visitor = Visitor {
            create: create.then(|| value.clone()),
            meter,
            visit: &mut |node| {
                put(node, value);
                Ok(())
            },
            found: 0,
        };
        visitor.walk(&mut parsed, inner)?;
        if visitor.found == 0 {
            return Ok(false);
        }
        let text = serialize(&parsed, &text, meter)?;
        let outer: Vec<String> = outer.to_vec();
        let mut written = Written::default();
        if let Some(field) = lookup::create(node, &outer, super::field::Create::Scalar)? {
            written.set(field, |field| set_text(field, &text));
        }
        written.spread(node, meter)?;
        return Ok(true);
    }
    Ok(false)
}

/// The changed text in the format it had.
fn serialize(node: &Node, original: &str, meter: &Meter<'_>) -> Result<String> {
    let text = yaml::emit(node);
    if !original.trim_start().starts_with(['{', '[']) {
        return Ok(text.trim().to_owned());
    }
    let documents = meter.parse_briefly(&text)?;
    // Within a list, since only the keys of an object's own fields may be other than strings.
    let json = Node::sequence_of(documents.into_iter().take(1)).to_json(Resolver::KustomizeV3)?;
    let json = json.get(0).unwrap_or(&serde_json::Value::Null);
    let indented = original.contains('\n') && original.contains("  ");
    Ok(if indented { yaml::indented_json(json) } else { yaml::canonical_json(json) })
}
