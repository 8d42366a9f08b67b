//! The objects of a pack as they come from a server, into a file.

use std::fs::File;
use std::io::{self, BufRead, BufWriter, Read, Write};

use flate2::{Crc, Decompress, FlushDecompress, Status};
use gix::ObjectId;
use gix::odb::pack::data::{self, entry::Header};

use super::{Object, SHA1, broken};
use crate::connection::Connection;
use crate::error::chain;
use crate::{Bound, Limits, TransportError};

/// Bytes of a delta that hold the sizes of base and result at most.
const DELTA_SIZES_BYTES: usize = 20;

/// A pack on its way.
pub(super) struct Incoming<'a> {
    stream: Stream<'a>,
    /// Objects that are still to come.
    left: u32,
    inflate: Decompress,
    scratch: Vec<u8>,
    limits: &'a Limits,
    connection: &'a Connection,
}

/// What passes from the server into the file, measured and hashed.
struct Stream<'a> {
    from: &'a mut dyn BufRead,
    to: BufWriter<&'a File>,
    hash: gix::hash::Hasher,
    crc: Crc,
    offset: u64,
    connection: &'a Connection,
}

/// An error of reading, for which a transport may know a better reason.
fn unread(error: io::Error) -> TransportError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => broken("it ends too early"),
        _ => broken(error.to_string()),
    }
}

impl<'a> Incoming<'a> {
    /// Reads the header.
    pub(super) fn begin(
        from: &'a mut dyn BufRead,
        to: BufWriter<&'a File>,
        limits: &'a Limits,
        connection: &'a Connection,
    ) -> Result<Self, TransportError> {
        let mut stream =
            Stream { from, to, hash: gix::hash::hasher(SHA1), crc: Crc::new(), offset: 0, connection };
        let mut header = [0; data::header::SIZE];
        stream.read_exact(&mut header).map_err(unread)?;
        let (_, left) = data::header::decode(&header).map_err(|e| broken(chain(&e)))?;
        if left > limits.pack_objects {
            return Err(TransportError::Limit { limit: limits.pack_objects.into(), what: Bound::Objects });
        }
        Ok(Incoming {
            stream,
            left,
            inflate: Decompress::new(true),
            scratch: vec![0; 1 << 14],
            limits,
            connection,
        })
    }

    /// The next object; with it the base of a delta that names it by its id.
    pub(super) fn next(&mut self) -> Result<Option<(Object, Option<ObjectId>)>, TransportError> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        self.stream.crc = Crc::new();
        let offset = self.stream.offset;
        let entry = data::Entry::from_read(&mut self.stream, offset, SHA1.len_in_bytes()).map_err(unread)?;
        self.check_size(entry.decompressed_size)?;
        let head = self.body(entry.decompressed_size)?;
        let base = match entry.header {
            Header::RefDelta { base_id } => Some(base_id),
            Header::OfsDelta { base_distance } => {
                Header::verified_base_pack_offset(offset, base_distance)
                    .ok_or_else(|| broken("a delta builds on something outside"))?;
                None
            }
            Header::Commit | Header::Tree | Header::Blob | Header::Tag => None,
        };
        let bytes = match entry.header.is_delta() {
            true => {
                let result = result_size(&head).ok_or_else(|| broken("a delta without sizes"))?;
                self.check_size(result)?;
                result
            }
            false => entry.decompressed_size,
        };
        Ok(Some((Object { offset, bytes, crc: self.stream.crc.sum() }, base)))
    }

    fn check_size(&self, bytes: u64) -> Result<(), TransportError> {
        let limit = self.limits.allocation_bytes as u64;
        if bytes > limit { Err(TransportError::Limit { limit, what: Bound::ObjectBytes }) } else { Ok(()) }
    }

    /// Passes on compressed bytes that must become `size` bytes, of which the first are given back.
    fn body(&mut self, size: u64) -> Result<Vec<u8>, TransportError> {
        let mut head = Vec::new();
        self.inflate.reset(true);
        loop {
            if self.connection.deadline.is_over() {
                return Err(TransportError::Deadline);
            }
            let input = self.stream.from.fill_buf().map_err(unread)?;
            if input.is_empty() {
                return Err(unread(io::ErrorKind::UnexpectedEof.into()));
            }
            let (before, produced) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self.inflate.decompress(input, &mut self.scratch, FlushDecompress::None);
            let status = status.map_err(|e| broken(e.to_string()))?;
            let consumed = self.inflate.total_in() - before;
            let produced = (self.inflate.total_out() - produced) as usize;
            let wanted = produced.min(DELTA_SIZES_BYTES.saturating_sub(head.len()));
            head.extend_from_slice(self.scratch.get(..wanted).unwrap_or_default());
            self.stream.pass(consumed as usize).map_err(unread)?;
            let (done, stuck) = (status == Status::StreamEnd, consumed == 0 && produced == 0);
            if self.inflate.total_out() > size
                || (done && self.inflate.total_out() < size)
                || (stuck && !done)
            {
                return Err(broken("an object has not the size that it names"));
            }
            if done {
                return Ok(head);
            }
        }
    }

    /// Compares the checksum; gives the end of the last object, the checksum, and the file, which is at that end.
    pub(super) fn finish(self) -> Result<(u64, ObjectId, BufWriter<&'a File>), TransportError> {
        let Stream { from, mut to, hash, offset, .. } = self.stream;
        let actual = hash.try_finalize().map_err(|e| broken(chain(&e)))?;
        let mut named = [0; 20];
        from.read_exact(&mut named).map_err(unread)?;
        if actual.as_bytes() != named {
            return Err(broken("wrong checksum"));
        }
        if !from.fill_buf().map_err(unread)?.is_empty() {
            return Err(broken("more after it"));
        }
        to.flush()?;
        Ok((offset, actual, to))
    }
}

/// The second of the two numbers that a delta begins with.
fn result_size(delta: &[u8]) -> Option<u64> {
    let mut numbers = [0_u64; 2];
    let mut bytes = delta.iter();
    for number in &mut numbers {
        for shift in (0_u32..).step_by(7) {
            let byte = *bytes.next()?;
            *number |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    let [_, result] = numbers;
    Some(result)
}

impl Stream<'_> {
    /// Takes the next `count` bytes of what is buffered.
    fn pass(&mut self, count: usize) -> io::Result<()> {
        let bytes = self.from.fill_buf()?;
        let bytes = bytes.get(..count).ok_or(io::ErrorKind::UnexpectedEof)?;
        // Not the server's fault, and no reason to think ill of what was fetched before.
        self.to.write_all(bytes).map_err(|error| self.connection.failure.set(error.into()))?;
        self.hash.update(bytes);
        self.crc.update(bytes);
        self.offset += count as u64;
        self.from.consume(count);
        Ok(())
    }
}

impl Read for Stream<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let available = self.from.fill_buf()?;
        let count = available.len().min(out.len());
        if let (Some(from), Some(to)) = (available.get(..count), out.get_mut(..count)) {
            to.copy_from_slice(from);
        }
        self.pass(count)?;
        Ok(count)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;

    use super::*;
    use crate::pack::collision::shattered;
    use net::Deadline;

    #[test]
    fn a_pack_on_its_way_that_is_a_collision_attack_is_broken() {
        let received = |bytes: &[u8]| {
            let (limits, connection) =
                (Limits::default(), Connection::new(Deadline::new(Duration::from_secs(60)), None));
            let (file, mut hash) = (tempfile::tempfile().unwrap(), gix::hash::hasher(SHA1));
            hash.update(bytes);
            let trailer = hash.try_finalize().map_or(vec![0; 20], |id| id.as_bytes().to_vec());
            let all = [bytes, &trailer].concat();
            let mut from = all.as_slice();
            let stream = Stream {
                from: &mut from,
                to: BufWriter::new(&file),
                hash: gix::hash::hasher(SHA1),
                crc: Crc::new(),
                offset: 0,
                connection: &connection,
            };
            let inflate = Decompress::new(true);
            let (scratch, limits, connection) = (Vec::new(), &limits, &connection);
            let mut incoming = Incoming { stream, left: 0, inflate, scratch, limits, connection };
            incoming.stream.pass(bytes.len()).unwrap();
            incoming.finish().map(drop).map_err(|error| error.to_string())
        };
        let mut bytes = shattered();
        let error = received(&bytes).unwrap_err();
        let attack = "Detected SHA-1 collision attack with digest f92d74e3874587aaf443d1db961d4e26dde13e9c";
        assert!(error.contains(attack), "{error}");
        *bytes.last_mut().unwrap() ^= 1;
        assert_eq!(received(&bytes), Ok(()), "other bytes are only bytes");
    }

    #[test]
    fn a_full_disk_is_not_a_broken_pack() {
        let size = 1_u64 << 17;
        let mut pack = b"PACK\0\0\0\x02\0\0\0\x01".to_vec();
        Header::Blob.write_to(size, &mut pack).unwrap();
        let mut encoder = ZlibEncoder::new(pack, Compression::none());
        encoder.write_all(&vec![1; size as usize]).unwrap();
        let pack = encoder.finish().unwrap();
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (limits, connection) =
            (Limits::default(), Connection::new(Deadline::new(Duration::from_secs(60)), None));
        let mut from = pack.as_slice();
        let mut incoming = Incoming::begin(&mut from, BufWriter::new(&full), &limits, &connection).unwrap();
        assert!(incoming.next().is_err());
        assert!(matches!(connection.failure.take(), Some(TransportError::Io(_))));
    }
}
