//! What one build shares among its steps: choices, schema, counts.

use std::collections::BTreeSet;

use secret::redact;

use crate::error::{Error, Result};
use crate::meter::Meter;
use crate::options::Options;
use crate::remote::{Fetcher, RepoSpec};
use crate::schema::Schema;
use crate::tree::path;

/// State of one build.
pub(crate) struct Build<'a> {
    pub options: &'a Options,
    pub schema: Schema,
    pub meter: Meter<'a>,
    /// The last number that was given to nodes that are shared.
    shared: u32,
    fetcher: Option<&'a dyn Fetcher>,
    /// References to what lies outside the tree, as they are written: they may hold secrets, and error texts repeat them.
    references: BTreeSet<String>,
}

impl<'a> Build<'a> {
    pub fn new(options: &'a Options, fetcher: Option<&'a dyn Fetcher>) -> Self {
        let schema = Schema::new(options.openapi_adds_to_builtin);
        Self { options, schema, meter: Meter::new(options), shared: 0, fetcher, references: BTreeSet::new() }
    }

    /// A number for a node that may be shared, which no other has.
    pub fn next_shared(&mut self) -> u32 {
        self.shared = self.shared.saturating_add(1);
        self.shared
    }

    /// Takes down what is read, if it looks like something outside the tree, so that errors show it without secrets.
    pub fn note_reference(&mut self, reference: &str) {
        if reference.contains("://") || RepoSpec::parse(reference).is_ok() {
            self.references.insert(reference.to_owned());
        }
    }

    /// Who gets `what` from elsewhere.
    pub fn fetcher(&self, what: &str) -> Result<&'a dyn Fetcher> {
        self.meter.check()?;
        self.fetcher.ok_or_else(|| Error::Invalid(format!("remote resource '{what}' is not allowed")))
    }

    /// The error with references to what lies outside the tree as they may be shown.
    pub fn redact(&self, error: Error) -> Error {
        // As it is written, as it is quoted in lists, and as the path that it is taken for where it can be nothing else.
        let spellings = |text: &String| [text.clone(), text.escape_debug().to_string(), path::clean(text)];
        let pairs =
            self.references.iter().flat_map(|text| spellings(text).map(|spelt| (spelt, redact(text))));
        let mut pairs: Vec<_> = pairs.collect();
        // One may be the beginning of another.
        pairs.sort_by_key(|(spelt, _)| std::cmp::Reverse(spelt.len()));
        error.map_texts(&|text| pairs.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to)))
    }
}
