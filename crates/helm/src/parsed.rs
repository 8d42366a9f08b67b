//! Charts whose templates are parsed once, however often they are rendered.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use gotemplate::{ParseError, Set, Tree};
use helm_chart::{Chart, File};

use crate::threads::for_each;

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
        let tokens = AtomicUsize::new(0);
        for_each(files, parsers.threads, parsers.stack_size, |(name, file)| {
            let Ok(trees) = self.trees(set, name, file) else { return ControlFlow::Break(()) };
            let parsed = trees.iter().map(|tree| tree.tokens).sum();
            match tokens.fetch_add(parsed, Ordering::Relaxed) > parsers.tokens {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
    }

    /// The templates of a file of the chart, by the functions of a set.
    pub(crate) fn trees(&self, set: &Set, name: &str, file: &File) -> Result<Trees, ParseError> {
        let key = (name.to_owned(), std::ptr::from_ref(file).addr());
        if let Some(trees) = self.trees.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(trees.clone());
        }
        let trees: Trees = set.trees(name, file.data.clone())?.into();
        self.trees.lock().unwrap_or_else(PoisonError::into_inner).insert(key, trees.clone());
        Ok(trees)
    }
}
