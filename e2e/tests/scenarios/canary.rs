//! Recognisable secrets wherever a secret can be: none of them is where a person or a program reads what the controllers say.

use std::fs;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use e2e::cluster::User;
use e2e::controller::Controller;
use e2e::objects::Look;
use e2e::scenario::{Scenario, Settings};
use e2e::sops::{self, Key};
use e2e::testkit::files;
use e2e::token_server::TokenServer;
use flate2::read::GzDecoder;
use serde_json::{Value, json};

/// In every secret of the test, so that a place that shows part of one is found, too.
const CANARY: &str = "canary7";
const LEVELS: [&str; 4] = ["error", "info", "debug", "trace"];
/// What is not to be encrypted in a manifest of which all else is.
const OBJECT: [&str; 2] = ["--unencrypted-regex", "^(apiVersion|kind|metadata)$"];

/// A secret of its own for a place.
fn secret(place: &str) -> String {
    format!("{CANARY}-{place}-{CANARY}")
}

/// A Deployment whose number of replicas is this, which the API server quotes when it refuses it.
fn deployment(name: &str, replicas: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\nspec:\n  replicas: {replicas}\n  selector:\n    \
         matchLabels:\n      app: {name}\n  template:\n    metadata:\n      labels:\n        app: {name}\n    spec:\n      \
         containers:\n      - name: app\n        image: app\n"
    )
}

/// A document for a key of a Vault that answers the request for it with a secret in an error.
async fn in_vault() -> Result<(String, TokenServer)> {
    let wrapped = r#"{"data": {"ciphertext": "vault:v1:wrapped"}}"#;
    let wraps = TokenServer::start(false, &[("PUT /v1/transit/encrypt/k", 200, wrapped)]).await?;
    let url = format!("{}/v1/transit/keys/k", wraps.url);
    let options = [&["--hc-vault-transit", url.as_str()][..], &OBJECT].concat();
    let plain = deployment("vault", &secret("vault"));
    let document =
        tokio::task::block_in_place(|| sops::encrypt("yaml", &options, &[("VAULT_TOKEN", "t")], &plain))?;
    let answer = format!("<html>{}</html>", secret("key-service"));
    let server = TokenServer::start(false, &[("POST /v1/transit/decrypt/k", 500, &answer)]).await?;
    Ok((document.replace(&wraps.url, &server.url), server))
}

/// Kustomizations by name: what their folder holds, more lines of their spec, and the reason of Ready.
fn kustomizations(key: &Key, vault: &str) -> Result<Vec<(&'static str, String, String, &'static str)>> {
    let decryption = |keys: &str| format!("  decryption: {{provider: sops, secretRef: {{name: {keys}}}}}\n");
    let encrypted = |name: &str, replicas: &str| key.encrypt("yaml", &OBJECT, &deployment(name, replicas));
    let tampered = encrypted("tampered", &secret("tampered"))?.replace("data:", "data:AAAA");
    let text_as_number = encrypted("number", &secret("number"))?.replace("type:str", "type:int");
    let remote = |secret: &str| format!("  kubeConfig: {{secretRef: {{name: {secret}}}}}\n");
    let variables = "  postBuild: {substituteFrom: [{kind: Secret, name: variables}]}\n";
    let map = || "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: map\n".to_owned();
    Ok(vec![
        ("good", key.manifest("good", &secret("good"))?, decryption("keys"), "ReconciliationSucceeded"),
        ("echo", encrypted("echo", &secret("echo"))?, decryption("keys"), "ReconciliationFailed"),
        ("tampered", tampered, decryption("keys"), "BuildFailed"),
        ("number", text_as_number, decryption("keys"), "BuildFailed"),
        ("stranger", key.manifest("stranger", &secret("stranger"))?, decryption("others"), "BuildFailed"),
        ("no-key", key.manifest("no-key", &secret("no-key"))?, decryption("broken"), "BuildFailed"),
        ("vault", vault.to_owned(), decryption("vault"), "BuildFailed"),
        ("variable", deployment("variable", "${REPLICAS}"), variables.to_owned(), "ReconciliationFailed"),
        ("refused", map(), remote("refused"), "ReconciliationFailed"),
        ("unknown", map(), remote("unknown"), "ReconciliationFailed"),
        ("syntax", map(), remote("syntax"), "ReconciliationFailed"),
    ])
}

async fn add_secret(test: &Scenario, name: &str, data: Value) -> Result<()> {
    let object =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
    test.objects.apply_one(&object, &test.namespace).await.map(drop)
}

async fn shows_no_secret(level: &'static str) -> Result<()> {
    let flag = format!("--log-level={level}");
    let settings = Settings { source: &[&flag], kustomize: &[&flag], ..Settings::default() };
    let test = Scenario::with_settings(&format!("canary-{level}"), settings).await?;
    let (key, other, (vault, _server)) = (Key::age(), Key::age(), in_vault().await?);
    for (name, data) in [
        (
            "broken",
            json!({"broken.agekey": secret("age"), "sops.azure-kv": secret("azure"), "sops.aws-kms": secret("aws")}),
        ),
        ("vault", json!({"sops.vault-token": secret("vault-token")})),
        ("variables", json!({"REPLICAS": secret("variable")})),
        ("git", json!({"username": "me", "password": secret("git")})),
    ] {
        add_secret(&test, name, data).await?;
    }
    let mut private = Vec::new();
    for (name, key) in [("keys", &key), ("others", &other)] {
        let object = key.secret(name);
        let text = object["stringData"]["key.agekey"].as_str().context("a private key")?;
        private.push(text.lines().last().unwrap_or_default().to_owned());
        test.objects.apply_one(&object, &test.namespace).await?;
    }
    let good = fs::read_to_string(test.cluster.kubeconfig(User::Admin))?;
    let with_token = good.replace("token: ", &format!("token: {}", secret("token")));
    let server = good.lines().find_map(|line| line.split_once("server: ")).context("no server")?.1;
    let nobody = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
    for (name, kubeconfig) in [
        ("refused", with_token.replace(server, &format!("https://{nobody}"))),
        ("unknown", with_token.clone()),
        ("syntax", format!("users: {}\n", secret("kubeconfig"))),
    ] {
        add_secret(&test, name, json!({"value": kubeconfig})).await?;
    }
    let all = kustomizations(&key, &vault)?;
    for (name, file, _, _) in &all {
        test.repo.write(&format!("{name}/a.yaml"), file)?;
    }
    test.repo.commit("start")?;
    test.git.set_account(Some(("me", &secret("git"))));
    test.apply(&test.source_yaml("1h", "  secretRef: {name: git}\n")).await?;
    let of_url = format!("http://me:{}@{nobody}/app", secret("url"));
    test.apply(&format!(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {{name: of-url}}\nspec: {{interval: 1h, url: '{of_url}'}}\n"
    ))
    .await?;
    for (name, _, more, _) in &all {
        test.apply(&test.kustomization_yaml(name, &format!("./{name}"), more)).await?;
    }
    for (name, _, _, reason) in &all {
        let status = if *reason == "ReconciliationSucceeded" { "True" } else { "False" };
        test.condition(&format!("Kustomization/{name}"), "Ready", status, reason, "").await?;
    }
    test.until("GitRepository/of-url", "fails", |seen| {
        seen.condition("Ready").is_some_and(|ready| ready.status == "False")
    })
    .await?;
    test.idle().await?;

    let check = |place: &str, text: &str| {
        let shown = private.iter().map(String::as_str).chain([CANARY]).find(|secret| text.contains(secret));
        let around = shown.and_then(|secret| text.find(secret)).map(|at| {
            let (from, to) = (at.saturating_sub(200), (at + 100).min(text.len()));
            text.get(from..to).unwrap_or(text).to_owned()
        });
        ensure!(around.is_none(), "level {level}: a secret is in {place}: {}", around.unwrap_or_default());
        anyhow::Ok(())
    };
    for kind in ["gitrepositories", "kustomizations"] {
        let objects: Value = serde_json::from_str(&test.kubectl(&["get", kind, "-o", "json"])?)?;
        for object in objects["items"].as_array().context("items")? {
            check(&format!("the status of {}", object["metadata"]["name"]), &object["status"].to_string())?;
        }
    }
    check("the events", &test.kubectl(&["get", "events", "-o", "json"])?)?;
    let pair = test.pair()?;
    for (name, controller) in [("source-controller", &pair.source), ("kustomize-controller", &pair.kustomize)]
    {
        check(&format!("the log of {name}"), &controller.log_text())?;
        check(&format!("the metrics of {name}"), &controller.metrics().await?)?;
        check(&format!("/debug/objects of {name}"), &controller.debug_objects("").await?.to_string())?;
        left_on_disk(controller, &check)?;
    }
    test.finish().await
}

/// Looks at temporary files, and at artifacts as they are served and unpacked.
fn left_on_disk(controller: &Controller, check: &impl Fn(&str, &str) -> Result<()>) -> Result<()> {
    let folders: [&Path; 2] = [&controller.temporary(), &controller.storage()];
    for file in folders.into_iter().filter(|folder| folder.exists()).flat_map(files) {
        let bytes = fs::read(&file)?;
        let mut unpacked = Vec::new();
        // What is no archive is looked at as it is.
        let _ = GzDecoder::new(&*bytes).read_to_end(&mut unpacked);
        for content in [&bytes, &unpacked] {
            check(&file.display().to_string(), &String::from_utf8_lossy(content))?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_nowhere_to_be_read() -> Result<()> {
    futures::future::try_join_all(LEVELS.map(shows_no_secret)).await.map(drop)
}
