//! Which parts of composed values are the inline values themselves.
//!
//! Flux's maps and lists are pointers. Its merge makes a new map where both sides have one, and takes over the pointer everywhere else, so
//! that a later assignment into the result may change the inline values too. Here both are trees of their own, and what is shared is
//! written down: shared parts always stand at the same place in both.

use std::collections::BTreeMap;

use helm_chart::Values;
use serde_json::Value;

use crate::names::Step;

/// What of a map is shared, by key; what has no entry is not.
type Parts = BTreeMap<String, Part>;

enum Part {
    /// The inline value itself, with all that is in it.
    Shared,
    /// A map that is not shared, though some of its entries may be.
    Map(Parts),
}

/// Values that are being composed, and the inline ones that come last.
pub(crate) struct Composed {
    values: Values,
    parts: Parts,
    inline: Values,
}

impl Composed {
    pub(crate) fn new(inline: Values) -> Self {
        Self { values: Values::new(), parts: Parts::new(), inline }
    }

    /// Merges the map of a reference over what there is.
    pub(crate) fn merge(&mut self, overlay: Values) {
        merge(&mut self.values, &mut self.parts, overlay);
    }

    /// Merges the inline values over what there is, and assigns `path` and all else that the text says.
    pub(crate) fn assign(
        &mut self,
        text: &str,
        assign: impl FnOnce(&str, &mut Values) -> Result<(), strvals::Error>,
    ) -> Result<(), strvals::Error> {
        share(&mut self.values, &mut self.parts, &self.inline);
        assign(text, &mut self.values)?;
        for name in crate::names::names(text) {
            follow(&name, &self.values, &mut self.parts, &mut self.inline);
        }
        Ok(())
    }

    /// How many values there are, those in others included.
    pub(crate) fn count(&self) -> usize {
        self.values.values().map(count).sum()
    }

    /// All of it, the inline values on top.
    pub(crate) fn finish(mut self) -> Values {
        yaml::merge_values(&mut self.values, self.inline);
        self.values
    }
}

/// Takes out what is in a map that becomes a new one: of one that was shared, all is. The caller puts it back.
fn open(parts: &mut Parts, key: &str, map: &Values) -> Parts {
    match parts.remove(key) {
        Some(Part::Map(parts)) => parts,
        Some(Part::Shared) => map.keys().map(|key| (key.clone(), Part::Shared)).collect(),
        None => Parts::new(),
    }
}

fn merge(values: &mut Values, parts: &mut Parts, overlay: Values) {
    for (key, value) in overlay {
        match (values.get_mut(&key), value) {
            (Some(Value::Object(below)), Value::Object(above)) => {
                let mut within = open(parts, &key, below);
                merge(below, &mut within, above);
                parts.insert(key, Part::Map(within));
            }
            (_, value) => {
                parts.remove(&key);
                values.insert(key, value);
            }
        }
    }
}

fn share(values: &mut Values, parts: &mut Parts, inline: &Values) {
    for (key, value) in inline {
        match (values.get_mut(key), value) {
            (Some(Value::Object(below)), Value::Object(above)) => {
                let mut within = open(parts, key, below);
                share(below, &mut within, above);
                parts.insert(key.clone(), Part::Map(within));
            }
            // It is the inline value already.
            _ if matches!(parts.get(key), Some(Part::Shared)) => {}
            _ => {
                values.insert(key.clone(), value.clone());
                parts.insert(key.clone(), Part::Shared);
            }
        }
    }
}

/// Makes in the inline values the change that an assignment made in what is shared.
fn follow(name: &[Step], values: &Values, parts: &mut Parts, inline: &mut Values) {
    let [Step::Key(key), rest @ ..] = name else { return };
    if rest.is_empty() {
        // The entry is another one now.
        parts.remove(key);
        return;
    }
    let (value, below) = (values.get(key), inline.get_mut(key));
    match (parts.get_mut(key), value, below) {
        (Some(Part::Map(parts)), Some(Value::Object(values)), Some(Value::Object(inline))) => {
            follow(rest, values, parts, inline);
        }
        // Go makes a new list to lengthen one.
        (Some(Part::Shared), Some(Value::Array(longer)), Some(Value::Array(list)))
            if longer.len() != list.len() =>
        {
            parts.remove(key);
        }
        (Some(Part::Shared), Some(value), Some(below)) => *below = value.clone(),
        _ => {}
    }
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(entries) => entries.values().map(count).sum(),
        _ => 0,
    }
}
