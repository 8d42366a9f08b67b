//! Which files need not be read again to know their digest.
//!
//! Whoever changes a file's content changes its change time, which no system call can set back. A file that
//! changed moments before it was read is not remembered: another change within the clock's resolution would leave no
//! trace. A file that this process wrote itself is remembered where the clock is fine: its name came with its last
//! change, so nobody else had time to change it too.

use std::{
    collections::HashMap,
    fs::Metadata,
    os::unix::fs::MetadataExt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::digest::Digest;

/// How long a file must have been left alone; more than any file system's resolution.
const UNTOUCHED_TIME: Duration = Duration::from_secs(2);

/// Digests by path, with the state of the file that had them.
#[derive(Default)]
pub(super) struct Verified {
    by_path: HashMap<String, (Stamp, Digest)>,
}

/// What differs when a file's content may differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether the file system tells fractions of seconds; those that do tell at least hundredths.
    fn is_fine(&self) -> bool {
        self.changed.1 != 0
    }

    fn is_settled(&self, now: SystemTime) -> bool {
        let changed = UNIX_EPOCH + Duration::from_secs(u64::try_from(self.changed.0).unwrap_or_default());
        now.duration_since(changed).is_ok_and(|age| age > UNTOUCHED_TIME)
    }
}

impl Verified {
    pub(super) fn knows(&self, path: &str, stamp: &Stamp, digest: &Digest) -> bool {
        self.by_path.get(path).is_some_and(|known| known.0 == *stamp && known.1 == *digest)
    }

    /// `stamp` and `now` are of before the file was read.
    pub(super) fn remember(&mut self, path: &str, stamp: Stamp, digest: &Digest, now: SystemTime) {
        if stamp.is_settled(now) {
            self.by_path.insert(path.to_owned(), (stamp, digest.clone()));
        }
    }

    /// The process wrote the file with this digest, and nobody knew its name before.
    pub(super) fn wrote(&mut self, path: &str, stamp: Stamp, digest: &Digest) {
        if stamp.is_fine() {
            self.by_path.insert(path.to_owned(), (stamp, digest.clone()));
        }
    }

    pub(super) fn forget(&mut self, is_gone: impl Fn(&str) -> bool) {
        self.by_path.retain(|path, _| !is_gone(path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::{Algorithm, Hasher};

    fn stamp(changed: i64) -> Stamp {
        Stamp { device: 1, inode: 2, size: 3, modified: (4, 5), changed: (changed, 6) }
    }

    #[test]
    fn a_verified_file_is_the_same_file_with_the_same_digest() {
        let digest = |text: &[u8]| {
            let mut hasher = Hasher::new(Algorithm::Sha256);
            hasher.update(text);
            hasher.finish()
        };
        let now = UNIX_EPOCH + Duration::from_secs(1000);
        let mut verified = Verified::default();
        verified.remember("a", stamp(900), &digest(b"a"), now);
        assert!(verified.knows("a", &stamp(900), &digest(b"a")));
        assert!(!verified.knows("a", &stamp(901), &digest(b"a")));
        assert!(!verified.knows("a", &Stamp { inode: 9, ..stamp(900) }, &digest(b"a")));
        assert!(!verified.knows("a", &stamp(900), &digest(b"b")));
        assert!(!verified.knows("b", &stamp(900), &digest(b"a")));
        verified.forget(|path| path == "a");
        assert!(!verified.knows("a", &stamp(900), &digest(b"a")));
    }

    #[test]
    fn a_file_that_just_changed_is_not_remembered() {
        let digest = Hasher::new(Algorithm::Sha256).finish();
        let now = UNIX_EPOCH + Duration::from_secs(1000);
        let mut verified = Verified::default();
        for changed in [998, 999, 1000, 2000] {
            verified.remember("a", stamp(changed), &digest, now);
            assert!(!verified.knows("a", &stamp(changed), &digest), "{changed}");
        }
        verified.remember("a", stamp(997), &digest, now);
        assert!(verified.knows("a", &stamp(997), &digest));
    }

    #[test]
    fn a_file_that_was_written_here_is_known_unless_the_clock_is_coarse() {
        let digest = Hasher::new(Algorithm::Sha256).finish();
        let mut verified = Verified::default();
        let coarse = Stamp { changed: (1000, 0), ..stamp(1000) };
        verified.wrote("a", coarse.clone(), &digest);
        assert!(!verified.knows("a", &coarse, &digest));
        verified.wrote("a", stamp(1000), &digest);
        assert!(verified.knows("a", &stamp(1000), &digest));
        assert!(!verified.knows("a", &Stamp { changed: (1000, 7), ..stamp(1000) }, &digest));
    }
}
