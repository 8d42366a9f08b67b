//! The objects that `spec.healthChecks` names.

use apply::object::{ObjectId, split_api_version};
use kube::{Api, api::DynamicObject, core::GroupVersionKind};
use references::check_name;

use super::Pass;
use crate::{
    health::{Awaited, Polled},
    run::{Failure, effects::HealthCheckError},
};

/// What the identity that applies may not read, in the API server's words.
struct Denied(String);

impl Pass<'_> {
    /// The objects that `spec.healthChecks` names, in the version that the cluster prefers, each watched.
    pub(super) async fn listed_health_checks(&self) -> Result<Vec<Awaited>, HealthCheckError> {
        let owner = self.subject.owner();
        let mut awaited = Vec::new();
        for check in &self.subject.object.spec.health_checks {
            let api_version = check.api_version.as_deref().filter(|v| !v.is_empty()).unwrap_or("apps/v1");
            let (group, version) = split_api_version(api_version);
            let id = ObjectId {
                group: group.to_owned(),
                kind: check.kind.clone(),
                namespace: check.namespace.clone().unwrap_or_default(),
                name: check.name.clone(),
            };
            if id.kind == "Kustomization"
                && (id.namespace.as_str(), id.name.as_str()) == (&owner.namespace, &owner.name)
            {
                continue;
            }
            let mapped = self.cluster.mapper.resolve_preferred(group, &check.kind).await;
            let gvk = id.gvk(mapped.as_ref().map_or(version, |m| &m.resource.version));
            if mapped.is_ok_and(|m| m.namespaced) && id.namespace.is_empty() {
                let line = format!("can't determine status for {}", id.subject());
                return Err(HealthCheckError::Unknowable(line));
            }
            let seen = self.may_see(&id, &gvk).await.map_err(HealthCheckError::Run)?;
            if let Err(Denied(reason)) = seen {
                let line = format!("{} status: 'Unknown': {reason}", id.subject());
                return Err(HealthCheckError::Unknowable(line));
            }
            let watch = self.cluster.index.watch_object(&gvk, &id.namespace, &id.name, &owner);
            awaited.push(Awaited {
                id,
                gvk,
                not_before: "".into(),
                may_vanish: false,
                watch: Some(watch),
                polled: Polled::default(),
            });
        }
        Ok(awaited)
    }

    /// Whether the identity that applies may read the object: the watch is the controller's own, and what it shows of
    /// another tenant's object must not reach a status that its author can read.
    async fn may_see(&self, id: &ObjectId, gvk: &GroupVersionKind) -> Result<Result<(), Denied>, Failure> {
        let namespace = if id.namespace.is_empty() { Ok(()) } else { check_name(&id.namespace) };
        if let Err(error) = check_name(&id.name).and(namespace) {
            return Ok(Err(Denied(error.to_string())));
        }
        let Ok(mapped) = self.cluster.mapper.resolve(gvk).await else { return Ok(Ok(())) };
        let client = self.identity()?;
        let api: Api<DynamicObject> = if mapped.namespaced {
            Api::namespaced_with(client, &id.namespace, &mapped.resource)
        } else {
            Api::all_with(client, &mapped.resource)
        };
        Ok(match api.get_metadata(&id.name).await {
            Err(kube::Error::Api(status)) if status.code == 403 => Err(Denied(status.message.clone())),
            // Whatever else is wrong, the watch meets it too.
            _ => Ok(()),
        })
    }
}
