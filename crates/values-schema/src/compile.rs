//! From documents to schemas.

use std::collections::{HashMap, VecDeque};

use crate::SchemaError;
use crate::document::Json;
use crate::documents::{Dialect, Documents, Judge};
use crate::draft::Draft;
use crate::format;
use crate::pointer::{self, address, quoted};
use crate::schema::{Additional, Dependency, Id, Items, Pattern, Schema, Schemas, Types};

/// What a state of an expression takes, in steps and in bytes.
const STEPS_PER_WEIGHT: usize = 20;
const BYTES_PER_WEIGHT: usize = 100;

/// What the smallest expression takes.
pub(crate) const STEPS_PER_EXPRESSION: usize = 250;
const BYTES_PER_EXPRESSION: usize = 4096;

/// What a schema takes without its texts.
const BYTES_PER_SCHEMA: usize = size_of::<Schema<'_>>();

/// Compiles schemas, and those that they refer to.
pub(crate) struct Compiler<'d, 'm, 'j> {
    pub(crate) documents: Documents<'d, 'm>,
    judge: &'j dyn Judge,
    schemas: Schemas<'d>,
    known: HashMap<(String, String), Id>,
    waiting: VecDeque<Id>,
    patterns: HashMap<String, Pattern>,
    /// Whether formats are compared in any draft.
    asserts_formats: bool,
}

/// A schema that is being compiled.
struct Source<'d> {
    url: String,
    at: String,
    json: &'d Json,
    base: String,
    dialect: Dialect,
}

impl<'d, 'm, 'j> Compiler<'d, 'm, 'j> {
    pub(crate) fn new(
        documents: Documents<'d, 'm>,
        judge: &'j dyn Judge,
        shared: &'d [Schema<'d>],
        asserts_formats: bool,
    ) -> Self {
        let schemas = Schemas { shared, own: Vec::new() };
        let (known, waiting, patterns) = (HashMap::new(), VecDeque::new(), HashMap::new());
        Self { documents, judge, schemas, known, waiting, patterns, asserts_formats }
    }

    pub(crate) fn finish(self) -> Schemas<'d> {
        self.schemas
    }

    /// Compiles the document at an address.
    pub(crate) fn compile(&mut self, url: &str) -> Result<Id, SchemaError> {
        let at = self.documents.place(url, "", self.judge)?;
        let id = self.enqueue(url, &at)?;
        while let Some(next) = self.waiting.pop_front() {
            self.compile_next(next)?;
        }
        Ok(id)
    }

    fn enqueue(&mut self, url: &str, at: &str) -> Result<Id, SchemaError> {
        let meter = self.documents.meter;
        meter.look(url.len() + at.len())?;
        let key = (url.to_owned(), at.to_owned());
        if let Some(known) = self.known.get(&key) {
            return Ok(*known);
        }
        meter.keep(BYTES_PER_SCHEMA + 4 * (url.len() + at.len()))?;
        let id = self.schemas.add(Schema::new(url, at));
        self.known.insert(key, id);
        self.waiting.push_back(id);
        Ok(id)
    }

    fn compile_next(&mut self, id: Id) -> Result<(), SchemaError> {
        let Some(schema) = self.schemas.get(id) else { return Ok(()) };
        let mut schema = Schema::new(&schema.url, &schema.pointer);
        let (url, at) = (schema.url.clone(), schema.pointer.clone());
        self.documents.ensure_schema(&url, &at, self.judge)?;
        let Some(document) = self.documents.get(&url) else { return Ok(()) };
        let json = document.lookup(&at)?;
        let Some(resource) = document.resource(&at) else { return Ok(()) };
        let (base, dialect) = (resource.id.clone(), resource.dialect.clone());
        let owner = resource.pointer.clone();
        let anchors: Vec<_> = resource
            .dynamic_anchors
            .iter()
            .filter_map(|name| Some((name.clone(), resource.anchors.get(name)?.clone())))
            .collect();
        schema.draft = dialect.draft;
        schema.resource = self.enqueue(&url, &owner)?;
        if schema.draft >= Draft::V2020 && owner == at {
            for (name, anchor) in anchors {
                let target = self.enqueue(&url, &anchor)?;
                schema.dynamic_anchors.insert(name, target);
            }
        }
        match json {
            Json::Bool(value) => schema.boolean = Some(*value),
            Json::Object(entries) if entries.is_empty() => schema.boolean = Some(true),
            Json::Object(_) => self.compile_object(&Source { url, at, json, base, dialect }, &mut schema)?,
            _ => {}
        }
        schema.all_properties_evaluated = schema.additional_properties.is_some();
        if schema.draft < Draft::V2020 {
            schema.all_items_evaluated =
                schema.additional_items.is_some() || matches!(schema.items, Items::All(_));
            schema.items_evaluated = if let Items::Each(items) = &schema.items { items.len() } else { 0 };
        } else {
            schema.all_items_evaluated = schema.further_items.is_some();
            schema.items_evaluated = schema.prefix_items.len();
        }
        self.schemas.replace(id, schema);
        Ok(())
    }

    fn compile_object(&mut self, source: &Source<'d>, schema: &mut Schema<'d>) -> Result<(), SchemaError> {
        schema.reference = self.reference(source, "$ref")?;
        if schema.draft < Draft::V2019 && schema.reference.is_some() {
            // Nothing else beside it counts; but Go's library compares this one, and compiles those.
            if schema.draft >= Draft::V6 {
                schema.constant = source.json.get("const");
            }
            return self.compile_later_applicators(source, schema);
        }
        if source.dialect.has("applicator") {
            self.compile_applicators(source, schema)?;
            self.compile_object_applicators(source, schema)?;
        }
        if source.dialect.has("validation") {
            self.compile_assertions(source, schema)?;
        }
        let asserts_format = match schema.draft {
            _ if self.asserts_formats => true,
            Draft::V4 | Draft::V6 | Draft::V7 => true,
            Draft::V2019 => source.dialect.has("format"),
            Draft::V2020 => source.dialect.has("format-assertion"),
        };
        if asserts_format {
            schema.format = source.json.string("format").and_then(format::named);
        }
        if schema.draft >= Draft::V2019 {
            self.compile_references(source, schema)?;
        }
        Ok(())
    }

    fn compile_applicators(
        &mut self,
        source: &Source<'d>,
        schema: &mut Schema<'d>,
    ) -> Result<(), SchemaError> {
        schema.all_of = self.list(source, "allOf")?;
        schema.any_of = self.list(source, "anyOf")?;
        schema.one_of = self.list(source, "oneOf")?;
        schema.not = self.value(source, "not")?;
        if schema.draft < Draft::V2020 {
            if source.json.array("items").is_some() {
                schema.items = Items::Each(self.list(source, "items")?);
                schema.additional_items = self.additional(source, "additionalItems")?;
            } else if let Some(items) = self.value(source, "items")? {
                schema.items = Items::All(items);
            }
        } else {
            schema.prefix_items = self.list(source, "prefixItems")?;
            schema.further_items = self.value(source, "items")?;
        }
        self.compile_later_applicators(source, schema)
    }

    /// Those that came with drafts 6 and 7.
    fn compile_later_applicators(
        &mut self,
        source: &Source<'d>,
        schema: &mut Schema<'d>,
    ) -> Result<(), SchemaError> {
        if schema.draft >= Draft::V6 {
            schema.contains = self.value(source, "contains")?;
            schema.property_names = self.value(source, "propertyNames")?;
        }
        if schema.draft >= Draft::V7 {
            schema.condition = self.value(source, "if")?;
            if schema.condition.is_some() {
                let decided = source.json.boolean("if");
                if decided != Some(false) {
                    schema.consequence = self.value(source, "then")?;
                }
                if decided != Some(true) {
                    schema.alternative = self.value(source, "else")?;
                }
            }
        }
        Ok(())
    }

    fn compile_object_applicators(
        &mut self,
        source: &Source<'d>,
        schema: &mut Schema<'d>,
    ) -> Result<(), SchemaError> {
        schema.properties = self.map(source, "properties")?.into_iter().collect();
        for (name, id) in self.map(source, "patternProperties")? {
            let pattern = self.pattern(source, "patternProperties", name)?;
            schema.pattern_properties.push((pattern, id));
        }
        schema.additional_properties = self.additional(source, "additionalProperties")?;
        for (name, value) in source.json.object("dependencies").into_iter().flatten() {
            let dependency = match value {
                Json::Array(items) => Dependency::Properties(strings(items).map(str::to_owned).collect()),
                _ => Dependency::Schema(self.below(source, &["dependencies", name])?),
            };
            schema.dependencies.push((name, dependency));
        }
        if schema.draft >= Draft::V2019 {
            schema.dependent_schemas = self.map(source, "dependentSchemas")?;
        }
        Ok(())
    }

    fn compile_assertions(
        &mut self,
        source: &Source<'d>,
        schema: &mut Schema<'d>,
    ) -> Result<(), SchemaError> {
        let json = source.json;
        schema.types = Types::of_keyword(json.get("type"));
        schema.enumeration = json.array("enum");
        schema.multiple_of = json.number("multipleOf");
        (schema.maximum, schema.below) = bound(json, "maximum", "exclusiveMaximum");
        (schema.minimum, schema.above) = bound(json, "minimum", "exclusiveMinimum");
        schema.shortest = json.count("minLength");
        schema.longest = json.count("maxLength");
        if let Some(pattern) = json.string("pattern") {
            schema.pattern = Some(self.pattern(source, "pattern", pattern)?);
        }
        schema.least_items = json.count("minItems");
        schema.most_items = json.count("maxItems");
        schema.has_unique_items = json.boolean("uniqueItems") == Some(true);
        schema.least_properties = json.count("minProperties");
        schema.most_properties = json.count("maxProperties");
        schema.required = strings(json.array("required").unwrap_or_default()).collect();
        if schema.draft >= Draft::V6 {
            schema.constant = json.get("const");
        }
        if schema.draft >= Draft::V2019 {
            if schema.contains.is_some() {
                schema.least_contained = json.count("minContains");
                schema.most_contained = json.count("maxContains");
            }
            for (name, value) in json.object("dependentRequired").into_iter().flatten() {
                if let Json::Array(items) = value {
                    schema.dependent_required.push((name, strings(items).map(str::to_owned).collect()));
                }
            }
        }
        Ok(())
    }

    fn compile_references(
        &mut self,
        source: &Source<'d>,
        schema: &mut Schema<'d>,
    ) -> Result<(), SchemaError> {
        schema.recursive_reference = self.reference(source, "$recursiveRef")?;
        schema.is_recursive_anchor = source.json.boolean("$recursiveAnchor") == Some(true);
        let unevaluated = if schema.draft == Draft::V2019 { "applicator" } else { "unevaluated" };
        if source.dialect.has(unevaluated) {
            schema.unevaluated_items = self.value(source, "unevaluatedItems")?;
            schema.unevaluated_properties = self.value(source, "unevaluatedProperties")?;
        }
        if schema.draft >= Draft::V2020 {
            if let Some(target) = self.reference(source, "$dynamicRef")? {
                let reference = source.json.string("$dynamicRef").unwrap_or_default();
                let (_, fragment) = pointer::split_fragment(reference).map_err(SchemaError::Invalid)?;
                let anchor = if fragment.starts_with('/') { String::new() } else { fragment };
                schema.dynamic_reference = Some((target, anchor));
            }
            schema.dynamic_anchor = source.json.string("$dynamicAnchor").unwrap_or_default();
        }
        Ok(())
    }

    fn reference(&mut self, source: &Source<'d>, keyword: &str) -> Result<Option<Id>, SchemaError> {
        let Some(reference) = source.json.string(keyword) else { return Ok(None) };
        self.documents.meter.look(reference.len() + source.base.len())?;
        let (url, fragment) = pointer::resolve(&source.base, reference).map_err(SchemaError::Invalid)?;
        let local = match self.documents.get(&source.url) {
            Some(document) => document.resolve(&url, &fragment)?,
            None => None,
        };
        if let Some(at) = local {
            return self.enqueue(&source.url, &at).map(Some);
        }
        let at = self.documents.place(&url, &fragment, self.judge)?;
        self.enqueue(&url, &at).map(Some)
    }

    fn below(&mut self, source: &Source<'d>, tokens: &[&str]) -> Result<Id, SchemaError> {
        self.enqueue(&source.url, &pointer::join(&source.at, tokens))
    }

    fn value(&mut self, source: &Source<'d>, keyword: &str) -> Result<Option<Id>, SchemaError> {
        source.json.get(keyword).map(|_| self.below(source, &[keyword])).transpose()
    }

    fn list(&mut self, source: &Source<'d>, keyword: &str) -> Result<Vec<Id>, SchemaError> {
        let count = source.json.array(keyword).unwrap_or_default().len();
        (0..count).map(|index| self.below(source, &[keyword, &index.to_string()])).collect()
    }

    fn map(&mut self, source: &Source<'d>, keyword: &str) -> Result<Vec<(&'d str, Id)>, SchemaError> {
        let names = source.json.object(keyword).into_iter().flatten().map(|(name, _)| name.as_str());
        names.map(|name| Ok((name, self.below(source, &[keyword, name])?))).collect()
    }

    fn additional(&mut self, source: &Source<'d>, keyword: &str) -> Result<Option<Additional>, SchemaError> {
        match source.json.boolean(keyword) {
            Some(value) => Ok(Some(Additional::Allowed(value))),
            None => Ok(self.value(source, keyword)?.map(Additional::Schema)),
        }
    }

    fn pattern(&mut self, source: &Source<'d>, keyword: &str, text: &str) -> Result<Pattern, SchemaError> {
        if let Some(pattern) = self.patterns.get(text) {
            return Ok(pattern.clone());
        }
        let meter = self.documents.meter;
        meter.look(text.len())?;
        let invalid = |fault: goregexp::Fault| {
            let place = quoted(&address(&source.url, &pointer::join(&source.at, &[keyword])));
            SchemaError::Invalid(format!("invalid regex {} at {place}: {fault}", quoted(text)))
        };
        let translated = goregexp::translate(text).map_err(invalid)?;
        meter.step(STEPS_PER_EXPRESSION + translated.weight * STEPS_PER_WEIGHT)?;
        meter.keep(BYTES_PER_EXPRESSION + translated.weight * BYTES_PER_WEIGHT)?;
        let regex = translated.build(text).map_err(invalid)?;
        let pattern = Pattern { text: text.to_owned(), regex };
        self.patterns.insert(text.to_owned(), pattern.clone());
        Ok(pattern)
    }
}

fn strings(items: &[Json]) -> impl Iterator<Item = &str> {
    items.iter().filter_map(|item| if let Json::String(text) = item { Some(text.as_str()) } else { None })
}

/// A bound, and the one that is itself excluded: a number of its own, or a switch in draft 4.
fn bound<'d>(
    json: &'d Json,
    keyword: &str,
    exclusive: &str,
) -> (Option<&'d crate::number::Number>, Option<&'d crate::number::Number>) {
    let bound = json.number(keyword);
    match json.boolean(exclusive) {
        Some(true) => (None, bound),
        _ => (bound, json.number(exclusive)),
    }
}
