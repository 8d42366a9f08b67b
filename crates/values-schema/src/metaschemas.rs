//! The metaschemas of the drafts, compiled once, and the comparison of schemas with them.

use std::sync::LazyLock;

use crate::SchemaError;
use crate::compare::{Comparison, Resources};
use crate::compile::Compiler;
use crate::document::Json;
use crate::documents::{Dialect, Document, Documents, Judge};
use crate::draft::Draft;
use crate::limits::{Limits, Meter};
use crate::pointer::{address, quoted};
use crate::report;
use crate::schema::{Id, Schema, Schemas};

/// The compiled metaschemas.
pub(crate) struct Metaschemas {
    pub(crate) schemas: Vec<Schema<'static>>,
    drafts: Vec<(Draft, Id)>,
    vocabularies: Vec<(Draft, &'static str, Id)>,
}

/// Metaschemas are not compared with others.
struct Lenient;

impl Judge for Lenient {
    fn judge(&self, _: &Document<'_>, _: &Json, _: &str) -> Result<(), SchemaError> {
        Ok(())
    }
}

static METASCHEMAS: LazyLock<Result<Metaschemas, SchemaError>> = LazyLock::new(Metaschemas::compile);

impl Metaschemas {
    /// Those of this process.
    pub(crate) fn get() -> Result<&'static Self, SchemaError> {
        METASCHEMAS.as_ref().map_err(Clone::clone)
    }

    fn compile() -> Result<Self, SchemaError> {
        let limits = Limits::default();
        let meter = Meter::new(&limits);
        let mut compiler = Compiler::new(Documents::new(&meter), &Lenient, &[], true);
        let (mut drafts, mut vocabularies) = (Vec::new(), Vec::new());
        for draft in Draft::ALL {
            drafts.push((draft, compiler.compile(draft.url())?));
            let folder = draft.url().strip_suffix("schema").unwrap_or_default();
            for name in draft.vocabularies() {
                vocabularies.push((draft, *name, compiler.compile(&format!("{folder}meta/{name}"))?));
            }
        }
        Ok(Self { schemas: compiler.finish().own, drafts, vocabularies })
    }

    /// The metaschema of a dialect: that of its draft, or one of its vocabularies alone.
    fn of_dialect(&'static self, dialect: &Dialect, schemas: &mut Schemas<'static>) -> Id {
        let Some(names) = &dialect.vocabularies else {
            let draft = self.drafts.iter().find(|(draft, _)| *draft == dialect.draft);
            return draft.map(|(_, id)| *id).unwrap_or_default();
        };
        let of_names =
            |(draft, name, _): &&(Draft, &str, Id)| *draft == dialect.draft && names.contains(name);
        let id = schemas.shared.len() + schemas.own.len();
        let mut schema = Schema::new("urn:mem:metaschema", "");
        schema.location = schema.url.clone();
        schema.draft = dialect.draft;
        schema.resource = id;
        schema.all_of = self.vocabularies.iter().filter(of_names).map(|(_, _, id)| *id).collect();
        if dialect.draft >= Draft::V2020 {
            schema.dynamic_anchor = "meta";
            schema.dynamic_anchors.insert("meta".to_owned(), id);
        }
        schemas.add(schema)
    }
}

/// Compares schemas with the metaschemas.
pub(crate) struct Strict<'m> {
    pub(crate) metaschemas: &'static Metaschemas,
    pub(crate) meter: &'m Meter<'m>,
}

impl Judge for Strict<'_> {
    fn judge(&self, document: &Document<'_>, part: &Json, at: &str) -> Result<(), SchemaError> {
        let mut schemas = Schemas { shared: &self.metaschemas.schemas, own: Vec::new() };
        let mut known: Vec<(&Dialect, Id)> = Vec::new();
        let mut resources = Resources::new();
        for (pointer, resource) in &document.resources {
            let id = match known.iter().find(|(dialect, _)| **dialect == resource.dialect) {
                Some((_, id)) => *id,
                None => {
                    let id = self.metaschemas.of_dialect(&resource.dialect, &mut schemas);
                    known.push((&resource.dialect, id));
                    id
                }
            };
            resources.insert(pointer, id);
        }
        let dialect = document.resource(at).map(|resource| &resource.dialect);
        let root = known.iter().find(|(known, _)| Some(*known) == dialect).map(|(_, id)| *id);
        let Some(root) = root else { return Ok(()) };
        if known.len() == 1 {
            resources.clear();
        }
        let location = schemas.get(root).map(|schema| schema.location.clone()).unwrap_or_default();
        let comparison = Comparison { schemas: &schemas, meter: self.meter, resources };
        let Some(lines) = comparison.run(part, root)? else { return Ok(()) };
        Err(SchemaError::Invalid(format!(
            "{} is not valid against metaschema: jsonschema validation failed with {}{lines}",
            quoted(&address(&document.url, at)),
            report::quote(&location),
        )))
    }
}
