//! The ConfigMaps and Secrets that values come from.

use std::collections::BTreeMap;
use std::fmt;

use api::helm_release::ValuesReference;

/// A kind of object that values may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A ConfigMap, of which `data` counts and `binaryData` does not.
    ConfigMap,
    /// A Secret.
    Secret,
}

impl Kind {
    /// The kind that a reference names; none if Flux does not know it.
    pub fn of(reference: &ValuesReference) -> Option<Self> {
        match reference.kind.as_str() {
            "ConfigMap" => Some(Self::ConfigMap),
            "Secret" => Some(Self::Secret),
            _ => None,
        }
    }
}

/// The entries of a ConfigMap or Secret. `Debug` shows the keys alone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Entries(BTreeMap<String, Vec<u8>>);

impl Entries {
    pub(crate) fn get(&self, key: &str) -> Option<&[u8]> {
        self.0.get(key).map(Vec::as_slice)
    }
}

impl<K: Into<String>, V: Into<Vec<u8>>> FromIterator<(K, V)> for Entries {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        Self(entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What the API server said of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Referent {
    /// It is there.
    Found(Entries),
    /// It is not: the API server's text.
    NotFound(String),
    /// It cannot be read: the text of the error.
    Failed(String),
}

/// The objects that references name, each asked for once.
#[derive(Clone, Debug, Default)]
pub struct Referents(BTreeMap<(Kind, String), Referent>);

impl Referents {
    /// Adds what was said of an object.
    pub fn insert(&mut self, kind: Kind, name: impl Into<String>, referent: Referent) {
        self.0.insert((kind, name.into()), referent);
    }

    pub(crate) fn get(&self, kind: Kind, name: &str) -> Option<&Referent> {
        self.0.get(&(kind, name.to_owned()))
    }
}

/// The objects to ask for, each once, in the order of the references.
pub fn referents(references: &[ValuesReference]) -> Vec<(Kind, &str)> {
    let mut seen = std::collections::BTreeSet::new();
    let named =
        references.iter().filter_map(|reference| Some((Kind::of(reference)?, reference.name.as_str())));
    named.filter(|named| seen.insert(*named)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_object_is_asked_for_once() {
        let reference = |kind: &str, name: &str| ValuesReference {
            kind: kind.to_owned(),
            name: name.to_owned(),
            ..ValuesReference::default()
        };
        let references = [
            reference("Secret", "b"),
            reference("ConfigMap", "b"),
            reference("Secret", "a"),
            reference("Secret", "b"),
            reference("Pod", "x"),
        ];
        assert_eq!(
            referents(&references),
            [(Kind::Secret, "b"), (Kind::ConfigMap, "b"), (Kind::Secret, "a")]
        );
    }

    #[test]
    fn debug_shows_keys_and_no_values() {
        let mut referents = Referents::default();
        let entries = [("password", "hunter2")].into_iter().collect();
        referents.insert(Kind::Secret, "s", Referent::Found(entries));
        let shown = format!("{referents:?}");
        assert!(
            shown.contains("password") && !shown.contains("hunter2") && !shown.contains("104"),
            "{shown}"
        );
    }
}
