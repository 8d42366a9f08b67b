//! The values of a release that an upgrade goes on from.

use helm_release::Release;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// What of a revision is reused. It may hold secrets.
#[derive(Clone)]
pub struct Former {
    values: Map<String, Value>,
    chart: Option<Box<RawValue>>,
}

/// What an upgrade is rendered with that reuses values.
pub struct Reused {
    /// The values, which are stored, too.
    pub values: Map<String, Value>,
    /// What takes the place of the default values of the chart.
    pub defaults: Map<String, Value>,
}

/// The default values of the former chart cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("failed to rebuild old values")]
pub struct ReuseError(#[source] serde_json::Error);

#[derive(Deserialize)]
struct StoredChart {
    values: Option<Map<String, Value>>,
}

impl Former {
    pub(crate) fn of(release: &Release) -> Self {
        Self { values: release.config.clone().unwrap_or_default(), chart: release.chart.clone() }
    }

    /// Puts new values above those of the revision, and these above the defaults of its chart.
    ///
    /// # Errors
    /// What is stored of its chart is none.
    pub fn reuse(&self, values: &Map<String, Value>) -> Result<Reused, ReuseError> {
        let chart = self.chart.as_ref().map(|chart| serde_json::from_str::<StoredChart>(chart.get()));
        let defaults = chart.transpose().map_err(ReuseError)?.and_then(|chart| chart.values);
        Ok(Reused {
            values: helm::reuse_values(values, &self.values),
            defaults: helm::reuse_defaults(&self.values, &defaults.unwrap_or_default()),
        })
    }
}
