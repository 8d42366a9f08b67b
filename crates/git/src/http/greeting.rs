//! What servers said they can do, remembered: then a conversation over HTTP needs no request for that.
//!
//! Only greetings of protocol 2 are kept. They tell of capabilities and nothing of the repository, so they are the same for
//! everybody. One that no longer holds makes the server refuse what is asked; then the server is asked for it anew.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use url::Url;

/// The longest greeting that is remembered, in bytes. git's has some 200.
const LONGEST: u64 = 2048;
/// Greetings that are remembered before all are forgotten.
const REMEMBERED: usize = 4096;
/// How long a greeting counts: what a server has learned meanwhile is used from then on.
const COUNTS: Duration = Duration::from_secs(3600);

/// The greetings of all servers, by repository.
#[derive(Debug, Clone, Default)]
pub(crate) struct Greetings(Arc<Mutex<HashMap<Url, Greeting>>>);

#[derive(Debug)]
struct Greeting {
    heard: Instant,
    text: Arc<[u8]>,
}

impl Greetings {
    /// What the server of `url` would say.
    pub(super) fn recall(&self, url: &Url) -> Option<Arc<[u8]>> {
        let greetings = self.greetings();
        let greeting = greetings.get(url).filter(|greeting| greeting.heard.elapsed() < COUNTS);
        greeting.map(|greeting| greeting.text.clone())
    }

    /// Reads the begin of what the server of `url` says, and remembers it if that is a whole greeting of protocol 2.
    pub(super) fn listen(&self, url: &Url, answer: &mut impl Read) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        answer.take(LONGEST).read_to_end(&mut text)?;
        if (text.len() as u64) < LONGEST && is_version_2(&text) {
            let greeting = Greeting { heard: Instant::now(), text: text.as_slice().into() };
            let mut greetings = self.greetings();
            if greetings.len() >= REMEMBERED {
                greetings.clear();
            }
            greetings.insert(url.clone(), greeting);
        }
        Ok(text)
    }

    /// The server of `url` no longer is as it was remembered.
    pub(super) fn forget(&self, url: &Url) {
        self.greetings().remove(url);
    }

    fn greetings(&self) -> MutexGuard<'_, HashMap<Url, Greeting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the first line, or the first after the announcement of the service, is that of protocol 2, and the last one a
/// flush (gitprotocol-v2).
fn is_version_2(text: &[u8]) -> bool {
    let greeting = text.strip_prefix(b"001e# service=git-upload-pack\n0000").unwrap_or(text);
    greeting.starts_with(b"000eversion 2\n") && greeting.ends_with(b"\n0000")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const GREETING: &[u8] = b"001e# service=git-upload-pack\n0000000eversion 2\n0013ls-refs=unborn\n0000";

    fn listen(greetings: &Greetings, url: &Url, mut text: &[u8]) -> Vec<u8> {
        greetings.listen(url, &mut text).unwrap()
    }

    #[test]
    fn whole_greetings_of_protocol_2_are_remembered() {
        let (greetings, url) = (Greetings::default(), Url::parse("http://h/a.git").unwrap());
        let bare = GREETING.strip_prefix(b"001e# service=git-upload-pack\n0000").unwrap();
        for known in [GREETING, bare] {
            assert_eq!(listen(&greetings, &url, known), known);
            assert_eq!(greetings.recall(&url).as_deref(), Some(known));
            greetings.forget(&url);
            assert_eq!(greetings.recall(&url), None);
        }
        let cut = GREETING.strip_suffix(b"0000").unwrap();
        let long = [bare.strip_suffix(b"0000").unwrap(), &[b'a'; LONGEST as usize], b"\n0000"].concat();
        let refs = b"001e# service=git-upload-pack\n0000003d0123456789012345678901234567890123456789 refs/heads/a\n0000";
        for unknown in [b"", cut, &long, &refs[..]] {
            let read = listen(&greetings, &url, unknown);
            assert!(unknown.starts_with(&read) && read.len() == unknown.len().min(LONGEST as usize));
            assert_eq!(greetings.recall(&url), None, "{:?}", String::from_utf8_lossy(unknown));
        }
    }

    #[test]
    fn the_memory_has_an_end() {
        let greetings = Greetings::default();
        for i in 0..=REMEMBERED {
            listen(&greetings, &Url::parse(&format!("http://h/{i}")).unwrap(), GREETING);
        }
        assert_eq!(greetings.greetings().len(), 1);
    }
}
