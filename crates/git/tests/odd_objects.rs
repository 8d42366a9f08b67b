//! Commits and tags that `git fsck` complains of: whatever Git fetches is fetched, and what Git refuses is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::process::Command;
use std::time::Duration;

use git::{Cache, Checkout, Connector, Limits, Outcome, Reference, Remote, WalkError};
use net::Deadline;
use support::{Server, git as run, store};
use tempfile::TempDir;

const PEOPLE: &str = "author a <a@b> 1700000000 +0000\ncommitter a <a@b> 1700000000 +0000\n";

fn checkout(server: &Server, reference: &Reference, dir: &TempDir) -> Result<Checkout, String> {
    let cache = Cache::new(dir.path().to_owned(), Limits::default());
    let remote = Remote::new(&server.url("r")).unwrap();
    let deadline = Deadline::new(Duration::from_secs(60));
    match cache.checkout(&Connector::default(), &remote, reference, None, &deadline) {
        Ok(Outcome::Checkout(checkout)) => Ok(*checkout),
        Ok(outcome) => panic!("{outcome:?}"),
        Err(error) => Err(error.to_string()),
    }
}

/// Whether Git itself fetches a ref into an empty repository.
fn git_fetches(server: &Server, name: &str) -> bool {
    let dir = TempDir::new().unwrap();
    run(dir.path(), &["init", "-q", "--bare", "."]);
    let mut git = Command::new("git");
    git.current_dir(dir.path()).args(["fetch", "-q", "--depth=1", &server.url("r"), name]);
    git.env("GIT_CONFIG_NOSYSTEM", "1").env("HOME", dir.path()).output().unwrap().status.success()
}

/// What follows the line of the tree.
fn commits() -> Vec<String> {
    let with_people = |author: &str, committer: &str| format!("{author}\n{committer}\n\nsubject\n");
    let committer = "committer a <a@b> 1700000000 +0000";
    let mut commits: Vec<String> = [
        "author Bob 1700000000 +0000",
        "author Bob <bob 1700000000 +0000",
        "author Bob bob> 1700000000 +0000",
        "author <> 1700000000 +0000",
        "author ",
        "author",
        "author Bob <bob@x> tomorrow",
        "author Bob <bob@x> 1700000000",
        "author Bob <bob@x>",
        "author Bob <bob@x> 99999999999999999999999 +0000",
        "author Bob <bob@x> -1 +0000",
        "author Bob <bob@x> 1.5 +0000",
        "author Bob <bob@x> 1700000000 +99999999",
        "author Bob <bob@x> 1700000000 UTC",
        "author Bob <bob@x> 1700000000 ",
        "author Bob <<bob@x>> 1700000000 +0000",
        "author Bob\0 <bob@x> 1700000000 +0000",
        "author \u{1b}[2J <bob@x> 1700000000 +0000",
        "x-no-author-at-all 1",
    ]
    .into_iter()
    .flat_map(|author| {
        [with_people(author, committer), with_people(author, &author.replace("author", "committer"))]
    })
    .collect();
    let rest = [
        // No message, no blank line before it, nothing but the blank line.
        PEOPLE.to_owned(),
        format!("{PEOPLE}\n"),
        format!("{PEOPLE}subject\n"),
        "author a <a@b".to_owned(),
        "\nsubject\n".to_owned(),
        "\n".to_owned(),
        // Headers that nobody knows, twice, without a value, continued, out of order.
        format!(
            "{PEOPLE}x-unknown value\n continued\nx-unknown\nencoding none\nencoding latin-1\n\nsubject\n"
        ),
        format!("{PEOPLE}gpgsig\nmergetag\n\nsubject\n"),
        format!("{PEOPLE}{PEOPLE}\nsubject\n"),
        format!("encoding x\n{PEOPLE}\nsubject\n"),
        format!(" \n{PEOPLE}\nsubject\n"),
        // None to Git either.
        String::new(),
        format!("parent x\n{PEOPLE}\nsubject\n"),
        format!("parent {}\n{PEOPLE}\nsubject\n", "0".repeat(39)),
    ];
    commits.extend(rest);
    commits
}

#[test]
fn a_commit_is_fetched_if_git_fetches_it() {
    let (server, dir) = (Server::start(), TempDir::new().unwrap());
    let bare = server.repository("r").bare;
    let blob = store(&bare, "blob", b"x");
    let tree = store(&bare, "tree", &tree_of("a", &blob));
    let mut refused = 0;
    for rest in commits() {
        let commit = store(&bare, "commit", format!("tree {tree}\n{rest}").as_bytes());
        // Not by `update-ref`, which reads what it points to.
        std::fs::write(bare.join("refs/heads/master"), format!("{commit}\n")).unwrap();
        let (theirs, ours) =
            (git_fetches(&server, "refs/heads/master"), checkout(&server, &Reference::default(), &dir));
        assert_eq!(ours.is_ok(), theirs, "{rest:?}: {:?}", ours.err());
        refused += usize::from(!theirs);
        let Ok(checkout) = ours else { continue };
        assert_eq!(checkout.commit.tree.to_string(), tree, "{rest:?}");
        assert!(
            matches!(checkout.commit.subject.as_str(), "subject" | ""),
            "{rest:?}: {:?}",
            checkout.commit
        );
        let mut paths = Vec::new();
        checkout
            .walk(|entry| {
                paths.push(entry.path.to_vec());
                Ok::<_, WalkError>(())
            })
            .unwrap();
        assert_eq!(paths, [b"a"], "{rest:?}");
    }
    assert_eq!(refused, 3);
}

/// A tree with one file.
fn tree_of(name: &str, blob: &str) -> Vec<u8> {
    let id = gix::ObjectId::from_hex(blob.as_bytes()).unwrap();
    [b"100644 ", name.as_bytes(), b"\0", id.as_bytes()].concat()
}

#[test]
fn a_tag_is_fetched_if_git_fetches_it() {
    let (server, dir) = (Server::start(), TempDir::new().unwrap());
    let repository = server.repository("r");
    repository.write("a", "x");
    let (head, bare) = (repository.commit("subject"), &repository.bare);
    std::fs::create_dir_all(bare.join("refs/tags")).unwrap();
    let mut refused = 0;
    for rest in [
        "type commit\ntag v1\ntagger a <a@b> 1700000000 +0000\n\nmessage\n",
        "type commit\ntag v1\n\nmessage\n",
        "type commit\ntag v1\n",
        "type commit\ntag v1\ntagger Bob 1700000000 +0000\n\nmessage\n",
        "type commit\ntag v1\ntagger Bob <bob 99999999999999999999 +zone\n\nmessage\n",
        "type commit\ntag v1\ntagger \n\nmessage\n",
        "type commit\ntag v1\nx-unknown 1\n continued\n\nmessage\n",
        "type commit\ntag v1\nno blank line\n",
        "type commit\ntag another name\ntagger a <a@b> 1700000000 +0000\n\nmessage\n",
        "type commit\ntag v1",
        "type commit\n",
        "type branch\ntag v1\n\nmessage\n",
        "tag v1\ntype commit\n\nmessage\n",
    ] {
        let tag = store(bare, "tag", format!("object {head}\n{rest}").as_bytes());
        std::fs::write(bare.join("refs/tags/v1"), format!("{tag}\n")).unwrap();
        let theirs = git_fetches(&server, "refs/tags/v1");
        let reference = Reference { tag: Some("v1".to_owned()), ..Reference::default() };
        let ours =
            checkout(&server, &reference, &dir).and_then(|c| c.tag().map_err(|error| error.to_string()));
        assert_eq!(ours.is_ok(), theirs, "{rest:?}: {ours:?}");
        refused += usize::from(!theirs);
        let Ok(tag) = ours else { continue };
        assert!(tag.unwrap().object.unwrap().is_of_commit, "{rest:?}");
    }
    assert_eq!(refused, 4);
}

/// The empty tree is one that Git knows without having it.
#[test]
fn the_empty_tree_and_the_empty_blob_need_not_be_sent() {
    let (server, dir) = (Server::start(), TempDir::new().unwrap());
    let bare = server.repository("r").bare;
    let empty = gix::ObjectId::empty_tree(gix::hash::Kind::Sha1);
    let commit = store(&bare, "commit", format!("tree {empty}\n{PEOPLE}\nsubject\n").as_bytes());
    std::fs::write(bare.join("refs/heads/master"), format!("{commit}\n")).unwrap();
    assert!(git_fetches(&server, "refs/heads/master"));
    let nothing = checkout(&server, &Reference::default(), &dir).unwrap();
    nothing.walk(|entry| panic!("{:?}", entry.path) as Result<(), WalkError>).unwrap();
}

#[test]
fn empty_files_are_empty_wherever_and_however_they_are_read() {
    let (server, dir) = (Server::start(), TempDir::new().unwrap());
    let repository = server.repository("r");
    for (path, content) in [("a", "AAAA"), ("b", ""), ("c/d", ""), ("c/e", "EEEEEE"), ("c/f", ""), ("g", "")]
    {
        repository.write(path, content);
    }
    repository.commit("subject");
    let checkout = checkout(&server, &Reference::default(), &dir).unwrap();
    let (mut walked, mut ids) = (Vec::new(), Vec::new());
    let walk = checkout.walk(|mut entry| {
        if matches!(entry.kind, git::Kind::File { .. }) {
            ids.push(entry.id().to_vec());
            walked.push(entry.read()?.to_vec());
        }
        Ok::<_, WalkError>(())
    });
    walk.unwrap();
    let expected = ["AAAA", "", "", "EEEEEE", "", ""].map(|text| text.as_bytes().to_vec());
    assert_eq!(walked, expected);
    let mut blobs = checkout.blobs();
    let by_id: Vec<_> = ids.iter().map(|id| blobs.read(id).unwrap().to_vec()).collect();
    assert_eq!(by_id, expected);
}
