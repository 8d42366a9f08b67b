//! What a pass does to the stored artifacts of its object.

use api::meta::FINALIZER;
use api::source::Source;
use artifact::store::StoreError;
use jiff::Timestamp;
use kube::ResourceExt;
use runtime::controller;
use runtime::events::{Severity, action};
use runtime::patch::{self, PatchError};

use super::Pass;
use crate::failure::{Failure, Interrupted, reason};
use crate::status;
use crate::storage::{ObjectStorage, Verdict};
use crate::upstream::Upstream;

impl<U: Upstream> Pass<'_, U> {
    /// Collects garbage and looks whether the artifact of the status is still there, unharmed. `false` without one.
    pub(super) async fn check_storage(&mut self) -> Result<bool, Interrupted> {
        let Some(mut artifact) = self.artifact().cloned() else {
            status::artifact_missing(&mut self.object, false, Timestamp::now());
            return Ok(false);
        };
        let (storage, current) = (self.storage.clone(), artifact.clone());
        let inspected = self.blocking(move |_| {
            let (removed, verdict) = storage.inspect(&current);
            let is_there = matches!(verdict, Verdict::Good | Verdict::Outdated);
            Ok((removed, verdict, is_there.then(|| link::<U>(&storage, &current.path)).flatten()))
        });
        let (removed, verdict, link) = inspected.await?;
        if removed > 0 {
            let message = format!("garbage collected {removed} artifacts");
            self.trace(action::GARBAGE_COLLECT, reason::GARBAGE_COLLECTION_SUCCEEDED, message);
        }
        match verdict {
            Verdict::Good | Verdict::Outdated => {
                self.outdated = matches!(verdict, Verdict::Outdated);
                artifact.url = self.storage.store.url(&artifact.path);
                *self.object.status_mut().artifact = Some(artifact);
                self.note_link(link);
                return Ok(true);
            }
            Verdict::Damaged(why, removed) => {
                let message = format!("failed to verify integrity of artifact: {why}");
                tracing::warn!("{message}");
                self.record(
                    Severity::Error,
                    action::RECONCILE_STORAGE,
                    reason::ARTIFACT_VERIFICATION_FAILED,
                    message,
                );
                removed.map_err(|error| {
                    let text = runtime::error::chain(&error);
                    Failure::plain(
                        reason::FAILED,
                        format!("failed to remove artifact after digest mismatch: {text}"),
                    )
                })?;
            }
            Verdict::Unknown(error) => {
                let why = runtime::error::chain(&error);
                let message = format!("failed to verify integrity of artifact: {why}");
                return Err(Failure::storage(reason::STAT_OPERATION_FAILED, message).into());
            }
            Verdict::Missing => {}
        }
        status::artifact_missing(&mut self.object, true, Timestamp::now());
        Ok(false)
    }

    /// Puts the address of the link to the current artifact into the status. Without it the artifact is as good as ever.
    pub(super) fn note_link(&mut self, link: Option<Result<String, StoreError>>) {
        match link {
            Some(Ok(link)) => {
                if let Some(url) = self.object.status_mut().url {
                    *url = Some(link);
                }
            }
            Some(Err(error)) => {
                let message =
                    format!("failed to update status URL symlink: {}", runtime::error::chain(&error));
                tracing::warn!("{message}");
                self.trace(action::RECONCILE_STORAGE, reason::SYMLINK_UPDATE_FAILED, message);
            }
            None => {}
        }
    }

    /// Nothing is to be done for the object any more: what there is of it goes, the status and the finalizer last. Suspended ones stay
    /// as they are.
    pub(super) async fn leave(&mut self) -> Result<controller::Outcome, PatchError> {
        let is_clean = self.object.conditions().is_empty() && self.object.artifact().is_none();
        let has_finalizer = self.object.finalizers().iter().any(|finalizer| finalizer == FINALIZER);
        if self.object.is_suspended() || (is_clean && !has_finalizer) {
            return Ok(controller::Outcome::Wait);
        }
        if !is_clean {
            let written = patch::clear_status(&self.api, &self.object, self.controller.manager).await?;
            self.adopt(written);
        }
        self.delete().await
    }

    /// Removes what there is of an object that goes, then lets it go.
    pub(super) async fn delete(&mut self) -> Result<controller::Outcome, PatchError> {
        if !self.object.finalizers().iter().any(|f| f == FINALIZER) {
            return Ok(controller::Outcome::Wait);
        }
        self.controller.cancel(&self.source()).await;
        let (storage, upstream, source) =
            (self.storage.clone(), self.controller.upstream.clone(), self.source());
        let cleaned = self.blocking(move |_| {
            upstream.release(&source).and_then(|()| storage.clear()).map_err(|error| {
                let why = runtime::error::chain(&error);
                let message = format!("garbage collection for deleted resource failed: {why}");
                Failure::plain(reason::GARBAGE_COLLECTION_FAILED, message)
            })
        });
        match cleaned.await {
            Ok(true) => {
                let message = "garbage collected artifacts for deleted resource";
                self.trace(action::FINALIZE, reason::GARBAGE_COLLECTION_SUCCEEDED, message.to_owned());
            }
            Ok(false) => {}
            Err(Interrupted::Failure(failure)) => {
                self.record(Severity::Error, action::FINALIZE, failure.reason, failure.message.clone());
                return Ok(controller::Outcome::Failed(Box::new(failure)));
            }
            Err(Interrupted::Gone(error)) => return Err(error),
            Err(Interrupted::Stopped | Interrupted::Underway) => return Ok(controller::Outcome::Wait),
        }
        match patch::finalizer(&self.api, &self.object, FINALIZER, false, self.controller.manager).await {
            Err(error) if !error.is_gone() => Err(error),
            _ => Ok(controller::Outcome::Wait),
        }
    }
}

/// Makes the link of the object lead to an artifact, for kinds that have one; gives its URL. Blocks.
pub(super) fn link<U: Upstream>(
    storage: &ObjectStorage,
    artifact: &str,
) -> Option<Result<String, StoreError>> {
    U::LINK.map(|name| storage.store.link(artifact, name))
}
