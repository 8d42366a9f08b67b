//! The part of [`runtime::preflight`] that judges sources, by the functions with which a pass refuses a spec.

use std::collections::BTreeSet;

use api::bucket::BucketProvider;
use api::git_repository::GitProvider;
use api::oci_repository::{OciProvider, OciRepository};
use api::{Bucket, GitRepository, source::GROUP};
use references::account_of;
use runtime::preflight::{Preflight, PreflightError, Right};

use crate::{Arguments, bucket, git_repository, helm_chart, helm_repository, oci_repository};

/// What the service account has to be allowed, beside what all controllers are.
pub const RIGHTS: [Right; 26] = [
    ("get", GROUP, "buckets"),
    ("list", GROUP, "buckets"),
    ("watch", GROUP, "buckets"),
    ("patch", GROUP, "buckets"),
    ("patch", GROUP, "buckets/status"),
    ("get", GROUP, "gitrepositories"),
    ("list", GROUP, "gitrepositories"),
    ("watch", GROUP, "gitrepositories"),
    ("patch", GROUP, "gitrepositories"),
    ("patch", GROUP, "gitrepositories/status"),
    ("get", GROUP, "helmrepositories"),
    ("list", GROUP, "helmrepositories"),
    ("watch", GROUP, "helmrepositories"),
    ("patch", GROUP, "helmrepositories"),
    ("patch", GROUP, "helmrepositories/status"),
    ("get", GROUP, "ocirepositories"),
    ("list", GROUP, "ocirepositories"),
    ("watch", GROUP, "ocirepositories"),
    ("patch", GROUP, "ocirepositories"),
    ("patch", GROUP, "ocirepositories/status"),
    ("get", GROUP, "helmcharts"),
    ("list", GROUP, "helmcharts"),
    ("watch", GROUP, "helmcharts"),
    ("patch", GROUP, "helmcharts"),
    ("patch", GROUP, "helmcharts/status"),
    ("get", "", "secrets"),
];

/// For objects that name a service account, and for the identity of one at a cloud provider.
pub const IDENTITY_RIGHTS: [Right; 2] =
    [("get", "", "serviceaccounts"), ("create", "", "serviceaccounts/token")];

/// Judges the sources that a process with these arguments would look after.
///
/// # Errors
/// When the API server refuses or does not answer.
pub async fn look(preflight: &mut Preflight, arguments: &Arguments) -> Result<(), PreflightError> {
    let (settings, mut needed) = (arguments.providers(), BTreeSet::new());
    let refusals = |object: &GitRepository| {
        let account = settings.account(object);
        let is_cloud = matches!(object.spec.provider, Some(GitProvider::Aws | GitProvider::Azure));
        needed.extend(account.into_iter().flat_map(|_| identity_rights(is_cloud)));
        git_repository::refusals(object, &settings)
    };
    preflight.look_at(refusals).await?;
    let refusals = |object: &OciRepository| {
        let account =
            account_of(object.spec.service_account_name.as_deref(), settings.default_account.as_deref());
        let is_cloud = object.spec.provider.unwrap_or_default() != OciProvider::Generic;
        needed.extend(account.into_iter().flat_map(|_| identity_rights(is_cloud)));
        oci_repository::refusals(object)
    };
    preflight.look_at(refusals).await?;
    let refusals = |object: &Bucket| {
        let is_cloud = object.spec.provider != BucketProvider::Generic && object.spec.secret_ref.is_none();
        let account =
            account_of(object.spec.service_account_name.as_deref(), settings.default_account.as_deref());
        needed.extend(account.filter(|_| is_cloud).into_iter().flat_map(|_| IDENTITY_RIGHTS));
        bucket::refusals(object)
    };
    preflight.look_at(refusals).await?;
    preflight.require(&Vec::from_iter(needed)).await?;
    preflight.look_at(helm_repository::refusals).await?;
    preflight.look_at(helm_chart::refusals).await
}

/// What an object with a service account needs: it has to be there whatever the provider, and only clouds get its tokens.
fn identity_rights(is_cloud: bool) -> impl Iterator<Item = Right> {
    IDENTITY_RIGHTS.into_iter().take(if is_cloud { 2 } else { 1 })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object<K: serde::de::DeserializeOwned>(mut spec: Value) -> K {
        spec["interval"] = "1h".into();
        serde_json::from_value(json!({"metadata": {"name": "a", "namespace": "ns"}, "spec": spec})).unwrap()
    }

    fn of_git(spec: Value, flags: &[&str]) -> Vec<String> {
        let arguments: Arguments =
            runtime::flags::try_parse_from([&["source-controller"], flags].concat()).unwrap();
        git_repository::refusals(&object(spec), &arguments.providers())
    }

    #[test]
    fn git_repositories_are_refused_as_their_passes_do() {
        let tag = "cannot verify tag object's signature if a tag reference is not specified";
        let keys = json!({"name": "keys"});
        let devops = "failed to configure authentication options: invalid Azure DevOps Git URL: h";
        let url = "https://h/r";
        for (spec, expected) in [
            (json!({"url": url}), &[][..]),
            (json!({"url": "file:///r"}), &["spec.url with scheme 'file' is not supported by this version"]),
            (
                json!({"url": url, "provider": "github"}),
                &["secretRef with github app data must be specified when provider is set to github"],
            ),
            (json!({"url": url, "provider": "github", "secretRef": keys}), &[]),
            (json!({"url": url, "provider": "azure"}), &[devops]),
            (json!({"url": "ssh://git@h/r", "provider": "azure"}), &[]),
            (json!({"url": url, "provider": "azure", "serviceAccountName": "me"}), &[]),
            (json!({"url": url, "verify": {"mode": "HEAD", "secretRef": keys}}), &[]),
            (json!({"url": url, "verify": {"mode": "Tag", "secretRef": keys}}), &[tag]),
            (
                json!({"url": url, "verify": {"mode": "TagAndHEAD", "secretRef": keys}, "ref": {"tag": "v1"}}),
                &[],
            ),
            (
                json!({"url": url, "verify": {"mode": "Sometimes", "secretRef": keys}}),
                &["spec.verify.mode is none that this version knows"],
            ),
        ] {
            assert_eq!(of_git(spec.clone(), &[]), expected, "{spec}");
        }
        assert_eq!(of_git(json!({"url": url, "provider": "aws"}), &[]).len(), 1);
        let azure = || json!({"url": url, "provider": "azure"});
        for flag in ["--azure-devops-hosts=h", "--default-service-account=me"] {
            assert_eq!(of_git(azure(), &[flag]), [""; 0], "{flag}");
        }
    }

    #[test]
    fn oci_repositories_are_refused_as_their_passes_do() {
        let refusals = |spec: Value| oci_repository::refusals(&object(spec));
        assert_eq!(refusals(json!({"url": "oci://example.com/app"})), [""; 0]);
        assert_eq!(
            refusals(json!({"url": "oci://example.com/app", "provider": "new"})),
            ["spec.provider is not supported yet"]
        );
        for (provider, expected) in
            [("cosign", &[][..]), ("notation", &[]), ("new", &["spec.verify.provider is not supported yet"])]
        {
            let spec = json!({"url": "oci://example.com/app", "verify": {"provider": provider}});
            assert_eq!(refusals(spec), expected, "{provider}");
        }
        let url = refusals(json!({"url": "https://example.com/app", "provider": "aws"})).remove(0);
        assert!(url.starts_with("URL validation failed for 'https://example.com/app': "), "{url}");
    }

    #[test]
    fn helm_charts_are_refused_as_their_passes_do() {
        let refusals = |kind: &str, verify: Option<Value>| {
            let mut spec = json!({"chart": "app", "sourceRef": {"kind": kind, "name": "a"}});
            if let Some(verify) = verify {
                spec["verify"] = verify;
            }
            helm_chart::refusals(&object(spec))
        };
        assert_eq!(refusals("HelmRepository", None), [""; 0]);
        assert_eq!(refusals("GitRepository", None), [""; 0]);
        assert_eq!(refusals("Bucket", None), [""; 0]);
        for (provider, expected) in
            [("cosign", &[][..]), ("notation", &[]), ("new", &["spec.verify.provider is not supported yet"])]
        {
            let verify = Some(json!({"provider": provider}));
            assert_eq!(refusals("HelmRepository", verify), expected, "{provider}");
        }
        let odd = "failed to get source: unsupported source kind 'ConfigMap', must be one of: \
                   [HelmRepository GitRepository Bucket]";
        assert_eq!(refusals("ConfigMap", None), [odd]);
    }

    #[test]
    fn buckets_are_refused_as_their_passes_do() {
        let refusals = |mut spec: Value| {
            spec["bucketName"] = "b".into();
            bucket::refusals(&object(spec))
        };
        let sts = |provider: &str, endpoint: &str| json!({"provider": provider, "endpoint": endpoint});
        for (spec, expected) in [
            (json!({"endpoint": "h:9000"}), &[][..]),
            (json!({"endpoint": "s3.amazonaws.com", "provider": "aws"}), &[]),
            (json!({"endpoint": "h", "provider": "gcp"}), &[]),
            (json!({"endpoint": "https://h.blob.core.windows.net", "provider": "azure"}), &[]),
            (
                json!({"endpoint": "h", "provider": "azure"}),
                &["unable to parse endpoint URL: 'h' is not an http(s) URL of a storage account"],
            ),
            (
                json!({"endpoint": "h", "sts": sts("aws", "https://h")}),
                &["STS provider 'aws' is not supported for 'generic' bucket provider"],
            ),
            (
                json!({"endpoint": "h", "provider": "aws", "sts": sts("ldap", "https://h")}),
                &["STS provider 'ldap' is not supported for 'aws' bucket provider"],
            ),
            (
                json!({"endpoint": "h", "provider": "gcp", "sts": sts("aws", "https://h")}),
                &["STS configuration is not supported for 'gcp' bucket provider"],
            ),
            (
                json!({"endpoint": "h", "sts": sts("ldap", "https://h:port")}),
                &["failed to parse STS endpoint 'https://h:port': invalid port number"],
            ),
            (json!({"endpoint": "http://h"}), &["Endpoint url cannot have fully qualified paths."]),
        ] {
            assert_eq!(refusals(spec.clone()), expected, "{spec}");
        }
    }

    #[test]
    fn only_clouds_get_tokens_of_service_accounts() {
        assert_eq!((identity_rights(false).count(), identity_rights(true).count()), (1, 2));
    }
}
