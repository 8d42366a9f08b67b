//! GitRepository.

use anyhow::Result;
use serde_json::{Value, json};

use crate::server::{Server, collection, git, with};

#[tokio::test(flavor = "multi_thread")]
async fn git_repositories_are_judged_by_their_schema() -> Result<()> {
    let server = Server::connect().await?;
    for version in ["v1", "v1beta2"] {
        let git = |spec| git(version, spec);
        for url in
            ["https://example.org/a.git", "http://localhost:8080/a", "ssh://git@example.org/a", "https://"]
        {
            server.accepts(&git(json!({"url": url}))).await;
        }
        for url in ["git@example.org:a.git", "git://example.org/a", "file:///a", "oci://example.org/a", ""] {
            server
                .rejects(&git(json!({"url": url})), "spec.url in body should match '^(http|https|ssh)://.*$'")
                .await;
        }
        for interval in ["1m", "1h30m", "0.5s", "100ms", "1h1m1s1ms", "90s"] {
            server.accepts(&git(json!({"interval": interval}))).await;
        }
        for interval in ["", "1", "m", "-1m", "1d", "1us", "1 m", ".5s", "5.s", "1m "] {
            server.rejects(&git(json!({"interval": interval})), "spec.interval in body should match").await;
        }
        server.accepts(&git(json!({"timeout": "1m30s"}))).await;
        for timeout in ["1h", "1h30m", "60"] {
            server.rejects(&git(json!({"timeout": timeout})), "spec.timeout in body should match").await;
        }
        for (field, text) in
            [("url", "spec.url: Required value"), ("interval", "spec.interval: Required value")]
        {
            server.rejects(&git(json!({field: null})), text).await;
        }
        server.rejects(&git(json!({"interval": 60})), "spec.interval in body must be of type string").await;
        server
            .rejects(&git(json!({"suspend": "true"})), "spec.suspend in body must be of type boolean")
            .await;
        server.rejects(&git(json!({"secretRef": {}})), "spec.secretRef.name: Required value").await;
        server
            .rejects(
                &git(json!({"include": [{"fromPath": "a"}]})),
                "spec.include[0].repository: Required value",
            )
            .await;
        server
            .accepts(&git(
                json!({"include": [{"repository": {"name": "a"}, "fromPath": "b", "toPath": "c"}]}),
            ))
            .await;
        server.accepts(&git(json!({"ignore": "", "recurseSubmodules": true, "suspend": true}))).await;
        let reference =
            json!({"branch": "a", "tag": "b", "semver": "*", "name": "refs/pull/1/head", "commit": "d"});
        server.accepts(&git(json!({"ref": reference}))).await;
        server
            .rejects(&git(json!({"verify": {"mode": "head"}})), "spec.verify.secretRef: Required value")
            .await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn git_repository_versions_differ_where_upstreams_did() -> Result<()> {
    let server = Server::connect().await?;
    let keys = json!({"name": "keys"});
    for mode in ["head", "HEAD", "Tag", "TagAndHEAD"] {
        server.accepts(&git("v1", json!({"verify": {"mode": mode, "secretRef": keys}}))).await;
    }
    server
        .rejects(
            &git("v1", json!({"verify": {"mode": "tag", "secretRef": keys}})),
            "Unsupported value: \"tag\"",
        )
        .await;
    server.accepts(&git("v1beta2", json!({"verify": {"mode": "head", "secretRef": keys}}))).await;
    server
        .rejects(
            &git("v1beta2", json!({"verify": {"mode": "HEAD", "secretRef": keys}})),
            "supported values: \"head\"",
        )
        .await;
    server
        .rejects(&git("v1beta2", json!({"verify": {"secretRef": keys}})), "spec.verify.mode: Required value")
        .await;

    for provider in ["generic", "aws", "azure", "github"] {
        server.accepts(&git("v1", json!({"provider": provider}))).await;
    }
    server.rejects(&git("v1", json!({"provider": "gcp"})), "spec.provider: Unsupported value: \"gcp\"").await;
    server.rejects(&git("v1", json!({"provider": ""})), "spec.provider: Unsupported value").await;
    for provider in ["aws", "azure"] {
        server.accepts(&git("v1", json!({"provider": provider, "serviceAccountName": "a"}))).await;
    }
    let rule = "serviceAccountName can only be set when provider is 'azure' or 'aws'";
    for spec in [
        json!({"serviceAccountName": "a"}),
        json!({"serviceAccountName": "a", "provider": "generic"}),
        json!({"serviceAccountName": "a", "provider": "github"}),
    ] {
        server.rejects(&git("v1", spec), rule).await;
    }
    server
        .accepts(&git("v1", json!({"sparseCheckout": ["a", "b"], "proxySecretRef": {"name": "proxy"}})))
        .await;

    for implementation in ["go-git", "libgit2"] {
        server.accepts(&git("v1beta2", json!({"gitImplementation": implementation}))).await;
    }
    server
        .rejects(
            &git("v1beta2", json!({"gitImplementation": "gix"})),
            "spec.gitImplementation: Unsupported value",
        )
        .await;
    let access = json!({"namespaceSelectors": [{"matchLabels": {"a": "b"}}, {}]});
    server.accepts(&git("v1beta2", json!({"accessFrom": access}))).await;
    server
        .rejects(
            &git("v1beta2", json!({"accessFrom": {}})),
            "spec.accessFrom.namespaceSelectors: Required value",
        )
        .await;

    // Strict clients are told about fields that the version does not have.
    for (version, spec, field) in [
        ("v1beta2", json!({"provider": "aws"}), "spec.provider"),
        ("v1beta2", json!({"serviceAccountName": "a"}), "spec.serviceAccountName"),
        ("v1beta2", json!({"proxySecretRef": {"name": "a"}}), "spec.proxySecretRef"),
        ("v1beta2", json!({"sparseCheckout": ["a"]}), "spec.sparseCheckout"),
        ("v1", json!({"gitImplementation": "go-git"}), "spec.gitImplementation"),
        ("v1", json!({"accessFrom": access}), "spec.accessFrom"),
    ] {
        server.rejects_strictly(&git(version, spec), &format!("unknown field \"{field}\"")).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn writing_through_v1beta2_drops_what_only_v1_knows() -> Result<()> {
    let server = Server::connect().await?;
    let mut object = git("v1", json!({"provider": "github", "sparseCheckout": ["a"]}));
    object["metadata"] = json!({"generateName": "admission-", "namespace": "default"});
    let stored = server.create(&object, "").await.accepted();
    let path = |version: &str| {
        format!("{}/{}", collection(&git(version, json!({}))), stored["metadata"]["name"].as_str().unwrap())
    };

    let older = server.send("GET", &path("v1beta2"), &Value::Null).await.accepted();
    assert_eq!(older["apiVersion"], "source.toolkit.fluxcd.io/v1beta2");
    assert_eq!(older["spec"].get("provider"), None);
    let newer = server.send("GET", &path("v1"), &Value::Null).await.accepted();
    assert_eq!(newer["spec"]["provider"], "github", "reading drops nothing");

    server.send("PUT", &path("v1beta2"), &older).await.accepted();
    let newer = server.send("GET", &path("v1"), &Value::Null).await.accepted();
    assert_eq!((newer["spec"].get("provider"), newer["spec"].get("sparseCheckout")), (None, None));
    assert_eq!(newer["spec"].get("gitImplementation"), None, "nor does v1 know what v1beta2 defaults");
    server.send("DELETE", &path("v1"), &Value::Null).await.accepted();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_and_artifacts_in_a_status_are_judged_too() -> Result<()> {
    let server = Server::connect().await?;
    let mut object = git("v1", json!({}));
    object["metadata"] = json!({"generateName": "admission-", "namespace": "default"});
    let stored = server.create(&object, "").await.accepted();
    let path = format!("{}/{}", collection(&object), stored["metadata"]["name"].as_str().unwrap());
    let status = format!("{path}/status?dryRun=All");

    let condition = |changes: Value| {
        let base = json!({
            "type": "Ready", "status": "True", "reason": "Succeeded", "message": "", "observedGeneration": 1,
            "lastTransitionTime": "2026-01-02T03:04:05Z",
        });
        json!({"status": {"conditions": [with(base, changes)]}})
    };
    let artifact = |changes: Value| {
        let base = json!({
            "digest": "sha256:ab", "path": "a", "url": "http://a", "revision": "main@sha1:ab", "size": 1,
            "lastUpdateTime": "2026-01-02T03:04:05Z", "metadata": {"a": "b"},
        });
        json!({"status": {"artifact": with(base, changes)}})
    };
    for good in [
        condition(json!({})),
        condition(json!({"type": "example.org/Checked", "status": "Unknown", "message": "a".repeat(32768)})),
        condition(json!({"observedGeneration": null})),
        artifact(json!({})),
        artifact(json!({"size": null, "metadata": null, "digest": "sha512:0_-="})),
    ] {
        server.send("PATCH", &status, &good).await.accepted();
    }
    for (bad, text) in [
        (condition(json!({"status": "Perhaps"})), "status.conditions[0].status: Unsupported value"),
        (condition(json!({"reason": ""})), "should be at least 1 chars long"),
        (condition(json!({"reason": "not camel case"})), "reason in body should match"),
        (condition(json!({"reason": "a".repeat(1025)})), "may not be more than 1024"),
        (condition(json!({"message": "a".repeat(32769)})), "may not be more than 32768"),
        (condition(json!({"type": "a".repeat(317)})), "may not be more than 316"),
        (condition(json!({"type": "-"})), "type in body should match"),
        (condition(json!({"observedGeneration": -1})), "should be greater than or equal to 0"),
        (condition(json!({"lastTransitionTime": "today"})), "must be of type date-time"),
        (condition(json!({"message": null})), "status.conditions[0].message: Required value"),
        (artifact(json!({"digest": "ab"})), "artifact.digest in body should match"),
        (artifact(json!({"url": null})), "status.artifact.url: Required value"),
        (artifact(json!({"lastUpdateTime": "today"})), "must be of type date-time"),
    ] {
        server.send("PATCH", &status, &bad).await.refused(text);
    }
    server.send("DELETE", &path, &Value::Null).await.accepted();
    Ok(())
}
