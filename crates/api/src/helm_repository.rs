//! HelmRepository, version v1: an index of charts as a source, or the address of charts in an OCI registry.

pub mod v1beta2;

use std::sync::LazyLock;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lenient::{is_false, null_is_default};
use crate::meta::AccessFrom;
use crate::oci_repository::OciProvider;
use crate::schema::{DURATION, SHORT_DURATION};
use crate::source::{Source, SourceStatus, SourceStatusMut};
use crate::{Artifact, Condition, Duration, LocalObjectReference};

/// Desired state of a HelmRepository.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "source.toolkit.fluxcd.io",
    version = "v1",
    kind = "HelmRepository",
    plural = "helmrepositories",
    doc = "HelmRepository is a repository of Helm charts, whose index is fetched and served.",
    namespaced,
    status = "HelmRepositoryStatus",
    derive = "PartialEq",
    shortname = "helmrepo",
    category = "all",
    category = "fluxcd",
    category = "fluxcd-sources",
    annotation("kustomize.toolkit.fluxcd.io/substitute", "disabled"),
    printcolumn(name = "URL", type_ = "string", json_path = ".spec.url"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#
    )
)]
#[serde(rename_all = "camelCase")]
pub struct HelmRepositorySpec {
    /// Address of the repository: an HTTP/S URL, or 'oci://', a registry and the part of the names that all charts share.
    #[schemars(extend("pattern" = "^(http|https|oci)://.*$"))]
    pub url: String,
    /// Secret with 'username' and 'password'. Certificates in it are deprecated, use certSecretRef.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalObjectReference>,
    /// Secret with certificates: 'ca.crt', 'tls.crt' with 'tls.key', or all of them. Takes precedence over those in secretRef.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_secret_ref: Option<LocalObjectReference>,
    /// Sends the credentials of secretRef also to other hosts that the index names for charts.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub pass_credentials: bool,
    /// Interval at which the index is checked for updates, defaults to 1m. Not used by the type 'oci'.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Duration::is_empty")]
    #[schemars(with = "Option<Duration>", !default, extend("pattern" = DURATION))]
    pub interval: Duration,
    /// Allows plain HTTP towards the registry. Only for the type 'oci'.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub insecure: bool,
    /// Timeout of fetching the index and charts, defaults to 1m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = SHORT_DURATION))]
    pub timeout: Option<Duration>,
    /// Suspends the reconciliation of this HelmRepository.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub suspend: bool,
    /// Access control for references from other namespaces. Not implemented.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_from: Option<AccessFrom>,
    /// Type of the repository, one of 'default', 'oci'. When not specified, 'default'.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<HelmRepositoryType>,
    /// Provider used for authentication, one of 'aws', 'azure', 'gcp', 'generic'. Only for the type 'oci'.
    #[serde(default, deserialize_with = "null_is_default")]
    pub provider: OciProvider,
}

/// Types of repositories of charts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HelmRepositoryType {
    /// An index over HTTP/S.
    #[default]
    Default,
    /// A registry, asked for each chart by those who want it: nothing is fetched for the HelmRepository itself.
    Oci,
    /// None that this version knows.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// Observed state of a HelmRepository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HelmRepositoryStatus {
    /// Last generation that was fully processed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions of the HelmRepository.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Address of the last artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Last artifact that was stored: the index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Artifact>,
    /// Value of the last reconcile request that was handled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
}

impl HelmRepository {
    /// Whether charts are in an OCI registry, so that there is no index.
    pub fn is_oci(&self) -> bool {
        self.spec.kind == Some(HelmRepositoryType::Oci)
    }
}

impl Source for HelmRepository {
    fn is_suspended(&self) -> bool {
        self.spec.suspend
    }

    fn interval(&self) -> &Duration {
        static DEFAULT: LazyLock<Duration> = LazyLock::new(|| Duration::from("1m"));
        if self.spec.interval.is_empty() { &DEFAULT } else { &self.spec.interval }
    }

    fn timeout(&self) -> Option<std::time::Duration> {
        self.spec.timeout.as_ref()?.positive()
    }

    fn source_status(&self) -> Option<SourceStatus<'_>> {
        let status = self.status.as_ref()?;
        Some(SourceStatus {
            observed_generation: status.observed_generation,
            conditions: &status.conditions,
            artifact: status.artifact.as_ref(),
            handled_request: status.last_handled_reconcile_at.as_deref(),
        })
    }

    fn status_mut(&mut self) -> SourceStatusMut<'_> {
        let status = self.status.get_or_insert_default();
        SourceStatusMut {
            observed_generation: &mut status.observed_generation,
            conditions: &mut status.conditions,
            artifact: &mut status.artifact,
            url: Some(&mut status.url),
            handled_request: &mut status.last_handled_reconcile_at,
        }
    }
}
