//! The revision that was read or written last: who looks right after an action, or before one, need not read it again.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use helm_release::Release;

/// Characters of the data of the largest revision that is kept; of larger ones a copy would cost more than it saves.
pub(crate) const MOST: usize = 256 << 10;

/// The revision, by the stamp of its Secret. Clones share it.
#[derive(Clone, Default)]
pub struct Kept(Arc<Mutex<Option<(u64, Release)>>>);

impl fmt::Debug for Kept {
    /// Values and objects of a release may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}

impl Kept {
    fn lock(&self) -> MutexGuard<'_, Option<(u64, Release)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The revision whose Secret has this stamp, if it is the one that is kept.
    pub(crate) fn get(&self, stamp: u64) -> Option<Release> {
        self.lock().as_ref().filter(|(kept, _)| *kept == stamp).map(|(_, release)| release.clone())
    }

    /// Keeps a revision whose Secret has this stamp and data of this length, unless one of its name that is newer is kept.
    pub(crate) fn put(&self, stamp: u64, length: usize, release: &Release) {
        let mut kept = self.lock();
        let is_older =
            |(_, newer): &(u64, Release)| newer.name == release.name && newer.version > release.version;
        if !kept.as_ref().is_some_and(is_older) {
            *kept = (length <= MOST).then(|| (stamp, release.clone()));
        }
    }

    /// Keeps nothing until the next reading or writing: a wait would keep it in memory for as long as it lasts.
    pub(crate) fn clear(&self) {
        self.lock().take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(version: i64) -> Release {
        Release { name: "app".to_owned(), version, ..Release::default() }
    }

    #[test]
    fn the_newest_revision_is_kept_if_it_is_not_large() {
        let kept = Kept::default();
        kept.put(1, 10, &release(2));
        kept.put(2, 10, &release(1));
        assert_eq!(kept.get(1).map(|release| release.version), Some(2), "an older one does not count");
        assert!(kept.get(2).is_none());
        kept.put(3, MOST, &release(2));
        assert!(kept.get(1).is_none() && kept.get(3).is_some(), "it was written again");
        kept.put(4, MOST + 1, &release(3));
        assert!(kept.get(3).is_none() && kept.get(4).is_none());
        kept.put(5, 10, &release(3));
        kept.clear();
        assert!(kept.get(5).is_none());
    }
}
