//! Charts whose templates are parsed once, however often they are rendered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use gotemplate::{ParseError, Set, Tree};
use helm_chart::{Chart, File};

type Trees = Arc<[Arc<Tree>]>;

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
