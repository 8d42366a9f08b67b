//! From the derived schema to the one that is published.
//!
//! The derive admits null for every optional field, emits formats that Kubernetes does not know, and leaves the three
//! implicit fields of the root out. [`publish`] is the only place that edits a generated schema.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use schemars::{Schema, SchemaGenerator, json_schema};

/// Pattern of durations that may use every unit.
pub(crate) const DURATION: &str = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$";
/// Pattern of source timeouts, which may not use hours.
pub(crate) const SHORT_DURATION: &str = r"^([0-9]+(\.[0-9]+)?(ms|s|m))+$";

/// Schema of a value of any form.
pub(crate) fn anything(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "x-kubernetes-preserve-unknown-fields": true })
}

/// Schema of a list of values of any form.
pub(crate) fn list_of_anything(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": anything(generator) })
}

/// Turns the derived schema of a kind into the published one:
/// - no `nullable`, nor null among the values of an enum: the API server then drops or defaults a null, as for Go's types;
/// - only the formats that the API server validates;
/// - `apiVersion`, `kind` and `metadata` listed, so that `kubectl explain` shows them;
/// - the status defaults to an observed generation of -1, which means never reconciled, where it has one.
pub(crate) fn publish(mut root: JSONSchemaProps) -> JSONSchemaProps {
    tidy(&mut root);
    root.title = None;
    let properties = root.properties.get_or_insert_default();
    let implicit = [
        ("apiVersion", "string", "Version of the schema of this object."),
        ("kind", "string", "Kind of this object, in CamelCase. Cannot be updated."),
        ("metadata", "object", ""),
    ];
    for (name, type_, description) in implicit {
        properties.insert(
            name.to_owned(),
            JSONSchemaProps {
                type_: Some(type_.to_owned()),
                description: (!description.is_empty()).then(|| description.to_owned()),
                ..Default::default()
            },
        );
    }
    let observes = |status: &&mut JSONSchemaProps| {
        status.properties.as_ref().is_some_and(|fields| fields.contains_key("observedGeneration"))
    };
    if let Some(status) = properties.get_mut("status").filter(observes) {
        status.default = Some(JSON(serde_json::json!({ "observedGeneration": -1 })));
    }
    root
}

fn tidy(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    if let Some(values) = &mut schema.enum_ {
        values.retain(|JSON(value)| !value.is_null());
    }
    schema.format = schema.format.take().filter(|format| format == "int64" || format == "date-time");
    for property in schema.properties.iter_mut().flat_map(|properties| properties.values_mut()) {
        tidy(property);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        tidy(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        tidy(values);
    }
}
