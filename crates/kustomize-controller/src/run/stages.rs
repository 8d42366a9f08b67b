//! Applying stage by stage.

use std::{collections::VecDeque, time::Duration};

use api::{duration::go_duration_string, kustomize::reasons::RECONCILIATION_FAILED};
use apply::{
    applier::{Applied, Applier, NOT_DELETED, Options},
    change::{Action, Change, ChangeSet},
    error::StageError,
    object::Manifest,
    order::{Stage, compare},
    prune::{self, Entry},
    read,
};
use kube::Client;
use runtime::patch::PatchError;
use serde_json::Value;
use tokio::time::Instant;

use super::{Failure, Phase, Run, Step};
use crate::{
    flags::{GROUP_CHANGES, MIGRATE_API_VERSION},
    handover,
    health::{self, Awaited, Health},
    ignore,
    reconciler::{Reconciler, Slot},
    subject::Subject,
};

/// How long the objects of a stage may take to get ready; upstream's, whatever `spec.timeout` says.
const STAGE: Duration = Duration::from_secs(60);
/// Longest wait for one answer.
pub(super) const REQUEST: Duration = Duration::from_secs(60);
/// How long an object that is recreated may take to go away: holding a worker, at all, and how often it is looked for.
const RECREATE: (Duration, Duration, Duration) =
    (Duration::from_secs(1), Duration::from_secs(120), Duration::from_secs(2));
/// Bytes of an error that names every failed object; the condition holds no more.
const MESSAGE: usize = 30_000;

impl Reconciler {
    /// Applies the next stage, or ends the apply when none is left.
    pub(super) async fn apply_next(
        &self,
        slot: &mut Slot,
        subject: &mut Subject,
        run: &mut Run,
        mut left: VecDeque<Stage>,
    ) -> Result<Step, PatchError> {
        let Some(stage) = left.pop_front() else { return Ok(self.applied(slot, subject, run)) };
        let client = match self.identity(subject) {
            Ok(client) => client,
            Err(failure) => return Ok(Step::Fail(failure)),
        };
        let ignore = match ignore::rules(&subject.object.spec) {
            Ok(rules) => rules,
            Err(error) => return Ok(Step::Fail(Failure::new(RECONCILIATION_FAILED, error).recorded())),
        };
        if slot.ignore != subject.object.spec.ignore {
            slot.ignore.clone_from(&subject.object.spec.ignore);
            slot.memory.clear();
        }
        let report_only = self.reports(&subject.object, &run.digest);
        let arguments = &self.context.arguments;
        let options = Options {
            force: subject.object.spec.force,
            override_managers: arguments.override_manager.clone(),
            ignore,
            migrate_api_version: arguments.feature_gates.is_on(MIGRATE_API_VERSION),
            report_only,
            concurrency: arguments.concurrent_ssa.into(),
            request_timeout: REQUEST,
            recreate_patience: RECREATE.0,
            message_limit: MESSAGE,
        };
        let (kind, defines_kinds) = (stage.kind, stage.defines_kinds());
        let applier = Applier::new(client, self.context.mapper.clone(), options);
        let (proven, open) = self.proven(slot, run, stage.manifests);
        let mut unwritten = None;
        let outcome = applier
            .apply_stage(&open, &slot.memory, |_planned| async {
                let announced = self.announce(subject, run).await;
                announced.map_err(|error| unwritten.insert(error).to_string().into())
            })
            .await;
        if let Some(error) = unwritten {
            return Err(error);
        }
        let mut done = match outcome {
            Ok(done) => done,
            Err(error) => return Ok(Step::Fail(self.stage_failed(run, error))),
        };
        run.memory.extend(done.memory);
        if report_only {
            run.left.append(done.changes.take_writes());
        }
        if defines_kinds && done.changes.wrote() {
            self.context.mapper.invalidate();
        }
        for (change, applied) in proven {
            run.memory.insert(change.id.clone(), applied);
            done.changes.changes.push(change);
        }
        run.part.append(done.changes);
        if !done.terminating.is_empty() {
            left.push_front(Stage { kind, manifests: done.left });
            let deadline = Instant::now() + RECREATE.1;
            return Ok(Step::Next(Phase::Recreate { terminating: done.terminating, deadline, left }));
        }
        let mut changes = std::mem::take(&mut run.part);
        changes.changes.sort_by(|a, b| compare(&a.id, &b.id));
        let awaited =
            if kind.waits() && !report_only { self.awaited(run, &changes, &run.memory) } else { Vec::new() };
        run.changes.append(changes);
        if awaited.is_empty() {
            return Ok(Step::Next(Phase::Apply(left)));
        }
        Ok(Step::Next(Phase::AwaitStage { awaited, deadline: Instant::now() + STAGE, left }))
    }

    /// Takes out the objects that are as they were left, by what the watches show, and as they are wanted again.
    fn proven(
        &self,
        slot: &Slot,
        run: &Run,
        manifests: Vec<Manifest>,
    ) -> (Vec<(Change, Applied)>, Vec<Manifest>) {
        let (mut proven, mut open) = (Vec::new(), Vec::new());
        for manifest in manifests {
            let (id, gvk) = (manifest.id(), manifest.gvk());
            let known = slot.memory.get(&id).filter(|applied| {
                run.trusting && applied.desired == manifest.digest() && self.untouched(&id, &gvk, applied)
            });
            match known {
                Some(applied) => {
                    let change = Change { id, version: gvk.version, action: Action::Unchanged };
                    proven.push((change, applied.clone()));
                }
                None => open.push(manifest),
            }
        }
        (proven, open)
    }

    /// Names what failed, and what was done before it.
    fn stage_failed(&self, run: &mut Run, error: StageError) -> Failure {
        let mut message = error.to_string();
        run.memory.extend(error.memory);
        run.changes.append(std::mem::take(&mut run.part));
        run.changes.append(error.changes);
        let done = run.changes.lines(|action| matches!(action, Action::Created | Action::Configured));
        if !done.is_empty() {
            message = format!("{message}\n{done}");
        }
        Failure::new(RECONCILIATION_FAILED, message).recorded()
    }

    /// Looks whether objects that are to be made anew are gone.
    pub(super) async fn recreate(
        &self,
        subject: &Subject,
        run: &mut Run,
        terminating: Vec<Entry>,
        deadline: Instant,
        left: VecDeque<Stage>,
    ) -> Step {
        let client = match self.identity(subject) {
            Ok(client) => client,
            Err(failure) => return Step::Fail(failure),
        };
        let mut there = Vec::new();
        for entry in terminating {
            let live = read::object(&client, &self.context.mapper, &entry, REQUEST).await;
            // Made anew by somebody else, it is looked at like any other.
            let going = |live: &Value| live.pointer("/metadata/deletionTimestamp").is_some();
            if live.is_err() || live.is_ok_and(|live| live.as_ref().is_some_and(going)) {
                there.push(entry);
            }
        }
        if there.is_empty() {
            return Step::Next(Phase::Apply(left));
        }
        if Instant::now() < deadline {
            return Step::Wait(Phase::Recreate { terminating: there, deadline, left }, RECREATE.2);
        }
        let limit = go_duration_string(RECREATE.1);
        let lines = there.iter().map(|entry| format!("{} {NOT_DELETED}: not gone within {limit}", entry.id));
        let message = lines.collect::<Vec<_>>().join("\n");
        run.changes.append(std::mem::take(&mut run.part));
        Step::Fail(Failure::new(RECONCILIATION_FAILED, message).recorded())
    }

    /// Looks whether the objects of the last stage are ready.
    pub(super) async fn stage_ready(
        &self,
        subject: &Subject,
        mut awaited: Vec<Awaited>,
        deadline: Instant,
        left: VecDeque<Stage>,
    ) -> Step {
        let again = self.poll_health(subject, &mut awaited).await;
        let now = Instant::now();
        match health::judge(&awaited, &self.context.index, false) {
            Health::Current => Step::Next(Phase::Apply(left)),
            Health::Failed(failed) => {
                Step::Fail(Failure::new(RECONCILIATION_FAILED, health::failed_message(&failed)).recorded())
            }
            Health::Waiting(open) if now >= deadline => {
                Step::Fail(Failure::new(RECONCILIATION_FAILED, health::timeout_message(&open)).recorded())
            }
            Health::Waiting(_) => {
                let wait = again.map_or(deadline - now, |again| again.min(deadline - now));
                Step::Wait(Phase::AwaitStage { awaited, deadline, left }, wait)
            }
        }
    }

    /// All stages are applied: what is in the inventory beside is to be pruned.
    fn applied(&self, slot: &mut Slot, subject: &mut Subject, run: &mut Run) -> Step {
        let memory = std::mem::take(&mut run.memory);
        self.remember(slot, memory, run);
        self.report(subject, run);
        self.tell_fights(slot, subject, run);
        if run.changes.wrote() {
            let changed = |action| matches!(action, Action::Created | Action::Configured);
            let grouped = self.context.arguments.feature_gates.is_on(GROUP_CHANGES);
            tracing::info!(
                output = output(&run.changes, grouped).to_string(),
                revision = run.artifact.revision,
                "server-side apply completed"
            );
            self.say(subject, run, &run.changes.lines(changed));
        }
        let stale = prune::stale(&run.before, &run.applied());
        Step::Next(Phase::Prune { stale, deadline: Instant::now() + handover::PATIENCE })
    }

    /// The client that objects are applied and deleted with.
    pub(crate) fn identity(&self, subject: &Subject) -> Result<Client, Failure> {
        let account = subject.service_account(&self.context.arguments.default_service_account);
        let client = self.context.client_for(subject.namespace(), account.as_deref());
        client.map_err(|error| Failure::new(RECONCILIATION_FAILED, error.to_string()))
    }
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
