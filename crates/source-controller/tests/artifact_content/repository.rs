//! Repositories that git itself makes of random trees, stored in all the ways that a server may have them.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use e2e::repository::command;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};

use crate::tree::{Node, Tree};

const EMPTY_TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

/// Runs git in a repository, with input; gives what it prints.
pub fn git(repository: &Path, args: &[&str], input: &[u8]) -> Vec<u8> {
    let mut git = command();
    git.current_dir(repository).args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut git = git.spawn().unwrap();
    let mut stdin = git.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        git.wait_with_output().unwrap()
    });
    assert!(output.status.success(), "git {args:?} in {}", repository.display());
    output.stdout
}

/// The same for one line of output.
pub fn line(repository: &Path, args: &[&str], input: &[u8]) -> String {
    String::from_utf8(git(repository, args, input)).unwrap().trim().to_owned()
}

/// Makes `tree` the next commit of `main`; gives its id.
pub fn commit(repository: &Path, tree: &Tree, is_first: bool, rng: &mut StdRng) -> String {
    let (mut import, mut entries, mut marks) = (Vec::new(), Vec::new(), 0);
    for (path, node) in tree {
        let (mode, content) = match node {
            Node::File { executable: false, content } => ("100644", &content[..]),
            Node::File { executable: true, content } => ("100755", &content[..]),
            Node::Link(target) => ("120000", &target[..]),
            Node::Submodule(commit) => {
                entries.push(format!("M 160000 {commit} {}\n", quoted(path)));
                continue;
            }
        };
        marks += 1;
        entries.push(format!("M {mode} :{marks} {}\n", quoted(path)));
        let head = format!("blob\nmark :{marks}\ndata {}\n", content.len());
        import.extend_from_slice(&[head.as_bytes(), content, b"\n"].concat());
    }
    let from = if is_first { "" } else { "from refs/heads/main^0\n" };
    let head = "commit refs/heads/main\ncommitter x <x@x> 1700000000 +0000\ndata 7\nsubject\n";
    import.extend_from_slice(format!("{head}{from}deleteall\n{}\n", entries.concat()).as_bytes());
    // Loose objects, or a pack of their own.
    let limit = format!("fastimport.unpackLimit={}", if rng.random_bool(0.5) { 1 } else { 1_000_000 });
    git(repository, &["-c", &limit, "fast-import", "--quiet"], &import);
    if rng.random_bool(0.3) {
        disturb(repository, rng);
    }
    if rng.random_bool(0.4) {
        let depth = format!("--depth={}", [1, 5, 50].choose(rng).unwrap());
        git(repository, &["repack", "-q", "-adf", "--window=20", &depth], b"");
    }
    line(repository, &["rev-parse", "refs/heads/main"], b"")
}

/// A path as fast-import reads it.
fn quoted(path: &[u8]) -> String {
    let bytes: String = path.iter().map(|byte| format!("\\{byte:03o}")).collect();
    format!("\"{bytes}\"")
}

/// Follows the last commit with one that `git fsck` complains of: modes as old tools wrote them, entries out of order, an
/// empty directory, people without e-mail.
fn disturb(repository: &Path, rng: &mut StdRng) {
    let raw = git(repository, &["cat-file", "tree", "main^{tree}"], b"");
    let mut entries = Vec::new();
    let mut rest = raw.as_slice();
    while !rest.is_empty() {
        let space = rest.iter().position(|byte| *byte == b' ').unwrap();
        let end = rest.iter().position(|byte| *byte == 0).unwrap();
        let mode = match (&rest[..space], rng.random_range(0..4)) {
            (b"40000", 0..2) => &b"040000"[..],
            (b"100644", 0) => b"0100644",
            (b"100644", 1) => b"100664",
            (b"100644", 2) => b"100600",
            (b"100755", 0) => b"100777",
            (b"100755", 1) => b"104755",
            (mode, _) => mode,
        };
        let (entry, after) = rest.split_at(end + 21);
        entries.push([mode, &entry[space..]].concat());
        rest = after;
    }
    let id: Vec<u8> =
        (0..20).map(|at| u8::from_str_radix(&EMPTY_TREE[2 * at..2 * at + 2], 16).unwrap()).collect();
    if !entries.iter().any(|entry| entry.windows(7).any(|part| part == b" empty\0")) {
        entries.push([b"40000 empty\0", &id[..]].concat());
    }
    entries.shuffle(rng);
    let store = |kind: &str, data: &[u8]| {
        line(repository, &["hash-object", "-t", kind, "-w", "--literally", "--stdin"], data)
    };
    let tree = store("tree", &entries.concat());
    let people = [
        "author Bob 1700000000 +0000\ncommitter Bob <bob 5 +0000\n\nsubject\n",
        "author <> soon +0000\ncommitter x <x@x> 99999999999999999999 +zone\nx-unknown 1\n\nsubject\n",
        "author x <x@x> 1 +0000\ncommitter x <x@x> 1 +0000\n",
        "x-nobody 1\n\nsubject\n",
    ];
    let parent = line(repository, &["rev-parse", "main"], b"");
    let text = format!("tree {tree}\nparent {parent}\n{}", people.choose(rng).unwrap());
    let commit = store("commit", text.as_bytes());
    std::fs::write(repository.join("refs/heads/main"), format!("{commit}\n")).unwrap();
}
