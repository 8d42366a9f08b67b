//! What is known about kinds: which lists merge by which key, and which kinds have no namespace.

mod custom;
mod table;

use std::sync::OnceLock;

use crate::error::Result;
use crate::meter::Meter;
use table::{Field, Shape, Table, TypeId};

/// The only built-in version kustomize 5.8.1 carries.
const BUILTIN_VERSION: &str = "v1.21.2";

/// The schema of one build: built-in types, and those of the user when `openapi` names a file.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    custom: Option<Table>,
    chosen: bool,
    /// The built-in types were asked for before the user's file came, so they stay beside it.
    builtin_in_use: std::cell::Cell<bool>,
    /// The user's file never hides the built-in types.
    additive: bool,
}

/// Where a walk through an object stands: in a known type, or below an unknown one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    schema: &'a Schema,
    table: &'a Table,
    /// Never a name.
    field: &'a Field,
}

/// Names that lead on to other names; a longer way is taken for a circle, which leads nowhere.
const MAX_NAMES: usize = 16;

impl Schema {
    pub fn new(additive: bool) -> Self {
        Self { additive, ..Self::default() }
    }

    /// Applies an `openapi` field. Only the first one of a build counts, from the root on.
    ///
    /// # Errors
    /// An unknown version, a version together with a file, a file that is no schema.
    pub fn choose(
        &mut self,
        version: Option<&str>,
        file: Option<&str>,
        root: bool,
        meter: &Meter<'_>,
    ) -> Result<()> {
        use crate::error::Error;
        if self.chosen && !root {
            return Ok(());
        }
        if let Some(text) = file {
            if version.is_some() {
                return Err(Error::invalid("builtin version and custom schema provided, cannot use both"));
            }
            self.custom = Some(custom::parse(text, meter)?);
            self.chosen = true;
            return Ok(());
        }
        match version.unwrap_or_default() {
            "" => Ok(()),
            BUILTIN_VERSION => {
                self.chosen = true;
                Ok(())
            }
            _ => Err(Error::invalid("the specified OpenAPI version is not built in")),
        }
    }

    /// True when the kind certainly has no namespace.
    pub fn is_cluster_scoped(&self, api_version: &str, kind: &str) -> bool {
        let namespaced = builtin().namespaced.get(api_version, kind).copied().or_else(|| {
            if self.custom.is_none() {
                self.builtin_in_use.set(true);
            }
            self.custom.as_ref()?.namespaced.get(api_version, kind).copied()
        });
        namespaced == Some(false)
    }

    /// The type of an object.
    pub fn of_kind(&self, api_version: &str, kind: &str) -> Option<Place<'_>> {
        let find = |table| self.place(table, table.kinds.get(api_version, kind)?);
        let Some(custom) = &self.custom else {
            self.builtin_in_use.set(true);
            return find(builtin());
        };
        if custom.kinds.get(api_version, kind).is_some() {
            return find(custom);
        }
        if self.shows_builtin() { find(builtin()) } else { None }
    }

    /// Whether the built-in types count beside those of the user's file.
    fn shows_builtin(&self) -> bool {
        self.additive || self.builtin_in_use.get()
    }

    /// Follows names to what they stand for. A definition of the user's file takes the place of a built-in one of the same name.
    fn place<'a>(&'a self, mut table: &'a Table, mut field: &'a Field) -> Option<Place<'a>> {
        for _ in 0..MAX_NAMES {
            (table, field) = match field.shape {
                Shape::Named(id) if std::ptr::eq(table, builtin()) => self.builtin_definition(id)?,
                Shape::Named(id) => (table, table.definitions.get(id)?),
                Shape::Builtin(id) if self.shows_builtin() => self.builtin_definition(id)?,
                Shape::Builtin(_) => return None,
                _ => return Some(Place { schema: self, table, field }),
            };
        }
        None
    }

    fn builtin_definition(&self, id: TypeId) -> Option<(&Table, &Field)> {
        let replaced = self
            .custom
            .as_ref()
            .and_then(|custom| Some((custom, custom.definitions.get(*custom.replaces.get(&id)?)?)));
        replaced.or_else(|| Some((builtin(), builtin().definitions.get(id)?)))
    }
}

impl<'a> Place<'a> {
    /// The type under a key of a mapping.
    pub fn field(self, key: &str) -> Option<Place<'a>> {
        match &self.field.shape {
            Shape::Inline(fields, rest) => {
                self.schema.place(self.table, fields.get(key).or(rest.as_deref())?)
            }
            _ => None,
        }
    }

    /// The type of a list's items.
    pub fn items(self) -> Option<Place<'a>> {
        match &self.field.shape {
            Shape::List(items) => self.schema.place(self.table, items),
            _ => None,
        }
    }

    /// The keys by which a list merges; `None` for a list that is replaced.
    pub fn merge_keys(self) -> Option<&'a [smol_str::SmolStr]> {
        self.field.merge_keys.as_deref()
    }
}

fn builtin() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| Table::parse(include_str!("kubernetes.txt")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::meter::default_meter;

    #[test]
    fn containers_merge_by_name_and_their_ports_by_number_and_protocol() {
        let schema = Schema::default();
        let pod = schema
            .of_kind("apps/v1", "Deployment")
            .unwrap()
            .field("spec")
            .unwrap()
            .field("template")
            .unwrap();
        let containers = pod.field("spec").unwrap().field("containers").unwrap();
        assert_eq!(containers.merge_keys().unwrap(), ["name"]);
        let ports = containers.items().unwrap().field("ports").unwrap();
        assert_eq!(ports.merge_keys().unwrap(), ["containerPort", "protocol"]);
        assert!(containers.items().unwrap().field("command").unwrap().merge_keys().is_none());
    }

    #[test]
    fn only_what_is_known_to_have_no_namespace_is_cluster_scoped() {
        let schema = Schema::default();
        assert!(schema.is_cluster_scoped("v1", "Namespace"));
        assert!(!schema.is_cluster_scoped("v1", "Pod"));
        assert!(!schema.is_cluster_scoped("example.com/v1", "Thing"));
    }

    #[test]
    fn a_schema_file_hides_the_built_in_types_unless_it_adds_to_them() {
        let file = r#"{"definitions": {"x": {"x-kubernetes-group-version-kind": [{"group": "e.com", "version": "v1", "kind": "X"}]}}}"#;
        for additive in [false, true] {
            let mut schema = Schema::new(additive);
            schema.choose(None, Some(file), true, &default_meter()).unwrap();
            assert!(schema.of_kind("e.com/v1", "X").is_some());
            assert_eq!(schema.of_kind("apps/v1", "Deployment").is_some(), additive);
        }
    }

    #[test]
    fn a_schema_file_may_refer_to_built_in_types_and_replace_them() {
        let file = r##"{"definitions": {
            "x": {"x-kubernetes-group-version-kind": [{"group": "e.com", "version": "v1", "kind": "X"}], "properties": {
                "pod": {"$ref": "#/definitions/io.k8s.api.core.v1.PodSpec"},
                "list": {"$ref": "#/definitions/list"},
                "loop": {"$ref": "#/definitions/loop"}}},
            "list": {"type": ["array"], "items": {"type": "object"}, "x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": "id"},
            "loop": {"$ref": "#/definitions/loop"},
            "io.k8s.api.core.v1.Container": {"properties": {"env": {"type": "array"}}}}}"##;
        let mut schema = Schema::new(true);
        schema.choose(None, Some(file), true, &default_meter()).unwrap();
        let thing = schema.of_kind("e.com/v1", "X").unwrap();
        assert_eq!(thing.field("list").unwrap().merge_keys().unwrap(), ["id"]);
        assert!(thing.field("list").unwrap().items().is_some());
        assert!(thing.field("loop").is_none());
        let pod = schema.of_kind("v1", "Pod").unwrap().field("spec").unwrap();
        for pod in [thing.field("pod").unwrap(), pod] {
            assert_eq!(pod.field("volumes").unwrap().merge_keys().unwrap(), ["name"]);
            let containers = pod.field("containers").unwrap();
            assert_eq!(containers.merge_keys().unwrap(), ["name"]);
            assert!(containers.items().unwrap().field("env").unwrap().merge_keys().is_none());
        }
    }

    #[test]
    fn an_unknown_version_is_refused() {
        let error = Schema::default().choose(Some("v1.99.0"), None, true, &default_meter()).unwrap_err();
        assert_eq!(error.to_string(), "the specified OpenAPI version is not built in");
    }
}
