//! The first steps of a run: download, build, split into stages.

use api::duration::go_duration_string;
use std::{sync::Arc, time::Duration};

use api::{
    Kustomization,
    kustomization::{BuildMetadataOption, Selector, SubstituteStrategy},
    kustomize::{
        conditions::HEALTHY,
        reasons::{ARTIFACT_FAILED, BUILD_FAILED},
    },
};
use apply::{object::Manifest, order::stages, prepare::CommonMetadata, prune::Entry};
use artifact::{cache::CacheError, fetch::FetchError};
use kustomize::{
    Fetcher,
    flux::{ImageOverride, Overlay, PatchOverride, SelectorOverride},
    tree::{FileTree, Kind, MemoryTree},
};
use runtime::{conditions::is_true, controller::Outcome, patch::PatchError};
use substitute::Variables;

use super::unchanged::hash;
use super::{Basis, Failure, Phase, Run, Step};
use crate::{
    flags::STRICT_SUBSTITUTION,
    reconciler::{Reconciler, Slot},
    render::{Rendered, Request, render},
    status,
    subject::Subject,
    variables,
};

/// A download that takes longer than this is waited for without a worker.
const QUICK: Duration = Duration::from_millis(250);
/// How often a run looks after its download if nothing wakes it.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

impl Reconciler {
    /// Begins a run and carries it as far as it goes.
    pub(crate) async fn begin(
        &self,
        slot: &mut Slot,
        subject: &mut Subject,
        mut run: Run,
    ) -> Result<Outcome, PatchError> {
        run.was_healthy = is_true(status::listed(&subject.object), HEALTHY);
        for entry in &run.before {
            self.context.index.ensure(&entry.id.gvk(&entry.version));
        }
        let basis = slot.basis.take();
        if let Some(basis) = basis.as_ref().filter(|basis| basis.artifact == run.artifact.digest)
            && let Ok(variables) = self.variables(subject).await
            && let Some(step) = self.skip_build(slot, &mut run, basis, None, variables.as_ref()).await
        {
            return self.proceed(slot, subject, run, step).await;
        }
        run.basis = basis;
        let (artifacts, waker) = (self.context.artifacts.clone(), self.context.waker.clone());
        let (url, digest, key) = (run.artifact.url.clone(), run.artifact.digest.clone(), subject.reference());
        let mut download = Box::pin(async move { artifacts.get(&url, &digest).await });
        match tokio::time::timeout(QUICK, &mut download).await {
            Ok(result) => {
                let step = self.fetched(slot, subject, &mut run, result).await;
                self.proceed(slot, subject, run, step).await
            }
            Err(_) => {
                run.phase = Phase::Fetch(tokio::spawn(async move {
                    let result = download.await;
                    waker.wake(key);
                    result
                }));
                self.carry_on(slot, subject, run).await
            }
        }
    }

    /// Takes up a download that went on without us.
    pub(super) async fn fetch(
        &self,
        slot: &mut Slot,
        subject: &mut Subject,
        run: &mut Run,
        mut download: tokio::task::JoinHandle<Result<Arc<MemoryTree>, CacheError>>,
    ) -> Result<Step, PatchError> {
        match tokio::time::timeout(QUICK, &mut download).await {
            Ok(Ok(result)) => Ok(self.fetched(slot, subject, run, result).await),
            Ok(Err(panicked)) => Ok(Step::Fail(Failure::new(ARTIFACT_FAILED, panicked.to_string()))),
            Err(_) => {
                self.announce(subject, run).await?;
                Ok(Step::Wait(Phase::Fetch(download), LOOK_AGAIN))
            }
        }
    }

    async fn fetched(
        &self,
        slot: &mut Slot,
        subject: &mut Subject,
        run: &mut Run,
        result: Result<Arc<MemoryTree>, CacheError>,
    ) -> Step {
        let again = self.context.arguments.shared.requeue_dependency;
        let tree = match result {
            Ok(tree) => tree,
            Err(CacheError::Fetch(error)) if matches!(*error, FetchError::NotFound) => {
                let message = format!(
                    "Source is not ready, artifact not found, retrying in {}",
                    go_duration_string(again)
                );
                return Step::Absent(message);
            }
            Err(error) => return Step::Fail(Failure::new(ARTIFACT_FAILED, runtime::error::chain(&error))),
        };
        let path = artifact::path::confine(&subject.object.spec.path);
        if tree.kind(&path) == Kind::Absent {
            let message = format!("kustomization path not found: stat /{path}: no such file or directory");
            return Step::Fail(Failure::new(ARTIFACT_FAILED, message));
        }
        run.attempted = true;
        run.now("Building manifests", &go_duration_string(subject.timeout()));
        let variables = match self.variables(subject).await {
            Ok(variables) => variables,
            Err(message) => return Step::Fail(Failure::new(BUILD_FAILED, message)),
        };
        if let Some(basis) = run.basis.take()
            && let Some(step) = self.skip_build(slot, run, &basis, Some(&tree), variables.as_ref()).await
        {
            return step;
        }
        let hashed = hash(variables.as_ref());
        match self.build(subject, tree, path, variables).await {
            Ok(rendered) => {
                run.digest = rendered.digest;
                run.basis = rendered.trace.map(|trace| Basis {
                    artifact: run.artifact.digest.clone(),
                    trace: Arc::new(trace),
                    variables: hashed,
                    digest: run.digest.clone(),
                });
                run.vanishing = rendered.manifests.iter().filter(|m| vanishes(m)).map(Manifest::id).collect();
                rendered.manifests.iter().for_each(|m| drop(self.context.index.ensure(&m.gvk())));
                run.now("Detecting drift", &go_duration_string(subject.timeout()));
                let custom = &self.context.arguments.custom_apply_stage_kinds.0;
                let stages = stages(rendered.manifests, custom);
                let manifests = stages.iter().flat_map(|stage| &stage.manifests);
                run.desired = manifests.map(|m| Entry { id: m.id(), version: m.gvk().version }).collect();
                Step::Next(Phase::Apply(stages.into()))
            }
            Err(message) => Step::Fail(Failure::new(BUILD_FAILED, message)),
        }
    }

    /// The variables of the post-build substitution, if there is one.
    async fn variables(&self, subject: &Subject) -> Result<Option<Variables>, String> {
        let Some(post_build) = &subject.object.spec.post_build else { return Ok(None) };
        let variables = variables::load(&self.context.client, subject.namespace(), post_build).await?;
        let always = post_build.substitute_strategy == Some(SubstituteStrategy::Always);
        Ok(Some(variables).filter(|v| always || !v.is_empty()))
    }

    async fn build(
        &self,
        subject: &Subject,
        tree: Arc<MemoryTree>,
        path: String,
        variables: Option<Variables>,
    ) -> Result<Rendered, String> {
        let request = Request {
            tree,
            path,
            overlay: overlay(&subject.object),
            options: self.context.build.clone(),
            bases: self.context.bases.clone().map(|bases| bases as Arc<dyn Fetcher>),
            variables,
            strict: self.context.arguments.feature_gates.is_on(STRICT_SUBSTITUTION),
            owner: subject.owner(),
            common: common(&subject.object),
        };
        let limit = self.context.arguments.build_timeout;
        let building = tokio::task::spawn_blocking(move || render(request));
        match tokio::time::timeout(limit, building).await {
            Ok(Ok(result)) => result,
            Ok(Err(panicked)) => Err(format!("recovered from kustomize build panic: {panicked}")),
            Err(_) => Err(format!("kustomize build did not finish within {}", go_duration_string(limit))),
        }
    }
}

fn vanishes(manifest: &Manifest) -> bool {
    manifest.kind() == "Job" && manifest.value().pointer("/spec/ttlSecondsAfterFinished").is_some()
}

/// The fields of the spec that go into the root kustomization file.
fn overlay(object: &Kustomization) -> Overlay {
    let spec = &object.spec;
    let metadata = spec.build_metadata.iter().filter_map(|option| match option {
        BuildMetadataOption::OriginAnnotations => Some("originAnnotations".to_owned()),
        BuildMetadataOption::TransformerAnnotations => Some("transformerAnnotations".to_owned()),
        BuildMetadataOption::Unknown => None,
    });
    let images = spec.images.iter().map(|image| ImageOverride {
        name: image.name.clone(),
        new_name: text(&image.new_name),
        new_tag: text(&image.new_tag),
        digest: text(&image.digest),
    });
    let patches = spec.patches.iter().map(|patch| PatchOverride {
        patch: patch.patch.clone(),
        target: patch.target.as_ref().map(selector),
    });
    Overlay {
        patches: patches.collect(),
        images: images.collect(),
        target_namespace: spec.target_namespace.clone(),
        name_prefix: spec.name_prefix.clone(),
        name_suffix: spec.name_suffix.clone(),
        components: spec.components.clone(),
        ignore_missing_components: spec.ignore_missing_components,
        build_metadata: metadata.collect(),
    }
}

/// A selector in the words of the build engine.
pub(crate) fn selector(target: &Selector) -> SelectorOverride {
    SelectorOverride {
        group: text(&target.group),
        version: text(&target.version),
        kind: text(&target.kind),
        name: text(&target.name),
        namespace: text(&target.namespace),
        annotation_selector: text(&target.annotation_selector),
        label_selector: text(&target.label_selector),
    }
}

fn text(field: &Option<String>) -> String {
    field.clone().unwrap_or_default()
}

fn common(object: &Kustomization) -> CommonMetadata {
    let common = object.spec.common_metadata.clone().unwrap_or_default();
    CommonMetadata { labels: common.labels, annotations: common.annotations }
}
