//! Types in memory, and the compact text the built-in ones are kept in.
//!
//! `kubernetes.txt` is derived from the OpenAPI document (Kubernetes 1.21.2, plus kustomize's own kinds) that kustomize 5.8.1
//! embeds, by reading its definitions and keeping of each only the fields that are objects or lists. One line each:
//!
//! - `D name field:type ...`: a definition; types are `@N` (definition N, from 0), `[T` (list of T), `{T` (values of type T);
//!   a list ends in `!key,key` when patches merge it by these keys. A type may be empty: known, but of no interest.
//! - `T apiVersion kind N`: the kind's definition.
//! - `N apiVersion kind 0|1`: whether the kind has a namespace.

use std::collections::HashMap;

use smol_str::SmolStr;

/// Index of a definition in its table.
pub(crate) type TypeId = usize;

/// The type of a value.
#[derive(Debug, Clone, Default)]
pub(crate) struct Field {
    pub shape: Shape,
    /// Set when the value is a list that patches merge. Without keys, items are scalars and merge by value.
    pub merge_keys: Option<Vec<SmolStr>>,
}

/// What a value consists of.
#[derive(Debug, Clone, Default)]
pub(crate) enum Shape {
    /// Nothing that matters here.
    #[default]
    Opaque,
    /// A type with a name, of the same table.
    Named(TypeId),
    /// A built-in type that a file of the user refers to.
    Builtin(TypeId),
    /// An object described in place, and the type of entries it does not name.
    Inline(HashMap<SmolStr, Field>, Option<Box<Field>>),
    /// A list.
    List(Box<Field>),
}

/// A set of types.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub definitions: Vec<Field>,
    /// What the definitions are called.
    pub names: HashMap<SmolStr, TypeId>,
    /// Built-in definitions, and those of this table that have their names and take their place.
    pub replaces: HashMap<TypeId, TypeId>,
    pub kinds: ByKind<Field>,
    pub namespaced: ByKind<bool>,
}

/// Something about each kind, by kind and then by API version, of which a kind has few.
#[derive(Debug)]
pub(crate) struct ByKind<T>(HashMap<SmolStr, Vec<(SmolStr, T)>>);

impl<T> Default for ByKind<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T> ByKind<T> {
    pub fn get(&self, api_version: &str, kind: &str) -> Option<&T> {
        self.0.get(kind)?.iter().find(|(known, _)| known == api_version).map(|(_, value)| value)
    }

    /// Sets what is known of a kind.
    pub fn insert(&mut self, api_version: &str, kind: &str, value: T) {
        let versions = self.0.entry(kind.into()).or_default();
        versions.retain(|(known, _)| known != api_version);
        versions.push((api_version.into(), value));
    }
}

impl Table {
    /// Reads the compact text; lines that make no sense are skipped.
    pub fn parse(text: &str) -> Self {
        let mut table = Self::default();
        for line in text.lines() {
            let mut words = line.split(' ');
            match (words.next(), words.next()) {
                (Some("D"), Some(name)) => {
                    table.names.insert(name.into(), table.definitions.len());
                    let fields = words
                        .filter_map(|word| word.split_once(':'))
                        .map(|(name, kind)| (name.into(), parse_type(kind)))
                        .collect();
                    table.definitions.push(Field { shape: Shape::Inline(fields, None), merge_keys: None });
                }
                (Some("T"), Some(api_version)) => {
                    if let (Some(kind), Some(Ok(id))) = (words.next(), words.next().map(str::parse)) {
                        let field = Field { shape: Shape::Named(id), merge_keys: None };
                        table.kinds.insert(api_version, kind, field);
                    }
                }
                (Some("N"), Some(api_version)) => {
                    if let (Some(kind), Some(flag)) = (words.next(), words.next()) {
                        table.namespaced.insert(api_version, kind, flag == "1");
                    }
                }
                _ => {}
            }
        }
        table
    }
}

fn parse_type(text: &str) -> Field {
    let (text, keys) = match text.split_once('!') {
        Some((text, keys)) => {
            (text, Some(keys.split(',').filter(|key| !key.is_empty()).map(SmolStr::new).collect()))
        }
        None => (text, None),
    };
    let shape = match text.split_at_checked(1) {
        Some(("@", id)) => id.parse().map_or(Shape::Opaque, Shape::Named),
        Some(("[", items)) => Shape::List(Box::new(parse_type(items))),
        Some(("{", values)) => Shape::Inline(HashMap::new(), Some(Box::new(parse_type(values)))),
        _ => Shape::Opaque,
    };
    Field { shape, merge_keys: keys }
}
