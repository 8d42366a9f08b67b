//! An API server that fails where revisions of releases are stored: what was begun is ended, and nothing is left over.

use anyhow::{Context, Result, ensure};
use e2e::api_proxy::{Call, Fault, Rule};
use e2e::cluster::User;
use e2e::objects::Look;
use serde_json::json;

use crate::helm_release::{Helm, MAP};

/// The first request of this method about revisions fails.
fn fails_once(fault: Fault, method: &'static str) -> Rule {
    let is_ours = move |call: &Call| {
        call.user == Some(User::HelmController) && call.method == method && call.is_about("secrets")
    };
    Rule::new(fault, is_ours).times(1)
}

#[tokio::test(flavor = "multi_thread")]
async fn revisions_are_stored_whatever_becomes_of_a_request() -> Result<()> {
    let helm = Helm::through_proxy("helm-faults").await?;
    let (test, proxy) = (&helm.test, helm.test.proxy()?);
    helm.commit_chart("1.0.0", &[("map.yaml", MAP)])?;
    test.apply_source().await?;
    let faults = [
        ("lost", Fault::LoseAnswer),
        ("conflict", Fault::Status(409)),
        ("error", Fault::Status(500)),
        ("busy", Fault::Throttle(1)),
    ];
    for (name, fault) in faults {
        let object = format!("HelmRelease/{name}");
        let map = format!("ConfigMap/{name}-map");
        for text in ["one", "two", "three"] {
            proxy.heal();
            let is_spoiled = text != "three";
            let methods = if is_spoiled { &["POST", "PUT"][..] } else { &[] };
            let rules: Vec<_> = methods.iter().map(|&method| proxy.add(fails_once(fault, method))).collect();
            helm.release_named(name, &json!({"values": {"text": text}})).await?;
            let release = test.ready(&object).await.with_context(|| format!("{name} {text}"))?;
            ensure!(rules.iter().all(|rule| rule.hits() == 1), "{name} {text}: {rules:?}");
            ensure!(test.get(&map).await?.text("/data/text") == text, "{release}");
            let statuses = helm.statuses(name)?;
            ensure!(statuses.last().is_some_and(|last| last == "deployed"), "{name} {text}: {statuses:?}");
            ensure!(
                statuses.iter().all(|status| !status.starts_with("pending")),
                "{name} {text}: {statuses:?}"
            );
            // As in Helm a revision is not held up by one before it; the next one puts that right.
            let deployed = statuses.iter().filter(|status| *status == "deployed").count();
            ensure!(is_spoiled || deployed == 1, "{name} {text}: {statuses:?} {release}");
            // And that is all.
            let version = release.number("/status/history/0/version");
            let again = test.run(&object).await?;
            ensure!(again.number("/status/history/0/version") == version, "{again}");
        }
        proxy.heal();
        let rules = ["PUT", "DELETE"].map(|method| proxy.add(fails_once(fault, method)));
        test.objects.delete(&test.id(&object)?).await?;
        test.gone(&object).await?;
        ensure!(rules.iter().all(|rule| rule.hits() == 1), "{name}: {rules:?}");
        ensure!(!test.exists(&map).await? && helm.helm(&["list"])? == json!([]), "{name} is left over");
        let secrets = test.objects.list(&test.id("Secret/any")?).await?;
        ensure!(secrets.iter().all(|secret| secret.text("/metadata/labels/owner") != "helm"), "{name}");
    }
    proxy.heal();
    helm.test.finish().await
}
