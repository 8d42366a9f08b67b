//! What the files of a namespace may take on the volume, those included that are being written.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use budget::{Budget, Grant, Limits, Request};

use super::{directory, path::is_below};

/// The room of a file that is written grows in steps of so many bytes.
const GRANT_STEP_BYTES: u64 = 64 * 1024;

/// More than the artifacts of a namespace may have.
#[derive(Debug, thiserror::Error)]
#[error(
    "the artifacts of namespace {namespace:?} would have more than {limit} bytes (--namespace-artifact-max-size)"
)]
struct QuotaError {
    namespace: String,
    limit: u64,
}

/// The bytes of all files of a store, by namespace.
pub(super) struct Quota {
    budget: Budget,
    limit: u64,
    /// The files that are whole, by their paths below the root.
    files: Mutex<HashMap<String, Grant>>,
}

/// A file of a [`Store`](super::Store) that is being written. It fails when its namespace has no room for more.
pub struct QuotaWriter {
    file: File,
    written: u64,
    grant: Grant,
    /// Bytes of the files of the same object, which this one takes the place of.
    former: u64,
    namespace: String,
    limit: u64,
}

// === impl Quota ===

impl Quota {
    /// So many bytes for each namespace. A single object may have more, up to `volume`, and the new file of an object is measured without
    /// its former ones: else what was stored once could never be replaced.
    pub(super) fn new(limit: u64, volume: u64) -> Self {
        let budget = Budget::new(Limits { process: volume, tenant: limit });
        Self { budget, limit, files: Mutex::default() }
    }

    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Begins a file at `path`, which takes nothing yet.
    pub(super) fn writer(&self, path: &str, file: File) -> QuotaWriter {
        let (namespace, object) = (namespace(path), directory(path));
        let grant = self.budget.start(namespace);
        let is_former = |(other, _): &(&String, &Grant)| directory(other) == object;
        let former = self.files().iter().filter(is_former).map(|(_, grant)| grant.cost()).sum();
        QuotaWriter { file, written: 0, grant, former, namespace: namespace.to_owned(), limit: self.limit }
    }

    /// The file is whole, in the place of the one that was at `path`.
    pub(super) fn keep(&self, path: &str, writer: QuotaWriter) {
        let QuotaWriter { mut grant, written, .. } = writer;
        grant.shrink(written);
        self.files().insert(path.to_owned(), grant);
    }

    /// A file that an earlier process wrote.
    pub(super) fn found(&self, path: &str, bytes: u64) {
        let grant = self.budget.count(Request::new(namespace(path), bytes));
        self.files().insert(path.to_owned(), grant);
    }

    /// A file is no more.
    pub(super) fn forget(&self, path: &str) {
        self.files().remove(path);
    }

    /// Nor are those of a directory.
    pub(super) fn forget_below(&self, directory: &str) {
        self.files().retain(|path, _| !is_below(path, directory));
    }

    fn files(&self) -> MutexGuard<'_, HashMap<String, Grant>> {
        // A map stays right whatever a panicking thread was about to do with it.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for QuotaWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let after = self.written.saturating_add(bytes.len() as u64);
        let exceeded = |_| {
            let error = QuotaError { namespace: self.namespace.clone(), limit: self.limit };
            io::Error::new(io::ErrorKind::QuotaExceeded, error)
        };
        self.grant
            .try_grow_instead(after.next_multiple_of(GRANT_STEP_BYTES), self.former)
            .or_else(|_| self.grant.try_grow_instead(after, self.former))
            .map_err(exceeded)?;
        let written = self.file.write(bytes)?;
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// That of an artifact's path, `<kind>/<namespace>/<name>/<file>`.
fn namespace(path: &str) -> &str {
    path.split('/').nth(1).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn write(quota: &Quota, path: &str, bytes: usize) -> io::Result<()> {
        let mut writer = quota.writer(path, tempfile::tempfile()?);
        writer.write_all(&vec![0; bytes])?;
        quota.keep(path, writer);
        Ok(())
    }

    fn used(quota: &Quota) -> u64 {
        quota.budget.usage().used
    }

    #[test]
    fn files_of_one_namespace_leave_room_to_others() {
        let quota = Quota::new(100_000, 1_000_000);
        write(&quota, "k/a/one/f", 60_000).unwrap();
        let error = write(&quota, "k/a/two/f", 60_000).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
        let text = "the artifacts of namespace \"a\" would have more than 100000 bytes (--namespace-artifact-max-size)";
        assert_eq!(error.to_string(), text);
        assert_eq!(used(&quota), 60_000, "what was refused is given back");
        write(&quota, "k/a/two/f", 40_000).unwrap();
        write(&quota, "k/b/one/f", 60_000).unwrap();
    }

    #[test]
    fn a_file_counts_until_it_is_replaced_or_gone() {
        let quota = Quota::new(100_000, 1_000_000);
        write(&quota, "k/a/one/f", 50_000).unwrap();
        write(&quota, "k/a/one/f", 30_000).unwrap();
        assert_eq!(used(&quota), 30_000);
        quota.found("k/a/two/f", 500_000);
        assert!(write(&quota, "k/a/one/g", 1).is_err(), "what was found is more than the share");
        quota.forget_below("k/a/tw");
        assert!(write(&quota, "k/a/one/g", 1).is_err());
        quota.forget_below("k/a/two");
        write(&quota, "k/a/one/g", 1).unwrap();
        assert_eq!(used(&quota), 30_001);
    }

    #[test]
    fn the_only_object_of_a_namespace_may_be_larger_than_its_share_but_not_than_the_volume() {
        let quota = Quota::new(10, 1000);
        write(&quota, "k/a/one/f", 900).unwrap();
        write(&quota, "k/a/one/g", 50).unwrap();
        assert!(write(&quota, "k/a/two/f", 1).is_err(), "the other one has more than the share");
        assert!(write(&quota, "k/b/one/f", 51).is_err());
        write(&quota, "k/b/one/f", 50).unwrap();
    }

    #[test]
    fn a_new_file_is_measured_without_the_former_ones_of_its_object() {
        let quota = Quota::new(100_000, 1_000_000);
        write(&quota, "k/a/one/f", 60_000).unwrap();
        write(&quota, "k/a/two/f", 30_000).unwrap();
        assert!(write(&quota, "k/a/one/g", 70_001).is_err());
        write(&quota, "k/a/one/g", 70_000).unwrap();
        assert!(write(&quota, "k/a/two/g", 1).is_err(), "both files of the other one count");
        quota.forget("k/a/one/f");
        write(&quota, "k/a/two/g", 30_000).unwrap();
    }
}
