//! `spec.decryption`: what SOPS has encrypted is applied in plain, and shown nowhere else.

use std::fs;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::document;
use e2e::objects::Look;
use e2e::scenario::{Scenario, Settings};
use e2e::sops::{self, Key};
use e2e::testkit::{config_map, runs};
use e2e::token_server::TokenServer;
use serde_json::{Value, json};

use crate::cloud_keys::claims;

pub const DECRYPTION: &str = "  decryption: {provider: sops, secretRef: {name: keys}}\n";

/// A value of a Secret.
pub async fn value(test: &Scenario, secret: &str, key: &str) -> Result<String> {
    let key = key.replace('/', "~1");
    let value = test.get(&format!("Secret/{secret}")).await?.text(&format!("/data/{key}")).to_owned();
    Ok(String::from_utf8(STANDARD.decode(value)?)?)
}

/// Writes the files, commits them and applies source and Kustomization `app`, whose key is Secret `keys`.
async fn start(test: Scenario, key: &Key, files: &[(&str, String)]) -> Result<(Scenario, String)> {
    test.objects.apply_one(&key.secret("keys"), &test.namespace).await?;
    for (file, text) in files {
        test.repo.write(&format!("app/{file}"), text)?;
    }
    let commit = test.repo.commit("start")?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", DECRYPTION)).await?;
    Ok((test, commit))
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_are_decrypted_with_age_ssh_and_openpgp_keys() -> Result<()> {
    for (name, key) in [
        ("sops-age", Key::age()),
        ("sops-pq", Key::age_post_quantum()?),
        ("sops-ssh", Key::ssh()?),
        ("sops-pgp", Key::pgp()?),
    ] {
        let map = config_map("map", "all of it");
        let files = [
            ("secret.yaml", key.manifest("secret", "hunter2")?),
            // Of any kind, and every value of it.
            (
                "map.yaml",
                key.encrypt("yaml", &["--unencrypted-regex", "^(apiVersion|kind|metadata)$"], &map)?,
            ),
            ("comment.yaml", key.encrypt("yaml", &["--encrypted-comment-regex", "sops:enc"], &comment())?),
            ("plain.yaml", config_map("plain", "${not_substituted:=x}")),
        ];
        let (test, commit) = start(Scenario::new(name).await?, &key, &files).await?;
        test.applied("Kustomization/app", &commit).await?;
        ensure!(value(&test, "secret", "value").await? == "hunter2");
        ensure!(test.get("ConfigMap/map").await?.text("/data/value") == "all of it");
        ensure!(
            test.get("ConfigMap/comment").await?["data"] == json!({"value": "of a comment", "open": "1"})
        );
        ensure!(test.get("Secret/secret").await?.get("sops").is_none());
        test.finish().await?;
    }
    Ok(())
}

fn comment() -> String {
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: comment\ndata:\n  # sops:enc\n  value: of a comment\n  open: \"1\"\n"
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_generators_and_patches_are_decrypted_in_bases_and_components() -> Result<()> {
    let key = Key::age();
    let root = "resources: [../base, map.yaml]\ncomponents: [../component]\n\
        generatorOptions: {disableNameSuffixHash: true}\n\
        secretGenerator:\n\
        - name: files\n  files: [a.json, b.yaml=yaml.enc, c.ini, binary=d.bin, plain.txt]\n\
        - name: envs\n  envs: [.env]\n\
        - name: pull\n  type: kubernetes.io/dockerconfigjson\n  files: [.dockerconfigjson]\n\
        configMapGenerator:\n- name: shared\n  files: [a.json, own.json]\n\
        patches:\n- path: patch.yaml\n";
    let patch = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: map\ndata:\n  patched: secret patch\n";
    let docker = r#"{"auths": {"registry.example.com": {"auth": "dTpw"}}}"#;
    let component = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n\
        secretGenerator:\n- name: component\n  envs: [of.env]\n  options: {disableNameSuffixHash: true}\n";
    let base = "secretGenerator:\n- name: base\n  envs: [../files/shared.env]\n  options: {disableNameSuffixHash: true}\n";
    let files = [
        ("kustomization.yaml", root.to_owned()),
        ("map.yaml", config_map("map", "1")),
        ("a.json", key.encrypt("json", &[], r#"{"a": 1}"#)?),
        ("yaml.enc", key.encrypt("yaml", &[], "b: 2\n")?),
        ("c.ini", key.encrypt("ini", &[], "[s]\nc = 3\n")?),
        ("d.bin", key.encrypt("binary", &[], "four\n")?),
        ("own.json", key.encrypt("json", &[], r#"{"own": 1}"#)?),
        ("plain.txt", "plain".to_owned()),
        (".env", key.encrypt("dotenv", &[], "PASSWORD=hunter2\n")?),
        (".dockerconfigjson", key.encrypt("json", &[], docker)?),
        ("patch.yaml", key.encrypt("yaml", &["--encrypted-regex", "^data$"], patch)?),
        ("../base/kustomization.yaml", base.to_owned()),
        ("../files/shared.env", key.encrypt("dotenv", &[], "SHARED=base\n")?),
        ("../component/kustomization.yaml", component.to_owned()),
        ("../component/of.env", key.encrypt("dotenv", &[], "OF=component\n")?),
    ];
    let (test, commit) = start(Scenario::new("sops-files").await?, &key, &files).await?;
    test.applied("Kustomization/app", &commit).await?;
    for (secret, entry, expected) in [
        ("files", "a.json", "{\n\t\"a\": 1\n}\n"),
        ("files", "b.yaml", "b: 2\n"),
        ("files", "c.ini", "[s]\nc = 3\n"),
        ("files", "binary", "four\n"),
        ("files", "plain.txt", "plain"),
        ("envs", "PASSWORD", "hunter2"),
        ("base", "SHARED", "base"),
        ("component", "OF", "component"),
    ] {
        let found = value(&test, secret, entry).await?;
        ensure!(found.trim_end() == expected.trim_end(), "{secret} {entry}: {found:?}");
    }
    let pull: Value = serde_json::from_str(&value(&test, "pull", ".dockerconfigjson").await?)?;
    ensure!(pull["auths"]["registry.example.com"]["auth"] == "dTpw", "{pull}");
    ensure!(test.get("ConfigMap/map").await?.text("/data/patched") == "secret patch");
    // A file of a Secret's generator is in plain for all who read it, one of a ConfigMap alone stays as it is.
    let shared = test.get("ConfigMap/shared").await?;
    ensure!(shared.text("/data/a.json").contains("\"a\": 1"), "{shared}");
    ensure!(shared.text("/data/own.json").contains("ENC["), "{shared}");
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn encrypted_values_inside_a_secret_are_decrypted_before_substitution() -> Result<()> {
    let key = Key::age();
    let data = |name: &str, format: &str, plain: &str| {
        anyhow::Ok((name.to_owned(), Value::from(STANDARD.encode(key.encrypt(format, &[], plain)?))))
    };
    let data = serde_json::Map::from_iter([
        data("app.env", "dotenv", "COLOUR=${colour}\n")?,
        data("app.json", "yaml", "a: 1\n")?,
        data("app.yaml", "json", r#"{"a": 1}"#)?,
        data("app.ini", "ini", "[s]\nc = 3\n")?,
        data("app.bin", "binary", "four")?,
        ("plain".to_owned(), STANDARD.encode("as it is").into()),
    ]);
    let docker = r#"{"auths": {"registry.example.com": {"auth": "dTpw"}}}"#;
    let pull = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pull"}, "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": STANDARD.encode(key.encrypt("json", &[], docker)?)}});
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "inner"}, "data": data});
    let map = config_map("map", "${colour}");
    let map = key.encrypt("yaml", &["--encrypted-regex", "^data$"], &map)?;
    let files = [("inner.json.yaml", secret.to_string()), ("pull.yaml", pull.to_string()), ("map.yaml", map)];
    let (test, commit) = start(Scenario::new("sops-inner").await?, &key, &files).await?;
    let spec = format!("{DECRYPTION}  postBuild: {{substitute: {{colour: red}}}}\n");
    test.apply(&test.kustomization_yaml("app", "./app", &spec)).await?;
    test.until("ConfigMap/map", "is red", |map| map.text("/data/value") == "red").await?;
    test.applied("Kustomization/app", &commit).await?;
    ensure!(value(&test, "inner", "app.env").await?.trim_end() == "COLOUR=${colour}");
    let inner: Value = serde_json::from_str(&value(&test, "inner", "app.json").await?)?;
    ensure!(inner == json!({"a": 1}));
    ensure!(value(&test, "inner", "app.yaml").await?.trim_end() == "a: 1");
    ensure!(value(&test, "inner", "app.ini").await?.trim_end() == "[s]\nc = 3");
    ensure!(value(&test, "inner", "app.bin").await? == "four");
    let pull: Value = serde_json::from_str(&value(&test, "pull", ".dockerconfigjson").await?)?;
    ensure!(pull["auths"]["registry.example.com"]["auth"] == "dTpw", "{pull}");
    ensure!(value(&test, "inner", "plain").await? == "as it is");
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_missing_or_wrong_is_named_and_its_repair_noticed() -> Result<()> {
    let (key, other) = (Key::age(), Key::age());
    let files = [("secret.yaml", key.manifest("secret", "hunter2")?)];
    let (test, commit) = start(Scenario::new("sops-keys").await?, &other, &files).await?;
    let ready = |message: String| {
        let test = &test;
        async move { test.condition("Kustomization/app", "Ready", "False", "BuildFailed", &message).await }
    };
    let failed =
        ready("decryption failed for 'Secret.v1.[noGrp]/secret' in app/secret.yaml: ".to_owned()).await?;
    let tried = format!("in decryption Secret '{}/keys' (*.agekey: 1, *.asc: 0).", test.namespace);
    for part in [
        "failed to decrypt and format",
        "/secret' Secret data: cannot get sops data key: ",
        &key.recipient,
        &tried,
    ] {
        ensure!(failed.message.contains(part), "{part}: {}", failed.message);
    }
    test.objects.delete(&test.id("Secret/keys")?).await?;
    ready("secrets \"keys\" not found".to_owned()).await?;
    let broken = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys", "labels": {"reconcile.fluxcd.io/watch": "Enabled"}},
        "stringData": {"age.agekey": "AGE-SECRET-KEY-1HUNTER2"}});
    test.objects.apply_one(&broken, &test.namespace).await?;
    let failed = ready(format!(
        "failed to import 'age.agekey' data from sops decryption Secret '{}/keys': ",
        test.namespace
    ))
    .await?;
    ensure!(!failed.message.contains("HUNTER2"), "{}", failed.message);
    test.objects.delete(&test.id("Secret/keys")?).await?;
    test.objects.apply_one(&key.secret("keys"), &test.namespace).await?;
    test.applied("Kustomization/app", &commit).await?;
    ensure!(value(&test, "secret", "value").await? == "hunter2");

    // The identity is looked for even where age needs none.
    let account = "  decryption: {provider: sops, secretRef: {name: keys}, serviceAccountName: nobody}\n";
    test.apply(&test.kustomization_yaml("app", "./app", account)).await?;
    ready(format!(
        "failed to get decryption service account '{}/nobody': serviceaccounts \"nobody\" not found",
        test.namespace
    ))
    .await?;
    test.kubectl(&["create", "serviceaccount", "nobody"])?;
    test.ready("Kustomization/app").await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_changes_says_nothing_and_a_new_key_starts_one() -> Result<()> {
    let (key, new) = (Key::age(), Key::age());
    let files = [("secret.yaml", key.manifest("secret", "hunter2")?)];
    let (test, commit) =
        start(Scenario::with_own_controllers("sops-quiet", &[]).await?, &key, &files).await?;
    test.applied("Kustomization/app", &commit).await?;
    test.idle().await?;
    let app = test.id("Kustomization/app")?;
    let messages = async || {
        let events = test.objects.events(&app).await?;
        let of = |event: &Value| event.text("/message").to_owned();
        let mut messages: Vec<_> =
            events.iter().map(of).filter(|m| !m.starts_with("Reconciliation finished")).collect();
        messages.sort();
        anyhow::Ok(messages)
    };
    let (before, version) =
        (messages().await?, test.get("Secret/secret").await?.text("/metadata/resourceVersion").to_owned());
    test.run("Kustomization/app").await?;
    test.idle().await?;
    ensure!(messages().await? == before);
    ensure!(test.get("Secret/secret").await?.text("/metadata/resourceVersion") == version);

    // Encrypted anew, the values are the same.
    test.repo.write("app/secret.yaml", &key.manifest("secret", "hunter2")?)?;
    let commit = test.repo.commit("encrypt anew")?;
    test.request("GitRepository/app").await?;
    test.applied("Kustomization/app", &commit).await?;
    test.idle().await?;
    ensure!(messages().await? == before);
    ensure!(test.get("Secret/secret").await?.text("/metadata/resourceVersion") == version);

    // The key is rotated: first the Secret, which does not fit any longer, then the files.
    let ran = runs(&test, "app").await?;
    test.objects.apply_one(&new.secret("keys"), &test.namespace).await?;
    test.condition("Kustomization/app", "Ready", "False", "BuildFailed", &key.recipient).await?;
    ensure!(runs(&test, "app").await? > ran);
    ensure!(value(&test, "secret", "value").await? == "hunter2", "what was applied stays");
    test.repo.write("app/secret.yaml", &new.manifest("secret", "hunter3")?)?;
    let commit = test.repo.commit("rotate")?;
    test.request("GitRepository/app").await?;
    test.applied("Kustomization/app", &commit).await?;
    ensure!(value(&test, "secret", "value").await? == "hunter3");
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_controllers_age_secret_is_for_those_without_their_own() -> Result<()> {
    let (own, shared) = (Key::age(), Key::age());
    let name = format!("age-{:05x}", rand::random_range(0..0x10_0000));
    let flag = format!("--sops-age-secret={name}");
    let settings = Settings { kustomize: &[&flag], ..Settings::default() };
    let test = Scenario::with_settings("sops-shared", settings).await?;
    test.objects.apply_one(&shared.secret(&name), "flux-system").await?;
    test.repo.write("own/secret.yaml", &own.manifest("own", "1")?)?;
    test.repo.write("app/secret.yaml", &shared.manifest("secret", "2")?)?;
    let commit = test.repo.commit("start")?;
    test.objects.apply_one(&own.secret("keys"), &test.namespace).await?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "  decryption: {provider: sops}\n")).await?;
    test.applied("Kustomization/app", &commit).await?;
    ensure!(value(&test, "secret", "value").await? == "2");
    test.apply(&test.kustomization_yaml("own", "./own", DECRYPTION)).await?;
    test.applied("Kustomization/own", &commit).await?;
    // Its own Secret is all that it has then.
    test.apply(&test.kustomization_yaml("app", "./app", DECRYPTION)).await?;
    test.condition("Kustomization/app", "Ready", "False", "BuildFailed", &shared.recipient).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_decryption_an_encrypted_secret_is_refused_unless_it_is_meant_so() -> Result<()> {
    let key = Key::age();
    let test = Scenario::new("sops-none").await?;
    let commit = test.repo.commit_file("app/secret.yaml", &key.manifest("secret", "hunter2")?)?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    let message = format!(
        "Secret/{}/secret is SOPS encrypted, configuring decryption is required for this secret to be reconciled",
        test.namespace
    );
    test.condition("Kustomization/app", "Ready", "False", "BuildFailed", &message).await?;
    // A switch for one object.
    let disabled = key.manifest("secret", "hunter2")?.replace(
        "    name: secret\n",
        "    name: secret\n    annotations:\n        kustomize.toolkit.fluxcd.io/decrypt: disabled\n",
    );
    ensure!(disabled.contains("disabled"), "{disabled}");
    test.repo.write("app/secret.yaml", &disabled)?;
    let next = test.repo.commit("meant so")?;
    test.request("GitRepository/app").await?;
    test.applied("Kustomization/app", &next).await?;
    ensure!(value(&test, "secret", "value").await?.starts_with("ENC[AES256_GCM,"));
    ensure!(commit != next);
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_decrypted_is_in_no_message() -> Result<()> {
    const CANARY: &str = "canary-7f3a9c";
    let key = Key::age();
    let test = Scenario::with_own_controllers("sops-canary", &["--log-level=trace"]).await?;
    let deployment = format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  replicas: {CANARY}\n  selector: {{}}\n"
    );
    let patch = format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {CANARY}\n");
    let env = format!("A={CANARY}\n");
    let generator = "secretGenerator:\n- name: s\n  envs: [a.env]\n";
    let cases = [
        // What the API server says, and what the build engine says.
        vec![("d.yaml", key.encrypt("yaml", &["--encrypted-regex", "^replicas$"], &deployment)?)],
        vec![
            ("kustomization.yaml", "resources: [map.yaml]\npatches: [{path: p.yaml}]\n".to_owned()),
            ("map.yaml", config_map("map", "1")),
            ("p.yaml", key.encrypt("yaml", &["--encrypted-regex", "^name$"], &patch)?),
        ],
        vec![
            ("kustomization.yaml", generator.to_owned()),
            ("a.env", key.encrypt("dotenv", &[], &env)?.replacen("type:str]", "type:int]", 1)),
        ],
        vec![("s.yaml", key.manifest("s", CANARY)?.replacen("type:str]", "type:int]", 1))],
    ];
    test.objects.apply_one(&key.secret("keys"), &test.namespace).await?;
    for (number, files) in cases.iter().enumerate() {
        for (file, text) in files {
            ensure!(!text.contains(CANARY));
            test.repo.write(&format!("app{number}/{file}"), text)?;
        }
    }
    test.repo.commit("start")?;
    test.apply_source().await?;
    for number in 0..cases.len() {
        let name = format!("app{number}");
        test.apply(&test.kustomization_yaml(&name, &format!("./{name}"), DECRYPTION)).await?;
        let id = format!("Kustomization/{name}");
        let failed = test
            .until(&id, "has failed", |app| {
                app.condition("Ready")
                    .is_some_and(|ready| ready.status == "False" && ready.reason != "ArtifactFailed")
            })
            .await?;
        println!("{name}: {}", failed.condition("Ready").unwrap_or_default().message);
        ensure!(!failed.to_string().contains(CANARY), "{failed}");
        let events = test.objects.events(&test.id(&id)?).await?;
        ensure!(!format!("{events:?}").contains(CANARY), "{events:?}");
    }
    let pair = test.pair()?;
    for controller in [&pair.source, &pair.kustomize] {
        ensure!(!controller.log_text().contains(CANARY));
    }
    test.finish().await
}

/// A Secret's manifest for a key of a Vault, and a server that unwraps its data key for whoever asks.
pub async fn in_vault() -> Result<(String, TokenServer)> {
    let answer = r#"{"data": {"ciphertext": "vault:v1:wrapped"}}"#;
    let wraps = TokenServer::start(false, &[("PUT /v1/transit/encrypt/k", 200, answer)]).await?;
    let url = format!("{}/v1/transit/keys/k", wraps.url);
    let options = ["--hc-vault-transit", &url, "--encrypted-regex", "^stringData$"];
    let plain = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: secret\nstringData:\n  value: hunter2\n";
    let document =
        tokio::task::block_in_place(|| sops::encrypt("yaml", &options, &[("VAULT_TOKEN", "t")], plain))?;
    let (_, body) = wraps.take_requests().pop().unwrap_or_default();
    let key = serde_json::from_str::<Value>(&body)?.text("/plaintext").to_owned();
    let unwraps = [
        ("POST /v1/transit/decrypt/k", 200, &*json!({"data": {"plaintext": key}}).to_string()),
        ("POST /v1/auth/cluster/login", 200, r#"{"auth": {"client_token": "of the account"}}"#),
    ];
    let server = TokenServer::start(false, &unwraps).await?;
    Ok((document.replace(&wraps.url, &server.url), server))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_is_asked_with_the_token_of_the_secret_or_of_the_service_account() -> Result<()> {
    let (document, server) = in_vault().await?;
    let test = Scenario::new("sops-vault").await?;
    let commit = test.repo.commit_file("app/secret.yaml", &document)?;
    test.apply_source().await?;
    // The controller has no token for a server that a tenant names.
    test.apply(&test.kustomization_yaml("app", "./app", "  decryption: {provider: sops}\n")).await?;
    let message = "no Vault token for";
    let failed = test.condition("Kustomization/app", "Ready", "False", "BuildFailed", message).await?;
    ensure!(
        failed.message.contains(&format!("{}/v1/transit/keys/k: FAILED", server.url)),
        "{}",
        failed.message
    );
    ensure!(server.take_requests().is_empty());

    // As an editor leaves it: a header with a line break cannot be sent.
    let token =
        "{apiVersion: v1, kind: Secret, metadata: {name: keys}, stringData: {sops.vault-token: \"t\\n\"}}";
    test.objects.apply(token, &test.namespace).await?;
    test.apply(&test.kustomization_yaml("app", "./app", DECRYPTION)).await?;
    test.applied("Kustomization/app", &commit).await?;
    ensure!(value(&test, "secret", "value").await? == "hunter2");
    let asked = server.take_requests();
    ensure!(asked.len() == 1 && asked[0].1.contains("vault:v1:wrapped"), "{asked:?}");

    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "decryptor", "annotations": {
        "transit-engine.auth.fluxcd.io/login-path": "auth/cluster/login", "transit-engine.auth.fluxcd.io/role": "team"}}});
    test.objects.apply_one(&account, &test.namespace).await?;
    test.repo.write("app/second.yaml", &document.replace("name: secret", "name: second"))?;
    let commit = test.repo.commit("a second document")?;
    test.request("GitRepository/app").await?;
    test.applied("Kustomization/app", &commit).await?;
    server.take_requests();
    let spec = "  decryption: {provider: sops, serviceAccountName: decryptor}\n";
    test.apply(&test.kustomization_yaml("app", "./app", spec)).await?;
    test.ready("Kustomization/app").await?;
    let asked = server.take_requests();
    // One login is enough for both documents.
    let [(_, login), (_, _), (_, _)] = &asked[..] else { anyhow::bail!("{asked:?}") };
    let login: Value = serde_json::from_str(login)?;
    ensure!(login.text("/role") == "team");
    let shown = claims(login.text("/jwt"))?;
    ensure!(shown["aud"] == json!([server.url]), "{shown}");
    ensure!(shown.text("/sub") == format!("system:serviceaccount:{}:decryptor", test.namespace), "{shown}");

    // Of both, the token of the Secret is shown, and nobody logs in.
    let spec = "  decryption: {provider: sops, secretRef: {name: keys}, serviceAccountName: decryptor}\n";
    test.apply(&test.kustomization_yaml("app", "./app", spec)).await?;
    test.ready("Kustomization/app").await?;
    let asked = server.take_requests();
    ensure!(
        asked.len() == 2 && asked.iter().all(|(line, _)| line.contains("/transit/decrypt/k")),
        "{asked:?}"
    );

    // The account says whom its token is for, and for how long.
    let mut account = account;
    account["metadata"]["annotations"]["credential.auth.fluxcd.io/audiences"] = "vault.example".into();
    account["metadata"]["annotations"]["credential.auth.fluxcd.io/expiration"] = "20m".into();
    test.objects.apply_one(&account, &test.namespace).await?;
    let spec = "  decryption: {provider: sops, serviceAccountName: decryptor}\n  force: true\n";
    test.apply(&test.kustomization_yaml("app", "./app", spec)).await?;
    test.ready("Kustomization/app").await?;
    let asked = server.take_requests();
    let login: Value = serde_json::from_str(&asked.first().context("a login")?.1)?;
    let claims = claims(login.text("/jwt"))?;
    ensure!(claims["aud"] == json!(["vault.example"]), "{claims}");
    ensure!(claims.number("/exp") - claims.number("/iat") == 1200, "{claims}");
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_works_as_it_is_written() -> Result<()> {
    const GUIDE: &str = "docs/secrets.md";
    const HEADING: &str = "Encrypt and apply";
    let test = Scenario::new("sops-guide").await?;
    let folder = tempfile::tempdir()?;
    let programs = toolchain::sops()?;
    let programs = [programs.program.as_path(), &programs.age_keygen];
    let rename = |text: &str| {
        text.replace("-n apps", &format!("-n {}", test.namespace))
            .replace("amespace: apps", &format!("amespace: {}", test.namespace))
    };
    let mut said = String::new();
    for (number, commands) in document::commands(GUIDE, HEADING)?.iter().enumerate() {
        if number == 2 {
            let manifest = fs::read_to_string(folder.path().join("database.yaml"))?;
            ensure!(manifest.contains("ENC[") && !manifest.contains("ZXhhbXBsZQ=="), "{manifest}");
            test.repo.commit_file("app/database.yaml", &manifest)?;
            test.apply_source().await?;
            test.apply(&rename(&document::file(GUIDE, HEADING)?)).await?;
        }
        said = document::run_beside(&rename(commands), folder.path(), test.cluster, &programs).await?;
    }
    ensure!(said.ends_with("example"), "{said}");
    ensure!(document::headings_with_commands(GUIDE)? == [HEADING]);
    test.finish().await
}
