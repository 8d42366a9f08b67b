//! Bucket, version v1beta2: a schema for the API server, deprecated. Controllers read and write v1.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BucketProvider, BucketSts};
use crate::git_repository::default_timeout;
use crate::meta::AccessFrom;
use crate::schema::{DURATION, SHORT_DURATION};
use crate::{Artifact, Condition, Duration, LocalObjectReference};

/// Desired state of a Bucket.
#[derive(CustomResource, Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "source.toolkit.fluxcd.io",
    version = "v1beta2",
    kind = "Bucket",
    plural = "buckets",
    doc = "Bucket is a bucket of an object store whose objects are fetched and served as an artifact.",
    namespaced,
    status = "BucketStatus",
    deprecated = "v1beta2 Bucket is deprecated, upgrade to v1",
    printcolumn(name = "Endpoint", type_ = "string", json_path = ".spec.endpoint"),
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
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "self.provider == 'aws' || self.provider == 'generic' || !has(self.sts)",
        "message": "STS configuration is only supported for the 'aws' and 'generic' Bucket providers",
    },
    {
        "rule": "self.provider != 'aws' || !has(self.sts) || self.sts.provider == 'aws'",
        "message": "'aws' is the only supported STS provider for the 'aws' Bucket provider",
    },
    {
        "rule": "self.provider != 'generic' || !has(self.sts) || self.sts.provider == 'ldap'",
        "message": "'ldap' is the only supported STS provider for the 'generic' Bucket provider",
    },
    {
        "rule": "!has(self.sts) || self.sts.provider != 'aws' || !has(self.sts.secretRef)",
        "message": "spec.sts.secretRef is not required for the 'aws' STS provider",
    },
    {
        "rule": "!has(self.sts) || self.sts.provider != 'aws' || !has(self.sts.certSecretRef)",
        "message": "spec.sts.certSecretRef is not required for the 'aws' STS provider",
    },
]))]
pub struct BucketSpec {
    /// Provider of the object store, one of 'generic', 'aws', 'gcp', 'azure'. When not specified, 'generic': any store that
    /// speaks S3.
    #[serde(default)]
    pub provider: BucketProvider,
    /// Name of the bucket.
    pub bucket_name: String,
    /// Address of the object store: host and port for S3, the URL of the account for Azure. Google Cloud ignores it.
    pub endpoint: String,
    /// How temporary credentials are obtained. Only for the providers 'aws' and 'generic'.
    pub sts: Option<BucketSts>,
    /// Allows plain HTTP towards the object store.
    pub insecure: Option<bool>,
    /// Region of the bucket.
    pub region: Option<String>,
    /// Beginning of the keys of the objects that are wanted; the object store leaves the others out.
    pub prefix: Option<String>,
    /// Secret with the credentials of the object store.
    pub secret_ref: Option<LocalObjectReference>,
    /// Secret with certificates: 'ca.crt', 'tls.crt' with 'tls.key', or all of them. Only for the providers 'generic' and
    /// 'aws'.
    pub cert_secret_ref: Option<LocalObjectReference>,
    /// Secret with the proxy to use towards the object store.
    pub proxy_secret_ref: Option<LocalObjectReference>,
    /// Interval at which the bucket is checked for updates.
    #[schemars(extend("pattern" = DURATION))]
    pub interval: Duration,
    /// Timeout of listing the bucket, and of fetching its objects, defaults to 60s.
    #[serde(default = "default_timeout")]
    #[schemars(extend("pattern" = SHORT_DURATION))]
    pub timeout: Duration,
    /// Patterns to exclude in the format of .sourceignore, which is that of .gitignore.
    pub ignore: Option<String>,
    /// Suspends the reconciliation of this Bucket.
    pub suspend: Option<bool>,
    /// Access control for references from other namespaces. Not implemented.
    pub access_from: Option<AccessFrom>,
}

/// Observed state of a Bucket.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BucketStatus {
    /// Last generation that was fully processed.
    pub observed_generation: Option<i64>,
    /// Conditions of the Bucket.
    pub conditions: Option<Vec<Condition>>,
    /// Address of the last artifact.
    pub url: Option<String>,
    /// Last artifact that was stored.
    pub artifact: Option<Artifact>,
    /// Exclusion patterns of the spec that the current artifact was made with.
    pub observed_ignore: Option<String>,
    /// Value of the last reconcile request that was handled.
    pub last_handled_reconcile_at: Option<String>,
}
