//! Submodules from real servers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use git::{Auth, Cache, Checkout, Connector, Error, Kind, Limits, Outcome, Reference, Remote, WalkError};
use net::Deadline;
use secret::Secret;
use support::{Repository, Server, git};
use tempfile::TempDir;

struct Fixture {
    server: Server,
    app: Repository,
    cache: TempDir,
    limits: Limits,
}

fn fixture() -> Fixture {
    let server = Server::start();
    let app = server.repository("app");
    Fixture { server, app, cache: TempDir::new().unwrap(), limits: Limits::default() }
}

impl Fixture {
    /// Another repository with one file.
    fn library(&self, name: &str) -> Repository {
        let library = self.server.repository(name);
        library.write(&format!("{name}.txt"), name);
        library.commit("one");
        library
    }

    fn remote(&self) -> Remote {
        Remote::new(&self.server.url("app")).unwrap()
    }

    fn look(&self, remote: &Remote) -> Result<Checkout, Error> {
        let cache = Cache::new(self.cache.path().to_owned(), self.limits.clone());
        let (connector, deadline) = (Connector::default(), Deadline::new(Duration::from_secs(20)));
        match cache.checkout(&connector, remote, &Reference::default(), None, &deadline)? {
            Outcome::Checkout(mut checkout) => {
                cache.add_submodules(&connector, remote, &mut checkout, &deadline)?;
                Ok(*checkout)
            }
            Outcome::Unchanged(revision) => panic!("unchanged at {revision}"),
        }
    }

    fn files(&self) -> Vec<String> {
        files(&self.look(&self.remote()).unwrap())
    }

    fn error(&self) -> String {
        self.look(&self.remote()).unwrap_err().to_string()
    }
}

/// Writes `.gitmodules` and puts a link to a commit into the index.
fn add(to: &Repository, path: &str, url: &str, commit: &str) {
    git(&to.work, &["config", "-f", ".gitmodules", &format!("submodule.{path}.path"), path]);
    git(&to.work, &["config", "-f", ".gitmodules", &format!("submodule.{path}.url"), url]);
    std::fs::create_dir_all(to.work.join(path)).unwrap();
    to.run(&["update-index", "--add", "--cacheinfo", &format!("160000,{commit},{path}")]);
    to.run(&["add", ".gitmodules"]);
    to.run(&["commit", "-q", "-m", "submodule"]);
    to.run(&["push", "-q", "-f", "origin", "HEAD"]);
}

fn files(checkout: &Checkout) -> Vec<String> {
    let mut files = Vec::new();
    checkout
        .walk(|mut entry| {
            let path = String::from_utf8_lossy(entry.path).into_owned();
            match entry.kind {
                Kind::File { .. } => {
                    let text = String::from_utf8_lossy(entry.read()?).trim().to_owned();
                    files.push(if text.contains('[') { path } else { format!("{path}={text}") });
                }
                Kind::Submodule => files.push(format!("{path}@")),
                Kind::Directory | Kind::Symlink => {}
            }
            Ok::<_, WalkError>(())
        })
        .unwrap();
    files
}

#[test]
fn submodules_lie_in_the_tree_at_their_commits() {
    let f = fixture();
    let (lib, inner) = (f.library("lib"), f.library("inner"));
    add(&lib, "deep/inner", "../inner", &inner.head());
    let wanted = lib.head();
    lib.write("lib.txt", "newer than the link");
    lib.commit("two");
    f.app.write("a.txt", "a");
    f.app.write("z.txt", "z");
    f.app.commit("files");
    add(&f.app, "libs/lib", &f.server.url("lib"), &wanted);
    let expected = [
        ".gitmodules",
        "a.txt=a",
        "libs/lib/.gitmodules",
        "libs/lib/deep/inner/inner.txt=inner",
        "libs/lib/lib.txt=lib",
        "z.txt=z",
    ];
    assert_eq!(f.files(), expected);
    let checkout = f.look(&f.remote()).unwrap();
    for (path, kind) in [
        ("libs/lib", Some(Kind::Directory)),
        ("libs/lib/deep/inner", Some(Kind::Directory)),
        ("libs/lib/deep/inner/inner.txt", Some(Kind::File { executable: false })),
        ("libs/lib/a.txt", None),
        ("libs/lib/lib.txt/x", None),
    ] {
        assert_eq!(checkout.kind_at(path.as_bytes()).unwrap(), kind, "{path}");
    }
    // What is here is not asked for again.
    f.server.traffic();
    assert_eq!(f.files(), expected);
    assert_eq!(f.server.traffic().0, ["GET info/refs", "POST git-upload-pack"]);
}

#[test]
fn an_old_server_gives_a_commit_that_only_a_branch_leads_to() {
    let f = fixture();
    let lib = f.library("lib");
    let wanted = lib.head();
    lib.write("lib.txt", "newer");
    lib.commit("two");
    add(&f.app, "lib", "../lib", &wanted);
    f.server.control.old_protocol.store(true, Ordering::Relaxed);
    assert_eq!(f.files(), [".gitmodules", "lib/lib.txt=lib"]);
    let nowhere = "1".repeat(40);
    add(&f.app, "gone", "../lib", &nowhere);
    assert_eq!(
        f.error(),
        format!("submodule 'gone': unable to resolve commit object for '{nowhere}': object not found")
    );
}

#[test]
fn links_without_a_repository_stay_empty_directories() {
    let f = fixture();
    let lib = f.library("lib");
    add(&f.app, "lib", "../lib", &lib.head());
    f.app.run(&["update-index", "--add", "--cacheinfo", &format!("160000,{},unknown", lib.head())]);
    git(&f.app.work, &["config", "-f", ".gitmodules", "submodule.absent.path", "absent"]);
    git(&f.app.work, &["config", "-f", ".gitmodules", "submodule.absent.url", "../absent"]);
    std::fs::create_dir_all(f.app.work.join("unknown")).unwrap();
    f.app.run(&["add", ".gitmodules"]);
    f.app.run(&["commit", "-q", "-m", "more"]);
    f.app.run(&["push", "-q", "origin", "HEAD"]);
    assert_eq!(f.files(), [".gitmodules", "lib/lib.txt=lib", "unknown@"]);
}

#[test]
fn credentials_of_the_parent_go_to_its_server_only() {
    let f = fixture();
    let (lib, other) = (f.library("lib"), Server::start());
    *f.server.control.authorization.lock().unwrap() = Some("Basic bWU6cGFzcw==".to_owned());
    let auth = Auth::Basic { username: "me".into(), password: Secret::new("pass") };
    let remote = f.remote().with_auth(auth).unwrap();
    add(&f.app, "lib", "../lib", &lib.head());
    assert_eq!(files(&f.look(&remote).unwrap()), [".gitmodules", "lib/lib.txt=lib"]);
    // Another port is another server. It asks for a password, and gets none.
    let foreign = other.repository("foreign");
    foreign.write("f", "1");
    let commit = foreign.commit("one");
    *other.control.authorization.lock().unwrap() = Some("Basic bWU6cGFzcw==".to_owned());
    add(&f.app, "foreign", &other.url("foreign"), &commit);
    let error = f.look(&remote).unwrap_err().to_string();
    let url = other.url("foreign");
    assert_eq!(
        error,
        format!("submodule 'foreign': unable to clone '{url}': authentication required: who are you?")
    );
}

#[test]
fn urls_that_are_no_servers_are_refused_by_name() {
    let f = fixture();
    let lib = f.library("lib");
    for url in
        ["file:///etc", "ext::sh -c id", "--upload-pack=id", "/etc", "../../../../../x", "git://127.0.0.1/x"]
    {
        add(&f.app, "lib", url, &lib.head());
        let error = f.error();
        assert!(error.starts_with("submodule 'lib': ") && error.contains("URL"), "{error}");
    }
    assert!(f.server.traffic().0.iter().all(|request| !request.contains("x")), "nobody was asked");
}

#[test]
fn loops_numbers_depth_and_bytes_are_bounded() {
    let mut f = fixture();
    // Each commit links to the one before it, in the same repository.
    f.app.write("f", "1");
    f.app.commit("one");
    for _ in 0..12 {
        let head = f.app.head();
        add(&f.app, "self", "../app", &head);
    }
    let deepest = |f: &Fixture| f.files().iter().map(|file| file.matches("self/").count()).max().unwrap();
    assert_eq!(deepest(&f), 10);
    f.limits.submodule_depth = 3;
    assert_eq!(deepest(&f), 3);
    f.limits = Limits { submodules: 4, ..Limits::default() };
    let error = f.error();
    assert!(error.ends_with("more than the limit of 4 submodules"), "{error}");
    f.limits = Limits { gitmodules_bytes: 10, ..Limits::default() };
    assert_eq!(f.error(), "the tree has more than the limit of 10 bytes of .gitmodules");
    // The bytes of all submodules count together.
    let g = fixture();
    for name in ["one", "two"] {
        let library = g.library(name);
        let noise: String = (0..3000_u32).map(|i| i.wrapping_mul(2_654_435_761).to_string()).collect();
        library.write("noise", &noise);
        let head = library.commit("noise");
        add(&g.app, name, &format!("../{name}"), &head);
    }
    let limits = Limits { pack_bytes: 20_000, ..Limits::default() };
    let g = Fixture { limits, ..g };
    let error = g.error();
    assert!(
        error.starts_with("submodule 'two': ") && error.contains("the server sent more than the limit of"),
        "{error}"
    );
    let g = Fixture { limits: Limits::default(), ..g };
    assert_eq!(g.files().len(), 5);
}
