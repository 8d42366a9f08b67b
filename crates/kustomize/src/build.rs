//! What one build shares among its steps: choices, schema, budgets.

use crate::error::{Error, Result};
use crate::options::Options;
use crate::remote::Fetcher;
use crate::schema::Schema;

/// State of one build.
pub(crate) struct Build<'a> {
    pub options: &'a Options,
    pub schema: Schema,
    fetcher: Option<&'a dyn Fetcher>,
    kustomizations: u64,
    resources: u64,
    bytes: u64,
    work: u64,
    copied: u64,
}

impl<'a> Build<'a> {
    pub fn new(options: &'a Options, fetcher: Option<&'a dyn Fetcher>) -> Self {
        let schema = Schema::new(options.openapi_adds_to_builtin);
        Self { options, schema, fetcher, kustomizations: 0, resources: 0, bytes: 0, work: 0, copied: 0 }
    }

    pub fn limits(&self) -> &yaml::Limits {
        &self.options.limits.yaml
    }

    /// Who gets `what` from elsewhere.
    pub fn fetcher(&self, what: &str) -> Result<&'a dyn Fetcher> {
        self.fetcher
            .ok_or_else(|| Error::Invalid(format!("remote resource '{}' is not allowed", redact(what))))
    }

    pub fn count_kustomization(&mut self) -> Result<()> {
        count(&mut self.kustomizations, 1, "kustomization files", self.options.limits.kustomizations)
    }

    pub fn count_resources(&mut self, number: usize) -> Result<()> {
        count(&mut self.resources, number, "resources", self.options.limits.resources)
    }

    pub fn count_bytes(&mut self, number: usize) -> Result<()> {
        count(&mut self.bytes, number, "bytes of files", self.options.limits.total_bytes)
    }

    /// Counts steps whose number can grow faster than the input.
    pub fn count_work(&mut self, number: usize) -> Result<()> {
        count(&mut self.work, number, "steps of work", self.options.limits.work)
    }

    /// Counts a copy of so many nodes that is put `at` a depth and goes on for another `depth`.
    pub fn count_copy(&mut self, at: usize, depth: usize, nodes: usize) -> Result<()> {
        let limit = self.options.limits.yaml.depth;
        if at.saturating_add(depth) > limit {
            return Err(Error::Limit { what: "nested collections", limit: limit as u64 });
        }
        count(&mut self.copied, nodes, "copied nodes", self.options.limits.copied_nodes)
    }

    pub fn work_left(&self) -> u64 {
        self.options.limits.work.saturating_sub(self.work)
    }
}

fn count(counter: &mut u64, number: usize, what: &'static str, limit: u64) -> Result<()> {
    *counter = counter.saturating_add(u64::try_from(number).unwrap_or(u64::MAX));
    if *counter > limit { Err(Error::Limit { what, limit }) } else { Ok(()) }
}

/// A URL without user and query.
fn redact(url: &str) -> String {
    let (place, _) = url.split_once('?').unwrap_or((url, ""));
    match place.split_once("://") {
        Some((scheme, rest)) => {
            let host = rest.find('/').unwrap_or(rest.len());
            let (authority, path) = rest.split_at(host);
            let authority = authority.rsplit('@').next().unwrap_or(authority);
            format!("{scheme}://{authority}{path}")
        }
        None => place.to_owned(),
    }
}
