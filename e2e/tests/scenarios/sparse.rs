//! `spec.sparseCheckout`: only some directories of a repository.

use anyhow::Result;
use e2e::artifact::artifact_entries;
use e2e::objects::Look;
use e2e::scenario::Scenario;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_sparse_checkout_has_only_its_directories_in_the_artifact() -> Result<()> {
    let test = Scenario::new("sparse").await?;
    for file in ["app/one/a.yaml", "app/two.yaml", "apple/b.yaml", "lib/c.yaml", "root.yaml"] {
        test.repo.write(file, "x: y")?;
    }
    test.repo.write(".sourceignore", "*.yaml\n")?;
    let commit = test.repo.commit("files")?;
    test.repo.tag("v1.0.0", Some("annotated"))?;
    test.repo.switch("other")?;
    test.repo.commit_file("lib/d.yaml", "x: y")?;
    let references = [
        (json!({"branch": "main"}), false),
        (json!({"branch": "other"}), true),
        (json!({"commit": commit}), false),
        (json!({"branch": "main", "commit": commit}), false),
        (json!({"tag": "v1.0.0"}), false),
        (json!({"semver": "1.x"}), false),
    ];
    test.apply(&test.source_yaml("1h", "  sparseCheckout: ['./app/one', lib]")).await?;
    for (reference, more) in references {
        // A merge patch keeps fields that it does not name.
        test.patch("GitRepository/app", &json!({"spec": {"ref": null}})).await?;
        test.patch("GitRepository/app", &json!({"spec": {"ref": reference}})).await?;
        let app = test.ready("GitRepository/app").await?;
        assert_eq!(app["status"]["observedSparseCheckout"], json!(["./app/one", "lib"]));
        // The rules of the root are not checked out either.
        let mut expected = vec![".", "app", "app/one", "app/one/a.yaml", "lib", "lib/c.yaml"];
        expected.extend(more.then_some("lib/d.yaml"));
        assert_eq!(artifact_entries(&app).await?, expected, "{reference}");
    }
    // Text decides, not directories.
    test.patch("GitRepository/app", &json!({"spec": {"sparseCheckout": ["app"]}})).await?;
    let app = test.ready("GitRepository/app").await?;
    let entries = artifact_entries(&app).await?;
    assert_eq!(entries, [".", "app", "app/one", "app/one/a.yaml", "app/two.yaml", "apple", "apple/b.yaml"]);
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sparse_directory_that_does_not_exist_is_named() -> Result<()> {
    let test = Scenario::new("sparse-missing").await?;
    test.repo.commit_file("app/a.yaml", "x: y")?;
    test.apply(&test.source_yaml("1h", "")).await?;
    test.ready("GitRepository/app").await?;
    for missing in ["nowhere", "App", "app/b", "../app"] {
        let directories = json!({"spec": {"sparseCheckout": [missing]}});
        test.patch("GitRepository/app", &directories).await?;
        let text = format!(
            "failed to sparse checkout directories : sparse checkout dir '{missing}' does not exist in repository: "
        );
        test.condition("GitRepository/app", "FetchFailed", "True", "GitOperationFailed", &text).await?;
    }
    test.patch("GitRepository/app", &json!({"spec": {"sparseCheckout": ["./app/"]}})).await?;
    let app = test.ready("GitRepository/app").await?;
    assert_eq!(app.condition("FetchFailed"), None);
    assert_eq!(artifact_entries(&app).await?, [".", "app", "app/a.yaml"]);
    test.finish().await
}
