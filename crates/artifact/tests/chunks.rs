//! Archives that take over what has not changed from an earlier one.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use artifact::archive::{ArchiveError, ArchiveWriter, Chunks, Contents};
use artifact::digest::Algorithm;
use artifact::store::{Options, Store, StoreError};

type Files = Vec<(String, Vec<u8>)>;

/// Path and content; the content is its own id. Sizes from nothing to more than a unit of compression, some of it noise.
fn tree(files: usize) -> Files {
    let content = |n: usize| match n % 97 {
        0 => (0..150_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8 ^ n as u8).collect(),
        1 => Vec::new(),
        _ => format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{n}}}\n")
            .repeat(n % 7 + 1)
            .into_bytes(),
    };
    (0..files).map(|n| (format!("d{:02}/f{n:05}.yaml", n / 50), content(n))).collect()
}

/// Each content is its own id.
#[derive(Default)]
struct Ids {
    last: Vec<u8>,
    reads: usize,
}

impl Contents for &mut Ids {
    type Error = ArchiveError;

    fn read(&mut self, id: &[u8]) -> Result<&[u8], ArchiveError> {
        self.reads += 1;
        self.last = id.to_vec();
        Ok(&self.last)
    }
}

/// Adds the files, each directory before its content; gives how many contents were read.
fn fill<W: Write>(
    archive: &mut ArchiveWriter<W>,
    files: &[(String, Vec<u8>)],
) -> Result<usize, ArchiveError> {
    let mut ids = Ids::default();
    let mut chunked = archive.chunked(&mut ids);
    let mut last = "";
    for (path, content) in files {
        let directory = path.split('/').next().unwrap();
        if directory != last {
            chunked.directory(directory.as_bytes())?;
            last = directory;
        }
        chunked.file(path.as_bytes(), content.len() % 2 == 1, content)?;
    }
    chunked.end()?;
    Ok(ids.reads)
}

fn write(files: &[(String, Vec<u8>)], earlier: Option<(&Path, &Chunks)>) -> (usize, Chunks, Vec<u8>) {
    let mut archive = ArchiveWriter::new(Vec::new(), Algorithm::Sha256).unwrap();
    if let Some((path, chunks)) = earlier {
        archive = archive.after(File::open(path).unwrap(), Arc::new(chunks.clone()));
    }
    let reads = fill(&mut archive, files).unwrap();
    let (written, bytes) = archive.finish().unwrap();
    (reads, written.chunks, bytes)
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::bufread::GzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
    plain
}

#[test]
fn chunks_differ_from_one_stream_in_compression_only() {
    let files = tree(500);
    let (reads, chunks, bytes) = write(&files, None);
    assert_eq!(reads, files.len());
    assert!((5..=30).contains(&chunks.len()), "{} chunks", chunks.len());
    let mut archive = ArchiveWriter::new(Vec::new(), Algorithm::Sha256).unwrap();
    let mut last = "";
    for (path, content) in &files {
        let directory = path.split('/').next().unwrap();
        if directory != last {
            archive.directory(directory.as_bytes()).unwrap();
            last = directory;
        }
        let (executable, size) = (content.len() % 2 == 1, content.len() as u64);
        archive.file(path.as_bytes(), executable, size, &mut content.as_slice()).unwrap();
    }
    let (_, stream) = archive.finish().unwrap();
    assert!(gunzip(&bytes) == gunzip(&stream));
    assert!(bytes.len() < stream.len() + stream.len() / 5, "{} and {}", bytes.len(), stream.len());
}

#[test]
fn chunks_of_an_earlier_archive_save_reads_and_change_no_byte() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("earlier");
    let files = tree(1000);
    let (_, chunks, bytes) = write(&files, None);
    fs::write(&path, bytes).unwrap();
    let edits: [fn(&mut Files); 5] = [
        |_| {},
        |files| files[500].1 = b"changed".to_vec(),
        |files| drop(files.remove(3)),
        |files| files.insert(300, (format!("{}0", files[299].0), b"new".to_vec())),
        |files| files.truncate(990),
    ];
    for (edit, limit) in edits.into_iter().zip([0, 300, 300, 300, 300]) {
        let mut files = files.clone();
        edit(&mut files);
        let (reads, next, with) = write(&files, Some((&path, &chunks)));
        let (_, _, without) = write(&files, None);
        assert!(with == without);
        assert!(reads <= limit, "{reads} of {} read", files.len());
        // What was copied can be copied again.
        let second = temp.path().join("second");
        fs::write(&second, with).unwrap();
        assert_eq!(write(&files, Some((&second, &next))).0, 0);
    }
}

#[test]
fn entries_without_id_may_stand_between_chunks() {
    let files = tree(100);
    let write = || {
        let mut archive = ArchiveWriter::new(Vec::new(), Algorithm::Sha256).unwrap();
        let mut ids = Ids::default();
        let mut chunked = archive.chunked(&mut ids);
        for (path, content) in &files {
            chunked.file(format!("a/{path}").as_bytes(), false, content).unwrap();
            let between = chunked.between().unwrap();
            between.file(format!("b/{path}").as_bytes(), false, 5, &mut &b"plain"[..]).unwrap();
        }
        chunked.end().unwrap();
        archive.finish().unwrap().1
    };
    let plain = gunzip(&write());
    let mut names = tar::Archive::new(plain.as_slice());
    assert_eq!(names.entries().unwrap().count(), 1 + 2 * files.len());
    assert!(write() == write());
}

#[test]
fn an_earlier_archive_that_has_changed_is_not_copied() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("earlier");
    let files = tree(300);
    let (_, chunks, bytes) = write(&files, None);
    for damaged in [
        bytes[..bytes.len() / 2].to_vec(),
        bytes.iter().enumerate().map(|(n, byte)| byte ^ u8::from(n == bytes.len() / 2)).collect(),
    ] {
        fs::write(&path, damaged).unwrap();
        let archive = ArchiveWriter::new(Vec::new(), Algorithm::Sha256).unwrap();
        let mut archive = archive.after(File::open(&path).unwrap(), Arc::new(chunks.clone()));
        assert!(matches!(fill(&mut archive, &files), Err(ArchiveError::Reuse)));
    }
}

#[test]
fn the_store_copies_from_the_last_archive_of_the_object() {
    let temp = tempfile::tempdir().unwrap();
    let store = Store::open(temp.path(), Options { chunks: 100, ..Options::new("host") }).unwrap();
    let mut files = tree(500);
    let mut reads = 0;
    let mut put = |store: &Store, path: &str, files: &[(String, Vec<u8>)]| {
        let stored = store.archive(path, "r", |archive| {
            reads = fill(archive, files).map_err(StoreError::Archive)?;
            Ok::<_, StoreError>(())
        });
        stored.map(|artifact| (reads, artifact.digest))
    };
    let (reads, first) = put(&store, "gitrepository/a/b/1.tar.gz", &files).unwrap();
    assert_eq!(reads, 500);
    files[20].1 = b"changed".to_vec();
    assert!(put(&store, "gitrepository/a/b/2.tar.gz", &files).unwrap().0 < 200);
    assert_eq!(put(&store, "gitrepository/a/other/2.tar.gz", &files).unwrap().0, 500, "another object");
    // The same path, as when only the ignore rules changed.
    assert_eq!(put(&store, "gitrepository/a/b/2.tar.gz", &files).unwrap().0, 0);

    let last = temp.path().join("gitrepository/a/b/2.tar.gz");
    let mut bytes = fs::read(&last).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&last, bytes).unwrap();
    put(&store, "gitrepository/a/b/3.tar.gz", &files).unwrap_err();
    assert_eq!(put(&store, "gitrepository/a/b/3.tar.gz", &files).unwrap().0, 500, "from scratch");
    fs::remove_file(temp.path().join("gitrepository/a/b/3.tar.gz")).unwrap();
    files[20] = tree(500)[20].clone();
    assert_eq!(
        put(&store, "gitrepository/a/b/4.tar.gz", &files).unwrap(),
        (500, first),
        "what is gone is not copied"
    );
}

#[test]
fn chunks_are_remembered_up_to_a_limit() {
    let temp = tempfile::tempdir().unwrap();
    let files = tree(500);
    let chunks = write(&files, None).1.len();
    let store = Store::open(temp.path(), Options { chunks: 2 * chunks, ..Options::new("host") }).unwrap();
    let put = |object: &str| {
        let mut reads = 0;
        let path = format!("gitrepository/a/{object}/1.tar.gz");
        let fill = |archive: &mut _| {
            reads = fill(archive, &files).map_err(StoreError::Archive)?;
            Ok::<_, StoreError>(())
        };
        store.archive(&path, "r", fill).unwrap();
        reads
    };
    let reads: Vec<usize> = ["a", "b", "c", "b", "c", "a"].into_iter().map(put).collect();
    assert_eq!(reads, [500, 500, 500, 0, 0, 500], "the one used longest ago is forgotten");
}
