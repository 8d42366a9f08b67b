//! Charts: downloaded and parsed once for each digest, with the version that their source gives them.

use std::sync::{Arc, Mutex, PoisonError};

use api::Artifact;
use api::duration::go_duration_string;
use api::helm::actions::RESOLVE_SOURCE;
use api::helm::reasons::{ARTIFACT_FAILED, CHART_MUTATE_ERROR};
use artifact::cache::Built;
use artifact::fetch::Verified;
use artifact::unpack::UnpackError;
use helm::ParsedChart;
use helm_actions::Memory;
use helm_chart::{Limits, Metadata, load_archive};
use serde_json::{Map, Value};

use crate::chart_error::text_of;
use crate::chart_version::{has_digest, tracked};
use crate::flags::NO_DIGEST_TRACKING;
use crate::obstacle::{Halt, Obstacle};
use crate::pass::Pass;

/// A chart of a digest.
pub struct CachedChart {
    own: Arc<ParsedChart>,
    /// The same with the version that was asked for last. All releases of one source ask for one.
    tracked: Mutex<Option<Arc<ParsedChart>>>,
}

/// A chart as a release sees it.
pub struct Chart {
    cached: Arc<CachedChart>,
    /// What Chart.yaml says, with the version that the source gives it.
    pub metadata: Metadata,
    /// The digest of the OCI artifact that it is from; empty if it is from none.
    pub oci_digest: String,
}

impl CachedChart {
    /// Loads an archive of no more than so many bytes once it is unpacked.
    ///
    /// # Errors
    /// It is no chart.
    pub fn load(archive: &mut Verified, bytes: u64) -> Result<Built<Self>, UnpackError> {
        // The chart with another version is as large.
        let limits = Limits { bytes: Limits::default().bytes.min(bytes / 2), ..Limits::default() };
        let most = limits.bytes;
        let chart = load_archive(archive, &limits).map_err(|error| match error {
            helm_chart::LoadError::Limit(_) => UnpackError::Limit { what: "bytes", limit: most },
            error => UnpackError::Sink { path: "chart".to_owned(), source: Box::new(error) },
        })?;
        let bytes = chart.size().saturating_mul(2);
        let own = Arc::new(ParsedChart::new(chart));
        Ok(Built { value: Self { own, tracked: Mutex::default() }, bytes })
    }
}

impl Chart {
    /// The chart with all its files. It may have to be copied, so the answer is to be had where blocking is allowed.
    pub fn parsed(&self) -> Arc<ParsedChart> {
        let own = &self.cached.own;
        if own.chart().metadata.version == self.metadata.version {
            return own.clone();
        }
        let mut tracked = self.cached.tracked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(chart) = tracked.as_ref().filter(|c| c.chart().metadata.version == self.metadata.version)
        {
            return chart.clone();
        }
        let mut chart = own.chart().clone();
        chart.metadata.version.clone_from(&self.metadata.version);
        let chart = Arc::new(ParsedChart::new(chart));
        *tracked = Some(chart.clone());
        chart
    }
}

impl Pass<'_> {
    /// The chart of an artifact of a source of this kind, for a release with these values. A server that does not answer holds up
    /// nobody else.
    ///
    /// # Errors
    /// It cannot be had, or its version does not fit its source.
    pub(crate) async fn chart(
        &self,
        kind: &str,
        artifact: &Artifact,
        values: &Map<String, Value>,
    ) -> Result<Chart, Halt> {
        self.progress.at("fetch", Some("its chart".to_owned()));
        let loading = self.context.charts.get(&artifact.url, &artifact.digest, self.subject.namespace());
        let memory = Memory::default();
        memory.wait_with(0);
        let loaded = self.without_turn(&memory, values, loading).await;
        let cached = loaded.map_err(|error| {
            if error.is_not_found() {
                let again = self.context.arguments.shared.requeue_dependency;
                let message = format!(
                    "Source not ready: artifact not found. Retrying in {}",
                    go_duration_string(again)
                );
                return Obstacle::waiting(ARTIFACT_FAILED, message, again);
            }
            let error = text_of(&error);
            Obstacle::retried(ARTIFACT_FAILED, format!("Could not load chart: {error}"))
                .warned(RESOLVE_SOURCE, error)
        })?;
        let mut metadata = cached.own.chart().metadata.clone();
        let mut oci_digest = String::new();
        if has_digest(kind, &artifact.revision) {
            let version = tracked(&metadata.version, &artifact.revision);
            let version = version.map_err(|error| {
                Obstacle::retried(CHART_MUTATE_ERROR, error.to_string()).told(RESOLVE_SOURCE, true)
            })?;
            oci_digest = version.digest;
            if !self.context.arguments.feature_gates.is_on(NO_DIGEST_TRACKING) {
                metadata.version = version.version;
            }
        }
        Ok(Chart { cached, metadata, oci_digest })
    }
}
