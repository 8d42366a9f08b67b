//! Temporary files of archives that are fetched: one for an archive as it comes, and one for its content while its artifact is
//! made.
//!
//! Any number of sources may have an archive that waits for its pass. So both kinds of file have a budget, and a fetch waits for its
//! grants. It waits for the second one only when it has the first, and then for nothing else: somebody always comes to the end.

use std::fs::File;
use std::io::{self, Seek};
use std::time::Duration;

use artifact::unpack::{self, Sorted};
use budget::{Budget, Grant, Limits, Request};
use net::Deadline;
use tokio_util::sync::CancellationToken;

use crate::blocking::{self, BlockingError};

/// Why there is no room for a temporary file. Bytes, and the limit.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RoomError {
    /// It would never fit.
    #[error("{0} bytes of temporary files exceed the limit of {1}")]
    TooLarge(u64, u64),
    /// Others kept the room for too long.
    #[error("timed out waiting for {0} bytes of the {1} that temporary files may have")]
    Deadline(u64, u64),
}

/// Bytes that temporary files may have. A namespace gets half of them, unless a single file needs more.
pub struct Room(Budget);

impl Room {
    /// Room for so many bytes.
    pub fn new(bytes: u64) -> Room {
        Room(Budget::new(Limits::halved(bytes)))
    }

    /// Waits until so many bytes are free for an object of `namespace`.
    ///
    /// # Errors
    /// When there are not that many at all, or not before the deadline.
    pub async fn take(&self, namespace: &str, bytes: u64, deadline: &Deadline) -> Result<Grant, RoomError> {
        self.0.check(bytes).map_err(|exceeded| RoomError::TooLarge(bytes, exceeded.limit))?;
        let granted = deadline.bound(Duration::MAX, self.0.acquire(Request::new(namespace, bytes))).await;
        granted.map_err(|_| RoomError::Deadline(bytes, self.0.usage().limit))
    }

    /// What is used of it.
    pub fn budget(&self) -> &Budget {
        &self.0
    }
}

/// The temporary files of all archives of a kind.
pub struct TemporaryFiles {
    /// Room for archives as they come.
    pub archives: Room,
    /// Room for their contents.
    pub contents: Room,
    /// The content of one archive.
    limits: unpack::Limits,
    /// The process ends.
    stop: CancellationToken,
}

impl TemporaryFiles {
    /// So many bytes for all files: one half for archives, the other one for their contents.
    pub fn new(bytes: u64, limits: unpack::Limits, stop: CancellationToken) -> TemporaryFiles {
        let half = || Room::new(bytes / 2);
        TemporaryFiles { archives: half(), contents: half(), limits, stop }
    }

    /// Counts the bytes of the content of an archive. `slot` is kept until that is over, also on the thread of one that is given
    /// up.
    ///
    /// # Errors
    /// When the process ends, and when the file cannot be read.
    pub async fn content_bytes(
        &self,
        mut archive: File,
        slot: impl Send + 'static,
        deadline: &Deadline,
    ) -> Result<io::Result<(File, u64)>, BlockingError> {
        let (limits, left) = (self.limits.clone(), deadline.remaining());
        let count = move |deadline: &Deadline| {
            let _slot = slot;
            let bytes = Sorted::content_bytes(&archive, &limits, deadline);
            archive.rewind()?;
            Ok((archive, bytes))
        };
        blocking::run(Deadline::new(left), Some(left), &self.stop, count).await
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Read;
    use std::time::Duration;

    use artifact::archive::ArchiveWriter;
    use artifact::digest::Algorithm;

    use super::*;

    fn files(bytes: u64) -> TemporaryFiles {
        TemporaryFiles::new(bytes, unpack::Limits::default(), CancellationToken::new())
    }

    fn unlimited() -> Deadline {
        Deadline::new(Duration::from_secs(60))
    }

    /// For what is not to be had.
    fn soon() -> Deadline {
        Deadline::new(Duration::from_millis(20))
    }

    /// An archive whose content has 64 KiB, and which has far fewer itself.
    fn archive() -> File {
        let mut archive = ArchiveWriter::new(tempfile::tempfile().unwrap(), Algorithm::Sha256).unwrap();
        archive.file(b"a", false, 65536, &mut io::repeat(b'a').take(65536)).unwrap();
        let (_, mut file) = archive.finish().unwrap();
        file.rewind().unwrap();
        file
    }

    #[tokio::test]
    async fn one_half_is_for_archives() {
        let files = files(8192);
        let taken = files.archives.take("ns", 4097, &soon()).await.err();
        assert_eq!(taken, Some(RoomError::TooLarge(4097, 4096)));
        let _room = files.archives.take("ns", 4096, &unlimited()).await.unwrap();
        let taken = files.archives.take("ns", 1, &soon()).await.err();
        assert_eq!(taken, Some(RoomError::Deadline(1, 4096)));
    }

    #[test]
    fn a_room_error_names_the_bytes_and_the_limit() {
        let too_large = "4194305 bytes of temporary files exceed the limit of 4194304";
        assert_eq!(RoomError::TooLarge(4_194_305, 4_194_304).to_string(), too_large);
        let late = "timed out waiting for 1 bytes of the 4194304 that temporary files may have";
        assert_eq!(RoomError::Deadline(1, 4_194_304).to_string(), late);
    }

    #[tokio::test]
    async fn content_is_counted_and_the_archive_can_be_read_again() {
        let files = files(8192);
        let (mut file, bytes) = files.content_bytes(archive(), (), &unlimited()).await.unwrap().unwrap();
        assert_eq!(bytes, 65536);
        let mut magic = [0; 2];
        file.read_exact(&mut magic).unwrap();
        assert_eq!(magic, [0x1f, 0x8b], "the file is at its beginning");
    }

    #[tokio::test]
    async fn room_for_content_is_not_that_for_archives() {
        let files = files(8192);
        let _archive = files.archives.take("ns", 4096, &unlimited()).await.unwrap();
        let content = files.contents.take("ns", 4096, &unlimited()).await.unwrap();
        assert!(files.contents.take("ns", 1, &soon()).await.is_err());
        drop(content);
        assert!(files.contents.take("ns", 1, &unlimited()).await.is_ok());
    }
}
