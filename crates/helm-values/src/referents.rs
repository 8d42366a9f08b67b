//! The ConfigMaps and Secrets that values come from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use api::helm_release::ValuesReference;

use crate::compose::{Limits, check_number};
use crate::error::Error;

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
pub struct Referents {
    read: BTreeMap<(Kind, String), Referent>,
    /// Of all that was read of objects that are there.
    bytes: usize,
}

impl Referents {
    /// Adds what was said of an object.
    pub fn insert(&mut self, kind: Kind, name: impl Into<String>, referent: Referent) {
        self.read.insert((kind, name.into()), referent);
    }

    /// Adds an object that is there. All of its entries count, for they were read; those that references name are kept.
    ///
    /// # Errors
    /// The objects together are larger than [`Limits::bytes`].
    pub fn found<'e>(
        &mut self,
        wanted: &Wanted<'_>,
        entries: impl IntoIterator<Item = (&'e str, &'e [u8])>,
        limits: &Limits,
    ) -> Result<(), Error> {
        let mut kept = BTreeMap::new();
        for (key, value) in entries {
            self.bytes = self.bytes.saturating_add(key.len()).saturating_add(value.len());
            if self.bytes > limits.bytes {
                return Err(Error::Bytes(limits.bytes));
            }
            if wanted.keys.contains(key) {
                kept.insert(key.to_owned(), value.to_vec());
            }
        }
        self.insert(wanted.kind, wanted.name, Referent::Found(Entries(kept)));
        Ok(())
    }

    /// The contents of Secrets that references name.
    pub fn secrets(&self) -> impl Iterator<Item = &[u8]> {
        let secrets = self.read.iter().filter(|((kind, _), _)| *kind == Kind::Secret);
        let entries = secrets.filter_map(|(_, referent)| match referent {
            Referent::Found(entries) => Some(entries.0.values()),
            Referent::NotFound(_) | Referent::Failed(_) => None,
        });
        entries.flatten().map(Vec::as_slice)
    }

    pub(crate) fn get(&self, kind: Kind, name: &str) -> Option<&Referent> {
        self.read.get(&(kind, name.to_owned()))
    }
}

/// An object to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: &'a str,
    /// The keys that references name.
    keys: BTreeSet<&'a str>,
}

/// The objects to ask for, each once, in the order of the references.
///
/// # Errors
/// There are more references than [`Limits::references`].
pub fn referents<'a>(references: &'a [ValuesReference], limits: &Limits) -> Result<Vec<Wanted<'a>>, Error> {
    check_number(references, limits)?;
    let (mut wanted, mut places) = (Vec::<Wanted<'a>>::new(), BTreeMap::new());
    for reference in references {
        let (Some(kind), name) = (Kind::of(reference), reference.name.as_str()) else { continue };
        let place = *places.entry((kind, name)).or_insert(wanted.len());
        if place == wanted.len() {
            wanted.push(Wanted { kind, name, keys: BTreeSet::new() });
        }
        if let Some(wanted) = wanted.get_mut(place) {
            wanted.keys.insert(reference.values_key());
        }
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used)]
    use super::*;

    fn reference(kind: &str, name: &str, key: Option<&str>) -> ValuesReference {
        ValuesReference {
            kind: kind.to_owned(),
            name: name.to_owned(),
            values_key: key.map(str::to_owned),
            ..ValuesReference::default()
        }
    }

    #[test]
    fn each_object_is_asked_for_once() {
        let references = [
            reference("Secret", "b", None),
            reference("ConfigMap", "b", None),
            reference("Secret", "a", Some("x")),
            reference("Secret", "b", Some("y")),
            reference("Pod", "x", None),
        ];
        let wanted =
            |kind, name, keys: &[&'static str]| Wanted { kind, name, keys: keys.iter().copied().collect() };
        assert_eq!(
            referents(&references, &Limits::default()).unwrap(),
            [
                wanted(Kind::Secret, "b", &["values.yaml", "y"]),
                wanted(Kind::ConfigMap, "b", &["values.yaml"]),
                wanted(Kind::Secret, "a", &["x"]),
            ]
        );
        let limits = Limits { references: 4, ..Limits::default() };
        assert_eq!(referents(&references, &limits), Err(Error::References(4)));
    }

    #[test]
    fn all_that_is_read_counts_and_what_references_name_is_kept() {
        let references = [
            reference("Secret", "s", None),
            reference("ConfigMap", "c", None),
            reference("Secret", "t", Some("k")),
        ];
        let limits = Limits { bytes: 60, ..Limits::default() };
        let wanted = referents(&references, &limits).unwrap();
        let entries = [("values.yaml", "a: b".as_bytes()), ("k", b"0123456789")];
        let mut read = Referents::default();
        for object in &wanted[..2] {
            read.found(object, entries, &limits).unwrap();
        }
        assert_eq!(read.found(&wanted[2], entries, &limits), Err(Error::Bytes(60)));
        assert_eq!(read.found(&wanted[2], [("k", "hunter2".as_bytes())], &limits), Err(Error::Bytes(60)));
        let kept = Referent::Found([("values.yaml", "a: b")].into_iter().collect());
        assert_eq!(read.get(Kind::Secret, "s"), Some(&kept));
        assert_eq!(read.secrets().collect::<Vec<_>>(), [b"a: b"]);
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
