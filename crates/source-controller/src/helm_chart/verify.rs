//! `spec.verify`: whose charts are taken from a registry, and when that is looked at again.
//!
//! Once a chart is verified, nothing is asked until its version, the spec, or what is trusted changes. Then the chart is pulled by
//! the digest that was verified, so what is stored is what somebody has signed.

use api::ConditionStatus;
use api::helm_chart::HelmChart;
use api::source::Source as _;
use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use net::Deadline;
use oci::{Digest, Repository};
use references::Secrets;
use runtime::conditions::{find, is_false};
use source::failure::Failure;
use source::failure::condition::SOURCE_VERIFIED;
use source::status::conditions;
use source::upstream::Verified;

use super::registry::RegistryChart;
use super::{HelmCharts, failure};
use crate::signatures::{self, Trusted, Verdict, Wanted};
use crate::verified::VerifiedKeys;

/// What the spec says of signatures; `None` if nothing has to be signed.
pub fn wanted(object: &HelmChart) -> Option<Wanted<'_>> {
    object.spec.verification.as_ref().map(|verification| Wanted {
        provider: verification.provider,
        secret: verification.secret_ref.as_ref(),
        identities: &verification.match_oidc_identity,
        trusted_root: None,
    })
}

/// Whom the spec trusts, by Secrets as they are now; `None` if nothing has to be signed.
pub async fn trusted(
    charts: &HelmCharts,
    object: &HelmChart,
    repository: &Repository,
) -> Result<Option<Trusted>, Failure> {
    let Some(wanted) = wanted(object) else { return Ok(None) };
    let secrets = Secrets::new(&charts.client, &object.namespace().unwrap_or_default());
    let trusted = charts.signatures.trusted(wanted, repository, &secrets).await;
    trusted.map(Some).map_err(|error| failure::trust(signatures::failed(wanted, &error)))
}

/// Whether the stored version was verified by this spec and with these keys.
pub fn is_verified(
    object: &HelmChart,
    version: &str,
    trusted: &Trusted,
    verified: &VerifiedKeys<HelmChart>,
) -> bool {
    find(object.conditions(), SOURCE_VERIFIED).is_some_and(|condition| {
        condition.status == ConditionStatus::True
            && condition.observed_generation == object.metadata.generation
    }) && verified.is_current(&ObjectRef::from_obj(object), &keys(version, trusted))
}

fn keys(version: &str, trusted: &Trusted) -> String {
    format!("{version} {}", trusted.fingerprint())
}

/// Verifies a version of a chart, which is the manifest with this digest.
///
/// # Errors
/// When no signature is good.
pub async fn verify(
    charts: &HelmCharts,
    chart: &mut RegistryChart<'_>,
    (version, digest): (&str, &Digest),
    trusted: &Trusted,
    deadline: &Deadline,
) -> Result<Verified, Failure> {
    let what = (chart.repository, digest);
    let verdict = charts.signatures.verify(&mut chart.session, what, trusted, deadline).await;
    let verdict = verdict.map_err(|error| {
        failure::verification(format_args!("failed to verify oci://{}:{version}: {error}", chart.repository))
    })?;
    let is_signed = verdict == Verdict::Signed;
    let message = is_signed.then(|| format!("verified signature of version {version}"));
    Ok(Verified { message, keys: keys(version, trusted) })
}

/// A failed verification is judged anew, one that is not asked for any more is forgotten.
pub fn forget(object: &mut HelmChart, now: Timestamp) {
    if object.spec.verification.is_none() || is_false(object.conditions(), SOURCE_VERIFIED) {
        conditions(object, now).remove(SOURCE_VERIFIED);
    }
}
