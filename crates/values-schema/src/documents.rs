//! The documents that schemas lie in: their resources (`$id`), anchors and dialects.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::SchemaError;
use crate::document::Json;
use crate::draft::{Draft, metaschema};
use crate::limits::Meter;
use crate::pointer::{self, address, quoted};

/// What a schema without a body is.
static TRUE: Json = Json::Bool(true);

/// In which draft a resource is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dialect {
    pub(crate) draft: Draft,
    /// `None`: the usual ones.
    pub(crate) vocabularies: Option<Vec<&'static str>>,
}

impl Dialect {
    pub(crate) fn has(&self, vocabulary: &str) -> bool {
        if vocabulary == "core" || self.draft < Draft::V2019 {
            return true;
        }
        match (&self.vocabularies, self.draft) {
            (Some(names), _) => names.contains(&vocabulary),
            (None, Draft::V2019) => matches!(vocabulary, "applicator" | "validation"),
            (None, _) => matches!(vocabulary, "applicator" | "unevaluated" | "validation"),
        }
    }
}

/// A part of a document with an address of its own.
#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) pointer: String,
    pub(crate) id: String,
    pub(crate) dialect: Dialect,
    pub(crate) anchors: BTreeMap<String, String>,
    pub(crate) dynamic_anchors: Vec<String>,
}

impl Resource {
    fn new(pointer: &str, id: &str, dialect: Dialect) -> Self {
        let (pointer, id) = (pointer.to_owned(), id.to_owned());
        Self { pointer, id, dialect, anchors: BTreeMap::new(), dynamic_anchors: Vec::new() }
    }
}

/// A document and what was found in it.
#[derive(Debug)]
pub(crate) struct Document<'d> {
    pub(crate) url: String,
    pub(crate) json: &'d Json,
    /// By their pointers. The document itself is one.
    pub(crate) resources: BTreeMap<String, Resource>,
    /// Their pointers by their addresses.
    ids: HashMap<String, String>,
    processed: HashSet<String>,
}

impl<'d> Document<'d> {
    /// The resource that a place belongs to.
    pub(crate) fn resource(&self, at: &str) -> Option<&Resource> {
        let mut at = at;
        loop {
            if let Some(resource) = self.resources.get(at) {
                return Some(resource);
            }
            at = at.rfind('/').and_then(|slash| at.get(..slash))?;
        }
    }

    /// The place that a fragment means in a resource.
    fn fragment(&self, fragment: &str, resource: &Resource) -> Result<String, SchemaError> {
        if fragment.is_empty() || fragment.starts_with('/') {
            return Ok(format!("{}{fragment}", resource.pointer));
        }
        resource.anchors.get(fragment).cloned().ok_or_else(|| {
            let reference = quoted(&address(&resource.id, fragment));
            let url = quoted(&self.url);
            SchemaError::Invalid(format!("anchor in {reference} not found in schema {url}"))
        })
    }

    /// The place that an address means, if it is in this document.
    pub(crate) fn resolve(&self, url: &str, fragment: &str) -> Result<Option<String>, SchemaError> {
        let at = if url == self.url { Some("") } else { self.ids.get(url).map(String::as_str) };
        match at.and_then(|at| self.resources.get(at)) {
            Some(resource) => self.fragment(fragment, resource).map(Some),
            None => Ok(None),
        }
    }

    /// What is at a place.
    pub(crate) fn lookup(&self, at: &str) -> Result<&'d Json, SchemaError> {
        let shown = || quoted(&address(&self.url, at));
        let mut value = self.json;
        for token in at.split('/').skip(1) {
            let token = pointer::unescape(token)
                .ok_or_else(|| SchemaError::Invalid(format!("invalid json-pointer {}", shown())))?;
            let next = match value {
                Json::Object(entries) => entries.get(&token),
                Json::Array(items) => strconv::atoi(&token)
                    .ok()
                    .and_then(|index| usize::try_from(index).ok())
                    .and_then(|index| items.get(index)),
                _ => None,
            };
            value =
                next.ok_or_else(|| SchemaError::Invalid(format!("json-pointer in {} not found", shown())))?;
        }
        Ok(value)
    }

    fn collect_anchors(&mut self, schema: &Json, at: &str, owner: &str) -> Result<(), SchemaError> {
        let url = self.url.clone();
        let Some(resource) = self.resources.get_mut(owner) else { return Ok(()) };
        let draft = resource.dialect.draft;
        let add = |resource: &mut Resource, anchor: &str| match resource.anchors.get(anchor) {
            Some(there) if there != at => {
                let (anchor, url, there, at) = (quoted(anchor), quoted(&url), quoted(there), quoted(at));
                Err(SchemaError::Invalid(format!("duplicate anchor {anchor} in {url} at {there} and {at}")))
            }
            _ => {
                resource.anchors.insert(anchor.to_owned(), at.to_owned());
                Ok(())
            }
        };
        if draft < Draft::V2019 {
            if schema.get("$ref").is_some() {
                return Ok(());
            }
            let Some(id) = schema.string(draft.id_keyword()) else { return Ok(()) };
            let Ok((_, fragment)) = pointer::split_fragment(id) else {
                let place = quoted(&address(&self.url, at));
                return Err(SchemaError::Invalid(format!("error in parsing anchor at {place}")));
            };
            if !fragment.is_empty() && !fragment.starts_with('/') {
                add(resource, &fragment)?;
            }
            return Ok(());
        }
        if let Some(anchor) = schema.string("$anchor") {
            add(resource, anchor)?;
        }
        if let Some(anchor) = schema.string("$dynamicAnchor").filter(|_| draft >= Draft::V2020) {
            add(resource, anchor)?;
            resource.dynamic_anchors.push(anchor.to_owned());
        }
        Ok(())
    }
}

/// Compares a part of a document with the metaschema of its dialect.
pub(crate) trait Judge {
    fn judge(&self, document: &Document<'_>, part: &Json, at: &str) -> Result<(), SchemaError>;
}

/// All documents that were needed so far.
#[derive(Debug)]
pub(crate) struct Documents<'d, 'm> {
    given: HashMap<String, &'d Json>,
    loaded: HashMap<String, Document<'d>>,
    pub(crate) meter: &'m Meter<'m>,
}

impl<'d, 'm> Documents<'d, 'm> {
    pub(crate) fn new(meter: &'m Meter<'m>) -> Self {
        Self { given: HashMap::new(), loaded: HashMap::new(), meter }
    }

    /// Puts a document at an address.
    pub(crate) fn give(&mut self, url: &str, json: &'d Json) {
        self.given.insert(url.to_owned(), json);
    }

    pub(crate) fn get(&self, url: &str) -> Option<&Document<'d>> {
        self.loaded.get(url)
    }

    /// The text at an address: nothing comes from a network or a disk.
    fn fetch(&self, url: &str) -> Result<&'d Json, SchemaError> {
        if let Some(json) = self.given.get(url) {
            return Ok(json);
        }
        if let Some(json) = metaschema(url) {
            return Ok(json);
        }
        let why = match gourl::parse(url) {
            Ok(url) if url.scheme == "urn" => return Ok(&TRUE),
            Ok(url) if matches!(url.scheme.as_str(), "http" | "https") => {
                "schemas are not loaded from the network".to_owned()
            }
            Ok(url) if url.scheme == "file" => "schemas are not loaded from files".to_owned(),
            Ok(_) => format!("no URLLoader registered for {}", quoted(url)),
            Err(error) => format!("parse {}: {error}", quoted(url)),
        };
        Err(SchemaError::Invalid(format!("failing loading {}: {why}", quoted(url))))
    }

    /// Loads a document, if it is not there yet.
    pub(crate) fn load(&mut self, url: &str, judge: &dyn Judge) -> Result<(), SchemaError> {
        if self.loaded.contains_key(url) {
            return Ok(());
        }
        let json = self.fetch(url)?;
        let (resources, ids, processed) = (BTreeMap::new(), HashMap::new(), HashSet::new());
        let mut document = Document { url: url.to_owned(), json, resources, ids, processed };
        let dialect = Dialect { draft: Draft::V2020, vocabularies: None };
        self.collect(&mut document, json, url, "", &dialect)?;
        if !url.starts_with("http://json-schema.org/") && !url.starts_with("https://json-schema.org/") {
            judge.judge(&document, json, "")?;
        }
        self.loaded.insert(url.to_owned(), document);
        Ok(())
    }

    /// The document and the place that an address means.
    pub(crate) fn place(
        &mut self,
        url: &str,
        fragment: &str,
        judge: &dyn Judge,
    ) -> Result<String, SchemaError> {
        self.load(url, judge)?;
        let at = self.loaded.get(url).and_then(|document| {
            document.resources.get("").map(|resource| document.fragment(fragment, resource))
        });
        at.unwrap_or_else(|| Ok(String::new()))
    }

    /// Looks into a part of a document that is not where schemas are by their draft.
    pub(crate) fn ensure_schema(
        &mut self,
        url: &str,
        at: &str,
        judge: &dyn Judge,
    ) -> Result<(), SchemaError> {
        self.load(url, judge)?;
        let Some(mut document) = self.loaded.remove(url) else { return Ok(()) };
        let done = self.ensure_part(&mut document, at, judge);
        self.loaded.insert(url.to_owned(), document);
        done
    }

    fn ensure_part(
        &self,
        document: &mut Document<'d>,
        at: &str,
        judge: &dyn Judge,
    ) -> Result<(), SchemaError> {
        if document.processed.contains(at) {
            return Ok(());
        }
        let part = document.lookup(at)?;
        let Some(owner) = document.resource(at) else { return Ok(()) };
        let (id, dialect) = (owner.id.clone(), owner.dialect.clone());
        self.collect(document, part, &id, at, &dialect)?;
        if !document.resources.contains_key(at) {
            let owner = document.resource(at).map(|owner| owner.pointer.clone()).unwrap_or_default();
            document.collect_anchors(part, at, &owner)?;
        }
        judge.judge(document, part, at)
    }

    /// Finds the resources and anchors in a schema and below it.
    fn collect(
        &self,
        document: &mut Document<'d>,
        schema: &'d Json,
        base: &str,
        at: &str,
        fallback: &Dialect,
    ) -> Result<(), SchemaError> {
        self.meter.step(1)?;
        self.meter.look(at.len())?;
        self.meter.keep(64 + at.len())?;
        if !document.processed.insert(at.to_owned()) {
            return Ok(());
        }
        if !matches!(schema, Json::Object(_)) {
            if at.is_empty() {
                document.resources.insert(String::new(), Resource::new("", base, fallback.clone()));
                document.ids.insert(base.to_owned(), String::new());
            }
            return Ok(());
        }
        let mut draft = self.draft(&document.url, at, schema, fallback.draft)?;
        let mut has_metaschema = schema.string("$schema").is_some();
        let mut id = draft.id(schema);
        if id.is_empty() && !at.is_empty() {
            // What is no resource has no say.
            (draft, has_metaschema) = (fallback.draft, false);
            id = draft.id(schema);
        }
        let mut base = base.to_owned();
        if !id.is_empty() {
            (base, _) = pointer::resolve(&base, id).map_err(|_| {
                let place = quoted(&address(&document.url, at));
                SchemaError::Invalid(format!("error in parsing id at {place}"))
            })?;
        }
        if !id.is_empty() || at.is_empty() {
            match document.ids.get(&base) {
                Some(there) if there != at => {
                    let (id, url, at, there) =
                        (quoted(&base), quoted(&document.url), quoted(at), quoted(there));
                    let message = format!("duplicate id {id} in {url} at {at} and {there}");
                    return Err(SchemaError::Invalid(message));
                }
                Some(_) => {}
                None => {
                    let dialect = match has_metaschema {
                        true => Dialect { draft, vocabularies: self.vocabularies(schema, draft)? },
                        false => fallback.clone(),
                    };
                    self.meter.keep(256 + at.len() + base.len() * 2)?;
                    document.resources.insert(at.to_owned(), Resource::new(at, &base, dialect));
                    document.ids.insert(base.clone(), at.to_owned());
                }
            }
        }
        let Some(owner) = document.ids.get(&base).cloned() else { return Ok(()) };
        document.collect_anchors(schema, at, &owner)?;
        let Some(dialect) = document.resources.get(&owner).map(|owner| owner.dialect.clone()) else {
            return Ok(());
        };
        for (at, subschema) in draft.subschemas(schema, at) {
            self.collect(document, subschema, &base, &at, &dialect)?;
        }
        Ok(())
    }

    /// The draft that `$schema` leads to.
    fn draft(&self, url: &str, at: &str, schema: &Json, default: Draft) -> Result<Draft, SchemaError> {
        let mut seen = HashSet::new();
        let (mut url, mut at, mut schema) = (url.to_owned(), at, schema);
        loop {
            self.meter.step(1)?;
            let Some(named) = schema.string("$schema") else { return Ok(default) };
            if let Some(draft) = Draft::of_url(named) {
                return Ok(draft);
            }
            let (named, _) = pointer::split(named);
            if let Err(error) = gourl::parse(named) {
                let (place, shown) = (quoted(&address(&url, at)), quoted(named));
                return Err(SchemaError::Invalid(format!(
                    "invalid $schema in {place}: parse {shown}: {error}"
                )));
            }
            if at.is_empty() && named == url {
                return Err(SchemaError::Invalid(format!("draft {} is not supported", quoted(named))));
            }
            if !seen.insert(named.to_owned()) {
                return Err(SchemaError::Invalid(format!("cycle in resolving $schema in {}", quoted(named))));
            }
            schema = self.fetch(named)?;
            (url, at) = (named.to_owned(), "");
        }
    }

    fn vocabularies(&self, schema: &Json, draft: Draft) -> Result<Option<Vec<&'static str>>, SchemaError> {
        let Some(named) = schema.string("$schema") else { return Ok(None) };
        if Draft::of_url(named).is_some() {
            return Ok(None);
        }
        let (named, _) = pointer::split(named);
        draft.required_vocabularies(named, self.fetch(named)?).map_err(SchemaError::Invalid)
    }
}
