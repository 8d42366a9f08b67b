//! Receives packs: every object is checked as it comes, thin packs are completed, and the result is indexed.
//!
//! gix-pack can index a pack from a stream, too. But it holds the compressed bytes of one object in memory however many they
//! are, looks at limits only when all has come, knows no deadline, and keeps all objects along a chain of deltas at once.

mod chains;
#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod collision;
mod entries;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};
use gix::ObjectId;
use gix::odb::pack::data::{self, entry::Header};
use gix::odb::pack::index;
use tempfile::NamedTempFile;

use self::chains::Chains;
use self::entries::Incoming;
use crate::connection::Connection;
use crate::error::chain;
use crate::objects::{Buffer, Objects};
use crate::{Bound, Limits, TransportError};

/// Memory is counted after so many objects each.
const COUNTED_OBJECTS: usize = 1024;

const SHA1: gix::hash::Kind = gix::hash::Kind::Sha1;

/// Where an object begins in its pack, and what is known of it. In the order of their offsets.
struct Object {
    offset: u64,
    /// Its size once it is unpacked and resolved.
    bytes: u64,
    crc: u32,
}

/// A pack on disk that is whole, but has no index.
struct Received {
    file: NamedTempFile,
    objects: Vec<Object>,
    /// Where the last object ends.
    end: u64,
    /// Whether some deltas name their bases by id.
    by_id: bool,
    hash: ObjectId,
}

fn broken(reason: impl Into<String>) -> TransportError {
    TransportError::Protocol(format!("broken pack: {}", reason.into()))
}

/// Puts a pack, and its index, into `directory`. `bases` has objects that it may build on.
pub(crate) fn receive(
    pack: &mut dyn BufRead,
    directory: &Path,
    bases: Option<&Objects>,
    limits: &Limits,
    connection: &Connection,
) -> Result<(), TransportError> {
    let received = download(pack, NamedTempFile::new_in(directory)?, bases, limits, connection)?;
    if received.objects.is_empty() {
        return Ok(());
    }
    // Which object a delta by id builds on can be seen from the order in which one thread asks.
    let (hash, threads) = (received.hash, threads(&received.objects, received.by_id, limits));
    let index = NamedTempFile::new_in(directory)?;
    write_index(&received, &index, threads, limits, connection)?;
    let path = directory.join(format!("pack-{hash}.pack"));
    received.file.persist(&path).map_err(|e| e.error)?;
    index.persist(path.with_extension("idx")).map_err(|e| e.error)?;
    Ok(())
}

fn download(
    pack: &mut dyn BufRead,
    mut file: NamedTempFile,
    bases: Option<&Objects>,
    limits: &Limits,
    connection: &Connection,
) -> Result<Received, TransportError> {
    let mut incoming =
        Incoming::begin(pack, BufWriter::with_capacity(1 << 16, file.as_file()), limits, connection)?;
    // The number that is announced is not believed before the objects are here.
    let (mut objects, mut wanted) = (Vec::new(), BTreeSet::new());
    while let Some((object, base)) = incoming.next()? {
        objects.push(object);
        wanted.extend(base);
        if objects.len() % COUNTED_OBJECTS == 0 {
            connection.memory.objects(objects.len())?;
        }
    }
    let (mut end, mut hash, mut to) = incoming.finish()?;
    let by_id = !wanted.is_empty();
    let before = objects.len();
    for (id, bases) in wanted.into_iter().filter_map(|id| Some((id, bases?))) {
        if let Some((object, size)) = append(&mut to, end, bases, &id, connection)? {
            objects.push(object);
            end += size;
        }
    }
    to.flush()?;
    drop(to);
    if objects.len() > before {
        hash = seal(file.as_file_mut(), objects.len(), end)?;
    }
    file.seek(SeekFrom::Start(end))?;
    file.write_all(hash.as_bytes())?;
    Ok(Received { file, objects, end, by_id, hash })
}

/// Adds an object that deltas build on, if it is one of those that were here before; gives its bytes in the pack.
fn append(
    to: &mut BufWriter<&File>,
    offset: u64,
    bases: &Objects,
    id: &gix::oid,
    connection: &Connection,
) -> Result<Option<(Object, u64)>, TransportError> {
    if connection.deadline.is_over() {
        return Err(TransportError::Deadline);
    }
    let mut buffer = Buffer::default();
    let Some(object) = bases.find(id, &mut buffer)? else { return Ok(None) };
    // As it is, and compressed.
    connection.memory.deltas(2 * object.data.len() as u64)?;
    let header = match object.kind {
        gix::objs::Kind::Blob => Header::Blob,
        gix::objs::Kind::Tree => Header::Tree,
        gix::objs::Kind::Commit => Header::Commit,
        gix::objs::Kind::Tag => Header::Tag,
    };
    let bytes = object.data.len() as u64;
    let mut packed = Vec::new();
    header.write_to(bytes, &mut packed)?;
    let mut encoder = ZlibEncoder::new(packed, Compression::fast());
    encoder.write_all(object.data)?;
    let packed = encoder.finish()?;
    let mut crc = Crc::new();
    crc.update(&packed);
    to.write_all(&packed)?;
    Ok(Some((Object { offset, bytes, crc: crc.sum() }, packed.len() as u64)))
}

/// Makes the number of objects true again; gives the checksum that the pack now has.
fn seal(file: &mut File, objects: usize, end: u64) -> Result<ObjectId, TransportError> {
    let objects = u32::try_from(objects).map_err(|e| TransportError::Protocol(e.to_string()))?;
    file.seek(SeekFrom::Start(8))?;
    file.write_all(&objects.to_be_bytes())?;
    file.seek(SeekFrom::Start(0))?;
    let mut hash = gix::hash::io::Write::new(io::sink(), SHA1);
    io::copy(&mut io::Read::take(&mut *file, end), &mut hash)?;
    hash.hash.try_finalize().map_err(|e| TransportError::Protocol(chain(&e)))
}

fn write_index(
    received: &Received,
    index: &NamedTempFile,
    threads: usize,
    limits: &Limits,
    connection: &Connection,
) -> Result<(), TransportError> {
    let unindexed = |error: gix::Error| match error.is_resource_exhausted() {
        true => TransportError::Limit { limit: limits.allocation_bytes as u64, what: Bound::ObjectBytes },
        false => TransportError::Protocol(chain(&error)),
    };
    let pack = data::File::at(received.file.path(), SHA1).map_err(unindexed)?;
    let mut entries = received.entries(&pack, connection);
    let chains = Chains::new(&received.objects, threads, limits, connection);
    let mut out = BufWriter::with_capacity(1 << 16, index.as_file());
    index::write_data_iter_to_stream(
        index::Version::V2,
        || Ok((chains.resolver(), &pack)),
        &mut entries,
        Some(threads),
        &mut gix::progress::Discard,
        &mut out,
        connection.deadline.cancel_flag(),
        SHA1,
        Some(limits.allocation_bytes),
        pack.version(),
    )
    .map_err(unindexed)?;
    Ok(out.flush()?)
}

/// How many threads resolve deltas. Each holds several objects at once, so large ones have one; and so have chains by id, whose
/// order says what they are.
fn threads(objects: &[Object], by_id: bool, limits: &Limits) -> usize {
    let large = limits.allocation_bytes as u64 / 8;
    if by_id || objects.iter().any(|object| object.bytes > large) { 1 } else { limits.index_threads }
}

impl Received {
    /// The objects as gix-pack wants to be told of them.
    fn entries<'a>(
        &'a self,
        pack: &'a data::File,
        connection: &'a Connection,
    ) -> impl Iterator<Item = gix::Result<data::input::Entry>> + 'a {
        let ends = self.objects.iter().skip(1).map(|next| next.offset).chain([self.end]);
        self.objects.iter().zip(ends).map(move |(object, end)| {
            if connection.deadline.is_over() {
                return Err(gix::Error::from_error(connection.failure.set(TransportError::Deadline)));
            }
            let bytes = pack.entry_slice(object.offset..end).unwrap_or_default();
            let entry = data::Entry::from_bytes(bytes, object.offset, SHA1)?;
            let header_size = entry.header_size() as u16;
            Ok(data::input::Entry {
                header: entry.header,
                header_size,
                pack_offset: object.offset,
                compressed: None,
                compressed_size: bytes.len() as u64 - u64::from(header_size),
                crc32: Some(object.crc),
                decompressed_size: entry.decompressed_size,
                trailer: (end == self.end).then_some(self.hash),
            })
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    /// Bytes 8 to 12 are where a pack has its number of objects, so sealing leaves them as they are.
    #[test]
    fn a_pack_whose_bytes_are_a_collision_attack_gets_no_checksum() {
        let sealed = |bytes: &[u8]| {
            let objects = u32::from_be_bytes(bytes[8..12].try_into().unwrap());
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(bytes).unwrap();
            seal(&mut file, objects as usize, bytes.len() as u64).map_err(|error| error.to_string())
        };
        let mut bytes = collision::shattered();
        let error = sealed(&bytes).unwrap_err();
        let attack = "Detected SHA-1 collision attack with digest f92d74e3874587aaf443d1db961d4e26dde13e9c";
        assert!(error.contains(attack), "{error}");
        bytes[319] ^= 1;
        assert!(sealed(&bytes).is_ok(), "other bytes are only bytes");
    }

    #[test]
    fn large_objects_are_resolved_one_after_the_other() {
        let limits = Limits { allocation_bytes: 800, index_threads: 2, ..Limits::default() };
        let objects = |sizes: &[u64]| -> Vec<Object> {
            sizes.iter().map(|bytes| Object { offset: 0, bytes: *bytes, crc: 0 }).collect()
        };
        assert_eq!(threads(&objects(&[1, 100]), false, &limits), 2);
        assert_eq!(threads(&objects(&[1, 101]), false, &limits), 1);
        assert_eq!(threads(&objects(&[1]), true, &limits), 1);
    }
}
