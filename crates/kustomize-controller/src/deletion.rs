//! Deletion of a Kustomization: its objects go first, if they should, then our finalizer.

use std::{collections::HashSet, time::Duration};

use api::{
    Kustomization,
    kustomization::DeletionPolicy,
    meta::{FINALIZER, reasons::PROGRESSING},
};
use apply::{
    change::ChangeSet,
    object::ObjectId,
    prune::{self, Entry, PruneOptions},
};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{Api, ResourceExt};
use references::check_name;
use runtime::{
    conditions::{READY, find},
    controller::Outcome,
    error::TaskError,
    events::{Severity, action},
    patch::PatchError,
};
use tokio::time::Instant;

use crate::{
    MANAGER,
    handover::{self, Claim},
    pass::{OBJECT_TIMEOUT, Pass},
    reconciler::State,
    run::{
        Connect, Effects, Failure,
        effects::Background,
        machine::{QUICK, TASK_POLL},
    },
    status,
    subject::Subject,
};

/// How often objects that terminate are looked for.
const TERMINATION_POLL: Duration = Duration::from_secs(2);

/// What to do with the applied objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    Keep,
    Delete,
    DeleteAndWait,
}

impl Plan {
    fn of(object: &Kustomization) -> Self {
        let spec = &object.spec;
        match spec.deletion_policy.unwrap_or_default() {
            _ if spec.suspend || status::inventory(object).is_empty() => Self::Keep,
            DeletionPolicy::Delete => Self::Delete,
            DeletionPolicy::WaitForTermination => Self::DeleteAndWait,
            DeletionPolicy::MirrorPrune if spec.prune => Self::Delete,
            // A policy of a later version is none of ours to guess at: nothing is deleted.
            DeletionPolicy::MirrorPrune | DeletionPolicy::Orphan | DeletionPolicy::Unknown => Self::Keep,
        }
    }
}

impl Pass<'_> {
    /// Brings a Kustomization that is being deleted a step closer to being gone.
    pub(crate) async fn run_finalizer(&mut self) -> Result<Outcome, PatchError> {
        if !self.subject.object.finalizers().iter().any(|f| f == FINALIZER) {
            return Ok(Outcome::Wait);
        }
        let connecting = match std::mem::take(&mut self.slot.state) {
            State::Terminating { deleted, deadline } => return self.terminated(deleted, deadline).await,
            State::Connecting(connecting) => Some(connecting),
            _ => None,
        };
        let plan = Plan::of(&self.subject.object);
        if plan == Plan::Keep || !self.may_delete().await? {
            return release(self.subject).await;
        }
        if let Some(outcome) = self.connect_to_delete(connecting).await {
            return Ok(outcome);
        }
        let inventory = status::inventory(&self.subject.object);
        let pruned = match self.delete(inventory, HashSet::new()).await {
            Ok(pruned) => pruned,
            Err(failure) => return Ok(Outcome::Failed(failure.message.into())),
        };
        if let Some(error) = pruned.error() {
            self.deletion_event(Severity::Error, "pruning for deleted resource failed");
            return Ok(Outcome::Failed(error.into()));
        }
        let lines = pruned.changes.lines(|_| true);
        if !lines.is_empty() {
            tracing::info!("garbage collection for deleted resource completed: {lines}");
            self.deletion_event(Severity::Info, &lines);
        }
        if plan == Plan::Delete {
            return release(self.subject).await;
        }
        self.terminated(pruned.changes, Instant::now() + self.subject.timeout()).await
    }

    /// Goes to the cluster that the objects are in. Until that answers, the Kustomization stays, as with Flux: objects of the same
    /// names in this cluster are others, and those there would be forgotten. Gives the outcome if it does not answer now.
    async fn connect_to_delete(&mut self, connecting: Option<Connect>) -> Option<Outcome> {
        let connecting = match connecting {
            None => self.connect().await,
            Some(mut task) => match tokio::time::timeout(QUICK, &mut task).await {
                Ok(Ok(result)) => Background::Now(result),
                Ok(Err(panicked)) => return Some(Outcome::Failed(TaskError::from(panicked).into())),
                Err(_) => Background::Later(task),
            },
        };
        match connecting {
            Background::Now(Ok(cluster)) => {
                self.switch_to(cluster);
                None
            }
            Background::Now(Err(error)) => {
                let message = format!("failed to build kube client: {error}");
                self.deletion_event(Severity::Error, &message);
                Some(Outcome::Failed(message.into()))
            }
            Background::Later(task) => {
                self.slot.state = State::Connecting(task);
                Some(Outcome::After(TASK_POLL))
            }
        }
    }

    /// Whether the identity that applied the objects is still there to delete them. If not, waiting would keep the Kustomization for
    /// ever: its objects are named and left behind. As with Flux, an account of this cluster is asked for, even if the objects are in
    /// another one.
    async fn may_delete(&self) -> Result<bool, PatchError> {
        let default = self.context.arguments.default_service_account.as_deref();
        let Some(account) = self.subject.service_account(default) else { return Ok(true) };
        if check_name(&account).is_ok() {
            let namespace = self.subject.namespace();
            let api: Api<ServiceAccount> = Api::namespaced(self.context.client.clone(), namespace);
            if api.get_opt(&account).await?.is_some() {
                return Ok(true);
            }
        }
        self.name_objects_left(&format!("service account {account} does not exist"));
        Ok(false)
    }

    fn name_objects_left(&self, reason: &str) {
        let objects: Vec<_> =
            status::inventory(&self.subject.object).iter().map(|e| e.id.subject()).collect();
        let message = format!("unable to prune objects: \n{}", objects.join("\n"));
        tracing::error!(reason, "{message}");
        self.deletion_event(Severity::Error, &message);
    }

    /// Looks whether the deleted objects are gone; the last look is at the deadline.
    async fn terminated(&mut self, deleted: ChangeSet, deadline: Instant) -> Result<Outcome, PatchError> {
        let client = match self.identity() {
            Ok(client) => client,
            Err(failure) => return Ok(Outcome::Failed(failure.message.into())),
        };
        let options = self.prune_options();
        let left = prune::remaining(&client, &self.cluster.mapper, &deleted, &options).await;
        if !left.is_empty() && Instant::now() < deadline {
            self.slot.state = State::Terminating { deleted, deadline };
            return Ok(Outcome::After(TERMINATION_POLL));
        }
        if !left.is_empty() {
            let left: Vec<_> = left.iter().map(|id| id.subject()).collect();
            let message = format!("failed to wait for resources termination: {}", left.join(", "));
            tracing::error!("{message}");
            self.deletion_event(Severity::Error, &message);
        }
        release(self.subject).await
    }

    /// Deletes entries of the inventory in the Kustomization's identity, but for those that another one names.
    pub(crate) async fn delete(
        &mut self,
        entries: Vec<Entry>,
        keep: HashSet<ObjectId>,
    ) -> Result<prune::Pruned, Failure> {
        let account = self.context.arguments.default_service_account.as_deref();
        let skipped = &self.context.skipped;
        let claims =
            handover::claimed(&self.subject.object, &self.context.store.state(), &entries, account, skipped);
        let claimed = self.slot.claims.admit(&claims, Instant::now());
        let options = PruneOptions { keep, claimed, ..self.prune_options() };
        let pruned = prune::delete(&self.identity()?, &self.cluster.mapper, entries, &options).await;
        let left: Vec<_> = pruned.claimed.iter().map(|entry| &entry.id).collect();
        let news = self.slot.claims.left(&left, Instant::now());
        let line = |id: &ObjectId| {
            let Claim { by, is_applied } = claims.get(id)?;
            let what = if *is_applied { "which applies it, too" } else { "which is about to apply it" };
            let namespace = by.namespace.as_deref().unwrap_or_default();
            Some(format!("{id} is left to Kustomization/{namespace}/{}, {what}", by.name))
        };
        let lines: Vec<_> = news.into_iter().filter_map(line).collect();
        if !lines.is_empty() {
            let message = lines.join("\n");
            tracing::info!("{message}");
            self.subject.event(
                &self.context.events,
                Severity::Info,
                action::PRUNE,
                PROGRESSING,
                None,
                &message,
            );
        }
        Ok(pruned)
    }

    /// What deletions respect.
    fn prune_options(&self) -> PruneOptions {
        PruneOptions {
            manager: MANAGER,
            owner: self.subject.owner(),
            keep: HashSet::new(),
            claimed: HashSet::new(),
            // The controller's own, which is in its cluster alone.
            protected_namespaces: match self.slot.remote {
                Some(_) => Vec::new(),
                None => vec![self.context.arguments.shared.runtime_namespace.clone()],
            },
            concurrency: self.context.arguments.concurrent_ssa.into(),
            request_timeout: OBJECT_TIMEOUT,
        }
    }

    /// Records an event of the deletion; its reason is that of Ready, as upstream has it.
    fn deletion_event(&self, severity: Severity, message: &str) {
        let ready = find(status::listed(&self.subject.object), READY).map(|c| c.reason.clone());
        let reason = ready.as_deref().unwrap_or(severity.label());
        self.subject.event(&self.context.events, severity, action::FINALIZE, reason, None, message);
    }
}

async fn release(subject: &mut Subject) -> Result<Outcome, PatchError> {
    subject.set_finalizer(false).await?;
    Ok(Outcome::Wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(prune: bool, policy: Option<DeletionPolicy>) -> Kustomization {
        let mut object = Kustomization::new("app", Default::default());
        object.spec.prune = prune;
        object.spec.deletion_policy = policy;
        let id = ObjectId {
            group: String::new(),
            kind: "ConfigMap".into(),
            namespace: "ns".into(),
            name: "a".into(),
        };
        status::set_inventory(&mut object, [&Entry { id, version: "v1".into() }]);
        object
    }

    #[test]
    fn the_deletion_policy_decides_and_prune_is_its_default() {
        use DeletionPolicy::*;
        for (prune, policy, plan) in [
            (true, None, Plan::Delete),
            (false, None, Plan::Keep),
            (false, Some(MirrorPrune), Plan::Keep),
            (false, Some(Delete), Plan::Delete),
            (true, Some(Orphan), Plan::Keep),
            (false, Some(WaitForTermination), Plan::DeleteAndWait),
            (true, Some(Unknown), Plan::Keep),
        ] {
            assert_eq!(Plan::of(&object(prune, policy)), plan, "prune {prune} {policy:?}");
        }
    }

    #[test]
    fn a_suspended_or_empty_kustomization_deletes_nothing() {
        let mut suspended = object(true, None);
        suspended.spec.suspend = true;
        assert_eq!(Plan::of(&suspended), Plan::Keep);
        let mut empty = object(true, None);
        status::set_inventory(&mut empty, []);
        assert_eq!(Plan::of(&empty), Plan::Keep);
    }
}
