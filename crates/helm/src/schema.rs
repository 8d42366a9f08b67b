//! Values against the `values.schema.json` of each chart (`pkg/chart/common/util/jsonschema.go`).

use std::fmt::Write;

use gotemplate::Value;
use gotemplate::value::Map;
use values_schema::Limits;

use crate::convert::to_json;
use crate::tree::ChartNode;

/// What is wrong with values, for each chart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("values don't meet the specifications of the schema(s) in the following chart(s):\n{0}")]
pub struct SchemaErrors(String);

/// Compares the values of a chart, and of its subcharts, with their schemas.
///
/// # Errors
/// Values of any chart are not as its schema wants them.
pub(crate) fn validate(root: &ChartNode<'_>, values: &Map, limits: &Limits) -> Result<(), SchemaErrors> {
    let mut errors = String::new();
    collect(root, values, limits, &mut errors);
    if errors.is_empty() { Ok(()) } else { Err(SchemaErrors(errors)) }
}

// Writing to a string does not fail.
fn collect(node: &ChartNode<'_>, values: &Map, limits: &Limits, errors: &mut String) {
    if let Some(schema) = &node.chart.schema
        && let Err(error) = values_schema::validate(&schema.data, &to_json(values), limits)
    {
        let _ = write!(errors, "{}:\n{error}", node.name);
    }
    for child in &node.children {
        match values.get(child.name.as_bytes()) {
            None | Some(Value::Nil) => {}
            Some(Value::Map(own)) => collect(child, &own, limits, errors),
            Some(other) => {
                let (name, found) = (&child.name, other.go_type());
                let found = found.map_or_else(String::new, |found| found.to_string());
                let _ =
                    writeln!(errors, "{name}:\ninvalid type for values: expected object (map), got {found}");
            }
        }
    }
}
