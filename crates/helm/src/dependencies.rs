//! Which subcharts are used, by tags, conditions and aliases, and what values a chart imports from them, by the rules of Helm 4
//! (`pkg/chart/v2/util/dependencies.go`).

use std::collections::HashSet;

use gotemplate::Value;
use gotemplate::value::{Map, Type};
use helm_chart::Dependency;
use serde_json::Value as Json;
use versions::{Constraint, Version};

use crate::allowance::{Allowance, ValuesError, check_nesting};
use crate::coalesce::{self, Nulls};
use crate::convert::{as_table, lookup};
use crate::tree::ChartNode;
use crate::warnings::Warnings;

/// Leaves out the subcharts that are not used, and imports values.
///
/// # Errors
/// The value of a subchart's name is no table.
pub(crate) fn process(
    root: &mut ChartNode<'_>,
    values: &Map,
    allowance: &Allowance<'_>,
    warnings: &mut Warnings,
) -> Result<(), ValuesError> {
    allowance.charts(root.count())?;
    enable(root, values, "", allowance, warnings)?;
    import(root, allowance, warnings)
}

/// Whether a version is within a range; what is none of either is not.
pub(crate) fn is_compatible(range: &str, version: &str) -> bool {
    match (Version::parse_loose(version), Constraint::parse(range)) {
        (Some(version), Ok(range)) => range.matches(&version),
        _ => false,
    }
}

fn enable(
    node: &mut ChartNode<'_>,
    values: &Map,
    path: &str,
    allowance: &Allowance<'_>,
    warnings: &mut Warnings,
) -> Result<(), ValuesError> {
    // As in Helm, the subcharts of a chart that declares none are all used, and so are theirs.
    if node.dependencies.is_empty() {
        return Ok(());
    }
    let fits = |child: &ChartNode<'_>, dependency: &Dependency| {
        child.name == dependency.name && is_compatible(&dependency.version, &child.chart.metadata.version)
    };
    let (declared, mut children): (Vec<_>, Vec<_>) = std::mem::take(&mut node.children)
        .into_iter()
        .partition(|child| node.dependencies.iter().any(|dependency| fits(child, dependency)));
    for dependency in &mut node.dependencies {
        if let Some(child) = declared.iter().find(|child| fits(child, dependency)) {
            allowance.charts(child.count())?;
            let mut child = child.clone();
            if !dependency.alias.is_empty() {
                child.name.clone_from(&dependency.alias);
            }
            children.push(child);
        }
        if !dependency.alias.is_empty() {
            dependency.name.clone_from(&dependency.alias);
        }
    }
    node.children = children;
    let values = coalesce::coalesce(node, values, Nulls::Delete, allowance, warnings)?;
    for dependency in &mut node.dependencies {
        dependency.enabled = by_condition(dependency, &values, path, warnings)
            .unwrap_or_else(|| by_tags(dependency, &values, warnings));
    }
    let disabled: HashSet<String> =
        node.dependencies.iter().filter(|d| !d.enabled).map(|d| d.name.clone()).collect();
    node.children.retain(|child| !disabled.contains(&child.name));
    for child in &mut node.children {
        let path = format!("{path}{}.", child.name);
        enable(child, &values, &path, allowance, warnings)?;
    }
    node.dependencies.retain(|dependency| !disabled.contains(&dependency.name));
    Ok(())
}

/// What the first path says that leads to a boolean.
fn by_condition(dependency: &Dependency, values: &Map, path: &str, warnings: &mut Warnings) -> Option<bool> {
    let conditions = dependency.condition.trim().split(',').filter(|condition| !condition.is_empty());
    for condition in conditions {
        let full = format!("{path}{condition}");
        let found = match full.rsplit_once('.') {
            None => values.get(full.as_bytes()),
            Some((parents, key)) => lookup(values, parents).and_then(|table| table.get(key.as_bytes())),
        };
        match found {
            Some(Value::Bool(value)) => return Some(value),
            None | Some(Value::Map(_)) => {}
            Some(_) => {
                let name = &dependency.name;
                warnings.add(format_args!("condition {condition} of chart {name} is no boolean"));
            }
        }
    }
    None
}

/// Whether no tag says no, or one says yes.
fn by_tags(dependency: &Dependency, values: &Map, warnings: &mut Warnings) -> bool {
    let Some(tags) = values.get(b"tags").as_ref().and_then(as_table) else { return true };
    let (mut has_true, mut has_false) = (false, false);
    for tag in &dependency.tags {
        match tags.get(tag.as_bytes()) {
            None => {}
            Some(Value::Bool(true)) => has_true = true,
            Some(Value::Bool(false)) => has_false = true,
            Some(_) => {
                warnings.add(format_args!("tag {tag} of chart {} is no boolean", dependency.name));
            }
        }
    }
    has_true || !has_false
}

/// Subcharts first: what a chart imports may be imported there.
fn import(
    node: &mut ChartNode<'_>,
    allowance: &Allowance<'_>,
    warnings: &mut Warnings,
) -> Result<(), ValuesError> {
    for child in &mut node.children {
        import(child, allowance, warnings)?;
    }
    if node.dependencies.is_empty() {
        return Ok(());
    }
    let values = coalesce::coalesce(node, &Map::default(), Nulls::Keep, allowance, &mut Warnings::default())?;
    let imported = Map::default();
    for dependency in &mut node.dependencies {
        let mut imports = Vec::new();
        for import in &dependency.import_values {
            let Some((child, parent)) = source_and_target(import) else { continue };
            let path = format!("{}.{child}", dependency.name);
            imports.push(serde_json::json!({"child": child, "parent": parent}));
            let Some(table) = lookup(&values, &path) else {
                warnings.add(format_args!("there is no table {path} to import values from"));
                continue;
            };
            check_nesting(&node.name, parent.split('.').count(), &table)?;
            allowance.table(&table)?;
            coalesce::merge_tables(&imported, &below(&parent, table));
        }
        dependency.import_values = imports;
    }
    // What is imported is worth less than what the chart has itself.
    let values = allowance.deep_copy(&values)?;
    coalesce::merge_tables(&values, &imported);
    node.values = values;
    Ok(())
}

/// The paths in the subchart and in the chart.
fn source_and_target(import: &Json) -> Option<(String, String)> {
    let text = |value: Option<&Json>| match value {
        None | Some(Json::Null) => "<nil>".to_owned(),
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    match import {
        Json::String(name) => Some((format!("exports.{name}"), ".".to_owned())),
        Json::Object(paths) => Some((text(paths.get("child")), text(paths.get("parent")))),
        _ => None,
    }
}

/// The table at a path from the top.
fn below(path: &str, table: Map) -> Map {
    if path == "." {
        return table;
    }
    path.rsplit('.').fold(table, |table, name| Map::new(&Type::Any, [(name, Value::Map(table))]))
}
