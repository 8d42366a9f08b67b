//! The chunks of each object's last archive, for its next one.

use std::collections::HashMap;
use std::sync::Arc;

use crate::archive::Chunks;

/// By the object's directory, those used longest ago first to go.
#[derive(Default)]
pub(super) struct Reuse {
    last: HashMap<String, Last>,
    chunks: usize,
    /// Grows with each archive.
    now: u64,
}

struct Last {
    file: String,
    chunks: Arc<Chunks>,
    used: u64,
}

impl Reuse {
    /// The path of the last archive, and its chunks.
    pub(super) fn take(&mut self, directory: &str) -> Option<(String, Arc<Chunks>)> {
        let last = self.last.remove(directory)?;
        self.chunks -= last.chunks.len();
        Some((last.file, last.chunks))
    }

    /// Remembers an archive, and at most `limit` chunks in all.
    pub(super) fn put(&mut self, directory: &str, file: &str, chunks: Chunks, limit: usize) {
        self.take(directory);
        if chunks.is_empty() || chunks.len() > limit {
            return;
        }
        while self.chunks + chunks.len() > limit {
            let oldest = self.last.iter().min_by_key(|(_, last)| last.used).map(|(name, _)| name.clone());
            if oldest.and_then(|oldest| self.take(&oldest)).is_none() {
                break;
            }
        }
        self.chunks += chunks.len();
        self.now += 1;
        let last = Last { file: file.to_owned(), chunks: Arc::new(chunks), used: self.now };
        self.last.insert(directory.to_owned(), last);
    }
}
