//! What the service account of a Deployment has to be allowed.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::{Api, api::PostParams};

use super::{Preflight, PreflightError, flux::FluxDeployment, read};
use crate::flags::Flags;

/// A right that a controller needs: verb, group, resource with its subresource behind a slash.
pub type Right = (&'static str, &'static str, &'static str);

/// To store events, and to count those that come again.
pub const EVENT_RIGHTS: [Right; 2] = [("create", "", "events"), ("patch", "", "events")];

/// To lead, in the namespace of the controller.
pub const LEASE_RIGHTS: [Right; 3] = [
    ("get", "coordination.k8s.io", "leases"),
    ("create", "coordination.k8s.io", "leases"),
    ("update", "coordination.k8s.io", "leases"),
];

impl Preflight {
    /// Tells which of these rights the Deployment lacks where its objects are. Nothing is told if Flux has none.
    ///
    /// # Errors
    /// When the API server refuses or does not answer.
    pub async fn require(&mut self, rights: &[Right]) -> Result<(), PreflightError> {
        self.require_in(self.scope.namespace.clone(), rights).await
    }

    /// The same for what all controllers need.
    pub(super) async fn require_shared(&mut self, flags: &Flags) -> Result<(), PreflightError> {
        self.require(&EVENT_RIGHTS).await?;
        if flags.leader.enable_leader_election {
            self.require_in(Some(flags.runtime_namespace.clone()), &LEASE_RIGHTS).await?;
        }
        Ok(())
    }

    /// In one namespace, or in all.
    async fn require_in(
        &mut self,
        namespace: Option<String>,
        rights: &[Right],
    ) -> Result<(), PreflightError> {
        let Some(deployment) = &self.deployment else { return Ok(()) };
        let FluxDeployment { namespace: own, object, account } = deployment;
        let (own, object, account) = (own.clone(), object.clone(), account.clone());
        let reviews: Api<SubjectAccessReview> = Api::all(self.client.clone());
        for right in rights {
            let review = review(&own, &account, namespace.as_deref(), right);
            let answer = reviews.create(&PostParams::default(), &review).await;
            let answer = answer.map_err(|source| read(&format!("the rights of {account}"), source))?;
            if !answer.status.is_some_and(|status| status.allowed) {
                let (verb, group, resource) = right;
                let group = if group.is_empty() { String::new() } else { format!(" of {group}") };
                let problem = format!("ServiceAccount/{account} may not {verb} {resource}{group}");
                self.find(Some(own.clone()), object.clone(), problem);
            }
        }
        Ok(())
    }
}

/// The question whether a service account of the namespace `own` has a right, in one namespace or in all.
fn review(own: &str, account: &str, namespace: Option<&str>, right: &Right) -> SubjectAccessReview {
    let (verb, group, resource) = right;
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let attributes = ResourceAttributes {
        verb: Some((*verb).to_owned()),
        group: Some((*group).to_owned()),
        resource: Some(resource.to_owned()),
        subresource: Some(subresource.to_owned()),
        namespace: namespace.map(str::to_owned),
        ..ResourceAttributes::default()
    };
    // As the API server does for whoever shows a token of the account.
    let groups = [
        "system:serviceaccounts".to_owned(),
        format!("system:serviceaccounts:{own}"),
        "system:authenticated".to_owned(),
    ];
    let spec = SubjectAccessReviewSpec {
        user: Some(format!("system:serviceaccount:{own}:{account}")),
        groups: Some(groups.to_vec()),
        resource_attributes: Some(attributes),
        ..SubjectAccessReviewSpec::default()
    };
    SubjectAccessReview { spec, ..SubjectAccessReview::default() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_service_account_is_asked_about_with_all_its_groups() {
        let spec = review("flux", "me", Some("tenant"), &("patch", "g.io", "things/status")).spec;
        assert_eq!(spec.user.unwrap(), "system:serviceaccount:flux:me");
        let groups = ["system:serviceaccounts", "system:serviceaccounts:flux", "system:authenticated"];
        assert_eq!(spec.groups.unwrap(), groups);
        let attributes = spec.resource_attributes.unwrap();
        let asked = [attributes.resource, attributes.subresource, attributes.namespace].map(Option::unwrap);
        assert_eq!(asked, ["things", "status", "tenant"]);
        let all = review("flux", "me", None, &("list", "", "secrets")).spec.resource_attributes.unwrap();
        assert_eq!(all.namespace, None);
    }
}
