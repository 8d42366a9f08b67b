use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use super::{Text, Type, Value, release};

/// A map of Go from strings. Clones are the same map. Its keys are sorted, as Go sorts them for templates and for printing.
#[derive(Clone)]
pub struct Map(Arc<Inner>);

pub(crate) struct Inner {
    element: &'static Type,
    entries: RwLock<BTreeMap<Text, Value>>,
    is_nil: bool,
}

impl Map {
    /// Of values that are of the type of the elements; of two with the same key the later counts.
    pub fn new<K: Into<Text>>(element: &'static Type, entries: impl IntoIterator<Item = (K, Value)>) -> Self {
        let entries = entries.into_iter().map(|(key, value)| (key.into(), value)).collect();
        Self(Arc::new(Inner { element, entries: RwLock::new(entries), is_nil: false }))
    }

    /// The `nil` of the type. It is empty and stays so, equals an untyped `nil`, and is `null` as JSON.
    pub fn nil(element: &'static Type) -> Self {
        Self(Arc::new(Inner { element, entries: RwLock::default(), is_nil: true }))
    }

    /// Whether it is the `nil` of its type.
    pub fn is_nil(&self) -> bool {
        self.0.is_nil
    }

    /// The type of its values.
    pub fn element(&self) -> &'static Type {
        self.0.element
    }

    /// Its own type.
    pub fn go_type(&self) -> Type {
        Type::Map(self.0.element)
    }

    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Option<Value> {
        self.read().get(key).cloned()
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.read().len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its keys.
    pub fn keys(&self) -> Vec<Text> {
        self.read().keys().cloned().collect()
    }

    /// Its entries, one after the other, each as it is when it is reached. Takes no memory, unlike [`Map::entries`].
    pub fn iter(&self) -> impl Iterator<Item = (Text, Value)> {
        std::iter::successors(self.after(Bound::Unbounded), |(key, _)| self.after(Bound::Excluded(key)))
    }

    fn after(&self, bound: Bound<&[u8]>) -> Option<(Text, Value)> {
        let entries = self.read();
        let (key, value) = entries.range::<[u8], _>((bound, Bound::Unbounded)).next()?;
        Some((key.clone(), value.clone()))
    }

    /// Its entries as they are now. The copies are memory to be charged: maps can be large, and walked through within each other.
    pub fn entries(&self) -> Vec<(Text, Value)> {
        self.read().iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Whether both are one map, so that a change of one is a change of the other.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Takes an entry out; its value.
    pub fn remove(&self, key: &[u8]) -> Option<Value> {
        self.write().remove(key)
    }

    /// Changes an entry, or adds it; nothing happens if the map is `nil`. For data that is put together before a run: what holds
    /// itself is never freed. Functions use [`Context::insert`](crate::Context::insert).
    pub fn put(&self, key: impl Into<Text>, value: Value) {
        if !self.is_nil() {
            let replaced = self.write().insert(key.into(), value);
            // Only now: what it holds may want the lock.
            drop(replaced);
        }
    }

    /// Changes an entry, or adds it. The map is not `nil`.
    pub(crate) fn insert(&self, insertions: &Insertions, key: Text, value: Value) {
        if value.is_container() {
            insertions.0.borrow_mut().push((Arc::downgrade(&self.0), key.clone()));
        }
        self.put(key, value);
    }

    #[cfg(test)]
    pub(crate) fn downgrade(&self) -> Weak<Inner> {
        Arc::downgrade(&self.0)
    }

    /// Its values go to `pending` if no one else holds them.
    pub(super) fn release_into(self, pending: &mut Vec<Value>) {
        if let Some(mut inner) = Arc::into_inner(self.0) {
            pending.extend(std::mem::take(inner.entries_mut()).into_values());
        }
    }

    // Nothing panics while it holds the lock, and a map is whole at any time.

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<Text, Value>> {
        self.0.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<Text, Value>> {
        self.0.entries.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An empty `map[string]interface {}`.
impl Default for Map {
    fn default() -> Self {
        Self::new(&Type::Any, [] as [(Text, Value); 0])
    }
}

impl Inner {
    fn entries_mut(&mut self) -> &mut BTreeMap<Text, Value> {
        self.entries.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What it is and how large. It may hold itself.
impl Debug for Map {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.go_type(), self.len())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let entries = self.entries_mut();
        if entries.values().any(Value::is_container) {
            release(std::mem::take(entries).into_values().collect());
        }
    }
}

/// Where containers were put into maps that were there before. Only so can a template close a cycle, which reference counts would
/// never free; when this is dropped, at the end of a run, the entries are taken out again.
#[derive(Default)]
pub(crate) struct Insertions(RefCell<Vec<(Weak<Inner>, Text)>>);

impl Drop for Insertions {
    fn drop(&mut self) {
        for (map, key) in self.0.get_mut().drain(..) {
            let Some(map) = map.upgrade().map(Map) else { continue };
            // A later insertion may have put a number there.
            if map.get(&key).is_some_and(|value| value.is_container()) {
                map.remove(&key);
            }
        }
    }
}
