//! The archive writer: its tar stream against Go's (`tests/data/entries.tar`, made by Go's `archive/tar` from
//! `entries.json`), its determinism, and what it refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::io::{self, Read};

use artifact::{
    archive::{ArchiveError, ArchiveWriter, Written},
    digest::{Algorithm, Hasher},
};
use serde_json::Value;

fn write(fill: impl FnOnce(&mut ArchiveWriter<Vec<u8>>)) -> (Written, Vec<u8>) {
    let mut archive = ArchiveWriter::new(Vec::new(), Algorithm::Sha256).unwrap();
    fill(&mut archive);
    archive.finish().unwrap()
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::bufread::GzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
    plain
}

/// Bytes that no compressor shrinks.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..length.div_ceil(8)).flat_map(|_| next()).take(length).collect()
}

/// Gives a few bytes per call, in a pattern of its own.
struct Trickle<'a>(&'a [u8], usize);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1 = self.1 * 7 % 3001 + 1;
        let n = self.1.min(buffer.len()).min(self.0.len());
        self.0.split_at(n).0.read_exact(&mut buffer[..n])?;
        self.0 = &self.0[n..];
        Ok(n)
    }
}

#[test]
fn the_tar_stream_is_byte_equal_to_gos() {
    let entries: Value = serde_json::from_str(include_str!("data/entries.json")).unwrap();
    let (_, bytes) = write(|archive| {
        for entry in entries.as_array().unwrap() {
            let path = entry["path"].as_str().unwrap().as_bytes();
            let is = |key: &str| entry[key].as_bool().unwrap_or(false);
            if is("directory") {
                archive.directory(path).unwrap();
            } else {
                let size = entry["size"].as_u64().unwrap_or(0);
                archive.file(path, is("executable"), size, &mut io::repeat(b'x').take(size)).unwrap();
            }
        }
    });
    let (ours, theirs) = (gunzip(&bytes), include_bytes!("data/entries.tar"));
    for (at, (ours, theirs)) in ours.chunks(512).zip(theirs.chunks(512)).enumerate() {
        assert_eq!(String::from_utf8_lossy(ours), String::from_utf8_lossy(theirs), "block {at}");
        assert_eq!(ours, theirs, "block {at}");
    }
    assert_eq!(ours.len(), theirs.len());
}

#[test]
fn digest_and_size_are_those_of_the_compressed_bytes() {
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512, Algorithm::Blake3] {
        let mut archive = ArchiveWriter::new(Vec::new(), algorithm).unwrap();
        archive.file(b"noise", false, 1_000_000, &mut &noise(1_000_000)[..]).unwrap();
        let (written, bytes) = archive.finish().unwrap();
        let mut hasher = Hasher::new(algorithm);
        hasher.update(&bytes);
        assert_eq!((written.digest, written.size), (hasher.finish(), bytes.len() as u64));
    }
}

#[test]
fn the_gzip_header_is_the_one_go_writes() {
    let (_, bytes) = write(|_| {});
    assert_eq!(bytes[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
}

#[test]
fn equal_content_gives_equal_bytes_however_it_arrives() {
    // Text, noise and text again, so that compressed and stored stretches alternate, at sizes next to the cuts.
    let text = "kind: ConfigMap # a line of a manifest\n".repeat(20_000).into_bytes();
    for size in [0, 1, 131_071, 131_072, 131_073, 3_000_000] {
        let noise = noise(size);
        let pack = |archive: &mut ArchiveWriter<Vec<u8>>, trickle: bool| {
            for (path, content) in [(&b"a"[..], &text), (b"b", &noise), (b"c", &text)] {
                let size = content.len() as u64;
                if trickle {
                    archive.file(path, false, size, &mut Trickle(content, 5)).unwrap();
                } else {
                    archive.file(path, false, size, &mut content.as_slice()).unwrap();
                }
            }
        };
        let (whole, bytes) = write(|archive| pack(archive, false));
        let (trickled, _) = write(|archive| pack(archive, true));
        assert_eq!(whole.digest, trickled.digest);
        let plain = gunzip(&bytes);
        assert_eq!(plain.len() % 512, 0);
        assert!(plain.windows(size.max(1)).step_by(512).any(|window| window[..size] == noise), "{size}");
    }
}

#[test]
fn a_known_tree_keeps_its_digest() {
    // A change here means that every artifact of every user is written anew: see `LEVEL` before accepting it.
    let (written, _) = write(|archive| {
        archive.directory(b"apps").unwrap();
        archive.file(b"apps/cm.yaml", false, 9, &mut &b"kind: CM\n"[..]).unwrap();
        archive.file(b"logo.bin", true, 2_000_000, &mut &noise(2_000_000)[..]).unwrap();
        let text = (0..40_000).map(|n| format!("- name: item-{n}\n")).collect::<String>();
        archive.file(b"z.yaml", false, text.len() as u64, &mut text.as_bytes()).unwrap();
    });
    assert_eq!(
        written.digest.to_string(),
        "sha256:5f40d409f0a22569e4cee5d23a1f91b0a33129e41edd6398e0060483f7e3e84a"
    );
}

#[test]
fn incompressible_content_grows_by_less_than_a_thousandth() {
    let size = 8_000_000;
    let (written, bytes) = write(|archive| {
        archive.file(b"noise", false, size, &mut &noise(size as usize)[..]).unwrap();
    });
    assert!(written.size < size + size / 1000, "{}", written.size);
    assert_eq!(gunzip(&bytes).len() as u64, size.next_multiple_of(512) + 2 * 512 + 1024);
}

#[test]
fn text_among_noise_is_still_compressed() {
    let text = "some: text\n".repeat(400_000).into_bytes();
    let (written, _) = write(|archive| {
        archive.file(b"a", false, 500_000, &mut &noise(500_000)[..]).unwrap();
        archive.file(b"b", false, text.len() as u64, &mut text.as_slice()).unwrap();
    });
    assert!(written.size < 2_000_000, "{}", written.size);
}

#[test]
fn paths_that_are_not_clean_are_refused() {
    let mut archive = ArchiveWriter::new(Vec::new(), Algorithm::Sha256).unwrap();
    for path in ["", ".", "..", "/a", "a/", "a//b", "./a", "a/../b", "a/.", "a\0b"] {
        assert!(matches!(archive.directory(path.as_bytes()), Err(ArchiveError::Path { .. })), "{path:?}");
        let file = archive.file(path.as_bytes(), false, 0, &mut io::empty());
        assert!(matches!(file, Err(ArchiveError::Path { .. })), "{path:?}");
    }
}

#[test]
fn content_that_is_not_as_long_as_announced_is_refused() {
    for (size, content) in [(4, &b"12345"[..]), (6, b"12345"), (0, b"1")] {
        let mut archive = ArchiveWriter::new(Vec::new(), Algorithm::Sha256).unwrap();
        let result = archive.file(b"f", false, size, &mut &content[..]);
        assert!(matches!(result, Err(ArchiveError::Size { .. })), "{size}");
    }
}
