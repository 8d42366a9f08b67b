//! Unpacking: entries of a `tar.gz` pushed into a closure, every name checked and every byte counted.
//!
//! What the rules of Flux's own extraction leave open is closed here: `..` is refused as a component rather than as
//! a substring, hard links and sparse files are refused, and two entries may not claim one path as both file
//! and directory. Symbolic links are skipped. Concatenated gzip members are read as one stream, as gzip
//! defines it; what follows the end-of-archive mark is not read.

use std::io::{self, Read};

use crate::BoxError;

/// What an archive may contain at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes after decompression, headers included.
    pub bytes: u64,
    /// Entries of any kind, skipped ones included.
    pub entries: u64,
    /// Components of a path.
    pub depth: usize,
    /// Bytes of a path; extended headers may be a little larger.
    pub path_bytes: usize,
    /// Decompressed bytes for one compressed byte.
    pub ratio: u64,
    /// Decompressed bytes up to which [`Limits::ratio`] is not looked at, because small archives of repetitive text
    /// shrink a lot.
    pub ratio_free_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 2 << 30,
            entries: 1_000_000,
            depth: 256,
            path_bytes: 4096,
            ratio: 250,
            ratio_free_bytes: 64 << 20,
        }
    }
}

/// A directory or a regular file. Paths are relative, with one `/` between components, and may be any bytes that
/// are not control over a file system: no `..`, `\` or NUL.
pub enum Entry<'a> {
    /// A directory. Not every parent of a file has such an entry.
    Directory {
        /// Where it is.
        path: &'a [u8],
    },
    /// A regular file. If the path was pushed before, this content replaces the earlier one.
    File {
        /// Where it is.
        path: &'a [u8],
        /// Whether any execute bit is set.
        executable: bool,
        /// Length of the content in bytes.
        size: u64,
        /// The content; what is left unread is skipped.
        content: &'a mut dyn Read,
    },
}

/// Why an archive was not unpacked to its end.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The bytes are not gzip.
    #[error("requires gzip-compressed body")]
    Gzip(#[source] io::Error),
    /// The bytes are not a tar stream, or end in its middle.
    #[error("tar error")]
    Tar(#[source] io::Error),
    /// A header's checksum or number fields are wrong.
    #[error("tar error: invalid tar header")]
    Header,
    /// A name that could lead outside.
    #[error("tar contained invalid name error {0:?}")]
    Name(String),
    /// A hard link, device, pipe, sparse file or unknown type.
    #[error("tar file entry {path} contained unsupported file type {kind:?}")]
    Kind {
        /// The entry's path, lossily decoded.
        path: String,
        /// Its type flag.
        kind: char,
    },
    /// A path that is a file by one entry and a directory by another.
    #[error("tar file entry {0} is both a file and a directory")]
    Conflict(String),
    /// A limit was reached.
    #[error("archive exceeds the limit of {limit} {what}")]
    Limit {
        /// What is limited.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The closure refused an entry.
    #[error("failed to unpack {path}")]
    Sink {
        /// The entry's path, lossily decoded.
        path: String,
        /// What the closure said.
        #[source]
        source: BoxError,
    },
}

/// Reads a gzip-compressed tar stream and pushes its directories and regular files into `sink` in archive order.
pub fn unpack(
    _reader: impl Read,
    _limits: &Limits,
    _sink: &mut dyn FnMut(Entry<'_>) -> Result<(), BoxError>,
) -> Result<(), UnpackError> {
    unimplemented!()
}
