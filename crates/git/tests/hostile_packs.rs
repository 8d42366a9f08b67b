//! Packs that no Git writes: what is wrong with each is said, nothing is left of it, and it costs no more than its limits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use git::{Cache, Connector, Limits, Outcome, Reference, Remote, WalkError};
use gix::ObjectId;
use net::Deadline;
use support::hostile::{Answer, Hostile, band, line, pack_answer};
use support::pack::{
    BLOB, FIRST, OFS_DELTA, Pack, REF_DELTA, copy, deflate, delta, distance, grow, header, id,
};
use tempfile::TempDir;

const LONG: Duration = Duration::from_secs(60);

/// What a fetch from the server ends with, without the words that all such errors begin with. Nothing may be left of it.
fn error_of(server: &Hostile, limits: &Limits, time: Duration) -> String {
    let dir = TempDir::new().unwrap();
    let error = fetch(server, dir.path(), limits, time).unwrap_err();
    let packs = dir.path().join("content/0/objects/pack");
    let left: Vec<_> = std::fs::read_dir(packs).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{error}: {left:?}");
    error
}

fn fetch(server: &Hostile, dir: &Path, limits: &Limits, time: Duration) -> Result<Vec<String>, String> {
    let cache = Cache::new(dir.to_owned(), limits.clone());
    let remote = Remote::new(&server.url()).unwrap();
    let deadline = Deadline::new(time);
    let prefix = format!("unable to clone '{}': ", server.url());
    let outcome = cache.checkout(&Connector::default(), &remote, &Reference::default(), None, &deadline);
    let outcome = outcome.map_err(|error| error.to_string().trim_start_matches(&prefix).to_owned())?;
    let Outcome::Checkout(checkout) = outcome else { panic!() };
    let mut files = Vec::new();
    let walked = checkout.walk(|mut entry| {
        files.push(String::from_utf8_lossy(entry.read()?).into_owned());
        Ok::<_, WalkError>(())
    });
    walked.map(|()| files).map_err(|error| error.to_string())
}

/// A pack whose last object is made by `extra`; its commit has one file, `content`.
fn pack<T>(content: &[u8], extra: impl FnOnce(&mut Pack) -> T) -> (ObjectId, Pack) {
    let mut pack = Pack::default();
    let tree = [("100644", &b"f"[..], id(BLOB, content))];
    let tree = pack.tree(&tree);
    let commit = pack.commit(tree);
    extra(&mut pack);
    (commit, pack)
}

fn error_of_pack<T>(extra: impl FnOnce(&mut Pack) -> T) -> String {
    let (commit, pack) = pack(b"", extra);
    error_of(&Hostile::with_pack(commit, pack.bytes()), &Limits::default(), LONG)
}

#[test]
fn deltas_that_git_would_not_write_but_may_are_read() {
    // The base comes last, and after it more that builds on what builds on it.
    let (first, second, third) = (b"content".to_vec(), b"content1".to_vec(), b"content12".to_vec());
    let (commit, pack) = pack(&third, |pack| {
        pack.ref_delta(id(BLOB, &second), &grow(8, b'2'));
        pack.ref_delta(id(BLOB, &first), &grow(7, b'1'));
        pack.object(BLOB, &first);
    });
    let server = Hostile::with_pack(commit, pack.bytes());
    let dir = TempDir::new().unwrap();
    assert_eq!(fetch(&server, dir.path(), &Limits::default(), LONG).unwrap(), ["content12"]);
}

/// `depth` deltas, each on the one before, after a blob of `size` bytes.
fn chain(pack: &mut Pack, depth: u64, size: u64, by_id: bool) {
    let mut content = vec![b'0'; size as usize];
    let mut offset = pack.end();
    pack.object(BLOB, &content);
    for i in 0..depth {
        let base = by_id.then(|| id(BLOB, &content));
        let replace = delta(size, size, &[&copy(0, size as u32 - 8)[..], &[8], &i.to_be_bytes()].concat());
        content.splice(size as usize - 8.., i.to_be_bytes());
        offset = match base {
            Some(base) => pack.ref_delta(base, &replace),
            None => pack.ofs_delta(offset, &replace),
        };
    }
}

#[test]
fn a_chain_of_deltas_has_a_limit_in_depth() {
    for by_id in [false, true] {
        let error = error_of_pack(|pack| chain(pack, 100_000, 16, by_id));
        assert_eq!(error, "the server sent more than the limit of 4095 deltas on one another", "{by_id}");
        let limits = Limits { delta_depth: 20, ..Limits::default() };
        for (depth, fits) in [(20, true), (21, false)] {
            let (commit, pack) = pack(&[b'0'; 16], |pack| chain(pack, depth, 16, by_id));
            let (server, dir) = (Hostile::with_pack(commit, pack.bytes()), TempDir::new().unwrap());
            let files = fetch(&server, dir.path(), &limits, LONG);
            assert_eq!(files.is_ok(), fits, "{depth} {by_id}: {files:?}");
        }
    }
}

#[test]
fn a_chain_of_deltas_has_a_limit_in_bytes() {
    for by_id in [false, true] {
        let limits = Limits { delta_bytes: 10_500, ..Limits::default() };
        let error = |depth| {
            let (commit, pack) = pack(&[b'0'; 1000], |pack| chain(pack, depth, 1000, by_id));
            let (server, dir) = (Hostile::with_pack(commit, pack.bytes()), TempDir::new().unwrap());
            fetch(&server, dir.path(), &limits, LONG).err()
        };
        assert_eq!(error(9), None);
        let text = "the server sent more than the limit of 10500 bytes in a chain of deltas";
        assert_eq!(error(10).as_deref(), Some(text), "{by_id}");
    }
}

#[test]
fn deltas_without_a_base_are_refused() {
    let (a, b) = (id(BLOB, b"a"), id(BLOB, b"b"));
    type Case = (&'static str, Box<dyn Fn(&mut Pack) -> u64>, &'static str);
    let cases: [Case; 7] = [
        ("nowhere", Box::new(move |pack| pack.ref_delta(a, &grow(1, b'x'))), "could not be found"),
        (
            "each other",
            Box::new(move |pack| {
                pack.ref_delta(a, &delta(1, 1, &[1, b'b']));
                pack.ref_delta(b, &delta(1, 1, &[1, b'a']))
            }),
            "could not be found",
        ),
        ("itself", Box::new(|pack| pack.ofs_delta(pack.end(), &grow(1, b'x'))), "something outside"),
        (
            "before the pack",
            Box::new(|pack| pack.entry(OFS_DELTA, 1, &distance(pack.end() + 1), &deflate(b"x"))),
            "something outside",
        ),
        ("the header", Box::new(|pack| pack.ofs_delta(FIRST - 1, &grow(1, b'x'))), "something outside"),
        (
            "the middle of an object",
            Box::new(|pack| pack.ofs_delta(FIRST + 1, &grow(1, b'x'))),
            "was never added",
        ),
        (
            "a number without end",
            Box::new(|pack| pack.entry(OFS_DELTA, 1, &[0xff; 40], &deflate(b"x"))),
            "broken pack",
        ),
    ];
    for (base, extra, expected) in cases {
        let error = error_of_pack(extra);
        assert!(error.contains(expected), "{base}: {error}");
    }
}

#[test]
fn deltas_that_lie_are_refused() {
    let limit = "the server sent more than the limit of 134217728 bytes in one object";
    for (lie, expected) in [
        (delta(10, 1 << 62, &[1, b'x']), limit),
        (delta(10, 1 << 30, &copy(0, 10)), limit),
        (delta(1 << 62, 1, &[1, b'x']), limit),
        (delta(10, 1 << 27, &copy(0, 10)), "fewer bytes than promised"),
        (delta(10, 9, &copy(0, 10)), "more bytes than promised"),
        (delta(10, 20, &copy(0, 20)), "exceeds base object size"),
        (delta(10, 10, &copy(u32::MAX, 10)), "exceeds base object size"),
        (delta(11, 11, &copy(0, 11)), "does not match base object size"),
        (delta(10, 10, &[0]), "reserved"),
        (delta(10, 10, &[0xff]), "truncated"),
        (delta(10, 10, &[100, b'x']), "truncated"),
        (vec![0x80; 30], "without sizes"),
        (vec![10], "without sizes"),
        (Vec::new(), "without sizes"),
    ] {
        let error = error_of_pack(|pack| {
            let base = pack.end();
            pack.object(BLOB, b"0123456789");
            pack.ofs_delta(base, &lie);
        });
        assert!(error.contains(expected), "{lie:?}: {error}");
    }
}

#[test]
fn objects_that_lie_are_refused() {
    let bomb = deflate(&vec![0; 8 << 20]);
    let limit = "the server sent more than the limit of 134217728 bytes in one object";
    let cases: [(&str, Vec<u8>, &str); 8] = [
        ("8 MiB that say they are 10 bytes", [&header(BLOB, 10), &bomb[..]].concat(), "not the size"),
        ("less than it says", [&header(BLOB, 10), &deflate(b"x")[..]].concat(), "not the size"),
        ("more than may be", [&header(BLOB, 1 << 40), &bomb[..]].concat(), limit),
        ("a size without end", [&[0xbf][..], &[0xff; 40]].concat(), "overflow"),
        ("not compressed", [&header(BLOB, 10), &b"0123456789"[..]].concat(), "broken pack"),
        ("type 0", [&header(0, 1), &deflate(b"x")[..]].concat(), "unsupported"),
        ("type 5", [&header(5, 1), &deflate(b"x")[..]].concat(), "unsupported"),
        ("half an id", [&header(REF_DELTA, 1), &[1; 10][..]].concat(), "broken pack"),
    ];
    for (what, raw, expected) in cases {
        let error = error_of_pack(|pack| pack.raw(&raw));
        assert!(error.contains(expected), "{what}: {error}");
    }
}

#[test]
fn a_pack_that_ends_anywhere_is_refused() {
    let (commit, pack) = pack(b"content", |pack| {
        let base = pack.end();
        pack.object(BLOB, b"content");
        pack.ofs_delta(base, &grow(7, b'!'));
        pack.ref_delta(id(BLOB, b"content"), &grow(7, b'?'));
    });
    let whole = pack.bytes();
    for end in 0..whole.len() {
        let error = error_of(&Hostile::with_pack(commit, whole[..end].to_vec()), &Limits::default(), LONG);
        assert!(error.contains("ends too early"), "{end}: {error}");
    }
    for (what, wrong) in [
        ("wrong checksum", [&whole[..whole.len() - 1], &[!whole[whole.len() - 1]]].concat()),
        ("more after it", [&whole[..], b"x"].concat()),
        ("not recognized", [b"PICK", &whole[4..]].concat()),
        ("version", [b"PACK\0\0\0\x04", &whole[8..]].concat()),
        ("limit of 2000000 objects", pack.announcing(1_000_000_000)),
        ("broken pack", pack.announcing(6)),
        ("wrong checksum", pack.announcing(4)),
        ("could not be found", Pack::default().bytes()),
    ] {
        let error = error_of(&Hostile::with_pack(commit, wrong), &Limits::default(), LONG);
        assert!(error.contains(what), "{what}: {error}");
    }
}

/// A pack of one blob that says it has `size` bytes and never comes to its end: blocks that are stored, not compressed.
fn endless(size: u64, pause: Duration) -> Hostile {
    let begin = [b"PACK\0\0\0\x02\0\0\0\x01", &header(BLOB, size)[..], &[0x78, 0x01]].concat();
    let block = [&[0, 0xe8, 0x03, 0x17, 0xfc][..], &[b'x'; 1000]].concat();
    let answer = Answer::of("result", [line("packfile\n"), band(1, &begin)].concat());
    Hostile::with_fetch(id(BLOB, b""), answer.then_for_ever(band(1, &block), pause))
}

#[test]
fn a_pack_without_end_ends_with_bytes_or_time() {
    let limits = Limits { pack_bytes: 1 << 20, ..Limits::default() };
    let error = error_of(&endless(100 << 20, Duration::ZERO), &limits, LONG);
    assert_eq!(error, "the server sent more than the limit of 1048576 bytes of a pack");
    // Each read gives something, so nothing but the whole time can end it.
    let begun = Instant::now();
    let error = error_of(&endless(100 << 20, Duration::from_millis(10)), &limits, Duration::from_millis(700));
    assert_eq!(error, "context deadline exceeded");
    assert!(begun.elapsed() < Duration::from_secs(20));
    // What comes after a pack, and what is no part of it.
    let (commit, pack) = pack(b"content", |pack| pack.object(BLOB, b"content"));
    let unfinished = &pack_answer(&pack.bytes())[..pack_answer(&pack.bytes()).len() - 4];
    for (number, expected) in
        [(1, "broken pack: more after it"), (2, "bytes of a pack"), (3, "bytes of a pack")]
    {
        let answer =
            Answer::of("result", unfinished).then_for_ever(band(number, &[b'.'; 1000]), Duration::ZERO);
        let error = error_of(&Hostile::with_fetch(commit, answer), &limits, LONG);
        assert!(error.contains(expected), "{number}: {error}");
    }
    // Empty packets of data.
    let answer = Answer::of("result", line("packfile\n")).then_for_ever(line([1]), Duration::ZERO);
    let error = error_of(&Hostile::with_fetch(commit, answer), &limits, LONG);
    assert!(error.contains("bytes of a pack"), "{error}");
}

#[test]
fn work_on_a_pack_ends_with_its_time() {
    // Some 20 GB of copying.
    let (commit, pack) = pack(b"", |pack| chain(pack, 4000, 5 << 20, false));
    let limits = Limits { delta_bytes: u64::MAX, ..Limits::default() };
    let server = Hostile::with_pack(commit, pack.bytes());
    let begun = Instant::now();
    let error = error_of(&server, &limits, Duration::from_secs(3));
    assert_eq!(error, "context deadline exceeded");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn bytes_before_a_pack_have_a_limit() {
    let limits = Limits { answer_bytes: 100_000, ..Limits::default() };
    let id = id(BLOB, b"");
    for (section, entry) in [
        ("acknowledgments\n", format!("ACK {id}\n")),
        ("shallow-info\n", format!("shallow {id}\n")),
        ("wanted-refs\n", format!("{id} refs/heads/master\n")),
    ] {
        let answer = Answer::of("result", line(section)).then_for_ever(line(entry), Duration::ZERO);
        let error = error_of(&Hostile::with_fetch(id, answer), &limits, LONG);
        assert_eq!(error, "the server sent more than the limit of 100000 bytes before a pack", "{section}");
    }
}
