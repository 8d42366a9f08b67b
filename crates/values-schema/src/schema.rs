//! Compiled schemas.

use std::collections::BTreeMap;

use regex::bytes::Regex;

use crate::document::Json;
use crate::draft::Draft;
use crate::format::Format;
use crate::number::Number;

/// A schema among all.
pub(crate) type Id = usize;

/// A set of types of JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Types(u8);

const TYPES: [&str; 7] = ["null", "boolean", "number", "integer", "string", "array", "object"];

impl Types {
    /// `type` of a schema. What is no type is left out.
    pub(crate) fn of_keyword(value: Option<&Json>) -> Self {
        let mut types = Self::default();
        let mut add = |value: &Json| {
            if let Json::String(name) = value {
                types.0 |= Self::named(name).0;
            }
        };
        match value {
            Some(Json::Array(items)) => items.iter().for_each(add),
            Some(value) => add(value),
            None => {}
        }
        types
    }

    fn named(name: &str) -> Self {
        Self(TYPES.iter().position(|known| *known == name).map_or(0, |index| 1 << index))
    }

    fn of_value(value: &Json) -> Self {
        Self::named(type_name(value))
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether a value has one of the types.
    pub(crate) fn has(self, value: &Json) -> bool {
        let is_integer = matches!(value, Json::Number(number) if number.is_integer());
        self.0 & Self::of_value(value).0 != 0 || is_integer && self.0 & Self::named("integer").0 != 0
    }

    pub(crate) fn names(self) -> Vec<&'static str> {
        TYPES.into_iter().filter(|name| self.0 & Self::named(name).0 != 0).collect()
    }
}

pub(crate) fn type_name(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}

/// A regular expression and its text.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    pub(crate) text: String,
    pub(crate) regex: Regex,
}

/// `additionalProperties` and `additionalItems`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Additional {
    Allowed(bool),
    Schema(Id),
}

/// `items` before 2020-12.
#[derive(Debug, Clone, Default)]
pub(crate) enum Items {
    #[default]
    Any,
    All(Id),
    Each(Vec<Id>),
}

#[derive(Debug, Clone)]
pub(crate) enum Dependency {
    Properties(Vec<String>),
    Schema(Id),
}

/// A schema. What it takes from its document is borrowed.
#[derive(Debug, Clone)]
pub(crate) struct Schema<'d> {
    pub(crate) url: String,
    pub(crate) pointer: String,
    pub(crate) location: String,
    pub(crate) draft: Draft,
    /// The schema of the resource that it belongs to.
    pub(crate) resource: Id,
    /// Those of the resource, if it is one.
    pub(crate) dynamic_anchors: BTreeMap<String, Id>,
    pub(crate) all_properties_evaluated: bool,
    pub(crate) all_items_evaluated: bool,
    pub(crate) items_evaluated: usize,

    pub(crate) boolean: Option<bool>,
    pub(crate) reference: Option<Id>,
    pub(crate) recursive_reference: Option<Id>,
    pub(crate) is_recursive_anchor: bool,
    /// With the anchor, if there is one.
    pub(crate) dynamic_reference: Option<(Id, String)>,
    pub(crate) dynamic_anchor: &'d str,
    pub(crate) types: Types,
    pub(crate) enumeration: Option<&'d [Json]>,
    pub(crate) constant: Option<&'d Json>,
    pub(crate) not: Option<Id>,
    pub(crate) all_of: Vec<Id>,
    pub(crate) any_of: Vec<Id>,
    pub(crate) one_of: Vec<Id>,
    pub(crate) condition: Option<Id>,
    pub(crate) consequence: Option<Id>,
    pub(crate) alternative: Option<Id>,
    pub(crate) format: Option<Format>,

    pub(crate) least_properties: Option<usize>,
    pub(crate) most_properties: Option<usize>,
    pub(crate) required: Vec<&'d str>,
    pub(crate) property_names: Option<Id>,
    pub(crate) properties: BTreeMap<&'d str, Id>,
    pub(crate) pattern_properties: Vec<(Pattern, Id)>,
    pub(crate) additional_properties: Option<Additional>,
    pub(crate) dependencies: Vec<(&'d str, Dependency)>,
    pub(crate) dependent_schemas: Vec<(&'d str, Id)>,
    pub(crate) dependent_required: Vec<(&'d str, Vec<String>)>,
    pub(crate) unevaluated_properties: Option<Id>,

    pub(crate) least_items: Option<usize>,
    pub(crate) most_items: Option<usize>,
    pub(crate) has_unique_items: bool,
    pub(crate) contains: Option<Id>,
    pub(crate) least_contained: Option<usize>,
    pub(crate) most_contained: Option<usize>,
    pub(crate) items: Items,
    pub(crate) additional_items: Option<Additional>,
    pub(crate) prefix_items: Vec<Id>,
    pub(crate) further_items: Option<Id>,
    pub(crate) unevaluated_items: Option<Id>,

    pub(crate) shortest: Option<usize>,
    pub(crate) longest: Option<usize>,
    pub(crate) pattern: Option<Pattern>,

    pub(crate) minimum: Option<&'d Number>,
    pub(crate) maximum: Option<&'d Number>,
    pub(crate) above: Option<&'d Number>,
    pub(crate) below: Option<&'d Number>,
    pub(crate) multiple_of: Option<&'d Number>,
}

impl Schema<'_> {
    pub(crate) fn new(url: &str, pointer: &str) -> Self {
        Self {
            url: url.to_owned(),
            pointer: pointer.to_owned(),
            location: crate::pointer::address(url, pointer),
            draft: Draft::V2020,
            resource: 0,
            dynamic_anchors: BTreeMap::new(),
            all_properties_evaluated: false,
            all_items_evaluated: false,
            items_evaluated: 0,
            boolean: None,
            reference: None,
            recursive_reference: None,
            is_recursive_anchor: false,
            dynamic_reference: None,
            dynamic_anchor: "",
            types: Types::default(),
            enumeration: None,
            constant: None,
            not: None,
            all_of: Vec::new(),
            any_of: Vec::new(),
            one_of: Vec::new(),
            condition: None,
            consequence: None,
            alternative: None,
            format: None,
            least_properties: None,
            most_properties: None,
            required: Vec::new(),
            property_names: None,
            properties: BTreeMap::new(),
            pattern_properties: Vec::new(),
            additional_properties: None,
            dependencies: Vec::new(),
            dependent_schemas: Vec::new(),
            dependent_required: Vec::new(),
            unevaluated_properties: None,
            least_items: None,
            most_items: None,
            has_unique_items: false,
            contains: None,
            least_contained: None,
            most_contained: None,
            items: Items::Any,
            additional_items: None,
            prefix_items: Vec::new(),
            further_items: None,
            unevaluated_items: None,
            shortest: None,
            longest: None,
            pattern: None,
            minimum: None,
            maximum: None,
            above: None,
            below: None,
            multiple_of: None,
        }
    }
}

/// All schemas: those of the drafts, which are compiled once, and those of one document and what it refers to.
#[derive(Debug, Default)]
pub(crate) struct Schemas<'d> {
    pub(crate) shared: &'d [Schema<'d>],
    pub(crate) own: Vec<Schema<'d>>,
}

impl<'d> Schemas<'d> {
    /// `None` for an id of other schemas.
    pub(crate) fn get(&self, id: Id) -> Option<&Schema<'d>> {
        self.shared.get(id).or_else(|| self.own.get(id.checked_sub(self.shared.len())?))
    }

    pub(crate) fn add(&mut self, schema: Schema<'d>) -> Id {
        self.own.push(schema);
        self.shared.len() + self.own.len() - 1
    }

    pub(crate) fn replace(&mut self, id: Id, schema: Schema<'d>) {
        let own = id.checked_sub(self.shared.len()).and_then(|index| self.own.get_mut(index));
        if let Some(own) = own {
            *own = schema;
        }
    }
}
