//! The deterministic `tar.gz` writer: equal entries in equal order give equal bytes on every machine.
//!
//! Entries are pushed; nothing is read from disk. The caller walks its tree depth first, with the entries of each
//! directory in byte order of their names and a directory before its content. The tar stream is byte-equal to
//! the one source-controller 1.9 writes for the same tree; the compressed bytes are our own.

mod chunks;
mod gzip;
pub mod header;

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;

pub use chunks::{Chunked, Chunks, Contents};

use gzip::GzipWriter;

use crate::digest::{Algorithm, Digest};

/// Why an archive could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The path is empty, absolute, or has an empty, `.` or `..` component or a NUL byte.
    #[error("failed to add archive entry {path:?}: not a clean relative path")]
    Path {
        /// The path, lossily decoded.
        path: String,
    },
    /// The content ended before or went on after the announced size.
    #[error("failed to add archive entry {path:?}: content is not {size} bytes long")]
    Size {
        /// The path, lossily decoded.
        path: String,
        /// The announced size in bytes.
        size: u64,
    },
    /// The content could not be read.
    #[error("failed to read content of archive entry {path:?}")]
    Read {
        /// The path, lossily decoded.
        path: String,
        /// What the reader said.
        #[source]
        source: io::Error,
    },
    /// A chunk of an earlier archive has changed since it was written.
    #[error("failed to reuse an earlier archive: it has changed")]
    Reuse,
    /// An earlier archive could not be read.
    #[error("failed to read an earlier archive")]
    ReadEarlier(#[source] io::Error),
    /// The sink refused bytes.
    #[error("failed to write archive")]
    Write(#[source] io::Error),
}

/// What [`ArchiveWriter::finish`] wrote.
#[derive(Clone, Debug)]
pub struct Written {
    /// The digest of the compressed bytes.
    pub digest: Digest,
    /// The number of compressed bytes.
    pub size: u64,
    /// What a later archive can take over.
    pub chunks: Chunks,
}

/// Writes a gzip-compressed tar stream to a sink, hashing what it writes.
///
/// ```
/// # use artifact::{archive::ArchiveWriter, digest::Algorithm};
/// let mut archive = ArchiveWriter::new(Vec::new(), Algorithm::Sha256)?;
/// archive.directory(b"apps")?;
/// archive.file(b"apps/cm.yaml", false, 5, &mut &b"a: 1\n"[..])?;
/// let (written, bytes) = archive.finish()?;
/// assert_eq!(written.size, bytes.len() as u64);
/// # Ok::<(), artifact::archive::ArchiveError>(())
/// ```
pub struct ArchiveWriter<W: Write> {
    gzip: GzipWriter<W>,
    buffer: Vec<u8>,
    earlier: Option<(File, Arc<Chunks>)>,
    chunks: Chunks,
}

impl<W: Write> ArchiveWriter<W> {
    /// Starts an archive with the entry of its root directory, `.`.
    pub fn new(sink: W, algorithm: Algorithm) -> Result<Self, ArchiveError> {
        let gzip = GzipWriter::new(sink, algorithm).map_err(ArchiveError::Write)?;
        let chunks = Chunks::default();
        let mut archive = Self { gzip, buffer: vec![0; 64 * 1024], earlier: None, chunks };
        archive.header(&header::directory(b"."))?;
        Ok(archive)
    }

    /// Takes over what [`Self::chunked`] finds in an earlier archive. The bytes written are the same with and without.
    #[must_use]
    pub fn after(self, archive: File, chunks: Arc<Chunks>) -> Self {
        Self { earlier: Some((archive, chunks)), ..self }
    }

    /// Adds entries whose content need not be read where an earlier archive has it.
    pub fn chunked<C: Contents>(&mut self, contents: C) -> Chunked<'_, W, C> {
        Chunked::new(self, contents)
    }

    /// Adds a directory. `path` is relative to the root, without a trailing slash.
    pub fn directory(&mut self, path: &[u8]) -> Result<(), ArchiveError> {
        check_path(path)?;
        self.header(&header::directory(path))
    }

    /// Adds a regular file of exactly `size` bytes.
    pub fn file(
        &mut self,
        path: &[u8],
        executable: bool,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<(), ArchiveError> {
        check_path(path)?;
        self.header(&header::file(path, executable, size))?;
        let wrong_size = || ArchiveError::Size { path: lossy(path), size };
        let mut copied = 0;
        loop {
            let n = match content.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(ArchiveError::Read { path: lossy(path), source }),
            };
            copied += n as u64;
            if copied > size {
                return Err(wrong_size());
            }
            let bytes = self.buffer.get(..n).unwrap_or_default();
            self.gzip.write_all(bytes).map_err(ArchiveError::Write)?;
        }
        if copied < size {
            return Err(wrong_size());
        }
        self.gzip.write_all(header::padding(size)).map_err(ArchiveError::Write)
    }

    /// Ends the archive, flushes the sink and gives it back.
    pub fn finish(mut self) -> Result<(Written, W), ArchiveError> {
        self.gzip.write_all(&[0; 2 * header::TAR_BLOCK_BYTES]).map_err(ArchiveError::Write)?;
        let (digest, size, sink) = self.gzip.finish().map_err(ArchiveError::Write)?;
        Ok((Written { digest, size, chunks: self.chunks }, sink))
    }

    fn header(&mut self, blocks: &[u8]) -> Result<(), ArchiveError> {
        self.gzip.write_all(blocks).map_err(ArchiveError::Write)
    }
}

fn check_path(path: &[u8]) -> Result<(), ArchiveError> {
    let clean = |component: &[u8]| !matches!(component, b"" | b"." | b"..") && !component.contains(&0);
    if path.split(|&b| b == b'/').all(clean) { Ok(()) } else { Err(ArchiveError::Path { path: lossy(path) }) }
}

fn lossy(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
