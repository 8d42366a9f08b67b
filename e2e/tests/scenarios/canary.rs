//! Recognisable secrets wherever a secret can be: none of them is where a person or a program reads what the controllers say.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use e2e::cluster::User;
use e2e::controller::Controller;
use e2e::idle::idle;
use e2e::objects::Look;
use e2e::scenario::{Scenario, Settings};
use e2e::sops::{self, Key};
use e2e::testkit::{config_map, files};
use e2e::token_server::TokenServer;
use e2e::wait::Not;
use flate2::read::GzDecoder;
use serde_json::{Value, json};

use crate::cloud_keys::{in_aws, in_azure};
use crate::helm_release::Helm;
use crate::helm_scenario::Running;

/// In every secret of the test, so that a place that shows part of one is found, too.
const CANARY: &str = "canary7";
const LEVELS: [&str; 4] = ["error", "info", "debug", "trace"];
/// What is not to be encrypted in a manifest of which all else is.
const OBJECT: [&str; 2] = ["--unencrypted-regex", "^(apiVersion|kind|metadata)$"];
/// Secrets of `spec.decryption` whose keys are of no use: name, entry and what it holds.
const BAD_KEYS: [(&str, &str, &str); 9] = [
    ("bad-age", "k.agekey", "SECRET"),
    ("bad-pgp", "k.asc", "SECRET"),
    (
        "bad-armour",
        "k.asc",
        "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nSECRET\n-----END PGP PRIVATE KEY BLOCK-----\n",
    ),
    ("bad-aws", "sops.aws-kms", "SECRET"),
    ("bad-aws-list", "sops.aws-kms", "aws_access_key_id: [SECRET]\n"),
    ("bad-azure", "sops.azure-kv", "SECRET"),
    (
        "bad-azure-certificate",
        "sops.azure-kv",
        r#"{"tenantId": "t", "clientId": "c", "clientCertificate": "SECRET"}"#,
    ),
    ("bad-gcp", "sops.gcp-kms", "SECRET"),
    (
        "bad-gcp-key",
        "sops.gcp-kms",
        r#"{"type": "service_account", "client_email": "a@b", "private_key": "SECRET", "token_uri": "https://127.0.0.1:1/"}"#,
    ),
];

/// Objects whose messages would hold a secret if nothing hid it.
const QUOTED: [&str; 9] =
    ["aws", "azure", "echo", "helm-echo", "helm-encoded", "helm-fail", "helm-own", "label", "variable"];

/// A secret of its own for a place.
fn secret(place: &str) -> String {
    format!("{CANARY}-{place}-{CANARY}")
}

/// How a secret may stand in a text: as it is, as a list of bytes in decimal, in hexadecimal, and as a part of something in base64,
/// wherever it begins in that.
fn spellings(secret: &str) -> Vec<String> {
    let encoded = (0..3).flat_map(|before| {
        let bytes = [&[0; 2][..before], secret.as_bytes()].concat();
        // The first characters depend on what is before, the last one on what follows.
        let (from, until) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
        let text = STANDARD_NO_PAD.encode(bytes)[from..until].to_owned();
        [text.replace('+', "-").replace('/', "_"), text]
    });
    let list: Vec<_> = secret.bytes().map(|byte| byte.to_string()).collect();
    let hexadecimal: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    encoded.chain([secret.to_owned(), list.join(", "), hexadecimal]).collect()
}

#[test]
fn a_secret_is_found_in_base64_wherever_it_begins() {
    use base64::engine::general_purpose::URL_SAFE;
    let secret = "canary7\u{1F980}~?";
    for before in ["", "a", "ab", "abc"] {
        let text = format!("{before}{secret} and more");
        for encoded in [STANDARD_NO_PAD.encode(&text), URL_SAFE.encode(&text)] {
            assert!(spellings(secret).iter().any(|spelt| encoded.contains(spelt)), "{before}");
        }
    }
    assert!(!spellings(secret).iter().any(|spelt| STANDARD_NO_PAD.encode("canary8").contains(spelt)));
}

/// A Service of this type, which the API server quotes when it refuses it.
fn service(name: &str, kind: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\nspec:\n  type: {kind}\n  ports:\n  - port: 80\n"
    )
}

/// A document for a key of a Vault that answers the request for it with a secret in an error.
async fn in_vault() -> Result<(String, TokenServer)> {
    let wrapped = r#"{"data": {"ciphertext": "vault:v1:wrapped"}}"#;
    let wraps = TokenServer::start(false, &[("PUT /v1/transit/encrypt/k", 200, wrapped)]).await?;
    let url = format!("{}/v1/transit/keys/k", wraps.url);
    let options = [&["--hc-vault-transit", url.as_str()][..], &OBJECT].concat();
    let plain = service("vault", &secret("vault"));
    let document =
        tokio::task::block_in_place(|| sops::encrypt("yaml", &options, &[("VAULT_TOKEN", "t")], &plain))?;
    let answer = format!("<html>{}</html>", secret("key-service"));
    let server = TokenServer::start(false, &[("POST /v1/transit/decrypt/k", 500, &answer)]).await?;
    Ok((document.replace(&wraps.url, &server.url), server))
}

/// Kustomizations by name: what their folder holds, more lines of their spec, and the reason of Ready.
async fn kustomizations(key: &Key, vault: &str) -> Result<Vec<(&'static str, String, String, &'static str)>> {
    let decryption = |keys: &str| format!("  decryption: {{provider: sops, secretRef: {{name: {keys}}}}}\n");
    let encrypted = |name: &str, kind: &str| key.encrypt("yaml", &OBJECT, &service(name, kind));
    let tampered = encrypted("tampered", &secret("tampered"))?.replace("GCM,data:", "GCM,data:AAAA");
    let text_as_number = encrypted("number", &secret("number"))?.replace("type:str", "type:int");
    // A value that is no base64.
    let data =
        format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: data\ndata:\n  a: {}\n", secret("data"));
    let data = key.encrypt("yaml", &OBJECT, &data)?;
    let remote = |secret: &str| format!("  kubeConfig: {{secretRef: {{name: {secret}}}}}\n");
    let variables = || "  postBuild: {substituteFrom: [{kind: Secret, name: variables}]}\n".to_owned();
    let label = config_map("label", "1").replace("name: label", "name: label, labels: {a: '${LABEL}'}");
    let map = || config_map("map", "1");
    let mut all = vec![
        ("good", key.manifest("good", &secret("good"))?, decryption("keys"), "ReconciliationSucceeded"),
        ("echo", encrypted("echo", &secret("echo"))?, decryption("keys"), "ReconciliationFailed"),
        ("data", data, decryption("keys"), "ReconciliationFailed"),
        ("tampered", tampered, decryption("keys"), "BuildFailed"),
        ("number", text_as_number, decryption("keys"), "BuildFailed"),
        ("stranger", key.manifest("stranger", &secret("stranger"))?, decryption("others"), "BuildFailed"),
        ("vault", vault.to_owned(), decryption("vault"), "BuildFailed"),
        ("aws", in_aws().await?.0, decryption("aws"), "BuildFailed"),
        ("azure", in_azure().await?.0, decryption("azure"), "BuildFailed"),
        ("variable", service("variable", "${TYPE}"), variables(), "ReconciliationFailed"),
        ("label", label, variables(), "ReconciliationFailed"),
        ("refused", map(), remote("refused"), "ReconciliationFailed"),
        ("unknown", map(), remote("unknown"), "ReconciliationFailed"),
        ("syntax", map(), remote("syntax"), "ReconciliationFailed"),
    ];
    for (name, ..) in BAD_KEYS {
        all.push((name, key.manifest(name, "1")?, decryption(name), "BuildFailed"));
    }
    Ok(all)
}

/// Charts and their templates; what is secret comes from values, or is put together where nobody looks.
fn charts() -> Vec<(&'static str, &'static str, String)> {
    let manifest =
        |name: &str, more: &str| format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\n{more}");
    let own = "{{ list \"cana\" \"ry7-own-cana\" \"ry7 !\" | join \"\" | quote }}";
    let schema = r#"{"properties": {"secret": {"type": "string", "pattern": "^x$"}}}"#;
    let text = "{{ .Values.secret | quote }}";
    vec![
        ("good", "templates/a.yaml", manifest("of-chart", &format!("stringData:\n  a: {text}\n"))),
        ("echo", "templates/a.yaml", service("echo", "{{ .Values.secret }}")),
        ("encoded", "templates/a.yaml", service("encoded", "{{ .Values.secret | b64enc }}")),
        (
            "own",
            "templates/a.yaml",
            manifest("own", &format!("  labels:\n    a: {own}\nstringData:\n  a: {own}\n")),
        ),
        ("fail", "templates/a.yaml", "{{ fail .Values.secret }}".to_owned()),
        ("parse", "templates/a.yaml", "a: [{{ .Values.secret }}".to_owned()),
        ("schema", "values.schema.json", schema.to_owned()),
    ]
}

/// HelmReleases by name: their chart, where their values come from, and the reason of Ready.
fn releases() -> Vec<(&'static str, &'static str, Value, &'static str)> {
    let of = |key: &str, path: Option<&str>| {
        let mut reference = json!({"kind": "Secret", "name": "values", "valuesKey": key});
        path.into_iter().for_each(|path| reference["targetPath"] = path.into());
        json!([reference])
    };
    let good = || of("good", None);
    vec![
        ("helm-good", "good", good(), "InstallSucceeded"),
        ("helm-path", "good", of("text", Some("secret")), "InstallSucceeded"),
        ("helm-echo", "echo", good(), "InstallFailed"),
        ("helm-encoded", "encoded", good(), "InstallFailed"),
        ("helm-own", "own", good(), "InstallFailed"),
        ("helm-fail", "fail", good(), "InstallFailed"),
        ("helm-parse", "parse", good(), "InstallFailed"),
        ("helm-schema", "schema", good(), "InstallFailed"),
        ("helm-syntax", "good", of("syntax", None), "ValuesError"),
        ("helm-text", "good", of("text", None), "ValuesError"),
        ("helm-list", "good", of("list", Some("a")), "ValuesError"),
    ]
}

async fn add_secret(test: &Scenario, name: &str, data: Value) -> Result<()> {
    let object =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
    test.objects.apply_one(&object, &test.namespace).await.map(drop)
}

/// Servers of AWS and of Entra that quote credentials when they refuse them.
async fn refusing() -> Result<(TokenServer, TokenServer)> {
    let quoted =
        format!("The Canonical String should have been 'x-amz-security-token:{}'", secret("session"));
    let aws = json!({"__type": "InvalidSignatureException", "message": quoted}).to_string();
    let quoted = format!("not known: {}", secret("azure"));
    let entra = json!({"error": "invalid_client", "error_description": quoted}).to_string();
    let aws = TokenServer::start(false, &[("POST /", 400, &aws)]).await?;
    Ok((aws, TokenServer::start(true, &[("POST /tenant/oauth2/v2.0/token", 401, &entra)]).await?))
}

async fn add_secrets(test: &Scenario, authority: &str) -> Result<()> {
    for (name, data) in [
        ("vault", json!({"sops.vault-token": secret("vault-token")})),
        (
            "aws",
            json!({"sops.aws-kms": format!("aws_access_key_id: AKIA\naws_secret_access_key: {}\naws_session_token: {}\n", secret("aws"), secret("session"))}),
        ),
        (
            "azure",
            json!({"sops.azure-kv": json!({
                "tenantId": "tenant", "clientId": "app", "clientSecret": secret("azure"), "authorityHost": authority,
            }).to_string()}),
        ),
        ("variables", json!({"TYPE": secret("variable"), "LABEL": format!("{} !", secret("label"))})),
        ("git", json!({"username": "me", "password": secret("git")})),
        (
            "values",
            json!({
                "good": format!("secret: {}\n", secret("value")),
                "syntax": format!("secret: [{}\n", secret("syntax")),
                "text": secret("text"),
                "list": format!("{{{}", secret("list")),
            }),
        ),
    ] {
        add_secret(test, name, data).await?;
    }
    for (name, entry, content) in BAD_KEYS {
        add_secret(test, name, json!({entry: content.replace("SECRET", &secret(name))})).await?;
    }
    Ok(())
}

/// Waits until the events of all objects that fail are posted; gives the bodies.
async fn posted(test: &Scenario, events: &TokenServer, failing: BTreeSet<&str>) -> Result<Vec<String>> {
    let mut bodies = Vec::new();
    test.wait("events of all that fails are posted", async || {
        bodies.extend(events.take_requests().into_iter().map(|(_, body)| body));
        let named = bodies.iter().filter_map(|body| serde_json::from_str::<Value>(body).ok());
        let named = named.filter(|event| event.text("/severity") == "error");
        let named: BTreeSet<_> = named.map(|event| event.text("/involvedObject/name").to_owned()).collect();
        match failing.iter().filter(|name| !named.contains(**name)).collect::<Vec<_>>() {
            missing if missing.is_empty() => Ok(()),
            missing => Err(Not::Yet(format!("none of {missing:?}"))),
        }
    })
    .await?;
    Ok(bodies)
}

async fn shows_no_secret(level: &'static str) -> Result<()> {
    let events = TokenServer::start(false, &[("POST /", 200, "")]).await?;
    let (aws, entra) = refusing().await?;
    let flags = [format!("--log-level={level}"), format!("--events-addr={}/", events.url)];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let environment = [
        ("AWS_ENDPOINT_URL_KMS", aws.url.as_str()),
        ("VAULT_CACERT_BYTES", entra.ca_pem().context("an authority")?),
    ];
    let settings = Settings { source: &flags, kustomize: &flags, environment: &environment };
    let test = Scenario::with_settings(&format!("canary-{level}"), settings).await?;
    let selector = test.selector();
    let helm_flags = [&[selector.as_str()], &flags[..]].concat();
    let controller = Controller::start(test.cluster, User::HelmController, &helm_flags).await?;
    let helm = Helm { test, controller: Running::Own(Box::new(controller)) };
    let test = &helm.test;
    let (key, other, (vault, _server)) = (Key::age(), Key::age(), in_vault().await?);
    add_secrets(test, &entra.url).await?;
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
        add_secret(test, name, json!({"value": kubeconfig})).await?;
    }
    let all = kustomizations(&key, &vault).await?;
    for (name, file, _, _) in &all {
        test.repo.write(&format!("{name}/a.yaml"), file)?;
    }
    for (name, path, text) in charts() {
        helm.commit_chart_in(&format!("charts/{name}"), "1.0.0", &[(path, &text)])?;
    }
    test.git.set_account(Some(("me", &secret("git"))));
    test.apply(&test.source_yaml("1h", "  secretRef: {name: git}\n")).await?;
    let of_url = format!("http://me:{}@{nobody}/app", secret("url"));
    test.apply(&format!(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {{name: of-url}}\nspec: {{interval: 1h, url: '{of_url}'}}\n"
    ))
    .await?;
    for (name, _, more, _) in &all {
        // So rarely that they are idle now and then.
        let yaml = test.kustomization_yaml(name, &format!("./{name}"), more);
        test.apply(&yaml.replace("retryInterval: 2s", "retryInterval: 2m")).await?;
    }
    for (name, chart, values, _) in releases() {
        let chart = helm.chart_in(&format!("charts/{chart}"));
        helm.release_named(name, &json!({"chart": chart, "valuesFrom": values})).await?;
    }
    let (kustomized, released) = (all.iter(), releases());
    let kustomized = kustomized.map(|(name, _, _, reason)| ("Kustomization", *name, *reason));
    let released = released.iter().map(|(name, _, _, reason)| ("HelmRelease", *name, *reason));
    let mut failing = BTreeSet::from(["of-url"]);
    for (kind, name, reason) in kustomized.chain(released) {
        let status = if reason.ends_with("Succeeded") { "True" } else { "False" };
        let hidden = if QUOTED.contains(&name) { "***" } else { "" };
        test.condition(&format!("{kind}/{name}"), "Ready", status, reason, hidden).await?;
        failing.extend(Some(name).filter(|_| status == "False"));
    }
    test.until("GitRepository/of-url", "fails", |seen| {
        seen.condition("Ready").is_some_and(|ready| ready.status == "False")
    })
    .await?;
    ensure!(!aws.take_requests().is_empty() && !entra.take_requests().is_empty(), "both clouds are asked");
    test.idle().await?;
    idle(&[&helm.controller]).await?;
    let bodies = posted(test, &events, failing).await?;
    look_everywhere(&helm, level, &private, &bodies).await?;
    helm.test.finish().await
}

/// What is looked for, and where it was found.
struct Search {
    wanted: Vec<String>,
    found: Vec<String>,
}

impl Search {
    fn look(&mut self, place: &str, text: &str) {
        let Some(at) = self.wanted.iter().find_map(|secret| text.find(secret)) else { return };
        let (from, to) = (at.saturating_sub(400), (at + 100).min(text.len()));
        self.found.push(format!("{place}: {}", text.get(from..to).unwrap_or(text)));
    }

    /// Looks at temporary files, and at artifacts as they are served and unpacked.
    fn look_at_disk(&mut self, controller: &Controller) -> Result<()> {
        let folders: [&Path; 2] = [&controller.temporary(), &controller.storage()];
        for file in folders.into_iter().filter(|folder| folder.exists()).flat_map(files) {
            let bytes = fs::read(&file)?;
            let mut unpacked = Vec::new();
            // What is no archive is looked at as it is.
            let _ = GzDecoder::new(&*bytes).read_to_end(&mut unpacked);
            for content in [&bytes, &unpacked] {
                self.look(&file.display().to_string(), &String::from_utf8_lossy(content));
            }
        }
        Ok(())
    }
}

/// Looks for secrets wherever somebody may read.
async fn look_everywhere(helm: &Helm, level: &str, private: &[String], bodies: &[String]) -> Result<()> {
    let test = &helm.test;
    let wanted = private.iter().map(String::as_str).chain([CANARY]);
    let mut search = Search { wanted: wanted.flat_map(spellings).collect(), found: Vec::new() };
    for kind in ["gitrepositories", "helmcharts", "kustomizations", "helmreleases"] {
        let objects: Value = serde_json::from_str(&test.kubectl(&["get", kind, "-o", "json"])?)?;
        for object in objects["items"].as_array().context("items")? {
            search.look(&format!("status of {}", object["metadata"]["name"]), &object["status"].to_string());
        }
    }
    search.look("events", &test.kubectl(&["get", "events", "-o", "json"])?);
    bodies.iter().for_each(|body| search.look("what is posted", body));
    let pair = test.pair()?;
    for (name, controller) in [
        ("source-controller", &pair.source),
        ("kustomize-controller", &pair.kustomize),
        ("helm-controller", &helm.controller),
    ] {
        search.look(&format!("log of {name}"), &controller.log_text());
        search.look(&format!("metrics of {name}"), &controller.metrics().await?);
        search.look(&format!("/debug/objects of {name}"), &controller.debug_objects("").await?.to_string());
        search.look_at_disk(controller)?;
    }
    ensure!(search.found.is_empty(), "level {level}: secrets are in\n{}", search.found.join("\n"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_nowhere_to_be_read() -> Result<()> {
    futures::future::try_join_all(LEVELS.map(shows_no_secret)).await.map(drop)
}
