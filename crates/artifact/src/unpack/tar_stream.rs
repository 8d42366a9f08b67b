//! Tar headers from a stream of blocks, with extended headers folded into the entry they describe.
//!
//! The `tar` crate decodes the single header; the loop is ours because its own keeps extended headers of any
//! size in memory and expands sparse files.

use std::io::{self, Read};

use super::{Limits, UnpackError};

const TAR_BLOCK_BYTES: usize = 512;

pub(super) struct TarStream<R> {
    reader: R,
    header_bytes: u64,
}

/// An entry with its extended headers applied.
pub(super) struct Header {
    pub(super) path: Vec<u8>,
    pub(super) kind: Kind,
    pub(super) mode: u32,
    /// Seconds since 1970; 0 where the field cannot be read, which is nothing to fail for.
    pub(super) modified: u64,
    /// Bytes of content that follow; 0 for all but files.
    pub(super) size: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Symlink,
    /// Anything else, by its type flag.
    Other(u8),
}

/// The content of one entry. What is not read is skipped by [`Content::finish`].
pub(super) struct Content<'a, R: Read> {
    reader: &'a mut R,
    left: u64,
    padding: u64,
    failure: Option<UnpackError>,
}

/// What extended headers said about the next entry.
#[derive(Default)]
struct Extension {
    path: Option<Vec<u8>>,
    size: Option<u64>,
    sparse: bool,
}

impl<R: Read> TarStream<R> {
    pub(super) fn new(reader: R, limits: &Limits) -> Self {
        Self { reader, header_bytes: 2 * limits.path_bytes as u64 + 16 * 1024 }
    }

    /// The next entry, or `None` at the end-of-archive mark or a clean end of the stream.
    pub(super) fn next_header(&mut self) -> Result<Option<Header>, UnpackError> {
        let mut extension = Extension::default();
        loop {
            let Some(header) = self.read_header()? else { return Ok(None) };
            let size = header.entry_size().map_err(|_| UnpackError::Header)?;
            match header.entry_type().as_byte() {
                b'x' => extension.apply_pax(&self.read_extension(size)?)?,
                b'L' => extension.path = Some(until_nul(&self.read_extension(size)?).to_vec()),
                // A long link target and attributes for all entries change nothing that is kept.
                b'K' | b'g' => drop(self.read_extension(size)?),
                flag => return extension.finish(&header, flag, size).map(Some),
            }
        }
    }

    /// The content that follows a header.
    pub(super) fn content(&mut self, size: u64) -> Content<'_, R> {
        Content {
            reader: &mut self.reader,
            left: size,
            padding: size.next_multiple_of(TAR_BLOCK_BYTES as u64) - size,
            failure: None,
        }
    }

    fn read_header(&mut self) -> Result<Option<tar::Header>, UnpackError> {
        let mut header = tar::Header::new_old();
        if !self.read_block(header.as_mut_bytes())? {
            return Ok(None);
        }
        if header.as_bytes() == &[0; TAR_BLOCK_BYTES] {
            // Two such blocks end an archive; one and the end of the stream is accepted too.
            let mut second = [0; TAR_BLOCK_BYTES];
            return match self.read_block(&mut second)? && second != [0; TAR_BLOCK_BYTES] {
                true => Err(UnpackError::Header),
                false => Ok(None),
            };
        }
        let sum = |field: usize, byte: u8| if (148..156).contains(&field) { 32 } else { u32::from(byte) };
        let actual: u32 = header.as_bytes().iter().enumerate().map(|(at, &byte)| sum(at, byte)).sum();
        match header.cksum() {
            Ok(stated) if stated == actual => Ok(Some(header)),
            _ => Err(UnpackError::Header),
        }
    }

    /// False at a clean end of the stream.
    fn read_block(&mut self, block: &mut [u8; TAR_BLOCK_BYTES]) -> Result<bool, UnpackError> {
        let mut filled = 0;
        while let Some(rest) = block.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.reader.read(rest) {
                Ok(0) if filled == 0 => return Ok(false),
                Ok(0) => return Err(UnpackError::Tar(io::ErrorKind::UnexpectedEof.into())),
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(UnpackError::from_io(error)),
            }
        }
        Ok(true)
    }

    fn read_extension(&mut self, size: u64) -> Result<Vec<u8>, UnpackError> {
        if size > self.header_bytes {
            return Err(UnpackError::limit("bytes in an extended header", self.header_bytes));
        }
        let mut bytes = Vec::new();
        let mut content = self.content(size);
        content.read_to_end(&mut bytes).map_err(UnpackError::from_io)?;
        content.finish()?;
        Ok(bytes)
    }
}

impl Extension {
    fn apply_pax(&mut self, mut records: &[u8]) -> Result<(), UnpackError> {
        while !records.is_empty() {
            let (key, value, rest) = pax_record(records).ok_or(UnpackError::Header)?;
            records = rest;
            match key {
                // An empty value leaves what the header says.
                b"path" | b"size" if value.is_empty() => {}
                b"path" => self.path = Some(value.to_vec()),
                b"size" => {
                    let digits = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                    self.size = Some(digits.ok_or(UnpackError::Header)?);
                }
                key => self.sparse |= key.starts_with(b"GNU.sparse."),
            }
        }
        Ok(())
    }

    fn finish(self, header: &tar::Header, flag: u8, size: u64) -> Result<Header, UnpackError> {
        let kind = match flag {
            _ if self.sparse => Kind::Other(b'S'),
            b'0' | b'7' => Kind::File,
            // Archives older than USTAR mark a directory by a slash.
            0 if header.path_bytes().ends_with(b"/") => Kind::Directory,
            0 => Kind::File,
            b'5' => Kind::Directory,
            b'2' => Kind::Symlink,
            other => Kind::Other(other),
        };
        Ok(Header {
            path: self.path.unwrap_or_else(|| header.path_bytes().into_owned()),
            kind,
            mode: header.mode().map_err(|_| UnpackError::Header)?,
            modified: header.mtime().unwrap_or_default(),
            size: if kind == Kind::File { self.size.unwrap_or(size) } else { 0 },
        })
    }
}

/// Key and value of the first record `<length> <key>=<value>\n`, and the records after it. The length alone says where it
/// ends: a value may hold line breaks, which the `tar` crate takes for the end.
fn pax_record(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = records.iter().position(|byte| *byte == b' ')?;
    let (length, _) = records.split_at_checked(space)?;
    let length: usize = std::str::from_utf8(length).ok()?.parse().ok()?;
    let (record, rest) = records.split_at_checked(length)?;
    let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((record.get(..equals)?, record.get(equals + 1..)?, rest))
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|&b| b == 0).next().unwrap_or_default()
}

impl<R: Read> Content<'_, R> {
    /// Skips what is left and gives the error that a read met.
    pub(super) fn finish(mut self) -> Result<(), UnpackError> {
        self.left += self.padding;
        let mut buffer = [0; 8192];
        while self.failure.is_none() && self.left > 0 {
            // The error is kept in `failure`.
            let _ = self.read(&mut buffer);
        }
        self.failure.map_or(Ok(()), Err)
    }

    /// The error that a read met.
    pub(super) fn failure(self) -> Option<UnpackError> {
        self.failure
    }

    fn fail(&mut self, error: UnpackError) -> io::Error {
        let text = error.to_string();
        self.failure = Some(error);
        io::Error::other(text)
    }
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(buffer) = buffer.get_mut(..most).filter(|buffer| !buffer.is_empty()) else { return Ok(0) };
        match self.reader.read(buffer) {
            Ok(0) => Err(self.fail(UnpackError::Tar(io::ErrorKind::UnexpectedEof.into()))),
            Ok(n) => {
                self.left -= n as u64;
                Ok(n)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => Err(self.fail(UnpackError::from_io(error))),
        }
    }
}
