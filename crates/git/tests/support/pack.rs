//! Packs written object by object, as no Git would write them.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use gix::ObjectId;

pub const COMMIT: u8 = 1;
pub const TREE: u8 = 2;
pub const BLOB: u8 = 3;
pub const TAG: u8 = 4;
pub const OFS_DELTA: u8 = 6;
pub const REF_DELTA: u8 = 7;

/// Where a pack's first object begins.
pub const FIRST: u64 = 12;

#[derive(Clone, Default)]
pub struct Pack {
    entries: Vec<u8>,
    count: u32,
}

impl Pack {
    /// Where the next object will begin.
    pub fn end(&self) -> u64 {
        FIRST + self.entries.len() as u64
    }

    /// Adds bytes that stand for one object; gives their offset.
    pub fn raw(&mut self, bytes: &[u8]) -> u64 {
        let offset = self.end();
        self.entries.extend_from_slice(bytes);
        self.count += 1;
        offset
    }

    /// Adds an object that says it has `size` bytes.
    pub fn entry(&mut self, kind: u8, size: u64, base: &[u8], compressed: &[u8]) -> u64 {
        self.raw(&[&header(kind, size), base, compressed].concat())
    }

    pub fn object(&mut self, kind: u8, data: &[u8]) -> ObjectId {
        self.entry(kind, data.len() as u64, b"", &deflate(data));
        id(kind, data)
    }

    /// Adds a delta on the object at `base`; gives its offset.
    pub fn ofs_delta(&mut self, base: u64, delta: &[u8]) -> u64 {
        let distance = distance(self.end() - base);
        self.entry(OFS_DELTA, delta.len() as u64, &distance, &deflate(delta))
    }

    pub fn ref_delta(&mut self, base: ObjectId, delta: &[u8]) -> u64 {
        self.entry(REF_DELTA, delta.len() as u64, base.as_bytes(), &deflate(delta))
    }

    pub fn tree(&mut self, entries: &[(&str, &[u8], ObjectId)]) -> ObjectId {
        self.object(TREE, &tree(entries))
    }

    pub fn commit(&mut self, tree: ObjectId) -> ObjectId {
        self.object(COMMIT, &commit(tree))
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.announcing(self.count)
    }

    /// The pack, which says that it has `count` objects.
    pub fn announcing(&self, count: u32) -> Vec<u8> {
        let mut pack = [b"PACK\0\0\0\x02", &count.to_be_bytes()[..], &self.entries].concat();
        let mut hash = gix::hash::hasher(gix::hash::Kind::Sha1);
        hash.update(&pack);
        pack.extend_from_slice(hash.try_finalize().unwrap().as_bytes());
        pack
    }
}

pub fn tree(entries: &[(&str, &[u8], ObjectId)]) -> Vec<u8> {
    let mut raw = Vec::new();
    for (mode, name, id) in entries {
        raw.extend_from_slice(&[mode.as_bytes(), b" ", name, b"\0", id.as_bytes()].concat());
    }
    raw
}

pub fn commit(tree: ObjectId) -> Vec<u8> {
    format!("tree {tree}\nauthor a <a@b> 1700000000 +0000\ncommitter a <a@b> 1700000000 +0000\n\nhostile\n")
        .into()
}

pub fn id(kind: u8, data: &[u8]) -> ObjectId {
    use gix::objs::Kind;
    let kind = match kind {
        COMMIT => Kind::Commit,
        TREE => Kind::Tree,
        BLOB => Kind::Blob,
        _ => Kind::Tag,
    };
    gix::objs::compute_hash(gix::hash::Kind::Sha1, kind, data).unwrap()
}

/// Compressed, if that is worth the time.
pub fn deflate(data: &[u8]) -> Vec<u8> {
    if data.len() < 1 << 15 {
        let (mut a, mut b) = (1_u32, 0_u32);
        for byte in data {
            (a, b) = ((a + u32::from(*byte)) % 65521, (b + (a + u32::from(*byte)) % 65521) % 65521);
        }
        let (length, sum) = (data.len() as u16, b << 16 | a);
        let stored = [&length.to_le_bytes()[..], &(!length).to_le_bytes()].concat();
        return [&[0x78, 0x01, 1][..], &stored, data, &sum.to_be_bytes()].concat();
    }
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// Type and size.
pub fn header(kind: u8, size: u64) -> Vec<u8> {
    let mut bytes = vec![kind << 4 | (size & 15) as u8];
    let mut rest = size >> 4;
    while rest > 0 {
        *bytes.last_mut().unwrap() |= 0x80;
        bytes.push((rest & 0x7f) as u8);
        rest >>= 7;
    }
    bytes
}

/// How far back the base of a delta is.
pub fn distance(mut distance: u64) -> Vec<u8> {
    let mut bytes = vec![(distance & 0x7f) as u8];
    while distance > 0x7f {
        distance = (distance >> 7) - 1;
        bytes.insert(0, 0x80 | (distance & 0x7f) as u8);
    }
    bytes
}

fn number(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push(0x80 | (number & 0x7f) as u8);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// A delta that says from what size to what size it leads.
pub fn delta(base: u64, result: u64, instructions: &[u8]) -> Vec<u8> {
    [&number(base), &number(result), instructions].concat()
}

/// Copies `size` bytes of the base from `offset` on.
pub fn copy(offset: u32, size: u32) -> Vec<u8> {
    let mut bytes = vec![0xff];
    bytes.extend_from_slice(&offset.to_le_bytes());
    bytes.extend_from_slice(&size.to_le_bytes()[..3]);
    bytes
}

/// Copies all of a base and adds one byte.
pub fn grow(base: u64, byte: u8) -> Vec<u8> {
    let mut instructions = Vec::new();
    let mut at = 0;
    while at < base {
        let size = (base - at).min(0xff_ffff);
        instructions.extend(copy(at as u32, size as u32));
        at += size;
    }
    delta(base, base + 1, &[&instructions[..], &[1, byte]].concat())
}
