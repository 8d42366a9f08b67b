//! What a build has asked of a tree, to tell whether another tree would build the same.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::{Entry, FileTree, Kind, TreeError};

/// A tree that takes down what is asked of it.
pub struct Traced<'a> {
    tree: &'a dyn FileTree,
    questions: usize,
    /// `None` once more was asked than may be taken down.
    asked: Mutex<Option<HashMap<Question, Answer>>>,
}

/// What a build has asked of a tree, and what it was told.
///
/// A build depends on nothing else of the tree: where every question has the same answer, the outcome is the same.
#[derive(Debug, Clone)]
pub struct Trace(Box<[(Question, Answer)]>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Question {
    Read(Box<str>, usize),
    Kind(Box<str>),
    List(Box<str>),
    Resolve(Box<str>),
    Absolute(Box<str>),
}

/// SHA-256 of the answer, or of its error.
type Answer = [u8; 32];

impl<'a> Traced<'a> {
    /// Takes down at most so many different questions.
    pub fn new(tree: &'a dyn FileTree, questions: usize) -> Self {
        Self { tree, questions, asked: Mutex::new(Some(HashMap::new())) }
    }

    /// What was asked; `None` if that was too much.
    pub fn finish(self) -> Option<Trace> {
        let asked = self.asked.into_inner().unwrap_or_else(PoisonError::into_inner)?;
        Some(Trace(asked.into_iter().collect()))
    }

    fn note(&self, question: Question, answer: Answer) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = asked.as_mut() {
            known.insert(question, answer);
            if known.len() > self.questions {
                *asked = None;
            }
        }
    }
}

impl Trace {
    /// Whether a tree gives all the same answers.
    pub fn holds(&self, tree: &dyn FileTree) -> bool {
        self.0.iter().all(|(question, answer)| question.ask(tree) == *answer)
    }
}

impl Question {
    fn ask(&self, tree: &dyn FileTree) -> Answer {
        match self {
            Self::Read(path, limit) => of_read(&tree.read(path, *limit)),
            Self::Kind(path) => of_kind(tree.kind(path)),
            Self::List(path) => of_list(&tree.list(path)),
            Self::Resolve(path) => of_path(&tree.resolve(path)),
            Self::Absolute(path) => of_absolute(tree.locate_absolute(path).as_deref()),
        }
    }
}

fn of_read(answer: &Result<Arc<[u8]>, TreeError>) -> Answer {
    match answer {
        Ok(bytes) => hash([b"ok", &**bytes]),
        Err(error) => of_error(error),
    }
}

fn of_kind(answer: Kind) -> Answer {
    hash([of_kind_byte(answer)])
}

fn of_kind_byte(kind: Kind) -> &'static [u8] {
    match kind {
        Kind::File => b"f",
        Kind::Directory => b"d",
        Kind::Absent => b"-",
    }
}

fn of_list(answer: &Result<Vec<Entry>, TreeError>) -> Answer {
    match answer {
        // No name holds a slash.
        Ok(entries) => hash(
            entries
                .iter()
                .flat_map(|entry| [of_kind_byte(entry.kind), entry.name.as_bytes(), b"/".as_slice()]),
        ),
        Err(error) => of_error(error),
    }
}

fn of_path(answer: &Result<String, TreeError>) -> Answer {
    match answer {
        Ok(path) => hash([b"ok", path.as_bytes()]),
        Err(error) => of_error(error),
    }
}

fn of_absolute(answer: Option<&str>) -> Answer {
    match answer {
        Some(path) => hash([b"ok", path.as_bytes()]),
        None => hash([b"-".as_slice()]),
    }
}

fn of_error(error: &TreeError) -> Answer {
    hash([b"error", error.to_string().as_bytes()])
}

fn hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Answer {
    let mut hasher = Sha256::new();
    parts.into_iter().for_each(|part| hasher.update(part));
    hasher.finalize().into()
}

impl FileTree for Traced<'_> {
    fn read(&self, path: &str, limit: usize) -> Result<Arc<[u8]>, TreeError> {
        let answer = self.tree.read(path, limit);
        self.note(Question::Read(path.into(), limit), of_read(&answer));
        answer
    }

    fn kind(&self, path: &str) -> Kind {
        let answer = self.tree.kind(path);
        self.note(Question::Kind(path.into()), of_kind(answer));
        answer
    }

    fn list(&self, directory: &str) -> Result<Vec<Entry>, TreeError> {
        let answer = self.tree.list(directory);
        self.note(Question::List(directory.into()), of_list(&answer));
        answer
    }

    fn resolve(&self, path: &str) -> Result<String, TreeError> {
        let answer = self.tree.resolve(path);
        self.note(Question::Resolve(path.into()), of_path(&answer));
        answer
    }

    fn locate_absolute(&self, absolute: &str) -> Option<String> {
        let answer = self.tree.locate_absolute(absolute);
        self.note(Question::Absolute(absolute.into()), of_absolute(answer.as_deref()));
        answer
    }

    fn display(&self, path: &str) -> String {
        self.tree.display(path)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::MemoryTree;
    use super::*;
    use crate::Options;
    use crate::flux::{Overlay, build};

    fn tree(files: &[(&str, &str)]) -> MemoryTree {
        let mut tree = MemoryTree::default();
        files.iter().for_each(|(path, text)| tree.insert(path, text.as_bytes()));
        tree
    }

    const FILES: [(&str, &str); 5] = [
        ("app/kustomization.yaml", "resources: [../base]\nconfigMapGenerator: [{name: c, files: [c.txt]}]\n"),
        ("app/c.txt", "one"),
        ("base/map.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"),
        ("base/kustomization.yaml", "resources: [map.yaml]\n"),
        ("other/map.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\n"),
    ];

    fn trace(tree: &MemoryTree, directory: &str, questions: usize) -> Option<Trace> {
        let traced = Traced::new(tree, questions);
        build(&traced, directory, &Overlay::default(), &Options::default(), None, None).unwrap();
        traced.finish()
    }

    #[test]
    fn only_what_a_build_reads_matters_to_it() {
        let first = tree(&FILES);
        let trace = trace(&first, "app", 1000).unwrap();
        assert!(trace.holds(&first));
        let changed = |path: &str, text: &str| {
            let mut tree = first.clone();
            tree.insert(path, text.as_bytes());
            trace.holds(&tree)
        };
        assert!(changed("other/map.yaml", "changed"));
        assert!(changed("new/file", ""));
        assert!(!changed("app/c.txt", "two"));
        assert!(!changed("base/map.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n"));
        assert!(!trace.holds(&tree(&FILES[..4].iter().copied().skip(1).collect::<Vec<_>>())));
    }

    #[test]
    fn a_new_file_in_a_plain_directory_is_noticed() {
        let first = tree(&FILES);
        let trace = trace(&first, "other", 1000).unwrap();
        let mut second = first.clone();
        second.insert("other/more.yaml", b"kind: X".as_slice());
        assert!(!trace.holds(&second));
        second = first;
        second.insert("app/more.yaml", b"kind: X".as_slice());
        assert!(trace.holds(&second));
    }

    #[test]
    fn a_file_that_takes_precedence_is_noticed() {
        let first = tree(&[("app/Kustomization", "resources: [a.yaml]\n"), ("app/a.yaml", FILES[2].1)]);
        let trace = trace(&first, "app", 1000).unwrap();
        let mut second = first.clone();
        second.insert("app/kustomization.yml", b"resources: []".as_slice());
        assert!(!trace.holds(&second));
    }

    #[test]
    fn too_many_questions_leave_no_trace() {
        let first = tree(&FILES);
        assert!(trace(&first, "app", 3).is_none());
    }
}
