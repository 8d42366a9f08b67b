//! The store on a real file system: layout, atomic replacement, verification, garbage, and what it refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    sync::Barrier,
    time::{Duration, SystemTime},
};

use artifact::{
    archive::{ArchiveError, ArchiveWriter},
    digest::{Algorithm, Digest, Hasher},
    store::{Artifact, Options, Store, StoreError, advertised_address, artifact_dir, artifact_path},
};
use tempfile::TempDir;

const PATH: &str = "gitrepository/flux-system/app/abc.tar.gz";

fn options() -> Options {
    Options { lock_timeout: Duration::from_millis(100), ..Options::new("localhost:9090") }
}

fn store_with(options: Options) -> (TempDir, Store) {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path(), options).unwrap();
    (root, store)
}

fn store() -> (TempDir, Store) {
    store_with(options())
}

fn archive(store: &Store, path: &str, content: &str) -> Result<Artifact, StoreError> {
    store.archive(path, "main@sha1:abc", |archive| {
        archive.file(b"f", false, content.len() as u64, &mut content.as_bytes()).map_err(StoreError::Archive)
    })
}

fn read(store: &Store, path: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.open_file(path).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

fn sha256(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(bytes);
    hasher.finish()
}

/// Names in the directory of `PATH`, sorted.
fn names(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root.join(PATH).parent().unwrap()).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A stored file of an age.
fn aged(root: &Path, name: &str, seconds: u64) {
    let path = root.join(PATH).with_file_name(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = File::create(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
}

#[test]
fn an_archive_is_stored_under_its_path_with_its_record() {
    let (root, store) = store();
    let before = jiff::Timestamp::now().as_second();
    let artifact = archive(&store, PATH, "content").unwrap();
    let bytes = fs::read(root.path().join(PATH)).unwrap();
    assert_eq!(artifact.path, PATH);
    assert_eq!(artifact.url, format!("http://localhost:9090/{PATH}"));
    assert_eq!(artifact.revision, "main@sha1:abc");
    assert_eq!(artifact.digest, sha256(&bytes));
    assert_eq!(artifact.size, bytes.len() as u64);
    assert!(
        artifact.last_update_time.as_second() >= before && artifact.last_update_time.subsec_nanosecond() == 0
    );
    assert_eq!(names(root.path()), ["abc.tar.gz", "abc.tar.gz.lock"]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let mut path = root.path().join(PATH);
    assert_eq!(mode(&path), 0o600);
    for _ in 0..3 {
        path.pop();
        assert_eq!(mode(&path), 0o700);
    }
}

#[test]
fn the_digest_is_of_the_algorithm_that_was_asked_for() {
    let (_root, store) = store_with(Options { algorithm: Algorithm::Blake3, ..options() });
    let artifact = archive(&store, PATH, "content").unwrap();
    assert_eq!(artifact.digest.algorithm(), Algorithm::Blake3);
    store.verify(PATH, &artifact.digest).unwrap();
}

#[test]
fn a_reader_of_the_old_content_is_not_disturbed_by_a_new_one() {
    let (_root, store) = store();
    archive(&store, PATH, "old content").unwrap();
    let old = read(&store, PATH);
    let mut reader = store.open_file(PATH).unwrap();
    let mut seen = vec![0; 4];
    reader.read_exact(&mut seen).unwrap();
    archive(&store, PATH, "new").unwrap();
    reader.read_to_end(&mut seen).unwrap();
    assert_eq!(seen, old);
    assert_ne!(read(&store, PATH), old);
    store.remove_all(&artifact_dir("GitRepository", "flux-system", "app")).unwrap();
    assert!(matches!(store.open_file(PATH), Err(StoreError::Missing(path)) if path == PATH));
}

#[test]
fn a_failed_write_keeps_the_last_good_file() {
    #[derive(Debug)]
    enum Failure {
        Walk,
        Store(StoreError),
    }
    impl From<StoreError> for Failure {
        fn from(error: StoreError) -> Self {
            Self::Store(error)
        }
    }

    let (root, store) = store();
    archive(&store, PATH, "good").unwrap();
    let good = read(&store, PATH);
    let walk = store.archive(PATH, "2", |archive| {
        archive.directory(b"half").unwrap();
        Err(Failure::Walk)
    });
    assert!(matches!(walk, Err(Failure::Walk)));
    let write = store.archive(PATH, "2", |archive| {
        let source = io::ErrorKind::StorageFull.into();
        archive.directory(b"half").map_err(StoreError::Archive)?;
        Err(Failure::from(StoreError::from(ArchiveError::Write(source))))
    });
    assert!(matches!(write, Err(Failure::Store(StoreError::Archive(_)))));
    let failing = store.archive(PATH, "2", |archive| {
        archive.file(b"f", false, 9, &mut Read::chain(&b"half"[..], Broken)).map_err(StoreError::Archive)
    });
    assert!(matches!(failing, Err(StoreError::Archive(ArchiveError::Read { .. }))));
    assert_eq!(read(&store, PATH), good);
    assert_eq!(names(root.path()), ["abc.tar.gz", "abc.tar.gz.lock"]);
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

#[test]
fn a_full_disk_is_told_by_the_archive_writer() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let archive = ArchiveWriter::new(full, Algorithm::Sha256);
    assert!(
        matches!(archive, Err(ArchiveError::Write(source)) if source.kind() == io::ErrorKind::StorageFull)
    );
}

#[test]
fn a_name_that_the_file_system_refuses_is_an_error_with_its_step() {
    let (_root, store) = store();
    let long = format!("gitrepository/flux-system/app/{}.tar.gz", "n".repeat(300));
    let result = archive(&store, &long, "x");
    assert!(matches!(&result, Err(StoreError::Io { step: "lock", .. })), "{result:?}");
}

#[test]
fn verification_notices_missing_changed_and_cut_files() {
    let (root, store) = store();
    let artifact = archive(&store, PATH, "content").unwrap();
    let file = root.path().join(PATH);
    let good = fs::read(&file).unwrap();
    for _ in 0..2 {
        store.verify(PATH, &artifact.digest).unwrap();
    }

    // One bit, with size and modification time as before.
    let modified = fs::metadata(&file).unwrap().modified().unwrap();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    fs::write(&file, &flipped).unwrap();
    File::options().write(true).open(&file).unwrap().set_modified(modified).unwrap();
    let mismatch = |result| matches!(result, Err(StoreError::Mismatch(digest)) if digest == artifact.digest);
    assert!(mismatch(store.verify(PATH, &artifact.digest)));
    fs::write(&file, &good[..good.len() - 1]).unwrap();
    assert!(mismatch(store.verify(PATH, &artifact.digest)));

    fs::write(&file, &good).unwrap();
    store.verify(PATH, &artifact.digest).unwrap();
    assert!(matches!(store.verify(PATH, &sha256(b"other")), Err(StoreError::Mismatch(_))));
    store.remove(PATH).unwrap();
    assert!(matches!(store.verify(PATH, &artifact.digest), Err(StoreError::Missing(_))));
    store.remove(PATH).unwrap();
}

#[test]
fn tampering_is_noticed_after_the_file_was_remembered_as_verified() {
    let (root, store) = store();
    let artifact = archive(&store, PATH, "content").unwrap();
    let file = root.path().join(PATH);
    let settled = || {
        let changed = fs::metadata(&file).unwrap().ctime();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        now as i64 > changed + 3
    };
    while !settled() {
        std::thread::sleep(Duration::from_millis(50));
    }
    store.verify(PATH, &artifact.digest).unwrap();
    store.verify(PATH, &artifact.digest).unwrap();
    let before = fs::metadata(&file).unwrap();
    let mut bytes = fs::read(&file).unwrap();
    bytes[20] ^= 1;
    fs::write(&file, bytes).unwrap();
    File::options().write(true).open(&file).unwrap().set_modified(before.modified().unwrap()).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().len(), before.len());
    assert!(matches!(store.verify(PATH, &artifact.digest), Err(StoreError::Mismatch(_))));
}

#[test]
fn paths_outside_the_layout_are_refused() {
    let (_root, store) = store();
    for path in [
        "",
        "/",
        "a/b/c",
        "a/b/c/d/e",
        "../b/c/d",
        "a/../c/d",
        "a/b/c/..",
        "/a/b/c/d",
        "a/b/c/",
        "a//c/d",
        "a/./c/d",
        "a/b/c/d\0",
        "a/b/c\\d/e",
        "a/b/c/d.lock",
        "a/b/c/d.tmp",
    ] {
        assert!(matches!(store.open_file(path), Err(StoreError::Path(_))), "{path:?}");
        assert!(matches!(archive(&store, path, "x"), Err(StoreError::Path(_))), "{path:?}");
        assert!(matches!(store.remove(path), Err(StoreError::Path(_))), "{path:?}");
        assert!(matches!(store.collect_garbage(path), Err(StoreError::Path(_))), "{path:?}");
    }
    for dir in ["", "a", "a/b", "a/b/..", "a/b/c/d", "/b/c", "../../x"] {
        assert!(matches!(store.remove_all(dir), Err(StoreError::Path(_))), "{dir:?}");
    }
}

#[test]
fn links_are_not_followed_to_read_write_or_remove() {
    let (root, store) = store();
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir_all(outside.path().join("app")).unwrap();
    fs::write(outside.path().join("app/abc.tar.gz"), "secret").unwrap();
    fs::create_dir(root.path().join("gitrepository")).unwrap();
    symlink(outside.path(), root.path().join("gitrepository/flux-system")).unwrap();
    assert!(matches!(store.open_file(PATH), Err(StoreError::Path(_))));
    assert!(matches!(archive(&store, PATH, "x"), Err(StoreError::Path(_))));
    assert!(matches!(store.collect_garbage(PATH), Err(StoreError::Path(_))));
    assert!(matches!(store.remove_all("gitrepository/flux-system/app"), Err(StoreError::Path(_))));

    let linked = "gitrepository/team/app/abc.tar.gz";
    fs::create_dir_all(root.path().join("gitrepository/team/app")).unwrap();
    symlink(outside.path().join("app/abc.tar.gz"), root.path().join(linked)).unwrap();
    assert!(matches!(store.open_file(linked), Err(StoreError::Missing(_))));
    archive(&store, linked, "x").unwrap();
    assert_eq!(fs::read(outside.path().join("app/abc.tar.gz")).unwrap(), b"secret");
}

#[test]
fn a_link_leads_to_the_artifact_that_it_was_given_last() {
    let (root, store) = store();
    let second = PATH.replace("abc", "def");
    archive(&store, PATH, "one").unwrap();
    archive(&store, &second, "two").unwrap();
    let link = root.path().join(PATH).with_file_name("latest.tar.gz");
    // As Flux leaves it: with the whole path, which is another one where the volume is mounted elsewhere.
    symlink("/data/gitrepository/flux-system/app/abc.tar.gz", &link).unwrap();
    for path in [PATH, &second, &second] {
        let url = store.link(path, "latest.tar.gz").unwrap();
        assert_eq!(url, "http://localhost:9090/gitrepository/flux-system/app/latest.tar.gz");
        assert_eq!(fs::read(&link).unwrap(), read(&store, path));
    }
    let left = ["abc.tar.gz", "abc.tar.gz.lock", "def.tar.gz", "def.tar.gz.lock", "latest.tar.gz"];
    assert_eq!(names(root.path()), left, "nothing temporary stays");
    // It is none of the artifacts that count.
    let store = Store::open(root.path(), Options { retention_records: 1, ..options() }).unwrap();
    assert_eq!(store.collect_garbage(&second).unwrap(), [PATH]);
    assert_eq!(fs::read(&link).unwrap(), read(&store, &second));
    assert!(matches!(store.link("gitrepository/other/app/../x", "latest.tar.gz"), Err(StoreError::Path(_))));
    assert!(store.remove_all("gitrepository/flux-system/app").unwrap());
    assert!(!link.is_symlink());
}

#[test]
fn garbage_goes_with_its_lock_and_the_current_file_stays() {
    let (root, store) = store_with(Options { retention_records: 2, ..options() });
    for (name, age) in [("a", 4), ("b", 3), ("b.lock", 900), ("c", 2), ("d", 1), ("x.q1w2e3.tmp", 900)] {
        aged(root.path(), name, age);
    }
    aged(root.path(), "abc.tar.gz", 500);
    aged(root.path(), "abc.tar.gz.lock", 500);
    fs::create_dir(root.path().join(PATH).with_file_name("dir")).unwrap();
    symlink("abc.tar.gz", root.path().join(PATH).with_file_name("latest.tar.gz")).unwrap();
    let removed = store.collect_garbage(PATH).unwrap();
    let dir = "gitrepository/flux-system/app";
    assert_eq!(removed, ["a", "b", "c"].map(|name| format!("{dir}/{name}")));
    assert_eq!(
        names(root.path()),
        ["abc.tar.gz", "abc.tar.gz.lock", "d", "dir", "latest.tar.gz", "x.q1w2e3.tmp"]
    );
    assert_eq!(store.collect_garbage(PATH).unwrap(), [""; 0]);
}

#[test]
fn garbage_collection_looks_at_a_limited_number_of_files() {
    let (root, store) = store_with(Options { garbage_scan_limit: 3, ..options() });
    for name in ["a", "b", "c", "d", "e", "f"] {
        aged(root.path(), name, 100);
    }
    assert_eq!(store.collect_garbage(PATH).unwrap().len(), 3);
    assert_eq!(names(root.path()), ["d", "e", "f"]);
}

#[test]
fn garbage_collection_stops_at_its_deadline() {
    let (root, store) = store_with(Options { garbage_deadline: Duration::ZERO, ..options() });
    aged(root.path(), "a", 100);
    assert!(matches!(store.collect_garbage(PATH), Err(StoreError::Deadline)));
    assert_eq!(names(root.path()), ["a"]);
}

#[test]
fn removal_takes_the_whole_directory() {
    let (root, store) = store();
    assert_eq!(store.collect_garbage(PATH).unwrap(), [""; 0]);
    for name in ["a", "abc.tar.gz", "b"] {
        aged(root.path(), name, 0);
    }
    let dir = artifact_dir("GitRepository", "flux-system", "app");
    assert!(store.remove_all(&dir).unwrap());
    assert!(!root.path().join(&dir).exists());
    assert!(!store.remove_all(&dir).unwrap());
}

#[test]
fn a_second_writer_waits_for_the_lock_and_gives_up_without_writing() {
    let (root, store) = store();
    archive(&store, PATH, "first").unwrap();
    let good = read(&store, PATH);
    let lock = File::options().write(true).open(root.path().join(format!("{PATH}.lock"))).unwrap();
    lock.lock().unwrap();
    assert!(matches!(archive(&store, PATH, "second"), Err(StoreError::Locked(path)) if path == PATH));
    assert_eq!(read(&store, PATH), good);
    lock.unlock().unwrap();
    archive(&store, PATH, "second").unwrap();
    assert_ne!(read(&store, PATH), good);
}

#[test]
fn a_store_belongs_to_one_process_until_that_lets_go_of_it() {
    let (root, store) = store();
    assert!(store.claim().unwrap());
    assert!(store.claim().unwrap(), "it stays ours");
    let other = Store::open(root.path(), options()).unwrap();
    assert!(!other.claim().unwrap());
    drop(store);
    assert!(other.claim().unwrap());
}

#[test]
fn concurrent_writers_of_one_file_leave_one_of_their_contents() {
    let (root, store) = store_with(Options::new("localhost"));
    let start = Barrier::new(8);
    let digests: Vec<Digest> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|n| {
                let (store, start) = (&store, &start);
                scope.spawn(move || {
                    start.wait();
                    archive(store, PATH, &format!("content {n}")).unwrap().digest
                })
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    let stored = sha256(&read(&store, PATH));
    assert!(digests.contains(&stored));
    assert_eq!(names(root.path()), ["abc.tar.gz", "abc.tar.gz.lock"]);
}

#[test]
fn opening_sweeps_what_a_killed_writer_left_but_not_what_is_being_written() {
    let (root, first) = store();
    archive(&first, PATH, "x").unwrap();
    aged(root.path(), "abc.tar.gz.Ab12Cd.tmp", 0);
    aged(root.path(), "def.tar.gz.Ab12Cd.tmp", 0);
    let lock = File::options().write(true).open(root.path().join(format!("{PATH}.lock"))).unwrap();
    lock.lock().unwrap();
    Store::open(root.path(), options()).unwrap();
    assert_eq!(names(root.path()), ["abc.tar.gz", "abc.tar.gz.Ab12Cd.tmp", "abc.tar.gz.lock"]);
    drop(lock);
    Store::open(root.path(), options()).unwrap();
    assert_eq!(names(root.path()), ["abc.tar.gz", "abc.tar.gz.lock"]);
}

#[test]
fn a_root_that_is_missing_or_a_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    assert!(matches!(Store::open(&missing, options()), Err(StoreError::Root { source: Some(_), .. })));
    let file = dir.path().join("file");
    File::create(&file).unwrap().write_all(b"x").unwrap();
    assert!(matches!(Store::open(&file, options()), Err(StoreError::Root { source: None, .. })));
}

#[test]
fn paths_and_urls_are_composed_as_consumers_expect() {
    assert_eq!(artifact_path("GitRepository", "ns", "app", "abc.tar.gz"), "gitrepository/ns/app/abc.tar.gz");
    for (advertise, path, url) in [
        ("host", "p", "http://host/p"),
        ("host:9090", "/p", "http://host:9090/p"),
        ("http://host", "p", "http://host/p"),
        ("https://host/base", "//p", "https://host/base/p"),
    ] {
        let (_root, store) = store_with(Options::new(advertise));
        assert_eq!(store.url(path), url);
    }
}

#[test]
fn the_advertised_address_follows_the_listen_address() {
    for (listen, hostname, expected) in [
        (":9090", "pod", Some("localhost:9090")),
        ("0.0.0.0:9090", "pod", Some("pod:9090")),
        ("0.0.0.0:9090", "", None),
        ("127.0.0.1:9090", "pod", Some("127.0.0.1:9090")),
        ("[::1]:9090", "pod", Some("[::1]:9090")),
        ("::1:9090", "pod", None),
        ("source.example:80", "pod", Some("source.example:80")),
        ("no-port", "pod", None),
    ] {
        assert_eq!(advertised_address(listen, hostname).as_deref(), expected, "{listen}");
    }
}

#[test]
fn an_artifact_is_current_if_this_version_stored_it() {
    let (root, store) = store();
    let lock = root.path().join(format!("{PATH}.lock"));
    let first = archive(&store, PATH, "first").unwrap();
    assert!(store.is_current(PATH, &first.digest));
    let again = Store::open(root.path(), options()).unwrap();
    assert!(again.is_current(PATH, &first.digest), "for the next process too");
    assert!(!store.is_current(PATH, &sha256(b"other")));
    assert!(!store.is_current("gitrepository/flux-system/app/other.tar.gz", &first.digest));
    assert!(!store.is_current("../../etc/passwd", &first.digest));
    let note = fs::read_to_string(&lock).unwrap();
    // A version that knew no notes, one before this, and one that ends while it writes.
    for text in [String::new(), note.replace("writer 2", "writer 1"), note[..note.len() - 2].to_owned()] {
        fs::write(&lock, &text).unwrap();
        assert!(!store.is_current(PATH, &first.digest), "{text:?}");
        assert_eq!(archive(&store, PATH, "first").unwrap().digest, first.digest);
        assert!(store.is_current(PATH, &first.digest), "it was stored again");
    }
    // The one that knew no notes leaves the note that is there.
    fs::write(root.path().join(PATH), "what it stored").unwrap();
    assert!(!store.is_current(PATH, &sha256(b"what it stored")));
    fs::remove_file(&lock).unwrap();
    assert!(!store.is_current(PATH, &first.digest));
}

#[test]
fn a_copy_has_the_bytes_that_were_given_or_leaves_what_was_there() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("unplugged"))
        }
    }
    let (root, store) = store();
    let stored = store.copy(PATH, "latest@sha256:1", &mut &b"no archive at all"[..]).unwrap();
    assert_eq!(stored.digest, sha256(b"no archive at all"));
    assert_eq!((stored.size, stored.revision.as_str()), (17, "latest@sha256:1"));
    assert_eq!(read(&store, PATH), b"no archive at all");
    assert!(store.is_current(PATH, &stored.digest));
    let error = store.copy(PATH, "latest@sha256:2", &mut (&b"half"[..]).chain(Broken)).unwrap_err();
    assert!(matches!(error, StoreError::Io { step: "write", .. }), "{error:?}");
    assert_eq!(read(&store, PATH), b"no archive at all");
    assert_eq!(names(root.path()), ["abc.tar.gz", "abc.tar.gz.lock"]);
}
