//! From a commit to the cluster: upon which event, how quietly, and for how many at once.

use anyhow::{Context, Result};
use e2e::audit::Request;
use e2e::cluster::User;
use e2e::git_server::Asked;
use e2e::objects::Look;
use e2e::scenario::Scenario;
use e2e::testkit::{config_map, deployment, runs};
use e2e::wait::Not;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_applied_upon_the_request_whatever_the_intervals() -> Result<()> {
    let test = Scenario::with_own_controllers("at-once", &["--requeue-dependency=1h"]).await?;
    test.repo.commit_file("app/map.yaml", &config_map("map", "0"))?;
    test.apply_source().await?;
    let hourly =
        test.kustomization_yaml("app", "./app", "").replace("retryInterval: 2s", "retryInterval: 1h");
    test.apply(&hourly).await?;
    test.ready("Kustomization/app").await?;
    for value in ["1", "2", "3"] {
        let commit = test.repo.commit_file("app/map.yaml", &config_map("map", value))?;
        let before = runs(&test, "app").await?;
        test.request("GitRepository/app").await?;
        test.applied("Kustomization/app", &commit).await?;
        test.idle().await?;
        assert_eq!(test.get("ConfigMap/map").await?.text("/data/value"), value);
        assert_eq!(runs(&test, "app").await?, before + 1.0, "one run for one commit");
    }
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_poll_writes_nothing_to_the_api_server() -> Result<()> {
    let test = Scenario::new("quiet").await?;
    test.repo.commit_file("app/map.yaml", &config_map("map", "0"))?;
    test.apply(&test.source_yaml("1s", "")).await?;
    let before = test.ready("GitRepository/app").await?;
    test.event("GitRepository/app", "Normal", "NewArtifact", "stored artifact for commit").await?;
    let audit = test.cluster.audit();
    test.git.take_requests();
    let mut asked = Vec::new();
    test.wait("the source is polled five times", async || {
        asked.extend(test.git.take_requests());
        let polls = asked.iter().filter(|a| **a == Asked::Refs).count();
        if polls >= 5 { Ok(()) } else { Err(Not::Yet(format!("{polls} polls"))) }
    })
    .await?;
    assert!(!asked.contains(&Asked::Objects), "no poll fetches objects: {asked:?}");
    let after = test.get("GitRepository/app").await?;
    assert_eq!(after["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"]);
    if let Some(audit) = audit {
        let mut writes = audit.requests(User::SourceController, &test.namespace)?;
        writes.retain(|r| !r.is_read());
        assert_eq!(writes, []);
    }
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_that_is_soon_over_writes_its_status_once() -> Result<()> {
    let test = Scenario::with_own_controllers("once", &[]).await?;
    let Some(audit) = test.cluster.audit() else { return test.finish().await };
    test.repo.commit_file("a.txt", "0")?;
    test.apply_source().await?;
    test.ready("GitRepository/app").await?;
    let passes = 12;
    for i in 1..passes {
        // Every other one finds something new.
        if i % 2 == 0 {
            test.repo.commit_file("a.txt", &i.to_string())?;
        }
        test.run("GitRepository/app").await?;
    }
    let writes = |resource: &str| {
        let requests = audit.requests(User::SourceController, &test.namespace)?;
        let writes = requests.iter().filter(|r| r.resource == resource && !r.is_read());
        anyhow::Ok(writes.count())
    };
    assert_eq!(writes("gitrepositories")?, 1, "the finalizer");
    // A pass that takes half a second says that it is under way; telling everything at once would be two or three each.
    let source = &test.pair()?.source;
    let times = async |series: &str, labels: &[&str]| {
        source.metric(&format!("controller_runtime_reconcile_time_seconds_{series}"), labels).await
    };
    let all = times("count", &["controller=\"gitrepository\""]).await?;
    let short = times("bucket", &["controller=\"gitrepository\"", "le=\"0.45\""]).await?;
    let (patches, most) = (writes("gitrepositories/status")?, passes as f64 + all - short);
    assert!(
        (passes as f64..=most).contains(&(patches as f64)),
        "{patches} writes, {all} passes, {short} short"
    );
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interval_run_without_changes_asks_nothing_about_objects() -> Result<()> {
    let test = Scenario::new("idle").await?;
    test.repo.write("app/map.yaml", &config_map("map", "0"))?;
    let commit = test.repo.commit_file("app/deploy.yaml", &deployment("deploy", 0))?;
    test.apply_source().await?;
    test.apply(
        &test.kustomization_yaml("app", "./app", "  wait: true").replace("interval: 1h", "interval: 1s"),
    )
    .await?;
    test.applied("Kustomization/app", &commit).await?;
    test.until("Deployment/deploy", "is settled", |d| d.condition("Available").is_some()).await?;
    let counted = |o: &Value| o.number("/status/history/0/totalReconciliations");
    // One run more may see what the Deployment's own controller wrote last.
    let settled = counted(&test.get("Kustomization/app").await?) + 2;
    let app = test.until("Kustomization/app", "has run twice more", |o| counted(o) >= settled).await?;
    let Some(audit) = test.cluster.audit() else { return test.finish().await };
    let begin = counted(&app);
    let app = test.until("Kustomization/app", "has run four times more", |o| counted(o) >= begin + 4).await?;
    let requests = audit.requests(User::KustomizeController, &test.namespace)?;
    let about_objects = |r: &&Request| !r.resource.starts_with("kustomizations") && r.resource != "events";
    assert_eq!(requests.iter().filter(about_objects).collect::<Vec<_>>(), Vec::<&Request>::new());
    // The status when a run ends, and its event; a run may have begun before the audit or not be over.
    let ran = usize::try_from(counted(&app) - begin)?;
    assert!(requests.len() <= 2 * (ran + 1), "{} requests in {ran} runs: {requests:?}", requests.len());

    // A person who asks gets everything looked at, by one dry run each.
    test.patch("Kustomization/app", &json!({"spec": {"interval": "1h"}})).await?;
    test.ready("Kustomization/app").await?;
    let audit = test.cluster.audit().context("there was one")?;
    test.run("Kustomization/app").await?;
    test.ready("Kustomization/app").await?;
    let mut asked = audit.requests(User::KustomizeController, &test.namespace)?;
    asked.retain(|r| about_objects(&r));
    asked.sort_by(|a, b| a.resource.cmp(&b.resource));
    let dry_run = |resource: &str, name: &str| Request {
        namespace: test.namespace.clone(),
        verb: "patch".into(),
        resource: resource.into(),
        name: name.into(),
        dry_run: true,
    };
    assert_eq!(asked, [dry_run("configmaps", "map"), dry_run("deployments", "deploy")]);
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_rollouts_do_not_delay_two_hundred_others() -> Result<()> {
    const ALL: usize = 200;
    // More than there are workers.
    const FAILING: usize = 5;
    let test = Scenario::with_own_controllers("many", &[]).await?;
    let name = |i: usize| format!("app-{i:03}");
    for i in 0..ALL {
        let replicas = u32::from(i < FAILING);
        test.repo.write(&format!("{}/app.yaml", name(i)), &deployment(&name(i), replicas))?;
    }
    let commit = test.repo.commit("all")?;
    test.apply_source().await?;
    let add = async |i: usize| {
        let more = "  wait: true\n  timeout: 1h";
        test.apply(&test.kustomization_yaml(&name(i), &format!("./{}", name(i)), more)).await
    };
    let waits = async |i: usize| -> Result<()> {
        let health =
            format!("Running health checks for revision main@sha1:{commit} with a timeout of 1h0m0s");
        let object = format!("Kustomization/{}", name(i));
        test.condition(&object, "Reconciling", "True", "Progressing", &health).await?;
        test.condition(&object, "Ready", "Unknown", "Progressing", "").await.map(drop)
    };
    for i in 0..FAILING {
        add(i).await?;
    }
    for i in 0..FAILING {
        waits(i).await?;
    }
    for i in FAILING..ALL {
        add(i).await?;
    }
    // One after the other, so the deadline is for one of them and not for all.
    for i in FAILING..ALL {
        test.ready(&format!("Kustomization/{}", name(i))).await?;
    }
    for i in 0..FAILING {
        waits(i).await?;
    }
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_get_prints_the_columns_of_flux() -> Result<()> {
    let test = Scenario::new("columns").await?;
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", "0"))?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    test.applied("Kustomization/app", &commit).await?;
    // The verb, the resource by plural and short name, then the table.
    for (names, header, row) in [
        (
            ["gitrepositories", "gitrepo"],
            vec!["NAME", "URL", "AGE", "READY", "STATUS"],
            vec!["app", &test.git.url("app"), "AGE", "True", "stored", "artifact", "for", "revision"],
        ),
        (
            ["kustomizations", "ks"],
            vec!["NAME", "AGE", "READY", "STATUS"],
            vec!["app", "AGE", "True", "Applied", "revision:", &format!("main@sha1:{commit}")],
        ),
    ] {
        for name in names {
            let printed = test.kubectl(&["get", name])?;
            let lines: Vec<Vec<&str>> = printed.lines().map(|l| l.split_whitespace().collect()).collect();
            assert_eq!(lines[0], header, "{printed}");
            for (seen, wanted) in lines[1].iter().zip(&row) {
                assert!(seen == wanted || *wanted == "AGE", "{printed}");
            }
        }
    }
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_wait_sees_both_kinds_become_ready() -> Result<()> {
    let test = Scenario::new("wait").await?;
    test.repo.commit_file("app/map.yaml", &config_map("map", "0"))?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    let both = ["gitrepository/app", "kustomization/app"];
    test.kubectl(&[&["wait", "--for=condition=Ready", "--timeout=60s"], &both[..]].concat())?;
    assert!(test.get("GitRepository/app").await?.is_ready());
    assert!(test.get("Kustomization/app").await?.is_ready());
    test.finish().await
}
