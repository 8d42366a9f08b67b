//! Whether objects of a release are still as it wants them, and how they become so again.
//!
//! An object has drifted if a server-side apply would change it, as a dry-run tells. It is set back by a JSON patch of what has
//! changed, so that the fields that others own stay theirs.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use apply::drift::Reading;
use apply::error::{ObjectError, RequestError};
use apply::ignore::{Rules, Target};
use apply::object::ObjectId;
use apply::order;
use apply::ownership::{last_foreign_manager, takeover_patch};
use futures::FutureExt;
use futures::future::join_all;
use helm_release::Release;
use json_patch::PatchOperation;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Map, Value};
use tokio::time::{Instant, sleep_until};

use crate::configuration::Configuration;
use crate::resources::{self, BuildError, Metadata, Resource};

/// What is looked at.
#[derive(Clone, Default)]
pub struct DriftOptions {
    /// Fields that are left to others.
    pub ignore: Rules,
    /// Objects that are left to others as a whole, where one of these says so.
    pub excluded: Vec<Target>,
    /// Field managers whose fields are taken from them before an object is looked at.
    pub override_managers: Vec<String>,
    /// Objects that are known to stand so, and are not asked for.
    pub known: HashMap<ObjectId, Difference>,
}

/// How an object stands to what the release wants.
#[derive(Clone, Debug, PartialEq)]
pub enum Difference {
    /// It is as wanted.
    None,
    /// It is not there.
    Removed,
    /// It is left to others.
    Excluded,
    /// It is to be changed so.
    Changed(json_patch::Patch),
}

/// An object of the release.
pub struct Drift {
    resource: Resource,
    /// How it stands.
    pub difference: Difference,
    /// The object as it was then, if it was asked for and is there.
    pub live: Option<Live>,
}

/// What is told of an object that is there.
#[derive(Clone, Debug)]
pub struct Live {
    /// How it was left.
    pub reading: Reading,
    /// Who else wrote last to it.
    pub other_manager: Option<String>,
}

/// What was found, and what could not be told.
#[derive(Default)]
pub struct Diff {
    /// The objects, in the order of the manifest.
    pub objects: Vec<Drift>,
    /// Those of which it cannot be told.
    pub errors: Vec<DiffError>,
}

/// Why it cannot be told how objects stand.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// Which objects a document of the manifest has is not known, for one because their kind is not served.
    #[error(transparent)]
    Document(#[from] BuildError),
    /// The API server does not say how an object is.
    #[error(transparent)]
    Object(#[from] ObjectError),
}

/// What a correction did to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corrected {
    /// It was not there.
    Created,
    /// It was set back.
    Configured,
}

/// Why an object is not corrected, in the words of Go.
#[derive(Debug, thiserror::Error)]
enum CorrectError {
    #[error(transparent)]
    Request(RequestError),
    #[error("context deadline exceeded")]
    Deadline,
    #[error("context canceled")]
    Canceled,
}

/// What a correction did.
#[derive(Debug, Default)]
pub struct Correction {
    /// The objects that are as wanted now.
    pub corrected: Vec<(ObjectId, Corrected)>,
    /// Those that are not, in the words of Flux.
    pub failures: Vec<String>,
}

impl Drift {
    /// Which object it is.
    pub fn id(&self) -> &ObjectId {
        &self.resource.id
    }

    /// Whether it removes itself when it is done.
    pub fn vanishes(&self) -> bool {
        let object = &self.resource.object;
        self.resource.id.kind == "Job" && object.pointer("/spec/ttlSecondsAfterFinished").is_some()
    }
}

impl fmt::Debug for Drift {
    /// The content may be a Secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Drift").field(&self.resource.id).finish()
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = &self.resource.id;
        match &self.difference {
            Difference::None => write!(f, "{id} unchanged"),
            Difference::Removed => write!(f, "{id} removed"),
            Difference::Excluded => write!(f, "{id} excluded"),
            Difference::Changed(patch) => {
                let (mut added, mut changed, mut removed) = (0, 0, 0);
                for operation in &patch.0 {
                    match operation {
                        PatchOperation::Add(_) => added += 1,
                        PatchOperation::Remove(_) => removed += 1,
                        _ => changed += 1,
                    }
                }
                write!(f, "{id} changed ({added} additions, {changed} changes, {removed} removals)")
            }
        }
    }
}

impl Diff {
    /// Whether anything is to be corrected.
    pub fn has_changes(&self) -> bool {
        self.changes() > 0
    }

    /// How many objects are to be corrected.
    pub fn changes(&self) -> usize {
        let is_change =
            |drift: &&Drift| matches!(drift.difference, Difference::Removed | Difference::Changed(_));
        self.objects.iter().filter(is_change).count()
    }

    /// A line for each object that is not as wanted, or is left to others.
    pub fn summary(&self) -> String {
        let told = self.objects.iter().filter(|drift| drift.difference != Difference::None);
        told.map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    /// How many there are of each, such as `removed: 1, changed: 3, excluded: 1`.
    pub fn brief(&self) -> String {
        let count = |is: fn(&Difference) -> bool| self.objects.iter().filter(|d| is(&d.difference)).count();
        let removed = count(|difference| matches!(difference, Difference::Removed));
        let changed = count(|difference| matches!(difference, Difference::Changed(_)));
        let excluded = count(|difference| matches!(difference, Difference::Excluded));
        format!("removed: {removed}, changed: {changed}, excluded: {excluded}")
    }
}

impl Correction {
    /// A line for each object that was corrected.
    pub fn summary(&self) -> String {
        let line = |(id, corrected): &(ObjectId, Corrected)| match corrected {
            Corrected::Created => format!("{id} created"),
            Corrected::Configured => format!("{id} configured"),
        };
        self.corrected.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

impl Configuration {
    /// Compares the objects of a release with what it wants. One of which nothing can be told does not keep others from being compared.
    pub async fn diff(&self, release: &Release, options: &DriftOptions) -> Diff {
        let mut diff = Diff::default();
        let mut all = self.objects(release, &mut diff.errors).await;
        let metadata = Metadata { name: &release.name, namespace: &release.namespace };
        all.iter_mut().for_each(|resource| metadata.mark(&mut resource.object));
        let compared = all.iter().map(|resource| self.difference(resource, options).boxed()).collect();
        let compared = self.side_by_side(compared).await;
        for (resource, difference) in all.into_iter().zip(compared) {
            match difference {
                Ok((difference, live)) => diff.objects.push(Drift { resource, difference, live }),
                Err(error) => {
                    let error = self.masked(error, &resource.object);
                    diff.errors.push(ObjectError::dry_run(resource.id.clone(), None, error).into());
                }
            }
        }
        diff
    }

    /// The objects of a release; those of each document by themselves where not all can be told.
    async fn objects(&self, release: &Release, errors: &mut Vec<DiffError>) -> Vec<Resource> {
        let Release { namespace, manifest, .. } = release;
        if let Ok(all) = resources::build(&self.mapper, namespace, manifest).await {
            return all;
        }
        let documents = helm::manifests::split(manifest);
        // All at once: what is not served is asked for once.
        let built = documents.into_iter().map(|document| resources::build(&self.mapper, namespace, document));
        let mut objects = Vec::new();
        for built in join_all(built).await {
            match built {
                Ok(of_document) => objects.extend(of_document),
                Err(error) => errors.push(error.into()),
            }
        }
        objects
    }

    async fn difference(
        &self,
        resource: &Resource,
        options: &DriftOptions,
    ) -> Result<(Difference, Option<Live>), RequestError> {
        if let Some(known) = options.known.get(&resource.id) {
            return Ok((known.clone(), None));
        }
        let desired = &resource.object;
        if self.is_left_alone(desired) || options.excluded.iter().any(|is_excluded| is_excluded(desired)) {
            return Ok((Difference::Excluded, None));
        }
        let requests = self.requests();
        let Some(mut live) = requests.get(&resource.target()).await? else {
            return Ok((Difference::Removed, None));
        };
        if self.is_left_alone(&live) {
            return Ok((Difference::Excluded, Some(self.told(&live))));
        }
        if let Some(patch) = takeover_patch(&live, &self.manager, &options.override_managers)
            && let Ok(operations) = serde_json::from_value(patch)
        {
            live = requests.patch(&resource.target(), &self.patching(), &Patch::Json(operations)).await?;
        }
        let params = PatchParams { dry_run: true, force: true, ..self.patching() };
        let answer = requests.patch(&resource.target(), &params, &Patch::Apply(desired.clone())).await?;
        let ignored = options.ignore.of(desired);
        let patch = patch(&ignored.strip(&live), &ignored.strip(&answer));
        let difference = if patch.0.is_empty() { Difference::None } else { Difference::Changed(patch) };
        Ok((difference, Some(self.told(&live))))
    }

    fn told(&self, live: &Value) -> Live {
        let other_manager = last_foreign_manager(live, &self.manager).map(str::to_owned);
        Live { reading: Reading::of(live, &self.manager), other_manager }
    }

    /// Sets objects back to what the release wants: those that are not there first, definitions and namespaces before others. It ends
    /// when the time is over or somebody wants it to; the objects that are left have failed then.
    pub async fn correct(&self, diff: &Diff, timeout: Duration) -> Correction {
        let deadline = Instant::now() + timeout;
        let mut order: Vec<&Drift> = diff.objects.iter().collect();
        order.sort_by(|a, b| order::compare(a.id(), b.id()));
        let mut correction = Correction::default();
        let requests = self.requests();
        for drift in order.iter().filter(|drift| drift.difference == Difference::Removed) {
            let resource = &drift.resource;
            let field_manager = Some(self.manager.field_manager.to_owned());
            let params = PostParams { field_manager, ..PostParams::default() };
            let target = resource.target();
            let created = self.until(deadline, requests.create(&target, &params, &resource.object)).await;
            correction.add(self, resource, created, Corrected::Created);
        }
        for drift in order {
            if let Difference::Changed(patch) = &drift.difference {
                let patch = Patch::Json(patch.clone());
                let (resource, params) = (&drift.resource, self.patching());
                let target = resource.target();
                let patched = self.until(deadline, requests.patch(&target, &params, &patch)).await;
                correction.add(self, resource, patched, Corrected::Configured);
            }
        }
        correction
    }

    /// What a request gives, unless it has to end before.
    async fn until(
        &self,
        deadline: Instant,
        request: impl Future<Output = Result<Value, RequestError>>,
    ) -> Result<Value, CorrectError> {
        tokio::select! {
            biased;
            () = self.stop.shutdown.cancelled() => Err(CorrectError::Canceled),
            () = self.stop.interrupt.cancelled() => Err(CorrectError::Canceled),
            () = sleep_until(deadline) => Err(CorrectError::Deadline),
            answer = request => answer.map_err(CorrectError::Request),
        }
    }

    fn patching(&self) -> PatchParams {
        let field_manager = Some(self.manager.field_manager.to_owned());
        PatchParams { field_manager, ..PatchParams::default() }
    }

    /// Whether a label or annotation of an object says that it is left to others.
    fn is_left_alone(&self, object: &Value) -> bool {
        let key = format!("{}/driftDetection", self.manager.group);
        ["labels", "annotations"].into_iter().any(|field| {
            let map = object.pointer("/metadata").and_then(|metadata| metadata.get(field));
            map.and_then(|map| map.get(&key)).and_then(Value::as_str) == Some("disabled")
        })
    }
}

impl Correction {
    fn add(
        &mut self,
        configuration: &Configuration,
        resource: &Resource,
        answer: Result<Value, CorrectError>,
        corrected: Corrected,
    ) {
        let id = &resource.id;
        let Err(error) = answer else {
            self.corrected.push((id.clone(), corrected));
            return;
        };
        let step = if corrected == Corrected::Created { "creation" } else { "patch" };
        let error = match error {
            CorrectError::Request(error) => configuration.masked(error, &resource.object),
            ended => {
                self.failures.push(format!("{id} {step} failure: {ended}"));
                return;
            }
        };
        let text = error.to_string();
        // What is refused of a Secret may quote more of it than its values.
        let is_secret = id.group.is_empty() && id.kind == "Secret";
        let is_refused = error.status().is_some_and(|status| status.reason == "Invalid");
        let text = match text.rsplit_once(':') {
            Some((_, reason)) if is_secret && is_refused => reason.trim(),
            _ => &text,
        };
        self.failures.push(format!("{id} {step} failure: {text}"));
    }
}

/// What makes the live object the wanted one. Labels and annotations that others have added are none of it, nor is the status.
fn patch(live: &Value, wanted: &Value) -> json_patch::Patch {
    let (from, to) = (content(live, false), content(wanted, false));
    let mut patch = json_patch::diff(&content(live, true), &content(wanted, true));
    patch.0.retain(|operation| !matches!(operation, PatchOperation::Remove(_)));
    patch.0.extend(json_patch::diff(&from, &to).0);
    patch
}

/// The labels and annotations of an object, or everything else but the status.
fn content(object: &Value, is_metadata: bool) -> Value {
    let mut fields = Map::new();
    for (name, value) in object.as_object().into_iter().flatten() {
        match (name.as_str(), is_metadata) {
            ("metadata", true) => {
                let of = value.as_object().into_iter().flatten();
                let kept = of.filter(|(name, _)| matches!(name.as_str(), "name" | "labels" | "annotations"));
                let kept: Map<String, Value> = kept.map(|(name, map)| (name.clone(), map.clone())).collect();
                fields.insert(name.clone(), kept.into());
            }
            ("metadata" | "status", _) | (_, true) => {}
            (_, false) => drop(fields.insert(name.clone(), value.clone())),
        }
    }
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_others_added_to_the_metadata_and_the_status_are_no_drift() {
        let live = json!({"metadata": {"name": "a", "labels": {"a": "1", "theirs": "x"}, "uid": "u"}, "data": {"k": "v"}, "status": {"x": 1}});
        let wanted = json!({"metadata": {"name": "a", "labels": {"a": "1"}}, "data": {"k": "v"}});
        assert!(patch(&live, &wanted).0.is_empty());
        let wanted = json!({"metadata": {"name": "a", "labels": {"a": "2"}, "annotations": {"b": "1"}}, "data": {"n": "w"}});
        let patch = serde_json::to_value(patch(&live, &wanted)).unwrap_or_default();
        let paths: Vec<&str> =
            patch.as_array().into_iter().flatten().filter_map(|o| o.get("path")?.as_str()).collect();
        assert_eq!(paths.len(), 4, "{patch}");
        for path in ["/metadata/labels/a", "/metadata/annotations", "/data/k", "/data/n"] {
            assert!(paths.contains(&path), "{path}: {patch}");
        }
    }
}
