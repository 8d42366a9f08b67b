//! Bases outside the artifact: fetched by the build, or refused.

use anyhow::Result;
use e2e::scenario::Scenario;
use e2e::sops::Key;
use e2e::testkit::config_map;

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
