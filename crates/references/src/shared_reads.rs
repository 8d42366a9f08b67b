//! ConfigMaps and Secrets that many objects of a namespace refer to: read once for all who want them at about the same time.
//!
//! An answer is good for whoever was due before the request for it began: what changed before that is in it. So nobody sees anything
//! older than with a request of its own, and a thousand objects that are due by one commit ask once.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Secret},
};
use kube::{Api, Client};
use tokio::sync::OnceCell;

use crate::{GetError, get};

/// How long answers are kept: as long as objects that are due together may wait for each other.
const KEPT: Duration = Duration::from_secs(30);
/// How often old answers are looked for: a look goes over all of them.
const SWEEP: Duration = Duration::from_secs(1);
/// Bytes of answers that are kept.
const KEPT_BYTES: usize = 16 << 20;

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A ConfigMap's `data`.
    ConfigMap,
    /// A Secret's `data`.
    Secret,
}

/// The entries of a ConfigMap or Secret.
pub type Entries = Arc<BTreeMap<String, ByteString>>;

type Key = (Kind, String, String);

/// Reads by one client. Clones share them.
#[derive(Clone)]
pub struct SharedReads {
    client: Client,
    kept: Arc<Mutex<Kept>>,
}

/// Answers, and reads under way.
struct Kept {
    reads: HashMap<Key, Arc<Read>>,
    /// Of all answers that came since the last sweep or were there then.
    bytes: usize,
    swept: Instant,
}

struct Read {
    begun: Instant,
    entries: OnceCell<Entries>,
}

impl Read {
    fn bytes(&self) -> usize {
        let entries = self.entries.get().into_iter().flat_map(|entries| entries.iter());
        entries.map(|(name, value)| name.len() + value.0.len()).sum()
    }
}

impl SharedReads {
    /// Reads with the identity of `client`.
    pub fn new(client: Client) -> Self {
        let kept = Kept { reads: HashMap::new(), bytes: 0, swept: Instant::now() };
        Self { client, kept: Arc::new(Mutex::new(kept)) }
    }

    /// The entries of an object for somebody who is due since `due`.
    ///
    /// # Errors
    /// For a name that is none, and what the API server says. Errors are nobody else's.
    pub async fn entries(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        due: Instant,
    ) -> Result<Entries, GetError> {
        let key = (kind, namespace.to_owned(), name.to_owned());
        let read = {
            let mut kept = self.lock();
            match kept.reads.get(&key).filter(|read| read.begun > due) {
                Some(read) => read.clone(),
                None => {
                    let read = Arc::new(Read { begun: Instant::now(), entries: OnceCell::new() });
                    kept.reads.insert(key.clone(), read.clone());
                    read
                }
            }
        };
        let mut came = false;
        let ask = async {
            came = true;
            self.read(kind, namespace, name).await
        };
        let result = read.entries.get_or_try_init(|| ask).await.cloned();
        let mut kept = self.lock();
        if result.is_err() && kept.reads.get(&key).is_some_and(|known| Arc::ptr_eq(known, &read)) {
            kept.reads.remove(&key);
        }
        kept.took_in(if came { read.bytes() } else { 0 });
        result
    }

    async fn read(&self, kind: Kind, namespace: &str, name: &str) -> Result<Entries, GetError> {
        Ok(Arc::new(match kind {
            Kind::ConfigMap => {
                let found = get(&Api::<ConfigMap>::namespaced(self.client.clone(), namespace), name).await?;
                let bytes = |(key, value): (String, String)| (key, ByteString(value.into_bytes()));
                found.data.unwrap_or_default().into_iter().map(bytes).collect()
            }
            Kind::Secret => {
                let found = get(&Api::<Secret>::namespaced(self.client.clone(), namespace), name).await?;
                found.data.unwrap_or_default()
            }
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// An answer of so many bytes came: drops what is old, and all if it is too much. Reads under way are held by those who wait for
    /// them.
    fn took_in(&mut self, bytes: usize) {
        self.bytes += bytes;
        if self.swept.elapsed() >= SWEEP {
            self.reads.retain(|_, read| read.begun.elapsed() < KEPT);
            self.bytes = self.reads.values().map(|read| read.bytes()).sum();
            self.swept = Instant::now();
        }
        if self.bytes > KEPT_BYTES {
            self.reads.clear();
            self.bytes = 0;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use kube::client::Body;
    use serde_json::json;

    use super::*;

    /// Answers with how often it was asked, and with 404 for what is named `missing`.
    fn reads() -> (SharedReads, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let server = tower::service_fn(move |request: http::Request<Body>| {
            let number = count.fetch_add(1, Ordering::Relaxed) + 1;
            let missing = request.uri().path().ends_with("missing");
            let answer = match missing {
                true => {
                    json!({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound", "message": "no"})
                }
                false => json!({"metadata": {"name": "a"}, "data": {"number": number.to_string()}}),
            };
            let response = http::Response::builder().status(if missing { 404 } else { 200 });
            async move {
                tokio::task::yield_now().await;
                response.body(Body::from(answer.to_string().into_bytes()))
            }
        });
        (SharedReads::new(Client::new(server, "default")), asked)
    }

    async fn number(reads: &SharedReads, name: &str, due: Instant) -> Option<String> {
        let entries = reads.entries(Kind::ConfigMap, "ns", name, due).await.ok()?;
        Some(String::from_utf8(entries.get("number")?.0.clone()).unwrap())
    }

    #[tokio::test]
    async fn those_who_are_due_before_a_read_share_it_and_others_read_anew() {
        let (reads, asked) = reads();
        let due = Instant::now();
        let both = tokio::join!(number(&reads, "a", due), number(&reads, "a", due));
        assert_eq!(both, (Some("1".into()), Some("1".into())));
        assert_eq!(number(&reads, "a", due).await, Some("1".into()), "it is still good for them");
        let later = Instant::now();
        assert_eq!(number(&reads, "a", later).await, Some("2".into()), "something may have changed since");
        assert_eq!(number(&reads, "a", due).await, Some("2".into()));
        assert_eq!(number(&reads, "b", due).await, Some("3".into()));
        assert_eq!(asked.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn errors_are_not_kept() {
        let (reads, asked) = reads();
        let due = Instant::now();
        for _ in 0..2 {
            assert_eq!(number(&reads, "missing", due).await, None);
        }
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        assert!(reads.lock().reads.is_empty());
    }

    #[tokio::test]
    async fn no_more_is_kept_than_there_is_room_for() {
        let (reads, _) = reads();
        number(&reads, "a", Instant::now()).await;
        let large = BTreeMap::from([("a".to_owned(), ByteString(vec![0; KEPT_BYTES]))]);
        let read = Read { begun: Instant::now(), entries: OnceCell::new_with(Some(Arc::new(large))) };
        let bytes = read.bytes();
        {
            let mut kept = reads.lock();
            kept.reads.insert((Kind::Secret, "ns".into(), "large".into()), Arc::new(read));
            kept.bytes += bytes;
            assert_eq!(kept.reads.len(), 2);
        }
        number(&reads, "b", Instant::now()).await;
        assert!(reads.lock().reads.is_empty());
    }
}
