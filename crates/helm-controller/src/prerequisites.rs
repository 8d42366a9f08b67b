//! What has to hold before a release is looked at: dependencies, and a source that is ready.

use std::time::{Duration, Instant};

use api::Artifact;
use api::duration::go_duration_string;
use api::helm::actions::{CHECK_DEPENDENCIES, RESOLVE_SOURCE};
use api::helm::reasons::{ARTIFACT_FAILED, DEPENDENCY_NOT_READY, SOURCE_NOT_READY};
use api::helm_release::{ChartReference, HelmRelease};
use api::meta::reasons::{ACCESS_DENIED, INVALID_CEL_EXPRESSION};
use expression::Blocked;
use kube::Api;
use kube::core::DynamicObject;
use kube::runtime::reflector::ObjectRef;
use net::chain;
use references::sources::SourceKey;
use references::{GetError, check_name, get};
use runtime::backoff::jitter;
use runtime::error::TaskError;

use crate::dependencies::{self, expression_of, unreadable_text};
use crate::flags::ADDITIVE_CEL_CHECK;
use crate::obstacle::{Halt, Obstacle};
use crate::pass::Pass;
use crate::source;

/// How long a pass may take to check the dependencies of an object.
const EXPRESSIONS_TIMEOUT: Duration = Duration::from_secs(5);

impl Pass<'_> {
    /// Whether all dependencies are ready.
    ///
    /// # Errors
    /// One is not.
    pub(crate) async fn check_dependencies(&self) -> Result<(), Halt> {
        let object = &self.subject.object;
        let key = ObjectRef::from_obj(object);
        let entries = &object.spec.depends_on;
        if entries.is_empty() {
            self.context.dependents.wait(&key, Vec::new(), Vec::new());
            return Ok(());
        }
        let reference = |entry| dependencies::reference(object, entry);
        let (for_change, for_readiness): (Vec<_>, Vec<_>) =
            entries.iter().partition(|entry| expression_of(entry).is_some());
        let references = |entries: Vec<_>| entries.into_iter().map(reference).collect();
        let (for_readiness, for_change) = (references(for_readiness), references(for_change));
        self.context.dependents.wait(&key, for_readiness, for_change);
        tracing::info!("checking {} dependencies", entries.len());
        match self.dependencies_ready().await {
            Ok(()) => {
                tracing::info!("all dependencies are ready");
                self.context.dependents.wait(&key, Vec::new(), Vec::new());
                Ok(())
            }
            Err(Blocked::Invalid(error)) => Err(self.misconfigured(CHECK_DEPENDENCIES, &error).into()),
            Err(Blocked::Waiting(error)) => {
                let again = self.context.arguments.shared.requeue_dependency;
                let message = format!(
                    "dependencies do not meet ready condition ({error}): retrying in {}",
                    go_duration_string(again)
                );
                tracing::info!("{message}");
                let obstacle = Obstacle::waiting(DEPENDENCY_NOT_READY, error, again);
                Err(obstacle.told(CHECK_DEPENDENCIES, false).into())
            }
        }
    }

    async fn dependencies_ready(&self) -> Result<(), Blocked> {
        let object = &self.subject.object;
        let arguments = &self.context.arguments;
        let additive = arguments.feature_gates.is_on(ADDITIVE_CEL_CHECK);
        let began = Instant::now();
        for entry in &object.spec.depends_on {
            let key = dependencies::key(object, entry);
            let found = self.helm_release(&key).await;
            let dependency = found.map_err(|error| Blocked::Waiting(unreadable_text(&key, &error)))?;
            let restricted = arguments.no_cross_namespace_refs && key.0 != self.subject.namespace();
            if expression_of(entry).is_none() {
                dependencies::check(object, entry, &dependency, additive, restricted)?;
            } else {
                let (dependent, entry) = (object.clone(), entry.clone());
                let check =
                    move || dependencies::check(&dependent, &entry, &dependency, additive, restricted);
                let checked = tokio::task::spawn_blocking(check).await;
                checked.unwrap_or_else(|panic| Err(Blocked::Waiting(TaskError::from(panic).to_string())))?;
            }
            // Expressions are bounded each, but there may be many.
            if began.elapsed() > EXPRESSIONS_TIMEOUT {
                let limit = go_duration_string(EXPRESSIONS_TIMEOUT);
                return Err(Blocked::Waiting(format!("the dependencies took longer than {limit} to check")));
            }
        }
        Ok(())
    }

    /// A HelmRelease as the watch knows it, or asked for where that does not.
    pub(crate) async fn helm_release(
        &self,
        (namespace, name): &(String, String),
    ) -> Result<HelmRelease, GetError> {
        let key = ObjectRef::new(name).within(namespace);
        if let Some(object) = self.context.store.get(&key) {
            return Ok(HelmRelease::clone(&self.context.latest.newest(object)));
        }
        check_name(namespace)?;
        let api: Api<HelmRelease> = Api::namespaced(self.context.client.clone(), namespace);
        get(&api, name).await
    }

    /// The object asks for what cannot be.
    pub(crate) fn misconfigured(&self, action: &'static str, error: &str) -> Obstacle {
        let message = format!("Reconciliation failed terminally due to configuration error: {error}");
        Obstacle::stalling(action, INVALID_CEL_EXPRESSION, message)
    }

    /// The source, and its artifact. `chart_object` is the source object of `spec.chart` if it was read just now; what the watch shows may
    /// be older.
    ///
    /// # Errors
    /// It may not be used, is not there or is not ready.
    pub(crate) async fn source(
        &self,
        chart_object: Option<DynamicObject>,
    ) -> Result<(ChartReference, Artifact), Halt> {
        let object = &self.subject.object;
        let Some(reference) = source::reference(object) else {
            return Err(
                Obstacle::retried(ARTIFACT_FAILED, "could not get Source object: there is none").into()
            );
        };
        if let Some(denied) = source::denied(object, &reference, self.context.arguments.access()) {
            return Err(Obstacle::stalling(RESOLVE_SOURCE, ACCESS_DENIED, denied).into());
        }
        let key = source_key(&reference);
        let found = match chart_object {
            Some(found) => found,
            None => {
                if let Some(artifact) = self.context.sources.ready(&key).and_then(|known| known.artifact) {
                    return Ok((reference, artifact));
                }
                self.context.sources.read(&key).await.map_err(|error| {
                    let message = format!("could not get Source object: {}", chain(&error));
                    Obstacle::retried(ARTIFACT_FAILED, message)
                })?
            }
        };
        let artifact = source::artifact(&found).map_err(|why| {
            tracing::info!("{why}");
            let shared = &self.context.arguments.shared;
            let again = jitter(shared.requeue_dependency, shared.interval_jitter_percentage);
            Obstacle::waiting(SOURCE_NOT_READY, why, again)
        })?;
        Ok((reference, artifact))
    }
}

/// Where a source is.
pub fn source_key(ChartReference { kind, namespace, name }: &ChartReference) -> SourceKey {
    SourceKey { kind: kind.clone(), namespace: namespace.clone(), name: name.clone() }
}

/// The source of a HelmRelease, made or to be made or referred to.
pub fn source_keys(object: &HelmRelease) -> Vec<SourceKey> {
    let reference = object.chart_ref().or_else(|| object.chart_template_reference());
    reference.iter().map(source_key).collect()
}
