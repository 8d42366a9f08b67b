//! What a build has taken of its limits, over all of its files.

use std::cell::Cell;

use yaml::Node;

use crate::cancel::Cancel;
use crate::error::{Error, Result};
use crate::options::{Limits, Options};

/// A parser that says how many nodes it made.
type Parse = fn(&str, &yaml::Limits) -> std::result::Result<(Vec<Node>, usize), yaml::Error>;

/// Counts for one build.
pub(crate) struct Meter<'a> {
    pub limits: &'a Limits,
    cancel: &'a Cancel,
    kustomizations: Cell<u64>,
    resources: Cell<u64>,
    bytes: Cell<u64>,
    nodes: Cell<u64>,
    work: Cell<u64>,
    regex_work: Cell<u64>,
    fetches: Cell<u64>,
    fetched: Cell<u64>,
}

impl<'a> Meter<'a> {
    pub fn new(options: &'a Options) -> Self {
        Self::over(&options.limits, &options.cancel)
    }

    pub fn over(limits: &'a Limits, cancel: &'a Cancel) -> Self {
        Self {
            limits,
            cancel,
            kustomizations: Cell::default(),
            resources: Cell::default(),
            bytes: Cell::default(),
            nodes: Cell::default(),
            work: Cell::default(),
            regex_work: Cell::default(),
            fetches: Cell::default(),
            fetched: Cell::default(),
        }
    }

    /// All documents of a text that the build keeps, charged to its nodes.
    pub fn parse(&self, text: &str) -> Result<Vec<Node>> {
        self.check()?;
        let (limit, left) = (self.limits.nodes, self.limits.nodes.saturating_sub(self.nodes.get()));
        let (documents, nodes) = self.parse_within(text, left, Error::nodes(limit), yaml::parse_counted)?;
        self.count_nodes(nodes)?;
        Ok(documents)
    }

    /// All documents of a text that is forgotten soon, charged to the build's work.
    pub fn parse_briefly(&self, text: &str) -> Result<Vec<Node>> {
        self.parse_for_work(text, yaml::parse_counted)
    }

    /// The same with anchors, aliases and merge keys as they stand in the text.
    pub fn parse_as_written(&self, text: &str) -> Result<Vec<Node>> {
        self.parse_for_work(text, yaml::parse_unexpanded)
    }

    fn parse_for_work(&self, text: &str, parse: Parse) -> Result<Vec<Node>> {
        self.count_work(text.len() / BYTES_PER_STEP)?;
        let over = Error::work(self.limits.work);
        let (documents, nodes) = self.parse_within(text, self.work_left(), over, parse)?;
        self.count_work(nodes)?;
        Ok(documents)
    }

    /// Parses no more than `left` nodes; one more is an error for the build, not for the text.
    fn parse_within(&self, text: &str, left: u64, over: Error, parse: Parse) -> Result<(Vec<Node>, usize)> {
        let own = &self.limits.yaml;
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        if left >= own.nodes {
            return Ok(parse(text, own)?);
        }
        let limits = yaml::Limits { nodes: left, alias_nodes: own.alias_nodes.min(left), ..own.clone() };
        match parse(text, &limits) {
            Err(yaml::Error::Limit { what: "nodes" | "nodes copied by aliases", limit, .. })
                if limit == left =>
            {
                Err(over)
            }
            parsed => Ok(parsed?),
        }
    }

    pub fn count_kustomization(&self) -> Result<()> {
        self.count(&self.kustomizations, 1, "kustomization files", self.limits.kustomizations)
    }

    pub fn count_resources(&self, number: usize) -> Result<()> {
        self.count(&self.resources, number, "resources", self.limits.resources)
    }

    pub fn count_bytes(&self, number: usize) -> Result<()> {
        self.count(&self.bytes, number, BYTES, self.limits.total_bytes)
    }

    /// Counts nodes that are kept.
    pub fn count_nodes(&self, number: usize) -> Result<()> {
        self.count(&self.nodes, number, NODES, self.limits.nodes)
    }

    /// Nodes counted so far.
    pub fn nodes(&self) -> u64 {
        self.nodes.get()
    }

    /// Counts steps whose number can grow faster than the input.
    pub fn count_work(&self, number: usize) -> Result<()> {
        self.count(&self.work, number, "steps of work", self.limits.work)
    }

    /// Counts the matching of a regular expression.
    pub fn count_regex_work(&self, number: usize) -> Result<()> {
        self.count(&self.regex_work, number, "steps of matching regular expressions", self.limits.regex_work)
    }

    /// Counts a question to the fetcher.
    pub fn count_fetch(&self) -> Result<()> {
        self.count(&self.fetches, 1, "remote resources", self.limits.fetches)
    }

    /// Counts what the fetcher answered.
    pub fn count_fetched(&self, bytes: u64) -> Result<()> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        self.count(&self.fetched, bytes, "bytes of remote resources", self.limits.fetched_bytes)
    }

    pub fn fetched_left(&self) -> u64 {
        self.limits.fetched_bytes.saturating_sub(self.fetched.get())
    }

    /// Counts a copy of so many nodes that is put `at` a depth and goes on for another `depth`.
    pub fn count_copy(&self, at: usize, depth: usize, nodes: usize) -> Result<()> {
        let limit = self.limits.yaml.depth;
        if at.saturating_add(depth) > limit {
            return Err(Error::Limit { what: "nested collections", limit: limit as u64 });
        }
        self.count_nodes(nodes)
    }

    pub fn work_left(&self) -> u64 {
        self.limits.work.saturating_sub(self.work.get())
    }

    /// Whether the build may go on.
    pub fn check(&self) -> Result<()> {
        if self.cancel.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }

    fn count(&self, counter: &Cell<u64>, number: usize, what: &'static str, limit: u64) -> Result<()> {
        self.check()?;
        counter.set(counter.get().saturating_add(u64::try_from(number).unwrap_or(u64::MAX)));
        if counter.get() > limit { Err(Error::Limit { what, limit }) } else { Ok(()) }
    }
}

/// Text that takes as long as a step, where it is only read.
const BYTES_PER_STEP: usize = 16;

/// What [`Limits::nodes`] counts.
pub(crate) const NODES: &str = "nodes in all files of a build";
/// What [`Limits::total_bytes`] counts.
pub(crate) const BYTES: &str = "bytes of files";

/// A meter for tests that count nothing.
#[cfg(test)]
pub(crate) fn default_meter() -> Meter<'static> {
    static OPTIONS: std::sync::LazyLock<Options> = std::sync::LazyLock::new(Options::default);
    Meter::new(&OPTIONS)
}
