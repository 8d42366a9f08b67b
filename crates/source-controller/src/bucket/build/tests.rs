//! Artifacts that are made of what was fetched and of the artifact before.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use artifact::store::{Options, Store};
use artifact::unpack::{Entry, unpack};

use super::*;
use crate::bucket::index::{IgnoreFile, Index};

struct Bench {
    _root: tempfile::TempDir,
    storage: ObjectStorage,
}

impl Bench {
    fn new() -> Bench {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path(), Options::new("localhost")).unwrap();
        Bench { storage: ObjectStorage::new(Arc::new(store), "Bucket", "ns", "app"), _root: root }
    }

    /// Makes an artifact of objects that are the content of `fetched`, or unchanged in the artifact `last`.
    fn make(
        &self,
        objects: &[(&str, &str, u64)],
        fetched: &[(&str, &[u8])],
        last: Option<&Artifact>,
        ignore: Option<&str>,
    ) -> Result<Artifact, Failure> {
        let object = |(key, etag, size): &(&str, &str, u64)| Object {
            key: (*key).to_owned(),
            etag: (*etag).to_owned(),
            size: *size,
            ..Object::default()
        };
        self.make_of(objects.iter().map(object).collect(), fetched, last, ignore)
    }

    fn make_of(
        &self,
        objects: Vec<Object>,
        fetched: &[(&str, &[u8])],
        last: Option<&Artifact>,
        ignore: Option<&str>,
    ) -> Result<Artifact, Failure> {
        let count = objects.len();
        let index = Index::of(objects);
        let (mut file, mut offsets, mut end) = (tempfile::tempfile().unwrap(), vec![None; count], 0);
        for (key, content) in fetched {
            *offsets.get_mut(index.find(key).unwrap()).unwrap() = Some(end);
            file.write_all(content).unwrap();
            end += content.len() as u64;
        }
        let revision = index.revision(artifact::digest::Algorithm::Sha256);
        let text = |text: &str| IgnoreFile { etag: "i".to_owned(), text: text.as_bytes().to_vec() };
        let recipe = Recipe {
            revision: revision.to_string(),
            hex: revision.hex().to_owned(),
            bucket: "b".to_owned(),
            snapshot: Snapshot { origin: "o".to_owned(), ignore: ignore.map(text), index },
            located: Located { offsets, file },
            last: last.map(|last| (last.path.clone(), self.storage.store.open_file(&last.path).unwrap())),
        };
        store(&self.storage, recipe, &Deadline::new(Duration::from_secs(60)))
    }

    fn entries(&self, artifact: &Artifact) -> Vec<String> {
        let (mut entries, file) = (Vec::new(), self.storage.store.open_file(&artifact.path).unwrap());
        unpack(file, &unpack::Limits::default(), &mut |entry| {
            entries.push(match entry {
                Entry::Directory { path } => format!("{}/", String::from_utf8_lossy(path)),
                Entry::File { path, size, content, .. } => {
                    let mut text = String::new();
                    content.take(8).read_to_string(&mut text)?;
                    format!("{} {size} {text}", String::from_utf8_lossy(path))
                }
            });
            Ok(())
        })
        .unwrap();
        entries
    }
}

#[test]
fn unchanged_objects_are_taken_from_the_last_artifact() {
    let bench = Bench::new();
    let large = vec![b'x'; 3 << 20];
    let objects = [("a/b/c", "1", 1), ("a/d", "1", 2), ("large", "1", 3 << 20), ("z", "1", 1)];
    let contents = [("a/b/c", &b"1"[..]), ("a/d", b"22"), ("large", &large), ("z", b"z")];
    let first = bench.make(&objects, &contents, None, Some("*.md\n")).unwrap();
    let expected =
        [".sourceignore 5 *.md\n", "a/", "a/b/", "a/b/c 1 1", "a/d 2 22", "large 3145728 xxxxxxxx", "z 1 z"];
    assert_eq!(bench.entries(&first), expected);
    let changed = [("a/b/c", "1", 1), ("a/d", "2", 3), ("large", "1", 3 << 20), ("new", "1", 1)];
    let with_last =
        bench.make(&changed, &[("a/d", b"333"), ("new", b"n")], Some(&first), Some("*.md\n")).unwrap();
    assert_eq!(
        bench.entries(&with_last),
        [
            ".sourceignore 5 *.md\n",
            "a/",
            "a/b/",
            "a/b/c 1 1",
            "a/d 3 333",
            "large 3145728 xxxxxxxx",
            "new 1 n"
        ]
    );
    let all = [("a/b/c", &b"1"[..]), ("a/d", b"333"), ("large", &large), ("new", b"n")];
    let whole = Bench::new().make(&changed, &all, None, Some("*.md\n")).unwrap();
    assert_eq!(with_last.digest, whole.digest, "the bytes do not depend on what was there before");
    let kept = bench.storage.store.sidecar(&with_last.path, 1 << 20).unwrap().unwrap();
    assert_eq!(Snapshot::from_bytes(&kept).unwrap().index.objects().len(), 4);
}

#[test]
fn a_last_artifact_that_lacks_an_object_is_not_used_again() {
    let bench = Bench::new();
    let first = bench.make(&[("a", "1", 1)], &[("a", b"1")], None, None).unwrap();
    let failure = bench.make(&[("a", "1", 1), ("b", "1", 1)], &[], Some(&first), None).unwrap_err();
    assert_eq!(failure.message, "unable to archive artifact to storage: the last artifact has no file \"b\"");
    let kept = bench.storage.store.sidecar(&first.path, 1 << 20).unwrap().unwrap();
    assert_eq!(Snapshot::from_bytes(&kept), None);
}

#[test]
fn a_file_within_a_file_is_refused() {
    let bench = Bench::new();
    let objects = [("a", "1", 1), ("a/b", "1", 1)];
    let failure = bench.make(&objects, &[("a", b"1"), ("a/b", b"2")], None, None).unwrap_err();
    assert_eq!(failure.message, "fetch from bucket 'b' failed: failed to get 'a/b' object: 'a' is a file");
    assert_eq!(failure.reason, "BucketOperationFailed");
}

#[test]
fn packed_objects_are_unpacked_and_then_taken_over_like_all_others() {
    let (small, large) = (b"small".to_vec(), vec![b'x'; 3 << 20]);
    let packed = [e2e::object_store::gzip(&small), e2e::object_store::gzip(&large)];
    let bench = Bench::new();
    let objects = |known: bool| {
        let packed = [("a", &packed[0], &small), ("b", &packed[1], &large)];
        let packed = packed.map(|(key, packed, content)| Object {
            key: key.to_owned(),
            etag: "1".to_owned(),
            size: packed.len() as u64,
            unpacked: Some(content.len() as u64),
            ..Object::default()
        });
        let other = |key: &str| Object { key: key.to_owned(), size: 1, ..Object::default() };
        packed.into_iter().chain(known.then(|| other("c"))).collect::<Vec<_>>()
    };
    let contents: [(&str, &[u8]); 2] = [("a", &packed[0]), ("b", &packed[1])];
    let first = bench.make_of(objects(false), &contents, None, None).unwrap();
    assert_eq!(bench.entries(&first), ["a 5 small", "b 3145728 xxxxxxxx"]);
    let second = bench.make_of(objects(true), &[("c", b"c")], Some(&first), None).unwrap();
    assert_eq!(bench.entries(&second), ["a 5 small", "b 3145728 xxxxxxxx", "c 1 c"]);
    // A chunk of what was packed in an artifact of a former version is not that of its content.
    let snapshot = Snapshot { origin: "o".to_owned(), ignore: None, index: Index::of(objects(false)) };
    let of = |unpacked| Object { unpacked, ..snapshot.index.objects().first().unwrap().clone() };
    assert_ne!(id(&snapshot, Some(&of(None))), id(&snapshot, Some(&of(Some(5)))));
}
