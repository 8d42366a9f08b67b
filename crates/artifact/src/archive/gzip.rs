//! A gzip member with a fixed header, hashed and counted while it is written.
//!
//! Git repositories hold pictures, charts and binaries that deflate cannot shrink, and trying costs most of the
//! time of an archive. Input is therefore cut into units of fixed size, and after a unit that did not shrink the
//! next ones are written as stored blocks before deflate gets another try. The cuts depend on the bytes alone,
//! never on how they arrive, so the output stays deterministic.
//!
//! A chunk begins and ends on a byte boundary and refers to nothing outside, so that it can be copied from another member.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use flate2::{Compress, Compression, Crc, FlushCompress};

use crate::digest::{Algorithm, Digest, HashingWriter};

/// How hard deflate tries, of 1 (fast) to 9 (small): as upstream. With incompressible content stored as it is, a lower
/// level saves little time and makes every consumer's download larger. A change changes the digest of every artifact.
const COMPRESSION_LEVEL: u32 = 6;
/// Bytes that are compressed as one piece.
const UNIT_BYTES: usize = 128 * 1024;
/// Units that are stored after one that did not shrink.
const STORED_UNITS: u32 = 8;
/// The largest content of a stored block.
const STORED_BLOCK_BYTES: usize = 65_535;

/// No flags, no name, time zero, no hint about the level, system unknown: what Go writes.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// Bytes that are copied at once.
const COPY_BYTES: usize = 256 * 1024;

/// A stretch of a member that stands by itself.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    offset: u64,
    length: u64,
    /// Of the plain bytes.
    crc: Arc<Crc>,
    /// BLAKE3 of the compressed bytes.
    digest: blake3::Hash,
}

/// Compresses into a sink. Dropping it without [`GzipWriter::finish`] leaves a truncated member.
pub(super) struct GzipWriter<W: Write> {
    sink: Sink<W>,
    deflate: Compress,
    /// Of everything before the last cut.
    total: Crc,
    /// Of everything since.
    crc: Crc,
    unit: Vec<u8>,
    output: Vec<u8>,
    /// How many further units go out as they are.
    stored_units: u32,
}

struct Sink<W> {
    inner: HashingWriter<W>,
    /// Hashes a chunk on its way out.
    chunk: Option<blake3::Hasher>,
}

impl<W: Write> Sink<W> {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(chunk) = &mut self.chunk {
            chunk.update(bytes);
        }
        self.inner.write_all(bytes)
    }
}

impl<W: Write> GzipWriter<W> {
    pub(super) fn new(sink: W, algorithm: Algorithm) -> io::Result<Self> {
        let mut sink = Sink { inner: HashingWriter::new(sink, algorithm), chunk: None };
        sink.write_all(&GZIP_HEADER)?;
        Ok(Self {
            sink,
            deflate: Compress::new(Compression::new(COMPRESSION_LEVEL), false),
            total: Crc::new(),
            crc: Crc::new(),
            unit: Vec::with_capacity(UNIT_BYTES),
            output: Vec::with_capacity(UNIT_BYTES),
            stored_units: 0,
        })
    }

    pub(super) fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.crc.update(bytes);
        while !bytes.is_empty() {
            let (head, tail) = bytes.split_at(bytes.len().min(UNIT_BYTES - self.unit.len()));
            self.unit.extend_from_slice(head);
            bytes = tail;
            if self.unit.len() == UNIT_BYTES {
                self.flush_unit()?;
            }
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<(Digest, u64, W)> {
        if self.stored_units > 0 {
            self.store_unit()?;
        }
        self.compress_unit(FlushCompress::Finish)?;
        self.total.combine(&self.crc);
        self.sink.write_all(&self.total.sum().to_le_bytes())?;
        self.sink.write_all(&self.total.amount().to_le_bytes())?;
        self.sink.inner.finish()
    }

    /// Begins a chunk.
    pub(super) fn begin_chunk(&mut self) -> io::Result<()> {
        self.cut()?;
        self.sink.chunk = Some(blake3::Hasher::new());
        Ok(())
    }

    /// Ends the chunk that began at this offset.
    pub(super) fn end_chunk(&mut self, offset: u64) -> io::Result<Chunk> {
        let crc = self.cut()?;
        let digest = self.sink.chunk.take().unwrap_or_default().finalize();
        Ok(Chunk { offset, length: self.offset() - offset, crc, digest })
    }

    /// Copies a chunk of the member in `file`; `None` if it is not there as it was written. Nothing good can be written then.
    pub(super) fn copy_chunk(&mut self, chunk: &Chunk, file: &File) -> io::Result<Option<Chunk>> {
        self.cut()?;
        let offset = self.offset();
        let (mut hasher, mut buffer) = (blake3::Hasher::new(), vec![0; COPY_BYTES]);
        let mut copied = 0;
        while copied < chunk.length {
            let wanted =
                usize::try_from(chunk.length - copied).map_or(COPY_BYTES, |left| left.min(COPY_BYTES));
            let read = file.read_at(buffer.get_mut(..wanted).unwrap_or_default(), chunk.offset + copied)?;
            if read == 0 {
                return Ok(None);
            }
            let bytes = buffer.get(..read).unwrap_or_default();
            hasher.update(bytes);
            self.sink.write_all(bytes)?;
            copied += read as u64;
        }
        self.total.combine(&chunk.crc);
        let same = hasher.finalize() == chunk.digest;
        Ok(same.then(|| Chunk { offset, ..chunk.clone() }))
    }

    /// Compressed bytes so far.
    pub(super) fn offset(&self) -> u64 {
        self.sink.inner.size()
    }

    /// Brings out what there is, to a byte boundary, and forgets it. Gives the checksum since the last cut.
    fn cut(&mut self) -> io::Result<Arc<Crc>> {
        if !self.unit.is_empty() {
            if self.stored_units > 0 {
                self.store_unit()?;
            } else {
                self.compress_unit(FlushCompress::Sync)?;
            }
        }
        self.deflate.reset();
        self.stored_units = 0;
        let crc = std::mem::take(&mut self.crc);
        self.total.combine(&crc);
        Ok(Arc::new(crc))
    }

    fn flush_unit(&mut self) -> io::Result<()> {
        if self.stored_units > 0 {
            self.stored_units -= 1;
            return self.store_unit();
        }
        // Flushed to a byte boundary, where stored blocks written by hand may follow.
        let written = self.compress_unit(FlushCompress::Sync)?;
        if written > UNIT_BYTES - UNIT_BYTES / 32 {
            self.stored_units = STORED_UNITS;
            // What comes after the stored units must not refer back across them: deflate has not seen them.
            self.deflate.reset();
        }
        Ok(())
    }

    /// Gives the number of bytes written.
    fn compress_unit(&mut self, flush: FlushCompress) -> io::Result<usize> {
        let (mut consumed, mut written) = (0, 0);
        loop {
            self.output.clear();
            let before = self.deflate.total_in();
            let input = self.unit.get(consumed..).unwrap_or_default();
            self.deflate.compress_vec(input, &mut self.output, flush).map_err(io::Error::other)?;
            consumed += (self.deflate.total_in() - before) as usize;
            written += self.output.len();
            self.sink.write_all(&self.output)?;
            // A full output buffer means that there may be more; any room left means that all is flushed.
            if self.output.len() < self.output.capacity() {
                break;
            }
        }
        self.unit.clear();
        Ok(written)
    }

    fn store_unit(&mut self) -> io::Result<()> {
        for block in self.unit.chunks(STORED_BLOCK_BYTES) {
            let [low, high] = (block.len() as u16).to_le_bytes();
            self.sink.write_all(&[0, low, high, !low, !high])?;
            self.sink.write_all(block)?;
        }
        self.unit.clear();
        Ok(())
    }
}
