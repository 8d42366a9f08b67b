//! What an action keeps in memory, for those who bound what all that wait keep together.

use std::mem::size_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use helm_release::Release;
use serde_json::{Map, Value};
use tokio::sync::watch;

use crate::resources::Resource;

/// What an object takes besides its content: its names, how its kind is served, and how it stands.
pub(crate) const OBJECT: u64 = 1024;
/// What the table of an object takes for each of its fields besides name and value: a hash, and places in two lists.
const FIELD: u64 = 24;

/// What one action keeps. Clones share it.
#[derive(Clone, Debug)]
pub struct Memory {
    keeps: Arc<AtomicU64>,
    waits: watch::Sender<Option<u64>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { keeps: Arc::default(), waits: watch::Sender::new(None) }
    }
}

impl Memory {
    /// How many bytes the action keeps, told whenever it begins to wait for something that may take long; nothing until then.
    pub fn waits(&self) -> watch::Receiver<Option<u64>> {
        let mut waits = self.waits.subscribe();
        if waits.borrow().is_some() {
            waits.mark_changed();
        }
        waits
    }

    /// Notes what is kept from now on.
    pub(crate) fn keep(&self, releases: &[&Release], resources: &[&[Resource]]) {
        let releases: u64 = releases.iter().map(|release| text(release)).sum();
        let resources = resources.iter().flat_map(|resources| resources.iter());
        let resources: u64 = resources.map(parsed).sum();
        self.keeps.store(releases + resources, Ordering::Relaxed);
    }

    /// A wait begins for so many objects.
    pub(crate) fn wait_for(&self, objects: usize) {
        self.wait_with(self.keeps.load(Ordering::Relaxed) + OBJECT * objects as u64);
    }

    /// A wait begins during which so many bytes are kept.
    pub fn wait_with(&self, bytes: u64) {
        self.waits.send_replace(Some(bytes));
    }
}

/// What a revision takes, in bytes.
fn text(release: &Release) -> u64 {
    let hooks = release.hooks.iter().flatten().map(|hook| hook.manifest.len() + hook.path.len());
    let chart = release.chart.as_ref().map_or(0, |chart| chart.get().len());
    let texts = release.manifest.len() + release.info.notes.len() + chart + hooks.sum::<usize>();
    texts as u64 + release.config.as_ref().map_or(0, of_fields)
}

/// What an object of a manifest takes, in bytes.
fn parsed(resource: &Resource) -> u64 {
    OBJECT + of_value(&resource.object) + resource.live.as_ref().map_or(0, of_value)
}

/// What the fields of a value take in memory, in bytes.
pub fn of_fields(fields: &Map<String, Value>) -> u64 {
    let field = |(name, value): (&String, &Value)| {
        FIELD + (size_of::<String>() + size_of::<Value>() + name.len()) as u64 + of_value(value)
    };
    fields.iter().map(field).sum()
}

/// What a value takes besides its own place.
pub(crate) fn of_value(value: &Value) -> u64 {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len() as u64,
        Value::Array(items) => items.iter().map(|item| size_of::<Value>() as u64 + of_value(item)).sum(),
        Value::Object(fields) => of_fields(fields),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_kept_is_told_when_a_wait_begins() {
        let memory = Memory::default();
        let waits = memory.waits();
        let release = Release { manifest: "x".repeat(5000), ..Release::default() };
        memory.keep(&[&release, &release], &[]);
        assert_eq!(*waits.borrow(), None);
        memory.wait_for(3);
        assert_eq!(*waits.borrow(), Some(10_000 + 3 * OBJECT));
    }

    #[test]
    fn values_take_more_than_their_text() {
        let value = json!({"a": [1, {"b": "text"}], "c": null});
        let bytes = of_value(&value);
        assert!(bytes > 4 * value.to_string().len() as u64 && bytes < 1000, "{bytes}");
    }
}
