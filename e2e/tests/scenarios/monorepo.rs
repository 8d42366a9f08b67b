//! One repository for many: a commit costs those whom it does not concern next to nothing.

use anyhow::Result;
use e2e::audit::Request;
use e2e::cluster::User;
use e2e::objects::Look;
use e2e::scenario::Scenario;
use e2e::testkit::config_map;

/// What kustomize-controller says (at debug) when it skips a build.
const SKIPPED: &str = "the artifact is as before in all that the build reads";

fn skipped_builds(test: &mut Scenario) -> Result<usize> {
    Ok(test.own()?.kustomize.log_text().lines().filter(|line| line.contains(SKIPPED)).count())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_elsewhere_moves_the_revision_without_build_or_requests() -> Result<()> {
    let mut test = Scenario::with_own_controllers("mono", &[]).await?;
    test.repo.write("base/map.yaml", &config_map("map", "0"))?;
    test.repo.write("app/kustomization.yaml", "resources: [../base/map.yaml]")?;
    let first = test.repo.commit_file("other/map.yaml", &config_map("other", "0"))?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "  wait: true")).await?;
    test.apply(&test.kustomization_yaml("other", "./other", "  wait: true")).await?;
    test.applied("Kustomization/app", &first).await?;
    test.applied("Kustomization/other", &first).await?;
    assert_eq!(skipped_builds(&mut test)?, 0);

    let audit = test.cluster.audit();
    let second = test.repo.commit_file("other/map.yaml", &config_map("other", "1"))?;
    test.request("GitRepository/app").await?;
    let app = test.applied("Kustomization/app", &second).await?;
    test.applied("Kustomization/other", &second).await?;
    assert_eq!(test.get("ConfigMap/other").await?.text("/data/value"), "1");
    assert_eq!(skipped_builds(&mut test)?, 1, "app alone");
    assert_eq!(app.number("/status/history/0/totalReconciliations"), 2, "it is the same build");
    assert_eq!(app["status"]["lastAttemptedRevision"], app["status"]["lastAppliedRevision"]);
    if let Some(audit) = audit {
        let requests = audit.requests(User::KustomizeController, &test.namespace)?;
        let about = |name: &str| requests.iter().filter(|r| r.name == name).collect::<Vec<&Request>>();
        assert_eq!(about("map"), Vec::<&Request>::new());
        assert!(!about("other").is_empty());
    }

    // What it reads, outside its own directory.
    let third = test.repo.commit_file("base/map.yaml", &config_map("map", "1"))?;
    test.request("GitRepository/app").await?;
    test.applied("Kustomization/app", &third).await?;
    assert_eq!(test.get("ConfigMap/map").await?.text("/data/value"), "1");
    test.applied("Kustomization/other", &third).await?;
    assert_eq!(skipped_builds(&mut test)?, 2, "other alone");
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_that_changes_is_built_into_the_objects() -> Result<()> {
    let mut test = Scenario::with_own_controllers("vars", &[]).await?;
    test.apply(&config_map("vars", "0").replace("value:", "VALUE:")).await?;
    let first = test.repo.commit_file("app/map.yaml", &config_map("map", "${VALUE}-text"))?;
    test.apply_source().await?;
    let spec = "  postBuild: {substituteFrom: [{kind: ConfigMap, name: vars}]}";
    test.apply(&test.kustomization_yaml("app", "./app", spec)).await?;
    test.applied("Kustomization/app", &first).await?;
    test.until("ConfigMap/map", "has the first value", |map| map.text("/data/value") == "0-text").await?;

    test.patch("ConfigMap/vars", &serde_json::json!({"data": {"VALUE": "1"}})).await?;
    let second = test.repo.commit_file("elsewhere.txt", "x")?;
    test.request("GitRepository/app").await?;
    test.applied("Kustomization/app", &second).await?;
    test.until("ConfigMap/map", "has the second value", |map| map.text("/data/value") == "1-text").await?;
    assert_eq!(skipped_builds(&mut test)?, 0);
    test.finish().await
}
