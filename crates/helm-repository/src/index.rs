//! What is kept of an index: what finding a chart needs.

use versions::{Constraint, ConstraintError, Version};

/// The charts of a repository, each with its versions, highest first.
///
/// A version costs 32 bytes and its texts.
#[derive(Debug, Default)]
pub struct Index {
    /// All texts, one after the other.
    text: String,
    /// By name.
    charts: Vec<Chart>,
    versions: Vec<Row>,
}

#[derive(Debug)]
struct Chart {
    name: Slice,
    first: u32,
    count: u32,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    version: Slice,
    url: Slice,
    digest: Slice,
    /// Seconds since 1970.
    created: i64,
}

/// A part of [`Index::text`].
#[derive(Debug, Clone, Copy)]
struct Slice {
    start: u32,
    length: u32,
}

/// A version of a chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The name of the chart.
    pub name: &'a str,
    /// The version, as the index writes it.
    pub version: &'a str,
    /// The first of its addresses; empty if there is none.
    pub url: &'a str,
    /// SHA-256 of the archive in hex digits; empty if the index does not say.
    pub digest: &'a str,
}

/// No version of a chart is what is asked for. The texts are those of Helm and Flux.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// There is no such chart.
    #[error("no chart name found")]
    Name,
    /// The chart has no versions.
    #[error("no chart version found")]
    Version,
    /// The range cannot be read.
    #[error(transparent)]
    Range(#[from] ConstraintError),
    /// No version is in the range.
    #[error("no '{name}' chart with version matching '{version}' found")]
    Match {
        /// The chart.
        name: String,
        /// The range.
        version: String,
    },
}

/// A version while an index is being read.
pub(crate) struct NewEntry<'a> {
    pub(crate) version: &'a str,
    pub(crate) url: &'a str,
    pub(crate) digest: &'a str,
    pub(crate) created: i64,
}

impl Index {
    /// The version of a chart that is meant: the one with exactly this text, else the highest one in this range. Nothing and `*`
    /// mean the latest stable one. Among versions that differ in build metadata alone, the one that was created last counts.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(&self, name: &str, version: &str) -> Result<Entry<'_>, NotFound> {
        let found = self.charts.binary_search_by(|chart| self.part(chart.name).cmp(name));
        let chart = found.ok().and_then(|index| self.charts.get(index)).ok_or(NotFound::Name)?;
        let first = chart.first as usize;
        let rows = self.versions.get(first..first + chart.count as usize).unwrap_or_default();
        if rows.is_empty() {
            return Err(NotFound::Version);
        }
        let entry = |row: &Row| Entry {
            name: self.part(chart.name),
            version: self.part(row.version),
            url: self.part(row.url),
            digest: self.part(row.digest),
        };
        if let Some(row) = rows.iter().find(|row| !version.is_empty() && self.part(row.version) == version) {
            return Ok(entry(row));
        }
        let range = Constraint::parse(if version.is_empty() { "*" } else { version })?;
        let mut best: Option<(Version, &Row)> = None;
        for row in rows {
            let Some(version) = Version::parse_loose(self.part(row.version)) else { continue };
            let is_better = |(other, than): &(Version, &Row)| {
                version > *other || (version == *other && row.created > than.created)
            };
            if range.matches(&version) && best.as_ref().is_none_or(is_better) {
                best = Some((version, row));
            }
        }
        let no_match = || NotFound::Match { name: name.to_owned(), version: version.to_owned() };
        best.map(|(_, row)| entry(row)).ok_or_else(no_match)
    }

    /// How many versions there are, of all charts.
    pub fn len(&self) -> usize {
        self.versions.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.versions.is_empty()
    }

    /// The bytes that it takes in memory.
    pub fn bytes(&self) -> usize {
        self.text.capacity()
            + self.charts.capacity() * size_of::<Chart>()
            + self.versions.capacity() * size_of::<Row>()
    }

    /// Appends a chart whose name comes after all others, with its versions.
    pub(crate) fn push<'a>(&mut self, name: &str, entries: impl Iterator<Item = NewEntry<'a>>) {
        let first = self.versions.len();
        for entry in entries {
            let row = Row {
                version: self.keep(entry.version),
                url: self.keep(entry.url),
                digest: self.keep(entry.digest),
                created: entry.created,
            };
            self.versions.push(row);
        }
        let count = self.versions.len() - first;
        let name = self.keep(name);
        // Both are far below: see `Limits::versions`.
        let (first, count) = (first.try_into().unwrap_or(u32::MAX), count.try_into().unwrap_or(0));
        self.charts.push(Chart { name, first, count });
    }

    /// Gives back what is not needed.
    pub(crate) fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.charts.shrink_to_fit();
        self.versions.shrink_to_fit();
    }

    /// What does not fit into 4 GiB, which no index may have, is kept as nothing.
    fn keep(&mut self, text: &str) -> Slice {
        let start = u32::try_from(self.text.len());
        let end = u32::try_from(self.text.len() + text.len());
        let (Ok(start), Ok(end)) = (start, end) else { return Slice { start: 0, length: 0 } };
        self.text.push_str(text);
        Slice { start, length: end - start }
    }

    fn part(&self, slice: Slice) -> &str {
        let start = slice.start as usize;
        self.text.get(start..start + slice.length as usize).unwrap_or_default()
    }
}
