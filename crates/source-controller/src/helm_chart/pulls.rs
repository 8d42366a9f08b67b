//! Archives of charts that were pulled, in memory: many charts of one version are one download.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use budget::{Budget, Grant, Limits, Request};
use net::{Deadline, Named};

/// Archives that are kept when nobody uses them, as long as others do not need their memory.
const KEPT_ARCHIVES: usize = 32;

/// An archive.
pub struct Pulled {
    /// What is in it.
    pub bytes: Vec<u8>,
    /// For these.
    _memory: Grant,
}

/// Why an archive was not pulled.
#[derive(Debug, thiserror::Error)]
pub enum PullError<E> {
    /// The memory was not to be had.
    #[error("timed out waiting for {0} bytes of the {1} that archives of charts may have in memory")]
    Room(u64, u64),
    /// Another chart pulls it, and takes too long.
    #[error("timed out waiting for another chart with the same archive")]
    Busy,
    /// It cannot be downloaded.
    #[error(transparent)]
    Download(#[from] E),
}

/// The archives in use, and some that were used last.
pub struct Pulls {
    memory: Budget,
    kept: Mutex<VecDeque<(String, Arc<Pulled>)>>,
    turns: Named<tokio::sync::Mutex<()>>,
}

impl Pulls {
    /// No archives yet; all may have so many bytes of memory, of which a namespace gets half.
    pub fn new(bytes: u64) -> Pulls {
        let memory = Budget::new(Limits::halved(bytes));
        Pulls { memory, kept: Mutex::default(), turns: Named::default() }
    }

    /// What is used of the memory.
    pub fn budget(&self) -> &Budget {
        &self.memory
    }

    /// The archive with this key, or else what `download` gives, which has at most `most` bytes. Who knows a key has shown that it
    /// may have the archive: it names the content, or the credentials that it takes.
    ///
    /// # Errors
    /// See [`PullError`].
    pub async fn get<E>(
        &self,
        namespace: &str,
        key: &str,
        most: u64,
        deadline: &Deadline,
        download: impl Future<Output = Result<Vec<u8>, E>>,
    ) -> Result<Arc<Pulled>, PullError<E>> {
        let turn = self.turns.get(key, tokio::sync::Mutex::default);
        let turn = deadline.bound(Duration::MAX, turn.lock()).await;
        let _turn = turn.map_err(|_| PullError::Busy)?;
        if let Some(pulled) = self.use_kept(key) {
            return Ok(pulled);
        }
        let limit = self.memory.usage().limit;
        let cost = most.min(limit);
        self.make_room(cost);
        let request = Request::new(namespace, cost);
        let granted = deadline.bound(Duration::MAX, self.memory.acquire(request)).await;
        let mut memory = granted.map_err(|_| PullError::Room(cost, limit))?;
        let bytes = download.await?;
        memory.shrink(bytes.len() as u64);
        let pulled = Arc::new(Pulled { bytes, _memory: memory });
        self.keep(key, pulled.clone());
        Ok(pulled)
    }

    fn use_kept(&self, key: &str) -> Option<Arc<Pulled>> {
        let mut kept = self.kept();
        let position = kept.iter().position(|(known, _)| known == key)?;
        let (key, pulled) = kept.remove(position)?;
        kept.push_back((key, pulled.clone()));
        Some(pulled)
    }

    fn keep(&self, key: &str, pulled: Arc<Pulled>) {
        let mut kept = self.kept();
        kept.push_back((key.to_owned(), pulled));
        if kept.len() > KEPT_ARCHIVES {
            kept.pop_front();
        }
    }

    /// What nobody uses goes where half of the memory would be used.
    fn make_room(&self, bytes: u64) {
        let usage = self.memory.usage();
        if usage.used.saturating_add(bytes) > usage.limit / 2 {
            self.kept().clear();
        }
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<(String, Arc<Pulled>)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn deadline() -> Deadline {
        Deadline::new(Duration::from_secs(60))
    }

    #[tokio::test]
    async fn an_archive_is_downloaded_once_for_all_who_ask() {
        let (pulls, count) = (Pulls::new(1000), Cell::new(0));
        let download = async || {
            count.set(count.get() + 1);
            tokio::task::yield_now().await;
            Ok::<_, std::io::Error>(vec![1, 2, 3])
        };
        let deadline = deadline();
        let get = |key| pulls.get("ns", key, 100, &deadline, download());
        let (first, second) = futures::join!(get("a"), get("a"));
        assert!(Arc::ptr_eq(&first.unwrap(), &second.unwrap()));
        assert_eq!((count.get(), pulls.budget().usage().used), (1, 3), "what is not needed is given back");
        get("b").await.unwrap();
        assert_eq!(count.get(), 2);
    }

    #[tokio::test]
    async fn a_failure_is_not_remembered_and_those_that_nobody_uses_make_room() {
        let (pulls, deadline) = (Pulls::new(1000), deadline());
        let fails = pulls.get("ns", "a", 100, &deadline, async { Err("no") });
        assert!(matches!(fails.await, Err(PullError::Download("no"))));
        let gives = |bytes: usize| async move { Ok::<_, std::io::Error>(vec![0; bytes]) };
        drop(pulls.get("ns", "a", 400, &deadline, gives(400)).await.unwrap());
        assert_eq!(pulls.budget().usage().used, 400);
        let used = pulls.get("ns", "b", 400, &deadline, gives(400)).await.unwrap();
        assert_eq!(pulls.budget().usage().used, 400, "the first one has gone");
        let soon = Deadline::new(Duration::from_millis(20));
        let error = pulls.get("ns", "c", 400, &soon, gives(1)).await.err().unwrap().to_string();
        let expected =
            "timed out waiting for 400 bytes of the 1000 that archives of charts may have in memory";
        assert_eq!(error, expected);
        drop(used);
    }
}
