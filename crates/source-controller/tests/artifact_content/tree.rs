//! Random trees, and random changes of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, IteratorRandom};

/// Paths with what Git is told to put there. Directories follow from them.
pub type Tree = BTreeMap<Vec<u8>, Node>;

#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    File { executable: bool, content: Arc<[u8]> },
    Link(Vec<u8>),
    Submodule(String),
}

/// Makes names and contents; some of them come again and again.
pub struct Maker<'a> {
    pub rng: &'a mut StdRng,
    contents: Vec<Arc<[u8]>>,
}

/// Names that the ignore rules of [`super::expect`] are about.
const ENDINGS: [&[u8]; 3] = [b".skip", b".local", b".never"];

impl<'a> Maker<'a> {
    pub fn new(rng: &'a mut StdRng) -> Self {
        Maker { rng, contents: vec![Arc::from(&b""[..]), Arc::from(&b"AAAA"[..])] }
    }

    pub fn tree(&mut self) -> Tree {
        let mut tree = Tree::new();
        let most = *[1, 3, 12, 60, 150].choose(self.rng).unwrap();
        for _ in 0..self.rng.random_range(0..=most) {
            self.add(&mut tree);
        }
        if self.rng.random_bool(0.1) {
            let deep: Vec<_> = (0..self.rng.random_range(20..200)).map(|n| format!("d{}", n % 3)).collect();
            let file = self.file();
            put(&mut tree, format!("deep/{}/file", deep.join("/")).into_bytes(), file);
        }
        tree
    }

    /// Some changes at once.
    pub fn change(&mut self, tree: &mut Tree) {
        for _ in 0..self.rng.random_range(1..6) {
            // A submodule stays, and so does what says where it is.
            let may_change = |path: &&Vec<u8>| !matches!(path.as_slice(), b".gitmodules" | b"module");
            let chosen = tree.keys().filter(may_change).choose(self.rng).cloned();
            let Some(path) = chosen else {
                self.add(tree);
                continue;
            };
            match self.rng.random_range(0..6) {
                0 => self.add(tree),
                1 => drop(tree.remove(&path)),
                2 => drop(tree.insert(path, Node::File { executable: false, content: Arc::from(&b""[..]) })),
                3 => {
                    let node = tree.remove(&path).unwrap();
                    let to = self.path(tree);
                    put(tree, to, node);
                }
                4 => {
                    if let Some(Node::File { executable, .. }) = tree.get_mut(&path) {
                        *executable = !*executable;
                    }
                }
                _ => drop(tree.insert(path, self.file())),
            }
        }
    }

    fn add(&mut self, tree: &mut Tree) {
        let path = self.path(tree);
        let node = match self.rng.random_range(0..20) {
            0 => Node::Link(self.name()),
            1 => Node::Submodule(format!("{:040x}", self.rng.random_range(1..u128::MAX))),
            _ => self.file(),
        };
        put(tree, path, node);
        if self.rng.random_bool(0.05) {
            let rules = Arc::from(&b"# comment\n*.local\n"[..]);
            let directory = self.directory(tree);
            let path = [&directory[..], b".sourceignore"].concat();
            put(tree, path, Node::File { executable: false, content: rules });
        }
    }

    /// A new path, mostly in a directory that is there.
    fn path(&mut self, tree: &Tree) -> Vec<u8> {
        let mut path = if self.rng.random_bool(0.7) { self.directory(tree) } else { Vec::new() };
        for _ in 0..self.rng.random_range(0..3) {
            path.extend(self.name());
            path.push(b'/');
        }
        path.extend(self.name());
        path
    }

    /// A directory that is there, with a slash at its end; empty for the root.
    fn directory(&mut self, tree: &Tree) -> Vec<u8> {
        let path = tree.keys().choose(self.rng).cloned().unwrap_or_default();
        let slash = path.iter().rposition(|byte| *byte == b'/');
        path[..slash.map_or(0, |slash| slash + 1)].to_vec()
    }

    /// Any bytes that Git allows; its own names are long and never come about by chance.
    fn name(&mut self) -> Vec<u8> {
        let plain = self.rng.random_bool(0.6);
        let length = match self.rng.random_range(0..30) {
            0 => self.rng.random_range(90..260),
            _ => self.rng.random_range(1..12),
        };
        let byte = |rng: &mut StdRng| loop {
            let byte = if plain { rng.random_range(b'a'..=b'e') } else { rng.random_range(1..=255) };
            // Git minds what stands between backslashes, as other systems would.
            if !matches!(byte, b'/' | b'\\') {
                return byte;
            }
        };
        let mut name: Vec<u8> = (0..length).map(|_| byte(self.rng)).collect();
        if self.rng.random_bool(0.1) {
            name.extend_from_slice(ENDINGS.choose(self.rng).unwrap());
        }
        if matches!(name.as_slice(), b"." | b"..") { self.name() } else { name }
    }

    fn file(&mut self) -> Node {
        Node::File { executable: self.rng.random_bool(0.2), content: self.content() }
    }

    fn content(&mut self) -> Arc<[u8]> {
        let content = match self.rng.random_range(0..20) {
            0..4 => Vec::new(),
            4..8 => return self.contents.choose(self.rng).unwrap().clone(),
            8..11 => {
                // Nearly the same, so that it becomes a delta.
                let mut like = self.contents.choose(self.rng).unwrap().to_vec();
                let at = self.rng.random_range(0..=like.len());
                like.splice(at..at, b"change\n".iter().copied());
                like
            }
            11 => (0..self.rng.random_range(1..200_000)).map(|_| self.rng.random()).collect(),
            12 => format!("line {}\n", self.rng.random::<u32>())
                .repeat(self.rng.random_range(1..20_000))
                .into_bytes(),
            _ => {
                let lines = self.rng.random_range(1..30);
                (0..lines).flat_map(|_| format!("k: {}\n", self.rng.random::<u64>()).into_bytes()).collect()
            }
        };
        let content: Arc<[u8]> = content.into();
        self.contents.push(content.clone());
        content
    }
}

/// Puts a node into the tree, unless something is in its way.
pub fn put(tree: &mut Tree, path: Vec<u8>, node: Node) {
    let below = [&path[..], b"/"].concat();
    let is_directory = tree.range(below.clone()..).next().is_some_and(|(other, _)| other.starts_with(&below));
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    let in_a_file = slashes.map(|(at, _)| &path[..at]).any(|parent| tree.contains_key(parent));
    if !is_directory && !in_a_file {
        tree.insert(path, node);
    }
}
