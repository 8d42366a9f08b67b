//! From a chart and values to what is applied and stored, in a thread that may block.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use budget::Request;
use helm::{Capabilities, Costs, Crd, HelmVersion, Input, KubeVersion, World};
use helm_actions::Former;
use helm_actions::options::Rendition;
use helm_release::{Hook, chart_json};
use net::chain;
use runtime::controller::due_since;
use runtime::error::TaskError;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::chart::Chart;
use crate::flags::HELM_3_DEFAULTS;
use crate::lookup::ClusterLookup;
use crate::options::Given;
use crate::pass::{Pass, Prepared};
use crate::post_render::Chain;

/// All that a rendering needs.
struct Rendering {
    chart: Arc<Chart>,
    release: helm::Release,
    values: Map<String, Value>,
    /// The values that are gone on from, if any.
    former: Option<Former>,
    capabilities: Capabilities,
    world: World,
    costs: Costs,
    skips_schema: bool,
    post_renderer: Chain,
    strategy: helm::PostRenderStrategy,
    is_stopped: Arc<AtomicBool>,
}

/// Ends the rendering when nobody waits for it any more.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Rendering {
    fn run(&self) -> Result<Rendition, String> {
        let is_stopped = || self.is_stopped.load(Ordering::Relaxed);
        let reused = self.former.as_ref().map(|former| former.reuse(&self.values)).transpose();
        let reused = reused.map_err(|error| chain(&error))?;
        let values = reused.as_ref().map_or(&self.values, |reused| &reused.values);
        let input = Input {
            release: &self.release,
            values,
            defaults: reused.as_ref().map(|reused| &reused.defaults),
            capabilities: &self.capabilities,
            world: &self.world,
            costs: &self.costs,
            skips_schema: self.skips_schema,
            post_renderer: Some((&self.post_renderer, self.strategy)),
            is_stopped: &is_stopped,
        };
        let chart = self.chart.parsed();
        let rendered = helm::render(&chart, &input).map_err(|error| chain(&error))?;
        for warning in &rendered.warnings {
            tracing::debug!("{warning}");
        }
        let stored = RawValue::from_string(chart_json(chart.chart(), &rendered.chart));
        Ok(Rendition {
            chart: Some(stored.map_err(|error| error.to_string())?),
            config: Some(values.clone()),
            manifest: rendered.manifest(),
            hooks: rendered.hooks.iter().map(Hook::from).collect(),
            notes: rendered.notes,
        })
    }
}

impl Pass<'_> {
    /// The definitions of the chart.
    ///
    /// # Errors
    /// What is told of the failure.
    pub(crate) async fn definitions(
        &self,
        prepared: &Prepared,
        chart: &Arc<Chart>,
    ) -> Result<Vec<Crd>, String> {
        let (chart, values) = (chart.clone(), prepared.desired.values().clone());
        let is_stopped = Arc::new(AtomicBool::new(false));
        let _stop = StopOnDrop(is_stopped.clone());
        let read = move || {
            let is_stopped = || is_stopped.load(Ordering::Relaxed);
            let crds = helm::crds(chart.parsed().chart(), &values, &Costs::default(), &is_stopped);
            crds.map_err(|error| chain(&error))
        };
        self.with_share(prepared, read).await
    }

    /// Renders the chart for a revision, which goes on from these values if there are any.
    ///
    /// # Errors
    /// What is told of the failure.
    pub(crate) async fn rendition(
        &self,
        prepared: &Prepared,
        chart: Arc<Chart>,
        release: &helm::Release,
        former: Option<Former>,
    ) -> Result<Rendition, String> {
        let object = &self.subject.object;
        let helm3 = self.context.arguments.feature_gates.is_on(HELM_3_DEFAULTS);
        let is_stopped = Arc::new(AtomicBool::new(false));
        let target = &prepared.target;
        let lookup = ClusterLookup::new(target.client.clone(), target.mapper.clone());
        let options =
            kustomize::Options { cancel: is_stopped.clone().into(), ..kustomize::Options::default() };
        let rendering = Rendering {
            chart,
            release: release.clone(),
            values: prepared.desired.values().clone(),
            former,
            capabilities: self.capabilities(prepared).await?,
            world: World { lookup: Some(Arc::new(lookup)), ..World::default() },
            costs: Costs::default(),
            skips_schema: if release.is_upgrade {
                object.spec.upgrade.disable_schema_validation
            } else {
                object.spec.install.disable_schema_validation
            },
            post_renderer: Chain::new(object, options),
            strategy: Given { object, helm3, rules: None }.post_render_strategy(),
            is_stopped: is_stopped.clone(),
        };
        let _stop = StopOnDrop(is_stopped);
        self.with_share(prepared, move || rendering.run()).await
    }

    /// Works with a chart in a thread, once the namespace has its share of them.
    async fn with_share<T: Send + 'static>(
        &self,
        prepared: &Prepared,
        work: impl FnOnce() -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        self.progress.at("render", Some("its turn to render (gotk_budget, rendering)".to_owned()));
        let grant = self.context.renderings.acquire(Request::new(self.subject.namespace(), 1)).await;
        self.progress.at("render", None);
        let span = tracing::Span::current();
        // The thread keeps its share until it has ended, whoever still waits for it.
        let work = tokio::task::spawn_blocking(move || {
            let _grant = grant;
            span.in_scope(work)
        });
        let done = self.context.stop.run_until_cancelled(work).await;
        let done = done.ok_or("the process ends")?.map_err(|error| TaskError::from(error).to_string())?;
        done.map_err(|error| prepared.target.secrets.apply(&error))
    }

    /// What the cluster can do since this pass became due.
    async fn capabilities(&self, prepared: &Prepared) -> Result<Capabilities, String> {
        let target = &prepared.target;
        let unreachable = |error: String| format!("could not get server version from Kubernetes: {error}");
        let version = target.client.apiserver_version().await.map_err(|error| unreachable(chain(&error)))?;
        let since: Instant = due_since();
        let api_versions = target.mapper.api_versions(since.into()).await;
        Ok(Capabilities {
            kube_version: KubeVersion::discovered(&version.git_version, &version.major, &version.minor),
            api_versions: api_versions.map_err(|error| unreachable(error.to_string()))?,
            helm_version: HelmVersion::default(),
        })
    }
}
