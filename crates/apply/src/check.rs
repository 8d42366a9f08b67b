//! The check of one object: what applying it would do, found out by a server-side dry-run.
//!
//! No GET goes before it. That the object exists, what its annotations say and who else owns its fields all stand in the
//! answer; the live object is only asked for when the dry-run fails or nothing is remembered to compare with.

use std::borrow::Cow;

use kube::core::Status;
use serde_json::Value;
use tokio::time::Instant;

use crate::applier::{Applier, Memory};
use crate::change::{Action, Change};
use crate::compare::{self, Applied, Comparison, compare_to_memory};
use crate::error::{ObjectError, RequestError};
use crate::ignore::Pending;
use crate::mapper::RestMapping;
use crate::object::{Manifest, ObjectId, meta};
use crate::ownership::{self, Owners};
use crate::policy::{self, Policy, Ssa};
use crate::request::Target;

/// Comparisons of an object that others keep changing.
const COMPARISON_ATTEMPTS: usize = 3;

/// A checked object.
#[derive(Debug)]
pub(crate) struct Checked {
    pub change: Change,
    pub plan: Plan,
    /// Fields of a live object that are to keep their values.
    pub pending: Option<Pending>,
}

/// What to do with it.
#[derive(Debug)]
pub(crate) enum Plan {
    /// Nothing; what is known about it, if it is as desired.
    Keep(Option<Box<Applied>>),
    /// Apply it.
    Apply(RestMapping),
    /// Take over the fields of foreign managers, then apply it.
    CleanUp(RestMapping),
    /// Delete the object with this uid, wait until it is gone, and apply it.
    Recreate(RestMapping, String),
}

impl Applier {
    /// Finds out what applying the manifest would do, and changes nothing. `since` is when the stage began.
    pub(crate) async fn check(
        &self,
        manifest: &Manifest,
        remembered: &Memory,
        since: Instant,
    ) -> Result<Checked, ObjectError> {
        let resolved = self.mapper.resolve_since(&manifest.gvk(), since).await;
        let id = scoped_id(manifest, resolved.as_ref().ok());
        let desired_policy = Policy::of(manifest.value(), &self.manager);
        if desired_policy.forbids_apply() {
            return Ok(skipped(id, manifest));
        }
        let fail = |id: &ObjectId, source| self.dry_run_error(id, manifest, source);
        let mapped = resolved.map_err(|e| fail(&id, e.into()))?;
        let target = Target { mapped: &mapped, namespace: &id.namespace, name: &id.name };
        // Applying may hide what the live object says for itself under what the manifest says.
        if policy::declares_any(manifest.value(), &self.manager)
            && let Some(live) = self.requests.get(&target).await.map_err(|e| fail(&id, e))?
            && (Policy::of(&live, &self.manager).forbids_apply() || desired_policy.ssa == Ssa::IfNotPresent)
        {
            return Ok(skipped(id, manifest));
        }
        let dry_run = async || self.requests.apply(&target, manifest.value(), &self.manager, true).await;
        let taken_over = self.take_over(&target, manifest, &id).await?;
        let answer = match dry_run().await {
            Ok(answer) if taken_over => answer,
            Ok(answer) => {
                return self
                    .plan_from_dry_run(manifest, remembered.get(&id), &answer, id.clone(), &mapped)
                    .await
                    .map_err(|e| fail(&id, e));
            }
            Err(error) if error.status().is_some() && self.migrate(&target, manifest, &id).await? => {
                dry_run().await.map_err(|e| fail(&id, e))?
            }
            Err(error) => return self.plan_from_error(manifest, error, id, &mapped).await,
        };
        // Its managedFields were written: there is no question whether it is as desired.
        let pending = self.options.ignore.of(&answer).pending(&answer);
        Ok(configured(id, manifest, Plan::Apply(mapped), pending))
    }

    /// Takes over the fields of the managers that [`Options::override_managers_first`] names, unless the object is only to be
    /// merged with. Tells whether there were any.
    ///
    /// [`Options::override_managers_first`]: crate::applier::Options::override_managers_first
    async fn take_over(
        &self,
        target: &Target<'_>,
        manifest: &Manifest,
        id: &ObjectId,
    ) -> Result<bool, ObjectError> {
        let names = &self.options.override_managers_first;
        let is_merged = |object: &Value| Policy::of(object, &self.manager).ssa == Ssa::Merge;
        if names.is_empty() || self.options.report_only || is_merged(manifest.value()) {
            return Ok(false);
        }
        let needs = |live: &Value| match is_merged(live) {
            true => None,
            false => ownership::takeover_patch(live, &self.manager, names),
        };
        self.patch_owners(target, manifest, id, "metadata.managedFields takeover failed", needs).await
    }

    /// Moves all of the live object's managedFields to the version of the manifest, if that is wanted and they are not
    /// there yet: the server cannot read what is written in terms of a version that has gone. Tells whether it did.
    async fn migrate(
        &self,
        target: &Target<'_>,
        manifest: &Manifest,
        id: &ObjectId,
    ) -> Result<bool, ObjectError> {
        if !self.options.migrate_api_version || self.options.report_only {
            return Ok(false);
        }
        let needs = |live: &Value| ownership::migration_patch(live, manifest.api_version());
        self.patch_owners(target, manifest, id, "failed to migrate API version", needs).await
    }

    /// Sends the patch of managedFields that the live object needs, unless it says that it is not to be applied. Tells whether
    /// it was patched.
    async fn patch_owners(
        &self,
        target: &Target<'_>,
        manifest: &Manifest,
        id: &ObjectId,
        step: &str,
        needs: impl Fn(&Value) -> Option<Value>,
    ) -> Result<bool, ObjectError> {
        let patch = |live: &Value| match Policy::of(live, &self.manager).forbids_apply() {
            true => None,
            false => needs(live),
        };
        self.patch_live(target, patch).await.map_err(|e| self.step_error(id, manifest, step, e))
    }

    /// Decides what to do after a dry-run that went well.
    async fn plan_from_dry_run(
        &self,
        manifest: &Manifest,
        remembered: Option<&Applied>,
        answer: &Value,
        id: ObjectId,
        mapped: &RestMapping,
    ) -> Result<Checked, RequestError> {
        let plan =
            |action, plan| Ok(Checked { change: change(id.clone(), manifest, action), plan, pending: None });
        if meta(answer, "resourceVersion").is_empty() {
            return plan(Action::Created, Plan::Apply(mapped.clone()));
        }
        let policy = Policy::of(answer, &self.manager);
        if policy.forbids_apply() {
            return plan(Action::Skipped, Plan::Keep(None));
        }
        let ignored = self.options.ignore.of(answer);
        if policy.ssa != Ssa::Merge && ownership::needs_cleanup(answer, manifest.value(), &self.takeover()) {
            let plan = Plan::CleanUp(mapped.clone());
            return Ok(configured(id, manifest, plan, ignored.pending(answer)));
        }
        let desired = manifest.digest();
        let apply = Plan::Apply(mapped.clone());
        match compare_to_memory(answer, desired, &ignored, remembered, &self.manager, Instant::now()) {
            Comparison::Same(applied) => return plan(Action::Unchanged, Plan::Keep(Some(applied))),
            Comparison::Different => return Ok(configured(id, manifest, apply, ignored.pending(answer))),
            Comparison::AskLive => {}
        }
        let target = Target { mapped, namespace: &id.namespace, name: &id.name };
        let mut answer = Cow::Borrowed(answer);
        let mut attempt = 1;
        loop {
            let Some(live) = self.requests.get(&target).await? else {
                return plan(Action::Created, apply);
            };
            // Equal content is not enough: without a managedFields entry of ours a later apply could not remove fields.
            if !compare::differs(&live, &answer, &ignored) && !self.loses_owner(&live, &answer) {
                let applied = Applied::of(&live, desired, &ignored, &self.manager);
                return plan(Action::Unchanged, Plan::Keep(Some(Box::new(applied))));
            }
            // What changed between the two answers is no difference from what is desired.
            if meta(&live, "resourceVersion") == meta(&answer, "resourceVersion")
                || attempt == COMPARISON_ATTEMPTS
            {
                return Ok(configured(id, manifest, apply, ignored.pending(&answer)));
            }
            attempt += 1;
            answer = Cow::Owned(self.requests.apply(&target, manifest.value(), &self.manager, true).await?);
        }
    }

    /// Decides what to do after a dry-run that failed: the live object may say that it is not to be applied, or may have
    /// to be recreated.
    async fn plan_from_error(
        &self,
        manifest: &Manifest,
        error: RequestError,
        id: ObjectId,
        mapped: &RestMapping,
    ) -> Result<Checked, ObjectError> {
        if error.is_unknown_path() {
            self.mapper.mark_stale(manifest.group(), manifest.kind());
        }
        let target = Target { mapped, namespace: &id.namespace, name: &id.name };
        // If that fails too, the first error is the one to tell.
        let live =
            if error.status().is_some() { self.requests.get(&target).await.ok().flatten() } else { None };
        if let Some(live) = live {
            let policy = Policy::of(&live, &self.manager);
            if policy.forbids_apply() {
                return Ok(skipped(id, manifest));
            }
            let forced =
                self.options.force || policy.force || Policy::of(manifest.value(), &self.manager).force;
            if forced && self.needs_recreation(&error, manifest, &target).await {
                let uid = meta(&live, "uid").to_owned();
                let change = change(id, manifest, Action::Created);
                return Ok(Checked { change, plan: Plan::Recreate(mapped.clone(), uid), pending: None });
            }
        }
        Err(self.dry_run_error(&id, manifest, error))
    }

    /// Whether deleting the object would help. A manifest that the server would not accept for a new object either must
    /// not cost the live one.
    async fn needs_recreation(&self, error: &RequestError, manifest: &Manifest, target: &Target<'_>) -> bool {
        let Some(status) = error.status() else { return false };
        if is_about_immutability(status) {
            return true;
        }
        if status.code != 422 {
            return false;
        }
        // The words were not enough: would the server take the same object under a name that is free?
        let name = format!("recreate-check-{:x}", manifest.digest());
        let mut renamed = manifest.value().clone();
        if let Some(slot) = renamed.pointer_mut("/metadata/name") {
            *slot = name.clone().into();
        }
        let target = Target { name: &name, ..*target };
        self.requests.dry_run_create(&target, &renamed, &self.manager).await.is_ok()
    }

    /// Whether we own something in the answer and nothing of the live object.
    fn loses_owner(&self, live: &Value, answer: &Value) -> bool {
        Owners::of(live, &self.manager).own == 0 && Owners::of(answer, &self.manager).own != 0
    }
}

/// What anybody says who refuses a change: webhooks, CEL rules, the server.
const IMMUTABLE: &[&str] = &["is immutable", "immutable field"];
/// What the server's own validation says besides.
const UNCHANGEABLE: &[&str] = &["may not be changed", "may not change", "cannot change", "updates to"];

/// Whether every complaint is that something must not change.
fn is_about_immutability(status: &Status) -> bool {
    let says_so = |text: &str| {
        let text = text.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|w| text.contains(w));
        says(IMMUTABLE) || (status.code == 422 && says(UNCHANGEABLE))
    };
    let causes = status.details.as_ref().map(|d| d.causes.as_slice()).unwrap_or_default();
    if causes.is_empty() { says_so(&status.message) } else { causes.iter().all(|c| says_so(&c.message)) }
}

/// The object's id as the server will have it: cluster-scoped kinds have no namespace, whatever the manifest says.
fn scoped_id(manifest: &Manifest, mapped: Option<&RestMapping>) -> ObjectId {
    let mut id = manifest.id();
    if mapped.is_some_and(|m| !m.namespaced) {
        id.namespace.clear();
    }
    id
}

fn change(id: ObjectId, manifest: &Manifest, action: Action) -> Change {
    Change { id, version: manifest.gvk().version, action }
}

fn skipped(id: ObjectId, manifest: &Manifest) -> Checked {
    Checked { change: change(id, manifest, Action::Skipped), plan: Plan::Keep(None), pending: None }
}

fn configured(id: ObjectId, manifest: &Manifest, plan: Plan, pending: Option<Pending>) -> Checked {
    Checked { change: change(id, manifest, Action::Configured), plan, pending }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status(causes: &[&str], message: &str) -> Status {
        let causes: Vec<_> = causes.iter().map(|m| json!({"message": m})).collect();
        serde_json::from_value(json!({"code": 422, "message": message, "details": {"causes": causes}}))
            .unwrap_or_default()
    }

    #[test]
    fn only_complaints_about_changes_are_about_immutability() {
        let immutable = "Invalid value: {\"matchLabels\":{\"a\":\"c\"}}: field is immutable";
        assert!(is_about_immutability(&status(&[immutable], "x")));
        assert!(is_about_immutability(&status(
            &["Forbidden: updates to statefulset spec for fields other than 'replicas' are forbidden"],
            ""
        )));
        assert!(is_about_immutability(&status(
            &[],
            "admission webhook denied the request: spec is immutable"
        )));
        assert!(!is_about_immutability(&status(
            &[immutable, "Invalid value: 800000: must be between 1 and 65535"],
            ""
        )));
        assert!(!is_about_immutability(&status(&["Required value"], "is immutable")));
        assert!(!is_about_immutability(&status(&[], "quota exceeded")));
        let denied = Status { code: 403, ..status(&[], "updates to the label may not change its team") };
        assert!(!is_about_immutability(&denied));
    }
}
