//! One field in a set of kinds.

use serde::Deserialize;
use smol_str::SmolStr;

use super::conflict;
use crate::error::Result;
use crate::path;
use crate::resid::Gvk;

/// A field in the kinds that a selector matches.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(from = "FieldSpecText")]
pub(crate) struct FieldSpec {
    pub gvk: Gvk,
    /// As written: `/` between keys, `[]` after those of lists, `\/` within a key.
    pub path: SmolStr,
    pub segments: Vec<Segment>,
    /// Make the field where it is missing.
    pub create: bool,
}

/// One key of a path.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Segment {
    pub key: SmolStr,
    /// Written with `[]`: a list, so never created.
    pub list: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct FieldSpecText {
    group: String,
    version: String,
    kind: String,
    path: String,
    create: bool,
}

impl From<FieldSpecText> for FieldSpec {
    fn from(text: FieldSpecText) -> Self {
        let gvk = Gvk { group: text.group.into(), version: text.version.into(), kind: text.kind.into() };
        Self::new(gvk, &text.path, text.create)
    }
}

impl FieldSpec {
    pub fn new(gvk: Gvk, path: &str, create: bool) -> Self {
        let segments = path::split(path, '/')
            .into_iter()
            .map(|part| match part.strip_suffix("[]") {
                Some(key) => Segment { key: key.trim().into(), list: true },
                None => Segment { key: part.trim().into(), list: false },
            })
            .collect();
        Self { gvk, path: path.into(), segments, create }
    }

    /// A field of every kind.
    pub fn everywhere(path: &str, create: bool) -> Self {
        Self::new(Gvk::default(), path, create)
    }

    /// The same field of the same kinds.
    fn covers(&self, other: &Self) -> bool {
        self.gvk.is_selected_by(&other.gvk) && self.path == other.path
    }
}

/// Adds what is not there.
pub(crate) fn merge_all(into: &mut Vec<FieldSpec>, from: &[FieldSpec]) -> Result<()> {
    from.iter().try_for_each(|spec| merge_one(into, spec.clone()))
}

/// Adds a field unless it is there; it must then agree on whether it is created.
pub(crate) fn merge_one(into: &mut Vec<FieldSpec>, spec: FieldSpec) -> Result<()> {
    match into.iter().find(|known| known.covers(&spec)) {
        Some(known) if known.create != spec.create => Err(conflict()),
        Some(_) => Ok(()),
        None => {
            into.push(spec);
            Ok(())
        }
    }
}
