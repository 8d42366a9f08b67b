//! Bucket, version v1: a bucket of an object store as a source of artifacts.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::git_repository::{default_timeout, timeout_or_default};
use crate::lenient::{is_false, null_is_default};
use crate::schema::{DURATION, SHORT_DURATION};
use crate::source::{Source, SourceStatus, SourceStatusMut};
use crate::{Artifact, Condition, Duration, LocalObjectReference};

pub mod v1beta2;

/// Desired state of a Bucket.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "source.toolkit.fluxcd.io",
    version = "v1",
    kind = "Bucket",
    plural = "buckets",
    doc = "Bucket is a bucket of an object store whose objects are fetched and served as an artifact.",
    namespaced,
    status = "BucketStatus",
    derive = "PartialEq",
    category = "all",
    category = "fluxcd",
    category = "fluxcd-sources",
    annotation("kustomize.toolkit.fluxcd.io/substitute", "disabled"),
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
    {
        "rule": "self.provider != 'generic' || !has(self.serviceAccountName)",
        "message": "ServiceAccountName is not supported for the 'generic' Bucket provider",
    },
    {
        "rule": "!has(self.secretRef) || !has(self.serviceAccountName)",
        "message": "cannot set both .spec.secretRef and .spec.serviceAccountName",
    },
]))]
pub struct BucketSpec {
    /// Provider of the object store, one of 'generic', 'aws', 'gcp', 'azure'. When not specified, 'generic': any store that
    /// speaks S3.
    #[serde(default, deserialize_with = "null_is_default")]
    pub provider: BucketProvider,
    /// Name of the bucket.
    pub bucket_name: String,
    /// Address of the object store: host and port for S3, the URL of the account for Azure. Google Cloud ignores it.
    pub endpoint: String,
    /// How temporary credentials are obtained. Only for the providers 'aws' and 'generic'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sts: Option<BucketSts>,
    /// Allows plain HTTP towards the object store.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub insecure: bool,
    /// Region of the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Beginning of the keys of the objects that are wanted; the object store leaves the others out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Secret with the credentials of the object store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalObjectReference>,
    /// Name of the ServiceAccount used to authenticate to the object store. Not for the provider 'generic'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// Secret with certificates: 'ca.crt', 'tls.crt' with 'tls.key', or all of them. Only for the providers 'generic' and
    /// 'aws'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_secret_ref: Option<LocalObjectReference>,
    /// Secret with the proxy to use towards the object store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_secret_ref: Option<LocalObjectReference>,
    /// Interval at which the bucket is checked for updates. It is approximate and may be subject to jitter.
    #[schemars(extend("pattern" = DURATION))]
    pub interval: Duration,
    /// Timeout of listing the bucket, and of fetching its objects, defaults to 60s.
    #[serde(default = "default_timeout", deserialize_with = "timeout_or_default")]
    #[schemars(extend("pattern" = SHORT_DURATION))]
    pub timeout: Duration,
    /// Patterns to exclude in the format of .sourceignore, which is that of .gitignore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore: Option<String>,
    /// Suspends the reconciliation of this Bucket.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub suspend: bool,
}

/// Object stores, by how they are spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "names of providers")]
pub enum BucketProvider {
    #[default]
    Generic,
    Aws,
    Gcp,
    Azure,
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// A service that gives temporary credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BucketSts {
    /// How the service is spoken to: 'aws' for the provider 'aws', 'ldap' for the provider 'generic'.
    pub provider: StsProvider,
    /// Address of the service.
    #[schemars(extend("pattern" = "^(http|https)://.*$"))]
    pub endpoint: String,
    /// Secret with 'username' and 'password'. Only for the provider 'ldap'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalObjectReference>,
    /// Secret with certificates for the service: 'ca.crt', 'tls.crt' with 'tls.key', or all of them. Only for the provider
    /// 'ldap'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_secret_ref: Option<LocalObjectReference>,
}

/// Services that give temporary credentials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StsProvider {
    /// The Security Token Service of AWS.
    #[default]
    Aws,
    /// MinIO's, which asks a directory.
    Ldap,
    /// None that this version knows.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// Observed state of a Bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BucketStatus {
    /// Last generation that was fully processed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions of the Bucket.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Address of the last artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Last artifact that was stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Artifact>,
    /// Exclusion patterns of the spec that the current artifact was made with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_ignore: Option<String>,
    /// Value of the last reconcile request that was handled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
}

impl BucketProvider {
    /// As it stands in a spec.
    pub fn name(self) -> &'static str {
        match self {
            BucketProvider::Generic => "generic",
            BucketProvider::Aws => "aws",
            BucketProvider::Gcp => "gcp",
            BucketProvider::Azure => "azure",
            BucketProvider::Unknown => "unknown",
        }
    }
}

impl StsProvider {
    /// As it stands in a spec.
    pub fn name(self) -> &'static str {
        match self {
            StsProvider::Aws => "aws",
            StsProvider::Ldap => "ldap",
            StsProvider::Unknown => "unknown",
        }
    }
}

impl Source for Bucket {
    fn is_suspended(&self) -> bool {
        self.spec.suspend
    }

    fn interval(&self) -> &Duration {
        &self.spec.interval
    }

    fn timeout(&self) -> Option<std::time::Duration> {
        self.spec.timeout.positive()
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
