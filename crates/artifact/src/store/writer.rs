//! Which version of the writer made an artifact, so that what an earlier one got wrong is made anew.
//!
//! The note about it stands in the lock file of the artifact. It names the digest too, because a version that knows no notes
//! may have replaced the artifact since.

use std::{
    fs::{self, File},
    io::{self, Seek, Write},
    path::Path,
};

use crate::digest::Digest;

/// Raised when all artifacts that earlier versions stored have to be made anew:
///
/// - 2: earlier versions could give empty files the content of other files.
const WRITER_VERSION: u32 = 2;

fn note(digest: &Digest) -> String {
    format!("writer {WRITER_VERSION} {digest}\n")
}

/// Notes in a lock that is held that this version writes the artifact with this digest.
pub(super) fn sign(mut lock: &File, digest: &Digest) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    lock.write_all(note(digest).as_bytes())
}

/// Whether the lock says that this version wrote the artifact with this digest.
pub(super) fn signed(lock: &Path, digest: &Digest) -> bool {
    fs::read_to_string(lock).is_ok_and(|text| text == note(digest))
}
