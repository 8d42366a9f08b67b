//! Every artifact is, byte for byte and mode for mode, what Git says of its commit and the ignore rules leave of it.
//!
//! `ARTIFACT_SEED` repeats one random repository, `ARTIFACT_CASES` says how many there are.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod expect;
mod repository;
mod tree;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use artifact::store::{Options, Store};
use e2e::git_server::GitServer;
use git::{Cache, Checkout, Connector, Outcome, Reference, Remote};
use net::Deadline;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, IteratorRandom};
use rand::{RngExt, SeedableRng};
use source::storage::{ObjectStorage, status_artifact};
use source_controller::git_repository::KIND;
use source_controller::git_repository::build::Recipe;
use source_controller::git_repository::content::Include;
use source_controller::git_repository::limits::Limits;
use tempfile::TempDir;

use expect::{Content, Submodules};
use tree::{Maker, Node, Tree, put};

/// A Git server and a storage.
struct World {
    server: GitServer,
    runtime: tokio::runtime::Runtime,
    temp: TempDir,
    store: Arc<Store>,
    connector: Connector,
    /// Commits that submodules may name, and where they are.
    submodules: Submodules,
    repositories: BTreeMap<String, String>,
    /// Artifacts that others may include.
    made: Vec<(String, api::Artifact, Content)>,
}

/// What a source asks for.
#[derive(Default)]
struct Spec {
    ignore: Option<String>,
    sparse: Vec<String>,
    submodules: bool,
    includes: Vec<Include>,
}

impl World {
    fn new() -> World {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("storage")).unwrap();
        World {
            server: runtime.block_on(GitServer::start()).unwrap(),
            runtime,
            store: Arc::new(Store::open(&temp.path().join("storage"), Options::new("localhost")).unwrap()),
            temp,
            connector: Connector::default(),
            submodules: Submodules::new(),
            repositories: BTreeMap::new(),
            made: Vec::new(),
        }
    }

    fn repository(&self, name: &str) -> PathBuf {
        self.server.create(name).unwrap().bare().to_owned()
    }

    /// The last commit of `main`, fetched into the objects that are there of it.
    fn checkout(&self, name: &str, spec: &Spec) -> Checkout {
        let limits = Limits::default().git;
        let cache = Cache::new(self.temp.path().join("caches").join(name), limits);
        let remote = Remote::new(&self.server.url(name)).unwrap();
        let deadline = Deadline::new(Duration::from_secs(120));
        let reference = Reference { branch: Some("main".to_owned()), ..Reference::default() };
        let outcome = cache.checkout(&self.connector, &remote, &reference, None, &deadline).unwrap();
        let Outcome::Checkout(mut checkout) = outcome else { panic!("{outcome:?}") };
        if spec.submodules {
            cache.add_submodules(&self.connector, &remote, &mut checkout, &deadline).unwrap();
        }
        checkout.select(&spec.sparse).unwrap();
        *checkout
    }

    /// Makes the artifact of the last commit; gives what is in it.
    fn build(&self, name: &str, spec: &Spec) -> (api::Artifact, Content) {
        let checkout = self.checkout(name, spec);
        let recipe = Recipe {
            ignore: spec.ignore.clone(),
            includes: spec.includes.clone(),
            storage: ObjectStorage::new(self.store.clone(), KIND, "ns", name),
            limits: Limits::default(),
        };
        let stored = recipe.archive(&checkout, &Deadline::new(Duration::from_secs(120))).unwrap();
        self.store.verify(&stored.path, &stored.digest).unwrap();
        let content = expect::archive(&self.store.root().join(&stored.path));
        (status_artifact(stored), content)
    }
}

/// A random repository, of which each commit becomes an artifact.
fn check_random(world: &mut World, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let name = format!("r{seed}");
    let repository = world.repository(&name);
    let mut maker = Maker::new(&mut rng);
    let mut tree = maker.tree();
    if maker.rng.random_bool(0.3) {
        add_submodule(world, &mut tree, maker.rng);
    }
    for round in 0..maker.rng.random_range(1..5) {
        if round > 0 {
            maker.change(&mut tree);
        }
        let commit = repository::commit(&repository, &tree, round == 0, maker.rng);
        let mut expected = expect::tree(&repository, &commit, &Submodules::new());
        let spec = random_spec(world, &expected, maker.rng);
        if spec.submodules {
            expected = expect::tree(&repository, &commit, &world.submodules);
            world.submodules.insert(commit.clone(), expected.clone());
            world.repositories.insert(commit.clone(), name.clone());
        }
        if !spec.sparse.is_empty() {
            expected.select(&spec.sparse);
        }
        for include in &spec.includes {
            let (_, _, other) = world.made.iter().find(|made| made.0 == include.name).unwrap();
            let part =
                if include.from.is_empty() { other.clone() } else { other.below(include.from.as_bytes()) };
            expected.put(include.to.as_bytes(), &part);
        }
        expected.ignore(spec.ignore.as_deref());
        let (artifact, actual) = world.build(&name, &spec);
        expect::assert_same(
            &actual,
            &expected,
            &format!("ARTIFACT_SEED={seed}, round {round}, commit {commit}"),
        );
        world.made.retain(|made| made.0 != name);
        world.made.push((name.clone(), artifact, actual));
    }
}

fn random_spec(world: &World, content: &Content, rng: &mut StdRng) -> Spec {
    let mut spec = Spec { ignore: rng.random_bool(0.5).then(|| "*.never\n".to_owned()), ..Spec::default() };
    let text = |path: &Vec<u8>| String::from_utf8(path.clone()).ok();
    match rng.random_range(0..4) {
        0 => {
            let directories = content.directories.iter().filter_map(text).sample(rng, 2);
            spec.sparse = directories;
        }
        1 => {}
        _ => spec.submodules = true,
    }
    if let (true, Some((name, artifact, other))) = (rng.random_bool(0.3), world.made.choose(rng)) {
        let plain = |path: &String| path.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'/');
        let from = other.directories.iter().filter_map(text).filter(plain).choose(rng);
        let from = from.filter(|_| rng.random_bool(0.5)).unwrap_or_default();
        let (name, to, artifact) = (name.clone(), "included/here".to_owned(), artifact.clone());
        spec.includes = vec![Include { name, from, to, artifact }];
    }
    spec
}

/// Adds a submodule with a commit of another repository.
fn add_submodule(world: &World, tree: &mut Tree, rng: &mut StdRng) {
    let Some((commit, other)) = world.repositories.iter().choose(rng) else { return };
    let text = format!("[submodule \"m\"]\n\tpath = module\n\turl = ../{other}.git\n");
    put(tree, b".gitmodules".to_vec(), Node::File { executable: false, content: text.into_bytes().into() });
    put(tree, b"module".to_vec(), Node::Submodule(commit.clone()));
}

#[test]
fn artifacts_of_random_repositories_are_what_git_says() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let mut world = World::new();
    match number("ARTIFACT_SEED") {
        // What a repository includes depends on those before it.
        Some(seed) => (0..=seed).for_each(|seed| check_random(&mut world, seed)),
        None => (0..number("ARTIFACT_CASES").unwrap_or(200)).for_each(|seed| check_random(&mut world, seed)),
    }
    let World { server, runtime, .. } = world;
    runtime.block_on(async move { drop(server) });
}

#[test]
fn the_artifact_of_huge_files_is_what_git_says() {
    let world = World::new();
    let repository = world.repository("huge");
    let mut rng = StdRng::seed_from_u64(1);
    let noise: Arc<[u8]> = (0..2 << 20).flat_map(|_| rng.random::<u32>().to_le_bytes()).collect();
    let (zeros, empty): (Arc<[u8]>, Arc<[u8]>) = (vec![0; 32 << 20].into(), Arc::from(&b""[..]));
    let changed: Arc<[u8]> = [&noise[..3 << 20], b"changed", &noise[3 << 20..]].concat().into();
    let contents = [("a", &noise), ("b", &empty), ("c", &zeros), ("d", &empty), ("e", &noise), ("f", &empty)];
    let file = |content: &Arc<[u8]>| Node::File { executable: false, content: content.clone() };
    let mut tree: Tree =
        contents.iter().map(|(name, content)| (name.as_bytes().into(), file(content))).collect();
    for round in 0..2 {
        let commit = repository::commit(&repository, &tree, round == 0, &mut rng);
        let (_, actual) = world.build("huge", &Spec::default());
        let expected = expect::tree(&repository, &commit, &Submodules::new());
        expect::assert_same(&actual, &expected, &commit);
        tree.insert(b"a".to_vec(), file(&changed));
        tree.insert(b"c".to_vec(), file(&empty));
    }
}

/// Makes a repository of files as they lie on this machine, changes it, and compares both artifacts; gives how many files
/// there are.
fn check_real(root: &Path, folders: &[&str]) -> usize {
    let world = World::new();
    let repository = world.repository("real");
    let git_dir = format!("--git-dir={}", repository.display());
    let git = |args: &[&str], input: &[u8]| {
        repository::git(root, &[&[&git_dir, "--work-tree=."], args].concat(), input)
    };
    let compare = || {
        let tree = repository::line(&repository, &["write-tree"], b"");
        let text = format!("tree {tree}\nauthor x <x@x> 1 +0000\ncommitter x <x@x> 1 +0000\n\nsubject\n");
        let commit =
            repository::line(&repository, &["hash-object", "-t", "commit", "-w", "--stdin"], text.as_bytes());
        repository::line(&repository, &["update-ref", "refs/heads/main", &commit], b"");
        // With a rule of its own, the list of endings that are left out otherwise does not count.
        let spec = Spec { ignore: Some("*.never\n".to_owned()), ..Spec::default() };
        let (_, actual) = world.build("real", &spec);
        let mut expected = expect::tree(&repository, &commit, &Submodules::new());
        expected.ignore(spec.ignore.as_deref());
        expect::assert_same(&actual, &expected, &root.display().to_string());
        actual.files.len()
    };
    git(&[&["add", "--force", "--"], folders].concat(), b"");
    let files = compare();
    // Every seventh file goes, every eighth gets the content of the one before it, every ninth is empty.
    let listed = git(&["ls-files", "-s", "-z"], b"");
    let (mut changes, mut last) = (Vec::new(), &b""[..]);
    for (at, entry) in listed.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()).enumerate() {
        let (id, path) = (&entry[7..47], &entry[50..]);
        let new = match at {
            at if at % 7 == 1 => Some((&b"0"[..], &[b'0'; 40][..])),
            at if at % 8 == 1 => Some((&b"100644"[..], last)),
            at if at % 9 == 1 => Some((&b"100755"[..], &b"e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"[..])),
            _ => None,
        };
        if let Some((mode, id)) = new {
            changes.extend([mode, b" ", id, b"\t", path, b"\0"].concat());
        }
        last = id;
    }
    git(&["hash-object", "-w", "--stdin"], b"");
    git(&["update-index", "-z", "--index-info"], &changes);
    compare();
    files
}

#[test]
fn the_artifact_of_this_project_is_what_git_says() {
    let root = e2e::workspace().canonicalize().unwrap();
    let files = check_real(&root, &["crates", "e2e", "config", "charts", "docs"]);
    assert!(files > 300, "{files}");
}

#[test]
fn the_artifact_of_the_sources_of_go_is_what_git_says() {
    let root = std::process::Command::new("go").args(["env", "GOROOT"]).output().unwrap().stdout;
    let root = String::from_utf8(root).unwrap();
    let files = check_real(Path::new(root.trim()), &["src/cmd", "src/archive", "src/compress", "src/debug"]);
    assert!(files > 1000, "{files}");
}
