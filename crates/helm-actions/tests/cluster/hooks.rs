//! Hooks and tests.

use anyhow::Result;
use e2e::objects::Look;
use helm::Event;
use helm_actions::Step;
use helm_actions::options::Test;
use helm_release::{Phase, Release};

use crate::bed::*;

/// A Job that is complete at once, or fails after a second: no Pod of it ever runs.
fn job(name: &str, annotations: &str, is_good: bool) -> String {
    let spec = if is_good { "completions: 0" } else { "activeDeadlineSeconds: 1" };
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: {name}\n  annotations: {{{annotations}}}\nspec:\n  {spec}\n  template:\n    \
         spec: {{restartPolicy: Never, containers: [{{name: a, image: a}}]}}\n"
    )
}

fn runs(release: &Release) -> Vec<(String, Phase)> {
    let hooks = release.hooks.iter().flatten();
    hooks.map(|hook| (hook.name.clone(), hook.last_run.phase)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_run_before_and_behind_and_go_by_their_policies() -> Result<()> {
    let bed = Bed::new().await?;
    let before = job("before", "helm.sh/hook: \"pre-install,pre-upgrade\"", true);
    let behind = job(
        "behind",
        "helm.sh/hook: \"post-install,post-upgrade\", helm.sh/hook-delete-policy: hook-succeeded",
        true,
    );
    let chart = bed.chart("1.0.0", &[MAP, ("templates/a.yaml", &before), ("templates/b.yaml", &behind)])?;
    let outcome = good(bed.install("web", &chart, "{}").await);
    let wanted = [("before".to_owned(), Phase::Succeeded), ("behind".to_owned(), Phase::Succeeded)];
    assert_eq!(runs(&outcome.release), wanted);
    let pending = "update v1 pending-install";
    assert_eq!(bed.take_writes(), ["create v1 pending-install", pending, pending, "update v1 deployed"]);
    let first = bed.get("Job", "before").await?.expect("it stays");
    assert!(
        bed.get("Job", "behind").await?.is_none_or(|job| !job.text("/metadata/deletionTimestamp").is_empty())
    );
    let stored = bed.configuration.storage().last("web").await?.unwrap();
    assert_eq!(runs(&stored), wanted);
    assert_eq!(
        stored.hooks.unwrap()[0].delete_policies.as_deref(),
        Some(&["before-hook-creation".to_owned()][..])
    );

    good(bed.upgrade("web", &chart, "{}").await);
    let second = bed.get("Job", "before").await?.expect("there is a new one");
    assert_ne!(first.text("/metadata/uid"), second.text("/metadata/uid"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_fails_ends_an_install_before_it_begins() -> Result<()> {
    let bed = Bed::new().await?;
    let annotations =
        "helm.sh/hook: pre-install, helm.sh/hook-weight: \"1\", helm.sh/hook-delete-policy: hook-failed";
    let bad = job("bad", annotations, false);
    let later = job("later", "helm.sh/hook: pre-install, helm.sh/hook-weight: \"2\"", true);
    let chart = bed.chart("1.0.0", &[MAP, ("templates/a.yaml", &bad), ("templates/b.yaml", &later)])?;
    let outcome = bed.install("web", &chart, "{}").await;
    let release = outcome.as_ref().unwrap().release.clone();
    let stalled =
        format!("failed early due to stalled resources: [Job/{}/bad status: 'Failed']", bed.namespace);
    assert_eq!(failure(outcome), format!("failed pre-install: {stalled}"));
    assert_eq!(release.info.description, format!("Release \"web\" failed: failed pre-install: {stalled}"));
    assert_eq!(runs(&release), [("bad".to_owned(), Phase::Failed), ("later".to_owned(), Phase::None)]);
    let step = |object| Step::Hook { event: Event::PreInstall, number: 1, count: 2, object };
    let job = format!("Job/{}/bad", bed.namespace);
    assert_eq!(*bed.steps.lock().unwrap(), [step(None), step(Some(job))]);
    assert_eq!(bed.text("web-map").await?, None);
    assert!(bed.get("Job", "bad").await?.is_none());
    assert!(bed.get("Job", "later").await?.is_none());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tests_run_by_name_and_their_phases_are_stored() -> Result<()> {
    let bed = Bed::new().await?;
    let one = job("one", "helm.sh/hook: test", true);
    let two = job("two", "helm.sh/hook: test", false);
    let chart = bed.chart("1.0.0", &[MAP, ("templates/a.yaml", &one), ("templates/b.yaml", &two)])?;
    good(bed.install("web", &chart, "{}").await);
    let mut options =
        Test { timeout: LIMIT, rules: None, included: Vec::new(), excluded: vec!["two".to_owned()] };
    good(bed.configuration.test("web", &options).await);
    let stored = bed.configuration.storage().last("web").await?.unwrap();
    let mut phases = runs(&stored);
    phases.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(phases, [("one".to_owned(), Phase::Succeeded), ("two".to_owned(), Phase::None)]);
    options.excluded.clear();
    options.included = vec!["two".to_owned()];
    let text = failure(bed.configuration.test("web", &options).await);
    assert_eq!(
        text,
        format!("failed early due to stalled resources: [Job/{}/two status: 'Failed']", bed.namespace)
    );
    let status = bed.helm_json(&["status", "web"])?;
    let phases: Vec<&str> = status["hooks"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|hook| hook["last_run"]["phase"].as_str())
        .collect();
    assert!(phases.contains(&"Failed") && phases.contains(&"Succeeded"), "{phases:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_whose_hook_fails_stays_pending_until_it_is_unlocked() -> Result<()> {
    let bed = Bed::new().await?;
    let bad = job("bad", "helm.sh/hook: pre-rollback", false);
    let chart = bed.chart("1.0.0", &[MAP, ("templates/a.yaml", &bad)])?;
    good(bed.install("web", &chart, "{}").await);
    good(bed.upgrade("web", &chart, "{}").await);
    failure(bed.configuration.rollback("web", &rollback(1)).await);
    let text = "another operation (install/upgrade/rollback) is in progress";
    assert_eq!(refusal(bed.upgrade("web", &chart, "{}").await), text);
    let (status, release) = bed.configuration.unlock("web").await?.unwrap();
    assert_eq!(status.name(), "pending-rollback");
    assert_eq!(release.info.description, "Release unlocked from stale 'pending-rollback' state");
    assert!(bed.configuration.unlock("web").await?.is_none());
    good(bed.upgrade("web", &chart, "{}").await);
    Ok(())
}
