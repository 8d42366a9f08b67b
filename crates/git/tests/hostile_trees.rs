//! Trees, commits and tags that no Git writes: refused as `git fsck` does it, whatever follows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::time::{Duration, Instant};

use git::{Cache, Checkout, Connector, Kind, Limits, Outcome, Reference, Remote, WalkError};
use gix::ObjectId;
use net::Deadline;
use support::hostile::{Answer, Hostile, lines, pack_answer, version_2};
use support::pack::{BLOB, COMMIT, Pack, TAG, TREE, commit, id, tree};
use tempfile::TempDir;

fn checkout(
    server: &Hostile,
    reference: &Reference,
    limits: &Limits,
    dir: &TempDir,
) -> Result<Checkout, String> {
    let cache = Cache::new(dir.path().to_owned(), limits.clone());
    let remote = Remote::new(&server.url()).unwrap();
    let deadline = Deadline::new(Duration::from_secs(60));
    match cache.checkout(&Connector::default(), &remote, reference, None, &deadline) {
        Ok(Outcome::Checkout(checkout)) => Ok(*checkout),
        Ok(outcome) => panic!("{outcome:?}"),
        Err(error) => Err(error.to_string()),
    }
}

/// All paths below the root tree that `make` adds to a pack; files are read.
fn walk(limits: &Limits, make: impl FnOnce(&mut Pack) -> ObjectId) -> Result<Vec<String>, String> {
    let mut pack = Pack::default();
    let root = make(&mut pack);
    let commit = pack.commit(root);
    let (server, dir) = (Hostile::with_pack(commit, pack.bytes()), TempDir::new().unwrap());
    let checkout = checkout(&server, &Reference::default(), limits, &dir)?;
    let mut paths = Vec::new();
    let walked = checkout.walk(|mut entry| {
        if matches!(entry.kind, Kind::File { .. } | Kind::Symlink) {
            entry.read()?;
        }
        paths.push(String::from_utf8_lossy(entry.path).into_owned());
        Ok::<_, WalkError>(())
    });
    walked.map(|()| paths).map_err(|error| error.to_string())
}

fn root(raw: &[u8]) -> Result<Vec<String>, String> {
    walk(&Limits::default(), |pack| {
        pack.object(BLOB, b"x");
        pack.object(TREE, b"");
        pack.object(TREE, raw)
    })
}

#[test]
fn names_that_fsck_refuses_are_refused() {
    let blob = id(BLOB, b"x");
    let names: [&[u8]; 23] = [
        b"",
        b".",
        b"..",
        b".git",
        b".GIT",
        b".gIt",
        b".git ",
        b".git...",
        b"git~1",
        b"GIT~1",
        b".git::$INDEX_ALLOCATION",
        b".g\xe2\x80\x8cit",
        b".\xe2\x80\x8dgit",
        b"\xef\xbb\xbf.git",
        b"a/b",
        b"../a",
        b"/a",
        b"a/",
        b".git/config",
        b".git\\config",
        b"a\\.git",
        b"./a",
        b"a/../.git",
    ];
    for name in names {
        for mode in ["100644", "40000", "120000", "160000"] {
            let error = root(&tree(&[(mode, name, blob)])).unwrap_err();
            assert!(
                error.contains("refused entry") || error.starts_with("unable to clone"),
                "{name:?} {mode}: {error}"
            );
        }
    }
    for link in [&b".gitmodules"[..], b".GITMODULES", b"gitmod~1"] {
        assert!(root(&tree(&[("120000", link, blob)])).is_err(), "{link:?}");
    }
    // These are names like others.
    let fine: [(&str, &[u8], ObjectId); 4] = [
        ("100644", b"-x", blob),
        ("100644", b".gitignore", blob),
        ("100644", b"a\x01\n", blob),
        ("100644", b"caf\xe9", blob),
    ];
    assert_eq!(root(&tree(&fine)).unwrap().len(), 4);
}

#[test]
fn names_that_come_twice_are_refused() {
    let (blob, empty) = (id(BLOB, b"x"), id(TREE, b""));
    let cases: [&[(&str, &[u8], ObjectId)]; 4] = [
        &[("100644", b"a", blob), ("100755", b"a", blob)],
        &[("100644", b"a", blob), ("40000", b"a", empty)],
        // With others between the two.
        &[("100644", b"a", blob), ("100644", b"a.b", blob), ("40000", b"a", empty)],
        &[("100644", b"a", blob), ("100644", b"b", blob), ("100644", b"a", blob)],
    ];
    for entries in cases {
        let error = root(&tree(entries)).unwrap_err();
        assert!(error.contains("refused entry"), "{entries:?}: {error}");
    }
}

/// Old tools sorted directories as files; Git checks such trees out without a word.
#[test]
fn trees_out_of_order_are_read_as_they_are() {
    let (blob, empty) = (id(BLOB, b"x"), id(TREE, b""));
    let sorted = [("100644", &b"a.b"[..], blob), ("40000", b"a", empty), ("100644", b"a0", blob)];
    for order in [[0, 1, 2], [1, 0, 2], [2, 1, 0], [2, 0, 1]] {
        let entries = order.map(|at| sorted[at]);
        assert_eq!(root(&tree(&entries)).unwrap(), ["a", "a.b", "a0"], "{order:?}");
    }
}

#[test]
fn trees_that_are_none_are_refused_and_odd_modes_are_what_they_look_like() {
    let blob = id(BLOB, b"x");
    for raw in [
        &b"100644 a"[..],
        b"100644 a\0short",
        b"garbage",
        b"\0\0\0\0",
        &tree(&[("", b"a", blob)]),
        &tree(&[("9", b"a", blob)]),
        &tree(&[("100644100644100644", b"a", blob)]),
        &[&tree(&[("100644", b"a", blob)])[..], b"x"].concat(),
    ] {
        assert!(root(raw).is_err(), "{raw:?}");
    }
    let odd =
        [("100600", &b"a"[..], blob), ("100664", b"b", blob), ("100777", b"c", blob), ("104755", b"d", blob)];
    assert_eq!(root(&tree(&odd)).unwrap(), ["a", "b", "c", "d"]);
}

#[test]
fn objects_of_another_type_than_their_mode_are_refused() {
    let (blob, empty) = (id(BLOB, b"x"), id(TREE, b""));
    let nothing = id(BLOB, b"not here");
    for (mode, object) in
        [("40000", blob), ("100644", empty), ("120000", empty), ("40000", nothing), ("100644", nothing)]
    {
        let error = root(&tree(&[(mode, b"a", object)])).unwrap_err();
        assert!(error.starts_with("object "), "{mode}: {error}");
    }
    // What a submodule points to is elsewhere.
    assert_eq!(root(&tree(&[("160000", b"a", blob)])).unwrap(), ["a"]);
}

#[test]
fn commits_that_are_none_are_refused() {
    let empty = id(TREE, b"");
    let whole = commit(empty);
    let cases: [(u8, Vec<u8>); 8] = [
        (BLOB, whole.clone()),
        (TREE, Vec::new()),
        (COMMIT, Vec::new()),
        (COMMIT, b"tree x\n".to_vec()),
        (COMMIT, whole[..46].to_vec()),
        (COMMIT, [&whole[..46], b"parent x\n"].concat()),
        (COMMIT, commit(id(BLOB, b"x"))),
        (COMMIT, commit(id(BLOB, b"not here"))),
    ];
    for (kind, data) in cases {
        let mut pack = Pack::default();
        pack.object(BLOB, b"x");
        let id = pack.object(kind, &data);
        let (server, dir) = (Hostile::with_pack(id, pack.bytes()), TempDir::new().unwrap());
        for _ in 0..2 {
            let error = checkout(&server, &Reference::default(), &Limits::default(), &dir).unwrap_err();
            assert!(error.starts_with("unable to clone"), "{kind} {data:?}: {error}");
        }
    }
}

#[test]
fn deep_and_wide_trees_have_limits() {
    // 100,000 directories in one another.
    let error = walk(&Limits::default(), |pack| {
        (0..100_000).fold(pack.object(TREE, b""), |below, _| pack.tree(&[("40000", b"d", below)]))
    });
    assert_eq!(error.unwrap_err(), "the tree has more than the limit of 256 nested directories");
    // One file too many in one directory.
    let limits = Limits { entries: 100_000, ..Limits::default() };
    let error = walk(&limits, |pack| {
        let blob = pack.object(BLOB, b"x");
        let names: Vec<_> = (0..=100_000).map(|i| format!("{i:07}")).collect();
        let raw: Vec<u8> = names.iter().flat_map(|name| tree(&[("100644", name.as_bytes(), blob)])).collect();
        pack.object(TREE, &raw)
    });
    assert_eq!(error.unwrap_err(), "the tree has more than the limit of 100000 entries");
}

#[test]
fn submodules_that_are_nowhere_in_a_wide_tree_are_looked_for_in_time() {
    let mut pack = Pack::default();
    let sections: String =
        (0..25_000).map(|i| format!("[submodule \"{i}\"]\npath={i}\nurl=../u\n")).collect();
    let modules = pack.object(BLOB, sections.as_bytes());
    let names: Vec<_> = (0..50_000).map(|i| format!("n{i:06}")).collect();
    let mut raw = tree(&[("100644", b".gitmodules", modules)]);
    names.iter().for_each(|name| raw.extend(tree(&[("100644", name.as_bytes(), modules)])));
    let root = pack.object(TREE, &raw);
    let commit = pack.commit(root);
    let (server, dir) = (Hostile::with_pack(commit, pack.bytes()), TempDir::new().unwrap());
    let mut checkout = checkout(&server, &Reference::default(), &Limits::default(), &dir).unwrap();
    let (cache, begun) = (Cache::new(dir.path().to_owned(), Limits::default()), Instant::now());
    let (remote, deadline) = (Remote::new(&server.url()).unwrap(), Deadline::new(Duration::from_millis(500)));
    let error = cache.add_submodules(&Connector::default(), &remote, &mut checkout, &deadline).unwrap_err();
    assert!(error.to_string().ends_with("context deadline exceeded"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

/// A tag object `v1` that points to what `target` says.
fn tag(pack: &mut Pack, target: ObjectId, kind: &str) -> ObjectId {
    let text = format!("object {target}\ntype {kind}\ntag v1\ntagger a <a@b> 1700000000 +0000\n\nhostile\n");
    pack.object(TAG, text.as_bytes())
}

#[test]
fn long_rows_of_tags_prove_nothing() {
    for (length, proven) in [(1, true), (8, true), (9, false), (1000, false)] {
        let mut pack = Pack::default();
        let root = pack.object(TREE, b"");
        let head = pack.commit(root);
        let mut last = tag(&mut pack, head, "commit");
        for _ in 1..length {
            last = tag(&mut pack, last, "tag");
        }
        let packed = pack_answer(&pack.bytes());
        let server = Hostile::start(move |question| match question {
            "fetch" => Answer::of("result", packed.clone()),
            "ls-refs" => Answer::of("result", lines(&[format!("{last} refs/tags/v1 peeled:{head}\n")])),
            _ => Answer::of("advertisement", version_2()),
        });
        let (reference, dir) =
            (Reference { tag: Some("v1".into()), ..Reference::default() }, TempDir::new().unwrap());
        let checkout = checkout(&server, &reference, &Limits::default(), &dir).unwrap();
        let tag = checkout.tag().unwrap().unwrap().object.unwrap();
        assert_eq!(tag.is_of_commit, proven, "{length}");
    }
}
