//! `spec.decryption` with keys of clouds and of Vaults, against servers of this machine.

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use e2e::objects::Look;
use e2e::proxy::ProxyServer;
use e2e::scenario::{Scenario, Settings};
use e2e::signer::Signer;
use e2e::sops;
use e2e::token_server::TokenServer;
use serde_json::{Value, json};

use crate::decryption::{DECRYPTION, in_vault, value};

const AWS_KEY: &str = "arn:aws:kms:eu-west-1:123456789012:key/one";
const GCP_KEY: &str = "projects/p/locations/global/keyRings/r/cryptoKeys/k";
const POOL: &str = "projects/1/locations/global/workloadIdentityPools/p/providers/q";
const OPAQUE: &str = r#"{"access_token": "t", "expires_in": 3600}"#;
const STS: &str = "<R><Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
    <SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></R>";

/// What the program makes of a Secret `name` for a key service, and the data key, in base64, that it had wrapped.
async fn wrapped(
    name: &str,
    option: [&str; 2],
    variable: &str,
    request: &str,
    answer: &str,
    field: &str,
) -> Result<(String, String)> {
    let server = TokenServer::start(false, &[(request, 200, answer)]).await?;
    let environment = [
        (variable, server.url.as_str()),
        ("AWS_ACCESS_KEY_ID", "AKIA"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
        ("SOPS_GCP_KMS_CLIENT_TYPE", "rest"),
        ("GOOGLE_OAUTH_ACCESS_TOKEN", "t"),
    ];
    let plain =
        format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\nstringData:\n  value: of {name}\n");
    let options = [&option[..], &["--encrypted-regex", "^stringData$"]].concat();
    let document = tokio::task::block_in_place(|| sops::encrypt("yaml", &options, &environment, &plain))?;
    let (_, body) = server.take_requests().pop().context("a key was wrapped")?;
    Ok((document, serde_json::from_str::<Value>(&body)?.text(field).to_owned()))
}

/// A Secret `aws` for a key of AWS.
pub async fn in_aws() -> Result<(String, String)> {
    let answer = json!({"CiphertextBlob": "d3JhcHBlZA==", "KeyId": AWS_KEY}).to_string();
    wrapped("aws", ["--kms", AWS_KEY], "AWS_ENDPOINT_URL_KMS", "POST /", &answer, "/Plaintext").await
}

/// A Secret `azure` for a key of Azure Key Vault, whose clients cannot be led to another host: a document for a Vault, with the
/// wrapped key of another service.
pub async fn in_azure() -> Result<(String, String)> {
    let (request, answer) = ("PUT /v1/transit/encrypt/k", r#"{"data": {"ciphertext": "vault:v1:wrapped"}}"#);
    let server = TokenServer::start(false, &[(request, 200, answer)]).await?;
    let url = format!("{}/v1/transit/keys/k", server.url);
    let options = ["--hc-vault-transit", &url, "--encrypted-regex", "^stringData$"];
    let plain = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: azure\nstringData:\n  value: of azure\n";
    let document =
        tokio::task::block_in_place(|| sops::encrypt("yaml", &options, &[("VAULT_TOKEN", "t")], plain))?;
    let mut document: Value = serde_yaml::from_str(&document)?;
    let metadata = document["sops"].as_object_mut().context("metadata")?;
    metadata.remove("hc_vault").context("a key of a Vault")?;
    let key = json!({"vault_url": "https://my.vault.azure.net", "name": "k", "version": "1",
        "created_at": "2026-01-01T00:00:00Z", "enc": "d3JhcHBlZA"});
    metadata.insert("azure_kv".to_owned(), json!([key]));
    let (_, body) = server.take_requests().pop().context("a key was wrapped")?;
    let plaintext = serde_json::from_str::<Value>(&body)?.text("/plaintext").to_owned();
    let plaintext = URL_SAFE_NO_PAD.encode(STANDARD.decode(plaintext)?);
    Ok((serde_yaml::to_string(&document)?, plaintext))
}

/// What a JSON Web Token says.
pub fn claims(token: &str) -> Result<Value> {
    let payload = token.split('.').nth(1).context("a JSON Web Token")?;
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload)?)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_clouds_are_unwrapped_for_the_secret_and_for_the_service_account() -> Result<()> {
    let (aws, aws_key) = in_aws().await?;
    let (gcp, gcp_key) = wrapped(
        "gcp",
        ["--gcp-kms", GCP_KEY],
        "SOPS_GCP_KMS_ENDPOINT",
        &format!("POST /v1/{GCP_KEY}:encrypt"),
        &json!({"ciphertext": "d3JhcHBlZA==", "name": GCP_KEY}).to_string(),
        "/plaintext",
    )
    .await?;
    let (azure, azure_key) = in_azure().await?;
    let decrypts = format!("POST /v1/{GCP_KEY}:decrypt");
    let clouds = [
        ("POST /", 200, &*json!({"Plaintext": aws_key, "KeyId": AWS_KEY}).to_string()),
        ("POST /sts/", 200, STS),
        (&*decrypts, 200, &*json!({"plaintext": gcp_key}).to_string()),
        ("POST /token", 200, OPAQUE),
        ("POST /v1/token", 200, OPAQUE),
        ("POST /tenant/oauth2/v2.0/token", 200, OPAQUE),
    ];
    let clouds = TokenServer::start(false, &clouds).await?;
    let vault = [
        ("POST /tenant/oauth2/v2.0/token", 200, OPAQUE),
        ("POST /keys/k/1/decrypt", 200, &*json!({"value": azure_key}).to_string()),
    ];
    let vault = TokenServer::start(true, &vault).await?;
    let port = vault.url.rsplit(':').next().context("a port")?.parse()?;
    let proxy = ProxyServer::redirecting(".vault.azure.net", port);
    let environment = [
        ("AWS_ENDPOINT_URL_KMS", clouds.url.as_str()),
        ("AWS_ENDPOINT_URL_STS", &format!("{}/sts/", clouds.url)),
        ("SOPS_GCP_KMS_ENDPOINT", &clouds.url),
        ("CLOUDSDK_API_ENDPOINT_OVERRIDES_STS", &clouds.url),
        ("AZURE_AUTHORITY_HOST", &clouds.url),
        ("HTTPS_PROXY", &format!("http://127.0.0.1:{}", proxy.port)),
        ("NO_PROXY", "127.0.0.1,localhost"),
        ("VAULT_CACERT_BYTES", vault.ca_pem().context("an authority")?),
    ];
    let settings = Settings { environment: &environment, ..Settings::default() };
    let test = Scenario::with_settings("sops-clouds", settings).await?;
    let files = [("aws", &aws), ("gcp", &gcp), ("azure", &azure)];
    for (name, document) in files {
        test.repo.write(&format!("{name}/secret.yaml"), document)?;
    }
    let commit = test.repo.commit("start")?;
    let account = json!({"type": "service_account", "client_email": "me@p.iam.gserviceaccount.com",
        "private_key": Signer::new()?.rsa_pem("me")?, "token_uri": format!("{}/token", clouds.url)});
    let principal =
        json!({"tenantId": "tenant", "clientId": "app", "clientSecret": "pw", "authorityHost": vault.url});
    let keys = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {
        "sops.aws-kms": "aws_access_key_id: AKIA\naws_secret_access_key: s\n",
        "sops.gcp-kms": account.to_string(), "sops.azure-kv": principal.to_string()}});
    test.objects.apply_one(&keys, &test.namespace).await?;
    test.apply_source().await?;
    let tell = |name: &str| {
        let (clouds, vault) = (clouds.take_requests(), vault.take_requests());
        println!("{name}: {clouds:?} {vault:?}");
        (clouds, vault)
    };
    let lines = |requests: &[(String, String)]| requests.iter().map(|(l, _)| l.clone()).collect::<Vec<_>>();
    for (name, of_clouds, of_vault) in [
        ("aws", &["POST /"][..], &[][..]),
        ("gcp", &["POST /token", &decrypts], &[]),
        ("azure", &[], &["POST /tenant/oauth2/v2.0/token", "POST /keys/k/1/decrypt"]),
    ] {
        test.apply(&test.kustomization_yaml(name, &format!("./{name}"), DECRYPTION)).await?;
        test.applied(&format!("Kustomization/{name}"), &commit).await?;
        ensure!(value(&test, name, "value").await? == format!("of {name}"));
        let (clouds, vault) = tell(name);
        ensure!(lines(&clouds) == of_clouds && lines(&vault) == of_vault);
    }

    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "decryptor", "annotations": {
        "eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/me", "gcp.auth.fluxcd.io/workload-identity-provider": POOL,
        "azure.workload.identity/tenant-id": "tenant", "azure.workload.identity/client-id": "app"}}});
    test.objects.apply_one(&account, &test.namespace).await?;
    let spec = "  decryption: {provider: sops, serviceAccountName: decryptor}\n";
    for (name, of_clouds, audience) in [
        ("aws", ["POST /sts/", "POST /"].as_slice(), "sts.amazonaws.com".to_owned()),
        ("gcp", &["POST /v1/token", &decrypts], format!("//iam.googleapis.com/{POOL}")),
        ("azure", &["POST /tenant/oauth2/v2.0/token"], "api://AzureADTokenExchange".to_owned()),
    ] {
        let id = format!("Kustomization/{name}");
        test.apply(&test.kustomization_yaml(name, &format!("./{name}"), spec)).await?;
        test.ready(&id).await?;
        let (asked, vault) = tell(name);
        ensure!(lines(&asked) == of_clouds && vault.len() == usize::from(name == "azure"));
        let token = asked[0].1.split(['&', '=', '"']).find(|text| text.starts_with("ey"));
        let claims = claims(token.context("a token")?)?;
        ensure!(claims["aud"] == json!([audience]), "{claims}");
        ensure!(
            claims.text("/sub") == format!("system:serviceaccount:{}:decryptor", test.namespace),
            "{claims}"
        );
        // What a cloud gave is kept.
        test.run(&id).await?;
        test.ready(&id).await?;
        let (asked, _) = tell(name);
        ensure!(!asked.iter().any(|(line, _)| *line == of_clouds[0]), "{asked:?}");
        let operation = format!("operation=\"decrypt_with_{name}\"");
        let namespace = format!("namespace=\"{}\"", test.namespace);
        let labels = ["event_type=\"cache_miss\"", "kind=\"Kustomization\"", &operation, &namespace];
        let misses = test.pair()?.kustomize.metric("gotk_token_cache_events_total", &labels).await?;
        ensure!(misses == 1.0, "{name}: {misses}");
    }
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn vaults_of_the_operators_config_map_are_the_only_ones_that_get_tokens() -> Result<()> {
    let ((listed, server), (unlisted, other)) = (in_vault().await?, in_vault().await?);
    let name = format!("vaults-{:05x}", rand::random_range(0..0x10_0000));
    let flag = format!("--sops-vault-configmap={name}");
    let settings = Settings { kustomize: &[&flag], ..Settings::default() };
    let test = Scenario::with_settings("sops-vaults", settings).await?;
    let config = format!("instances:\n- address: {}\n  loginPath: auth/cluster/login\n", server.url);
    let vaults = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"config.yaml": config}});
    test.objects.apply_one(&vaults, "flux-system").await?;
    test.kubectl(&["create", "serviceaccount", "decryptor"])?;
    test.repo.write("listed/secret.yaml", &listed)?;
    test.repo.write("unlisted/secret.yaml", &unlisted.replace("name: secret", "name: other"))?;
    let commit = test.repo.commit("start")?;
    test.apply_source().await?;
    let spec = "  decryption: {provider: sops, serviceAccountName: decryptor}\n";
    test.apply(&test.kustomization_yaml("listed", "./listed", spec)).await?;
    test.applied("Kustomization/listed", &commit).await?;
    ensure!(value(&test, "secret", "value").await? == "hunter2");
    let asked = server.take_requests();
    let [(_, login), (_, _)] = &asked[..] else { anyhow::bail!("{asked:?}") };
    let login: Value = serde_json::from_str(login)?;
    ensure!(login.text("/role") == format!("{}_decryptor", test.namespace), "{login}");
    ensure!(claims(login.text("/jwt"))?["aud"] == json!([server.url]));

    test.apply(&test.kustomization_yaml("unlisted", "./unlisted", spec)).await?;
    let message = "no Vault login path configured for address";
    let failed = test.condition("Kustomization/unlisted", "Ready", "False", "BuildFailed", message).await?;
    for part in [format!("| '{}' in ConfigMap", other.url), format!("| 'flux-system/{name}'")] {
        ensure!(failed.message.contains(&part), "{part}: {}", failed.message);
    }
    ensure!(other.take_requests().is_empty());
    // An account cannot say where it logs in then.
    let annotations = json!({"metadata": {"annotations": {
        "transit-engine.auth.fluxcd.io/login-path": "auth/mine/login", "transit-engine.auth.fluxcd.io/role": "mine"}}});
    test.patch("ServiceAccount/decryptor", &annotations).await?;
    let message = "cannot be used with";
    test.condition("Kustomization/unlisted", "Ready", "False", "BuildFailed", message).await?;
    ensure!(other.take_requests().is_empty());
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_without_measure_end_with_an_error_and_hold_up_nobody() -> Result<()> {
    let key = sops::Key::age();
    let test = Scenario::with_own_controllers("sops-sizes", &[]).await?;
    test.objects.apply_one(&key.secret("keys"), &test.namespace).await?;
    let good = key.manifest("good", "1")?;
    test.repo.write("good/secret.yaml", &good)?;
    let long = good
        .replace("name: good", &format!("name: long\n    annotations:\n        a: {}", "x".repeat(6 << 20)));
    test.repo.write("long/secret.yaml", &long)?;
    let generator = "secretGenerator:\n- name: s\n  files: [big.bin]\n";
    test.repo.write("file/kustomization.yaml", generator)?;
    let binary = key.encrypt("binary", &[], "x")?;
    test.repo.write("file/big.bin", &format!("{binary}{}\n", " ".repeat(6 << 20)))?;
    let entry = good.lines().skip_while(|line| !line.trim_start().starts_with("- ")).collect::<Vec<_>>();
    let until = entry.iter().position(|line| line.starts_with("    ") && !line.starts_with("     "));
    let entry = entry[..until.context("the end of the recipients")?].join("\n") + "\n";
    ensure!(entry.contains(&key.recipient), "{entry}");
    test.repo.write(
        "many/secret.yaml",
        &good.replace("name: good", "name: many").replace(&entry, &entry.repeat(10_000)),
    )?;
    let commit = test.repo.commit("start")?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("good", "./good", DECRYPTION)).await?;
    test.applied("Kustomization/good", &commit).await?;
    let before = test.pair()?.kustomize.usage()?;
    for name in ["long", "file", "many"] {
        test.apply(&test.kustomization_yaml(name, &format!("./{name}"), DECRYPTION)).await?;
    }
    for (name, reason, parts) in [
        // It is no longer than what is built may be, and longer than the API server takes.
        ("long", "ReconciliationFailed", ["/long dry-run failed", "request entity too large"]),
        ("file", "BuildFailed", ["file/big.bin: cannot decrypt", "exceeding limit (5242880)"]),
        ("many", "BuildFailed", ["/many' secret data", "more than 256 "]),
    ] {
        let failed = test.condition(&format!("Kustomization/{name}"), "Ready", "False", reason, "").await?;
        println!("{name}: {}", failed.message);
        for part in parts {
            ensure!(failed.message.to_lowercase().contains(part), "{part}: {}", failed.message);
        }
    }
    test.run("Kustomization/good").await?;
    test.ready("Kustomization/good").await?;
    let after = test.pair()?.kustomize.usage()?;
    println!("peak: {} KiB, then {} KiB", before.peak_kib, after.peak_kib);
    ensure!(after.peak_kib < before.peak_kib + (256 << 10), "{before:?} {after:?}");

    // What decompresses to so much is no artifact. Small archives may: see `artifact::unpack::Limits::ratio_free_bytes`.
    test.repo.write("huge/secret.yaml", &format!("{good}#{}\n", "x".repeat(65 << 20)))?;
    test.repo.commit("huge")?;
    test.request("GitRepository/app").await?;
    test.apply(&test.kustomization_yaml("huge", "./huge", DECRYPTION)).await?;
    let message = "archive exceeds the limit of 200 decompressed bytes for a compressed one";
    test.condition("Kustomization/huge", "Ready", "False", "ArtifactFailed", message).await?;
    ensure!(value(&test, "good", "value").await? == "1");
    let after = test.pair()?.kustomize.usage()?;
    println!("peak: {} KiB", after.peak_kib);
    ensure!(after.peak_kib < before.peak_kib + (256 << 10), "{before:?} {after:?}");
    test.finish().await
}
