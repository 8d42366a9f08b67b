//! What an artifact has to hold, by the word of `git ls-tree` and `git cat-file`; and what one does hold.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use crate::repository::git;

/// Files by their paths, each with whether it is executable.
pub type Files = BTreeMap<Vec<u8>, (bool, Arc<[u8]>)>;

/// A tree or an archive.
#[derive(Clone, Default)]
pub struct Content {
    pub files: Files,
    pub directories: BTreeSet<Vec<u8>>,
}

/// The commits that submodules may name, with their trees.
pub type Submodules = HashMap<String, Content>;

/// The tree of a commit. Submodules that are known are part of it; others are directories.
pub fn tree(repository: &Path, commit: &str, submodules: &Submodules) -> Content {
    let listed = git(repository, &["ls-tree", "-r", "-t", "-z", "--full-tree", commit], b"");
    let (mut content, mut blobs) = (Content::default(), Vec::new());
    for entry in listed.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()) {
        let tab = entry.iter().position(|byte| *byte == b'\t').unwrap();
        let (head, path) = (std::str::from_utf8(&entry[..tab]).unwrap(), entry[tab + 1..].to_vec());
        let [mode, kind, id] = head.split(' ').collect::<Vec<_>>()[..] else { panic!("{head}") };
        let mode = u32::from_str_radix(mode, 8).unwrap();
        match (kind, mode & 0o170_000) {
            ("blob", 0o100_000) => blobs.push((path, mode & 0o100 != 0, id.to_owned())),
            ("blob", 0o120_000) => {}
            ("tree", 0o040_000) => drop(content.directories.insert(path)),
            ("commit", 0o160_000) => {
                let module = submodules.get(id).cloned().unwrap_or_default();
                content.put(&path, &module);
            }
            _ => panic!("{head}"),
        }
    }
    for ((path, executable, _), data) in blobs.iter().zip(contents(repository, &blobs)) {
        content.files.insert(path.clone(), (*executable, data));
    }
    content
}

fn contents(repository: &Path, blobs: &[(Vec<u8>, bool, String)]) -> Vec<Arc<[u8]>> {
    let ids: String = blobs.iter().map(|(_, _, id)| format!("{id}\n")).collect();
    let output = git(repository, &["cat-file", "--batch"], ids.as_bytes());
    let mut rest = output.as_slice();
    let mut next = || {
        let newline = rest.iter().position(|byte| *byte == b'\n').unwrap();
        let head = std::str::from_utf8(&rest[..newline]).unwrap();
        let size: usize = head.rsplit(' ').next().unwrap().parse().unwrap();
        let (data, after) = rest[newline + 1..].split_at(size);
        rest = &after[1..];
        Arc::from(data)
    };
    blobs.iter().map(|_| next()).collect()
}

impl Content {
    /// Puts another tree below `path`.
    pub fn put(&mut self, path: &[u8], other: &Content) {
        let below = |inner: &[u8]| [path, b"/", inner].concat();
        self.directories.extend(parents(path));
        self.directories.insert(path.to_vec());
        self.directories.extend(other.directories.iter().map(|inner| below(inner)));
        self.files.extend(other.files.iter().map(|(inner, file)| (below(inner), file.clone())));
    }

    /// Leaves what lies below `directory`, whose name goes.
    pub fn below(&self, directory: &[u8]) -> Content {
        let prefix = [directory, b"/"].concat();
        let inner = |path: &Vec<u8>| path.strip_prefix(&prefix[..]).map(<[u8]>::to_vec);
        let files = self.files.iter().filter_map(|(path, file)| Some((inner(path)?, file.clone())));
        Content { files: files.collect(), directories: self.directories.iter().filter_map(inner).collect() }
    }

    /// Leaves the files whose paths begin with one of these texts.
    pub fn select(&mut self, prefixes: &[String]) {
        self.files.retain(|path, _| prefixes.iter().any(|prefix| path.starts_with(prefix.as_bytes())));
    }

    /// Leaves out what Flux never takes, what the `.sourceignore` files say and what `spec.ignore` says. The rules that tests
    /// use are all of the form `*.ending`: they are about every component of a path below their directory.
    pub fn ignore(&mut self, spec: Option<&str>) {
        let mut rules: Vec<(Vec<u8>, &[u8])> = vec![];
        if spec.is_some() {
            rules.push((Vec::new(), b".never"));
        }
        let (name, text) = (b".sourceignore", b"# comment\n*.local\n");
        for (path, (_, content)) in &self.files {
            if path.ends_with(name) && content[..] == text[..] {
                rules.push((path[..path.len() - name.len()].to_vec(), b".local"));
            }
        }
        let ignored = |path: &[u8]| {
            let ours = |part: &[u8]| matches!(part, b".gitmodules" | b".gitignore" | b".gitattributes");
            let ends = |part: &[u8], (directory, ending): &(Vec<u8>, &[u8]), at: usize| {
                part.ends_with(ending) && at >= directory.len() && path.starts_with(directory)
            };
            let mut at = 0;
            path.split(|byte| *byte == b'/').any(|part| {
                let matches = ours(part) || rules.iter().any(|rule| ends(part, rule, at));
                at += part.len() + 1;
                matches
            })
        };
        let gone: Vec<_> = self.files.keys().filter(|path| ignored(path)).cloned().collect();
        gone.iter().for_each(|path| drop(self.files.remove(path)));
        self.directories.retain(|path| !ignored(path));
    }
}

/// What is in an archive; it must have each path once.
pub fn archive(file: &Path) -> Content {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(File::open(file).unwrap()));
    let (mut content, mut long) = (Content::default(), None);
    // The reader of the crate takes a line break in a name for the end of it.
    for entry in archive.entries().unwrap().raw(true) {
        let mut entry = entry.unwrap();
        let (path, mode) = (entry.path_bytes().into_owned(), entry.header().mode().unwrap());
        let mut data = Vec::new();
        entry.read_to_end(&mut data).unwrap();
        let kind = entry.header().entry_type();
        if kind == tar::EntryType::XHeader {
            long = Some(pax_path(&data));
            continue;
        }
        let path = long.take().unwrap_or(path);
        let first = match kind {
            tar::EntryType::Directory => {
                let path = path.strip_suffix(b"/").unwrap_or(&path);
                assert_eq!(mode, 0o750);
                path == b"." || content.directories.insert(path.to_vec())
            }
            tar::EntryType::Regular => {
                assert!(matches!(mode, 0o600 | 0o700), "{mode:o}");
                content.files.insert(path.clone(), (mode == 0o700, data.into())).is_none()
            }
            other => panic!("{other:?}"),
        };
        assert!(first, "{} comes twice", path.escape_ascii());
    }
    content
}

/// The value of the one record `<length> path=<value>` that a long or odd name has.
fn pax_path(record: &[u8]) -> Vec<u8> {
    let space = record.iter().position(|byte| *byte == b' ').unwrap();
    let length: usize = std::str::from_utf8(&record[..space]).unwrap().parse().unwrap();
    assert_eq!(length, record.len());
    let value = record[space + 1..].strip_prefix(b"path=").unwrap();
    value.strip_suffix(b"\n").unwrap().to_vec()
}

/// Fails with the first difference.
pub fn assert_same(actual: &Content, expected: &Content, what: &str) {
    let shown = |path: &Vec<u8>| path.escape_ascii().to_string();
    for (path, (executable, data)) in &expected.files {
        let Some((is, found)) = actual.files.get(path) else { panic!("{what}: {} is missing", shown(path)) };
        assert_eq!(is, executable, "{what}: mode of {}", shown(path));
        assert!(found == data, "{what}: {} has {} bytes of {}", shown(path), found.len(), data.len());
    }
    for path in actual.files.keys() {
        assert!(expected.files.contains_key(path), "{what}: {} is in the way", shown(path));
    }
    for path in &actual.directories {
        assert!(expected.directories.contains(path), "{what}: directory {} is in the way", shown(path));
    }
    for directory in expected.files.keys().flat_map(|path| parents(path)) {
        assert!(
            actual.directories.contains(&directory),
            "{what}: directory {} is missing",
            shown(&directory)
        );
    }
}

/// The directories above a path.
fn parents(path: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    slashes.map(|(at, _)| path[..at].to_vec())
}
