//! Ignore rules: which files of a source stay out of its artifact.
//!
//! The rules look like `.gitignore` but are not, and users' `.sourceignore` files rely on the difference:
//!
//! - The last pattern that matches decides; `!` before it includes. A file below an excluded directory can be
//!   included again.
//! - A pattern without a slash (a trailing one apart) is a *name*: it is compared with every component of the path,
//!   so what lies below a matching directory matches too.
//! - A pattern with a slash is a *path* from its directory: it matches the entry and all below. `**` as a
//!   component stands for any number of directories; a component that merely contains `**` never matches.
//! - A trailing slash asks for a directory as the matching component.
//! - A pattern with a malformed glob never matches.
//! - Any user pattern at all switches the built-in list off, except for Git's own files.

use std::collections::HashMap;
use std::io::{self, Read};

use glob::Glob;
use net::Deadline;

/// The file that holds ignore patterns for its directory.
pub const IGNORE_FILE: &str = ".sourceignore";

const GIT_PATTERNS: [&str; 4] = [".git/", ".gitignore", ".gitmodules", ".gitattributes"];

const DEFAULT_PATTERNS: [&str; 20] = [
    "*.jpg",
    "*.jpeg",
    "*.gif",
    "*.png",
    "*.wmv",
    "*.flv",
    "*.tar.gz",
    "*.zip",
    ".github/",
    ".circleci/",
    ".travis.yml",
    ".gitlab-ci.yml",
    "appveyor.yml",
    ".drone.yml",
    "cloudbuild.yaml",
    "codeship-services.yml",
    "codeship-steps.yml",
    "**/.goreleaser.yml",
    "**/.sops.yaml",
    "**/.flux.yaml",
];

/// How often the deadline is looked at.
const STEPS_PER_LOOK: u64 = 1 << 16;

/// How many and how long patterns and their files may be. One path is compared with all patterns of the directories above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Patterns from all files and the spec.
    pub patterns: usize,
    /// Bytes of one pattern.
    pub pattern_bytes: usize,
    /// Bytes of one file.
    pub file_bytes: usize,
    /// Bytes of all files.
    pub total_bytes: usize,
    /// Comparisons of an element of a pattern with a part of a path, over all paths of an artifact; about ten seconds of one CPU.
    /// 200 usual patterns and 500,000 files, eight directories deep, are less.
    pub steps: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            patterns: 10_000,
            pattern_bytes: 1024,
            file_bytes: 1 << 20,
            total_bytes: 16 << 20,
            steps: 1_000_000_000,
        }
    }
}

/// Why rules were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IgnoreError {
    /// There are too many patterns.
    #[error("ignore rules exceed the limit of {0} patterns")]
    Patterns(usize),
    /// A pattern is too long.
    #[error("an ignore pattern exceeds the limit of {0} bytes")]
    PatternBytes(usize),
    /// A file is too long.
    #[error("an ignore file exceeds the limit of {0} bytes")]
    FileBytes(usize),
    /// All files together are too long.
    #[error("the ignore files together exceed the limit of {0} bytes")]
    TotalBytes(usize),
    /// Too many patterns are compared with too many paths.
    #[error("comparing the ignore rules with all paths exceeds the limit of {0} steps")]
    Steps(u64),
    /// Nobody waits any more.
    #[error("comparing the ignore rules with all paths took too long")]
    Time,
}

/// The [`IGNORE_FILE`]s of a tree. A tree can hold one file in any number of directories, so the limits count while
/// they are collected.
#[derive(Debug)]
pub struct Files<'a> {
    limits: &'a Limits,
    /// Directory and text.
    files: Vec<(Vec<u8>, Vec<u8>)>,
    bytes: usize,
}

/// Decides for each path of a tree whether it is left out. The paths of one artifact are compared by one matcher, which counts
/// what that takes.
#[derive(Debug)]
pub struct Matcher {
    /// The patterns of `spec.ignore`, in order of increasing priority, as are those of each directory.
    spec: Vec<Pattern>,
    /// The patterns of each directory that has some; the root's name is empty.
    directories: HashMap<Vec<u8>, Vec<Pattern>>,
    steps: Steps,
}

/// The steps that may still be taken.
#[derive(Debug)]
struct Steps {
    limit: u64,
    left: u64,
}

#[derive(Clone, Debug)]
struct Pattern {
    include: bool,
    directory_only: bool,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Name(Glob),
    Path(Vec<Step>),
    Never,
}

/// A component of a path pattern.
#[derive(Clone, Debug)]
enum Step {
    /// Nothing between two slashes, or before the first one.
    Empty,
    /// `**`.
    AnyDirectories,
    Component(Glob),
}

/// The directory of an [`IGNORE_FILE`], empty for the root; `None` if the path is another one.
pub fn directory(path: &[u8]) -> Option<&[u8]> {
    match path.strip_suffix(IGNORE_FILE.as_bytes())? {
        b"" => Some(b""),
        directory => directory.strip_suffix(b"/"),
    }
}

// === impl Files ===

impl<'a> Files<'a> {
    /// No files yet.
    pub fn new(limits: &'a Limits) -> Self {
        Self { limits, files: Vec::new(), bytes: 0 }
    }

    /// Adds the file of `directory` (empty for the root).
    pub fn add(&mut self, directory: &[u8], text: &[u8]) -> Result<(), IgnoreError> {
        if text.len() > self.limits.file_bytes {
            return Err(IgnoreError::FileBytes(self.limits.file_bytes));
        }
        self.bytes += text.len();
        if self.bytes > self.limits.total_bytes {
            return Err(IgnoreError::TotalBytes(self.limits.total_bytes));
        }
        self.files.push((directory.to_vec(), text.to_vec()));
        Ok(())
    }

    /// The text of a file for [`Files::add`]. Of one that is too long only so much is read that it is seen to be.
    pub fn read(&self, file: impl Read) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        file.take(self.limits.file_bytes as u64 + 1).read_to_end(&mut text)?;
        Ok(text)
    }

    /// The rules of the files and of `spec.ignore`, see [`Matcher::from_rules`].
    pub fn matcher(&self, spec: Option<&str>) -> Result<Matcher, IgnoreError> {
        let rules = self.files.iter().map(|(directory, text)| (directory.as_slice(), text.as_slice()));
        Matcher::from_rules(rules, spec, self.limits)
    }
}

// === impl Matcher ===

impl Matcher {
    /// Collects the rules of a tree.
    ///
    /// `files` are the directories that have an [`IGNORE_FILE`] (empty for the root, otherwise relative with `/`) with
    /// the file's text, in any order: a deeper directory's patterns win over those of its parents, and later names over
    /// earlier ones. `spec` is the object's own `spec.ignore`; it wins over all.
    pub fn from_rules<'a>(
        files: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        spec: Option<&str>,
        limits: &Limits,
    ) -> Result<Self, IgnoreError> {
        Self::new(files, spec, limits, true)
    }

    /// The rules of the text of one [`IGNORE_FILE`], of the root, and of `spec`, which wins; there are no others.
    pub fn without_defaults(text: &[u8], spec: Option<&str>, limits: &Limits) -> Result<Self, IgnoreError> {
        if text.len() > limits.file_bytes {
            return Err(IgnoreError::FileBytes(limits.file_bytes));
        }
        Self::new([(&b""[..], text)], spec, limits, false)
    }

    fn new<'a>(
        files: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        spec: Option<&str>,
        limits: &Limits,
        has_defaults: bool,
    ) -> Result<Self, IgnoreError> {
        let mut directories: HashMap<Vec<u8>, Vec<Pattern>> = HashMap::new();
        if has_defaults {
            directories.insert(Vec::new(), patterns(&GIT_PATTERNS));
        }
        let mut count = 0;
        let mut read = |text| {
            let mut patterns = Vec::new();
            for line in pattern_lines(text) {
                count += 1;
                if count > limits.patterns {
                    return Err(IgnoreError::Patterns(limits.patterns));
                }
                if line.len() > limits.pattern_bytes {
                    return Err(IgnoreError::PatternBytes(limits.pattern_bytes));
                }
                patterns.push(Pattern::parse(line));
            }
            Ok(patterns)
        };
        for (directory, text) in files.into_iter().filter(|(directory, _)| !is_git_data(directory)) {
            let patterns = read(text)?;
            if !patterns.is_empty() {
                directories.entry(directory.to_vec()).or_default().extend(patterns);
            }
        }
        let mut spec = read(spec.unwrap_or_default().as_bytes())?;
        if count == 0 && has_defaults {
            spec = patterns(&DEFAULT_PATTERNS);
        }
        Ok(Self { spec, directories, steps: Steps { limit: limits.steps, left: limits.steps } })
    }

    /// Whether the entry at `path` (relative, `/` between components) is left out. Content of an ignored directory is
    /// asked for separately and may be included. The root is never ignored.
    ///
    /// # Errors
    /// When all paths together took more steps than there may be, and when the deadline is cancelled.
    pub fn is_ignored(
        &mut self,
        path: &[u8],
        is_dir: bool,
        deadline: &Deadline,
    ) -> Result<bool, IgnoreError> {
        if matches!(path, b"" | b".") {
            return Ok(false);
        }
        let components: Vec<&[u8]> = components(path).collect();
        let steps = &mut self.steps;
        let mut step = || steps.take(deadline);
        if let Some(pattern) = last_match(&self.spec, &components, is_dir, &mut step)? {
            return Ok(!pattern.include);
        }
        // The directories above the entry, the deepest first.
        let ends = path.iter().enumerate().rev().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for (above, end) in ends.chain([0]).enumerate() {
            step()?;
            let Some(patterns) = path.get(..end).and_then(|directory| self.directories.get(directory)) else {
                continue;
            };
            let depth = if end == 0 { 0 } else { components.len().saturating_sub(above + 1) };
            let below = components.get(depth..).unwrap_or_default();
            if let Some(pattern) = last_match(patterns, below, is_dir, &mut step)? {
                return Ok(!pattern.include);
            }
        }
        Ok(false)
    }
}

fn patterns(lines: &[&str]) -> Vec<Pattern> {
    lines.iter().map(|line| Pattern::parse(line.as_bytes())).collect()
}

/// The pattern that decides. `step` is called before each comparison.
fn last_match<'p>(
    patterns: &'p [Pattern],
    path: &[&[u8]],
    is_dir: bool,
    step: &mut impl FnMut() -> Result<(), IgnoreError>,
) -> Result<Option<&'p Pattern>, IgnoreError> {
    for pattern in patterns.iter().rev() {
        if pattern.matches(path, is_dir, step)? {
            return Ok(Some(pattern));
        }
    }
    Ok(None)
}

// === impl Steps ===

impl Steps {
    fn take(&mut self, deadline: &Deadline) -> Result<(), IgnoreError> {
        self.left = self.left.checked_sub(1).ok_or(IgnoreError::Steps(self.limit))?;
        if self.left.is_multiple_of(STEPS_PER_LOOK) && deadline.is_cancelled() {
            return Err(IgnoreError::Time);
        }
        Ok(())
    }
}

fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&b| b == b'/')
}

fn is_git_data(directory: &[u8]) -> bool {
    components(directory).any(|component| component == b".git")
}

/// The lines that hold a pattern, without line ends.
fn pattern_lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&b| b == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(|line| !line.starts_with(b"#") && !String::from_utf8_lossy(line).trim().is_empty())
}

// === impl Pattern ===

impl Pattern {
    fn parse(line: &[u8]) -> Self {
        let (include, text) = match line.strip_prefix(b"!") {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let text = if text.ends_with(b"\\ ") { text } else { trim_spaces(text) };
        let (directory_only, text) = match text.strip_suffix(b"/") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let kind = if text.contains(&b'/') {
            components(text).map(Step::parse).collect::<Option<_>>().map(Kind::Path)
        } else {
            Glob::parse(text).map(Kind::Name)
        };
        Self { include, directory_only, kind: kind.unwrap_or(Kind::Never) }
    }

    /// Takes one step for the pattern, and more for each component and for globs that are more than a plain name or `*.ext`.
    fn matches(
        &self,
        path: &[&[u8]],
        is_dir: bool,
        step: &mut impl FnMut() -> Result<(), IgnoreError>,
    ) -> Result<bool, IgnoreError> {
        step()?;
        let rest = match &self.kind {
            Kind::Name(glob) => position(glob, path, step)?.and_then(|at| path.get(at + 1..)),
            Kind::Path(steps) => path_rest(steps, path, step)?,
            Kind::Never => None,
        };
        Ok(rest.is_some_and(|rest| !self.directory_only || is_dir || !rest.is_empty()))
    }
}

/// Where the first component is that the glob takes.
fn position(
    glob: &Glob,
    path: &[&[u8]],
    step: &mut impl FnMut() -> Result<(), IgnoreError>,
) -> Result<Option<usize>, IgnoreError> {
    for (at, component) in path.iter().enumerate() {
        step()?;
        if glob.matches_by_steps(component, &mut *step)? {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

fn trim_spaces(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|&b| b != b' ').map_or(0, |at| at + 1);
    text.get(..end).unwrap_or_default()
}

impl Step {
    /// `None` when the pattern can never match.
    fn parse(text: &[u8]) -> Option<Self> {
        match text {
            b"" => Some(Self::Empty),
            b"**" => Some(Self::AnyDirectories),
            _ if text.windows(2).any(|pair| pair == b"**") => None,
            _ => Glob::parse(text).map(Self::Component),
        }
    }
}

/// What is left of `path` after all steps matched its head.
///
/// Each `**` is satisfied by the first component that fits what follows it, without another try further down:
/// so does upstream.
fn path_rest<'a, 'p>(
    steps: &[Step],
    path: &'a [&'p [u8]],
    step: &mut impl FnMut() -> Result<(), IgnoreError>,
) -> Result<Option<&'a [&'p [u8]]>, IgnoreError> {
    let mut rest = path;
    let mut matched = false;
    let mut anywhere = false;
    for (at, element) in steps.iter().enumerate() {
        match element {
            Step::Empty => anywhere = false,
            Step::AnyDirectories if at + 1 == steps.len() => break,
            Step::AnyDirectories => anywhere = true,
            Step::Component(glob) => {
                let candidates = if anywhere { rest } else { rest.get(..1).unwrap_or_default() };
                let Some(hit) = position(glob, candidates, step)? else { return Ok(None) };
                rest = rest.get(hit + 1..).unwrap_or_default();
                matched = true;
                anywhere = false;
            }
        }
    }
    Ok(matched.then_some(rest))
}
