//! Unpacking: a round trip, hostile archives built by hand, and every limit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use artifact::{
    archive::ArchiveWriter,
    digest::Algorithm,
    unpack::{Entry, Limits, UnpackError, unpack},
};
use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;

/// Content by path; `None` for a directory.
type Tree = BTreeMap<Vec<u8>, Option<(bool, Vec<u8>)>>;

fn unpacked_within(bytes: &[u8], limits: &Limits) -> Result<Tree, UnpackError> {
    let mut tree = Tree::new();
    unpack(bytes, limits, &mut |entry| {
        let (path, node) = match entry {
            Entry::Directory { path } => (path, None),
            Entry::File { path, executable, size, content } => {
                let mut bytes = Vec::new();
                content.read_to_end(&mut bytes)?;
                assert_eq!(bytes.len() as u64, size);
                (path, Some((executable, bytes)))
            }
        };
        tree.insert(path.to_vec(), node);
        Ok(())
    })?;
    Ok(tree)
}

fn unpacked(bytes: &[u8]) -> Result<Tree, UnpackError> {
    unpacked_within(bytes, &Limits::default())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A tar stream of raw headers: name, type flag, content.
#[derive(Default)]
struct Raw(Vec<u8>);

impl Raw {
    fn header(name: &[u8], flag: u8, size: u64) -> tar::Header {
        let mut header = tar::Header::new_ustar();
        header.as_ustar_mut().unwrap().name[..name.len()].copy_from_slice(name);
        header.as_ustar_mut().unwrap().typeflag = [flag];
        header.set_mode(0o644);
        header.set_size(size);
        header.set_cksum();
        header
    }

    fn add(mut self, name: &[u8], flag: u8, content: &[u8]) -> Self {
        self.0.extend(Self::header(name, flag, content.len() as u64).as_bytes());
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn pax(self, key: &str, value: &[u8]) -> Self {
        let rest = key.len() + value.len() + 3;
        let length = (rest..).find(|length| length.to_string().len() + rest == *length).unwrap();
        let record = [format!("{length} {key}=").as_bytes(), value, b"\n"].concat();
        self.add(b"PaxHeaders.0/x", b'x', &record)
    }

    fn tar(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }

    fn unpacked(self) -> Result<Tree, UnpackError> {
        unpacked(&gzip(&self.tar()))
    }
}

fn file(content: &str) -> Option<(bool, Vec<u8>)> {
    Some((false, content.as_bytes().to_vec()))
}

#[test]
fn an_archive_unpacks_to_what_was_archived() {
    let mut archive = ArchiveWriter::new(Vec::new(), Algorithm::Sha256).unwrap();
    let long = format!("apps/{}/{}", "é".repeat(90), "n".repeat(200));
    archive.directory(b"apps").unwrap();
    archive.file(b"apps/run.sh", true, 3, &mut &b"#!x"[..]).unwrap();
    archive.file(long.as_bytes(), false, 4, &mut &b"long"[..]).unwrap();
    archive.file(b"not-\xff-utf8", false, 0, &mut io::empty()).unwrap();
    let (_, bytes) = archive.finish().unwrap();
    let expected = Tree::from([
        (b"apps".to_vec(), None),
        (b"apps/run.sh".to_vec(), Some((true, b"#!x".to_vec()))),
        (long.into_bytes(), file("long")),
        (b"not-\xff-utf8".to_vec(), file("")),
    ]);
    assert_eq!(unpacked(&bytes).unwrap(), expected);
}

#[test]
fn names_that_could_lead_outside_are_refused() {
    for name in
        ["../x", "a/../../x", "/abs", "..", "a/..", "a/../b", "C:/x", "c:", "a\\b", "\\", "", "//x", "./../x"]
    {
        for flag in [b'0', b'5'] {
            let plain = Raw::default().add(name.as_bytes(), flag, b"").unpacked();
            assert!(matches!(plain, Err(UnpackError::Name(_))), "{name:?} {plain:?}");
        }
        if !name.is_empty() {
            let pax = Raw::default().pax("path", name.as_bytes()).add(b"fine", b'0', b"x").unpacked();
            assert!(matches!(pax, Err(UnpackError::Name(_))), "{name:?} {pax:?}");
            let gnu = Raw::default().add(b"././@LongLink", b'L', name.as_bytes()).add(b"fine", b'0', b"x");
            assert!(matches!(gnu.unpacked(), Err(UnpackError::Name(_))), "{name:?}");
        }
    }
    let nul = Raw::default().pax("path", b"a\0b").add(b"fine", b'0', b"").unpacked();
    assert!(matches!(nul, Err(UnpackError::Name(_))));
}

#[test]
fn names_are_cleaned_and_dots_inside_components_are_kept() {
    let tree = Raw::default()
        .add(b".", b'5', b"")
        .add(b"./", b'5', b"")
        .add(b"./a/./b//c", b'0', b"1")
        .add(b"..a/b../...", b'0', b"2")
        .add(b"d/", b'5', b"")
        .unpacked()
        .unwrap();
    let expected = Tree::from([
        (b"a/b/c".to_vec(), file("1")),
        (b"..a/b../...".to_vec(), file("2")),
        (b"d".to_vec(), None),
    ]);
    assert_eq!(tree, expected);
}

#[test]
fn symlinks_are_skipped_and_nothing_is_written_through_them() {
    let tree = Raw::default()
        .add(b"link", b'2', b"")
        .add(b"../outside", b'2', b"")
        .add(b"link/x", b'0', b"in a directory of that name")
        .unpacked()
        .unwrap();
    assert_eq!(tree, Tree::from([(b"link/x".to_vec(), file("in a directory of that name"))]));
}

#[test]
fn types_other_than_files_and_directories_are_refused() {
    for flag in [b'1', b'3', b'4', b'6', b'S', b'V', b'D', b'Z'] {
        let result = Raw::default().add(b"x", flag, b"").unpacked();
        assert!(
            matches!(&result, Err(UnpackError::Kind { kind, .. }) if *kind == char::from(flag)),
            "{result:?}"
        );
    }
    let sparse = Raw::default().pax("GNU.sparse.major", b"1").add(b"x", b'0', b"").unpacked();
    assert!(matches!(sparse, Err(UnpackError::Kind { kind: 'S', .. })));
}

#[test]
fn a_name_may_hold_line_breaks() {
    let name = "é\n19 path=elsewhere\n\n".as_bytes();
    let raw = Raw::default().pax("path", name).add(b"x", b'0', b"content");
    assert_eq!(raw.unpacked().unwrap(), Tree::from([(name.to_vec(), file("content"))]));
    let mut archive = ArchiveWriter::new(Vec::new(), Algorithm::Sha256).unwrap();
    archive.file(name, false, 7, &mut &b"content"[..]).unwrap();
    let (_, ours) = archive.finish().unwrap();
    assert_eq!(unpacked(&ours).unwrap().get(name), Some(&file("content")));
}

#[test]
fn records_whose_length_is_wrong_are_refused() {
    for record in [
        "8 path=a\n",
        "11 path=a\n",
        "99 path=a\n",
        "10 path=ab",
        "10 pathxab\n",
        "x path=a\n",
        "0 a=b\n",
        "-1 a=b\n",
        "path=a\n",
    ] {
        let result = Raw::default().add(b"x", b'x', record.as_bytes()).add(b"y", b'0', b"").unpacked();
        assert!(matches!(result, Err(UnpackError::Header)), "{record:?}: {result:?}");
    }
    let fine = Raw::default().add(b"x", b'x', b"10 path=a\n").add(b"y", b'0', b"").unpacked().unwrap();
    assert_eq!(fine, Tree::from([(b"a".to_vec(), file(""))]));
}

#[test]
fn attributes_for_all_entries_are_ignored() {
    let tree = Raw::default().add(b"pax_global_header", b'g', b"19 comment=0123456\n").add(b"a", b'0', b"x");
    assert_eq!(tree.unpacked().unwrap(), Tree::from([(b"a".to_vec(), file("x"))]));
}

#[test]
fn the_last_of_two_files_with_one_name_wins() {
    let tree = Raw::default().add(b"a", b'0', b"first").add(b"./a", b'0', b"second").unpacked().unwrap();
    assert_eq!(tree, Tree::from([(b"a".to_vec(), file("second"))]));
}

#[test]
fn a_path_of_both_a_file_and_a_directory_is_refused() {
    for (first, second) in [
        ((&b"a"[..], b'0'), (&b"a"[..], b'5')),
        ((b"a", b'5'), (b"a", b'0')),
        ((b"a", b'0'), (b"a/b", b'0')),
        ((b"a/b/c", b'0'), (b"a/b", b'0')),
    ] {
        let result = Raw::default().add(first.0, first.1, b"").add(second.0, second.1, b"").unpacked();
        assert!(matches!(result, Err(UnpackError::Conflict(_))), "{result:?}");
    }
}

#[test]
fn bytes_that_are_not_gzip_or_not_tar_are_refused() {
    for bytes in [&b""[..], b"\x1f", b"plain text", &Raw::default().add(b"a", b'0', b"x").tar()] {
        assert!(matches!(unpacked(bytes), Err(UnpackError::Gzip(_))), "{bytes:?}");
    }
    assert!(matches!(unpacked(&gzip(&[b'x'; 512])), Err(UnpackError::Header)));
    assert!(matches!(unpacked(&gzip(&[b'x'; 100])), Err(UnpackError::Tar(_))));
    let one_zero_block = [&[0; 512][..], &Raw::default().add(b"a", b'0', b"").tar()].concat();
    assert!(matches!(unpacked(&gzip(&one_zero_block)), Err(UnpackError::Header)));
}

#[test]
fn a_cut_or_flipped_archive_is_refused() {
    let tar = Raw::default().add(b"a", b'0', &[b'x'; 3000]).add(b"b", b'0', b"y").tar();
    // Within a header, within content, within padding.
    for cut in [100, 512, 2000, 512 + 3000, 512 + 3072 + 10, 512 + 3072 + 512] {
        assert!(matches!(unpacked(&gzip(&tar[..cut])), Err(UnpackError::Tar(_))), "{cut}");
    }
    let whole = gzip(&tar);
    let cut = unpacked(&whole[..whole.len() / 2]);
    assert!(matches!(cut, Err(UnpackError::Tar(_))), "{cut:?}");
    let mut flipped = tar.clone();
    flipped[3] ^= 1;
    assert!(matches!(unpacked(&gzip(&flipped)), Err(UnpackError::Header)));
}

#[test]
fn an_archive_without_end_mark_is_accepted() {
    let tar = Raw::default().add(b"a", b'0', b"x").0;
    assert_eq!(unpacked(&gzip(&tar)).unwrap().len(), 1);
    assert_eq!(unpacked(&gzip(&[&tar[..], &[0; 512]].concat())).unwrap().len(), 1);
}

#[test]
fn gzip_members_in_a_row_are_one_stream_and_what_follows_the_end_is_not_read() {
    let tar = Raw::default().add(b"a", b'0', b"x").add(b"b", b'0', b"y").tar();
    let (head, tail) = tar.split_at(700);
    assert_eq!(unpacked(&[gzip(head), gzip(tail)].concat()).unwrap().len(), 2);
    let second_archive = gzip(&Raw::default().add(b"c", b'0', b"z").tar());
    assert_eq!(unpacked(&[gzip(&tar), second_archive].concat()).unwrap().len(), 2);
    assert_eq!(unpacked(&[gzip(&tar), b"garbage".to_vec()].concat()).unwrap().len(), 2);
}

#[test]
fn sizes_that_lie_are_refused() {
    // A size beyond the stream, a negative one, and one that overflows when rounded up to a block.
    let mut long = Raw::header(b"a", b'0', 10_000).as_bytes().to_vec();
    long.extend([b'x'; 512]);
    assert!(matches!(unpacked(&gzip(&long)), Err(UnpackError::Tar(_))));
    for field in [[0xff; 12], *b"-0000000001\0", *b"99999999999\0"] {
        let mut header = Raw::header(b"a", b'0', 0);
        header.as_ustar_mut().unwrap().size = field;
        header.set_cksum();
        let result = unpacked(&gzip(header.as_bytes()));
        assert!(matches!(result, Err(UnpackError::Header | UnpackError::Limit { .. })), "{result:?}");
    }
    let pax = Raw::default().pax("size", u64::MAX.to_string().as_bytes()).add(b"a", b'0', b"");
    assert!(matches!(pax.unpacked(), Err(UnpackError::Limit { .. })));
    let pax = Raw::default().pax("size", b"-1").add(b"a", b'0', b"");
    assert!(matches!(pax.unpacked(), Err(UnpackError::Header)));
}

fn limit_hit(tar: Vec<u8>, limits: &Limits) -> (&'static str, u64) {
    match unpacked_within(&gzip(&tar), limits) {
        Err(UnpackError::Limit { what, limit }) => (what, limit),
        other => panic!("{:?}", other.map(|tree| tree.len())),
    }
}

#[test]
fn every_limit_stops_the_archive_that_passes_it() {
    let limits = Limits::default();
    let fine = Raw::default().add(b"a", b'0', &[b'x'; 1024]).add(b"b/c", b'0', b"").tar();
    let exact = Limits { bytes: fine.len() as u64, entries: 3, depth: 2, path_bytes: 3, ..limits.clone() };
    assert_eq!(unpacked_within(&gzip(&fine), &exact).unwrap().len(), 2);
    for (limits, hit) in [
        (Limits { bytes: 2048, ..limits.clone() }, ("bytes after decompression", 2048)),
        (Limits { bytes: 1000, ..limits.clone() }, ("bytes after decompression", 1000)),
        (Limits { entries: 1, ..limits.clone() }, ("entries", 1)),
        (Limits { entries: 2, ..limits.clone() }, ("entries", 2)),
        (Limits { depth: 1, ..limits.clone() }, ("directories in a path", 1)),
        (Limits { path_bytes: 2, ..limits.clone() }, ("bytes in a path", 2)),
        (
            Limits { ratio: 5, ratio_free_bytes: 1024, ..limits.clone() },
            ("decompressed bytes for a compressed one", 5),
        ),
    ] {
        assert_eq!(limit_hit(fine.clone(), &limits), hit);
    }
    let symlinks = (0..3).fold(Raw::default(), |raw, _| raw.add(b"l", b'2', b"")).tar();
    assert_eq!(limit_hit(symlinks, &Limits { entries: 2, ..limits.clone() }), ("entries", 2));
}

#[test]
fn a_gzip_bomb_stops_at_the_ratio() {
    let bomb = Raw::default().add(b"zeros", b'0', &vec![0; 4 << 20]).tar();
    let limits = Limits { ratio_free_bytes: 1 << 20, ..Limits::default() };
    assert_eq!(limit_hit(bomb, &limits), ("decompressed bytes for a compressed one", 200));
}

#[test]
fn extended_headers_are_read_up_to_a_cap() {
    let limits = Limits { path_bytes: 100, ..Limits::default() };
    let cap = 2 * 100 + 16 * 1024;
    for flag in [b'x', b'L', b'K', b'g'] {
        let tar = Raw::default().add(b"h", flag, &vec![b'1'; cap + 1]).add(b"a", b'0', b"").tar();
        assert_eq!(limit_hit(tar, &limits), ("bytes in an extended header", cap as u64));
    }
}

#[test]
fn deep_paths_are_bounded_by_what_they_imply() {
    let deep = |n: usize| format!("{n}/{}f", "d/".repeat(200)).into_bytes();
    let tar = (0..60).fold(Raw::default(), |raw, n| raw.pax("path", &deep(n)).add(b"f", b'0', b"")).tar();
    assert_eq!(limit_hit(tar, &Limits { entries: 10_000, ..Limits::default() }), ("entries", 10_000));
}

#[test]
fn an_error_of_the_sink_ends_the_unpacking_and_is_kept() {
    let bytes = gzip(&Raw::default().add(b"a", b'0', b"x").add(b"b", b'0', b"y").tar());
    let mut seen = 0;
    let result = unpack(bytes.as_slice(), &Limits::default(), &mut |_| {
        seen += 1;
        Err("no room".into())
    });
    assert!(
        matches!(result, Err(UnpackError::Sink { path, source }) if path == "a" && source.to_string() == "no room")
    );
    assert_eq!(seen, 1);
}

#[test]
fn content_that_the_sink_leaves_is_skipped() {
    let bytes = gzip(&Raw::default().add(b"a", b'0', &[b'x'; 5000]).add(b"b", b'0', b"y").tar());
    let mut paths = Vec::new();
    unpack(bytes.as_slice(), &Limits::default(), &mut |entry| {
        if let Entry::File { path, content, .. } = entry {
            content.read_exact(&mut [0; 1])?;
            paths.push(path.to_vec());
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(paths, [b"a", b"b"]);
}

/// A small valid archive with some bytes changed, as tar before compression.
fn mangled() -> impl Strategy<Value = Vec<u8>> {
    let changes = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    (changes, any::<prop::sample::Index>(), any::<bool>()).prop_map(|(changes, cut, seal)| {
        let mut tar = Raw::default()
            .add(b"dir", b'5', b"")
            .pax("path", "dir/é".as_bytes())
            .add(b"x", b'0', &[b'x'; 600])
            .add(b"././@LongLink", b'L', &[b'l'; 300])
            .add(b"y", b'0', b"y")
            .tar();
        for (at, byte) in changes {
            let at = at.index(tar.len());
            tar[at] = byte;
            // Half of the time the checksum is made right again, so that the change gets further.
            let start = at / 512 * 512;
            if seal && let Ok(block) = <[u8; 512]>::try_from(&tar[start..start + 512]) {
                let mut header = tar::Header::new_old();
                *header.as_mut_bytes() = block;
                header.set_cksum();
                tar[start..start + 512].copy_from_slice(header.as_bytes());
            }
        }
        let end = tar.len() - cut.index(1024.min(tar.len()));
        tar.truncate(end);
        tar
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn mangled_archives_end_without_a_panic_and_within_their_root(tar in mangled()) {
        for path in unpacked(&gzip(&tar)).unwrap_or_default().keys() {
            prop_assert!(!path.is_empty());
            prop_assert!(path.split(|&b| b == b'/').all(|component| !matches!(component, b"" | b"." | b"..")));
        }
    }

    #[test]
    fn mangled_gzip_ends_without_a_panic(at: prop::sample::Index, byte: u8) {
        let mut bytes = gzip(&Raw::default().add(b"a", b'0', &[b'x'; 600]).tar());
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = unpacked(&bytes);
    }

    #[test]
    fn any_tree_survives_the_round_trip(
        files in proptest::collection::btree_map("[a-cé]{1,60}(/[d-f .]{0,60}[d-f]){0,4}", any::<Vec<u8>>(), 0..12)
    ) {
        let mut archive = ArchiveWriter::new(Vec::new(), Algorithm::Sha256).unwrap();
        let mut expected = Tree::new();
        for (path, content) in files {
            let path = path.into_bytes();
            let is_file = |node: &&[u8]| expected.contains_key(*node);
            let parents = (0..path.len()).filter(|&at| path[at] == b'/').map(|at| &path[..at]);
            if parents.clone().any(|parent| is_file(&parent)) {
                continue;
            }
            archive.file(&path, false, content.len() as u64, &mut content.as_slice()).unwrap();
            expected.insert(path, Some((false, content)));
        }
        let (_, bytes) = archive.finish().unwrap();
        // Names are sorted, so a file can only clash with what it would be the parent of: those were left out.
        prop_assert_eq!(unpacked(&bytes).unwrap(), expected);
    }
}
