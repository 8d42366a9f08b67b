//! A body that was downloaded: a file, compressed or not.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};

use flate2::read::MultiGzDecoder;

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// It is as it is.
    Identity,
    /// It is compressed.
    Gzip,
}

/// A file that can be read from its beginning any number of times.
#[derive(Debug)]
pub struct Body {
    /// The file.
    pub file: File,
    /// How its content is encoded.
    pub encoding: Encoding,
}

/// A body has too many bytes.
#[derive(Debug, thiserror::Error)]
#[error("exceeds the maximum size of {0} bytes")]
pub struct BodyError(pub u64);

impl Body {
    /// Reads it from its beginning, decoded. More than `limit` bytes are an error of [`BodyError`].
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn reader(&self, limit: u64) -> io::Result<impl Read> {
        let mut file = self.file.try_clone()?;
        file.rewind()?;
        let file = BufReader::with_capacity(64 << 10, file);
        let decoded: Box<dyn Read> = match self.encoding {
            Encoding::Identity => Box::new(file),
            Encoding::Gzip => Box::new(MultiGzDecoder::new(file)),
        };
        Ok(Limited { inner: decoded, left: limit, limit })
    }
}

struct Limited<R> {
    inner: R,
    left: u64,
    limit: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // One more than is allowed tells that there is more.
        let most = usize::try_from(self.left.saturating_add(1)).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.inner.read(buffer.get_mut(..most).unwrap_or_default())?;
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or_else(|| io::Error::new(io::ErrorKind::FileTooLarge, BodyError(self.limit)))?;
        Ok(count)
    }
}
