//! Unpacking: entries of a `tar.gz` pushed into a closure, every name checked and every byte counted.
//!
//! What the rules of Flux's own extraction leave open is closed here: `..` is refused as a component rather than as
//! a substring, hard links and sparse files are refused, and two entries may not claim one path as both file
//! and directory. Symbolic links are skipped. Concatenated gzip members are read as one stream, as gzip
//! defines it; what follows the end-of-archive mark is not read.

mod in_order;
mod inflate;
mod sorted;
mod tar_stream;

use std::{
    collections::BTreeMap,
    io::{self, BufReader, Read},
};

pub use in_order::InOrder;
pub use sorted::{SortError, Sorted, SortedNode};

use inflate::Inflated;
use tar_stream::{Content, Header, Kind, TarStream};

use crate::BoxError;

/// What an archive may contain at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes after decompression, headers included.
    pub bytes: u64,
    /// Entries of any kind, skipped ones included; the directories that paths imply count once more.
    pub entries: u64,
    /// Components of a path.
    pub depth: usize,
    /// Bytes of a path. A header that extends the next one may have twice as many and 16 KiB.
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
            entries: 500_000,
            depth: 256,
            path_bytes: 4096,
            ratio: 200,
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

/// An entry of an archive as it is written: nothing of its name is checked.
pub struct Member<'a> {
    /// The name, extended headers applied.
    pub name: &'a [u8],
    /// Whether it is a directory. What is neither that nor a regular file has no content.
    pub is_directory: bool,
    /// Seconds since 1970 at which it was changed.
    pub modified: u64,
    /// Length of the content in bytes.
    pub size: u64,
    /// The content; what is left unread is skipped.
    pub content: &'a mut dyn Read,
}

/// What [`Limits::bytes`] limits.
const CONTENT_BYTES: &str = "bytes after decompression";

/// Why an archive was not unpacked to its end.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The archive cannot be read again.
    #[error("failed to read archive")]
    Archive(#[source] io::Error),
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

/// Reads a gzip-compressed tar stream and pushes its directories and regular files into `sink` in archive order. A `sink` that
/// refuses an entry with an [`UnpackError`] has that error given back as it is.
pub fn unpack(
    reader: impl Read,
    limits: &Limits,
    sink: &mut dyn FnMut(Entry<'_>) -> Result<(), BoxError>,
) -> Result<(), UnpackError> {
    let mut tree = Tree::new(limits);
    each(reader, limits, |header, stream| {
        if header.kind == Kind::Symlink {
            return Ok(());
        }
        let path = clean_path(&header.path, limits)?;
        if let Kind::Other(kind) = header.kind {
            return Err(UnpackError::Kind { path: lossy(&path), kind: char::from(kind) });
        }
        let is_dir = header.kind == Kind::Directory;
        if path.is_empty() {
            // The root itself, which upstream's archives begin with.
            if is_dir {
                return Ok(());
            }
            return Err(UnpackError::Name(lossy(&header.path)));
        }
        tree.add(&path, is_dir)?;
        let mut content = stream.content(header.size);
        let result = sink(if is_dir {
            Entry::Directory { path: &path }
        } else {
            let executable = header.mode & 0o111 != 0;
            Entry::File { path: &path, executable, size: header.size, content: &mut content }
        });
        finish(content, &path, result)
    })
}

/// Reads a gzip-compressed tar stream and pushes all of its entries into `sink` in archive order, for those who have rules of
/// their own for names.
///
/// # Errors
/// What is wrong with the archive, and those of `sink`.
pub fn members(
    reader: impl Read,
    limits: &Limits,
    sink: &mut dyn FnMut(Member<'_>) -> Result<(), BoxError>,
) -> Result<(), UnpackError> {
    each(reader, limits, |header, stream| {
        let (name, is_directory) = (&header.path, header.kind == Kind::Directory);
        let mut content = stream.content(header.size);
        let (modified, size) = (header.modified, header.size);
        let result = sink(Member { name, is_directory, modified, size, content: &mut content });
        finish(content, name, result)
    })
}

type Stream<R> = TarStream<BufReader<Inflated<R>>>;

/// Hands the headers over one by one.
fn each<R: Read>(
    reader: R,
    limits: &Limits,
    mut visit: impl FnMut(&Header, &mut Stream<R>) -> Result<(), UnpackError>,
) -> Result<(), UnpackError> {
    let mut stream =
        TarStream::new(BufReader::with_capacity(64 * 1024, Inflated::new(reader, limits)?), limits);
    let mut entries = 0;
    while let Some(header) = stream.next_header()? {
        entries += 1;
        if entries > limits.entries {
            return Err(UnpackError::limit("entries", limits.entries));
        }
        if header.size > limits.bytes {
            return Err(UnpackError::limit(CONTENT_BYTES, limits.bytes));
        }
        visit(&header, &mut stream)?;
    }
    Ok(())
}

/// Skips what a closure left unread, and gives what went wrong. A stream that broke says more than what the closure made of it.
fn finish<R: Read>(
    content: Content<'_, R>,
    path: &[u8],
    result: Result<(), BoxError>,
) -> Result<(), UnpackError> {
    match result {
        Ok(()) => content.finish(),
        Err(source) => Err(content.failure().unwrap_or_else(|| match source.downcast() {
            Ok(own) => *own,
            Err(source) => UnpackError::Sink { path: lossy(path), source },
        })),
    }
}

/// What each path seen so far is, implied parent directories included.
struct Tree {
    nodes: Vec<Node>,
    limit: u64,
}

struct Node {
    is_dir: bool,
    children: BTreeMap<Vec<u8>, usize>,
}

impl Tree {
    fn new(limits: &Limits) -> Self {
        Self { nodes: vec![Node { is_dir: true, children: BTreeMap::new() }], limit: limits.entries }
    }

    /// Checks the entry against what came before.
    fn add(&mut self, path: &[u8], is_dir: bool) -> Result<(), UnpackError> {
        let mut at = 0;
        let mut components = path.split(|&b| b == b'/').peekable();
        while let Some(component) = components.next() {
            let is_dir = is_dir || components.peek().is_some();
            let next = self.nodes.len();
            let children = self.nodes.get_mut(at).map(|node| &mut node.children);
            let known = children.as_deref().and_then(|children| children.get(component)).copied();
            at = match known {
                Some(known) => known,
                None if next as u64 > self.limit => return Err(UnpackError::limit("entries", self.limit)),
                None => {
                    children.map(|children| children.insert(component.to_vec(), next));
                    self.nodes.push(Node { is_dir, children: BTreeMap::new() });
                    next
                }
            };
            if self.nodes.get(at).is_none_or(|node| node.is_dir != is_dir) {
                return Err(UnpackError::Conflict(lossy(path)));
            }
        }
        Ok(())
    }
}

/// The path without `.` and empty components; empty for the root.
fn clean_path(path: &[u8], limits: &Limits) -> Result<Vec<u8>, UnpackError> {
    let invalid = || UnpackError::Name(lossy(path));
    if path.len() > limits.path_bytes {
        return Err(UnpackError::limit("bytes in a path", limits.path_bytes as u64));
    }
    if path.is_empty() || path.starts_with(b"/") || path.contains(&b'\\') || path.contains(&0) {
        return Err(invalid());
    }
    let components: Vec<&[u8]> =
        path.split(|&b| b == b'/').filter(|component| !matches!(*component, b"" | b".")).collect();
    if components.contains(&&b".."[..]) || components.first().is_some_and(|first| is_drive(first)) {
        return Err(invalid());
    }
    if components.len() > limits.depth {
        return Err(UnpackError::limit("directories in a path", limits.depth as u64));
    }
    Ok(components.join(&b'/'))
}

fn is_drive(component: &[u8]) -> bool {
    matches!(component, [letter, b':'] if letter.is_ascii_alphabetic())
}

fn lossy(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

impl UnpackError {
    /// Whether the content has more than [`Limits::bytes`].
    pub fn is_too_many_bytes(&self) -> bool {
        matches!(self, Self::Limit { what: CONTENT_BYTES, .. })
    }

    /// The content has more than these limits allow.
    pub fn too_many_bytes(limits: &Limits) -> Self {
        Self::limit(CONTENT_BYTES, limits.bytes)
    }

    fn limit(what: &'static str, limit: u64) -> Self {
        Self::Limit { what, limit }
    }

    /// Takes the error out that a reader of this module wrapped, so that it keeps its name through [`io::Error`].
    fn from_io(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(own) => own,
            Err(error) => Self::Tar(error),
        }
    }
}
