//! Lists that merge item by item.
//!
//! Items are known by the texts of their key fields. Items of the patch come first, in its order, then those that only the
//! target has; where items have several keys, those that both have stay where the target has them. The odd cases (items without their key, keys that occur twice) follow kyaml's `ElementSetter` step by step.

use std::collections::{HashMap, HashSet};

use smol_str::SmolStr;
use yaml::Node;

use super::strategic::{DIRECTIVE, Directive, Fate, Merger};
use crate::error::Result;
use crate::meta;
use crate::schema::Place;
use crate::transform::field::wrong_kind;

/// The key texts of one item; empty where it has none.
type Values = Vec<SmolStr>;

/// Takes the items that hold nothing but a directive out of a list.
pub(super) fn take_directive(list: &mut Node) -> Result<Directive> {
    let first = list.items().iter().find(|item| item.get(DIRECTIVE).is_some());
    let Some(text) = first.filter(|item| item.entries().len() == 1).and_then(|item| item.get(DIRECTIVE))
    else {
        return Ok(Directive::Merge);
    };
    let text = text.as_str().unwrap_or_default().to_owned();
    let directive = Directive::parse(&text)?;
    if let Some(items) = list.items_mut() {
        items.retain(|item| item.get(DIRECTIVE).and_then(Node::as_str) != Some(&text));
    }
    Ok(directive)
}

impl<'s> Merger<'s> {
    /// A list of a patch on its own.
    pub(super) fn tidy_items(
        &mut self,
        items: Vec<Node>,
        keys: &[SmolStr],
        place: Option<Place<'s>>,
    ) -> Result<Vec<Node>> {
        let mut tidied = Vec::with_capacity(items.len());
        for item in items {
            if let Some(item) = self.tidy(item, place)? {
                tidied.push(item);
            }
        }
        self.merge_items(tidied, None, keys, place)
    }

    /// Merges the patch's items into the target's.
    pub(super) fn merge_items(
        &mut self,
        mut own: Vec<Node>,
        patch: Option<Vec<Node>>,
        keys: &[SmolStr],
        place: Option<Place<'s>>,
    ) -> Result<Vec<Node>> {
        let scalars = [SmolStr::default()];
        let by_value = keys.is_empty();
        let keys = if by_value { &scalars[..] } else { keys };
        let patch = patch.unwrap_or_default();
        self.spend((own.len() + patch.len()).saturating_mul(keys.len()))?;
        let mut wanted = distinct_values(&patch, &own, keys, by_value);
        if wanted.is_empty() {
            return Ok(own);
        }
        if let Some(by_key) = ByKey::new(&own, &patch, keys, by_value) {
            return self.merge_by_key(by_key, own, patch, place);
        }
        if keys.len() > 1 {
            self.complete(&mut wanted)?;
        }
        let in_use: Vec<bool> = (0..keys.len())
            .map(|at| wanted.iter().any(|values| values.get(at).is_some_and(|v| !v.is_empty())))
            .collect();
        let any = in_use.contains(&true);
        let valid = |at: usize| !any || in_use.get(at).copied().unwrap_or_default();
        let valid_keys: Vec<&SmolStr> =
            keys.iter().enumerate().filter(|(at, _)| valid(*at)).map(|(_, key)| key).collect();
        let mut merged: Vec<Node> = Vec::with_capacity(wanted.len());
        for values in &wanted {
            let values: Vec<&SmolStr> =
                values.iter().enumerate().filter(|(at, _)| valid(*at)).map(|(_, value)| value).collect();
            self.spend(own.len() + patch.len() + merged.len())?;
            let item = self.merge_one(&mut own, &patch, &valid_keys, &values, place)?;
            match item.filter(|item| !is_nothing(item)) {
                None => set(&mut own, None, &valid_keys, &values)?,
                Some(mut item) => {
                    for (key, value) in valid_keys.iter().zip(&values) {
                        if !value.is_empty()
                            && !key.is_empty()
                            && item.is_mapping()
                            && item.get(key).is_none()
                        {
                            item.insert(key, Node::plain(value));
                        }
                    }
                    set(&mut merged, Some(item), &valid_keys, &values)?;
                }
            }
        }
        self.append(&mut merged, own, &valid_keys)?;
        Ok(merged)
    }

    /// The usual case: every item is found by its key at once.
    fn merge_by_key(
        &mut self,
        by_key: ByKey,
        own: Vec<Node>,
        patch: Vec<Node>,
        place: Option<Place<'s>>,
    ) -> Result<Vec<Node>> {
        let mut own: Vec<Option<Node>> = own.into_iter().map(Some).collect();
        let mut merged = Vec::with_capacity(own.len() + patch.len());
        let mut in_place: Vec<Option<Node>> = vec![None; if by_key.several_keys { own.len() } else { 0 }];
        for (addition, partner) in patch.into_iter().zip(by_key.partners) {
            let item = match partner.and_then(|at| own.get_mut(at)).and_then(Option::take) {
                None => self.tidy(addition, place)?,
                Some(item) if Directive::replaces(&addition) => {
                    self.tidy(addition, place)?;
                    Some(item)
                }
                Some(mut item) => {
                    (self.merge(&mut item, Some(addition), place)? == Fate::Keep).then_some(item)
                }
            };
            match partner.and_then(|at| in_place.get_mut(at)) {
                Some(its_place) => *its_place = item,
                None => merged.extend(item.filter(|item| !is_nothing(item))),
            }
        }
        in_place.resize_with(own.len(), || None);
        for (item, changed) in own.into_iter().zip(in_place) {
            let item = match item {
                None => changed,
                // It would count as a string, but it is in no field.
                Some(item) if item.is_untyped() => Some(item),
                Some(mut item) => (self.merge(&mut item, None, place)? == Fate::Keep).then_some(item),
            };
            merged.extend(item.filter(|item| !is_nothing(item)));
        }
        Ok(merged)
    }

    /// Merges the two items of these key values. The target's item is changed where it stands, too, and later laid over the result;
    /// so an item that replaces another one has no effect.
    fn merge_one(
        &mut self,
        own: &mut [Node],
        patch: &[Node],
        keys: &[&SmolStr],
        values: &[&SmolStr],
        place: Option<Place<'s>>,
    ) -> Result<Option<Node>> {
        let mut addition = position(patch, keys, values).and_then(|at| patch.get(at).cloned());
        let Some(own) = position(own, keys, values).and_then(|at| own.get_mut(at)) else {
            return match addition {
                Some(addition) => self.tidy(addition, place),
                None => Ok(None),
            };
        };
        if let Some(addition) = addition.take_if(|addition| Directive::replaces(addition)) {
            return self.tidy(addition, place);
        }
        match self.merge(own, addition, place)? {
            Fate::Keep => Ok(Some(own.clone())),
            Fate::Gone => Ok(None),
        }
    }

    /// Lets values that name the same item in different completeness agree: `80` and `80/TCP` become `80/TCP`.
    fn complete(&mut self, wanted: &mut [Values]) -> Result<()> {
        self.spend(wanted.len().saturating_mul(wanted.len()))?;
        for i in 0..wanted.len() {
            for j in 0..wanted.len() {
                let (Some(a), Some(b)) = (wanted.get(i), wanted.get(j)) else { continue };
                let Some(both) = agreed(a, b) else { continue };
                for at in [i, j] {
                    if let Some(values) = wanted.get_mut(at) {
                        values.clone_from(&both);
                    }
                }
            }
        }
        Ok(())
    }

    /// Puts the target's items after or over the merged ones.
    fn append(&mut self, merged: &mut Vec<Node>, own: Vec<Node>, keys: &[&SmolStr]) -> Result<()> {
        for item in own {
            self.spend(merged.len())?;
            if keys.first().is_none_or(|key| key.is_empty()) {
                let value = SmolStr::new(item.as_str().unwrap_or_default());
                set(merged, Some(item), keys, &[&value])?;
                continue;
            }
            let mut values = Vec::with_capacity(keys.len());
            for key in keys {
                if !item.is_mapping() && !meta::is_missing(&item) {
                    return Err(wrong_kind("MappingNode", &item));
                }
                match item.get(key) {
                    Some(value) => values.push(SmolStr::new(value.as_str().unwrap_or_default())),
                    None => merged.push(item.clone()),
                }
            }
            let values: Vec<&SmolStr> = values.iter().collect();
            if keys.len() > 1 {
                set(merged, None, keys, &values)?;
            }
            set(merged, Some(item), keys, &values)?;
        }
        Ok(())
    }
}

/// Which of the target's items each of the patch's items is for; exists when every item has all its keys, and has them alone.
struct ByKey {
    partners: Vec<Option<usize>>,
    several_keys: bool,
}

impl ByKey {
    fn new(own: &[Node], patch: &[Node], keys: &[SmolStr], by_value: bool) -> Option<Self> {
        let in_use: Vec<&SmolStr> = if by_value {
            keys.iter().collect()
        } else {
            let has = |key: &SmolStr| own.iter().chain(patch).any(|item| text(item, key).is_some());
            keys.iter().filter(|key| has(key)).collect()
        };
        if in_use.is_empty() {
            return None;
        }
        let values = |item: &Node| -> Option<Values> {
            if by_value {
                return item
                    .as_str()
                    .filter(|_| !meta::is_missing(item))
                    .map(|text| vec![SmolStr::new(text)]);
            }
            in_use.iter().map(|key| text(item, key).map(SmolStr::new)).collect()
        };
        let mut positions = HashMap::with_capacity(own.len());
        for (at, item) in own.iter().enumerate() {
            if positions.insert(values(item)?, at).is_some() {
                return None;
            }
        }
        let mut seen = HashSet::with_capacity(patch.len());
        let mut partners = Vec::with_capacity(patch.len());
        for item in patch {
            let values = values(item)?;
            partners.push(positions.get(&values).copied());
            if !seen.insert(values) {
                return None;
            }
        }
        Some(Self { partners, several_keys: in_use.len() > 1 })
    }
}

/// Null or an empty mapping: not an item of a list that merges.
fn is_nothing(item: &Node) -> bool {
    meta::is_missing(item) || item.is_mapping() && item.entries().is_empty()
}

/// A key's text, if it has any.
fn text<'a>(item: &'a Node, key: &str) -> Option<&'a str> {
    item.get(key)
        .filter(|value| !meta::is_empty(value))
        .and_then(Node::as_str)
        .filter(|text| !text.is_empty())
}

/// The key values of the patch's items, then of the target's, each once.
fn distinct_values(patch: &[Node], own: &[Node], keys: &[SmolStr], by_value: bool) -> Vec<Values> {
    let mut seen = HashSet::new();
    let mut distinct = Vec::new();
    for item in patch.iter().chain(own) {
        let values: Values = if by_value {
            vec![SmolStr::new(item.as_str().unwrap_or_default())]
        } else {
            let text =
                |key: &SmolStr| item.get(key).filter(|value| !meta::is_empty(value)).and_then(Node::as_str);
            keys.iter().map(|key| SmolStr::new(text(key).unwrap_or_default())).collect()
        };
        if seen.insert(values.clone()) {
            distinct.push(values);
        }
    }
    distinct
}

/// What two key values name together, if they agree in one part and contradict each other in none.
fn agreed(a: &Values, b: &Values) -> Option<Values> {
    let mut common = false;
    let mut both = Vec::with_capacity(a.len());
    for (a, b) in a.iter().zip(b) {
        if a == b {
            common = true;
        } else if !a.is_empty() && !b.is_empty() {
            return None;
        }
        both.push(if a.is_empty() { b.clone() } else { a.clone() });
    }
    common.then_some(both)
}

/// The first item of these key values; keys without a value do not count unless none has one.
fn position(items: &[Node], keys: &[&SmolStr], values: &[&SmolStr]) -> Option<usize> {
    if keys.first().is_none_or(|key| key.is_empty()) {
        let wanted = values.first().map_or("", |value| value.as_str());
        return items.iter().position(|item| item.as_str().unwrap_or_default() == wanted);
    }
    let any = values.iter().any(|value| !value.is_empty());
    items.iter().position(|item| {
        item.is_mapping()
            && keys.iter().zip(values).filter(|(_, value)| !any || !value.is_empty()).all(|(key, value)| {
                item.get(key).is_some_and(|field| field.as_str().unwrap_or_default() == value.as_str())
            })
    })
}

/// kyaml's `ElementSetter`: puts `element` in the place of all items of these key values, or at the end, or removes them.
fn set(items: &mut Vec<Node>, element: Option<Node>, keys: &[&SmolStr], values: &[&SmolStr]) -> Result<()> {
    let sets_mappings = keys.first().is_some_and(|key| !key.is_empty())
        && values.first().is_some_and(|value| !value.is_empty());
    let mut kept = Vec::with_capacity(items.len() + 1);
    let mut matched = false;
    for item in std::mem::take(items) {
        if is_nothing(&item) {
            continue;
        }
        if !item.is_mapping() && sets_mappings {
            kept.push(item);
        } else if has_values(&item, keys, values)? {
            matched = true;
            kept.extend(element.clone());
        } else if !values.is_empty() {
            kept.push(item);
        }
    }
    *items = kept;
    if let Some(element) = element.filter(|element| !meta::is_missing(element) && !matched) {
        items.push(element);
    }
    Ok(())
}

fn has_values(item: &Node, keys: &[&SmolStr], values: &[&SmolStr]) -> Result<bool> {
    let mut found = false;
    for (at, key) in keys.iter().enumerate() {
        if let Some(value) = values.get(at) {
            found = if key.is_empty() {
                let text = item.as_str().ok_or_else(|| wrong_kind("ScalarNode", item))?;
                text == value.as_str()
            } else {
                if !item.is_mapping() {
                    return Err(wrong_kind("MappingNode", item));
                }
                item.get(key).is_some_and(|field| value.is_empty() || field.as_str() == Some(value.as_str()))
            };
        }
        if !found {
            return Ok(false);
        }
    }
    Ok(true)
}
