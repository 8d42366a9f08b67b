//! One kustomization's view of the tree: its directory, what it may load, and the chain of those that led to it.

use std::rc::Rc;
use std::sync::Arc;

use crate::build::Build;
use crate::error::{Error, Result};
use crate::options::LoadRestrictor;
use crate::remote::{RepoSpec, Repository};
use crate::tree::{FileTree, Kind, TreeError, path};

/// A kustomization's directory.
pub(crate) struct Loader<'a> {
    tree: Tree<'a>,
    directory: String,
    /// Who referred to this one.
    referrer: Option<Rc<Loader<'a>>>,
    repo: Option<RepoSpec>,
    restrictor: LoadRestrictor,
    depth: usize,
}

#[derive(Clone)]
enum Tree<'a> {
    Local(&'a dyn FileTree),
    Remote(Arc<dyn FileTree>),
}

impl Tree<'_> {
    fn get(&self) -> &dyn FileTree {
        match self {
            Self::Local(tree) => *tree,
            Self::Remote(tree) => tree.as_ref(),
        }
    }
}

impl<'a> Loader<'a> {
    /// A view at the directory a build starts from.
    pub fn root(tree: &'a dyn FileTree, directory: &str, restrictor: LoadRestrictor) -> Result<Rc<Self>> {
        let directory = confirm_directory(tree, "", directory).map_err(not_a_directory)?;
        let tree = Tree::Local(tree);
        Ok(Rc::new(Self { tree, directory, referrer: None, repo: None, restrictor, depth: 0 }))
    }

    /// The directory as messages show it.
    pub fn display_root(&self) -> String {
        self.tree.get().display(&self.directory)
    }

    /// A file of the directory as messages show it.
    pub fn display_file(&self, name: &str) -> String {
        path::clean(&format!("{}/{name}", self.display_root()))
    }

    /// The text of a file or URL.
    pub fn load_text(&self, file: &str, build: &mut Build<'_>) -> Result<String> {
        let bytes = self.load(file, build)?;
        String::from_utf8(bytes.to_vec())
            .map_err(|_| Error::Invalid(format!("file '{file}' holds bytes that are not UTF-8")))
    }

    /// The bytes of a file or URL.
    pub fn load(&self, file: &str, build: &mut Build<'_>) -> Result<Arc<[u8]>> {
        let limit = build.options.limits.file_bytes;
        build.note_reference(file);
        let bytes: Arc<[u8]> = if is_url(file) {
            let fetcher = build.fetcher(file)?;
            build.meter.count_fetch()?;
            let limit = limit.min(usize::try_from(build.meter.fetched_left()).unwrap_or(limit));
            let body = fetcher.http(file, limit)?;
            build.meter.count_fetched(body.len() as u64)?;
            body.into()
        } else {
            let location = self.locate(file)?;
            self.tree.get().read(&location, limit)?
        };
        build.meter.count_bytes(bytes.len())?;
        Ok(bytes)
    }

    /// The path of a file, if this kustomization may load it.
    fn locate(&self, file: &str) -> Result<String> {
        let tree = self.tree.get();
        let wanted = if file.starts_with('/') {
            let clean = path::clean(file);
            tree.locate_absolute(&clean).ok_or_else(|| self.outside(&clean))?
        } else {
            path::join(&self.directory, file)
                .ok_or_else(|| self.outside(&path::clean(&format!("{}/{file}", self.display_root()))))?
        };
        if self.restrictor == LoadRestrictor::None {
            if tree.kind(&wanted) == Kind::Absent {
                tree.resolve(&wanted).map_err(|error| match error {
                    TreeError::Absent(path) => {
                        Error::Invalid(format!("open {path}: no such file or directory"))
                    }
                    error => error.into(),
                })?;
            }
            return Ok(wanted);
        }
        let resolved = tree.resolve(&wanted)?;
        if tree.kind(&resolved) != Kind::File {
            return Err(Error::Invalid(format!("'{}' must resolve to a file", tree.display(&wanted))));
        }
        if !path::is_within(path::parent(&resolved), &self.directory) {
            return Err(Error::Invalid(format!(
                "security; file '{}' is not in or below '{}'",
                tree.display(&wanted),
                self.display_root()
            )));
        }
        Ok(resolved)
    }

    fn outside(&self, path: &str) -> Error {
        TreeError::Outside { op: "read", path: path.to_owned(), root: self.tree.get().display("") }.into()
    }

    /// A view at a base: a directory, or a repository.
    pub fn enter(self: &Rc<Self>, base: &str, build: &mut Build<'_>) -> Result<Rc<Self>> {
        if base.is_empty() {
            return Err(Error::invalid("new root cannot be empty"));
        }
        build.note_reference(base);
        let depth = self.depth + 1;
        if depth > build.options.limits.depth {
            let limit = build.options.limits.depth as u64;
            return Err(Error::Limit { what: "bases below one another", limit });
        }
        let referrer = Some(Rc::clone(self));
        if let Ok(spec) = RepoSpec::parse(base) {
            self.refuse_repo_cycle(&spec)?;
            let fetcher = build.fetcher(base)?;
            build.meter.count_fetch()?;
            let Repository { tree, bytes } = fetcher.git(&spec, build.meter.fetched_left())?;
            build.meter.count_fetched(bytes)?;
            let directory = confirm_directory(tree.as_ref(), "", &spec.path)?;
            let tree = Tree::Remote(tree);
            let restrictor = LoadRestrictor::RootOnly;
            return Ok(Rc::new(Self { tree, directory, referrer, repo: Some(spec), restrictor, depth }));
        }
        if base.starts_with('/') {
            return Err(Error::Invalid(format!("new root '{base}' cannot be absolute")));
        }
        let directory = confirm_directory(self.tree.get(), &self.directory, base).map_err(not_a_directory)?;
        self.refuse_cycle(&directory)?;
        let restrictor = self.restrictor;
        Ok(Rc::new(Self { tree: self.tree.clone(), directory, referrer, repo: None, restrictor, depth }))
    }

    /// A base may not be at or above any directory on the way to it.
    fn refuse_cycle(&self, candidate: &str) -> Result<()> {
        let mut visited = Some(self);
        while let Some(loader) = visited {
            if path::is_within(&loader.directory, candidate) {
                return Err(Error::Invalid(format!(
                    "cycle detected: candidate root '{}' contains visited root '{}'",
                    self.tree.get().display(candidate),
                    loader.display_root()
                )));
            }
            // Above a repository's top lies another tree.
            visited = if loader.repo.is_some() { None } else { loader.referrer.as_deref() };
        }
        Ok(())
    }

    fn refuse_repo_cycle(&self, spec: &RepoSpec) -> Result<()> {
        let mut visited = Some(self);
        while let Some(loader) = visited {
            if let Some(known) = loader.repo.as_ref().filter(|known| known.raw.starts_with(&spec.raw)) {
                return Err(Error::Invalid(format!(
                    "cycle detected: URI '{}' referenced by previous URI '{}'",
                    spec.raw, known.raw
                )));
            }
            visited = loader.referrer.as_deref();
        }
        Ok(())
    }

    /// The path by which resources from `file` are known afterwards.
    pub fn label(&self, file: &str) -> Arc<str> {
        if is_url(file) {
            return secret::redact(file).into();
        }
        path::join(&self.directory, file).unwrap_or_else(|| file.to_owned()).into()
    }

    /// True when `name` is a file here.
    pub fn has_file(&self, name: &str) -> bool {
        self.locate(name).is_ok_and(|location| self.tree.get().kind(&location) == Kind::File)
    }
}

fn not_a_directory(error: Error) -> Error {
    match error {
        Error::Tree(TreeError::Absent(_)) => {
            Error::Invalid(format!("must build at directory: not a valid directory: {error}"))
        }
        error => Error::Invalid(format!("must build at directory: {error}")),
    }
}

fn confirm_directory(tree: &dyn FileTree, from: &str, directory: &str) -> Result<String> {
    let shown = || path::clean(&format!("{}/{directory}", tree.display(from)));
    let joined = path::join(from, directory).ok_or_else(|| TreeError::Outside {
        op: "stat",
        path: shown(),
        root: tree.display(""),
    })?;
    let resolved = tree.resolve(&joined)?;
    match tree.kind(&resolved) {
        Kind::Directory => Ok(resolved),
        Kind::File => Err(Error::Invalid(format!("'{}': file is not directory", shown()))),
        Kind::Absent => Err(TreeError::Absent(shown()).into()),
    }
}

/// True for what is fetched by HTTP.
pub(crate) fn is_url(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| {
        scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
    })
}
