//! What would not work if this controller took over the Kustomizations of a Flux cluster: what the runs themselves would refuse.

use api::{Kustomization, kustomize, source};
use apply::kstatus::custom::HealthRules;
use runtime::{
    error::chain,
    preflight::{Preflight, PreflightError, Right},
};

use crate::unsupported;

/// What the service account has to be allowed.
pub const RIGHTS: [Right; 16] = [
    ("list", kustomize::GROUP, "kustomizations"),
    ("watch", kustomize::GROUP, "kustomizations"),
    ("patch", kustomize::GROUP, "kustomizations"),
    ("patch", kustomize::GROUP, "kustomizations/status"),
    ("list", source::GROUP, "gitrepositories"),
    ("watch", source::GROUP, "gitrepositories"),
    ("list", source::GROUP, "ocirepositories"),
    ("watch", source::GROUP, "ocirepositories"),
    ("list", "", "configmaps"),
    ("watch", "", "configmaps"),
    ("get", "", "secrets"),
    ("list", "", "secrets"),
    ("watch", "", "secrets"),
    ("get", "", "serviceaccounts"),
    ("impersonate", "", "serviceaccounts"),
    ("create", "", "events"),
];

/// Looks at the Kustomizations.
///
/// # Errors
/// When the API server does not tell.
pub async fn look(preflight: &mut Preflight) -> Result<(), PreflightError> {
    preflight
        .look_at::<Kustomization>(|object| {
            let fields = unsupported::fields(&object.spec).map(unsupported::message);
            let expressions = HealthRules::new(&object.spec.health_check_exprs, false).err();
            let expressions = expressions.map(|error| chain(&error));
            fields.chain(unsupported::excess(&object.spec)).chain(expressions).collect()
        })
        .await
}
