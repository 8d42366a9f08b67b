//! Every way to name a commit, against a real Git server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::time::Duration;

use git::{Cache, Checkout, Connector, Error, Kind, Limits, Outcome, Reference, Remote};
use net::Deadline;
use support::{Repository, Server};
use tempfile::TempDir;

struct Fixture {
    server: Server,
    repository: Repository,
    dir: TempDir,
    connector: Connector,
    limits: Limits,
}

fn fixture() -> Fixture {
    let server = Server::start();
    let repository = server.repository("r");
    Fixture {
        server,
        repository,
        dir: TempDir::new().unwrap(),
        connector: Connector::default(),
        limits: Limits::default(),
    }
}

impl Fixture {
    fn look(&self, reference: &Reference, known: Option<&str>) -> Result<Outcome, Error> {
        let cache = Cache::new(self.dir.path().join("cache"), self.limits.clone());
        let remote = Remote::new(&self.server.url("r")).unwrap();
        cache.checkout(&self.connector, &remote, reference, known, &Deadline::new(Duration::from_secs(20)))
    }

    fn get(&self, reference: &Reference) -> Checkout {
        match self.look(reference, None).unwrap() {
            Outcome::Checkout(checkout) => *checkout,
            Outcome::Unchanged(revision) => panic!("unchanged at {revision}"),
        }
    }

    /// The generation of objects that is in use.
    fn content(&self) -> std::path::PathBuf {
        let content = self.dir.path().join("cache/content");
        let names =
            std::fs::read_dir(&content).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        content.join(names.map(|name| name.parse::<u64>().unwrap()).max().unwrap().to_string())
    }

    /// Packs and indices, made writable.
    fn pack_files(&self) -> Vec<std::path::PathBuf> {
        let files = std::fs::read_dir(self.content().join("objects/pack")).unwrap();
        let mut files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
        for path in &files {
            let mut permissions = std::fs::metadata(path).unwrap().permissions();
            #[allow(clippy::permissions_set_readonly_false)]
            permissions.set_readonly(false);
            std::fs::set_permissions(path, permissions).unwrap();
        }
        files.sort();
        files
    }

    fn error(&self, reference: &Reference) -> String {
        self.look(reference, None).unwrap_err().to_string()
    }
}

fn branch(name: &str) -> Reference {
    Reference { branch: Some(name.to_owned()), ..Reference::default() }
}

fn tag(name: &str) -> Reference {
    Reference { tag: Some(name.to_owned()), ..Reference::default() }
}

fn name(name: &str) -> Reference {
    Reference { name: Some(name.to_owned()), ..Reference::default() }
}

fn semver(constraint: &str) -> Reference {
    Reference { semver: Some(constraint.to_owned()), ..Reference::default() }
}

fn commit(commit: &str, branch: Option<&str>) -> Reference {
    Reference { commit: Some(commit.to_owned()), branch: branch.map(str::to_owned), ..Reference::default() }
}

/// All paths with a mark for what they are, and the contents of files.
fn listing(checkout: &Checkout) -> Vec<String> {
    let mut lines = Vec::new();
    checkout
        .walk(|mut entry| {
            let path = String::from_utf8_lossy(entry.path).into_owned();
            lines.push(match entry.kind {
                Kind::Directory => format!("{path}/"),
                Kind::File { executable } => {
                    let content = String::from_utf8_lossy(entry.read()?).into_owned();
                    format!("{path}{} {content}", if executable { "*" } else { "" })
                }
                Kind::Symlink => format!("{path} -> {}", String::from_utf8_lossy(entry.read()?)),
                Kind::Submodule => format!("{path} @"),
            });
            Ok::<_, git::WalkError>(())
        })
        .unwrap();
    lines
}

#[test]
fn a_branch_is_read_without_a_work_tree() {
    let f = fixture();
    f.repository.write("a.b", "1");
    f.repository.write("a/z", "2");
    f.repository.write("run.sh", "3");
    f.repository.run(&["add", "-A"]);
    f.repository.run(&["update-index", "--chmod=+x", "run.sh"]);
    std::os::unix::fs::symlink("a/z", f.repository.work.join("link")).unwrap();
    f.repository.run(&["add", "link"]);
    f.repository.run(&["-c", "core.fileMode=false", "commit", "-q", "-m", "first line\n\nbody"]);
    f.repository.run(&["push", "-q", "origin", "HEAD"]);
    let head = f.repository.head();
    let checkout = f.get(&Reference::default());
    assert_eq!(checkout.revision, format!("master@sha1:{head}"));
    assert_eq!(checkout.commit.subject, "first line");
    // Byte order of plain names; Git's own order has `a.b` before `a/`.
    assert_eq!(listing(&checkout), ["a/", "a/z 2", "a.b 1", "link -> a/z", "run.sh* 3"]);
}

#[test]
fn an_unchanged_ref_costs_one_advertisement() {
    let f = fixture();
    f.repository.write("f", "1");
    let head = f.repository.commit("one");
    let revision = f.get(&branch("master")).revision;
    assert_eq!(f.server.traffic().0, ["GET info/refs", "POST git-upload-pack", "POST git-upload-pack"]);
    for known in [revision.clone(), format!("master/{head}")] {
        let outcome = f.look(&branch("master"), Some(&known)).unwrap();
        assert!(matches!(outcome, Outcome::Unchanged(r) if r == revision));
        assert_eq!(f.server.traffic().0, ["POST git-upload-pack"], "the server is known");
    }
    // The same again without knowing it: objects come from the cache.
    assert_eq!(listing(&f.get(&branch("master"))), ["f 1"]);
    assert_eq!(f.server.traffic().0, ["POST git-upload-pack"]);
}

#[test]
fn the_next_commit_costs_its_difference() {
    let f = fixture();
    for i in 0..200 {
        f.repository.write(&format!("d{}/f{i}", i % 7), &format!("{i:0>999}"));
    }
    f.repository.commit("many");
    f.get(&branch("master"));
    let (_, first) = f.server.traffic();
    f.repository.write("d1/f1", "changed");
    f.repository.commit("one more");
    let checkout = f.get(&branch("master"));
    let (_, second) = f.server.traffic();
    assert!(listing(&checkout).contains(&"d1/f1 changed".to_owned()));
    assert_eq!(listing(&checkout).len(), 207);
    assert!(second * 5 < first, "{second} bytes after {first}");
}

#[test]
fn packs_do_not_pile_up_for_ever() {
    let mut f = fixture();
    f.limits.packs = 3;
    for i in 0..8 {
        f.repository.write("f", &i.to_string());
        f.repository.commit("next");
        assert_eq!(listing(&f.get(&branch("master"))), [format!("f {i}")]);
        let packs = std::fs::read_dir(f.content().join("objects/pack")).unwrap().count();
        assert!(packs <= 2 * 3, "{packs} files");
    }
}

#[test]
fn a_cache_that_grew_too_large_is_made_anew() {
    let mut f = fixture();
    f.limits.cache_bytes = 300;
    let mut packs = Vec::new();
    for i in 0..6 {
        f.repository.write("f", &i.to_string());
        f.repository.commit("next");
        assert_eq!(listing(&f.get(&branch("master"))), [format!("f {i}")]);
        let files = std::fs::read_dir(f.content().join("objects/pack")).unwrap();
        packs.push(files.filter(|f| f.as_ref().unwrap().path().extension().unwrap() == "pack").count());
    }
    // Each pack has some 200 bytes.
    assert_eq!(packs, [1, 2, 1, 2, 1, 2]);
}

#[test]
fn caches_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let f = fixture();
    f.repository.write("f", "1");
    f.repository.commit("one");
    f.get(&branch("master"));
    for dir in ["cache", "cache/content", "cache/content/0", "cache/content/0/objects/pack"] {
        let mode = std::fs::metadata(f.dir.path().join(dir)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{dir}");
    }
}

#[test]
fn tags_name_their_commit() {
    let f = fixture();
    f.repository.write("f", "1");
    let first = f.repository.commit("one");
    f.repository.run(&["tag", "light"]);
    f.repository.run(&["tag", "-a", "v0.1.0", "-m", "annotated"]);
    f.repository.write("f", "2");
    f.repository.commit("two");
    f.repository.push_all();
    for name in ["light", "v0.1.0"] {
        let checkout = f.get(&tag(name));
        assert_eq!(checkout.revision, format!("{name}@sha1:{first}"));
        assert_eq!(listing(&checkout), ["f 1"]);
        let again = f.look(&tag(name), Some(&checkout.revision)).unwrap();
        assert!(matches!(again, Outcome::Unchanged(_)));
    }
}

#[test]
fn semver_takes_the_highest_tag_and_the_newest_of_equals() {
    let f = fixture();
    let mut commits = std::collections::BTreeMap::new();
    let tags = ["non-semver-tag", "v0.1.0", "0.2.0", "v1.0.0-alpha", "v2.0.0+new", "v2.0.0+old"];
    for (i, name) in tags.iter().enumerate() {
        f.repository.write("f", name);
        let time = if name.ends_with("new") { 1_800_000_000 } else { 1_700_000_000 + i as i64 };
        commits.insert(*name, f.repository.commit_at(name, time));
        f.repository.run(&["tag", "-a", name, "-m", "t"]);
    }
    f.repository.push_all();
    for (constraint, expected) in
        [("*", "v2.0.0+new"), ("<v1", "0.2.0"), (">=1.0.0-0 <1.1.0-0", "v1.0.0-alpha")]
    {
        let checkout = f.get(&semver(constraint));
        assert_eq!(checkout.revision, format!("{expected}@sha1:{}", commits[expected]));
        assert_eq!(listing(&checkout), [format!("f {expected}")]);
    }
    assert_eq!(f.error(&semver(">=3")), "no match found for semver: >=3");
    assert_eq!(f.error(&semver("=>>1")), "semver parse error: improper constraint: \"=>>1\"");
}

#[test]
fn names_are_absolute_and_need_no_branch() {
    let f = fixture();
    f.repository.write("f", "1");
    let first = f.repository.commit("one");
    f.repository.run(&["tag", "-a", "v1", "-m", "t"]);
    f.repository.push_all();
    f.repository.write("f", "pull");
    f.repository.run(&["commit", "-qam", "of a fork"]);
    let pull = f.repository.head();
    f.repository.run(&["push", "-q", "origin", "HEAD:refs/pull/420/head"]);
    for (reference, commit) in [
        ("refs/heads/master", &first),
        ("refs/tags/v1", &first),
        ("refs/tags/v1^{}", &first),
        ("refs/pull/420/head", &pull),
        ("HEAD", &first),
    ] {
        assert_eq!(f.get(&name(reference)).revision, format!("{reference}@sha1:{commit}"));
    }
    assert_eq!(
        f.error(&name("refs/heads/nope")),
        "unable to resolve ref 'refs/heads/nope' to a specific commit"
    );
    assert_eq!(
        f.error(&name("refs/heads/")),
        "ref refs/heads/ is invalid; Git refs cannot begin or end with a slash '/'"
    );
}

#[test]
fn a_commit_is_fetched_alone_and_checked_against_its_branch() {
    let f = fixture();
    f.repository.write("f", "1");
    let first = f.repository.commit("one");
    f.repository.write("f", "2");
    f.repository.commit("two");
    f.repository.run(&["checkout", "-q", "-b", "side", &first]);
    f.repository.write("f", "side");
    let side = f.repository.commit("side");
    for filters in [false, true] {
        support::git(
            &f.repository.bare,
            &["config", "uploadpack.allowFilter", if filters { "true" } else { "false" }],
        );
        let _ = std::fs::remove_dir_all(f.dir.path().join("cache"));
        let alone = f.get(&commit(&first, None));
        assert_eq!(alone.revision, format!("sha1:{first}"));
        assert_eq!(listing(&alone), ["f 1"]);
        assert_eq!(f.get(&commit(&first, Some("master"))).revision, format!("master@sha1:{first}"));
        assert_eq!(f.get(&commit(&side, Some("side"))).revision, format!("side@sha1:{side}"));
        assert_eq!(
            f.error(&commit(&side, Some("master"))),
            format!("unable to resolve commit object for '{side}': object not found")
        );
    }
    let labelled = Reference { name: Some("refs/heads/x".to_owned()), ..commit(&first, None) };
    assert_eq!(f.get(&labelled).revision, format!("refs/heads/x@sha1:{first}"));
    let none = "0123456789012345678901234567890123456789";
    assert_eq!(
        f.error(&commit(none, None)),
        format!("unable to resolve commit object for '{none}': object not found")
    );
    assert_eq!(f.error(&commit("abc", None)), "unable to resolve commit object for 'abc': object not found");
    // Known and unmoved: nothing but the advertisement, although the branch has to be checked.
    f.server.traffic();
    let known = format!("master@sha1:{first}");
    assert!(matches!(f.look(&commit(&first, Some("master")), Some(&known)).unwrap(), Outcome::Unchanged(_)));
    assert_eq!(f.server.traffic().0, ["POST git-upload-pack"]);
}

#[test]
fn a_commit_too_far_back_is_not_searched_for_ever() {
    let mut f = fixture();
    f.limits.history = 3;
    let first = f.repository.commit("0");
    for i in 1..9 {
        f.repository.commit(&i.to_string());
    }
    let error = f.error(&commit(&first, Some("master")));
    assert_eq!(error, format!("commit '{first}' not found among the newest 3 commits of branch 'master'"));
}

#[test]
fn moved_and_deleted_refs_are_seen() {
    let f = fixture();
    f.repository.write("f", "1");
    f.repository.commit("one");
    f.repository.run(&["tag", "moving"]);
    f.repository.push_all();
    let before = f.get(&tag("moving")).revision;
    // Force-pushed away: the new commit does not know the old one.
    f.repository.run(&["checkout", "-q", "--orphan", "fresh"]);
    f.repository.write("f", "2");
    let after = f.repository.commit("other");
    f.repository.run(&["tag", "-f", "moving"]);
    f.repository.push_all();
    let Outcome::Checkout(moved) = f.look(&tag("moving"), Some(&before)).unwrap() else { panic!() };
    assert_eq!(moved.revision, format!("moving@sha1:{after}"));
    assert_eq!(listing(&moved), ["f 2"]);
    f.repository.run(&["push", "-q", "origin", ":refs/tags/moving"]);
    let error = f.look(&tag("moving"), Some(&before)).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("unable to clone '{}': couldn't find remote ref \"refs/tags/moving\"", f.server.url("r"))
    );
}

#[test]
fn missing_branch_and_empty_repository_are_told_apart() {
    let f = fixture();
    let url = f.server.url("r");
    assert_eq!(f.error(&Reference::default()), "git repository is empty");
    let known = f.look(&Reference::default(), Some("master@sha1:0")).unwrap_err().to_string();
    assert_eq!(known, format!("unable to list remote for '{url}': remote repository is empty"));
    f.repository.commit("one");
    assert_eq!(
        f.error(&branch("nope")),
        format!("unable to clone '{url}': couldn't find remote ref \"refs/heads/nope\"")
    );
}

#[test]
fn a_damaged_cache_is_rebuilt() {
    let f = fixture();
    f.repository.write("f", "1");
    f.repository.commit("one");
    f.get(&branch("master"));
    // The list of commits is nonsense.
    std::fs::write(f.content().join("complete"), "zzz\n").unwrap();
    assert_eq!(listing(&f.get(&branch("master"))), ["f 1"]);
    // Packs are gone; then truncated.
    for damage in 0..2 {
        for path in f.pack_files() {
            if damage == 0 {
                std::fs::remove_file(&path).unwrap()
            } else {
                std::fs::write(&path, "x").unwrap()
            }
        }
        assert_eq!(listing(&f.get(&branch("master"))), ["f 1"]);
    }
    let content = f.content();
    // A crash left a lock and half a pack, and the next commit builds on objects that are gone.
    std::fs::write(content.join("shallow.lock"), "").unwrap();
    std::fs::write(content.join("objects/pack/.tmpXYZ"), "PACK").unwrap();
    std::fs::write(content.join("objects/pack/pack-1.pack"), "PACK").unwrap();
    assert_eq!(listing(&f.get(&branch("master"))), ["f 1"]);
    assert_eq!(std::fs::read_dir(content.join("objects/pack")).unwrap().count(), 2);
    std::fs::remove_dir_all(content.join("objects/pack")).unwrap();
    f.repository.write("f", "2");
    f.repository.commit("two");
    assert_eq!(listing(&f.get(&branch("master"))), ["f 2"]);
}

#[test]
fn a_tag_object_comes_with_its_commit_byte_for_byte() {
    let f = fixture();
    let first = f.repository.commit("one");
    f.repository.run(&["tag", "-a", "v1.0.0", "-m", "annotated"]);
    f.repository.run(&["tag", "light"]);
    f.repository.run(&["tag", "-a", "nested", "-m", "a tag of a tag", "v1.0.0"]);
    f.repository.commit("two");
    f.repository.push_all();
    let object = |kind: &str, name: &str| f.repository.run(&["cat-file", kind, name]);
    for (reference, name) in [
        (tag("v1.0.0"), "v1.0.0"),
        (name("refs/tags/v1.0.0"), "v1.0.0"),
        (tag("nested"), "nested"),
        (semver("1.x"), "v1.0.0"),
    ] {
        let checkout = f.get(&reference);
        assert_eq!(String::from_utf8(checkout.commit_object().unwrap()).unwrap(), object("commit", &first));
        let tag = checkout.tag().unwrap().unwrap();
        let found = tag.object.unwrap();
        assert_eq!((tag.name.as_str(), found.is_of_commit), (name, true));
        assert_eq!(found.id.to_string(), f.repository.run(&["rev-parse", name]).trim());
        assert_eq!(String::from_utf8(found.data).unwrap(), object("tag", name));
    }
    for (reference, name) in [(tag("light"), "light"), (name("refs/tags/v1.0.0^{}"), "v1.0.0^{}")] {
        let tag = f.get(&reference).tag().unwrap().unwrap();
        assert_eq!((tag.name.as_str(), tag.object), (name, None));
    }
    assert_eq!(f.get(&branch("master")).tag().unwrap(), None);

    // The commit is here already; the new tag object is not.
    f.repository.run(&["tag", "-f", "-a", "v1.0.0", "-m", "again", &first]);
    f.repository.run(&["push", "-q", "-f", "origin", "v1.0.0"]);
    let found = f.get(&tag("v1.0.0")).tag().unwrap().unwrap().object.unwrap();
    assert!(String::from_utf8(found.data).unwrap().ends_with("again\n"));
}

#[test]
fn a_tag_of_another_commit_is_known_to_be_that() {
    let f = fixture();
    f.repository.commit("one");
    f.repository.run(&["tag", "-a", "v1.0.0", "-m", "annotated"]);
    let second = f.repository.commit("two");
    f.repository.push_all();
    let reference = Reference { commit: Some(second), ..name("refs/tags/v1.0.0") };
    let tag = f.get(&reference).tag().unwrap().unwrap();
    assert!(!tag.object.unwrap().is_of_commit);
}

#[test]
fn a_cache_of_an_earlier_process_is_checked_before_it_is_used() {
    let f = fixture();
    let long: String = (0..5000).map(|i| format!("line {i}\n")).collect();
    f.repository.write("f", &long);
    f.repository.commit("one");
    f.repository.write("f", &format!("{long}more\n"));
    f.repository.commit("two");
    let whole = listing(&f.get(&branch("master")));
    let flip = |path: &std::path::Path, at: usize| {
        let mut bytes = std::fs::read(path).unwrap();
        let at = at.min(bytes.len() - 1);
        bytes[at] ^= 0x55;
        std::fs::write(path, bytes).unwrap();
    };
    let requests = || f.server.traffic().0.len();
    requests();
    assert_eq!(listing(&f.get(&branch("master"))), whole);
    assert_eq!(requests(), 1, "nothing was fetched");
    for at in [12, 40, 200, 1000, usize::MAX] {
        let files = f.pack_files();
        let pack = files.iter().find(|path| path.extension().unwrap() == "pack").unwrap();
        flip(pack, at);
        assert_eq!(listing(&f.get(&branch("master"))), whole, "byte {at}");
        assert_eq!(requests(), 2, "byte {at}: fetched anew");
    }
    let index = f.pack_files().into_iter().find(|path| path.extension().unwrap() == "idx").unwrap();
    let bytes = std::fs::read(&index).unwrap();
    std::fs::write(&index, &bytes[..bytes.len() / 2]).unwrap();
    assert_eq!(listing(&f.get(&branch("master"))), whole);
    assert_eq!(requests(), 2, "fetched anew");
    // Without its boundary, a server would be told that all history is here.
    std::fs::remove_file(f.content().join("shallow")).unwrap();
    assert_eq!(listing(&f.get(&branch("master"))), whole);
    assert_eq!(requests(), 2, "fetched anew");
}

#[test]
fn objects_that_are_read_stay_while_the_cache_begins_anew() {
    let mut f = fixture();
    f.repository.write("f", "1");
    f.repository.commit("one");
    let first = f.get(&branch("master"));
    // Each fetch begins anew.
    f.limits.packs = 1;
    for i in 2..5 {
        f.repository.write("f", &i.to_string());
        f.repository.commit("next");
        assert_eq!(listing(&f.get(&branch("master"))), [format!("f {i}")]);
    }
    assert_eq!(listing(&first), ["f 1"]);
    let generations = || std::fs::read_dir(f.dir.path().join("cache/content")).unwrap().count();
    assert_eq!(generations(), 2);
    // Who reads an old generation does not take the new one away.
    let current = f.content();
    first.discard().unwrap();
    assert_eq!(f.content(), current);
    drop(first);
    let mut last = f.get(&branch("master"));
    // A process that another test is about to start holds our locks for a moment.
    for _ in 0..100 {
        if generations() == 1 {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
        last = f.get(&branch("master"));
    }
    assert_eq!(generations(), 1);
    last.discard().unwrap();
    assert_ne!(f.content(), current);
}

#[test]
fn polls_at_the_same_time_share_one_request() {
    let f = fixture();
    f.repository.write("f", "1");
    f.repository.commit("one");
    let (known, begun) = (std::sync::Arc::new(git::SharedState::default()), std::time::Instant::now());
    let look = |since| {
        let cache = Cache::new(f.dir.path().join("cache"), f.limits.clone()).sharing(known.clone(), since);
        let remote = Remote::new(&f.server.url("r")).unwrap();
        let deadline = Deadline::new(Duration::from_secs(20));
        match cache.checkout(&f.connector, &remote, &branch("master"), None, &deadline).unwrap() {
            Outcome::Checkout(checkout) => listing(&checkout),
            Outcome::Unchanged(_) => panic!(),
        }
    };
    assert_eq!(look(begun), ["f 1"]);
    f.server.traffic();
    f.repository.write("f", "2");
    f.repository.commit("two");
    assert_eq!(look(begun), ["f 1"], "asked after these began");
    assert_eq!(f.server.traffic().0, [""; 0]);
    assert_eq!(look(std::time::Instant::now()), ["f 2"], "one that began later sees no older answer");
}
