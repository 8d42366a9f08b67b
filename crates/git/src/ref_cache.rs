//! The refs that a server listed, for all who ask the same server for the same prefix at about the same time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::RemoteRef;

/// Lists that are kept at once.
const CACHED_LISTS: usize = 32;
/// Refs of a list that is kept.
const CACHED_LIST_REFS: usize = 1000;
/// How long a list is kept at most.
const CACHED_LIST_LIFETIME: Duration = Duration::from_secs(30);

/// The refs that one server listed to one set of credentials, by prefix.
#[derive(Debug, Default)]
pub struct RefCache(Mutex<HashMap<String, RefList>>);

#[derive(Debug)]
struct RefList {
    listed: Instant,
    refs: Vec<RemoteRef>,
}

impl RefCache {
    /// The refs that start with `prefix`, if they were listed at `since` or later.
    pub(crate) fn get(&self, prefix: &str, since: Instant) -> Option<Vec<RemoteRef>> {
        let lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lists.get(prefix).filter(|list| list.listed >= since).map(|list| list.refs.clone())
    }

    /// Keeps a list, unless it is too long or there are too many.
    pub(crate) fn put(&self, prefix: String, listed: Instant, refs: &[RemoteRef]) {
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lists.retain(|_, list| list.listed.elapsed() < CACHED_LIST_LIFETIME);
        if lists.len() < CACHED_LISTS && refs.len() <= CACHED_LIST_REFS {
            lists.insert(prefix, RefList { listed, refs: refs.to_vec() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cached_refs_count_only_if_they_were_listed_late_enough() {
        let (cache, listed) = (RefCache::default(), Instant::now());
        cache.put("refs/heads/main".into(), listed, &[]);
        assert_eq!(cache.get("refs/heads/main", listed), Some(Vec::new()));
        assert_eq!(cache.get("refs/heads/main", listed + Duration::from_nanos(1)), None);
        assert_eq!(cache.get("refs/heads/other", listed), None);
    }

    #[test]
    fn a_ref_cache_keeps_few_and_short_lists() {
        let cache = RefCache::default();
        for i in 0..2 * CACHED_LISTS {
            cache.put(i.to_string(), Instant::now(), &[]);
        }
        assert_eq!(cache.0.lock().map(|lists| lists.len()).ok(), Some(CACHED_LISTS));
        let cache = RefCache::default();
        let object = gix::ObjectId::null(gix::hash::Kind::Sha1);
        let one = RemoteRef { name: "refs/tags/v".into(), object, peeled: None };
        let many = vec![one; CACHED_LIST_REFS + 1];
        cache.put("refs/tags/".into(), Instant::now(), &many);
        assert_eq!(cache.get("refs/tags/", Instant::now() - CACHED_LIST_LIFETIME), None);
    }
}
