//! Parsed files of resources, shared by builds.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};
use yaml::{Comments, Node, Value};

use crate::document;
use crate::error::Result;
use crate::meter::Meter;
use crate::resource::Resource;

/// A file that would take more than this part of the budget is not kept: it would push out too much.
const LARGEST_PART: usize = 8;

/// What a tag or a comment adds to a node, in bytes.
const EXTRA: usize = size_of::<Comments>() + 2 * size_of::<String>();

/// Files of resources as they were parsed, kept for other builds. Clones share their content.
///
/// Files are told apart by what they hold, so that a path says nothing and no build can put words into another's mouth. Those
/// used longest ago make room for new ones. A file that holds a Secret is not kept: what was decrypted lives as long as its build.
#[derive(Clone)]
pub struct ParseCache {
    budget: usize,
    files: Arc<Mutex<Files>>,
}

/// SHA-256 of a text.
type Key = [u8; 32];

#[derive(Default)]
struct Files {
    by_key: HashMap<Key, File>,
    by_use: BTreeMap<u64, Key>,
    /// When a file was used last, in uses.
    now: u64,
    bytes: usize,
}

struct File {
    resources: Arc<[Resource]>,
    /// What it takes of a build's nodes.
    nodes: usize,
    /// What it was parsed under: it might break others.
    limits: yaml::Limits,
    bytes: usize,
    used: u64,
}

impl ParseCache {
    /// A cache that holds about `budget` bytes of memory.
    pub fn new(budget: usize) -> Self {
        Self { budget, files: Arc::default() }
    }

    /// About how many bytes of memory it takes.
    pub fn bytes(&self) -> usize {
        self.files().bytes
    }

    /// What [`document::resources`] makes of a text.
    pub(crate) fn resources(&self, text: &str, meter: &Meter<'_>) -> Result<Vec<Resource>> {
        let key: Key = Sha256::digest(text).into();
        if let Some((known, nodes)) = self.find(&key, &meter.limits.yaml) {
            meter.count_nodes(nodes)?;
            return Ok(known.to_vec());
        }
        let before = meter.nodes();
        let resources = document::resources(text, meter)?;
        let nodes = usize::try_from(meter.nodes() - before).unwrap_or(usize::MAX);
        self.keep(key, &resources, nodes, &meter.limits.yaml);
        Ok(resources)
    }

    fn find(&self, key: &Key, limits: &yaml::Limits) -> Option<(Arc<[Resource]>, usize)> {
        let mut files = self.files();
        let Files { by_key, by_use, now, .. } = &mut *files;
        let file = by_key.get_mut(key).filter(|file| file.limits == *limits)?;
        by_use.remove(&file.used);
        *now += 1;
        file.used = *now;
        by_use.insert(file.used, *key);
        Some((Arc::clone(&file.resources), file.nodes))
    }

    fn keep(&self, key: Key, resources: &[Resource], nodes: usize, limits: &yaml::Limits) {
        let bytes = size_of::<File>() + resources.iter().map(weight).sum::<usize>();
        if bytes > self.budget / LARGEST_PART || resources.iter().any(|resource| resource.kind() == "Secret")
        {
            return;
        }
        let resources: Arc<[Resource]> = resources.into();
        // Dropped after the lock, since that takes as long as it took to build them.
        let mut gone = Vec::new();
        let mut files = self.files();
        gone.extend(files.remove(&key));
        while files.bytes + bytes > self.budget {
            let Some((_, oldest)) = files.by_use.first_key_value() else { break };
            let oldest = *oldest;
            gone.extend(files.remove(&oldest));
        }
        files.now += 1;
        files.bytes += bytes;
        let used = files.now;
        files.by_use.insert(used, key);
        files.by_key.insert(key, File { resources, nodes, limits: limits.clone(), bytes, used });
        drop(files);
    }

    /// No step below can panic halfway, so a poisoned lock still guards sound content.
    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Files {
    fn remove(&mut self, key: &Key) -> Option<File> {
        let file = self.by_key.remove(key)?;
        self.by_use.remove(&file.used);
        self.bytes -= file.bytes;
        Some(file)
    }
}

/// Sizes alone: content is not for logs.
impl fmt::Debug for ParseCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = self.files();
        f.debug_struct("ParseCache")
            .field("budget", &self.budget)
            .field("bytes", &files.bytes)
            .field("files", &files.by_key.len())
            .finish()
    }
}

/// The memory a resource takes, in bytes.
fn weight(resource: &Resource) -> usize {
    size_of::<Resource>() + weight_of_node(&resource.node)
}

fn weight_of_node(node: &Node) -> usize {
    let comments = node.comments();
    let comments = comments.head.len()
        + comments.line.len()
        + comments.foot.len()
        + comments.document_head.len()
        + comments.document_foot.len();
    let extra = if comments > 0 || !node.tag().is_empty() { EXTRA + comments + node.tag().len() } else { 0 };
    let content = match node.value() {
        Value::Scalar(text) | Value::Alias(text) => text.len(),
        Value::Sequence(items) => items.iter().map(weight_of_node).sum(),
        Value::Mapping(mapping) => {
            mapping.entries().iter().map(|(key, value)| weight_of_node(key) + weight_of_node(value)).sum()
        }
    };
    size_of::<Node>() + extra + content
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::Options;
    use crate::meter::default_meter;

    fn config_map(name: &str) -> String {
        format!("# told\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{long: {}}}\n", "x".repeat(1000))
    }

    fn holds(cache: &ParseCache, text: &str) -> bool {
        cache.find(&Sha256::digest(text).into(), &yaml::Limits::default()).is_some()
    }

    #[test]
    fn a_file_is_parsed_once_and_read_the_same_twice() {
        let cache = ParseCache::new(1 << 20);
        let text = config_map("a");
        let parsed = cache.resources(&text, &default_meter()).unwrap();
        assert!(holds(&cache, &text));
        let mut found = cache.resources(&text, &default_meter()).unwrap();
        assert_eq!(format!("{parsed:?}"), format!("{found:?}"));
        found.first_mut().unwrap().node.insert("kind", Node::string("Other"));
        assert_eq!(cache.resources(&text, &default_meter()).unwrap().first().unwrap().kind(), "ConfigMap");
    }

    #[test]
    fn the_budget_holds_and_what_was_used_last_stays() {
        let one = size_of::<File>()
            + weight(&document::resources(&config_map("00"), &default_meter()).unwrap().remove(0));
        let cache = ParseCache::new(10 * one);
        let texts: Vec<String> = (10..50).map(|name| config_map(&name.to_string())).collect();
        for text in &texts {
            cache.resources(text, &default_meter()).unwrap();
            cache.resources(&texts[0], &default_meter()).unwrap();
            assert!(cache.files().bytes <= 10 * one);
        }
        let held: Vec<bool> = texts.iter().map(|text| holds(&cache, text)).collect();
        assert!(held[0] && held[31..].iter().all(|held| *held) && !held[1..31].contains(&true), "{held:?}");
        let files = cache.files();
        assert_eq!((files.by_key.len(), files.by_use.len(), files.bytes), (10, 10, 10 * one));
    }

    #[test]
    fn what_is_broken_large_or_secret_is_not_kept() {
        let cache = ParseCache::new(64 << 10);
        assert!(cache.resources("kind: [", &default_meter()).is_err());
        let large = format!("kind: A\nmetadata: {{name: a}}\nspec: [{}]\n", "a, ".repeat(1000));
        let secret = "kind: Secret\nmetadata: {name: a}\nstringData: {a: b}\n";
        for text in [&large, secret] {
            cache.resources(text, &default_meter()).unwrap();
            assert!(!holds(&cache, text));
        }
        assert_eq!(cache.files().bytes, 0);
    }

    #[test]
    fn a_file_that_is_known_still_meets_narrower_limits() {
        let cache = ParseCache::new(1 << 20);
        let text = config_map("a");
        cache.resources(&text, &default_meter()).unwrap();
        let (mut options, narrow) =
            (Options::default(), yaml::Limits { nodes: 3, ..yaml::Limits::default() });
        options.limits.yaml = narrow;
        assert!(cache.resources(&text, &Meter::new(&options)).is_err());
        let mut options = Options::default();
        options.limits.nodes = 15;
        let meter = Meter::new(&options);
        assert!(cache.resources(&text, &meter).is_ok());
        let error = cache.resources(&text, &meter).unwrap_err();
        assert_eq!(error.to_string(), "more than 15 nodes in all files of a build");
    }

    #[test]
    fn content_is_not_shown() {
        let cache = ParseCache::new(1 << 20);
        cache.resources(&config_map("hush"), &default_meter()).unwrap();
        assert!(!format!("{cache:?}").contains("hush"));
    }
}
