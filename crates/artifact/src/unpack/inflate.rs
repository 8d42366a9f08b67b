//! Decompression that counts what goes in and what comes out.

use std::{
    cell::Cell,
    io::{self, BufRead, BufReader, Read},
    rc::Rc,
};

use flate2::bufread::MultiGzDecoder;

use super::{Limits, UnpackError};

/// The bytes of a gzip stream, up to the caps on bytes and ratio.
pub(super) struct Inflated<R: Read> {
    decoder: MultiGzDecoder<BufReader<Counted<R>>>,
    compressed: Rc<Cell<u64>>,
    bytes: u64,
    limits: Limits,
}

struct Counted<R> {
    inner: R,
    count: Rc<Cell<u64>>,
}

impl<R: Read> Inflated<R> {
    pub(super) fn new(reader: R, limits: &Limits) -> Result<Self, UnpackError> {
        let compressed = Rc::new(Cell::new(0));
        let mut reader = BufReader::new(Counted { inner: reader, count: Rc::clone(&compressed) });
        // Looked at here because the decoder takes an empty input for an empty stream.
        let head = reader.fill_buf().map_err(UnpackError::Gzip)?;
        if !head.starts_with(&[0x1f, 0x8b]) {
            let kind = io::ErrorKind::InvalidData;
            return Err(UnpackError::Gzip(io::Error::new(kind, "invalid gzip header")));
        }
        Ok(Self { decoder: MultiGzDecoder::new(reader), compressed, bytes: 0, limits: limits.clone() })
    }
}

impl<R: Read> Read for Inflated<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.decoder.read(buffer)?;
        self.bytes += n as u64;
        let Limits { bytes, ratio, ratio_free_bytes, .. } = self.limits;
        if self.bytes > bytes {
            return Err(io::Error::other(UnpackError::limit(super::CONTENT_BYTES, bytes)));
        }
        if self.bytes > ratio_free_bytes && self.bytes > self.compressed.get().saturating_mul(ratio) {
            return Err(io::Error::other(UnpackError::limit(
                "decompressed bytes for a compressed one",
                ratio,
            )));
        }
        Ok(n)
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.count.set(self.count.get() + n as u64);
        Ok(n)
    }
}
