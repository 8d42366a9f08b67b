//! The directories of sources that charts are made from: each artifact is unpacked once for all who ask at about the same time, into
//! one file without a name.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::helm_chart::{Node, Tree};
use artifact::unpack::{Limits, SortError, Sorted, SortedNode};
use budget::{Budget, Grant};
use net::{Deadline, Named};
use source::blocking::{self, BlockingError};
use source::temporary::{Room, RoomError};
use tokio_util::sync::CancellationToken;

/// Trees that are kept when nobody uses them, as long as others do not need their room.
const KEPT_TREES: usize = 4;

/// Why there is no tree.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// There is no room for its content.
    #[error("{0} (--helm-source-max-size)")]
    Room(#[from] RoomError),
    /// Another chart unpacks it, and takes too long.
    #[error("timed out waiting for another chart of the same source")]
    Busy,
    /// Its archive cannot be read.
    #[error("failed to open source artifact")]
    Open(#[source] io::Error),
    /// Its archive cannot be unpacked.
    #[error("artifact untar error")]
    Unpack(#[from] SortError),
    /// The thread ended early.
    #[error(transparent)]
    Blocking(#[from] BlockingError),
}

/// The files of an artifact.
pub struct SourceTree {
    sorted: Sorted,
    /// Bytes that files take on disk.
    _room: Grant,
}

impl Tree for SourceTree {
    fn node(&self, path: &str) -> Option<Node> {
        self.sorted.node(path.as_bytes()).map(node)
    }

    /// Names that are no text are left out: a chart cannot have them.
    fn entries(&self, directory: &str) -> Vec<(String, Node)> {
        let entries = self.sorted.children(directory.as_bytes()).into_iter();
        entries.filter_map(|(name, kind)| Some((String::from_utf8(name).ok()?, node(kind)))).collect()
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.sorted.read(path.as_bytes())
    }
}

fn node(node: SortedNode) -> Node {
    match node {
        SortedNode::Directory => Node::Directory,
        SortedNode::File(size) => Node::File { size },
    }
}

/// The trees in use, and a few that were used last.
pub struct Trees {
    room: Room,
    limits: Limits,
    kept: Mutex<VecDeque<(String, Arc<SourceTree>)>>,
    /// One for each digest, so that others wait for who unpacks it.
    turns: Named<tokio::sync::Mutex<()>>,
    stop: CancellationToken,
}

impl Trees {
    /// No trees yet; all may have so many bytes on disk.
    pub fn new(bytes: u64, stop: CancellationToken) -> Trees {
        let (limits, kept, turns) = (Limits::default(), Mutex::default(), Named::default());
        Trees { room: Room::new(bytes), limits, kept, turns, stop }
    }

    /// What is used of the disk.
    pub fn budget(&self) -> &Budget {
        self.room.budget()
    }

    /// The tree of the artifact with a digest that was verified; `open` opens it.
    ///
    /// # Errors
    /// See [`TreeError`].
    pub async fn get(
        &self,
        namespace: &str,
        digest: &str,
        open: impl Fn() -> io::Result<File> + Send + Clone + 'static,
        deadline: &Deadline,
    ) -> Result<Arc<SourceTree>, TreeError> {
        let turn = self.turns.get(digest, tokio::sync::Mutex::default);
        let turn = deadline.bound(Duration::MAX, turn.lock()).await;
        let _turn = turn.map_err(|_| TreeError::Busy)?;
        if let Some(tree) = self.use_kept(digest) {
            return Ok(tree);
        }
        let (limits, left, count) = (self.limits.clone(), deadline.remaining(), open.clone());
        let bytes = move |deadline: &Deadline| {
            Ok::<_, TreeError>(Sorted::content_bytes(count().map_err(TreeError::Open)?, &limits, deadline))
        };
        let bytes = blocking::run(Deadline::new(left), Some(left), &self.stop, bytes).await??;
        self.make_room(bytes);
        let room = self.room.take(namespace, bytes, deadline).await?;
        let (limits, left) = (self.limits.clone(), deadline.remaining());
        let unpack = move |deadline: &Deadline| {
            let (archive, contents) =
                (open().map_err(TreeError::Open)?, tempfile::tempfile().map_err(SortError::Keep)?);
            let sorted = Sorted::unpack(archive, contents, &limits, deadline)?;
            Ok::<_, TreeError>(SourceTree { sorted, _room: room })
        };
        let tree = Arc::new(blocking::run(Deadline::new(left), Some(left), &self.stop, unpack).await??);
        self.keep(digest, tree.clone());
        Ok(tree)
    }

    fn use_kept(&self, digest: &str) -> Option<Arc<SourceTree>> {
        let mut kept = self.kept();
        let position = kept.iter().position(|(known, _)| known == digest)?;
        let (digest, tree) = kept.remove(position)?;
        kept.push_back((digest, tree.clone()));
        Some(tree)
    }

    fn keep(&self, digest: &str, tree: Arc<SourceTree>) {
        let mut kept = self.kept();
        kept.push_back((digest.to_owned(), tree));
        if kept.len() > KEPT_TREES {
            kept.pop_front();
        }
    }

    /// What nobody uses goes where half of the room would be used.
    fn make_room(&self, bytes: u64) {
        let usage = self.room.budget().usage();
        if usage.used.saturating_add(bytes) > usage.limit / 2 {
            self.kept().clear();
        }
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<(String, Arc<SourceTree>)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use artifact::archive::ArchiveWriter;
    use artifact::digest::Algorithm;
    use std::io::Seek;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn archive(bytes: usize) -> File {
        let mut archive = ArchiveWriter::new(tempfile::tempfile().unwrap(), Algorithm::Sha256).unwrap();
        let content = vec![b'x'; bytes];
        archive.file(b"charts/app/Chart.yaml", false, bytes as u64, &mut content.as_slice()).unwrap();
        archive.finish().unwrap().1
    }

    async fn get(
        trees: &Trees,
        digest: &str,
        bytes: usize,
        opened: &Arc<AtomicUsize>,
    ) -> Result<Arc<SourceTree>, TreeError> {
        let (file, opened) = (Arc::new(archive(bytes)), opened.clone());
        let open = move || {
            opened.fetch_add(1, Ordering::SeqCst);
            let mut file = file.try_clone()?;
            file.rewind()?;
            Ok(file)
        };
        trees.get("ns", digest, open, &Deadline::new(Duration::from_secs(60))).await
    }

    #[tokio::test]
    async fn a_tree_is_unpacked_once_for_all_who_ask() {
        let (trees, opened) = (Trees::new(1 << 20, CancellationToken::new()), Arc::default());
        let both = futures::join!(get(&trees, "a", 10, &opened), get(&trees, "a", 10, &opened));
        let tree = both.0.unwrap();
        assert!(Arc::ptr_eq(&tree, &both.1.unwrap()));
        assert_eq!(opened.load(Ordering::SeqCst), 2, "once to count, once to unpack");
        assert_eq!(tree.node("charts"), Some(Node::Directory));
        assert_eq!(tree.entries("charts/app"), [("Chart.yaml".to_owned(), Node::File { size: 10 })]);
        assert_eq!(tree.read("charts/app/Chart.yaml").unwrap(), b"xxxxxxxxxx");
    }

    #[tokio::test]
    async fn trees_that_nobody_uses_make_room() {
        let (trees, opened) = (Trees::new(10_000, CancellationToken::new()), Arc::default());
        drop(get(&trees, "a", 4000, &opened).await.unwrap());
        assert_eq!(trees.budget().usage().used, 4000, "it is kept");
        let second = get(&trees, "b", 4000, &opened).await.unwrap();
        assert_eq!(trees.budget().usage().used, 4000, "the first one has gone");
        let error = get(&trees, "c", 10_001, &opened).await.err().unwrap().to_string();
        let expected = "10001 bytes of temporary files exceed the limit of 10000 (--helm-source-max-size)";
        assert_eq!(error, expected);
        drop(second);
    }
}
