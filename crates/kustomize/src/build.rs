//! What one build shares among its steps: choices, schema, counts.

use crate::error::{Error, Result};
use crate::meter::Meter;
use crate::options::Options;
use crate::remote::Fetcher;
use crate::schema::Schema;

/// State of one build.
pub(crate) struct Build<'a> {
    pub options: &'a Options,
    pub schema: Schema,
    pub meter: Meter<'a>,
    fetcher: Option<&'a dyn Fetcher>,
}

impl<'a> Build<'a> {
    pub fn new(options: &'a Options, fetcher: Option<&'a dyn Fetcher>) -> Self {
        let schema = Schema::new(options.openapi_adds_to_builtin);
        Self { options, schema, meter: Meter::new(options), fetcher }
    }

    /// Who gets `what` from elsewhere.
    pub fn fetcher(&self, what: &str) -> Result<&'a dyn Fetcher> {
        self.meter.check()?;
        self.fetcher
            .ok_or_else(|| Error::Invalid(format!("remote resource '{}' is not allowed", redact(what))))
    }
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
