//! Rights and kinds that are missing, at the start and later: what is told, and that nothing has to be restarted.

use anyhow::{Context, Result, ensure};
use e2e::cluster::Cluster;
use e2e::cluster::User::{self, HelmController, KustomizeController, SourceController, SourceWatcher};
use e2e::controller::Controller;
use e2e::objects::Look;
use e2e::scenario::Scenario;
use e2e::wait::Not;
use futures::future::try_join_all;
use serde_json::{Value, json};

use crate::each_controller::{apply, follows, has_followed, object, start, write};

/// Kinds that a controller watches, the first of which it cannot do without.
fn kinds(user: User) -> &'static [&'static str] {
    match user {
        KustomizeController => &["Kustomization"],
        HelmController => &["HelmRelease"],
        SourceWatcher => &["ArtifactGenerator"],
        SourceController | User::Admin => &["GitRepository", "OCIRepository"],
    }
}

/// What the log first says of a watch that fails.
fn failure(controller: &Controller, kind: &str) -> Result<String> {
    let (log, label) = (controller.log_text(), format!("\"kind\":\"{kind}\""));
    let is = |line: &&str| line.contains("watch failed, trying again") && line.contains(&label);
    let first = log.lines().find(is).with_context(|| format!("nothing is told: {log}"))?;
    Ok(serde_json::from_str::<Value>(first)?.text("/error").to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_is_installed_later_and_a_right_that_is_granted_later_need_no_restart() -> Result<()> {
    // A cluster without anything of ours, where nobody has a right.
    let cluster = &Cluster::start().await?;
    let controllers = User::CONTROLLERS.map(async |user| {
        let controller = Controller::start(cluster, user, &[]).await?;
        let kind = kinds(user).first().context("a kind")?;
        controller.watch_fails(kind, true).await?;
        let error = failure(&controller, kind)?;
        ensure!(error.ends_with("; grant that right (config/rbac, or the chart's rbac.create)"), "{error}");
        Ok((user, controller))
    });
    let controllers = try_join_all(controllers).await?;
    cluster.install().await?;
    for (user, controller) in controllers {
        for kind in kinds(user) {
            controller.watch_fails(kind, false).await?;
        }
        let log = controller.log_text();
        ensure!(log.contains("the watch works again"), "{}", controller.log_about("watch", 5));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_kind_says_what_to_install() -> Result<()> {
    let cluster = &Cluster::start().await?;
    // Who may do all gets the answer that there is no such kind.
    let kubeconfig = cluster.kubeconfig(User::Admin);
    let controllers = User::CONTROLLERS.map(async |user| {
        let controller = Controller::start_with(kubeconfig, user, &[], &[]).await?;
        let kind = kinds(user).first().context("a kind")?;
        controller.watch_fails(kind, true).await?;
        let expected = format!("{kind} is not served; install its CRD (config/crd/bases, or the chart)");
        ensure!(failure(&controller, kind)? == expected, "{}", controller.log_about("watch", 5));
        Ok((kind, controller))
    });
    let controllers = try_join_all(controllers).await?;
    cluster.install().await?;
    for (kind, controller) in controllers {
        controller.watch_fails(kind, false).await?;
    }
    Ok(())
}

/// A right that a controller loses while it runs.
struct Loss {
    user: User,
    /// What its rules have and no other rule of its role has: where, and what.
    rule: (&'static str, &'static str),
    /// Fields of spec with which its object needs that right.
    spec: Value,
    /// What the object says without it.
    says: &'static str,
}

/// One of each controller whose absence the object can tell, because its status is still written.
fn losses() -> [Loss; 4] {
    let tenant = json!({"serviceAccountName": "tenant"});
    let impersonation = ("/verbs", "impersonate");
    [
        Loss {
            user: SourceController,
            rule: ("/resources", "secrets"),
            spec: json!({"secretRef": {"name": "account"}}),
            says: "cannot get resource \"secrets\"",
        },
        Loss {
            user: KustomizeController,
            rule: impersonation,
            spec: tenant.clone(),
            says: "cannot impersonate",
        },
        Loss { user: HelmController, rule: impersonation, spec: tenant, says: "cannot impersonate" },
        Loss {
            user: SourceWatcher,
            rule: ("/resources", "externalartifacts/status"),
            spec: json!({}),
            says: "cannot patch resource \"externalartifacts/status\"",
        },
    ]
}

/// The role of a controller, which a test takes rules from.
struct Role {
    name: String,
    rules: Vec<Value>,
}

impl Role {
    async fn of(test: &Scenario, user: User) -> Result<Self> {
        let name = format!("ClusterRole/{}-flux-system", user.name());
        let role = test.get(&name).await?;
        let rules = role.pointer("/rules").and_then(Value::as_array).context("no rules")?.clone();
        Ok(Self { name, rules })
    }

    /// Takes away the rules that have this.
    async fn lose(&self, test: &Scenario, (path, value): (&str, &str)) -> Result<()> {
        let has = |rule: &&Value| {
            let values = rule.pointer(path).and_then(Value::as_array);
            values.is_some_and(|values| values.contains(&json!(value)))
        };
        let kept: Vec<&Value> = self.rules.iter().filter(|rule| !has(rule)).collect();
        ensure!(kept.len() < self.rules.len(), "no rule with {value}: {:?}", self.rules);
        test.patch(&self.name, &json!({ "rules": kept })).await.map(drop)
    }

    async fn restore(&self, test: &Scenario) -> Result<()> {
        test.patch(&self.name, &json!({ "rules": self.rules })).await.map(drop)
    }
}

/// Waits until the API server knows that a controller may not write statuses of a resource, which it learns by a watch.
async fn until_statuses_are_forbidden(test: &Scenario, user: User, resource: &str) -> Result<()> {
    let identity = format!("--as={}", user.identity());
    test.wait("statuses are forbidden", async || {
        // kubectl ends with 1 for "no".
        match test.kubectl(&["auth", "can-i", "patch", resource, "--subresource=status", &identity]) {
            Ok(answer) => Err(Not::Yet(answer)),
            Err(_) => Ok(()),
        }
    })
    .await
}

/// The object says what is missing, and gets well by itself.
async fn is_told_by_the_object(test: &Scenario, loss: &Loss, role: &Role) -> Result<()> {
    let user = loss.user;
    role.lose(test, loss.rule).await?;
    // The API server learns it by a watch, and may remember for some seconds who could impersonate whom.
    let message = test
        .wait("runs fail", async || {
            // Without something to do a controller may need no right.
            write(test, &format!("{:x}", rand::random::<u32>())).map_err(Not::Ever)?;
            let source = test.run("GitRepository/app").await.map_err(Not::Ever)?;
            let object = if user == SourceController {
                source
            } else {
                test.run(object(user)).await.map_err(Not::Ever)?
            };
            match object.condition("Ready") {
                Some(ready) if ready.status == "False" => Ok(ready.message),
                seen => Err(Not::Yet(format!("{seen:?}"))),
            }
        })
        .await?;
    ensure!(message.contains(loss.says), "{user:?}: {message}");
    role.restore(test).await?;
    follows(test, user, "restored").await
}

/// Without the status passes fail, with back-off, and the next one that may write does.
async fn is_told_by_metric_and_log(
    test: &Scenario,
    loss: &Loss,
    role: &Role,
    controller: &Controller,
) -> Result<()> {
    let user = loss.user;
    let (plural, group) = match user {
        KustomizeController => ("kustomizations", "kustomize.toolkit"),
        HelmController => ("helmreleases", "helm.toolkit"),
        SourceWatcher => ("artifactgenerators", "source.extensions"),
        SourceController | User::Admin => ("gitrepositories", "source.toolkit"),
    };
    let status = format!("{plural}/status");
    role.lose(test, ("/resources", &status)).await?;
    until_statuses_are_forbidden(test, user, &format!("{plural}.{group}.fluxcd.io")).await?;
    let failures = async || controller.metric("controller_runtime_reconcile_errors_total", &[]).await;
    let before = failures().await?;
    let commit = write(test, "blind")?;
    test.request("GitRepository/app").await?;
    test.wait("passes fail, and the log says why", async || {
        let more = failures().await.map_err(Not::Ever)? - before;
        match controller.log_text().contains(&status) {
            true if more > 0.0 => Ok(()),
            is_told => Err(Not::Yet(format!("{more} more have failed, and it is told: {is_told}"))),
        }
    })
    .await?;
    role.restore(test).await?;
    has_followed(test, user, &commit, "blind").await
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_are_lost_are_told_and_work_goes_on_when_they_are_back() -> Result<()> {
    let test = &Scenario::with_own_cluster("rights").await?;
    let (helm, watcher) =
        tokio::try_join!(start(test, HelmController, &[]), start(test, SourceWatcher, &[]))?;
    let commit = write(test, "first")?;
    test.apply("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: tenant}").await?;
    test.apply(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: account}\nstringData: {username: a, password: b}",
    )
    .await?;
    let account = format!("--serviceaccount={}:tenant", test.namespace);
    test.kubectl(&["create", "rolebinding", "tenant", "--clusterrole=edit", &account])?;
    let losses = losses();
    for Loss { user, spec, .. } in &losses {
        apply(test, *user, spec).await?;
        has_followed(test, *user, &commit, "first").await?;
    }
    // With it two of them may do all.
    test.kubectl(&["delete", "clusterrolebinding", "cluster-reconciler-flux-system"])?;
    for loss in &losses {
        let pair = test.pair()?;
        let controller = match loss.user {
            KustomizeController => &pair.kustomize,
            HelmController => &helm,
            SourceWatcher => &watcher,
            SourceController | User::Admin => &pair.source,
        };
        let role = Role::of(test, loss.user).await?;
        is_told_by_the_object(test, loss, &role).await?;
        is_told_by_metric_and_log(test, loss, &role, controller).await?;
    }
    Ok(())
}
