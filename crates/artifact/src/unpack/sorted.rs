//! An archive of any order, its entries in the order of an artifact.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use net::Deadline;

use super::{Entry, Limits, UnpackError, unpack};

/// Why an archive is not sorted.
#[derive(Debug, thiserror::Error)]
pub enum SortError {
    /// It cannot be unpacked.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// Its content cannot be kept.
    #[error("failed to keep the content of the archive")]
    Keep(#[from] io::Error),
    /// Nobody waits for it any more.
    #[error("it took too long")]
    Cancelled,
}

/// The entries of an archive, sorted; the contents of its files are in one file.
pub struct Sorted {
    entries: BTreeMap<Components, Option<Content>>,
    contents: File,
}

/// What an archive has at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortedNode {
    /// A directory.
    Directory,
    /// A file of so many bytes.
    File(u64),
}

/// A path as the order of an archive compares it: component by component.
type Components = Vec<Vec<u8>>;

/// Where the content of a file is kept.
struct Content {
    executable: bool,
    offset: u64,
    size: u64,
}

impl Sorted {
    /// Unpacks `archive`, and keeps the contents of its files in `contents`, which is empty. A path that it has several times has
    /// the last content.
    ///
    /// # Errors
    /// What is wrong with the archive, what cannot be written, or that the deadline is cancelled.
    pub fn unpack(
        archive: impl Read,
        contents: File,
        limits: &Limits,
        deadline: &Deadline,
    ) -> Result<Sorted, SortError> {
        let mut entries: BTreeMap<Components, Option<Content>> = BTreeMap::new();
        let mut contents = BufWriter::new(contents);
        let mut end = 0;
        each(archive, limits, deadline, &mut |entry| {
            let (path, content) = match entry {
                Entry::Directory { path } => (path, None),
                Entry::File { path, executable, size, content } => {
                    let offset = end;
                    end += io::copy(content, &mut contents)?;
                    (path, Some(Content { executable, offset, size }))
                }
            };
            let components = components(path);
            for end in 1..components.len() {
                entries.entry(components.get(..end).unwrap_or_default().to_vec()).or_insert(None);
            }
            entries.insert(components, content);
            Ok(())
        })?;
        contents.flush()?;
        let contents = contents.into_inner().map_err(|error| error.into_error())?;
        Ok(Sorted { entries, contents })
    }

    /// What is at a path; the empty one is the root.
    pub fn node(&self, path: &[u8]) -> Option<SortedNode> {
        if path.is_empty() {
            return Some(SortedNode::Directory);
        }
        self.entries.get(&components(path)).map(node)
    }

    /// Names and kinds of what is in a directory, in order.
    pub fn children(&self, directory: &[u8]) -> Vec<(Vec<u8>, SortedNode)> {
        let parent = if directory.is_empty() { Vec::new() } else { components(directory) };
        let below = self.entries.range(parent.clone()..).skip_while(|(path, _)| **path == parent);
        let below = below.take_while(|(path, _)| path.starts_with(&parent));
        let child = below.filter(|(path, _)| path.len() == parent.len() + 1);
        child.filter_map(|(path, content)| Some((path.last()?.clone(), node(content)))).collect()
    }

    /// The content of a file. Several threads may read at once.
    ///
    /// # Errors
    /// When there is no such file, or it cannot be read.
    pub fn read(&self, path: &[u8]) -> io::Result<Vec<u8>> {
        let Some(Some(Content { offset, size, .. })) = self.entries.get(&components(path)) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let mut data = vec![0; usize::try_from(*size).map_err(io::Error::other)?];
        self.contents.read_exact_at(&mut data, *offset)?;
        Ok(data)
    }

    /// The bytes that [`Sorted::unpack`] keeps of an archive at most, up to where it fails if it does.
    pub fn content_bytes(archive: impl Read, limits: &Limits, deadline: &Deadline) -> u64 {
        let mut bytes = 0_u64;
        // What is wrong with the archive is said where it is unpacked.
        let _ = each(archive, limits, deadline, &mut |entry| {
            if let Entry::File { size, .. } = entry {
                bytes = bytes.saturating_add(size);
            }
            Ok(())
        });
        bytes.min(limits.bytes)
    }

    /// Visits all entries in order, directories that only paths imply included.
    ///
    /// # Errors
    /// Those of `visit`, and what cannot be read.
    pub fn visit<E: From<io::Error>>(
        &mut self,
        visit: &mut dyn FnMut(Entry<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        for (components, content) in &self.entries {
            let path = &components.join(&b'/');
            match content {
                None => visit(Entry::Directory { path })?,
                Some(Content { executable, offset, size }) => {
                    self.contents.seek(SeekFrom::Start(*offset))?;
                    let content = &mut (&mut self.contents).take(*size);
                    visit(Entry::File { path, executable: *executable, size: *size, content })?;
                }
            }
        }
        Ok(())
    }
}

fn components(path: &[u8]) -> Components {
    path.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect()
}

fn node(content: &Option<Content>) -> SortedNode {
    content.as_ref().map_or(SortedNode::Directory, |content| SortedNode::File(content.size))
}

/// Unpacks as long as somebody waits.
fn each(
    archive: impl Read,
    limits: &Limits,
    deadline: &Deadline,
    sink: &mut dyn FnMut(Entry<'_>) -> Result<(), crate::BoxError>,
) -> Result<(), SortError> {
    let mut is_cancelled = false;
    let unpacked = unpack(archive, limits, &mut |entry| {
        is_cancelled = deadline.is_cancelled();
        if is_cancelled { Err(SortError::Cancelled.into()) } else { sink(entry) }
    });
    if is_cancelled { Err(SortError::Cancelled) } else { Ok(unpacked?) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::test_archive::{archive, shown};

    fn unlimited() -> Deadline {
        Deadline::new(Duration::from_secs(60))
    }

    /// The entries in order, executable files with a star.
    fn sorted(files: &[(&str, &str)]) -> Vec<String> {
        let (contents, limits) = (tempfile::tempfile().unwrap(), Limits::default());
        let mut sorted = Sorted::unpack(archive(files), contents, &limits, &unlimited()).unwrap();
        let mut entries = Vec::new();
        let visited: io::Result<()> = sorted.visit(&mut |entry| {
            entries.push(shown(entry)?);
            Ok(())
        });
        visited.unwrap();
        entries
    }

    #[test]
    fn sorted_entries_have_implied_directories_and_the_last_content() {
        let files = [("b/z", "1"), ("run.sh", "2"), ("b.a", ""), ("a", "3"), ("b/y/x", "4"), ("a", "5")];
        assert_eq!(sorted(&files), ["a 5", "b/", "b/y/", "b/y/x 4", "b/z 1", "b.a ", "run.sh* 2"]);
    }

    #[test]
    fn entries_are_found_by_their_path() {
        let files = [("b/y/x", "4"), ("b/z", "1"), ("a", "3"), ("b.a", ""), ("a", "55")];
        let (contents, limits) = (tempfile::tempfile().unwrap(), Limits::default());
        let sorted = Sorted::unpack(archive(&files), contents, &limits, &unlimited()).unwrap();
        let children = |path: &str| {
            let shown = |(name, node)| format!("{} {node:?}", String::from_utf8(name).unwrap());
            sorted.children(path.as_bytes()).into_iter().map(shown).collect::<Vec<_>>()
        };
        assert_eq!(children(""), ["a File(2)", "b Directory", "b.a File(0)"]);
        assert_eq!(children("b"), ["y Directory", "z File(1)"]);
        assert_eq!(children("b/y"), ["x File(1)"]);
        assert_eq!(children("c"), [""; 0]);
        assert_eq!(sorted.node(b""), Some(SortedNode::Directory));
        assert_eq!(sorted.node(b"b/z"), Some(SortedNode::File(1)));
        assert_eq!(sorted.node(b"b/q"), None);
        assert_eq!(sorted.read(b"a").unwrap(), b"55");
        assert_eq!(sorted.read(b"b/y/x").unwrap(), b"4");
        assert_eq!(sorted.read(b"b").unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn content_bytes_are_those_that_are_kept() {
        let files = [("a", "123"), ("b/c", "4567"), ("a", "89")];
        let (contents, limits) = (tempfile::tempfile().unwrap(), Limits::default());
        let kept = contents.try_clone().unwrap();
        Sorted::unpack(archive(&files), contents, &limits, &unlimited()).unwrap();
        assert_eq!(kept.metadata().unwrap().len(), 9);
        assert_eq!(Sorted::content_bytes(archive(&files), &limits, &unlimited()), 9);
        let limits = Limits { entries: 3, ..limits };
        assert_eq!(Sorted::content_bytes(archive(&files), &limits, &unlimited()), 7, "up to the limit");
    }

    #[test]
    fn a_cancelled_deadline_ends_sorting() {
        let deadline = unlimited();
        deadline.cancel();
        let files = [("a", "1")];
        let (contents, limits) = (tempfile::tempfile().unwrap(), Limits::default());
        let sorted = Sorted::unpack(archive(&files), contents, &limits, &deadline);
        assert!(matches!(sorted, Err(SortError::Cancelled)));
        assert_eq!(Sorted::content_bytes(archive(&files), &limits, &deadline), 0);
    }
}
