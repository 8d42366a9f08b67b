//! Every way to install, upgrade and uninstall, and what Flux's client sees in between.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::document;
use e2e::node::{ADDRESS, Node};
use e2e::objects::{Id, Look};
use e2e::wait::{self, Not};

use crate::delivery::{Applied, Delivery, broken_source};
use crate::generator;
use crate::install::{CONTROLLERS, rolled_out};
use crate::policies;
use crate::settings::Settings;
use crate::step;
use crate::user::User;

/// How long the end of an installation may take, or a line of a log. It only ends a test that hangs.
const SEEN: Duration = Duration::from_secs(180);
/// The image that upgrades change to: the same content under another name.
const NEXT: &str = "v0.1.0-next";

/// From the chart, which is installed, by way of all others to a cluster without us.
pub async fn all(node: &Node, user: &mut User, delivery: Delivery) -> Result<()> {
    client_sees(user, "the chart").await?;
    errors(node, user).await?;
    user.follow("Upgrade the chart")?;
    ends(node, user, delivery, "Uninstall the chart").await?;

    user.follow("By manifests")?;
    let mut delivery = installed(node, user, "manifests").await?;
    generator::composes(node, user, &mut delivery).await?;
    user.follow("Upgrade manifests")?;
    ends(node, user, delivery, "Uninstall").await?;

    for name in CONTROLLERS {
        let image = format!("docker.io/ferroflux/{name}");
        node.tag(&format!("{image}:{}", version()), &format!("{image}:{NEXT}"))?;
    }
    user.follow("By flux install")?;
    let delivery = installed(node, user, "flux install").await?;
    policies::hold(node).await?;
    checks(user)?;
    user.edit("flux-system/kustomization.yaml", &version(), NEXT)?;
    user.follow("Upgrade flux install")?;
    runs_next(node).await?;
    ends(node, user, delivery, "Uninstall").await?;
    user.edit("flux-system/kustomization.yaml", NEXT, &version())?;

    user.follow("By flux bootstrap")?;
    user.follow("Over SSH")?;
    let delivery = installed(node, user, "flux bootstrap").await?;
    keeps_itself(node, user).await?;
    user.edit("fleet/clusters/main/flux-system/kustomization.yaml", &version(), NEXT)?;
    user.follow("Upgrade flux bootstrap")?;
    runs_next(node).await?;
    user.follow("Upgrade Flux's manifests after a bootstrap")?;
    runs_next(node).await?;
    ends(node, user, delivery, "Uninstall").await?;

    user.take_https().await?;
    user.follow("By flux bootstrap")?;
    user.follow("Over https")?;
    let delivery = installed(node, user, "flux bootstrap over https").await?;
    keeps_itself(node, user).await?;
    ends(node, user, delivery, "Uninstall").await?;
    user.has_followed_all()
}

/// The check of `docs/migrate.md` by Pods, with the rights that Flux's manifests give.
fn checks(user: &User) -> Result<()> {
    let commands = document::pod_commands("docs/migrate.md", "Check")?;
    let said = user.run(&commands.concat())?;
    let controllers = ["source-controller", "kustomize-controller", "helm-controller"];
    ensure!(said.matches("No problems found.").count() == controllers.len(), "{said}");
    step("docs/migrate.md: the check");
    Ok(())
}

fn version() -> String {
    format!("v{}", env!("CARGO_PKG_VERSION"))
}

/// A new installation takes over what a former one applied, and the client sees it.
async fn installed(node: &Node, user: &User, way: &str) -> Result<Delivery> {
    let delivery =
        Delivery::start(&node.cluster, &Settings::of_node()).await.with_context(|| way.to_owned())?;
    client_sees(user, way).await?;
    Ok(delivery)
}

/// Flux's client finds the controllers, their versions, the CRDs and the logs.
async fn client_sees(user: &User, way: &str) -> Result<()> {
    let says = |args: &[&str], wanted: &[&str]| -> Result<String> {
        let said = user.flux.run(args).with_context(|| way.to_owned())?;
        let missing: Vec<_> = wanted.iter().filter(|wanted| !said.contains(**wanted)).collect();
        ensure!(missing.is_empty(), "{way}: flux {args:?} does not say {missing:?}:\n{said}");
        Ok(said)
    };
    says(&["check", "--pre"], &["✔ prerequisites checks passed"])?;
    let images = CONTROLLERS.map(|name| format!("► ferroflux/{name}:{}", version()));
    let mut wanted = vec![
        "✔ distribution: flux-v",
        "✔ source-controller: deployment ready",
        "✔ kustomize-controller: deployment ready",
        "✔ helm-controller: deployment ready",
        "✔ gitrepositories.source.toolkit.fluxcd.io/v1\n",
        "✔ ocirepositories.source.toolkit.fluxcd.io/v1\n",
        "✔ kustomizations.kustomize.toolkit.fluxcd.io/v1\n",
        "✔ helmreleases.helm.toolkit.fluxcd.io/v2\n",
        "✔ all checks passed",
    ];
    wanted.extend(images.iter().map(String::as_str));
    says(&["check"], &wanted)?;
    let versions = CONTROLLERS.map(|name| format!("{name}: {}\n", version()));
    let wanted: Vec<&str> =
        versions.iter().map(String::as_str).chain(["flux: v", "distribution: flux-v"]).collect();
    says(&["version"], &wanted)?;
    says(&["migrate"], &["✔ custom resources migrated successfully"])?;
    says(
        &["get", "all", "--all-namespaces"],
        &[
            "gitrepository/app",
            "helmchart/flux-system-app",
            "kustomization/app",
            "Applied revision: main@sha1:",
            "helmrelease/app",
            "succeeded for release default/app.v",
        ],
    )?;
    let said = says(&["stats", "--all-namespaces"], &["GitRepository", "HelmChart"])?;
    for kind in ["Kustomization", "HelmRelease"] {
        let row = said.lines().find(|line| line.starts_with(kind)).with_context(|| said.clone())?;
        let counts: Vec<_> = row.split_whitespace().collect();
        ensure!(counts[1] != "0" && counts[2] == "0", "{way}: {said}");
    }
    says(&["tree", "kustomization", "app"], &["Deployment/default/app"])?;
    says(
        &["trace", "deployment", "app", "--namespace=default"],
        &["Kustomization:   app", "Managed by Flux"],
    )?;
    says(
        &["trace", "deployment", "app-chart", "--namespace=default"],
        &["HelmRelease:    app", "GitRepository: app", "Managed by Flux"],
    )?;
    says(&["events", "--for=Kustomization/app"], &["ReconciliationSucceeded", "NewArtifact"])?;
    says(&["events", "--for=HelmRelease/app"], &["Succeeded", "app.v", "HelmChartCreated"])?;
    says(&["debug", "helmrelease", "app", "--show-history"], &["chartName: app", "status: deployed"])?;
    says(
        &["debug", "kustomization", "app", "--show-history"],
        &["lastReconciledStatus: ReconciliationSucceeded"],
    )?;
    logs(user, way)?;
    step(&format!("{way}: Flux's client finds the installation"));
    Ok(())
}

/// Each filter of `flux logs` selects the lines that it is about, and no others.
fn logs(user: &User, way: &str) -> Result<()> {
    let lines = |args: &[&str]| -> Result<Vec<String>> {
        let said =
            user.flux.run(&[&["logs", "--since=1h"], args].concat()).with_context(|| way.to_owned())?;
        Ok(said.lines().map(str::to_owned).collect())
    };
    let all = lines(&["--all-namespaces"])?;
    let has = |lines: &[String], what: &str| lines.iter().any(|line| line.contains(what));
    ensure!(
        has(&all, " info GitRepository/app.flux-system - stored artifact for commit")
            && has(&all, " info Kustomization/app.flux-system - ")
            && has(&all, " info HelmRelease/app.flux-system - "),
        "{way}: {}",
        all.join("\n")
    );
    for (filter, only) in [
        ("--kind=Kustomization", " Kustomization/"),
        ("--kind=gitrepository", " GitRepository/"),
        ("--kind=HelmRelease", " HelmRelease/"),
        ("--name=app", "/app.flux-system "),
        ("--level=info", " info "),
    ] {
        let some = lines(&[filter])?;
        let others: Vec<_> = some.iter().filter(|line| !line.contains(only)).collect();
        ensure!(!some.is_empty() && others.is_empty(), "{way}: flux logs {filter}: {others:?} of {some:?}");
    }
    let none = lines(&["--name=nobody"])?;
    ensure!(none.is_empty(), "{way}: {none:?}");
    Ok(())
}

/// What fails is found by its level, and by name and kind.
async fn errors(node: &Node, user: &User) -> Result<()> {
    let objects = node.cluster.objects().await?;
    let ids = objects.apply(&broken_source(ADDRESS), "flux-system").await?;
    let filters = ["logs", "--level=error", "--since=5m"];
    let wanted = " error GitRepository/broken.flux-system - ";
    for more in [&[][..], &["--kind=GitRepository", "--name=broken"]] {
        wait::until(SEEN, async || {
            let lines = user.flux.run(&[&filters, more].concat()).map_err(wait::not_yet)?;
            if lines.lines().any(|line| line.contains(wanted)) { Ok(()) } else { Err(Not::Yet(lines)) }
        })
        .await?;
    }
    let others = user.flux.run(&[&filters[..], &["--kind=Kustomization"]].concat())?;
    ensure!(!others.contains("GitRepository/"), "{others}");
    for id in &ids {
        objects.delete(id).await?;
    }
    step("flux logs finds what failed");
    Ok(())
}

/// After a bootstrap the controllers are applied by themselves.
async fn keeps_itself(node: &Node, user: &User) -> Result<()> {
    let tree = user.flux.run(&["tree", "kustomization", "flux-system"])?;
    for name in CONTROLLERS {
        ensure!(tree.contains(&format!("Deployment/flux-system/{name}")), "{tree}");
    }
    let trace = user.flux.run(&["trace", "deployment", "source-controller"])?;
    ensure!(trace.contains("Kustomization:   flux-system"), "{trace}");
    let committed = user.fleet.git(&["-C", ".", "ls-remote", "origin", "main"])?;
    let source =
        node.cluster.objects().await?.get(&Id::new("GitRepository/flux-system", "flux-system")?).await?;
    let source = source.context("no source")?;
    let commit = committed.split_whitespace().next().context("no commit")?;
    ensure!(source.text("/status/artifact/revision") == format!("main@sha1:{commit}"), "{source}");
    Ok(())
}

/// The upgrade came: all Deployments are rolled out with the other image.
async fn runs_next(node: &Node) -> Result<()> {
    for name in CONTROLLERS {
        rolled_out(&node.cluster, name).await?;
        let deployment = Id::of("apps/v1", "Deployment", "flux-system", name);
        let deployment = node.cluster.objects().await?.get(&deployment).await?.context("no Deployment")?;
        let image = deployment.text("/spec/template/spec/containers/0/image");
        ensure!(image == format!("ferroflux/{name}:{NEXT}"), "{name} runs {image}");
    }
    Ok(())
}

/// Uninstalls; what was applied stays as it was, and nothing else.
async fn ends(node: &Node, user: &User, delivery: Delivery, heading: &str) -> Result<()> {
    let before: Applied = delivery.applied().await?;
    user.follow(heading)?;
    let after = delivery.applied().await.context("what was applied is gone")?;
    ensure!(after == before, "{heading}: {before:?} became {after:?}");
    wait::until(SEEN, async || {
        let left = leftovers(node).map_err(Not::Ever)?;
        if left.is_empty() { Ok(()) } else { Err(Not::Yet(format!("{heading} left {left}"))) }
    })
    .await?;
    step(&format!("{heading}: what was applied stays, and nothing else"));
    Ok(())
}

/// What there is of an installation: the namespace, CRDs, and what is for the whole cluster.
fn leftovers(node: &Node) -> Result<String> {
    let named = |arguments: &[&str]| {
        let mut kubectl = node.cluster.kubectl();
        e2e::process::output(kubectl.args(["get", "-o", "name"]).args(arguments))
    };
    let namespace = named(&["namespace", "--field-selector", "metadata.name=flux-system"])?;
    let labelled = named(&["clusterroles,clusterrolebindings,crds", "-l", "app.kubernetes.io/part-of=flux"])?;
    let all = named(&["clusterroles,clusterrolebindings,crds"])?;
    let ours = all.lines().filter(|name| name.contains("flux"));
    Ok(ours.fold(namespace + &labelled, |all, name| format!("{all}{name}\n")))
}
