//! Ignore rules: which files of a source stay out of its artifact.
//!
//! The rules look like `.gitignore` but are not: see [`Matcher`]. Compatible with the matcher of source-controller
//! 1.9, on which users' `.sourceignore` files rely.

/// The file that holds ignore patterns for its directory.
pub const IGNORE_FILE: &str = ".sourceignore";

/// How many and how long patterns may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Patterns from all files and the spec.
    pub patterns: usize,
    /// Bytes of one pattern.
    pub pattern_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { patterns: 10_000, pattern_bytes: 4096 }
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
}

/// Decides for each path of a tree whether it is left out.
#[derive(Clone, Debug)]
pub struct Matcher {}

impl Matcher {
    /// Collects the rules of a tree.
    ///
    /// `files` are the directories that have an [`IGNORE_FILE`] (empty for the root, otherwise relative with `/`) with
    /// the file's text, in any order. `spec` is the object's own `spec.ignore`; it comes last, so it wins.
    pub fn from_rules<'a>(
        _files: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        _spec: Option<&str>,
        _limits: &Limits,
    ) -> Result<Self, IgnoreError> {
        unimplemented!()
    }

    /// Whether the entry at `path` (relative, `/` between components) is left out. Content of an ignored directory is
    /// asked for separately and may be included.
    pub fn is_ignored(&self, _path: &[u8], _is_dir: bool) -> bool {
        unimplemented!()
    }
}
