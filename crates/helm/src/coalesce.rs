//! How the values of a user, the values of a chart and those of its subcharts become one tree, by the rules of Helm 4
//! (`pkg/chart/common/util/coalesce.go`).
//!
//! Tables are shared and changed in place as there: a default of a subchart below `global` can reach the tables of its parent.

use gotemplate::Value;
use gotemplate::value::Map;

use crate::allowance::{Allowance, ValuesError};
use crate::convert::{as_table, deep_copy};
use crate::tree::ChartNode;
use crate::warnings::Warnings;

/// The key of values that all charts see.
const GLOBAL: &str = "global";

/// What becomes of `null`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nulls {
    /// It deletes a default, and defaults that are `null` are none.
    Delete,
    /// It stays, for a later step to delete what it stands for.
    Keep,
}

/// The value of a subchart's name is no table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("type mismatch on {name}: {found}")]
pub struct TypeMismatch {
    /// The subchart.
    pub name: String,
    /// What is there instead, as Go's `%t` shows it.
    pub found: String,
}

/// The values of a chart and its subcharts below those of the user, which stay as they are.
///
/// # Errors
/// The value of a subchart's name is no table.
pub(crate) fn coalesce(
    chart: &ChartNode<'_>,
    values: &Map,
    nulls: Nulls,
    allowance: &Allowance<'_>,
    warnings: &mut Warnings,
) -> Result<Map, ValuesError> {
    let copy = allowance.deep_copy(values)?;
    Coalescing { warnings }.chart(chart, &copy, "", nulls, allowance)?;
    Ok(copy)
}

/// The default values of a chart without subcharts below those of a user.
pub(crate) fn above_defaults(values: &Map, defaults: &Map) -> Map {
    let copy = deep_copy(values);
    let defaults = deep_copy(defaults);
    Coalescing { warnings: &mut Warnings::default() }.defaults(&defaults, &[], &copy, "", Nulls::Delete);
    copy
}

/// Puts what is in `source` below what is in `target`, of which a `null` deletes what it stands for.
pub(crate) fn coalesce_tables(target: &Map, source: &Map) {
    Coalescing { warnings: &mut Warnings::default() }.tables(target, source, "", Nulls::Delete);
}

/// Puts what is in `source` below what is in `target`.
pub(crate) fn merge_tables(target: &Map, source: &Map) {
    Coalescing { warnings: &mut Warnings::default() }.tables(target, source, "", Nulls::Keep);
}

struct Coalescing<'w> {
    warnings: &'w mut Warnings,
}

impl Coalescing<'_> {
    fn chart(
        &mut self,
        chart: &ChartNode<'_>,
        target: &Map,
        prefix: &str,
        nulls: Nulls,
        allowance: &Allowance<'_>,
    ) -> Result<(), ValuesError> {
        let prefix = joined(prefix, &chart.name);
        let defaults = allowance.deep_copy(&chart.values)?;
        self.defaults(&defaults, &chart.children, target, &prefix, nulls);
        for subchart in &chart.children {
            let name = subchart.name.as_bytes();
            let own = match target.get(name) {
                None => {
                    let own = Map::default();
                    target.put(name, Value::Map(own.clone()));
                    own
                }
                Some(Value::Map(own)) => own,
                Some(other) => {
                    let found = crate::go::shown_as_bool(&other);
                    return Err(TypeMismatch { name: subchart.name.clone(), found }.into());
                }
            };
            self.globals(&own, target, &prefix, allowance)?;
            self.chart(subchart, &own, &prefix, nulls, allowance)?;
        }
        Ok(())
    }

    /// The globals of the parent go over those of the subchart.
    fn globals(
        &mut self,
        target: &Map,
        source: &Map,
        prefix: &str,
        allowance: &Allowance<'_>,
    ) -> Result<(), ValuesError> {
        let globals = match target.get(GLOBAL.as_bytes()) {
            None => Map::default(),
            Some(Value::Map(globals)) => globals,
            Some(_) => {
                self.warnings
                    .add(format_args!("skipping globals because destination {GLOBAL} is not a table"));
                return Ok(());
            }
        };
        let parents = match source.get(GLOBAL.as_bytes()) {
            None => Map::default(),
            Some(Value::Map(parents)) => parents,
            Some(_) => {
                self.warnings.add(format_args!("skipping globals because source {GLOBAL} is not a table"));
                return Ok(());
            }
        };
        allowance.table(&parents)?;
        for (key, value) in parents.entries() {
            let own = globals.get(&key);
            match (value, own) {
                (Value::Map(table), own) => {
                    allowance.table(&table)?;
                    let copy = Map::new(table.element(), table.iter());
                    match own {
                        None => {}
                        Some(Value::Map(own)) => {
                            let prefix = joined(prefix, &key.to_str());
                            self.tables(&copy, &own, &prefix, Nulls::Keep);
                        }
                        Some(_) => {
                            self.warnings
                                .add(format_args!("cannot merge map onto non-map for {:?}", key.to_str()));
                            continue;
                        }
                    }
                    globals.put(key, Value::Map(copy));
                }
                (_, Some(Value::Map(_))) => {
                    self.warnings.add(format_args!("key {} is table. Skipping", key.to_str()));
                }
                (value, _) => globals.put(key, value),
            }
        }
        target.put(GLOBAL, Value::Map(globals));
        Ok(())
    }

    /// The default values of one chart, which nobody else holds.
    fn defaults(
        &mut self,
        defaults: &Map,
        children: &[ChartNode<'_>],
        target: &Map,
        prefix: &str,
        nulls: Nulls,
    ) {
        for (key, default) in defaults.entries() {
            match target.get(&key) {
                Some(Value::Nil) if nulls == Nulls::Delete => drop(target.remove(&key)),
                Some(Value::Map(own)) => {
                    let Value::Map(default) = default else {
                        if !matches!(default, Value::Nil) {
                            let name = key.to_str();
                            self.warnings.add(format_args!("skipped value for {prefix}.{name}: Not a table"));
                        }
                        continue;
                    };
                    // The nulls for a subchart delete its own defaults, which come later.
                    let is_subchart = children.iter().any(|child| child.name.as_bytes() == &*key);
                    let nulls = if is_subchart { Nulls::Keep } else { nulls };
                    if nulls == Nulls::Delete {
                        remove_nulls(&default);
                    }
                    self.tables(&own, &default, &joined(prefix, &key.to_str()), nulls);
                }
                Some(_) => {}
                None if nulls == Nulls::Keep => target.put(key, default),
                None => match default {
                    Value::Nil => {}
                    default => {
                        if let Value::Map(table) = &default {
                            remove_nulls(table);
                        }
                        target.put(key, default);
                    }
                },
            }
        }
    }

    fn tables(&mut self, target: &Map, source: &Map, prefix: &str, nulls: Nulls) {
        // A table below itself: there is nothing to add.
        if target.is_same(source) {
            return;
        }
        let entries = source.entries();
        for (key, value) in target.entries() {
            if matches!(value, Value::Nil) {
                source.put(key, Value::Nil);
            }
        }
        for (key, original) in entries {
            let value = source.get(&key).unwrap_or_default();
            match (target.get(&key), value) {
                (Some(Value::Nil), _) if nulls == Nulls::Delete && !matches!(original, Value::Nil) => {
                    target.remove(&key);
                }
                (None, value) => target.put(key, value),
                (Some(Value::Map(own)), Value::Map(table)) => {
                    self.tables(&own, &table, &joined(prefix, &key.to_str()), nulls);
                }
                (Some(_), Value::Map(_)) => {
                    let name = joined(prefix, &key.to_str());
                    self.warnings.add(format_args!("cannot overwrite table with non table for {name}"));
                }
                (Some(Value::Map(_)), value) if !matches!(value, Value::Nil) => {
                    let name = joined(prefix, &key.to_str());
                    let text = "is a table. Ignoring non-table value";
                    self.warnings.add(format_args!("destination for {name} {text}"));
                }
                _ => {}
            }
        }
    }
}

fn joined(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
}

fn remove_nulls(table: &Map) {
    for (key, value) in table.entries() {
        match value {
            Value::Nil => drop(table.remove(&key)),
            value => {
                if let Some(table) = as_table(&value) {
                    remove_nulls(&table);
                }
            }
        }
    }
}
