//! What a run asks for, done in the cluster of the Kustomization and in its identity.

use std::{collections::HashSet, future::Future, sync::Arc, task::Poll, time::Duration};

use api::kustomize::{conditions::HEALTHY, reasons::RECONCILIATION_FAILED};
use api::{duration::go_duration_string, meta::reasons::PROGRESSING};
use apply::{
    applier::{Applier, Options},
    change::{Action, Change, ChangeSet},
    mask::Mask,
    object::Manifest,
    order::{self, Stage},
    prune::{Entry, Pruned},
    read,
};
use clusters::RemoteCluster;
use identity::{Operation, Requester};
use kube::ResourceExt;
use kustomize::tree::{MemoryTree, Trace};
use overlay::IgnoreError;
use runtime::{
    conditions::{Status, is_true},
    events::{Severity, action},
    patch::PatchError,
};
use serde_json::Value;
use tokio_util::task::AbortOnDropHandle;

use super::Pass;
use crate::{
    MANAGER,
    applied::AppliedObjects,
    builds::{Objects, Queued},
    dependencies::Interest,
    flags::{GROUP_CHANGES, MIGRATE_API_VERSION, STRICT_SUBSTITUTION},
    handover,
    health::{self, Awaited, Health, Observation, Polled, health_rules},
    ignore,
    render::{Bases, Request},
    run::{
        BuildInputs, Effects, Failure, Run,
        build::{BuildError, Values, common, overlay},
        effects::{
            ApplyError, Background, Build, Built, Connected, Downloaded, HealthCheckError, StageApplied,
        },
        machine::moment,
    },
    sources::source_key,
    status,
    subject::Subject,
};

/// Longest wait for the answer to one request about an applied object.
pub(crate) const OBJECT_TIMEOUT: Duration = Duration::from_secs(60);
/// How long an object that is recreated may take to go away while a worker waits for it.
const RECREATE_PATIENCE: Duration = Duration::from_secs(1);
/// Bytes of an error that names every failed object; the condition holds no more.
const ERROR_BYTES: usize = 30_000;

impl Effects for Pass<'_> {
    async fn connect(&mut self) -> Background<Connected> {
        let Some(reference) = self.subject.object.spec.kube_config.clone() else {
            return Background::Now(Ok(None));
        };
        let clusters = self.context.clusters.clone();
        let (namespace, name) = (self.subject.namespace().to_owned(), self.subject.object.name_any());
        let connect = async move {
            let (kind, operation) = ("Kustomization", Operation::FetchKubeconfig);
            let object = Requester { kind, namespace: &namespace, name: &name, operation };
            clusters.connect(object, &reference).await.map(Some)
        };
        let queued = Queued::default();
        queued.set(self.slot.is_unreachable);
        self.slot.is_unreachable = true;
        self.in_background(&queued, connect).await
    }

    fn use_cluster(&mut self, run: &Run, cluster: Option<Arc<RemoteCluster>>) {
        self.switch_to(cluster);
        for Entry { id, version } in &run.plan.before {
            self.cluster.index.ensure(&id.gvk(version));
        }
    }

    async fn unchanged(&mut self, run: &Run) -> Option<BuildInputs> {
        let last = run.plan.last_build.as_ref().filter(|last| last.artifact == run.plan.artifact.digest)?;
        let values = self.values().await.ok()?.hash();
        self.is_unchanged(run, last, values).then(|| last.clone())
    }

    async fn download(&mut self, run: &Run) -> Downloaded {
        let (artifacts, artifact) = (self.context.artifacts.clone(), &run.plan.artifact);
        let (url, digest) = (artifact.url.clone(), artifact.digest.clone());
        let tenant = self.subject.namespace().to_owned();
        let download = async move { artifacts.get(&url, &digest, &tenant).await };
        self.in_background(&Queued::default(), download).await
    }

    async fn build(&mut self, run: &Run, tree: Arc<MemoryTree>, queued: &Queued) -> Built {
        let object = &self.subject.object;
        let values = match self.values().await {
            Ok(values) => values,
            Err(error) => return Built::Now(Err(error)),
        };
        let hash = values.hash();
        if let Some(last) = &run.plan.last_build
            && self.is_unchanged(run, last, hash)
            && reads_the_same(&last.trace, &tree).await
        {
            let artifact = run.plan.artifact.digest.clone();
            return Built::Now(Ok(Build::Unchanged(BuildInputs { artifact, ..last.clone() })));
        }
        let request = Request {
            tree,
            path: run.plan.path.clone(),
            overlay: overlay(object),
            options: self.context.build.clone(),
            bases: self.context.bases.clone().map(|bases| bases as Arc<dyn Bases>),
            variables: values.variables.map(Arc::new),
            keys: values.keys.map(Arc::new),
            strict: self.context.arguments.feature_gates.is_on(STRICT_SUBSTITUTION),
            manager: MANAGER,
            owner: self.subject.owner(),
            common: common(object),
        };
        let artifact = run.plan.artifact.digest.clone();
        let is_large = run.plan.last_build.as_ref().is_some_and(|last| last.is_large);
        let (builds, waits) = (self.context.builds.clone(), queued.clone());
        let namespace = self.subject.namespace().to_owned();
        let build = async move {
            let built = builds.build(&namespace, request, is_large, &waits).await?;
            let Objects { mut rendered, memory, is_large } = built;
            let inputs = rendered.trace.take().map(|trace| BuildInputs {
                artifact,
                trace: Arc::new(trace),
                values: hash,
                digest: rendered.digest.clone(),
                vanishing: rendered.vanishing.clone(),
                is_large,
            });
            Ok(Build::Done(Box::new(rendered), inputs, memory))
        };
        self.in_background(queued, build).await
    }

    fn stages(&mut self, manifests: Vec<Manifest>) -> Vec<Stage> {
        manifests.iter().for_each(|manifest| drop(self.cluster.index.ensure(&manifest.gvk())));
        order::stages(manifests, &self.context.arguments.custom_apply_stage_kinds.0)
    }

    async fn announce(&mut self, run: &Run) -> Result<(), PatchError> {
        announce(self.subject, run).await
    }

    async fn apply(&mut self, run: &Run, stage: Stage) -> Result<StageApplied, ApplyError> {
        let spec = &self.subject.object.spec;
        let client = self.identity().map_err(ApplyError::NotTried)?;
        let unusable = |error: IgnoreError| {
            ApplyError::NotTried(Failure::new(RECONCILIATION_FAILED, error.to_string()).recorded())
        };
        let rules = ignore::rules(spec).map_err(unusable)?;
        self.slot.applied.use_ignore_rules(&spec.ignore);
        let report_only = self.is_report_only(&run.progress.digest);
        let defines_kinds = stage.defines_kinds();
        let mask = run.progress.secrets.clone();
        let options = Options { ignore: rules, mask, ..self.options(report_only) };
        let applier = Applier::new(client, self.cluster.mapper.clone(), MANAGER, options);
        let (unchanged, open) = match run.plan.skip_unchanged {
            true => self.slot.applied.take_unchanged(&self.cluster.index, stage.manifests),
            false => (Vec::new(), stage.manifests),
        };
        let mut unwritten = None;
        let (subject, memory) = (&mut *self.subject, self.slot.applied.memory());
        let outcome = applier
            .apply_stage(&open, memory, |_planned| async {
                let announced = announce(subject, run).await;
                announced.map_err(|error| unwritten.insert(error).to_string().into())
            })
            .await;
        if let Some(error) = unwritten {
            return Err(ApplyError::Patch(error));
        }
        let mut done = outcome.map_err(|error| {
            let message = error.to_string();
            self.slot.applied.stage_failed(error.memory);
            ApplyError::Objects { message, changes: error.changes }
        })?;
        let unrepaired = report_only.then(|| done.changes.take_writes());
        if defines_kinds && done.changes.wrote() {
            self.cluster.mapper.invalidate();
        }
        for (change, applied) in unchanged {
            done.memory.insert(change.id.clone(), applied);
            done.changes.changes.push(change);
        }
        // A kind that the stage before defined was not known when the objects were built.
        let kinds: HashSet<_> = done.changes.applied().map(|change| change.id.gvk(&change.version)).collect();
        kinds.iter().for_each(|gvk| drop(self.cluster.index.ensure(gvk)));
        self.slot.applied.stage_applied(&done.changes, done.memory);
        let (terminating, unapplied) = (done.terminating, done.left);
        Ok(StageApplied { changes: done.changes, unrepaired, terminating, unapplied })
    }

    async fn terminating(&mut self, entries: Vec<Entry>) -> Result<Vec<Entry>, Failure> {
        let client = self.identity()?;
        let mut there = Vec::new();
        for entry in entries {
            let live = read::object(&client, &self.cluster.mapper, &entry, OBJECT_TIMEOUT).await;
            // Made anew by somebody else, it is looked at like any other.
            let going = |live: &Value| live.pointer("/metadata/deletionTimestamp").is_some();
            if live.is_err() || live.is_ok_and(|live| live.as_ref().is_some_and(going)) {
                there.push(entry);
            }
        }
        Ok(there)
    }

    fn applied(&mut self, run: &Run) {
        self.slot.applied.all_applied(&self.cluster.index, &run.progress);
        self.publish_drift(run);
        self.emit_repeated_drift(run);
        let changes = &run.progress.changes;
        let skipped = changes.changes.iter().filter(|change| change.action == Action::Skipped);
        self.context.skipped.set(self.subject.reference(), skipped.map(|c| c.id.clone()).collect());
        if changes.wrote() {
            let grouped = self.context.arguments.feature_gates.is_on(GROUP_CHANGES);
            tracing::info!(
                output = output(changes, grouped).to_string(),
                revision = run.plan.artifact.revision,
                "server-side apply completed"
            );
            let changed = |action| matches!(action, Action::Created | Action::Configured);
            self.event(run, action::APPLY, &changes.lines(changed));
        }
    }

    fn awaited(&self, run: &Run, changes: &ChangeSet) -> Vec<Awaited> {
        let memory = self.slot.applied.memory();
        let await_change = |change: &Change| Awaited {
            id: change.id.clone(),
            gvk: change.id.gvk(&change.version),
            not_before: memory.get(&change.id).map(|applied| applied.reading().presence().clone()),
            may_vanish: run.progress.vanishing.contains(&change.id),
            observed: Observation::Owned(self.subject.owner()),
            polled: Polled::default(),
        };
        changes.applied().map(await_change).collect()
    }

    async fn health_checks(&mut self, run: &Run) -> Result<Option<Vec<Awaited>>, HealthCheckError> {
        let spec = &self.subject.object.spec;
        if spec.wait {
            return Ok(Some(self.awaited(run, &run.progress.changes)));
        }
        if spec.health_checks.is_empty() {
            status::conditions(&mut self.subject.object).remove(HEALTHY);
            return Ok(None);
        }
        self.listed_health_checks().await.map(Some)
    }

    async fn health(&mut self, awaited: &mut [Awaited], fail_fast: bool) -> (Health, Option<Duration>) {
        let again = self.poll_health(awaited).await;
        (health::summarise(awaited, &self.cluster.index, fail_fast), again)
    }

    fn healthy(&mut self, run: &Run, took: Duration) {
        let message = format!("Health check passed in {}", go_duration_string(took));
        let object = &mut self.subject.object;
        let applied = object.status.as_ref().and_then(|s| s.last_applied_revision.as_ref());
        let is_news = applied != Some(&run.plan.artifact.revision) && run.progress.changes.wrote();
        // A quiet run leaves the message of the last check that meant something.
        if is_news || !is_true(status::listed(object), HEALTHY) {
            status::healthy(object, &message);
        }
        if is_news || !run.plan.was_healthy {
            self.event(run, action::HEALTH_CHECK, &message);
        }
    }

    async fn still_unhealthy(&mut self, run: &Run) -> Result<(), PatchError> {
        let message = run.progress.message.clone();
        let mut conditions = status::conditions(&mut self.subject.object);
        conditions.set(HEALTHY, Status::Unknown, PROGRESSING, message);
        announce(self.subject, run).await
    }

    fn is_handover_pending(&mut self, run: &Run) -> bool {
        let (own, revision) = (&self.subject.object, &run.plan.artifact.revision);
        let pending = || {
            let others = self.context.sources.referrers(&source_key(own));
            let others: Vec<_> = others.iter().filter_map(|key| self.context.store.get(key)).collect();
            let account = self.context.arguments.default_service_account.as_deref();
            handover::pending(own, &others, |key| self.context.store.get(key), revision, account)
        };
        for other in pending() {
            self.context.dependencies.wait(self.subject.reference(), other, Interest::Everything);
        }
        // One may have spoken before it was known that we wait for it.
        !pending().is_empty()
    }

    async fn prune(&mut self, run: &Run, stale: Vec<Entry>) -> Result<Pruned, Failure> {
        let keep: HashSet<_> = run.progress.changes.changes.iter().map(|c| c.id.clone()).collect();
        self.delete(stale, keep).await
    }

    fn event(&self, run: &Run, action: &'static str, message: &str) {
        let (recorder, artifact) = (&self.context.events, Some(&run.plan.artifact));
        self.subject.event(recorder, Severity::Info, action, PROGRESSING, artifact, message);
    }
}

impl Pass<'_> {
    /// Acts in this cluster from now on, or in that of the controller. What is remembered of objects is that of another cluster if it is
    /// not the one of the last run.
    pub(crate) fn switch_to(&mut self, remote: Option<Arc<RemoteCluster>>) {
        let before = self.slot.remote.as_ref().map(Arc::as_ptr);
        if before != remote.as_ref().map(Arc::as_ptr) {
            self.slot.applied = AppliedObjects::default();
        }
        self.cluster = match &remote {
            Some(remote) => remote.cluster().clone(),
            None => self.context.cluster.clone(),
        };
        if remote.is_some() {
            // What is invalid stalls the object before.
            let rules = health_rules(&self.subject.object, &self.context.arguments).ok();
            self.cluster.index.set_health_rules(&self.subject.owner(), rules);
        }
        self.slot.remote = remote;
        self.slot.is_unreachable = false;
    }

    /// Gives work a moment, unless it has to wait for its turn. What takes longer goes on in a task, and its end wakes the object.
    pub(crate) async fn in_background<T: Send + 'static>(
        &self,
        queued: &Queued,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Background<T> {
        let mut work = Box::pin(work);
        // Only what has begun can tell whether it has to wait.
        if let Poll::Ready(result) = futures::poll!(&mut work) {
            return Background::Now(result);
        }
        if let Ok(result) = tokio::time::timeout(moment(queued), &mut work).await {
            return Background::Now(result);
        }
        let (waker, key) = (self.context.waker.clone(), self.subject.reference());
        Background::Later(AbortOnDropHandle::new(tokio::spawn(async move {
            let result = work.await;
            waker.wake(key);
            result
        })))
    }

    /// What the build reads of the cluster.
    async fn values(&self) -> Result<Values, BuildError> {
        Values::load(&self.context.reads, &self.context.decryption, &self.subject.object).await
    }

    /// Whether the objects are as the last run left them, and the hash of the values is what it was.
    fn is_unchanged(&self, run: &Run, last: &BuildInputs, values: u64) -> bool {
        run.plan.skip_unchanged
            && values == last.values
            && self.slot.applied.all_untouched(&self.cluster.index, &run.plan.before)
    }

    fn options(&self, report_only: bool) -> Options {
        let arguments = &self.context.arguments;
        Options {
            force: self.subject.object.spec.force,
            override_managers: arguments.override_manager.clone(),
            override_managers_first: arguments.override_manager_before_dry_run.clone(),
            ignore: Default::default(),
            migrate_api_version: arguments.feature_gates.is_on(MIGRATE_API_VERSION),
            report_only,
            concurrency: arguments.concurrent_ssa.into(),
            request_timeout: OBJECT_TIMEOUT,
            recreate_patience: RECREATE_PATIENCE,
            message_limit: ERROR_BYTES,
            mask: Mask::default(),
        }
    }
}

/// Whether a tree answers all that a build asked as the one before did.
async fn reads_the_same(trace: &Arc<Trace>, tree: &Arc<MemoryTree>) -> bool {
    let (trace, tree) = (trace.clone(), tree.clone());
    tokio::task::spawn_blocking(move || trace.holds(tree.as_ref())).await.is_ok_and(|same| same)
}

async fn announce(subject: &mut Subject, run: &Run) -> Result<(), PatchError> {
    let (desired, before) = (&run.progress.desired, &run.plan.before);
    let known: HashSet<_> = desired.iter().map(|e| &e.id).collect();
    let union = desired.iter().chain(before.iter().filter(|e| !known.contains(&e.id)));
    status::set_inventory(&mut subject.object, union);
    status::progressing(&mut subject.object, &run.progress.message);
    super::end::write_progress(&mut subject.object, run);
    subject.save().await
}

/// What an apply did, for the log: the action by object, or the objects by action.
fn output(changes: &ChangeSet, grouped: bool) -> Value {
    let mut output = serde_json::Map::new();
    for change in &changes.changes {
        let (subject, action) = (change.id.subject(), change.action.as_str());
        if !grouped {
            output.insert(subject, action.into());
        } else if let Value::Array(subjects) =
            output.entry(action).or_insert_with(|| Value::Array(Vec::new()))
        {
            subjects.push(subject.into());
        }
    }
    output.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use apply::object::ObjectId;
    use serde_json::json;

    #[test]
    fn the_log_of_an_apply_is_by_object_or_by_action() {
        let change = |name: &str, action| {
            let id = ObjectId {
                group: String::new(),
                kind: "ConfigMap".into(),
                namespace: "ns".into(),
                name: name.into(),
            };
            Change { id, version: "v1".into(), action }
        };
        let changes = ChangeSet {
            changes: vec![
                change("a", Action::Created),
                change("b", Action::Unchanged),
                change("c", Action::Created),
            ],
        };
        let by_object =
            json!({"ConfigMap/ns/a": "created", "ConfigMap/ns/b": "unchanged", "ConfigMap/ns/c": "created"});
        assert_eq!(output(&changes, false), by_object);
        let by_action =
            json!({"created": ["ConfigMap/ns/a", "ConfigMap/ns/c"], "unchanged": ["ConfigMap/ns/b"]});
        assert_eq!(output(&changes, true), by_action);
    }
}
