//! The definitions of a chart, which are no part of its releases.

use std::collections::BTreeMap;
use std::time::Duration;

use helm::Crd;
use helm_release::ApplyMethod;
use serde_json::{Map, Value};

use crate::configuration::Configuration;
use crate::options::{Wait, creating, updating};
use crate::resources::{self, AdoptionError, BuildError, Joined, Resource, Updating};
use crate::steps::Step;
use crate::wait::{self, WaitError};

/// Longest wait until definitions are established.
const ESTABLISHED: Duration = Duration::from_secs(60);

/// What becomes of the definitions of a chart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CrdPolicy {
    /// Nothing.
    Skip,
    /// Those that are not there are created.
    #[default]
    Create,
    /// Those that are there become as they are in the chart, too.
    CreateReplace,
}

/// Why definitions were not applied.
#[derive(Debug, thiserror::Error)]
#[error("failed to apply CustomResourceDefinitions")]
pub struct CrdError(#[source] CrdFault);

/// What was wrong with definitions.
#[derive(Debug, thiserror::Error)]
enum CrdFault {
    #[error("failed to parse CustomResourceDefinitions from {file}")]
    Build {
        file: String,
        #[source]
        source: BuildError,
    },
    #[error(transparent)]
    Get(AdoptionError),
    #[error("failed to create CustomResourceDefinition {name}")]
    Create {
        name: String,
        #[source]
        source: Joined,
    },
    #[error("failed to update CustomResourceDefinition(s)")]
    Update(#[source] Joined),
    #[error("failed to wait for CustomResourceDefinition(s)")]
    Wait(#[source] WaitError),
}

impl Configuration {
    /// Applies the definitions of a chart with these labels, and waits until they are established. Whatever else is in its files is
    /// left out. They are never deleted.
    ///
    /// # Errors
    /// One cannot be applied or is not established in time. Nothing is stored of it.
    pub async fn apply_crds(
        &self,
        files: &[Crd],
        policy: CrdPolicy,
        method: ApplyMethod,
        labels: &BTreeMap<String, String>,
        wait: &Wait,
    ) -> Result<(), CrdError> {
        if policy == CrdPolicy::Skip || files.is_empty() {
            return Ok(());
        }
        let mut all = self.definitions(files, labels).await.map_err(CrdError)?;
        self.steps.tell(Step::Apply { count: all.len() });
        let applied = match policy {
            CrdPolicy::CreateReplace => self.replace_definitions(&mut all, method).await,
            CrdPolicy::Create | CrdPolicy::Skip => self.create_definitions(&mut all, method).await,
        };
        applied.map_err(CrdError)?;
        if all.is_empty() {
            return Ok(());
        }
        // Kinds may be served that were not before.
        self.mapper.invalidate();
        let wait = Wait { timeout: ESTABLISHED, ..wait.clone() };
        let established = wait::for_objects(self, all, &wait).await;
        established.map_err(|error| CrdError(CrdFault::Wait(error)))
    }

    async fn definitions(
        &self,
        files: &[Crd],
        labels: &BTreeMap<String, String>,
    ) -> Result<Vec<Resource>, CrdFault> {
        let mut all = Vec::new();
        for file in files {
            let text = String::from_utf8_lossy(&file.content);
            let built = resources::build(&self.mapper, "", &text).await;
            all.extend(built.map_err(|source| CrdFault::Build { file: file.name.clone(), source })?);
        }
        all.retain(|resource| {
            let is_definition =
                resource.id.group == "apiextensions.k8s.io" && resource.id.kind == "CustomResourceDefinition";
            if !is_definition {
                tracing::warn!(resource = %resource.id, "an object in crds/ is no definition, and is left out");
            }
            is_definition
        });
        all.iter_mut().for_each(|resource| label(&mut resource.object, labels));
        Ok(all)
    }

    /// Creates those that are not there, and keeps those in the list.
    async fn create_definitions(&self, all: &mut Vec<Resource>, method: ApplyMethod) -> Result<(), CrdFault> {
        let there = resources::existing(self, all).await.map_err(CrdFault::Get)?;
        let there = resources::by_id(&there);
        all.retain(|resource| !there.contains_key(&resource.id));
        for resource in all {
            let name = resource.id.name.clone();
            let created = resources::create_all(self, std::slice::from_mut(resource), creating(method)).await;
            created.map_err(|source| CrdFault::Create { name, source })?;
        }
        Ok(())
    }

    async fn replace_definitions(&self, all: &mut [Resource], method: ApplyMethod) -> Result<(), CrdFault> {
        let updating = Updating { method: updating(method, true), tells_created: false };
        resources::update_all(self, &[], all, updating).await.1.map_err(CrdFault::Update)
    }
}

fn label(object: &mut Value, labels: &BTreeMap<String, String>) {
    let Some(Value::Object(metadata)) = object.get_mut("metadata") else { return };
    let own = metadata.entry("labels").or_insert_with(|| Value::Object(Map::new()));
    if own.is_null() {
        *own = Value::Object(Map::new());
    }
    if let Value::Object(own) = own {
        own.extend(labels.iter().map(|(name, value)| (name.clone(), value.clone().into())));
    }
}
