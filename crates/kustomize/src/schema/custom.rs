//! Types from the file that `openapi.path` names.

use std::collections::HashMap;

use serde_json::{Map, Value};
use smol_str::SmolStr;
use yaml::Resolver;

use super::builtin;
use super::table::{Field, Shape, Table, TypeId};
use crate::error::{Context, Error, Result};
use crate::meter::Meter;

/// Reads an OpenAPI document, JSON or YAML.
pub(super) fn parse(text: &str, meter: &Meter<'_>) -> Result<Table> {
    let documents = meter.parse(text).context(|| "invalid schema file".into())?;
    let root =
        documents.into_iter().next().ok_or_else(|| Error::invalid("invalid schema file: it is empty"))?;
    let root = root.to_json(Resolver::KubernetesV2).context(|| "invalid schema file".into())?;
    let Value::Object(root) = root else {
        return Err(Error::invalid("invalid schema file: it is not an object"));
    };
    let empty = Map::new();
    let definitions = root.get("definitions").and_then(Value::as_object).unwrap_or(&empty);
    let names: HashMap<SmolStr, TypeId> =
        definitions.keys().enumerate().map(|(id, name)| (name.into(), id)).collect();
    let mut table = Table::default();
    for (id, definition) in definitions.values().enumerate() {
        table.definitions.push(field(definition, &names));
        let kinds = definition.get("x-kubernetes-group-version-kind").and_then(Value::as_array);
        for (api_version, kind) in kinds.into_iter().flatten().filter_map(type_meta) {
            table.kinds.insert(&api_version, kind, Field { shape: Shape::Named(id), merge_keys: None });
        }
    }
    for (path, item) in root.get("paths").and_then(Value::as_object).unwrap_or(&empty) {
        let kind = item.get("get").and_then(|get| get.get("x-kubernetes-group-version-kind"));
        if let Some((api_version, kind)) = kind.and_then(type_meta) {
            let known = table.namespaced.get(&api_version, kind).copied().unwrap_or_default();
            let namespaced = known || path.contains("namespaces/{namespace}");
            table.namespaced.insert(&api_version, kind, namespaced);
        }
    }
    table.replaces =
        names.iter().filter_map(|(name, own)| Some((*builtin().names.get(name)?, *own))).collect();
    table.names = names;
    Ok(table)
}

fn type_meta(kind: &Value) -> Option<(String, &str)> {
    let text = |key: &str| kind.get(key).and_then(Value::as_str);
    let version = text("version")?;
    let api_version = match text("group") {
        Some(group) if !group.is_empty() => format!("{group}/{version}"),
        _ => version.to_owned(),
    };
    Some((api_version, text("kind")?))
}

/// Nesting is bounded by the YAML parser.
fn field(schema: &Value, names: &HashMap<SmolStr, TypeId>) -> Field {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let named = |name: &str| {
            let own = names.get(name).map(|id| Shape::Named(*id));
            own.or_else(|| builtin().names.get(name).map(|id| Shape::Builtin(*id)))
        };
        let shape = reference.strip_prefix("#/definitions/").and_then(named).unwrap_or_default();
        return Field { shape, merge_keys: None };
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    let rest = schema.get("additionalProperties").filter(|rest| rest.is_object());
    let shape = if is_list(schema) {
        Shape::List(Box::new(schema.get("items").map_or_else(Field::default, |items| field(items, names))))
    } else if properties.is_some() || rest.is_some() {
        let fields = properties
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.into(), field(value, names)))
            .collect();
        Shape::Inline(fields, rest.map(|rest| Box::new(field(rest, names))))
    } else {
        Shape::Opaque
    };
    Field { shape, merge_keys: merge_keys(schema) }
}

/// `type: array`, or `type: [array]`.
fn is_list(schema: &Value) -> bool {
    match schema.get("type") {
        Some(Value::Array(types)) => types.len() == 1 && types.contains(&"array".into()),
        Some(kind) => kind == "array",
        None => false,
    }
}

fn merge_keys(schema: &Value) -> Option<Vec<SmolStr>> {
    let strategy = schema.get("x-kubernetes-patch-strategy")?.as_str()?;
    if !strategy.split(',').any(|strategy| strategy == "merge") {
        return None;
    }
    let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
    let key = schema.get("x-kubernetes-patch-merge-key").and_then(Value::as_str);
    Some(match keys {
        Some(keys) => keys.iter().filter_map(Value::as_str).map(SmolStr::new).collect(),
        None => key.into_iter().map(SmolStr::new).collect(),
    })
}
