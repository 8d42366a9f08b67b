//! Chunks: runs of entries that are compressed by themselves, so that an archive can copy those that have not changed from
//! an earlier one. A commit that changes one file of many then costs little more than copying.
//!
//! Where a chunk ends depends on the names of its entries alone, so the bytes of an archive do not depend on what was there before.

use std::collections::HashMap;
use std::io::Write;

use super::gzip::Chunk;
use super::{ArchiveError, ArchiveWriter, check_path};

/// Fewest and most entries of a chunk: each chunk costs memory to remember, and compresses less well by itself.
const CHUNK_ENTRIES: std::ops::RangeInclusive<usize> = 16..=1024;
/// One name in so many ends a chunk.
const NAMES_PER_CHUNK: u64 = 32;

/// What identifies the entries of a chunk: BLAKE3 of their names, kinds and ids.
type Key = [u8; 32];

/// The chunks of one archive.
#[derive(Clone, Debug, Default)]
pub struct Chunks(HashMap<Key, Chunk>);

impl Chunks {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Where the content of files comes from.
pub trait Contents {
    /// Why there is none.
    type Error: From<ArchiveError>;

    /// All bytes of the content that `id` names.
    ///
    /// # Errors
    /// When they cannot be read.
    fn read(&mut self, id: &[u8]) -> Result<&[u8], Self::Error>;
}

/// Adds entries chunk by chunk. What was added is written when [`Chunked::end`] is called.
#[must_use = "entries are missing unless it is ended"]
pub struct Chunked<'a, W: Write, C> {
    archive: &'a mut ArchiveWriter<W>,
    contents: C,
    /// The entries of the chunk that is not yet written.
    pending: Vec<Pending>,
}

struct Pending {
    path: Box<[u8]>,
    /// Whether it is executable, and the id of its content.
    file: Option<(bool, Box<[u8]>)>,
}

impl<'a, W: Write, C: Contents> Chunked<'a, W, C> {
    pub(super) fn new(archive: &'a mut ArchiveWriter<W>, contents: C) -> Self {
        Self { archive, contents, pending: Vec::new() }
    }

    /// Adds a directory.
    ///
    /// # Errors
    /// As [`Self::end`].
    pub fn directory(&mut self, path: &[u8]) -> Result<(), C::Error> {
        self.push(Pending { path: path.into(), file: None })
    }

    /// Adds a regular file with the content that `id` names. Equal ids name equal content, for ever.
    ///
    /// # Errors
    /// As [`Self::end`].
    pub fn file(&mut self, path: &[u8], executable: bool, id: &[u8]) -> Result<(), C::Error> {
        self.push(Pending { path: path.into(), file: Some((executable, id.into())) })
    }

    /// Adds something that no id names to the archive itself, between two chunks.
    ///
    /// # Errors
    /// As [`Self::end`].
    pub fn between(&mut self) -> Result<&mut ArchiveWriter<W>, C::Error> {
        self.close()?;
        Ok(self.archive)
    }

    /// Writes what is not yet written.
    ///
    /// # Errors
    /// For a bad path, when the content cannot be read, when an earlier archive has changed, and what the sink says.
    pub fn end(mut self) -> Result<(), C::Error> {
        self.close()
    }

    fn push(&mut self, entry: Pending) -> Result<(), C::Error> {
        check_path(&entry.path)?;
        let ends = hash(&entry.path).is_multiple_of(NAMES_PER_CHUNK);
        self.pending.push(entry);
        let entries = self.pending.len();
        if entries >= *CHUNK_ENTRIES.end() || ends && entries >= *CHUNK_ENTRIES.start() {
            self.close()
        } else {
            Ok(())
        }
    }

    fn close(&mut self) -> Result<(), C::Error> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        let key = key(&pending);
        let chunk = match self.copied(&key)? {
            Some(chunk) => chunk,
            None => self.written(&pending)?,
        };
        self.archive.chunks.0.insert(key, chunk);
        Ok(())
    }

    fn copied(&mut self, key: &Key) -> Result<Option<Chunk>, ArchiveError> {
        let ArchiveWriter { gzip, earlier, .. } = &mut *self.archive;
        let Some((file, chunk)) =
            earlier.as_ref().and_then(|(file, chunks)| Some((file, chunks.0.get(key)?)))
        else {
            return Ok(None);
        };
        let copied = gzip.copy_chunk(chunk, file).map_err(ArchiveError::ReadEarlier)?;
        copied.map(Some).ok_or(ArchiveError::Reuse)
    }

    fn written(&mut self, entries: &[Pending]) -> Result<Chunk, C::Error> {
        self.archive.gzip.begin_chunk().map_err(ArchiveError::Write)?;
        let offset = self.archive.gzip.offset();
        for entry in entries {
            match &entry.file {
                None => self.archive.directory(&entry.path)?,
                Some((executable, id)) => {
                    let mut content = self.contents.read(id)?;
                    self.archive.file(&entry.path, *executable, content.len() as u64, &mut content)?;
                }
            }
        }
        Ok(self.archive.gzip.end_chunk(offset).map_err(ArchiveError::Write)?)
    }
}

fn key(entries: &[Pending]) -> Key {
    let mut hasher = blake3::Hasher::new();
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    for entry in entries {
        part(&entry.path);
        match &entry.file {
            None => part(b"d"),
            Some((executable, id)) => {
                part(if *executable { b"x" } else { b"f" });
                part(id);
            }
        }
    }
    *hasher.finalize().as_bytes()
}

/// FNV-1a with its bits mixed, for names.
fn hash(name: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = name.iter().fold(0xcbf2_9ce4_8422_2325, step);
    hash ^ (hash >> 32)
}
