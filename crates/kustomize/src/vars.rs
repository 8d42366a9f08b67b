//! Vars: `$(NAME)` in certain fields stands for a field of a resource.

use std::collections::BTreeMap;

use smol_str::SmolStr;
use yaml::{Node, Resolved, Resolver, Value};

use crate::build::Build;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::kustomization::Var;
use crate::lookup;
use crate::meter::Meter;
use crate::path;
use crate::resid::{Gvk, ResId, split_api_version};
use crate::resmap::ResMap;
use crate::shared::Written;
use crate::transform::field::{self, Create};

/// Vars by name.
#[derive(Debug, Default)]
pub(crate) struct Vars(BTreeMap<String, Var>);

/// What a var stands for.
#[derive(Debug, Clone)]
enum Replacement {
    /// A string.
    Text(String),
    /// A number or boolean, as written.
    Typed(String),
    /// Something that cannot stand in a string; the var stays.
    Collection,
}

impl Vars {
    /// Takes up a file's vars and notes them on the resources they read from.
    pub fn add_all(&mut self, vars: &[Var], map: &mut ResMap) -> Result<()> {
        for var in vars {
            let target = target(var);
            let matches = |id: &ResId| {
                if target.namespace.is_empty() { id.is_gvkn_equal(&target) } else { *id == target }
            };
            let named = map.matching_any_name(&target.name);
            let resources = map.contents_mut();
            let matched: Vec<usize> = named
                .into_iter()
                .filter(|index| {
                    resources.get(*index).is_some_and(|resource| {
                        [resource.id_unscoped()]
                            .into_iter()
                            .chain(resource.previous_ids())
                            .any(|id| matches(&id))
                    })
                })
                .collect();
            match matched[..] {
                [] => {}
                [index] => {
                    if let Some(resource) = resources.get_mut(index) {
                        resource.vars.push(SmolStr::new(&var.name));
                    }
                }
                _ => {
                    return Err(Error::Invalid(format!(
                        "found {} resId matches for var {} (unable to disambiguate)",
                        matched.len(),
                        shown(var)
                    )));
                }
            }
        }
        vars.iter().try_for_each(|var| self.add(var.clone()))
    }

    /// Takes up the vars of a base.
    pub fn merge(&mut self, other: Self) -> Result<()> {
        other.0.into_values().try_for_each(|var| self.add(var))
    }

    fn add(&mut self, var: Var) -> Result<()> {
        if self.0.contains_key(&var.name) {
            return Err(Error::Invalid(format!("var '{}' already encountered", var.name)));
        }
        self.0.insert(var.name.clone(), var);
        Ok(())
    }

    /// Replaces all mentions.
    pub fn resolve(&self, map: &mut ResMap, config: &Config, build: &mut Build<'_>) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let values = self.values(map)?;
        build.meter.count_work(map.resources().len().saturating_mul(config.var_reference.len()))?;
        for resource in map.resources_mut() {
            for spec in &config.var_reference {
                let mut written = Written::default();
                field::apply(&mut resource.node, spec, Create::Nothing, &build.meter, &mut |node| {
                    replace_in(node, &values, &mut written, &build.meter)
                })?;
                written.spread(&mut resource.node, &build.meter)?;
            }
        }
        Ok(())
    }

    fn values(&self, map: &ResMap) -> Result<BTreeMap<&str, Replacement>> {
        let mut holders: BTreeMap<&str, &Node> = BTreeMap::new();
        for resource in map.resources() {
            for name in &resource.vars {
                holders.entry(name).or_insert(&resource.node);
            }
        }
        let mut values = BTreeMap::new();
        for (name, var) in &self.0 {
            let node = holders.get(name.as_str()).ok_or_else(|| {
                Error::Invalid(format!(
                    "var '{}' cannot be mapped to a field in the set of known resources",
                    shown(var)
                ))
            })?;
            let field =
                if var.fieldref.field_path.is_empty() { "metadata.name" } else { &var.fieldref.field_path };
            let value = lookup::get(node, &indexed_path(field)).ok().flatten().ok_or_else(|| {
                Error::Invalid(format!(
                    "field specified in var '{}' not found in corresponding resource",
                    shown(var)
                ))
            })?;
            values.insert(name.as_str(), Replacement::of(value)?);
        }
        Ok(values)
    }
}

/// A var as Go prints it.
fn shown(var: &Var) -> String {
    let field = if var.fieldref.field_path.is_empty() { "metadata.name" } else { &var.fieldref.field_path };
    format!("{{{} {} {{{field}}}}}", var.name, target(var).gvk)
}

fn target(var: &Var) -> ResId {
    let object = &var.objref;
    let (group, version) = match object.api_version.as_str() {
        "" => (object.group.as_str(), object.version.as_str()),
        api_version => match split_api_version(api_version) {
            ("", version) => (object.group.as_str(), version),
            both => both,
        },
    };
    let gvk = Gvk { group: group.into(), version: version.into(), kind: object.kind.as_str().into() };
    ResId {
        gvk,
        name: object.name.as_str().into(),
        namespace: object.namespace.as_str().into(),
        cluster_scoped: false,
    }
}

/// A dotted path in which `a[0]` is `a`, `0`.
fn indexed_path(text: &str) -> Vec<String> {
    let mut parts = Vec::new();
    for part in path::split_bracketed(text, '.') {
        let indexed = part.strip_suffix(']').and_then(|part| part.rsplit_once('['));
        match indexed
            .filter(|(_, index)| !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit()))
        {
            Some((key, index)) => {
                if !key.is_empty() {
                    parts.push(key.to_owned());
                }
                parts.push(index.to_owned());
            }
            None => parts.push(part),
        }
    }
    parts
}

impl Replacement {
    fn of(node: &Node) -> Result<Self> {
        let text = || node.as_str().unwrap_or_default().to_owned();
        Ok(match node.resolve(Resolver::KustomizeV3)? {
            None => Self::Collection,
            Some(Resolved::Int(value)) => Self::Typed(value.to_string()),
            Some(Resolved::Bool(_) | Resolved::Float(_) | Resolved::Uint(_)) => Self::Typed(text()),
            Some(Resolved::String(text)) => Self::Text(text.into_owned()),
            Some(Resolved::Null | Resolved::Timestamp(_)) => Self::Text(text()),
        })
    }
}

fn is_string(node: &Node) -> bool {
    matches!(node.resolve(Resolver::KustomizeV3), Ok(Some(Resolved::String(_))))
}

fn replace_in(
    node: &mut Node,
    values: &BTreeMap<&str, Replacement>,
    written: &mut Written,
    meter: &Meter<'_>,
) -> Result<()> {
    match node.value_mut() {
        Value::Mapping(mapping) => {
            for (key, value) in mapping.entries_mut() {
                if !is_string(key) {
                    return Err(Error::Invalid(format!(
                        "invalid map key: value='{}'",
                        key.as_str().unwrap_or_default()
                    )));
                }
                written.set(value, |value| replace_in_scalar(value, values, meter))?;
            }
        }
        Value::Sequence(items) => {
            for item in items {
                if !is_string(item) {
                    return Err(Error::invalid("invalid value type expect a string"));
                }
                replace_in_scalar(item, values, meter)?;
            }
        }
        Value::Scalar(_) | Value::Alias(_) => replace_in_scalar(node, values, meter)?,
    }
    Ok(())
}

fn replace_in_scalar(node: &mut Node, values: &BTreeMap<&str, Replacement>, meter: &Meter<'_>) -> Result<()> {
    if !is_string(node) {
        return Ok(());
    }
    let Some(text) = node.as_str().filter(|text| text.contains('$')) else { return Ok(()) };
    match expand(text, values, meter)? {
        Replacement::Typed(text) => {
            node.assign(Node::plain(text));
        }
        Replacement::Text(text) => crate::meta::set_string(node, &text),
        Replacement::Collection => {}
    }
    Ok(())
}

/// Replaces `$(NAME)`; `$$` is a dollar sign. A text that is nothing but one var takes over the value's type.
fn expand(text: &str, values: &BTreeMap<&str, Replacement>, meter: &Meter<'_>) -> Result<Replacement> {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        result.push_str(before);
        let after = from.get(1..).unwrap_or_default();
        if let Some(tail) = after.strip_prefix('$') {
            result.push('$');
            rest = tail;
            continue;
        }
        let named = after.strip_prefix('(').and_then(|inner| inner.split_once(')'));
        let Some((name, tail)) = named else {
            result.push('$');
            rest = after;
            continue;
        };
        let value = values.get(name);
        if name.len() + 3 == text.len() {
            let value = value.cloned().unwrap_or(Replacement::Collection);
            if let Replacement::Text(text) | Replacement::Typed(text) = &value {
                meter.count_bytes(text.len())?;
            }
            return Ok(value);
        }
        match value {
            Some(Replacement::Text(value) | Replacement::Typed(value)) => {
                meter.count_bytes(value.len())?;
                result.push_str(value);
            }
            Some(Replacement::Collection) | None => {
                result.push_str("$(");
                result.push_str(name);
                result.push(')');
            }
        }
        rest = tail;
    }
    result.push_str(rest);
    Ok(Replacement::Text(result))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn expanded(text: &str) -> String {
        let values =
            BTreeMap::from([("A", Replacement::Text("x".into())), ("N", Replacement::Typed("8080".into()))]);
        match expand(text, &values, &crate::meter::default_meter()).unwrap() {
            Replacement::Text(text) => format!("text {text}"),
            Replacement::Typed(text) => format!("typed {text}"),
            Replacement::Collection => "unchanged".into(),
        }
    }

    #[test]
    fn vars_are_replaced_and_dollars_escaped() {
        for (text, result) in [
            ("$(A)", "text x"),
            ("$(N)", "typed 8080"),
            (":$(N)/$(A)", "text :8080/x"),
            ("$$(A)", "text $(A)"),
            ("$(B)", "unchanged"),
            ("a $(B) $(A)", "text a $(B) x"),
            ("$(A", "text $(A"),
            ("5$", "text 5$"),
        ] {
            assert_eq!(expanded(text), result, "{text}");
        }
    }
}
