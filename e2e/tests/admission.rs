//! What the API server makes of GitRepositories and Kustomizations: which objects it takes, which it refuses and
//! with what text, what it fills in and what it drops, in both versions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use anyhow::Result;
use e2e::cluster::{Cluster, User};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Map, Value, json};

const LONG: usize = 300;

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
async fn kustomizations_are_judged_by_their_schema() -> Result<()> {
    let server = Server::connect().await?;
    for version in ["v1", "v1beta2"] {
        let kustomization = |spec| kustomization(version, spec);
        for field in ["interval", "prune", "sourceRef"] {
            let text = format!("spec.{field}: Required value");
            server.rejects(&kustomization(json!({field: null})), &text).await;
        }
        for field in ["interval", "retryInterval", "timeout"] {
            for value in ["1h", "1h30m", "1.5h", "10ms"] {
                server.accepts(&kustomization(json!({field: value}))).await;
            }
            for value in ["", "1", "1d", "-1m"] {
                let text = format!("spec.{field} in body should match");
                server.rejects(&kustomization(json!({field: value})), &text).await;
            }
        }
        server
            .rejects(&kustomization(json!({"prune": "yes"})), "spec.prune in body must be of type boolean")
            .await;
        for kind in ["OCIRepository", "GitRepository", "Bucket"] {
            server
                .accepts(&kustomization(json!({"sourceRef": {"kind": kind, "name": "a", "namespace": "b"}})))
                .await;
        }
        for (source, text) in [
            (json!({"kind": "HelmRepository", "name": "a"}), "spec.sourceRef.kind: Unsupported value"),
            (json!({"kind": "GitRepository"}), "spec.sourceRef.name: Required value"),
            (json!({"name": "a"}), "spec.sourceRef.kind: Required value"),
        ] {
            server.rejects(&kustomization(json!({"sourceRef": source})), text).await;
        }
        server.accepts(&kustomization(json!({"targetNamespace": "a".repeat(63)}))).await;
        server
            .rejects(&kustomization(json!({"targetNamespace": "a".repeat(64)})), "may not be more than 63")
            .await;
        server
            .rejects(&kustomization(json!({"targetNamespace": ""})), "should be at least 1 chars long")
            .await;

        let decryption = json!({"provider": "sops", "secretRef": {"name": "keys"}});
        server.accepts(&kustomization(json!({"decryption": decryption}))).await;
        server
            .rejects(
                &kustomization(json!({"decryption": {"provider": "age"}})),
                "spec.decryption.provider: Unsupported value",
            )
            .await;
        server
            .rejects(&kustomization(json!({"decryption": {}})), "spec.decryption.provider: Required value")
            .await;
        server
            .rejects(
                &kustomization(json!({"decryption": {"provider": "sops", "secretRef": {}}})),
                "secretRef.name: Required value",
            )
            .await;

        let exactly_one =
            "exactly one of spec.kubeConfig.configMapRef or spec.kubeConfig.secretRef must be specified";
        for reference in
            [json!({"secretRef": {"name": "a", "key": "b"}}), json!({"configMapRef": {"name": "a"}})]
        {
            server.accepts(&kustomization(json!({"kubeConfig": reference}))).await;
        }
        for reference in [json!({}), json!({"secretRef": {"name": "a"}, "configMapRef": {"name": "a"}})] {
            server.rejects(&kustomization(json!({"kubeConfig": reference})), exactly_one).await;
        }

        let from = |reference| {
            kustomization(json!({"postBuild": {"substitute": {"a": "b"}, "substituteFrom": [reference]}}))
        };
        for kind in ["Secret", "ConfigMap"] {
            server.accepts(&from(json!({"kind": kind, "name": "a".repeat(253), "optional": true}))).await;
        }
        for (reference, text) in [
            (json!({"kind": "Deployment", "name": "a"}), "kind: Unsupported value"),
            (json!({"kind": "Secret", "name": ""}), "should be at least 1 chars long"),
            (json!({"kind": "Secret", "name": "a".repeat(254)}), "may not be more than 253"),
            (json!({"kind": "Secret"}), "name: Required value"),
        ] {
            server.rejects(&from(reference), text).await;
        }
        server
            .rejects(&kustomization(json!({"postBuild": {"substitute": {"a": 1}}})), "must be of type string")
            .await;

        server
            .accepts(&kustomization(
                json!({"healthChecks": [{"kind": "Deployment", "name": "a"}], "wait": true}),
            ))
            .await;
        server
            .rejects(
                &kustomization(json!({"healthChecks": [{"kind": "Deployment"}]})),
                "spec.healthChecks[0].name: Required value",
            )
            .await;
        server
            .rejects(
                &kustomization(json!({"dependsOn": [{"namespace": "a"}]})),
                "spec.dependsOn[0].name: Required value",
            )
            .await;
        server
            .accepts(&kustomization(
                json!({"patches": [{"patch": "a", "target": {"kind": "b", "labelSelector": "c=d"}}]}),
            ))
            .await;
        server
            .rejects(
                &kustomization(json!({"patches": [{"target": {}}]})),
                "spec.patches[0].patch: Required value",
            )
            .await;
        server
            .accepts(&kustomization(
                json!({"images": [{"name": "a", "newName": "b", "newTag": "c", "digest": "d"}]}),
            ))
            .await;
        server
            .rejects(
                &kustomization(json!({"images": [{"newTag": "c"}]})),
                "spec.images[0].name: Required value",
            )
            .await;
        server
            .accepts(&kustomization(
                json!({"commonMetadata": {"labels": {"a": "b"}}, "components": ["../c"]}),
            ))
            .await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kustomization_versions_differ_where_upstreams_did() -> Result<()> {
    let server = Server::connect().await?;
    let artifact = json!({"sourceRef": {"kind": "ExternalArtifact", "name": "a"}});
    server.accepts(&kustomization("v1", artifact.clone())).await;
    server.rejects(&kustomization("v1beta2", artifact), "Unsupported value: \"ExternalArtifact\"").await;
    for policy in ["MirrorPrune", "Delete", "WaitForTermination", "Orphan"] {
        server.accepts(&kustomization("v1", json!({"deletionPolicy": policy}))).await;
    }
    for field in ["namePrefix", "nameSuffix"] {
        server.accepts(&kustomization("v1", json!({field: "a".repeat(200)}))).await;
        server
            .rejects(&kustomization("v1", json!({field: "a".repeat(201)})), "may not be more than 200")
            .await;
        server.rejects(&kustomization("v1", json!({field: ""})), "should be at least 1 chars long").await;
    }
    for spec in [
        json!({"buildMetadata": ["originAnnotations", "transformerAnnotations"], "ignoreMissingComponents": true}),
        json!({"healthCheckExprs": [{"apiVersion": "a/v1", "current": "true", "failed": "false", "inProgress": "false"}]}),
        json!({"dependsOn": [{"name": "a", "readyExpr": "true"}]}),
        json!({"decryption": {"provider": "sops", "serviceAccountName": "a"}}),
        json!({"postBuild": {"substituteStrategy": "Always"}}),
        json!({"ignore": [{"paths": ["/spec/replicas"], "target": {"kind": "Deployment"}}]}),
    ] {
        server.accepts(&kustomization("v1", spec)).await;
    }
    for (spec, text) in [
        (json!({"deletionPolicy": "Keep"}), "spec.deletionPolicy: Unsupported value"),
        (json!({"buildMetadata": ["managedByLabel"]}), "spec.buildMetadata[0]: Unsupported value"),
        (
            json!({"healthCheckExprs": [{"apiVersion": "a/v1"}]}),
            "spec.healthCheckExprs[0].current: Required value",
        ),
        (
            json!({"healthCheckExprs": [{"current": "true"}]}),
            "spec.healthCheckExprs[0].apiVersion: Required value",
        ),
        (
            json!({"postBuild": {"substituteStrategy": "Never"}}),
            "spec.postBuild.substituteStrategy: Unsupported value",
        ),
        (json!({"ignore": [{"target": {}}]}), "spec.ignore[0].paths: Required value"),
    ] {
        server.rejects(&kustomization("v1", spec), text).await;
    }

    for op in ["test", "remove", "add", "replace", "move", "copy"] {
        let patch = json!([{"op": op, "path": "/a", "from": "/b", "value": {"c": [1]}}]);
        server
            .accepts(&kustomization("v1beta2", json!({"patchesJson6902": [{"patch": patch, "target": {}}]})))
            .await;
    }
    let strategic = json!([{"kind": "Deployment", "spec": {"replicas": 2}}]);
    let kept = server
        .accepts(&kustomization("v1beta2", json!({"patchesStrategicMerge": strategic, "validation": "none"})))
        .await;
    assert_eq!(kept["spec"]["patchesStrategicMerge"], strategic);
    for (spec, text) in [
        (
            json!({"patchesJson6902": [{"patch": [{"op": "set", "path": "/a"}], "target": {}}]}),
            "op: Unsupported value",
        ),
        (json!({"patchesJson6902": [{"patch": [{"op": "remove"}], "target": {}}]}), "path: Required value"),
        (json!({"patchesJson6902": [{"patch": []}]}), "spec.patchesJson6902[0].target: Required value"),
        (json!({"validation": "strict"}), "spec.validation: Unsupported value"),
    ] {
        server.rejects(&kustomization("v1beta2", spec), text).await;
    }

    for (version, spec, field) in [
        ("v1beta2", json!({"deletionPolicy": "Delete"}), "spec.deletionPolicy"),
        ("v1beta2", json!({"namePrefix": "a"}), "spec.namePrefix"),
        ("v1beta2", json!({"nameSuffix": "a"}), "spec.nameSuffix"),
        ("v1beta2", json!({"buildMetadata": []}), "spec.buildMetadata"),
        ("v1beta2", json!({"ignoreMissingComponents": true}), "spec.ignoreMissingComponents"),
        ("v1beta2", json!({"healthCheckExprs": []}), "spec.healthCheckExprs"),
        ("v1beta2", json!({"ignore": []}), "spec.ignore"),
        (
            "v1beta2",
            json!({"dependsOn": [{"name": "a", "readyExpr": "true"}]}),
            "spec.dependsOn[0].readyExpr",
        ),
        (
            "v1beta2",
            json!({"postBuild": {"substituteStrategy": "Always"}}),
            "spec.postBuild.substituteStrategy",
        ),
        ("v1", json!({"patchesStrategicMerge": []}), "spec.patchesStrategicMerge"),
        ("v1", json!({"patchesJson6902": []}), "spec.patchesJson6902"),
        ("v1", json!({"validation": "none"}), "spec.validation"),
    ] {
        server.rejects_strictly(&kustomization(version, spec), &format!("unknown field \"{field}\"")).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn defaults_are_filled_in() -> Result<()> {
    let server = Server::connect().await?;
    let unreconciled = json!({"observedGeneration": -1});

    let seen = server.accepts(&git("v1", json!({"verify": {"secretRef": {"name": "keys"}}}))).await;
    assert_eq!(seen["spec"]["timeout"], "60s");
    assert_eq!(seen["spec"]["verify"]["mode"], "HEAD");
    assert_eq!(seen["spec"].as_object().unwrap().len(), 4, "no other defaults: {}", seen["spec"]);
    assert_eq!(seen["status"], unreconciled);

    let seen = server.accepts(&git("v1beta2", json!({}))).await;
    assert_eq!(
        (&seen["spec"]["timeout"], &seen["spec"]["gitImplementation"]),
        (&json!("60s"), &json!("go-git"))
    );
    assert_eq!(seen["status"], unreconciled);

    for version in ["v1", "v1beta2"] {
        let from = json!({"postBuild": {"substituteFrom": [{"kind": "Secret", "name": "a"}]}});
        let seen = server.accepts(&kustomization(version, from)).await;
        assert_eq!(seen["spec"]["force"], false);
        assert_eq!(seen["spec"]["postBuild"]["substituteFrom"][0]["optional"], false);
        assert_eq!(seen["spec"].as_object().unwrap().len(), 5, "no other defaults: {}", seen["spec"]);
        assert_eq!(seen["status"], unreconciled);
    }

    // A null is an absent value.
    let seen = server.accepts(&git("v1", json!({"timeout": null}))).await;
    assert_eq!(seen["spec"]["timeout"], "60s");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_without_spec_is_refused() -> Result<()> {
    let server = Server::connect().await?;
    for mut object in [git("v1", json!({})), kustomization("v1", json!({}))] {
        object.as_object_mut().unwrap().remove("spec");
        server.rejects(&object, "spec: Required value").await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_older_version_warns() -> Result<()> {
    let server = Server::connect().await?;
    for (object, kind) in
        [(git("v1beta2", json!({})), "GitRepository"), (kustomization("v1beta2", json!({})), "Kustomization")]
    {
        let answer = server.create(&object, "dryRun=All").await;
        assert_eq!(answer.warnings, [format!("v1beta2 {kind} is deprecated, upgrade to v1")]);
    }
    for object in [git("v1", json!({})), kustomization("v1", json!({}))] {
        assert_eq!(server.create(&object, "dryRun=All").await.warnings, [""; 0]);
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
        (artifact(json!({"digest": "ab"})), "status.artifact.digest in body should match"),
        (artifact(json!({"url": null})), "status.artifact.url: Required value"),
        (artifact(json!({"lastUpdateTime": "today"})), "must be of type date-time"),
    ] {
        server.send("PATCH", &status, &bad).await.refused(text);
    }
    server.send("DELETE", &path, &Value::Null).await.accepted();
    Ok(())
}

/// A GitRepository with the required fields, changed by `spec`.
fn git(version: &str, spec: Value) -> Value {
    let base = json!({"url": "https://example.org/a.git", "interval": "1m"});
    json!({
        "apiVersion": format!("source.toolkit.fluxcd.io/{version}"), "kind": "GitRepository",
        "metadata": {"name": "a", "namespace": "default"}, "spec": with(base, spec),
    })
}

/// A Kustomization with the required fields, changed by `spec`.
fn kustomization(version: &str, spec: Value) -> Value {
    let base = json!({"interval": "1m", "prune": true, "sourceRef": {"kind": "GitRepository", "name": "a"}});
    json!({
        "apiVersion": format!("kustomize.toolkit.fluxcd.io/{version}"), "kind": "Kustomization",
        "metadata": {"name": "a", "namespace": "default"}, "spec": with(base, spec),
    })
}

/// `base` with the entries of `changes`; nulls remove.
fn with(base: Value, changes: Value) -> Value {
    let (Value::Object(mut merged), Value::Object(changes)) = (base, changes) else { panic!("not objects") };
    for (key, value) in changes {
        if value.is_null() {
            merged.remove(&key)
        } else {
            merged.insert(key, value)
        };
    }
    Value::Object(Map::from_iter(merged))
}

/// The path of the collection that an object belongs to.
fn collection(object: &Value) -> String {
    let plural = if object["kind"] == "GitRepository" { "gitrepositories" } else { "kustomizations" };
    format!("/apis/{}/namespaces/default/{plural}", object["apiVersion"].as_str().unwrap())
}

/// The API server, spoken to in plain requests, so that headers and exact bodies can be seen.
struct Server(Client);

/// What it answered, and to what.
struct Answer {
    status: StatusCode,
    body: Value,
    warnings: Vec<String>,
    request: String,
}

impl Server {
    async fn connect() -> Result<Self> {
        e2e::init_tls();
        let kubeconfig = Kubeconfig::read_from(Cluster::shared().await?.kubeconfig(User::Admin))?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        Ok(Self(Client::try_from(config)?))
    }

    async fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        let content_type =
            if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let bytes = if body.is_null() { Vec::new() } else { serde_json::to_vec(body).unwrap() };
        let request = Request::builder().method(method).uri(path).header("content-type", content_type);
        let response = self.0.send(request.body(Body::from(bytes)).unwrap()).await.unwrap();
        let warnings = response.headers().get_all("warning").iter().map(|value| {
            // 299 - "text"
            value.to_str().unwrap().splitn(2, '"').nth(1).unwrap().trim_end_matches('"').to_owned()
        });
        Answer {
            warnings: warnings.collect(),
            status: response.status(),
            body: serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap(),
            request: body.to_string().chars().take(LONG).collect(),
        }
    }

    async fn create(&self, object: &Value, options: &str) -> Answer {
        self.send("POST", &format!("{}?{options}", collection(object)), object).await
    }

    /// The object as the API server would store it.
    async fn accepts(&self, object: &Value) -> Value {
        self.create(object, "dryRun=All").await.accepted()
    }

    async fn rejects(&self, object: &Value, text: &str) {
        self.create(object, "dryRun=All").await.refused(text);
    }

    /// Refused when the client asks for strict validation, accepted and pruned when it does not.
    async fn rejects_strictly(&self, object: &Value, text: &str) {
        self.create(object, "dryRun=All&fieldValidation=Strict").await.refused(text);
        self.create(object, "dryRun=All&fieldValidation=Ignore").await.accepted();
    }
}

impl Answer {
    fn accepted(self) -> Value {
        assert!(self.status.is_success(), "{} is refused: {}", self.request, self.body["message"]);
        self.body
    }

    fn refused(&self, text: &str) {
        assert!(
            self.status.is_client_error(),
            "{} is accepted, but should be refused with: {text}",
            self.request
        );
        let message = self.body["message"].as_str().unwrap_or_default();
        assert!(message.contains(text), "{} is refused with: {message}, not with: {text}", self.request);
    }
}
