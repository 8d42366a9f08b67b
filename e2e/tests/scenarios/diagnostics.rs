//! `/debug/objects` answers why an object does not move.

use std::ffi::OsStr;

use anyhow::{Context, Result, ensure};
use e2e::cluster::User;
use e2e::controller::Controller;
use e2e::document;
use e2e::objects::Look;
use e2e::scenario::Scenario;
use e2e::silent_server::SilentServer;
use e2e::testkit::config_map;
use e2e::wait::Not;
use serde_json::Value;

const CANARY: &str = "canary-0f51";
const DOCUMENT: &str = "docs/troubleshooting.md";

/// Waits until `/debug/objects` says this of an object.
async fn told(
    test: &Scenario,
    controller: &Controller,
    kind: &str,
    name: &str,
    what: &str,
    is: impl Fn(&Value) -> bool,
) -> Result<Value> {
    let query = format!("kind={kind}&namespace={}&name={name}", test.namespace);
    test.wait(what, async || {
        let answer = controller.debug_objects(&query).await.map_err(Not::Ever)?;
        match answer.pointer("/objects/0") {
            Some(object) if is(object) => Ok(object.clone()),
            seen => Err(Not::Yet(format!("{seen:?}"))),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_object_says_what_goes_on_with_it_and_what_it_waits_for() -> Result<()> {
    let receiver = format!("--events-addr=http://127.0.0.1:1/{CANARY}");
    let test = Scenario::with_own_controllers("diagnostics", &["--concurrent-ssa=3", &receiver]).await?;
    let (source, kustomize) = (&test.pair()?.source, &test.pair()?.kustomize);
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", CANARY))?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    test.applied("Kustomization/app", &commit).await?;
    let app = told(&test, kustomize, "kustomization", "app", "its interval", |app| {
        app.text("/next/why") == "its interval"
    })
    .await?;
    assert_eq!((app.text("/ready/status"), app.text("/last/result")), ("True", "scheduled"));
    ensure!(app.text("/next/at") > app.text("/last/ended"), "{app}");

    // One that depends on what is not there, one that is suspended, one whose path is missing.
    test.apply(&test.kustomization_yaml("dependent", "./app", "  dependsOn: [{name: nobody}]\n")).await?;
    told(&test, kustomize, "Kustomization", "dependent", "its dependency", |dependent| {
        dependent.text("/next/why") == format!("its dependency {}/nobody", test.namespace)
    })
    .await?;
    test.apply(&test.kustomization_yaml("idle", "./app", "  suspend: true\n")).await?;
    told(&test, kustomize, "Kustomization", "idle", "suspended", |idle| {
        idle.text("/next/why") == "spec.suspend to be false"
    })
    .await?;
    test.apply(&test.kustomization_yaml("broken", "./nowhere", "")).await?;
    told(&test, kustomize, "Kustomization", "broken", "its retry", |broken| {
        broken.text("/next/why") == "its retry interval, after ArtifactFailed"
    })
    .await?;

    // A source whose server says nothing, and one whose server refuses.
    let silent = SilentServer::start("127.0.0.1").await?;
    let url = silent.url.replace("http://", &format!("http://me:{CANARY}@"));
    let silent_source = source_yaml("silent", &url);
    test.apply(&silent_source).await?;
    let fetching = told(&test, source, "GitRepository", "silent", "a fetch under way", |silent| {
        silent.text("/running/step") == "fetch"
    })
    .await?;
    ensure!(
        !fetching.text("/running/since").is_empty() && fetching.text("/last/result") == "underway",
        "{fetching}"
    );
    test.apply(&source_yaml("refused", "http://127.0.0.1:1/app")).await?;
    told(&test, source, "GitRepository", "refused", "back-off", |refused| {
        let failures = refused.pointer("/last/failures").and_then(Value::as_u64).unwrap_or_default();
        let plural = if failures == 1 { "" } else { "es" };
        failures > 0 && refused.text("/next/why") == format!("back-off after {failures} failed pass{plural}")
    })
    .await?;

    for controller in [source, kustomize] {
        let answer = controller.debug_objects("").await?;
        let text = answer.to_string();
        ensure!(!text.contains(CANARY) && !text.contains("http://"), "{text}");
        ensure!(text.contains("\"budget "), "no totals in {text}");
        let version = answer.text("/process/version");
        assert_eq!(version, env!("CARGO_PKG_VERSION"));
    }
    let started = kustomize.debug_objects("limit=1").await?;
    // Flags are in the log alone, and there without what may be a token.
    ensure!(started.pointer("/process/flags").is_none(), "{started}");
    let log = kustomize.log_text();
    let first = log.lines().next().context("no line")?;
    ensure!(
        first.contains("--events-addr=http://127.0.0.1:1 ") && first.contains("--concurrent-ssa=3"),
        "{first}"
    );
    ensure!(!log.contains(CANARY), "{}", kustomize.log_about(CANARY, 3));
    let next = started.text("/continue").to_owned();
    let rest = kustomize.debug_objects(&format!("continue={next}")).await?;
    assert_eq!(rest.pointer("/objects").and_then(Value::as_array).map(Vec::len), Some(3));
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_documentation_work() -> Result<()> {
    let test = Scenario::with_own_controllers("troubleshooting", &[]).await?;
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", "one"))?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    test.applied("Kustomization/app", &commit).await?;
    let pair = test.pair()?;
    let kubectl = test.cluster.kubectl();
    let path = document::search_path(&[kubectl.get_program().as_ref()])?;
    let (source, kustomize) = (pair.source.metrics_url(), pair.kustomize.metrics_url());
    let environment: [(&str, &OsStr); 5] = [
        ("PATH", &path),
        ("NAMESPACE", test.namespace.as_ref()),
        ("KUBECONFIG", test.cluster.kubeconfig(User::Admin).as_ref()),
        ("SOURCE", source.as_ref()),
        ("KUSTOMIZE", kustomize.as_ref()),
    ];
    let headings = document::headings_with_commands(DOCUMENT)?;
    ensure!(headings.len() > 6, "{headings:?}");
    for heading in headings {
        for commands in document::commands(DOCUMENT, &heading)? {
            let run = || document::run(&commands, &e2e::workspace(), &environment);
            tokio::task::block_in_place(run).with_context(|| format!("{DOCUMENT}, {heading}"))?;
        }
    }
    for controller in [&pair.source, &pair.kustomize] {
        compare_metrics(&controller.metrics().await?)?;
    }
    test.finish().await
}

/// Compares served series with `docs/metrics.md`: their names, types and labels, and the alerts that use them.
fn compare_metrics(text: &str) -> Result<()> {
    let document = std::fs::read_to_string(e2e::workspace().join("docs/metrics.md"))?;
    let rules = std::fs::read_to_string(e2e::workspace().join("config/prometheus/rules.yaml"))?;
    let row = |name: &str| document.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').context("no type")?;
        let row = row(name).with_context(|| format!("docs/metrics.md lacks {name}"))?;
        let cells: Vec<&str> = row.split(" | ").collect();
        ensure!(cells.get(1) == Some(&kind), "{name} is a {kind}: {row}");
        let samples = text.lines().filter(|line| line.starts_with(name)).filter_map(|line| {
            let (series, labels) = line.split_once('{')?;
            ["", "_bucket", "_sum", "_count"].contains(&series.strip_prefix(name)?).then_some(labels)
        });
        for label in
            samples.flat_map(|labels| labels.split(r#"=""#)).filter_map(|part| part.rsplit([',', '{']).next())
        {
            let is_name = label.chars().all(|c| c.is_ascii_lowercase() || c == '_') && !label.is_empty();
            let is_told = !is_name || label == "le" || row.contains(&format!("`{label}`"));
            ensure!(is_told, "{name} has the label {label}: {row}");
        }
    }
    // Each alert of a series is named with it, and no others.
    for block in rules.split("- alert: ").skip(1) {
        let (alert, rest) = block.split_once('\n').context("no name")?;
        let expr = rest.lines().find_map(|line| line.trim().strip_prefix("expr: ")).context("no expr")?;
        let uses = |row: &&str| {
            row.strip_prefix("| `")
                .and_then(|row| row.split('`').next())
                .is_some_and(|name| expr.contains(name))
        };
        let named = document.lines().filter(uses).any(|row| row.contains(alert));
        ensure!(named, "docs/metrics.md does not name {alert} with what it uses: {expr}");
    }
    Ok(())
}

fn source_yaml(name: &str, url: &str) -> String {
    format!(
        "apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {{name: {name}}}
spec: {{interval: 1h, timeout: 10m, url: '{url}', ref: {{branch: main}}}}
"
    )
}
