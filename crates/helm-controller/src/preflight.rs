//! The part of [`runtime::preflight`] that judges HelmReleases, by the functions with which a pass refuses a spec.

use std::collections::BTreeSet;

use api::{HelmRelease, helm, source as sources};
use net::chain;
use runtime::preflight::{Preflight, PreflightError, Right};

use crate::Arguments;
use crate::chart_template;
use crate::drift;
use crate::pass::health_rules;
use crate::refusals::refusal;
use crate::source;

/// What the service account has to be allowed, beside what all controllers are and what releases need.
pub const RIGHTS: [Right; 28] = [
    ("get", helm::GROUP, "helmreleases"),
    ("list", helm::GROUP, "helmreleases"),
    ("watch", helm::GROUP, "helmreleases"),
    ("patch", helm::GROUP, "helmreleases"),
    ("patch", helm::GROUP, "helmreleases/status"),
    ("get", sources::GROUP, "helmcharts"),
    ("list", sources::GROUP, "helmcharts"),
    ("watch", sources::GROUP, "helmcharts"),
    ("create", sources::GROUP, "helmcharts"),
    ("patch", sources::GROUP, "helmcharts"),
    ("delete", sources::GROUP, "helmcharts"),
    ("get", sources::GROUP, "ocirepositories"),
    ("list", sources::GROUP, "ocirepositories"),
    ("watch", sources::GROUP, "ocirepositories"),
    ("create", sources::GROUP, "ocirepositories"),
    ("patch", sources::GROUP, "ocirepositories"),
    ("delete", sources::GROUP, "ocirepositories"),
    ("get", sources::GROUP, "externalartifacts"),
    ("list", sources::GROUP, "externalartifacts"),
    ("watch", sources::GROUP, "externalartifacts"),
    ("get", "", "configmaps"),
    ("list", "", "configmaps"),
    ("watch", "", "configmaps"),
    ("get", "", "secrets"),
    ("list", "", "secrets"),
    ("watch", "", "secrets"),
    ("get", "", "serviceaccounts"),
    ("impersonate", "", "serviceaccounts"),
];

/// What it needs beside that where the ConfigMap of `spec.kubeConfig` of a HelmRelease names a service account.
pub const IDENTITY_RIGHTS: [Right; 1] = [("create", "", "serviceaccounts/token")];

/// Judges the HelmReleases that a process with these arguments would look after.
///
/// # Errors
/// When the API server refuses or does not answer.
pub async fn look(preflight: &mut Preflight, arguments: &Arguments) -> Result<(), PreflightError> {
    let mut needed = BTreeSet::new();
    let refusals = |object: &HelmRelease| {
        let kube_config = object.spec.kube_config.as_ref();
        let has_identity = kube_config.is_some_and(|spec| spec.config_map_ref.is_some());
        needed.extend(IDENTITY_RIGHTS.into_iter().filter(|_| has_identity));
        refusals(object, arguments)
    };
    preflight.look_at(refusals).await?;
    preflight.require(&Vec::from_iter(needed)).await
}

fn refusals(object: &HelmRelease, arguments: &Arguments) -> Vec<String> {
    if !source::is_valid(object) {
        return vec!["invalid Chart reference".to_owned()];
    }
    let reference = object.chart_ref().or_else(|| object.chart_template_reference());
    let denied = reference.and_then(|reference| source::denied(object, &reference, arguments.access()));
    let template = chart_template::build(object).err().map(|error| error.to_string());
    let rules = health_rules(object).err().map(|error| chain(&error));
    let ignore = drift::options(object, &[]).err().map(|error| chain(&error));
    [refusal(object, arguments), denied, template, rules, ignore].into_iter().flatten().collect()
}
