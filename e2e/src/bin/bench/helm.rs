//! What N HelmReleases of one chart cost helm-controller: an installation, runs that change nothing, another value, and drift. The
//! objects are those of the application that Kustomizations are measured with, and are waited for.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use e2e::cluster::User;
use e2e::controller::Controller;
use e2e::objects::Look;
use e2e::scenario::{REQUESTED_AT, Scenario};
use e2e::wait::{self, Not, not_yet};
use serde_json::{Value, json};

use super::{all, phase};

/// The objects; `INDEX` tells those of several owners apart, and `VERSION` stands where a version may.
const APPLICATION: &str = include_str!("application.yaml");
/// How long one repair is waited for: who repairs at the interval alone does not in this time.
const REPAIR_LIMIT: Duration = Duration::from_secs(15);

/// What is measured: a controller in a scenario.
struct Measured<'a> {
    test: &'a Scenario,
    process: u32,
    user: User,
}

impl Measured<'_> {
    /// Measures and prints a phase.
    async fn phase(&self, what: &str, work: impl AsyncFnOnce() -> Result<()>) -> Result<()> {
        let audit = self.test.cluster.audit().context("a cluster of its own")?;
        let cost = phase(self.process, work).await?;
        let requests =
            audit.all_requests(self.user)?.into_iter().filter(|request| request.verb != "watch").count();
        println!("{what:<28} {:>6.2} s CPU {:>5.1} s {requests:>6} requests", cost.cpu, cost.wall);
        Ok(())
    }

    /// Asks for a run of all objects of a kind, and waits for them.
    async fn run_all(&self, kind: &str, prefix: &str, count: usize, token: &str) -> Result<()> {
        let request = json!({"metadata": {"annotations": {REQUESTED_AT: token}}});
        for number in 0..count {
            self.test.patch(&format!("{kind}/{prefix}-{number}"), &request).await?;
        }
        all(self.test, kind, count, |object| object.text("/status/lastHandledReconcileAt") == token).await
    }
}

/// Measures and prints.
pub async fn table(count: usize) -> Result<()> {
    println!("{count} HelmReleases of 4 objects, by {}", super::measured("helm-controller")?);
    let test = Scenario::with_own_controllers("bench-helm", &[]).await?;
    let chart = "apiVersion: v2\nname: app\nversion: 1.0.0\n";
    test.repo.write("chart/Chart.yaml", chart)?;
    test.repo.write("chart/values.yaml", "version: \"1\"\n")?;
    let template =
        APPLICATION.replace("INDEX", "{{ .Release.Name }}").replace("VERSION", "{{ .Values.version }}");
    test.repo.write("chart/templates/app.yaml", &template)?;
    test.repo.write("app/app.yaml", &APPLICATION.replace("INDEX", "${INDEX}").replace("VERSION", "1"))?;
    test.repo.commit("all")?;
    test.apply_source().await?;
    test.ready("GitRepository/app").await?;
    releases(&test, count).await?;
    kustomizations(&test, count).await?;
    test.finish().await
}

async fn releases(test: &Scenario, count: usize) -> Result<()> {
    let selector = test.selector();
    let options = [&*selector, "--log-level=info"];
    let controller = Controller::start(test.cluster, User::HelmController, &options).await?;
    let process = controller.id().context("not running")?;
    let measured = Measured { test, process, user: User::HelmController };
    let chart = "apiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmChart\nmetadata: {name: app}\nspec: \
                 {interval: 1h, chart: ./chart, sourceRef: {kind: GitRepository, name: app}}\n";
    test.apply(chart).await?;
    test.ready("HelmChart/app").await?;
    let install = async || {
        for number in 0..count {
            let release = format!(
                "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {{name: r-{number}}}\nspec: \
                 {{interval: 1h, chartRef: {{kind: HelmChart, name: app}}}}\n"
            );
            test.apply(&release).await?;
        }
        all(test, "HelmRelease", count, Look::is_ready).await
    };
    measured.phase("install", install).await?;
    println!("{:<28} {:>4} MiB", "peak by then", controller.usage()?.peak_kib >> 10);
    measured.phase("no change", async || measured.run_all("HelmRelease", "r", count, "now").await).await?;
    let upgrade = async || {
        patch_all(test, count, &json!({"spec": {"values": {"version": "2"}}})).await?;
        all(test, "HelmRelease", count, |object| {
            object.is_ready() && object.number("/status/history/0/version") == 2
        })
        .await
    };
    measured.phase("another value", upgrade).await?;
    let detect = async || {
        patch_all(test, count, &json!({"spec": {"driftDetection": {"mode": "enabled"}}})).await?;
        all(test, "HelmRelease", count, |object| {
            object.condition("Drifted").is_some_and(|drifted| drifted.status == "False")
        })
        .await
    };
    measured.phase("drift detection goes on", detect).await?;
    measured.phase("no change", async || measured.run_all("HelmRelease", "r", count, "drift").await).await?;
    let begun = Instant::now();
    test.patch("Deployment/podinfo-r-0", &scaled()).await?;
    let repaired = wait::until(REPAIR_LIMIT, async || {
        let live = test
            .objects
            .get(&test.id("Deployment/podinfo-r-0").map_err(Not::Ever)?)
            .await
            .map_err(not_yet)?;
        match live.is_some_and(|live| is_repaired(&live)) {
            true => Ok(()),
            false => Err(Not::Yet("not repaired".to_owned())),
        }
    });
    let took = repaired.await.map(|()| format!("{} ms", begun.elapsed().as_millis()));
    println!("{:<28} {}", "drift of one is repaired in", took.unwrap_or_else(|_| "no time".to_owned()));
    // Whoever repairs at the interval alone is asked to.
    let repair = async || {
        for number in 0..count {
            test.patch(&format!("Deployment/podinfo-r-{number}"), &scaled()).await?;
        }
        measured.run_all("HelmRelease", "r", count, "repair").await?;
        all(test, "Deployment", count, is_repaired).await
    };
    measured.phase("drift of all", repair).await?;
    println!("{:<28} {:>4} MiB", "peak", controller.usage()?.peak_kib >> 10);
    for number in 0..count {
        test.kubectl(&["delete", "--wait=false", &format!("helmrelease/r-{number}")])?;
    }
    all(test, "HelmRelease", 0, |_| true).await
}

/// The same objects from Kustomizations.
async fn kustomizations(test: &Scenario, count: usize) -> Result<()> {
    println!("{count} Kustomizations of the same, by {}", super::measured("kustomize-controller")?);
    let process = test.pair()?.kustomize.id().context("not running")?;
    let measured = Measured { test, process, user: User::KustomizeController };
    let install = async || {
        for number in 0..count {
            let more = format!("  wait: true\n  postBuild: {{substitute: {{INDEX: k-{number}}}}}\n");
            test.apply(&test.kustomization_yaml(&format!("k-{number}"), "./app", &more)).await?;
        }
        all(test, "Kustomization", count, Look::is_ready).await
    };
    measured.phase("install", install).await?;
    measured.phase("no change", async || measured.run_all("Kustomization", "k", count, "now").await).await
}

async fn patch_all(test: &Scenario, count: usize, patch: &Value) -> Result<()> {
    for number in 0..count {
        test.patch(&format!("HelmRelease/r-{number}"), patch).await?;
    }
    Ok(())
}

fn scaled() -> Value {
    json!({"spec": {"replicas": 1}})
}

fn is_repaired(deployment: &Value) -> bool {
    deployment.number("/spec/replicas") == 0
}
