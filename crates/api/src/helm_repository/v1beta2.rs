//! HelmRepository, version v1beta2: a schema for the API server, deprecated. Controllers read and write v1, which has the same
//! fields.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{HelmRepositoryStatus, HelmRepositoryType};
use crate::meta::AccessFrom;
use crate::oci_repository::OciProvider;
use crate::schema::{DURATION, SHORT_DURATION};
use crate::{Duration, LocalObjectReference};

/// Desired state of a HelmRepository.
#[derive(CustomResource, Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "source.toolkit.fluxcd.io",
    version = "v1beta2",
    kind = "HelmRepository",
    plural = "helmrepositories",
    doc = "HelmRepository is a repository of Helm charts, whose index is fetched and served.",
    namespaced,
    status = "HelmRepositoryStatus",
    deprecated = "v1beta2 HelmRepository is deprecated, upgrade to v1",
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
    pub secret_ref: Option<LocalObjectReference>,
    /// Secret with certificates: 'ca.crt', 'tls.crt' with 'tls.key', or all of them. Takes precedence over those in secretRef.
    pub cert_secret_ref: Option<LocalObjectReference>,
    /// Sends the credentials of secretRef also to other hosts that the index names for charts.
    pub pass_credentials: Option<bool>,
    /// Interval at which the index is checked for updates, defaults to 1m. Not used by the type 'oci'.
    #[schemars(extend("pattern" = DURATION))]
    pub interval: Option<Duration>,
    /// Allows plain HTTP towards the registry. Only for the type 'oci'.
    pub insecure: Option<bool>,
    /// Timeout of fetching the index and charts, defaults to 1m.
    #[schemars(extend("pattern" = SHORT_DURATION))]
    pub timeout: Option<Duration>,
    /// Suspends the reconciliation of this HelmRepository.
    pub suspend: Option<bool>,
    /// Access control for references from other namespaces. Not implemented.
    pub access_from: Option<AccessFrom>,
    /// Type of the repository, one of 'default', 'oci'. When not specified, 'default'.
    #[serde(rename = "type")]
    pub kind: Option<HelmRepositoryType>,
    /// Provider used for authentication, one of 'aws', 'azure', 'gcp', 'generic'. Only for the type 'oci'.
    #[serde(default)]
    pub provider: OciProvider,
}
