//! Tokens that are still good, by who they are for.
//!
//! A token counts for 80% of its life, as with the kubelet, and never longer than the cache allows; it ends by both clocks, so that
//! a clock that is set back cannot prolong it. Whoever asks while a token is being fetched gets that one.

use std::collections::HashMap;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use aws_lc_rs::digest;
use tokio::sync::Mutex as AsyncMutex;

use crate::AccessToken;

/// No token is kept longer.
pub const MAX_DURATION: Duration = Duration::from_secs(3600);

/// A bounded cache; when it is full, what was used least recently goes.
#[derive(Debug)]
pub struct TokenCache {
    size: usize,
    max_duration: Duration,
    slots: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    by_key: HashMap<Key, Slot>,
    /// Counts uses.
    clock: u64,
    evictions: u64,
}

#[derive(Debug, Default)]
struct Slot {
    used: u64,
    item: Arc<AsyncMutex<Option<Item>>>,
}

#[derive(Clone, Debug)]
struct Item {
    token: AccessToken,
    monotonic: Instant,
    wall: SystemTime,
}

impl Item {
    fn is_good(&self) -> bool {
        self.monotonic > Instant::now() && self.wall > SystemTime::now()
    }
}

/// Who a token is for: everything that it depends on, hashed, because that may include secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key([u8; 32]);

impl Key {
    /// A key of all `parts`.
    pub fn new<'a>(parts: impl IntoIterator<Item = &'a str>) -> Key {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        finish(context)
    }

    /// The key for those who ask in such a way: what answers them may be another server, or an impostor.
    pub fn by_way_of(self, way: &impl Hash) -> Key {
        let mut hasher = KeyHasher(digest::Context::new(&digest::SHA256));
        (self, way).hash(&mut hasher);
        finish(hasher.0)
    }
}

fn finish(context: digest::Context) -> Key {
    let mut key = [0; 32];
    key.copy_from_slice(context.finish().as_ref());
    Key(key)
}

/// Feeds a digest with what is hashed.
struct KeyHasher(digest::Context);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Nobody asks for 64 bits.
    fn finish(&self) -> u64 {
        0
    }
}

/// A token, and whether it was here.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// The token.
    pub token: AccessToken,
    /// Whether it was here.
    pub hit: bool,
    key: Key,
}

impl TokenCache {
    /// A cache of `size` tokens, none of which is kept longer than `max_duration` (at most [`MAX_DURATION`]). With a size of zero
    /// nothing is kept.
    pub fn new(size: usize, max_duration: Duration) -> TokenCache {
        TokenCache { size, max_duration: max_duration.min(MAX_DURATION), slots: Mutex::default() }
    }

    /// The token for `key`, from `fetch` if there is none that is good.
    pub async fn get<E>(
        &self,
        key: Key,
        fetch: impl Future<Output = Result<AccessToken, E>>,
    ) -> Result<Lookup, E> {
        if self.size == 0 {
            return Ok(Lookup { token: fetch.await?, hit: false, key });
        }
        let slot = self.slot(key);
        let mut item = slot.lock().await;
        if let Some(good) = item.as_ref().filter(|item| item.is_good()) {
            return Ok(Lookup { token: good.token.clone(), hit: true, key });
        }
        *item = None;
        let token = fetch.await?;
        let (monotonic, wall) = (Instant::now(), SystemTime::now());
        let life = token.expires().duration_since(wall).unwrap_or_default();
        let life = (life * 8 / 10).min(self.max_duration);
        *item = Some(Item { token: token.clone(), monotonic: monotonic + life, wall: wall + life });
        Ok(Lookup { token, hit: false, key })
    }

    /// Drops a token that is of no use, unless another one is here in its place by now.
    pub async fn forget(&self, lookup: &Lookup) {
        let Some(item) = self.lock().by_key.get(&lookup.key).map(|slot| slot.item.clone()) else { return };
        let mut item = item.lock().await;
        if item.as_ref().is_some_and(|item| item.token == lookup.token) {
            *item = None;
        }
    }

    /// How many tokens there are, those that have ended included.
    pub fn len(&self) -> usize {
        self.lock().by_key.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many had to go because it was full.
    pub fn evictions(&self) -> u64 {
        self.lock().evictions
    }

    fn slot(&self, key: Key) -> Arc<AsyncMutex<Option<Item>>> {
        let mut slots = self.lock();
        slots.clock += 1;
        let clock = slots.clock;
        if !slots.by_key.contains_key(&key) && slots.by_key.len() >= self.size {
            let oldest = slots.by_key.iter().min_by_key(|(_, slot)| slot.used).map(|(key, _)| *key);
            if let Some(oldest) = oldest {
                slots.by_key.remove(&oldest);
                slots.evictions += 1;
            }
        }
        let slot = slots.by_key.entry(key).or_default();
        slot.used = clock;
        slot.item.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Secret;
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn token(text: &str, life: Duration) -> AccessToken {
        AccessToken::Opaque { token: Secret::new(text), expires: SystemTime::now() + life }
    }

    async fn hit(cache: &TokenCache, key: &str, life: Duration) -> bool {
        let fetch = async { Ok::<_, Infallible>(token(key, life)) };
        cache.get(Key::new([key]), fetch).await.unwrap().hit
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn a_token_counts_for_four_fifths_of_its_life_and_no_longer_than_allowed() {
        let cache = TokenCache::new(9, HOUR);
        assert!(!hit(&cache, "a", HOUR).await);
        assert!(hit(&cache, "a", HOUR).await);
        assert!(!hit(&cache, "b", Duration::ZERO).await);
        assert!(!hit(&cache, "b", Duration::ZERO).await, "it has ended");
        hit(&cache, "c", Duration::from_millis(100)).await;
        tokio::time::sleep(Duration::from_millis(85)).await;
        assert!(!hit(&cache, "c", HOUR).await);
        let short = TokenCache::new(9, Duration::ZERO);
        hit(&short, "a", HOUR).await;
        assert!(!hit(&short, "a", HOUR).await);
        assert_eq!(TokenCache::new(1, 2 * HOUR).max_duration, HOUR);
    }

    #[tokio::test]
    async fn a_full_cache_drops_the_least_recently_used_token() {
        let cache = TokenCache::new(2, HOUR);
        for key in ["a", "b", "a", "c"] {
            hit(&cache, key, HOUR).await;
        }
        assert_eq!((cache.len(), cache.evictions()), (2, 1));
        assert!(hit(&cache, "a", HOUR).await);
        assert!(!hit(&cache, "b", HOUR).await);
        let off = TokenCache::new(0, HOUR);
        hit(&off, "a", HOUR).await;
        assert!(!hit(&off, "a", HOUR).await && off.is_empty());
    }

    #[tokio::test]
    async fn lookups_at_once_share_one_request_and_a_failure_is_not_kept() {
        let (cache, fetched) = (TokenCache::new(9, HOUR), AtomicU32::new(0));
        let ask = || {
            cache.get(Key::new(["a"]), async {
                tokio::time::sleep(Duration::from_millis(20)).await;
                match fetched.fetch_add(1, Ordering::Relaxed) {
                    0 => Err("no"),
                    _ => Ok(token("t", HOUR)),
                }
            })
        };
        let (a, b, c) = tokio::join!(ask(), ask(), ask());
        assert_eq!(a.unwrap_err(), "no");
        assert_eq!((b.unwrap().hit, c.unwrap().hit), (false, true));
        assert_eq!(fetched.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_token_that_is_refused_is_dropped_and_its_successor_is_not() {
        let cache = TokenCache::new(9, HOUR);
        let get = async |text: &str| {
            let fetch = async { Ok::<_, Infallible>(token(text, HOUR)) };
            cache.get(Key::new(["a"]), fetch).await.unwrap()
        };
        let first = get("first").await;
        cache.forget(&first).await;
        let second = get("second").await;
        assert!(!second.hit);
        cache.forget(&first).await;
        assert!(get("third").await.hit);
        cache.forget(&second).await;
        assert!(!get("third").await.hit);
    }

    #[test]
    fn keys_do_not_run_into_each_other() {
        assert_ne!(Key::new(["a", "bc"]), Key::new(["ab", "c"]));
        assert_eq!(Key::new(["a", "b"]), Key::new(["a", "b"]));
    }
}
