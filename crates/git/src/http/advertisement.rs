//! Capability advertisements of servers, cached: then a session over HTTP begins without a request for one.
//!
//! Only advertisements of protocol 2 are kept. They tell of capabilities and nothing of the repository, so they are the same for
//! everybody. One that no longer holds makes the server refuse what is asked; then the server is asked for it anew.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use url::Url;

/// Bytes of the longest advertisement that is cached. git's has some 200.
const ADVERTISEMENT_BYTES: u64 = 2048;
/// Advertisements that are cached before all are dropped.
const CACHED_ADVERTISEMENTS: usize = 4096;
/// How long an advertisement counts: what a server has learned meanwhile is used from then on.
const ADVERTISEMENT_LIFETIME: Duration = Duration::from_secs(3600);

/// The advertisements of all servers, by repository.
#[derive(Debug, Clone, Default)]
pub(crate) struct AdvertisementCache(Arc<Mutex<HashMap<Url, Advertisement>>>);

#[derive(Debug)]
struct Advertisement {
    received: Instant,
    text: Arc<[u8]>,
}

impl AdvertisementCache {
    /// What the server of `url` advertised last.
    pub(super) fn cached(&self, url: &Url) -> Option<Arc<[u8]>> {
        let advertisements = self.advertisements();
        let advertisement = advertisements
            .get(url)
            .filter(|advertisement| advertisement.received.elapsed() < ADVERTISEMENT_LIFETIME);
        advertisement.map(|advertisement| advertisement.text.clone())
    }

    /// Reads the beginning of what the server of `url` advertises, and caches it if that is a whole advertisement of protocol 2.
    pub(super) fn read(&self, url: &Url, answer: &mut impl Read) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        answer.take(ADVERTISEMENT_BYTES).read_to_end(&mut text)?;
        if (text.len() as u64) < ADVERTISEMENT_BYTES && is_version_2(&text) {
            let advertisement = Advertisement { received: Instant::now(), text: text.as_slice().into() };
            let mut advertisements = self.advertisements();
            if advertisements.len() >= CACHED_ADVERTISEMENTS {
                advertisements.clear();
            }
            advertisements.insert(url.clone(), advertisement);
        }
        Ok(text)
    }

    /// What is cached of the server of `url` no longer holds.
    pub(super) fn forget(&self, url: &Url) {
        self.advertisements().remove(url);
    }

    fn advertisements(&self) -> MutexGuard<'_, HashMap<Url, Advertisement>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the first line, or the first after the announcement of the service, is that of protocol 2, and the last one a
/// flush (gitprotocol-v2).
fn is_version_2(text: &[u8]) -> bool {
    let advertisement = text.strip_prefix(b"001e# service=git-upload-pack\n0000").unwrap_or(text);
    advertisement.starts_with(b"000eversion 2\n") && advertisement.ends_with(b"\n0000")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ADVERTISEMENT: &[u8] =
        b"001e# service=git-upload-pack\n0000000eversion 2\n0013ls-refs=unborn\n0000";

    fn read(advertisements: &AdvertisementCache, url: &Url, mut text: &[u8]) -> Vec<u8> {
        advertisements.read(url, &mut text).unwrap()
    }

    #[test]
    fn whole_advertisements_of_protocol_2_are_cached() {
        let (advertisements, url) = (AdvertisementCache::default(), Url::parse("http://h/a.git").unwrap());
        let bare = ADVERTISEMENT.strip_prefix(b"001e# service=git-upload-pack\n0000").unwrap();
        for known in [ADVERTISEMENT, bare] {
            assert_eq!(read(&advertisements, &url, known), known);
            assert_eq!(advertisements.cached(&url).as_deref(), Some(known));
            advertisements.forget(&url);
            assert_eq!(advertisements.cached(&url), None);
        }
        let cut = ADVERTISEMENT.strip_suffix(b"0000").unwrap();
        let long =
            [bare.strip_suffix(b"0000").unwrap(), &[b'a'; ADVERTISEMENT_BYTES as usize], b"\n0000"].concat();
        let refs = b"001e# service=git-upload-pack\n0000003d0123456789012345678901234567890123456789 refs/heads/a\n0000";
        for unknown in [b"", cut, &long, &refs[..]] {
            let read = read(&advertisements, &url, unknown);
            assert!(
                unknown.starts_with(&read) && read.len() == unknown.len().min(ADVERTISEMENT_BYTES as usize)
            );
            assert_eq!(advertisements.cached(&url), None, "{:?}", String::from_utf8_lossy(unknown));
        }
    }

    #[test]
    fn an_advertisement_cache_has_a_limit() {
        let advertisements = AdvertisementCache::default();
        for i in 0..=CACHED_ADVERTISEMENTS {
            read(&advertisements, &Url::parse(&format!("http://h/{i}")).unwrap(), ADVERTISEMENT);
        }
        assert_eq!(advertisements.advertisements().len(), 1);
    }
}
