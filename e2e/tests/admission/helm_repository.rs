//! HelmRepository.

use anyhow::Result;
use serde_json::json;

use crate::server::{Server, helm_repository};

#[tokio::test(flavor = "multi_thread")]
async fn helm_repositories_are_judged_by_their_schema() -> Result<()> {
    let server = Server::connect().await?;
    for version in ["v1", "v1beta2"] {
        let of = |spec| helm_repository(version, spec);
        let seen = server.accepts(&of(json!({}))).await;
        assert_eq!(
            seen["spec"],
            json!({"url": "https://example.org", "provider": "generic"}),
            "no other defaults"
        );
        assert_eq!(seen["status"], json!({"observedGeneration": -1}));
        server.rejects(&of(json!({"url": null})), "spec.url: Required value").await;
        for url in ["http://h", "https://h/charts", "oci://h/charts"] {
            server.accepts(&of(json!({"url": url}))).await;
        }
        for url in ["ftp://h", "h/charts", ""] {
            server.rejects(&of(json!({"url": url})), "spec.url in body should match").await;
        }
        for kind in ["default", "oci"] {
            server.accepts(&of(json!({"type": kind}))).await;
        }
        server.rejects(&of(json!({"type": "git"})), "spec.type: Unsupported value: \"git\"").await;
        for provider in ["generic", "aws", "azure", "gcp"] {
            server.accepts(&of(json!({"provider": provider}))).await;
        }
        server.rejects(&of(json!({"provider": "github"})), "spec.provider: Unsupported value").await;
        server.rejects(&of(json!({"interval": "1d"})), "spec.interval in body should match").await;
        server.rejects(&of(json!({"timeout": "1h"})), "spec.timeout in body should match").await;
        for field in ["secretRef", "certSecretRef"] {
            server.rejects(&of(json!({field: {}})), &format!("spec.{field}.name: Required value")).await;
        }
        let all = json!({"passCredentials": true, "insecure": true, "suspend": true, "interval": "1h", "timeout": "1m",
            "accessFrom": {"namespaceSelectors": [{"matchLabels": {"a": "b"}}]}});
        server.accepts(&of(all)).await;
    }
    Ok(())
}
