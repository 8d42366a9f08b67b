//! OCIRepository.

use anyhow::Result;
use serde_json::{Value, json};

use crate::server::{Server, collection, oci};

const NO_URL: &str = "spec.url is required";
const NO_INTERVAL: &str = "spec.interval is required";

#[tokio::test(flavor = "multi_thread")]
async fn an_oci_repository_without_what_is_required_is_refused_by_rules() -> Result<()> {
    let server = Server::connect().await?;
    server.rejects(&oci(json!({"url": null})), NO_URL).await;
    server.rejects(&oci(json!({"interval": null})), NO_INTERVAL).await;
    let mut without_spec = oci(json!({}));
    without_spec.as_object_mut().unwrap().remove("spec");
    for object in [oci(json!({"url": null, "interval": null})), without_spec] {
        for text in [NO_URL, NO_INTERVAL] {
            server.rejects(&object, text).await;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn oci_repositories_are_judged_by_their_schema() -> Result<()> {
    let server = Server::connect().await?;
    for url in ["oci://example.org/a", "oci://localhost:5000/a/b", "oci://"] {
        server.accepts(&oci(json!({"url": url}))).await;
    }
    for url in ["https://example.org/a", "example.org/a", "docker://example.org/a", ""] {
        server.rejects(&oci(json!({"url": url})), "spec.url in body should match '^oci://.*$'").await;
    }
    for interval in ["1m", "1h30m", "0.5s", "100ms", "1h1m1s1ms"] {
        server.accepts(&oci(json!({"interval": interval}))).await;
    }
    for interval in ["", "1", "-1m", "1d", "1us", "1m "] {
        server.rejects(&oci(json!({"interval": interval})), "spec.interval in body should match").await;
    }
    server.accepts(&oci(json!({"timeout": "1m30s"}))).await;
    for timeout in ["1h", "1h30m", "60"] {
        server.rejects(&oci(json!({"timeout": timeout})), "spec.timeout in body should match").await;
    }
    server.rejects(&oci(json!({"interval": 60})), "spec.interval in body must be of type string").await;
    for field in ["suspend", "insecure"] {
        let text = format!("spec.{field} in body must be of type boolean");
        server.rejects(&oci(json!({field: "true"})), &text).await;
        server.accepts(&oci(json!({field: true}))).await;
    }
    for field in ["secretRef", "certSecretRef", "proxySecretRef"] {
        server.accepts(&oci(json!({field: {"name": "a"}}))).await;
        server.rejects(&oci(json!({field: {}})), &format!("spec.{field}.name: Required value")).await;
    }
    let reference =
        json!({"digest": "sha256:ab", "semver": ">=1.0.0", "semverFilter": ".*-rc.*", "tag": "latest"});
    server.accepts(&oci(json!({"ref": reference, "ignore": "", "serviceAccountName": "a"}))).await;
    server.rejects(&oci(json!({"ref": {"tag": 1}})), "spec.ref.tag in body must be of type string").await;

    for provider in ["generic", "aws", "azure", "gcp"] {
        server.accepts(&oci(json!({"provider": provider, "serviceAccountName": "a"}))).await;
    }
    for provider in ["github", ""] {
        server.rejects(&oci(json!({"provider": provider})), "spec.provider: Unsupported value").await;
    }
    for operation in ["extract", "copy"] {
        let selector = json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "operation": operation});
        server.accepts(&oci(json!({"layerSelector": selector}))).await;
    }
    server.accepts(&oci(json!({"layerSelector": {}}))).await;
    server
        .rejects(
            &oci(json!({"layerSelector": {"operation": "move"}})),
            "spec.layerSelector.operation: Unsupported value: \"move\"",
        )
        .await;
    for field in ["branch", "contentConfigChecksum"] {
        server.rejects_strictly(&oci(json!({field: "a"})), &format!("unknown field \"spec.{field}\"")).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn verification_of_oci_repositories_is_judged_too() -> Result<()> {
    let server = Server::connect().await?;
    let identity = json!({"issuer": "^https://example.org$", "subject": "^a$"});
    for verification in [
        json!({"provider": "cosign"}),
        json!({"provider": "cosign", "matchOIDCIdentity": [identity, identity]}),
        json!({"provider": "cosign", "trustedRootSecretRef": {"name": "root"}}),
        json!({"provider": "notation", "secretRef": {"name": "keys"}}),
    ] {
        server.accepts(&oci(json!({"verify": verification}))).await;
    }
    for (verification, text) in [
        (json!({"provider": "gpg"}), "spec.verify.provider: Unsupported value: \"gpg\""),
        (json!({"secretRef": {}}), "spec.verify.secretRef.name: Required value"),
        (json!({"trustedRootSecretRef": {}}), "spec.verify.trustedRootSecretRef.name: Required value"),
        (
            json!({"matchOIDCIdentity": [{"issuer": "a"}]}),
            "spec.verify.matchOIDCIdentity[0].subject: Required value",
        ),
        (
            json!({"matchOIDCIdentity": [{"subject": "a"}]}),
            "spec.verify.matchOIDCIdentity[0].issuer: Required value",
        ),
    ] {
        server.rejects(&oci(json!({"verify": verification})), text).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_verification_of_an_oci_repository_alone_has_a_default() -> Result<()> {
    let server = Server::connect().await?;
    let seen = server.accepts(&oci(json!({"layerSelector": {}}))).await;
    let spec = json!({"url": "oci://example.org/a", "interval": "1m", "layerSelector": {}});
    assert_eq!(seen["spec"], spec, "neither a provider nor a timeout");
    assert_eq!(seen["status"], json!({"observedGeneration": -1}));

    let seen = server.accepts(&oci(json!({"verify": {"secretRef": {"name": "keys"}}}))).await;
    assert_eq!(seen["spec"]["verify"]["provider"], "cosign");

    // What Flux 2.9 filled in stays.
    let seen = server.accepts(&oci(json!({"provider": "generic", "timeout": "60s"}))).await;
    assert_eq!((&seen["spec"]["provider"], &seen["spec"]["timeout"]), (&json!("generic"), &json!("60s")));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_of_an_oci_repository_keeps_its_fields() -> Result<()> {
    let server = Server::connect().await?;
    let mut object = oci(json!({}));
    object["metadata"] = json!({"generateName": "admission-", "namespace": "default"});
    let stored = server.create(&object, "").await.accepted();
    let path = format!("{}/{}", collection(&object), stored["metadata"]["name"].as_str().unwrap());
    let status = format!("{path}/status?dryRun=All");

    let written = json!({
        "observedGeneration": 1, "url": "http://a/latest.tar.gz", "observedIgnore": "",
        "observedLayerSelector": {"mediaType": "a", "operation": "copy"},
        "sourceVerificationFingerprint": "sha256:ab", "lastHandledReconcileAt": "now",
    });
    let seen = server.send("PATCH", &status, &json!({"status": written})).await.accepted();
    assert_eq!(seen["status"], written);
    let bad = json!({"status": {"observedLayerSelector": {"operation": "move"}}});
    server
        .send("PATCH", &status, &bad)
        .await
        .refused("status.observedLayerSelector.operation: Unsupported value");
    server.send("DELETE", &path, &Value::Null).await.accepted();
    Ok(())
}
