//! What it may cost to find out which charts are used, and with which values, before the first template is executed: aliases and imports
//! multiply what a chart has.

use std::cell::Cell;

use gotemplate::Value;
use gotemplate::value::{List, Map, NESTING};

use crate::coalesce::TypeMismatch;
use crate::engine::Costs;

/// Charts with aliases that a chart may consist of; as many as it may have files.
const CHARTS: usize = 20_000;
/// Bytes of a table that has an entry: those of a node of its tree.
const BYTES_PER_TABLE: usize = 768;
/// Bytes of each entry, without its text.
const BYTES_PER_ENTRY: usize = 96;
/// How often it is counted between two looks at whether to stop.
const COUNTS_PER_CHECK: usize = 256;

/// Why the values of charts cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValuesError {
    /// The value of a subchart's name is no table.
    #[error(transparent)]
    TypeMismatch(#[from] TypeMismatch),
    /// Too many charts, each alias counted.
    #[error("the chart uses more than {0} subcharts")]
    Charts(usize),
    /// See [`gotemplate::Budget::memory`].
    #[error("the values of the charts take more than {0} bytes")]
    Memory(usize),
    /// Imports put tables into tables.
    #[error("values that chart {chart} imports are nested more than {limit} levels deep")]
    Nesting {
        /// The chart.
        chart: String,
        /// The limit.
        limit: usize,
    },
    /// The caller wants it to end.
    #[error("the rendering was stopped")]
    Stopped,
}

/// What is left of it.
pub(crate) struct Allowance<'a> {
    memory: usize,
    is_stopped: &'a dyn Fn() -> bool,
    charts: Cell<usize>,
    bytes: Cell<usize>,
    counts: Cell<usize>,
}

impl<'a> Allowance<'a> {
    pub(crate) fn new(costs: &Costs, is_stopped: &'a dyn Fn() -> bool) -> Self {
        let zero = || Cell::new(0);
        Self { memory: costs.budget.memory, is_stopped, charts: zero(), bytes: zero(), counts: zero() }
    }

    /// So many more charts are used.
    pub(crate) fn charts(&self, count: usize) -> Result<(), ValuesError> {
        self.charts.set(self.charts.get().saturating_add(count));
        if self.charts.get() > CHARTS { Err(ValuesError::Charts(CHARTS)) } else { self.check() }
    }

    /// A copy that shares no table with the original. Lists do not change, but what they hold may.
    pub(crate) fn deep_copy(&self, table: &Map) -> Result<Map, ValuesError> {
        self.table(table)?;
        let entries = table.iter().map(|(key, value)| Ok((key, self.copy(&value)?)));
        Ok(Map::new(table.element(), entries.collect::<Result<Vec<_>, ValuesError>>()?))
    }

    fn copy(&self, value: &Value) -> Result<Value, ValuesError> {
        Ok(match value {
            Value::Map(map) => Value::Map(self.deep_copy(map)?),
            Value::List(list) => {
                self.bytes(list.len().saturating_mul(size_of::<Value>()))?;
                let items = list.iter().map(|item| self.copy(item));
                Value::List(List::new(list.element(), items.collect::<Result<_, _>>()?))
            }
            other => other.clone(),
        })
    }

    /// A table is copied, without what is below it.
    pub(crate) fn table(&self, table: &Map) -> Result<(), ValuesError> {
        self.bytes(BYTES_PER_TABLE.saturating_add(table.len().saturating_mul(BYTES_PER_ENTRY)))
    }

    fn bytes(&self, count: usize) -> Result<(), ValuesError> {
        self.bytes.set(self.bytes.get().saturating_add(count));
        if self.bytes.get() > self.memory { Err(ValuesError::Memory(self.memory)) } else { self.check() }
    }

    fn check(&self) -> Result<(), ValuesError> {
        self.counts.set(self.counts.get() + 1);
        let is_stopped = self.counts.get().is_multiple_of(COUNTS_PER_CHECK) && (self.is_stopped)();
        if is_stopped { Err(ValuesError::Stopped) } else { Ok(()) }
    }
}

/// Refuses a table of `chart` that would be nested too deep below so many others: what walks through values recurses.
pub(crate) fn check_nesting(chart: &str, above: usize, table: &Map) -> Result<(), ValuesError> {
    let is_too_deep = || ValuesError::Nesting { chart: chart.to_owned(), limit: NESTING };
    let left = NESTING.checked_sub(above).ok_or_else(is_too_deep)?;
    if is_within(&Value::Map(table.clone()), left) { Ok(()) } else { Err(is_too_deep()) }
}

fn is_within(value: &Value, left: usize) -> bool {
    match (value, left.checked_sub(1)) {
        (Value::Map(_) | Value::List(_), None) => false,
        (Value::Map(map), Some(left)) => map.iter().all(|(_, value)| is_within(&value, left)),
        (Value::List(list), Some(left)) => list.iter().all(|item| is_within(item, left)),
        _ => true,
    }
}
