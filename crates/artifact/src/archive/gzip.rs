//! A gzip member with a fixed header, hashed and counted while it is written.
//!
//! Git repositories hold pictures, charts and binaries that deflate cannot shrink, and trying costs most of the
//! time of an archive. Input is therefore cut into units of fixed size, and after a unit that did not shrink the
//! next ones are written as stored blocks before deflate gets another try. The cuts depend on the bytes alone,
//! never on how they arrive, so the output stays deterministic.

use std::io::{self, Write};

use flate2::{Compress, Compression, Crc, FlushCompress};

use crate::digest::{Algorithm, Digest, HashingWriter};

/// How hard deflate tries, of 1 (fast) to 9 (small): as upstream. With incompressible content stored as it is, a lower
/// level saves little time and makes every consumer's download larger. A change changes the digest of every artifact.
const LEVEL: u32 = 6;
/// Bytes that are compressed as one piece.
const UNIT: usize = 128 * 1024;
/// Units that are stored after one that did not shrink.
const STORED_UNITS: u32 = 8;
/// The largest content of a stored block.
const STORED_BLOCK: usize = 65_535;

/// No flags, no name, time zero, no hint about the level, system unknown: what Go writes.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// Compresses into a sink. Dropping it without [`GzipWriter::finish`] leaves a truncated member.
pub(super) struct GzipWriter<W: Write> {
    sink: HashingWriter<W>,
    deflate: Compress,
    crc: Crc,
    unit: Vec<u8>,
    output: Vec<u8>,
    /// How many further units go out as they are.
    stored_units: u32,
}

impl<W: Write> GzipWriter<W> {
    pub(super) fn new(sink: W, algorithm: Algorithm) -> io::Result<Self> {
        let mut sink = HashingWriter::new(sink, algorithm);
        sink.write_all(&HEADER)?;
        Ok(Self {
            sink,
            deflate: Compress::new(Compression::new(LEVEL), false),
            crc: Crc::new(),
            unit: Vec::with_capacity(UNIT),
            output: Vec::with_capacity(UNIT),
            stored_units: 0,
        })
    }

    pub(super) fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.crc.update(bytes);
        while !bytes.is_empty() {
            let (head, tail) = bytes.split_at(bytes.len().min(UNIT - self.unit.len()));
            self.unit.extend_from_slice(head);
            bytes = tail;
            if self.unit.len() == UNIT {
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
        self.sink.write_all(&self.crc.sum().to_le_bytes())?;
        self.sink.write_all(&self.crc.amount().to_le_bytes())?;
        self.sink.finish()
    }

    fn flush_unit(&mut self) -> io::Result<()> {
        if self.stored_units > 0 {
            self.stored_units -= 1;
            return self.store_unit();
        }
        // Flushed to a byte boundary, where stored blocks written by hand may follow.
        let written = self.compress_unit(FlushCompress::Sync)?;
        if written > UNIT - UNIT / 32 {
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
        for block in self.unit.chunks(STORED_BLOCK) {
            let [low, high] = (block.len() as u16).to_le_bytes();
            self.sink.write_all(&[0, low, high, !low, !high])?;
            self.sink.write_all(block)?;
        }
        self.unit.clear();
        Ok(())
    }
}
