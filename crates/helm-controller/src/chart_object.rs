//! The source object that `spec.chart` makes: written where it is not as wanted, deleted when another one is wanted or none.

use api::helm::actions::RECONCILE;
use api::helm::reasons::{
    HELM_CHART_CONFIGURED, HELM_CHART_CREATED, HELM_CHART_DELETED, HELM_CHART_SYNC_ERROR,
};
use api::helm::{FIELD_MANAGER, NAME_LABEL, NAMESPACE_LABEL};
use api::helm_release::ChartReference;
use api::{HelmChart, HelmRelease, OciRepository};
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use net::chain;
use references::{GetError, InvalidName, check_name, get};
use runtime::events::Severity;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::chart_template::{self, ChartObject};
use crate::obstacle::{Halt, Obstacle};
use crate::pass::Pass;
use crate::prerequisites::source_key;
use crate::source::denied;

/// What was done to a source object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    Created,
    Configured,
    Unchanged,
}

/// Why a source object is not as it should be.
#[derive(Debug, thiserror::Error)]
enum ChartObjectError {
    /// Its namespace cannot be one.
    #[error(transparent)]
    Namespace(#[from] InvalidName),
    /// It cannot be read.
    #[error(transparent)]
    Get(#[from] GetError),
    /// It is no JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// Another HelmRelease has made it: namespaces and names with a `-` can be the same together.
    #[error("{reference} is that of HelmRelease/{}/{}, whose namespace and name together are the same", .owner.0, .owner.1)]
    Taken {
        /// The source object.
        reference: ChartReference,
        /// Namespace and name of the other one.
        owner: (String, String),
    },
    /// The API server refuses to write or to delete it, or does not answer.
    #[error("{}", chain(.0.as_ref()))]
    Send(#[source] Box<kube::Error>),
}

impl From<kube::Error> for ChartObjectError {
    fn from(error: kube::Error) -> Self {
        Self::Send(Box::new(error))
    }
}

impl Pass<'_> {
    /// Brings the source object of `spec.chart` in order. Gives it, unless there is none or the watch shows that it is as it was left.
    ///
    /// # Errors
    /// It cannot be written, or may not be.
    pub(crate) async fn keep_chart_object(&mut self) -> Result<Option<DynamicObject>, Halt> {
        if let Some(obsolete) = chart_template::obsolete(&self.subject.object) {
            self.delete_chart_object(&obsolete).await?;
        }
        let built = chart_template::build(&self.subject.object);
        let Some((reference, object)) = built.map_err(|error| Obstacle::untold(error.to_string()))? else {
            return Ok(None);
        };
        if let Some(denied) = denied(&self.subject.object, &reference, self.context.arguments.access()) {
            return Err(Obstacle::untold(denied).into());
        }
        let generation = self.subject.object.metadata.generation;
        let shown = self.context.sources.ready(&source_key(&reference));
        let shown =
            shown.and_then(|known| known.source.resource_version).map(|version| (generation, version));
        if shown.is_some() && shown == self.slot.memory.chart_object {
            return Ok(None);
        }
        let written = match &object {
            ChartObject::HelmChart(chart) => self.write(chart.as_ref(), &reference).await,
            ChartObject::OciRepository(repository) => self.write(repository.as_ref(), &reference).await,
        };
        let (written, live) = match written {
            Ok(written) => written,
            Err(error @ ChartObjectError::Taken { .. }) => {
                let obstacle = Obstacle::retried(HELM_CHART_SYNC_ERROR, error.to_string());
                return Err(obstacle.told(RECONCILE, true).into());
            }
            Err(error) => {
                let message = format!("failed to run server-side apply: {error}");
                self.trace(HELM_CHART_SYNC_ERROR, &message);
                return Err(Obstacle::untold(message).into());
            }
        };
        let event = match written {
            Written::Created => Some((HELM_CHART_CREATED, "Created")),
            Written::Configured => Some((HELM_CHART_CONFIGURED, "Configured")),
            Written::Unchanged => None,
        };
        if let Some((reason, word)) = event {
            self.trace(reason, &chart_template::applied_text(word, &reference, &object));
        }
        helm_state::status(&mut self.subject.object).helm_chart = Some(reference.to_status());
        self.slot.memory.chart_object = live.resource_version().map(|version| (generation, version));
        Ok(Some(live))
    }

    /// Deletes a source object that was made for the release, if it still is there and ours.
    ///
    /// # Errors
    /// The API server refuses or does not answer.
    pub(crate) async fn delete_chart_object(&mut self, reference: &ChartReference) -> Result<(), Halt> {
        let deleted = match reference.kind.as_str() {
            "OCIRepository" => self.delete::<OciRepository>(reference).await,
            _ => self.delete::<HelmChart>(reference).await,
        };
        match deleted {
            Ok(true) => self.trace(HELM_CHART_DELETED, &chart_template::deleted_text(reference)),
            Ok(false) => {}
            Err(error) => {
                let (kind, name) = (&reference.kind, reference.to_status());
                let message = format!("failed to delete {kind} '{name}': {error}");
                return Err(Obstacle::untold(message).into());
            }
        }
        helm_state::status(&mut self.subject.object).helm_chart = None;
        Ok(())
    }

    async fn write<K>(
        &self,
        object: &K,
        reference: &ChartReference,
    ) -> Result<(Written, DynamicObject), ChartObjectError>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
        K: Clone + std::fmt::Debug + Serialize + DeserializeOwned,
    {
        check_name(&reference.namespace)?;
        let api: Api<K> = Api::namespaced(self.context.client.clone(), &reference.namespace);
        let live = match get(&api, &reference.name).await {
            Ok(live) => Some(live),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error.into()),
        };
        if let Some(owner) = live.as_ref().and_then(owner) {
            self.check_owner(owner, reference).await?;
        }
        let wanted = serde_json::to_value(object)?;
        let live = live.as_ref().map(serde_json::to_value).transpose()?;
        let written = match live {
            Some(live) if is_as_wanted(&wanted, &live) => {
                return Ok((Written::Unchanged, serde_json::from_value(live)?));
            }
            Some(_) => Written::Configured,
            None => Written::Created,
        };
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let patched = api.patch(&reference.name, &params, &Patch::Apply(&wanted)).await?;
        Ok((written, serde_json::from_value(serde_json::to_value(patched)?)?))
    }

    /// A source object that another HelmRelease has made and still wants is not replaced.
    async fn check_owner(
        &self,
        owner: (String, String),
        reference: &ChartReference,
    ) -> Result<(), ChartObjectError> {
        if (owner.0.as_str(), owner.1.as_str()) == (self.subject.namespace(), self.subject.name()) {
            return Ok(());
        }
        match self.helm_release(&owner).await {
            Ok(other) if wants(&other, reference) => {
                Err(ChartObjectError::Taken { reference: reference.clone(), owner })
            }
            Ok(_) | Err(GetError::Name(_)) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether it was deleted. One that says to be of another HelmRelease stays: a status can be edited.
    async fn delete<K>(&self, reference: &ChartReference) -> Result<bool, ChartObjectError>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
        K: Clone + std::fmt::Debug + DeserializeOwned,
    {
        if check_name(&reference.namespace).is_err() {
            return Ok(false);
        }
        let api: Api<K> = Api::namespaced(self.context.client.clone(), &reference.namespace);
        let live = match get(&api, &reference.name).await {
            Ok(live) => live,
            Err(GetError::Name(_)) => return Ok(false),
            Err(error) if error.is_not_found() => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let own = (self.subject.namespace().to_owned(), self.subject.name().to_owned());
        if owner(&live) != Some(own) {
            return Ok(false);
        }
        match api.delete(&reference.name, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
            Err(error) => Err(error.into()),
            Ok(_) => Ok(true),
        }
    }

    /// Tells of something in the cluster alone.
    fn trace(&self, reason: &'static str, message: &str) {
        self.subject.event(&self.context.events, Severity::Trace, RECONCILE, reason, message);
    }
}

/// Namespace and name of the HelmRelease that an object says to be of.
fn owner(object: &impl ResourceExt) -> Option<(String, String)> {
    let labels = object.labels();
    Some((labels.get(NAMESPACE_LABEL)?.clone(), labels.get(NAME_LABEL)?.clone()))
}

/// Whether a HelmRelease goes on with this source object.
fn wants(release: &HelmRelease, reference: &ChartReference) -> bool {
    release.metadata.deletion_timestamp.is_none()
        && release.chart_template_reference().as_ref() == Some(reference)
}

/// Whether the spec is the wanted one, and all labels and annotations are there.
fn is_as_wanted(wanted: &Value, live: &Value) -> bool {
    let has_all = |pointer: &str| {
        let wanted = wanted.pointer(pointer).and_then(Value::as_object).into_iter().flatten();
        wanted
            .into_iter()
            .all(|(key, value)| live.pointer(pointer).and_then(|live| live.get(key)) == Some(value))
    };
    wanted.get("spec") == live.get("spec") && has_all("/metadata/labels") && has_all("/metadata/annotations")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_source_is_wanted_by_who_has_it_in_its_template() {
        let release = |namespace: &str, name: &str, spec: Value| {
            let spec = json!({"interval": "1m", "chart": spec["chart"], "chartRef": spec["chartRef"]});
            let metadata = json!({"namespace": namespace, "name": name});
            serde_json::from_value::<HelmRelease>(json!({"metadata": metadata, "spec": spec})).unwrap()
        };
        let source = |namespace| json!({"kind": "GitRepository", "name": "g", "namespace": namespace});
        let template = |namespace| json!({"chart": {"spec": {"chart": "c", "sourceRef": source(namespace)}}});
        let taken = release("team", "a-b", template("shared")).chart_template_reference().unwrap();
        let mut other = release("team-a", "b", template("shared"));
        assert!(wants(&other, &taken));
        other.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        assert!(!wants(&other, &taken), "it goes");
        for spec in [template("elsewhere"), json!({"chartRef": {"kind": "HelmChart", "name": "x"}})] {
            assert!(!wants(&release("team-a", "b", spec), &taken));
        }
        let error = ChartObjectError::Taken { reference: taken, owner: ("team-a".into(), "b".into()) };
        assert_eq!(
            error.to_string(),
            "HelmChart/shared/team-a-b is that of HelmRelease/team-a/b, whose namespace and name together are the same"
        );
    }

    #[test]
    fn what_others_add_to_the_metadata_is_no_difference() {
        let wanted = json!({"metadata": {"labels": {"a": "1"}}, "spec": {"chart": "app"}});
        let live = json!({"metadata": {"labels": {"a": "1", "b": "2"}, "annotations": {"c": "3"}}, "spec": {"chart": "app"}});
        assert!(is_as_wanted(&wanted, &live));
        assert!(!is_as_wanted(&live, &wanted));
        let other = json!({"metadata": {"labels": {"a": "1"}}, "spec": {"chart": "app", "suspend": true}});
        assert!(!is_as_wanted(&wanted, &other));
    }
}
