//! Bucket.

use anyhow::Result;
use serde_json::{Value, json};

use crate::server::{Server, bucket, collection};

const STS_PROVIDERS: &str =
    "STS configuration is only supported for the 'aws' and 'generic' Bucket providers";
const STS_OF_AWS: &str = "'aws' is the only supported STS provider for the 'aws' Bucket provider";
const STS_OF_GENERIC: &str = "'ldap' is the only supported STS provider for the 'generic' Bucket provider";
const NO_STS_SECRET: &str = "spec.sts.secretRef is not required for the 'aws' STS provider";
const NO_STS_CERTIFICATE: &str = "spec.sts.certSecretRef is not required for the 'aws' STS provider";

#[tokio::test(flavor = "multi_thread")]
async fn the_sts_of_a_bucket_fits_its_provider() -> Result<()> {
    let server = Server::connect().await?;
    let sts = |provider: &str| json!({"provider": provider, "endpoint": "https://sts.example.org"});
    let with = |provider: &str, field: &str| json!({"provider": provider, "endpoint": "https://sts.example.org", field: {"name": "a"}});
    let no_endpoint = || json!({"provider": "ldap", "endpoint": "sts.example.org"});
    let bad_endpoint = "spec.sts.endpoint in body should match '^(http|https)://.*$'";
    let cases: [(&str, Option<Value>, &str); 15] = [
        ("gcp", Some(sts("aws")), STS_PROVIDERS),
        ("azure", Some(sts("aws")), STS_PROVIDERS),
        ("gcp", Some(sts("ldap")), STS_PROVIDERS),
        ("azure", Some(sts("ldap")), STS_PROVIDERS),
        ("aws", Some(sts("ldap")), STS_OF_AWS),
        ("generic", Some(sts("aws")), STS_OF_GENERIC),
        ("aws", Some(with("aws", "secretRef")), NO_STS_SECRET),
        ("aws", Some(with("aws", "certSecretRef")), NO_STS_CERTIFICATE),
        ("generic", Some(no_endpoint()), bad_endpoint),
        ("aws", Some(sts("aws")), ""),
        ("generic", Some(sts("ldap")), ""),
        ("generic", Some(with("ldap", "secretRef")), ""),
        ("generic", Some(with("ldap", "certSecretRef")), ""),
        ("aws", None, ""),
        ("gcp", None, ""),
    ];
    for version in ["v1", "v1beta2"] {
        for (provider, sts, refusal) in &cases {
            let spec = json!({"provider": provider, "sts": sts});
            match *refusal {
                "" => drop(server.accepts(&bucket(version, spec)).await),
                refusal => server.rejects(&bucket(version, spec), refusal).await,
            }
        }
    }
    let unknown = json!({"provider": "oidc", "endpoint": "https://a"});
    server.rejects(&bucket("v1", json!({"sts": unknown})), "spec.sts.provider: Unsupported value").await;
    for field in ["provider", "endpoint"] {
        let mut sts = sts("ldap");
        sts.as_object_mut().unwrap().remove(field);
        server
            .rejects(&bucket("v1", json!({"sts": sts})), &format!("spec.sts.{field}: Required value"))
            .await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn buckets_are_judged_by_their_schema() -> Result<()> {
    let server = Server::connect().await?;
    for field in ["bucketName", "endpoint", "interval"] {
        server.rejects(&bucket("v1", json!({field: null})), &format!("spec.{field}: Required value")).await;
    }
    for provider in ["generic", "aws", "gcp", "azure"] {
        server.accepts(&bucket("v1", json!({"provider": provider}))).await;
    }
    server.rejects(&bucket("v1", json!({"provider": "swift"})), "spec.provider: Unsupported value").await;
    for timeout in ["1h", "60"] {
        server.rejects(&bucket("v1", json!({"timeout": timeout})), "spec.timeout in body should match").await;
    }
    server.rejects(&bucket("v1", json!({"interval": "1d"})), "spec.interval in body should match").await;
    for field in ["secretRef", "certSecretRef", "proxySecretRef"] {
        server.accepts(&bucket("v1", json!({field: {"name": "a"}}))).await;
        server
            .rejects(&bucket("v1", json!({field: {}})), &format!("spec.{field}.name: Required value"))
            .await;
    }
    let account = "ServiceAccountName is not supported for the 'generic' Bucket provider";
    server.rejects(&bucket("v1", json!({"serviceAccountName": "a"})), account).await;
    for provider in ["aws", "gcp", "azure"] {
        let spec = json!({"provider": provider, "serviceAccountName": "a"});
        server.accepts(&bucket("v1", spec.clone())).await;
        let mut both = bucket("v1", spec);
        both["spec"]["secretRef"] = json!({"name": "a"});
        server.rejects(&both, "cannot set both .spec.secretRef and .spec.serviceAccountName").await;
    }
    server.rejects_strictly(&bucket("v1", json!({"url": "a"})), "unknown field \"spec.url\"").await;
    let account = "unknown field \"spec.serviceAccountName\"";
    server.rejects_strictly(&bucket("v1beta2", json!({"serviceAccountName": "a"})), account).await;
    let access = json!({"accessFrom": {"namespaceSelectors": [{"matchLabels": {}}]}});
    server.accepts(&bucket("v1beta2", access.clone())).await;
    server.rejects_strictly(&bucket("v1", access), "unknown field \"spec.accessFrom\"").await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_has_a_provider_and_a_timeout_by_default() -> Result<()> {
    let server = Server::connect().await?;
    for version in ["v1", "v1beta2"] {
        let seen = server.accepts(&bucket(version, json!({}))).await;
        let spec = json!({
            "bucketName": "a", "endpoint": "h:9000", "interval": "1m", "provider": "generic", "timeout": "60s",
        });
        assert_eq!(seen["spec"], spec);
        assert_eq!(seen["status"], json!({"observedGeneration": -1}));
    }
    let answer = server.create(&bucket("v1beta2", json!({})), "dryRun=All").await;
    assert_eq!(answer.warnings, ["v1beta2 Bucket is deprecated, upgrade to v1"]);
    assert_eq!(server.create(&bucket("v1", json!({})), "dryRun=All").await.warnings, [""; 0]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_of_a_bucket_keeps_its_fields() -> Result<()> {
    let server = Server::connect().await?;
    let mut object = bucket("v1", json!({}));
    object["metadata"] = json!({"generateName": "admission-", "namespace": "default"});
    let stored = server.create(&object, "").await.accepted();
    let path = format!("{}/{}", collection(&object), stored["metadata"]["name"].as_str().unwrap());
    let written = json!({
        "observedGeneration": 1, "url": "http://a/latest.tar.gz", "observedIgnore": "",
        "lastHandledReconcileAt": "now",
        "artifact": {
            "digest": "sha256:ab", "path": "a", "url": "http://a", "revision": "sha256:ab", "size": 1,
            "lastUpdateTime": "2026-01-02T03:04:05Z",
        },
    });
    let status = format!("{path}/status?dryRun=All");
    let seen = server.send("PATCH", &status, &json!({"status": written})).await.accepted();
    assert_eq!(seen["status"], written);
    server.send("DELETE", &path, &Value::Null).await.accepted();
    Ok(())
}
