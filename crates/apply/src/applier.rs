//! Server-side apply of one stage: every object is checked by a dry-run before any is applied.

use std::collections::HashMap;
use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use kube::Client;
use net::Backoff;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::change::{Change, ChangeSet};
use crate::check::{Checked, Plan};
pub use crate::compare::Applied;
use crate::error::{ObjectError, RequestError, StageError};
use crate::ignore::{Pending, Rules};
use crate::manager::Manager;
use crate::mapper::Mapper;
use crate::mask::Mask;
use crate::object::{Manifest, ObjectId};
use crate::order::rank;
use crate::ownership::{self, Takeover};
use crate::prune::Entry;
use crate::request::{Requests, Target};

/// How to apply.
#[derive(Clone, Debug)]
pub struct Options {
    /// Recreate objects of which immutable fields changed.
    pub force: bool,
    /// Prefixes of further field managers whose fields are taken over.
    pub override_managers: Vec<String>,
    /// Names of field managers whose fields are taken over before the dry-run: what they own can make it fail.
    pub override_managers_first: Vec<String>,
    /// Fields that are left to others.
    pub ignore: Rules,
    /// Move managedFields to the version that is applied when the server cannot read them otherwise.
    pub migrate_api_version: bool,
    /// Find out what would change, and change nothing.
    pub report_only: bool,
    /// Objects in flight at once.
    pub concurrency: usize,
    /// Longest wait for the answer to one request.
    pub request_timeout: Duration,
    /// How long an object that is recreated may take to be gone; one that takes longer is left to the caller.
    pub recreate_patience: Duration,
    /// Most bytes of an error message over all failed objects of a stage.
    pub message_limit: usize,
    /// What no message about an object may hold, beside the data of Secrets.
    pub mask: Mask,
}

/// What is remembered of an owner's objects. It only ever saves requests: an empty one is always right. It is good for
/// the ignore rules that it was made with.
pub type Memory = HashMap<ObjectId, Applied>;

/// A stage that went well, as far as it could.
#[derive(Debug, Default)]
pub struct StageOutcome {
    /// What was done, or would be, in apply order.
    pub changes: ChangeSet,
    /// What is now known about the objects.
    pub memory: Memory,
    /// Deleted objects that are to be made anew and are not gone yet.
    pub terminating: Vec<Entry>,
    /// What was therefore not applied, those objects included.
    pub left: Vec<Manifest>,
}

/// Applies objects to one cluster in one identity. Cheap to make.
pub struct Applier {
    pub(crate) requests: Requests,
    pub(crate) mapper: Arc<Mapper>,
    pub(crate) manager: Manager,
    pub(crate) options: Options,
}

/// Attempts to patch managedFields while others keep changing the object.
const CLEANUP_ATTEMPTS: usize = 5;
/// Between two looks at an object that is to be gone.
const GONE_POLL: Backoff = Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(2) };

/// Step of the recreation of an object that hangs on its finalizers.
pub const NOT_DELETED: &str = "immutable field detected, failed to wait for object to be deleted";

/// What became of one object.
enum Written {
    Done(Change, Option<Applied>),
    /// Its deletion is under way.
    Terminating(Entry),
}

impl Applier {
    /// `client` acts in the identity that applies; `mapper` may use another one.
    pub fn new(client: Client, mapper: Arc<Mapper>, manager: Manager, options: Options) -> Self {
        Self { requests: Requests { client, timeout: options.request_timeout }, mapper, manager, options }
    }

    /// Applies one stage. All objects are checked first and nothing is applied unless all pass. Then objects of
    /// the same rank are applied in parallel, one rank after the other.
    ///
    /// `before_first_write` gets the planned changes and runs to its end before anything is changed in the cluster; it is
    /// not called when nothing needs to change.
    ///
    /// # Guarantees
    /// - A stage of which one object fails its dry-run changes nothing.
    /// - What `remembered` holds only saves requests: with an empty memory the outcome is the same.
    /// - An object that somebody else deletes or makes anew meanwhile is never deleted in place of the one that was checked.
    ///
    /// # Caveats
    /// - Between dry-run and apply others may write; the apply then takes the fields that it owns, as server-side apply does.
    /// - An object that is recreated and hangs on its finalizers comes back in `terminating`, with what was not applied because of it.
    ///
    /// # Errors
    /// With every failed object, what was applied nevertheless, and what is known about it.
    pub async fn apply_stage<F, Fut>(
        &self,
        manifests: &[Manifest],
        remembered: &Memory,
        before_first_write: F,
    ) -> Result<StageOutcome, StageError>
    where
        F: FnOnce(ChangeSet) -> Fut + Send,
        Fut: Future<Output = Result<(), Box<dyn Error + Send + Sync>>> + Send,
    {
        let since = Instant::now();
        let checks = manifests.iter().map(|m| self.check(m, remembered, since));
        let (checked, failures) = self.in_parallel(checks).await;
        if !failures.is_empty() {
            return Err(self.failed(failures, StageOutcome::default()));
        }
        let planned = ChangeSet { changes: checked.iter().map(|c| c.change.clone()).collect() };
        if self.options.report_only {
            let kept = checked.into_iter().filter_map(|c| match c.plan {
                Plan::Keep(applied) => Some((c.change.id, *applied?)),
                _ => None,
            });
            return Ok(StageOutcome { memory: kept.collect(), changes: planned, ..StageOutcome::default() });
        }
        if planned.wrote()
            && let Err(refused) = before_first_write(planned).await
        {
            return Err(StageError {
                refused: Some(refused),
                ..self.failed(Vec::new(), StageOutcome::default())
            });
        }
        let work: Vec<(Checked, &Manifest)> = checked.into_iter().zip(manifests).collect();
        let (mut outcome, mut begun) = (StageOutcome::default(), 0);
        for same_rank in work.chunk_by(|a, b| rank(a.1.kind()) == rank(b.1.kind())) {
            let writes = same_rank.iter().map(|(c, m)| self.write(c, m));
            let (written, failures) = self.in_parallel(writes).await;
            for (written, (_, manifest)) in written.into_iter().zip(same_rank) {
                match written {
                    Written::Done(change, applied) => {
                        outcome.memory.extend(applied.map(|a| (change.id.clone(), a)));
                        outcome.changes.changes.push(change);
                    }
                    Written::Terminating(entry) => {
                        outcome.terminating.push(entry);
                        outcome.left.push(Manifest::clone(manifest));
                    }
                }
            }
            if !failures.is_empty() {
                return Err(self.failed(failures, outcome));
            }
            begun += same_rank.len();
            if !outcome.terminating.is_empty() {
                outcome.left.extend(work.iter().skip(begun).map(|(_, manifest)| Manifest::clone(manifest)));
                break;
            }
        }
        Ok(outcome)
    }

    /// Runs futures, so many at once, and gives values and errors in order. When the API server cannot be reached, those not
    /// begun are left out: each of them would take its whole deadline.
    async fn in_parallel<T, Fut: Future<Output = Result<T, ObjectError>>>(
        &self,
        futures: impl Iterator<Item = Fut>,
    ) -> (Vec<T>, Vec<ObjectError>) {
        let futures: Vec<Fut> = futures.collect();
        let mut results = stream::iter(futures).buffered(self.options.concurrency.max(1));
        let (mut values, mut errors) = (Vec::new(), Vec::new());
        while let Some(result) = results.next().await {
            match result {
                Ok(value) => values.push(value),
                Err(error) => {
                    let unreachable = error.source.is_unreachable();
                    errors.push(error);
                    if unreachable {
                        break;
                    }
                }
            }
        }
        (values, errors)
    }

    /// Does what was planned for one object.
    async fn write(&self, checked: &Checked, manifest: &Manifest) -> Result<Written, ObjectError> {
        let change = checked.change.clone();
        let fail = |step, source| self.step_error(&change.id, manifest, step, source);
        let mapped = match &checked.plan {
            Plan::Keep(applied) => return Ok(Written::Done(change, applied.as_deref().cloned())),
            Plan::Apply(mapped) | Plan::CleanUp(mapped) | Plan::Recreate(mapped, _) => mapped,
        };
        let target = Target { mapped, namespace: &change.id.namespace, name: &change.id.name };
        let clean_up = async || {
            let done = self.clean_up(&target, manifest.value()).await;
            done.map_err(|e| fail("metadata.managedFields cleanup failed", e))
        };
        let apply = async || {
            let done = self.apply(&target, manifest, checked.pending.as_ref()).await;
            done.map_err(|e| fail("apply failed", e))
        };
        let live = match &checked.plan {
            Plan::CleanUp(_) => {
                clean_up().await?;
                let live = apply().await?;
                // Applying to an object without owners makes one up for what was there.
                if ownership::needs_cleanup(&live, manifest.value(), &self.takeover()) {
                    clean_up().await?;
                    apply().await?
                } else {
                    live
                }
            }
            Plan::Recreate(_, uid) => {
                let done = self.requests.delete(&target, uid, None).await;
                done.map_err(|e| fail("immutable field detected, failed to delete object", e))?;
                if !self.is_gone_soon(&target, uid).await.map_err(|e| fail(NOT_DELETED, e))? {
                    return Ok(Written::Terminating(Entry { id: change.id, version: change.version }));
                }
                apply().await?
            }
            Plan::Keep(_) | Plan::Apply(_) => apply().await?,
        };
        let applied = Applied::of(&live, manifest.digest(), &self.options.ignore.of(&live), &self.manager);
        Ok(Written::Done(change, Some(applied)))
    }

    /// Applies the manifest, but for the fields that are left to others.
    async fn apply(
        &self,
        target: &Target<'_>,
        manifest: &Manifest,
        pending: Option<&Pending>,
    ) -> Result<Value, RequestError> {
        let live = match pending {
            Some(_) => self.requests.get(target).await?,
            None => None,
        };
        let payload =
            pending.zip(live).map(|(pending, live)| pending.payload(manifest.value(), &live, &self.manager));
        let desired = payload.as_ref().unwrap_or(manifest.value());
        self.requests.apply(target, desired, &self.manager, false).await
    }

    /// Whose fields are taken over.
    pub(crate) fn takeover(&self) -> Takeover<'_> {
        Takeover { manager: self.manager, prefixes: &self.options.override_managers }
    }

    /// Merges the fields of foreign managers into ours, so that applying removes what is not desired.
    async fn clean_up(&self, target: &Target<'_>, desired: &Value) -> Result<(), RequestError> {
        let patch = |live: &Value| ownership::cleanup_patch(live, desired, &self.takeover());
        self.patch_live(target, patch).await.map(drop)
    }

    /// Sends the JSON patch that the live object needs, if it exists and needs one, and again when it changed meanwhile.
    /// Tells whether it was patched.
    pub(crate) async fn patch_live(
        &self,
        target: &Target<'_>,
        needs: impl Fn(&Value) -> Option<Value>,
    ) -> Result<bool, RequestError> {
        let mut attempt = 1;
        loop {
            let Some(patch) = self.requests.get(target).await?.as_ref().and_then(&needs) else {
                return Ok(false);
            };
            let patch = serde_json::from_value(patch)
                .map_err(|e| RequestError::Transport(kube::Error::SerdeError(e)))?;
            match self.requests.json_patch(target, patch, &self.manager).await {
                Err(error) if error.is_conflict() && attempt < CLEANUP_ATTEMPTS => attempt += 1,
                Err(error) if error.is_not_found() => return Ok(false),
                answer => return answer.map(|_| true),
            }
        }
    }

    /// Waits a moment for the object's finalizers to end.
    async fn is_gone_soon(&self, target: &Target<'_>, uid: &str) -> Result<bool, RequestError> {
        let deadline = Instant::now() + self.options.recreate_patience;
        let mut looks = 0;
        loop {
            let live = self.requests.get(target).await?;
            if live.is_none_or(|l| crate::object::meta(&l, "uid") != uid) {
                return Ok(true);
            }
            looks += 1;
            let pause = GONE_POLL.after(looks);
            if Instant::now() + pause > deadline {
                return Ok(false);
            }
            sleep(pause).await;
        }
    }

    /// A dry-run that failed.
    pub(crate) fn dry_run_error(
        &self,
        id: &ObjectId,
        manifest: &Manifest,
        source: RequestError,
    ) -> ObjectError {
        let mask = self.options.mask.with_data_of(manifest.value());
        ObjectError::dry_run(id.clone(), manifest.source_file.clone(), source).masked(&mask)
    }

    /// Another step that failed.
    pub(crate) fn step_error(
        &self,
        id: &ObjectId,
        manifest: &Manifest,
        step: &str,
        source: RequestError,
    ) -> ObjectError {
        let mask = self.options.mask.with_data_of(manifest.value());
        ObjectError::step(id.clone(), manifest.source_file.clone(), step, source).masked(&mask)
    }

    fn failed(&self, failures: Vec<ObjectError>, done: StageOutcome) -> StageError {
        let StageOutcome { changes, memory, .. } = done;
        StageError { failures, refused: None, changes, memory, message_limit: self.options.message_limit }
    }
}
