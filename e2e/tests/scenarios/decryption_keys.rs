//! Which keys and identities `spec.decryption` may use: groups of keys, and the account of `--default-decryption-service-account`.

use anyhow::{Result, ensure};
use e2e::objects::Look;
use e2e::scenario::{Scenario, Settings};
use e2e::sops::{self, Key, secret_of};
use serde_json::{Value, json};

use crate::cloud_keys::claims;
use crate::decryption::{DECRYPTION, in_vault, value};

const APP: &str = "Kustomization/app";

#[tokio::test(flavor = "multi_thread")]
async fn a_document_for_groups_of_keys_needs_keys_of_as_many_groups_as_it_says() -> Result<()> {
    let [first, second, third, stranger] = [Key::age(), Key::ssh()?, Key::age(), Key::age()];
    let groups: [&[&Key]; 3] = [&[&first, &stranger], &[&second], &[&third]];
    let document = sops::manifest_for_groups(&groups, 2, "secret", "hunter2")?;
    ensure!(document.contains("shamir_threshold: 2") && !document.contains("hunter2"), "{document}");
    let test = Scenario::new("sops-groups").await?;
    let commit = test.repo.commit_file("app/secret.yaml", &document)?;
    test.apply_source().await?;
    let have = async |keys: &[&Key]| {
        let secret = test.id("Secret/keys")?;
        test.objects.delete(&secret).await?;
        test.objects.apply_one(&secret_of("keys", keys), &test.namespace).await.map(drop)
    };
    // One group is too few, however many of its keys there are.
    have(&[&first, &stranger]).await?;
    test.apply(&test.kustomization_yaml("app", "./app", DECRYPTION)).await?;
    let failed = test.condition(APP, "Ready", "False", "BuildFailed", "cannot get sops data key").await?;
    for part in [
        "Group 0: SUCCESS",
        &second.recipient,
        &third.recipient,
        "only 1 part(s) were successfully recovered",
    ] {
        ensure!(failed.message.contains(part), "{part}: {}", failed.message);
    }
    ensure!(!test.exists("Secret/secret").await?);
    // Any two are enough.
    for keys in [[&first, &second], [&third, &second], [&third, &stranger]] {
        have(&keys).await?;
        test.objects.delete(&test.id("Secret/secret")?).await?;
        test.run(APP).await?;
        test.applied(APP, &commit).await?;
        ensure!(value(&test, "secret", "value").await? == "hunter2");
    }
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_account_decrypts_for_those_that_name_none() -> Result<()> {
    let (document, vault) = in_vault().await?;
    let flags = [
        "--default-decryption-service-account=decryptor",
        "--feature-gates=ObjectLevelWorkloadIdentity=false",
    ];
    let settings = Settings { source: &flags[1..], kustomize: &flags, ..Settings::default() };
    let test = Scenario::with_settings("sops-default", settings).await?;
    let commit = test.repo.commit_file("app/secret.yaml", &document)?;
    test.repo.write("plain/map.yaml", &e2e::testkit::config_map("map", "1"))?;
    let commit_plain = test.repo.commit("without secrets")?;
    test.apply_source().await?;
    test.ready("GitRepository/app").await?;
    ensure!(commit != commit_plain);
    let spec = "  decryption: {provider: sops}\n";
    test.apply(&test.kustomization_yaml("app", "./app", spec)).await?;
    let message = format!(
        "failed to get decryption service account '{}/decryptor': serviceaccounts \"decryptor\" not found",
        test.namespace
    );
    test.condition(APP, "Ready", "False", "BuildFailed", &message).await?;
    // Who decrypts nothing needs no account.
    test.apply(&test.kustomization_yaml("plain", "./plain", "")).await?;
    test.applied("Kustomization/plain", &commit_plain).await?;
    ensure!(vault.take_requests().is_empty());

    for name in ["decryptor", "own"] {
        let annotations = json!({"transit-engine.auth.fluxcd.io/login-path": "auth/cluster/login",
            "transit-engine.auth.fluxcd.io/role": format!("role-of-{name}")});
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "annotations": annotations}});
        test.apply(&account.to_string()).await?;
    }
    for (name, spec) in
        [("decryptor", spec), ("own", "  decryption: {provider: sops, serviceAccountName: own}\n")]
    {
        test.apply(&test.kustomization_yaml("app", "./app", spec)).await?;
        test.run(APP).await?;
        test.applied(APP, &commit_plain).await?;
        let mut logins = vault.take_requests().into_iter().filter(|(line, _)| line.ends_with("/login"));
        let Some((_, login)) = logins.next_back() else { anyhow::bail!("nobody logs in as {name}") };
        let login: Value = serde_json::from_str(&login)?;
        ensure!(login.text("/role") == format!("role-of-{name}"), "{login}");
        let claims = claims(login.text("/jwt"))?;
        ensure!(
            claims.text("/sub") == format!("system:serviceaccount:{}:{name}", test.namespace),
            "{claims}"
        );
    }
    ensure!(value(&test, "secret", "value").await? == "hunter2");
    let labels = ["operation=\"decrypt_with_transit_engine\"", "kind=\"Kustomization\""];
    let looks = test.pair()?.kustomize.metric("gotk_token_cache_events_total", &labels).await?;
    ensure!(looks >= 2.0, "{looks}");

    // The gate of Flux 2.9 changes nothing, and that is told.
    let pair = test.pair()?;
    for controller in [&pair.source, &pair.kustomize] {
        let log = controller.log_text();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let told: Vec<_> =
            lines.filter(|line| line.text("/msg").contains("feature gate is now retired")).collect();
        let [line] = &told[..] else { anyhow::bail!("{told:?}") };
        ensure!(line.text("/level") == "info" && line.text("/logger") == "setup", "{line}");
        ensure!(line.text("/msg") == "feature gate is now retired and no longer changes behavior", "{line}");
        ensure!(line.text("/feature-gate") == "ObjectLevelWorkloadIdentity", "{line}");
        ensure!(
            line.text("/reason").contains("grant the 'create' RBAC verb for the 'serviceaccounts/token'"),
            "{line}"
        );
    }
    test.finish().await
}
