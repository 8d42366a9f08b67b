//! `/debug/objects` answers why an object does not move.

use std::collections::{BTreeMap, BTreeSet};
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
pub async fn told(
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
    // The condition is what the watch has brought, which may be a moment behind the pass.
    let app = told(&test, kustomize, "kustomization", "app", "its interval", |app| {
        app.text("/next/why") == "its interval" && app.text("/ready/status") == "True"
    })
    .await?;
    assert_eq!(app.text("/last/result"), "scheduled");
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
    // The pass that began the fetch ends after a moment; the fetch goes on.
    told(&test, source, "GitRepository", "silent", "a fetch under way", |silent| {
        silent.text("/running/step") == "fetch"
            && !silent.text("/running/since").is_empty()
            && silent.text("/last/result") == "underway"
    })
    .await?;
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
    let own = test.selector();
    let helm = Controller::start(test.cluster, User::HelmController, &[&own]).await?;
    let [source, kustomize, releases] = [&pair.source, &pair.kustomize, &helm].map(Controller::metrics_url);
    let environment: [(&str, &OsStr); 6] = [
        ("PATH", &path),
        ("NAMESPACE", test.namespace.as_ref()),
        ("KUBECONFIG", test.cluster.kubeconfig(User::Admin).as_ref()),
        ("SOURCE", source.as_ref()),
        ("KUSTOMIZE", kustomize.as_ref()),
        ("HELM", releases.as_ref()),
    ];
    let headings = document::headings_with_commands(DOCUMENT)?;
    ensure!(headings.len() > 6, "{headings:?}");
    for heading in headings {
        for commands in document::commands(DOCUMENT, &heading)? {
            let run = || document::run(&commands, &e2e::workspace(), &environment);
            tokio::task::block_in_place(run).with_context(|| format!("{DOCUMENT}, {heading}"))?;
        }
    }
    let watcher = Controller::start(test.cluster, User::SourceWatcher, &[]).await?;
    let mut served = BTreeSet::new();
    for controller in [&pair.source, &pair.kustomize, &watcher, &helm] {
        served.extend(compare_metrics(&controller.metrics().await?)?);
    }
    says_when_others_appear(&served)?;
    test.finish().await
}

/// Series, type, labels, meaning, alert.
const SERIES_COLUMNS: usize = 5;

/// The rows of tables about series: their names, and their cells.
fn rows(document: &str) -> impl Iterator<Item = (&str, Vec<&str>)> {
    document.lines().filter_map(|line| {
        let cells: Vec<_> = line.strip_prefix('|')?.trim_end_matches('|').split('|').map(str::trim).collect();
        // Tables of other things have other columns.
        let name = cells.first().filter(|_| cells.len() == SERIES_COLUMNS)?;
        Some((name.strip_prefix('`')?.strip_suffix('`')?, cells))
    })
}

/// Compares the rows of `docs/metrics.md` with what is served: what appears later says so.
fn says_when_others_appear(served: &BTreeSet<String>) -> Result<()> {
    let document = std::fs::read_to_string(e2e::workspace().join("docs/metrics.md"))?;
    let is_told = |cells: &[&str]| cells.iter().any(|cell| cell.contains("appears "));
    let absent: Vec<_> = rows(&document)
        .filter(|(name, cells)| !served.contains(*name) && !is_told(cells))
        .map(|(name, _)| name)
        .collect();
    ensure!(
        absent.is_empty(),
        "no controller serves {absent:?}, and docs/metrics.md does not say when they do"
    );
    Ok(())
}

/// Compares served series with `docs/metrics.md`: their names, types and labels. Gives their names.
fn compare_metrics(text: &str) -> Result<Vec<String>> {
    let document = std::fs::read_to_string(e2e::workspace().join("docs/metrics.md"))?;
    let rows: BTreeMap<_, _> = rows(&document).collect();
    let mut served = Vec::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').context("no type")?;
        let row = rows.get(name).with_context(|| format!("docs/metrics.md lacks {name}"))?;
        ensure!(row.get(1) == Some(&kind), "{name} is a {kind}: {row:?}");
        let told = row.get(2).copied().unwrap_or_default();
        let samples = text.lines().filter(|line| line.starts_with(name)).filter_map(|line| {
            let (series, labels) = line.split_once('{')?;
            ["", "_bucket", "_sum", "_count"].contains(&series.strip_prefix(name)?).then_some(labels)
        });
        for label in
            samples.flat_map(|labels| labels.split(r#"=""#)).filter_map(|part| part.rsplit([',', '{']).next())
        {
            let is_name = label.chars().all(|c| c.is_ascii_lowercase() || c == '_') && !label.is_empty();
            let is_told = !is_name || label == "le" || told.contains(&format!("`{label}`"));
            ensure!(is_told, "{name} has the label {label}: {row:?}");
        }
        served.push(name.to_owned());
    }
    Ok(served)
}

#[test]
fn the_documentation_names_the_alerts_of_each_series_and_no_others() -> Result<()> {
    let document = std::fs::read_to_string(e2e::workspace().join("docs/metrics.md"))?;
    let rules = std::fs::read_to_string(e2e::workspace().join("config/prometheus/rules.yaml"))?;
    let mut used = BTreeSet::new();
    let rules: Value = serde_yaml::from_str(&rules)?;
    let groups = rules["groups"].as_array().context("no groups")?;
    for rule in groups.iter().filter_map(|group| group["rules"].as_array()).flatten() {
        let alert = rule["alert"].as_str().context("no name")?;
        let expr = rule["expr"].as_str().context("no expr")?;
        let series = series_in(expr);
        ensure!(!series.is_empty(), "no series in {expr}");
        used.extend(series.into_iter().map(|series| (series, alert.to_owned())));
    }
    let named = rows(&document).flat_map(|(name, cells)| {
        let alerts = cells.get(4).copied().unwrap_or_default().split(", ").filter(|alert| !alert.is_empty());
        alerts.map(|alert| (name.to_owned(), alert.to_owned())).collect::<Vec<_>>()
    });
    assert_eq!(named.collect::<BTreeSet<_>>(), used);
    Ok(())
}

/// The series that an expression of PromQL reads.
fn series_in(expr: &str) -> BTreeSet<String> {
    let (mut series, mut rest, mut is_grouping) = (BTreeSet::new(), expr, false);
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = match first {
            // Labels, ranges and values are no series, and neither are the labels after `by` and `on`.
            '{' => rest.split_once('}').map_or("", |(_, after)| after),
            '[' => rest.split_once(']').map_or("", |(_, after)| after),
            '"' => rest.get(1..).and_then(|rest| rest.split_once('"')).map_or("", |(_, after)| after),
            '(' if std::mem::take(&mut is_grouping) => rest.split_once(')').map_or("", |(_, after)| after),
            _ if word.is_empty() => rest.get(first.len_utf8()..).unwrap_or_default(),
            _ => {
                let is_call = after.starts_with('(');
                let is_word = ["by", "on", "and", "or", "unless", "sum", "max", "min"].contains(&word);
                if !is_call && !is_word && !first.is_ascii_digit() {
                    series.insert(word.to_owned());
                }
                after
            }
        };
        if !word.is_empty() {
            is_grouping = ["by", "on"].contains(&word);
        }
    }
    series
}

#[test]
fn the_series_of_an_expression_are_found() {
    for (expr, expected) in [
        ("absent(a_total{name=\"b_c\"} == 1)", vec!["a_total"]),
        ("(changes(a[30m]) > 2) and on (namespace, pod) last_over_time(b[30m])", vec!["a", "b"]),
        (
            "sum by (x_y) (rate(a{code=~\"429|5..\"}[10m])) / sum by (pod) (rate(b[10m])) > 0.1",
            vec!["a", "b"],
        ),
        ("max by (name) (a) == 0", vec!["a"]),
    ] {
        let found = series_in(expr);
        assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), expected, "{expr}");
    }
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
