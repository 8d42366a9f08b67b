//! `kill -9` of helm-controller before and after every single write of a release's life: installed, upgraded, uninstalled.
//! Whatever is left half done, the next start finds its way: no release is stuck, no object is left, nothing runs twice
//! that may run once. `KILL_POINTS` and `KILL_SEED` as for `kill_points`.

use anyhow::{Context, Result, ensure};
use e2e::api_proxy::{Call, Fault, Rule};
use e2e::cluster::User;
use e2e::controller::Controller;
use e2e::objects::Look;
use e2e::scenario::Scenario;
use serde_json::{Value, json};

use crate::helm_release::{Helm, MAP, RELEASE};
use crate::helm_remediation::scaled;
use crate::kill_points::{POINTS, Stage, Trap, is_gone, points, through};

/// Runs before each install and upgrade, and stays until the next one.
const HOOK: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: hook, annotations: {helm.sh/hook: \"pre-install,pre-upgrade,post-delete\"}}\n\
                    data: {text: \"{{ .Values.text }}\"}\n";

impl Stage for Helm {
    fn test(&self) -> &Scenario {
        &self.test
    }

    fn victim(&mut self) -> Result<&mut Controller> {
        self.controller.own()
    }
}

fn of_helm_controller(call: &Call) -> bool {
    call.user == Some(User::HelmController) && call.is_write()
}

/// The revisions that are stored.
async fn stored(test: &Scenario) -> Result<Vec<String>> {
    let secrets = test.objects.list(&test.id("Secret/any")?).await?;
    let of_helm = secrets.iter().filter(|secret| secret.text("/type") == "helm.sh/release.v1");
    Ok(of_helm.map(|secret| secret.text("/metadata/name").to_owned()).collect())
}

/// The release is as wanted: for its user, for Helm, and in the cluster.
async fn is_well(helm: &Helm, text: &str) -> Result<()> {
    let statuses = helm.statuses("app")?;
    let (last, before) = statuses.split_last().context("there are revisions")?;
    ensure!(last == "deployed", "{statuses:?}");
    ensure!(before.iter().all(|status| ["superseded", "failed"].contains(&&**status)), "{statuses:?}");
    ensure!(helm.text().await? == text);
    ensure!(helm.test.get("ConfigMap/hook").await?.text("/data/text") == text);
    let release = helm.test.get(RELEASE).await?;
    // There may have been more of them than are kept.
    ensure!(release.number("/status/history/0/version") >= i64::try_from(statuses.len())?, "{release}");
    ensure!(release.text("/status/history/0/status") == "deployed", "{release}");
    Ok(())
}

/// Waits until the release is as `is` wants it, whoever is killed meanwhile.
async fn comes_to(helm: &mut Helm, trap: &mut Option<Trap>, is: fn(&Value) -> bool) -> Result<()> {
    through(helm, trap, async |test| Ok(is(&test.get(RELEASE).await?))).await
}

/// Deletes the release, of which nothing is left.
async fn ends(helm: &mut Helm, trap: &mut Option<Trap>) -> Result<()> {
    helm.test.objects.delete(&helm.test.id(RELEASE)?).await?;
    through(helm, trap, async |test| is_gone(test, RELEASE).await).await?;
    let left = stored(&helm.test).await?;
    ensure!(left.is_empty(), "{left:?} are left");
    ensure!(is_gone(&helm.test, "ConfigMap/app-map").await?);
    // The source has a finalizer of its own controller.
    helm.test.gone(&format!("HelmChart/{}-app", helm.test.namespace)).await
}

/// One life: installed, upgraded, uninstalled.
async fn life(helm: &mut Helm, trap: &mut Option<Trap>) -> Result<()> {
    helm.release(&json!({"values": {"text": "one"}})).await?;
    comes_to(helm, trap, Look::is_ready).await?;
    is_well(helm, "one").await?;
    helm.test.patch(RELEASE, &json!({"spec": {"values": {"text": "two"}}})).await?;
    comes_to(helm, trap, Look::is_ready).await?;
    is_well(helm, "two").await?;
    let release = helm.test.get(RELEASE).await?;
    ensure!(release.number("/status/failures") == 0, "a broken action is no failure: {release}");
    ends(helm, trap).await
}

fn is_stalled(release: &Value) -> bool {
    let stalled = release.condition("Stalled");
    stalled.is_some_and(|stalled| stalled.observed_generation == release.number("/metadata/generation"))
}

/// A life of failures: an installation that is removed, and removed again; an upgrade that is rolled back twice.
async fn hard_life(helm: &mut Helm, trap: &mut Option<Trap>) -> Result<()> {
    let remediation = json!({"retries": 1, "remediateLastFailure": true});
    let wants = |replicas: u8, text: &str, timeout: &str| {
        let action = json!({"timeout": timeout, "remediation": remediation});
        let values = json!({"replicas": replicas, "text": text});
        json!({"install": action, "upgrade": action, "uninstall": {"timeout": "2s"}, "values": values})
    };
    helm.release(&wants(1, "one", "1s")).await?;
    comes_to(helm, trap, is_stalled).await?;
    helm.test.patch(RELEASE, &json!({"spec": wants(0, "one", "1m")})).await?;
    comes_to(helm, trap, Look::is_ready).await?;
    is_well(helm, "one").await?;
    helm.test.patch(RELEASE, &json!({"spec": wants(1, "two", "1s")})).await?;
    comes_to(helm, trap, is_stalled).await?;
    helm.test.patch(RELEASE, &json!({"spec": wants(0, "three", "1m")})).await?;
    comes_to(helm, trap, Look::is_ready).await?;
    is_well(helm, "three").await?;
    ends(helm, trap).await
}

/// Counts the writes of a life, and lives it again and again with `few` of them as the last one of a process.
async fn lives(
    mut helm: Helm,
    few: usize,
    life: impl AsyncFn(&mut Helm, &mut Option<Trap>) -> Result<()>,
) -> Result<()> {
    helm.test.apply_source().await?;
    helm.test.ready("GitRepository/app").await?;
    life(&mut helm, &mut None).await?;
    let writes = helm.test.proxy()?.take_calls();
    let writes: Vec<_> = writes.into_iter().filter(of_helm_controller).collect();
    let count = writes.len();
    ensure!(count > 20, "a release's life has {count} writes: {writes:?}");
    for (k, when) in points(count, few)? {
        let write = &writes[k];
        let point = format!("{when:?} write {k} of {count}, like {} {}", write.method, write.path);
        eprintln!("{point}");
        let rule = Rule::new(Fault::Hold(when), of_helm_controller).after(k).times(1);
        let rule = helm.test.proxy()?.add(rule);
        let lived = life(&mut helm, &mut Some(Trap::new(rule.clone()))).await;
        lived.with_context(|| format!("killed {point}"))?;
        // How far one gets before the first write that is held may differ a little.
        ensure!(rule.hits() == 1 || k + 6 >= count, "{point} was not reached");
        helm.test.proxy()?.heal();
        helm.test.proxy()?.take_calls();
    }
    helm.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn helm_controller_killed_at_any_write_leaves_no_release_stuck() -> Result<()> {
    let helm = Helm::through_proxy("helm-kill-points").await?;
    helm.commit_chart("1.0.0", &[("map.yaml", MAP), ("hook.yaml", HOOK)])?;
    lives(helm, POINTS, life).await
}

#[tokio::test(flavor = "multi_thread")]
async fn helm_controller_killed_while_it_remediates_goes_on_with_it() -> Result<()> {
    let helm = Helm::through_proxy("helm-kill-remedies").await?;
    helm.commit_chart("1.0.0", &[("map.yaml", MAP), ("hook.yaml", HOOK), ("web.yaml", &scaled())])?;
    lives(helm, POINTS / 2, hard_life).await
}
