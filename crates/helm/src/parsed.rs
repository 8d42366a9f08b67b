//! Charts whose templates are parsed once, however often they are rendered.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use gotemplate::{ParseError, Set, Tree};
use helm_chart::{Chart, File};

type Trees = Arc<[Arc<Tree>]>;

/// Who parses the templates of a chart.
pub(crate) struct Parsers {
    /// How many threads, with that of the caller.
    pub threads: usize,
    /// Bytes for each.
    pub stack_size: usize,
    /// When they stop.
    pub tokens: usize,
}

/// A chart, and what was parsed of it so far.
#[derive(Debug)]
pub struct ParsedChart {
    chart: Arc<Chart>,
    /// By full name, and by the address of the file, for two subcharts may have one name. The chart never changes.
    trees: Mutex<HashMap<(String, usize), Trees>>,
}

impl ParsedChart {
    /// Nothing is parsed yet.
    pub fn new(chart: Chart) -> Self {
        Self { chart: Arc::new(chart), trees: Mutex::default() }
    }

    /// The chart.
    pub fn chart(&self) -> &Chart {
        &self.chart
    }

    /// The chart, for what outlives a borrow.
    pub(crate) fn shared(&self) -> &Arc<Chart> {
        &self.chart
    }

    /// How many templates were parsed.
    pub fn parsed(&self) -> usize {
        self.trees.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Parses files on several threads, so that [`Self::trees`] has them already; that also tells what is wrong with one. Ends early when
    /// one cannot be parsed, or all together have too many tokens.
    pub(crate) fn parse_ahead(&self, set: &Set, files: &[(&str, &File)], parsers: Parsers) {
        let (next, tokens) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let parse = || {
            while let Some((name, file)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                let Ok(trees) = self.trees(set, name, file) else { break };
                let parsed = trees.iter().map(|tree| tree.tokens).sum();
                if tokens.fetch_add(parsed, Ordering::Relaxed) > parsers.tokens {
                    break;
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..parsers.threads {
                let thread = std::thread::Builder::new().name("helm-parse".to_owned());
                // Without this one the others parse alone.
                let _ = thread.stack_size(parsers.stack_size).spawn_scoped(scope, parse);
            }
            parse();
        });
    }

    /// The templates of a file of the chart, by the functions of a set.
    pub(crate) fn trees(&self, set: &Set, name: &str, file: &File) -> Result<Trees, ParseError> {
        let key = (name.to_owned(), std::ptr::from_ref(file).addr());
        if let Some(trees) = self.trees.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(trees.clone());
        }
        let trees: Trees = set.trees(name, &file.data)?.into();
        self.trees.lock().unwrap_or_else(PoisonError::into_inner).insert(key, trees.clone());
        Ok(trees)
    }
}
