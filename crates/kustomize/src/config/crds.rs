//! Fields from the type descriptions that `crds` names.

use std::collections::BTreeMap;

use serde_json::Value;
use smol_str::SmolStr;

use super::{BackReferences, Config, FieldSpec, merge_one};
use crate::error::{Context, Error, Result};
use crate::meter::Meter;
use crate::resid::Gvk;

/// References between types followed below one kind.
const MAX_DEPTH: usize = 32;
/// Properties visited in one file.
const MAX_PROPERTIES: usize = 1_000_000;

/// Reads a file of `crds`: type names with an OpenAPI schema each.
pub(crate) fn from_crds(text: &str, meter: &Meter<'_>) -> Result<Config> {
    let root = match meter.parse(text)?.into_iter().next() {
        Some(root) => root.to_json(yaml::Resolver::KubernetesV2)?,
        None => Value::Null,
    };
    let Value::Object(types) = root else {
        return Err(Error::invalid("it does not hold type descriptions by name"));
    };
    let types: BTreeMap<&str, &Value> = types.iter().map(|(name, value)| (name.as_str(), value)).collect();
    let mut reader = Reader { types: &types, config: Config::default(), budget: MAX_PROPERTIES };
    for name in types.keys() {
        if ["kind", "apiVersion", "metadata"]
            .iter()
            .all(|key| reader.properties(name).any(|(known, _)| known == key))
        {
            let kind = name.rsplit('.').next().unwrap_or(name);
            reader.gather(&Gvk { kind: kind.into(), ..Gvk::default() }, name, &mut Vec::new())?;
        }
    }
    Ok(reader.config)
}

struct Reader<'a> {
    types: &'a BTreeMap<&'a str, &'a Value>,
    config: Config,
    budget: usize,
}

impl<'a> Reader<'a> {
    fn properties(&self, type_name: &str) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
        let schema = self.types.get(type_name).and_then(|definition| definition.get("Schema"));
        schema.and_then(|schema| schema.get("properties")).and_then(Value::as_object).into_iter().flatten()
    }

    fn gather(&mut self, gvk: &Gvk, type_name: &str, path: &mut Vec<SmolStr>) -> Result<()> {
        if path.len() > MAX_DEPTH {
            return Err(Error::Limit { what: "types nested in a CRD description", limit: MAX_DEPTH as u64 });
        }
        for (name, property) in self.properties(type_name) {
            self.budget = self.budget.checked_sub(1).ok_or(Error::Limit {
                what: "properties in CRD descriptions",
                limit: MAX_PROPERTIES as u64,
            })?;
            path.push(name.into());
            self.property(gvk, property, path).context(|| format!("property {}", path.join("/")))?;
            path.pop();
        }
        Ok(())
    }

    fn property(&mut self, gvk: &Gvk, property: &Value, path: &mut Vec<SmolStr>) -> Result<()> {
        let text = |key: &str| property.get(key).and_then(Value::as_str);
        let spec = FieldSpec::new(gvk.clone(), &path.join("/"), false);
        if text("x-kubernetes-annotation").is_some() {
            merge_one(&mut self.config.common_annotations, spec.clone())?;
        }
        if text("x-kubernetes-label-selector").is_some() {
            merge_one(&mut self.config.common_labels, spec.clone())?;
        }
        if text("x-kubernetes-identity").is_some() {
            merge_one(&mut self.config.name_prefix, spec)?;
        }
        if let (Some(version), Some(kind)) =
            (text("x-kubernetes-object-ref-api-version"), text("x-kubernetes-object-ref-kind"))
        {
            let key = text("x-kubernetes-object-ref-name-key").unwrap_or("name");
            let referrer = FieldSpec::new(gvk.clone(), &format!("{}/{key}", path.join("/")), false);
            let target = Gvk { version: version.into(), kind: kind.into(), ..Gvk::default() };
            self.config.add_references(&BackReferences { target, referrers: vec![referrer] })?;
        }
        match text("$ref") {
            Some(reference) => self.gather(gvk, reference, path),
            None => Ok(()),
        }
    }
}
