//! Bases outside the artifact: fetched by the build, or refused.

use std::fs;

use anyhow::Result;
use e2e::scenario::Scenario;
use e2e::silent_server::{SilentServer, until_open};
use e2e::sops::Key;
use e2e::testkit::config_map;
use e2e::wait::{Not, not_yet};

use crate::decryption::{DECRYPTION, value};

/// A repository of its own with a base at `v1`, and what follows at the tip of its branch.
fn base(test: &Scenario) -> Result<String> {
    let repo = test.git.create(&format!("{}-base", test.namespace))?;
    repo.write("base/kustomization.yaml", "resources: [map.yaml]\n")?;
    repo.commit_file("base/map.yaml", &config_map("map", "tagged"))?;
    repo.tag("v1", Some("first"))?;
    repo.commit_file("base/map.yaml", &config_map("map", "newest"))?;
    Ok(test.git.url(&format!("{}-base", test.namespace)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_in_another_repository_is_built_at_the_named_reference() -> Result<()> {
    let test = Scenario::new("remote-base").await?;
    let url = base(&test)?;
    let overlay = |query: &str| format!("resources: ['{url}//base{query}']\n");
    let commit = test.repo.commit_file("app/kustomization.yaml", &overlay("?ref=v1"))?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    test.applied("Kustomization/app", &commit).await?;
    assert_eq!(test.get("ConfigMap/map").await?["data"]["value"], "tagged");
    let commit = test.repo.commit_file("app/kustomization.yaml", &overlay(""))?;
    test.request("GitRepository/app").await?;
    test.applied("Kustomization/app", &commit).await?;
    assert_eq!(test.get("ConfigMap/map").await?["data"]["value"], "newest", "the default branch");
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_encrypted_in_another_repository_is_decrypted() -> Result<()> {
    let test = Scenario::new("remote-base-sops").await?;
    let (key, name) = (Key::age(), format!("{}-base", test.namespace));
    let repo = test.git.create(&name)?;
    repo.write("base/kustomization.yaml", "resources: [secret.yaml]\n")?;
    repo.commit_file("base/secret.yaml", &key.manifest("secret", "hunter2")?)?;
    test.objects.apply_one(&key.secret("keys"), &test.namespace).await?;
    // The name is not what was encrypted: the object is decrypted as it was built.
    let overlay = format!("resources: ['{}//base']\nnamePrefix: built-\n", test.git.url(&name));
    let commit = test.repo.commit_file("app/kustomization.yaml", &overlay)?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", DECRYPTION)).await?;
    test.applied("Kustomization/app", &commit).await?;
    assert_eq!(value(&test, "built-secret", "value").await?, "hunter2");

    // A generator beside it reads files of the artifact, which are decrypted before the build; one in the base reads files that are
    // not, and what it makes is decrypted as it was built if it is a whole document.
    let env = key.encrypt("dotenv", &[], "PASSWORD=of the artifact\n")?;
    let generator = |what: &str| {
        format!("secretGenerator:\n- name: generated\n  options: {{disableNameSuffixHash: true}}\n  {what}\n")
    };
    test.repo.write("app/a.env", &env)?;
    test.repo.write("app/kustomization.yaml", &format!("{overlay}{}", generator("envs: [a.env]")))?;
    repo.write(
        "base/kustomization.yaml",
        &format!("{}resources: [secret.yaml]\n", generator("files: [a.json]")).replace("generated", "there"),
    )?;
    repo.commit_file("base/a.json", &key.encrypt("json", &[], r#"{"of": "the base"}"#)?)?;
    let commit = test.repo.commit("generators")?;
    test.request("GitRepository/app").await?;
    test.applied("Kustomization/app", &commit).await?;
    assert_eq!(value(&test, "built-generated", "PASSWORD").await?, "of the artifact");
    let there: serde_json::Value = serde_json::from_str(&value(&test, "built-there", "a.json").await?)?;
    assert_eq!(there, serde_json::json!({"of": "the base"}));
    repo.write("base/a.json", &env)?;
    repo.commit_file("base/kustomization.yaml", &generator("envs: [a.json]").replace("generated", "there"))?;
    test.request("Kustomization/app").await?;
    let text = "Secret field 'PASSWORD': it holds values that sops has encrypted, without the metadata to decrypt them";
    test.condition("Kustomization/app", "Ready", "False", "BuildFailed", text).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn bases_elsewhere_are_refused_when_the_flag_says_so() -> Result<()> {
    let test = Scenario::with_own_controllers("no-remote-bases", &["--no-remote-bases"]).await?;
    let url = base(&test)?;
    test.repo.commit_file("app/kustomization.yaml", &format!("resources: ['{url}//base?ref=v1']\n"))?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    test.condition("Kustomization/app", "Ready", "False", "BuildFailed", "kustomize build failed: ").await?;
    assert!(!test.exists("ConfigMap/map").await?);
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_fetched_is_removed_by_the_next_one() -> Result<()> {
    let mut test = Scenario::with_own_controllers("remote-base-killed", &[]).await?;
    let silent = [SilentServer::start("127.0.0.1").await?];
    let base = format!("resources: ['{}.git?timeout=3600s']\n", silent[0].url);
    test.repo.commit_file("app/kustomization.yaml", &base)?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    until_open(&silent, 1).await?;
    let folders = |test: &Scenario| {
        let entries = fs::read_dir(test.pair()?.kustomize.temporary())?;
        let names = entries.map(|entry| anyhow::Ok(entry?.file_name()));
        names.collect::<Result<Vec<_>>>()
    };
    test.wait("a folder is made", async || match folders(&test).map_err(not_yet)?.len() {
        1 => Ok(()),
        other => Err(Not::Yet(format!("{other} folders"))),
    })
    .await?;
    test.own()?.kustomize.kill();
    let left = folders(&test)?;
    assert_eq!(left.len(), 1);
    test.own()?.kustomize.restart().await?;
    test.wait("what was left is gone", async || {
        let now = folders(&test).map_err(not_yet)?;
        if now.iter().any(|name| left.contains(name)) { Err(Not::Yet(format!("{now:?}"))) } else { Ok(()) }
    })
    .await?;
    test.finish().await
}
