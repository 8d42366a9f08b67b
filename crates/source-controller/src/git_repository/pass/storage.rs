//! What a pass does to the stored artifacts of its object.

use api::meta::FINALIZER;
use artifact::store::StoreError;
use jiff::Timestamp;
use kube::ResourceExt;
use runtime::controller;
use runtime::events::Severity;
use runtime::patch::{self, PatchError};

use super::super::failure::{Broken, Failure, reason};
use super::super::storage::Verdict;
use super::super::{caches, status};
use super::Pass;
use crate::NAME;

impl Pass<'_> {
    /// Collects garbage and looks whether the artifact of the status is still there, unharmed. `false` without one.
    pub(super) async fn check_storage(&mut self) -> Result<bool, Broken> {
        let Some(mut artifact) = self.artifact().cloned() else {
            status::artifact_missing(&mut self.object, false, Timestamp::now());
            return Ok(false);
        };
        let (shelf, current) = (self.shelf.clone(), artifact.clone());
        let (removed, verdict) = self.blocking(None, move |_| Ok(shelf.inspect(&current))).await?;
        if removed > 0 {
            let message = format!("garbage collected {removed} artifacts");
            self.trace(reason::GARBAGE_COLLECTION_SUCCEEDED, message);
        }
        match verdict {
            Verdict::Good | Verdict::Outdated => {
                self.outdated = matches!(verdict, Verdict::Outdated);
                artifact.url = self.shelf.store.url(&artifact.path);
                self.object.status.get_or_insert_default().artifact = Some(artifact);
                return Ok(true);
            }
            Verdict::Damaged(why, removed) => {
                let message = format!("failed to verify integrity of artifact: {why}");
                tracing::warn!("{message}");
                self.record(Severity::Error, reason::ARTIFACT_VERIFICATION_FAILED, message);
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

    /// Removes what there is of an object that goes, then lets it go.
    pub(super) async fn delete(&mut self) -> Result<controller::Outcome, PatchError> {
        if !self.object.finalizers().iter().any(|f| f == FINALIZER) {
            return Ok(controller::Outcome::Wait);
        }
        self.controller.background.cancel(&self.source()).await;
        let (shelf, caches, owner) =
            (self.shelf.clone(), self.controller.fetcher.caches.clone(), caches::owner(&self.source()));
        let cleaned = self.blocking(None, move |_| {
            let failed =
                |source| StoreError::Io { step: "remove object cache of", path: owner.clone(), source };
            let released = caches.release(&owner).map_err(failed);
            released.and_then(|()| shelf.clear()).map_err(|error| {
                let why = runtime::error::chain(&error);
                let message = format!("garbage collection for deleted resource failed: {why}");
                Failure::plain(reason::GARBAGE_COLLECTION_FAILED, message)
            })
        });
        match cleaned.await {
            Ok(true) => {
                let message = "garbage collected artifacts for deleted resource";
                self.trace(reason::GARBAGE_COLLECTION_SUCCEEDED, message.to_owned());
            }
            Ok(false) => {}
            Err(Broken::Failure(failure)) => {
                self.record(Severity::Error, failure.reason, failure.message.clone());
                return Ok(controller::Outcome::Failed(Box::new(failure)));
            }
            Err(Broken::Gone(error)) => return Err(error),
            Err(Broken::Stopped | Broken::Underway) => return Ok(controller::Outcome::Wait),
        }
        match patch::finalizer(&self.api, &self.object, FINALIZER, false, NAME).await {
            Err(error) if !error.is_gone() => Err(error),
            _ => Ok(controller::Outcome::Wait),
        }
    }
}
