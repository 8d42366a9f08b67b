//! `/debug/objects` of helm-controller: why a HelmRelease does not move.

use anyhow::{Result, ensure};
use e2e::objects::Look;
use e2e::testkit::deployment;
use serde_json::{Value, json};

use crate::diagnostics::told;
use crate::helm_hooks::{end, pod};
use crate::helm_release::{Helm, MAP};

const CANARY: &str = "canary-77d2";

#[tokio::test(flavor = "multi_thread")]
async fn each_release_says_what_goes_on_with_it_and_what_it_waits_for() -> Result<()> {
    let helm = Helm::new("helm-diagnostics", &[]).await?;
    let test = &helm.test;
    let failing = format!("{{{{ fail \"{CANARY}\" }}}}");
    let map = ("templates/map.yaml", MAP);
    helm.commit_chart("1.0.0", &[("map.yaml", MAP)])?;
    helm.commit_chart_in("hooked", "1.0.0", &[map, ("templates/hook.yaml", &pod("hook", "pre-install"))])?;
    helm.commit_chart_in("web", "1.0.0", &[map, ("templates/web.yaml", &deployment("web", 1))])?;
    helm.commit_chart_in("late", "1.0.0", &[("templates/late.yaml", &deployment("late", 1))])?;
    helm.commit_chart_in("failing", "1.0.0", &[("templates/map.yaml", &failing)])?;
    helm.commit_chart_in("tested", "1.0.0", &[map, ("templates/test.yaml", &pod("probe", "test"))])?;
    test.apply_source().await?;
    let says = async |name: &str, what: &str, is: &dyn Fn(&Value) -> bool| {
        told(test, &helm.controller, "HelmRelease", name, what, is).await
    };
    let waits = async |name: &str, step: &str, waits_for: &str| {
        says(name, waits_for, &|release| {
            release.text("/running/step") == step && release.text("/running/waitsFor") == waits_for
        })
        .await
    };
    let pauses =
        async |name: &str, why: &str| says(name, why, &|release| release.text("/next/why") == why).await;
    let release = async |name: &str, folder: &str, more: &Value| {
        let mut spec = json!({"chart": helm.chart_in(folder)});
        for (key, value) in more.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        helm.release_named(name, &spec).await
    };
    let ns = &test.namespace;

    // What goes on, and since when.
    release("hooked", "hooked", &json!({"timeout": "20m"})).await?;
    let hooked = waits("hooked", "hooks", &format!("pre-install hook 1 of 1, Pod/{ns}/hook")).await?;
    ensure!(
        !hooked.text("/running/since").is_empty() && hooked.pointer("/next") == Some(&Value::Null),
        "{hooked}"
    );
    release("web", "web", &json!({"timeout": "20m"})).await?;
    let web = waits("web", "wait", "1 of 2 objects to be ready").await?;
    ensure!(web.text("/ready/status") == "Unknown", "{web}");
    release("tested", "tested", &json!({"timeout": "20m", "test": {"enable": true}})).await?;
    waits("tested", "test", &format!("test hook 1 of 1, Pod/{ns}/probe")).await?;

    // What nothing goes on with, and why.
    release("dependent", "chart", &json!({"dependsOn": [{"name": "hooked"}]})).await?;
    pauses("dependent", &format!("its dependency {ns}/hooked")).await?;
    let strategy = json!({"name": "RetryOnFailure", "retryInterval": "1h"});
    release("retried", "failing", &json!({"install": {"strategy": strategy}})).await?;
    let retried = pauses("retried", "its retry interval, after InstallFailed").await?;
    ensure!(retried.text("/next/at") > retried.text("/last/ended"), "{retried}");
    release("failed", "failing", &json!({})).await?;
    says("failed", "back-off", &|release| release.text("/next/why").starts_with("back-off after ")).await?;
    release("stalled", "late", &json!({"install": {"timeout": "1s"}})).await?;
    let why = "a change of the object, which is stalled: ";
    says("stalled", why, &|release| release.text("/next/why").starts_with(why)).await?;
    release("missing", "nowhere", &json!({})).await?;
    pauses("missing", &format!("its source HelmChart/{ns}/{ns}-missing")).await?;
    release("idle", "chart", &json!({"suspend": true})).await?;
    pauses("idle", "spec.suspend to be false").await?;
    let answer = helm.controller.debug_objects("").await?.to_string();
    ensure!(!answer.contains(CANARY), "{answer}");

    // Each ends with what it waits for.
    end(&helm, "hook", "Succeeded").await?;
    end(&helm, "probe", "Succeeded").await?;
    test.kubectl(&["scale", "deployment", "web", "--replicas=0"])?;
    for name in ["hooked", "web", "tested", "dependent"] {
        pauses(name, "its interval").await?;
    }
    helm.test.finish().await
}
