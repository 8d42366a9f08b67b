//! Ordered key-value pairs with lookup by string key.

use std::collections::HashMap;
use std::sync::OnceLock;

use smol_str::SmolStr;

use crate::Node;

/// From this many entries on, lookups go through an index instead of a scan.
const INDEX_FROM: usize = 24;

/// The entries of a mapping, in order. A key may occur twice when the text says so; lookups find the first.
#[derive(Debug, Default)]
pub struct Mapping {
    entries: Vec<(Node, Node)>,
    /// First position of each scalar key; built by the first lookup in a large mapping, dropped when positions move.
    index: OnceLock<Box<Index>>,
}

/// Boxed in its mapping, since most mappings have none.
#[derive(Debug)]
struct Index {
    first: HashMap<SmolStr, usize>,
}

impl Clone for Mapping {
    fn clone(&self) -> Self {
        Self { entries: self.entries.clone(), index: OnceLock::new() }
    }
}

impl From<Vec<(Node, Node)>> for Mapping {
    fn from(entries: Vec<(Node, Node)>) -> Self {
        Self { entries, index: OnceLock::new() }
    }
}

impl Mapping {
    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True without entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Entries in order.
    pub fn entries(&self) -> &[(Node, Node)] {
        &self.entries
    }

    /// Keys and changeable values in order.
    pub fn entries_mut(&mut self) -> impl Iterator<Item = (&Node, &mut Node)> {
        self.entries.iter_mut().map(|(key, value)| (&*key, value))
    }

    /// All entries, free to be reordered, renamed, filtered.
    pub fn entries_vec_mut(&mut self) -> &mut Vec<(Node, Node)> {
        self.index.take();
        &mut self.entries
    }

    /// Entries by value.
    pub fn into_entries(self) -> Vec<(Node, Node)> {
        self.entries
    }

    /// Where `key` stands.
    pub fn position(&self, key: &str) -> Option<usize> {
        if self.entries.len() < INDEX_FROM {
            return self.entries.iter().position(|(k, _)| k.as_str() == Some(key));
        }
        let index = self.index.get_or_init(|| {
            let mut first = HashMap::with_capacity(self.entries.len());
            for (position, (key, _)) in self.entries.iter().enumerate() {
                if let Some(text) = key.scalar_text() {
                    first.entry(text.clone()).or_insert(position);
                }
            }
            Box::new(Index { first })
        });
        index.first.get(key).copied()
    }

    /// The value under `key`.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries.get(self.position(key)?).map(|(_, value)| value)
    }

    /// The changeable value under `key`.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        let position = self.position(key)?;
        self.entries.get_mut(position).map(|(_, value)| value)
    }

    /// True when `key` is present.
    pub fn contains_key(&self, key: &str) -> bool {
        self.position(key).is_some()
    }

    /// Sets the value under `key` in place, or appends the pair; returns the value that was there.
    pub fn insert(&mut self, key: &str, value: Node) -> Option<Node> {
        if let Some(old) = self.get_mut(key) {
            return Some(std::mem::replace(old, value));
        }
        self.push(Node::string(key), value);
        None
    }

    /// Appends a pair without looking for the key.
    pub fn push(&mut self, key: Node, value: Node) {
        if let (Some(index), Some(text)) = (self.index.get_mut(), key.scalar_text()) {
            index.first.entry(text.clone()).or_insert(self.entries.len());
        }
        self.entries.push((key, value));
    }

    /// Takes the value under `key` out, keeping the order of the others.
    pub fn remove(&mut self, key: &str) -> Option<Node> {
        let position = self.position(key)?;
        self.index.take();
        Some(self.entries.remove(position).1)
    }
}

impl<'a> IntoIterator for &'a Mapping {
    type Item = &'a (Node, Node);
    type IntoIter = std::slice::Iter<'a, (Node, Node)>;
    fn into_iter(self) -> Self::IntoIter {
        self.entries.iter()
    }
}
