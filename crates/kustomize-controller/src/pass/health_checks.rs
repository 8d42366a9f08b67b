//! The objects that `spec.healthChecks` names.

use apply::object::{ObjectId, split_api_version};
use kube::{Api, api::DynamicObject, core::GroupVersionKind};
use references::check_name;

use super::Pass;
use crate::{
    health::{Awaited, Observation, Polled},
    run::{Failure, effects::HealthCheckError},
};

/// Whether the identity that applies may read an object.
#[derive(Debug, PartialEq, Eq)]
enum Sight {
    /// The API server gave it, or said that there is none.
    Allowed,
    /// It does not say: the kind is not served, or the request failed.
    Unknown,
    /// It may not, in the API server's words.
    Denied(String),
}

impl Sight {
    /// What the answer to a read in that identity tells.
    fn of(answer: Result<(), kube::Error>) -> Self {
        match answer {
            Ok(()) => Self::Allowed,
            Err(kube::Error::Api(status)) if status.code == 404 => Self::Allowed,
            Err(kube::Error::Api(status)) if status.code == 403 => Self::Denied(status.message.clone()),
            Err(_) => Self::Unknown,
        }
    }
}

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
            let observed = match self.may_see(&id, &gvk).await.map_err(HealthCheckError::Run)? {
                Sight::Allowed => {
                    let watch = self.cluster.index.watch_object(&gvk, &id.namespace, &id.name, &owner);
                    Observation::Watched(watch)
                }
                Sight::Unknown => Observation::Polled,
                Sight::Denied(reason) => {
                    let line = format!("{} status: 'Unknown': {reason}", id.subject());
                    return Err(HealthCheckError::Unknowable(line));
                }
            };
            let polled = Polled::default();
            awaited.push(Awaited { id, gvk, not_before: None, may_vanish: false, observed, polled });
        }
        Ok(awaited)
    }

    /// Whether the identity that applies may read the object: the watch is the controller's own, and what it shows of
    /// another tenant's object must not reach a status that its author can read.
    async fn may_see(&self, id: &ObjectId, gvk: &GroupVersionKind) -> Result<Sight, Failure> {
        let namespace = if id.namespace.is_empty() { Ok(()) } else { check_name(&id.namespace) };
        if let Err(error) = check_name(&id.name).and(namespace) {
            return Ok(Sight::Denied(error.to_string()));
        }
        let Ok(mapped) = self.cluster.mapper.resolve(gvk).await else { return Ok(Sight::Unknown) };
        let client = self.identity()?;
        let api: Api<DynamicObject> = if mapped.namespaced {
            Api::namespaced_with(client, &id.namespace, &mapped.resource)
        } else {
            Api::all_with(client, &mapped.resource)
        };
        Ok(Sight::of(api.get_metadata(&id.name).await.map(drop)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    #[test]
    fn sight_is_allowed_only_by_what_the_api_server_gave_or_does_not_have() {
        let status = |code| {
            let status = Status::failure("why", "Reason").with_code(code);
            Err(kube::Error::Api(Box::new(status)))
        };
        assert_eq!(Sight::of(Ok(())), Sight::Allowed);
        assert_eq!(Sight::of(status(404)), Sight::Allowed);
        assert_eq!(Sight::of(status(403)), Sight::Denied("why".into()));
        for code in [401, 429, 500, 503, 504] {
            assert_eq!(Sight::of(status(code)), Sight::Unknown, "{code}");
        }
        assert_eq!(Sight::of(Err(kube::Error::TlsRequired)), Sight::Unknown);
    }
}
