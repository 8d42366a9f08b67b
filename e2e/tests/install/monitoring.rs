//! Alert rules and dashboard: the copies are equal, and they read series that there are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::Result;
use e2e::cluster::User;
use e2e::controller::Controller;
use e2e::objects::Look;
use e2e::process::free_port;
use e2e::scenario::Scenario;
use e2e::testkit::{config_map, roll_out};
use e2e::wait::{Not, not_yet};
use serde_json::{Value, json};

use crate::manifests::{NAMESPACE, build, chart, of_kind, render};

/// Labels that a series gets where it is read; `exported_namespace` is what becomes of its own `namespace`.
const TARGET_LABELS: [&str; 5] = ["namespace", "pod", "container", "job", "instance"];

/// Series that come with a cause.
const CAUSED: [&str; 2] = ["gotk_drifted_objects", "gotk_events_dropped_total"];

#[test]
fn the_rules_and_the_dashboard_are_the_same_everywhere() {
    let config = e2e::workspace().join("config/prometheus");
    for file in ["rules.yaml", "dashboard.json"] {
        let (ours, copy) = (config.join(file), chart().join("files").join(file));
        let is_equal = fs::read(&ours).unwrap() == fs::read(&copy).unwrap();
        assert!(is_equal, "copy {} to {}", ours.display(), copy.display());
    }
    let objects = build("config/prometheus");
    let rule = of_kind(&objects, "PrometheusRule")[0];
    assert_eq!(rule["spec"]["groups"], rules()["groups"], "prometheus_rule.yaml is not rules.yaml");
}

#[test]
fn nobody_misses_a_controller_that_is_not_installed() {
    let rules = |values: &[&str]| {
        let values = [&["monitoring.prometheusRule.create=true"], values].concat();
        let objects = render(NAMESPACE, &values).unwrap();
        let rules =
            of_kind(&objects, "PrometheusRule")[0]["spec"]["groups"][0]["rules"].as_array().unwrap().clone();
        let missed = |rule: &&Value| rule["alert"] == "FerrofluxControllerAbsent";
        let names =
            rules.iter().filter(missed).map(|rule| rule["labels"]["component"].as_str().unwrap().to_owned());
        (rules.len(), names.collect::<Vec<_>>())
    };
    let (all, controllers) = rules(&[]);
    assert_eq!(controllers, ["source-controller", "kustomize-controller", "helm-controller"]);
    let (fewer, controllers) = rules(&["helmController.create=false"]);
    assert_eq!(
        (fewer, controllers),
        (all - 1, vec!["source-controller".to_owned(), "kustomize-controller".to_owned()])
    );
}

#[test]
fn every_alert_says_how_bad_it_is_and_what_to_do() {
    let alerts = alerts();
    assert!(alerts.len() > 10);
    for alert in &alerts {
        assert!(alert["alert"].as_str().unwrap().starts_with("Ferroflux"), "{alert}");
        let severity = alert["labels"]["severity"].as_str().unwrap();
        assert!(["critical", "warning", "info"].contains(&severity), "{alert}");
        for text in ["summary", "description"] {
            let text = alert["annotations"][text].as_str().unwrap();
            assert!(text.len() > 20, "{alert}");
            let named = text.split("$labels.").skip(1).map(|rest| rest.split(' ').next().unwrap());
            // What `absent` yields has no labels, and those of the rule are not there yet.
            let known = read_by(alert["expr"].as_str().unwrap()).groupings;
            assert!(
                named.clone().all(|label| known.iter().any(|name| name == label)),
                "{text} has other labels than {known:?}"
            );
        }
    }
}

#[test]
fn every_alert_is_explained_and_tried_on_series() {
    let mut names = Vec::new();
    let mut rows = Vec::new();
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap().to_owned();
        let (severity, after) =
            (alert["labels"]["severity"].as_str().unwrap(), alert["for"].as_str().unwrap_or("at once"));
        let row = format!("| [{name}](#{}) | {severity} | {after} |", name.to_lowercase());
        if !names.contains(&name) {
            names.push(name);
        }
        if !rows.contains(&row) {
            rows.push(row);
        }
    }
    let document = read("docs/alerts.md");
    let told: Vec<_> = document.lines().filter(|line| line.starts_with("| [")).collect();
    assert_eq!(told, rows, "the table of docs/alerts.md");
    let explained: Vec<_> = document.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(explained, names, "the sections of docs/alerts.md");

    // `make e2e-node` has promtool run these.
    let tests: Value = serde_yaml::from_str(&read("e2e/tests/node/alerts.yaml")).unwrap();
    let trials: Vec<&Value> = tests["tests"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|t| t["alert_rule_test"].as_array().unwrap())
        .collect();
    let is_tried = |name: &str, raised: bool| {
        trials.iter().any(|trial| {
            trial["alertname"] == name && trial["exp_alerts"].as_array().unwrap().is_empty() != raised
        })
    };
    for name in &names {
        assert!(is_tried(name, true) && is_tried(name, false), "no series raise {name}, or none leave it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rules_and_the_dashboard_read_series_that_the_controllers_have() -> Result<()> {
    let dead = format!("--events-addr=http://127.0.0.1:{}/", free_port()?);
    let options = ["--enable-leader-election", "--drift-mode=report", "--events-queue-size=4", &*dead];
    let test = Scenario::with_own_controllers("dashboard", &options).await?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    for version in 1..=4 {
        let commit = test.repo.commit_file("app/map.yaml", &config_map("map", &version.to_string()))?;
        roll_out(&test, &commit).await?;
    }
    test.patch("ConfigMap/map", &json!({"data": {"value": "by hand"}})).await?;
    let pair = test.pair()?;
    let selector = test.selector();
    let options = [&*selector, "--enable-leader-election"];
    let watcher = Controller::start(test.cluster, User::SourceWatcher, &options).await?;
    let helm = Controller::start(test.cluster, User::HelmController, &options).await?;
    let generator = json!({
        "apiVersion": "source.extensions.fluxcd.io/v1beta1", "kind": "ArtifactGenerator",
        "metadata": {"name": "gen"}, "spec": {
            "sources": [{"alias": "app", "kind": "GitRepository", "name": "app"}],
            "artifacts": [{"name": "copy", "copy": [{"from": "@app/app/**", "to": "@artifact/"}]}],
        },
    });
    test.apply(&generator.to_string()).await?;
    let is_ready =
        |generator: &Value| generator.condition("Ready").is_some_and(|ready| ready.status == "True");
    test.until("ArtifactGenerator/gen", "is ready", is_ready).await?;
    let release = json!({
        "apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": {"name": "app"},
        "spec": {"interval": "1h", "chartRef": {"kind": "HelmChart", "name": "none"}},
    });
    test.apply(&release.to_string()).await?;
    let has_failed =
        |release: &Value| release.condition("Ready").is_some_and(|ready| ready.status == "False");
    test.until("HelmRelease/app", "has no chart", has_failed).await?;
    test.wait("the series that come with a cause are there", async || {
        for name in CAUSED {
            if pair.kustomize.metric(name, &[]).await.map_err(not_yet)? == 0.0 {
                return Err(Not::Yet(name.into()));
            }
        }
        Ok(())
    })
    .await?;
    // What is read of every controller is read of each of them.
    let others = [("source-watcher", watcher.metrics().await?), ("helm-controller", helm.metrics().await?)];
    let of_others = others.each_ref().map(|(name, metrics)| (*name, series(metrics)));
    let [(_, of_watcher), (_, of_helm)] = others;
    let all = [pair.source.metrics().await?, pair.kustomize.metrics().await?, of_watcher, of_helm];
    let exposed = series(&all.concat());
    for expression in expressions() {
        let read = read_by(&expression);
        assert!(!read.series.is_empty(), "{expression} reads nothing");
        let mut known: BTreeSet<&str> = TARGET_LABELS.into();
        for (name, matchers) in &read.series {
            let labels = exposed.get(name).unwrap_or_else(|| panic!("no series {name}: {expression}"));
            known.extend(labels.iter().map(String::as_str));
            known.extend(labels.contains("namespace").then_some("exported_namespace"));
            let strange: Vec<_> = matchers.iter().filter(|label| !known.contains(label.as_str())).collect();
            assert!(strange.is_empty(), "{name} has no label {strange:?}: {expression}");
            for (controller, series) in &of_others {
                let is_there = CAUSED.contains(&&**name) || series.contains_key(name);
                assert!(is_there, "{controller} has no series {name}: {expression}");
            }
        }
        known.extend(read.made.iter().map(String::as_str));
        let strange: Vec<_> = read.groupings.iter().filter(|label| !known.contains(label.as_str())).collect();
        assert!(strange.is_empty(), "no series has a label {strange:?}: {expression}");
    }
    test.finish().await
}

fn read(file: &str) -> String {
    fs::read_to_string(e2e::workspace().join(file)).unwrap()
}

fn rules() -> Value {
    serde_yaml::from_str(&read("config/prometheus/rules.yaml")).unwrap()
}

/// The rules of all groups.
fn alerts() -> Vec<Value> {
    let groups = rules();
    let rules = groups["groups"].as_array().unwrap().iter().flat_map(|g| g["rules"].as_array().unwrap());
    rules.cloned().collect()
}

/// All expressions of the rules and the dashboard.
fn expressions() -> Vec<String> {
    let text = read("config/prometheus/dashboard.json");
    let mut found = Vec::new();
    collect(&rules(), &mut found);
    collect(&serde_json::from_str(&text).unwrap(), &mut found);
    assert!(found.len() > 30, "{found:?}");
    found
}

fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("expr").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| collect(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, found)),
        _ => {}
    }
}

/// The names of the series of an exposition, with the labels of each.
fn series(exposition: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in exposition.lines().filter(|line| !line.starts_with('#')) {
        for (name, labels) in read_by(line).series {
            all.entry(name).or_default().extend(labels);
        }
    }
    all
}

/// What an expression reads.
#[derive(Debug, Default, PartialEq)]
struct Read {
    /// Names of series, with the labels that are compared.
    series: Vec<(String, Vec<String>)>,
    /// Labels that are grouped or joined by.
    groupings: Vec<String>,
    /// Labels that `label_replace` adds.
    made: Vec<String>,
}

/// Words that stand before an expression, and no series.
const OPERATORS: [&str; 7] = ["and", "or", "unless", "sum", "max", "min", "count"];

const CLAUSES: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// Reads PromQL, or a line of an exposition, as far as names are concerned.
fn read_by(expression: &str) -> Read {
    let mut read = Read::default();
    let mut texts = Vec::new();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        let length =
            rest.find(|c: char| !(c.is_ascii_alphanumeric() || "_:.".contains(c))).unwrap_or(rest.len());
        let (word, after) = rest.split_at(length);
        rest = match first {
            '[' => rest.split_once(']').unwrap().1,
            '"' => {
                let (text, after) = rest[1..].split_once('"').unwrap();
                texts.push(text);
                after
            }
            c if c.is_ascii_alphabetic() => {
                let next = after.trim_start();
                if CLAUSES.contains(&word) {
                    let (labels, after) = next.strip_prefix('(').unwrap().split_once(')').unwrap();
                    read.groupings.extend(
                        labels.split(',').map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned),
                    );
                    after
                } else if OPERATORS.contains(&word) || next.starts_with('(') {
                    after
                } else if let Some(matchers) = next.strip_prefix('{') {
                    let (labels, after) = labels(matchers);
                    read.series.push((word.to_owned(), labels));
                    after
                } else {
                    read.series.push((word.to_owned(), Vec::new()));
                    after
                }
            }
            // A number, or a single character.
            _ => {
                if word.is_empty() {
                    &rest[first.len_utf8()..]
                } else {
                    after
                }
            }
        };
    }
    // Outside of braces only `label_replace` has texts: the label, what it becomes, the label it is made of, a pattern.
    read.made.extend(texts.chunks(4).filter_map(|four| four.first()).map(|label| (*label).to_owned()));
    read
}

/// The names of labels up to the closing brace, and what comes after it. Values may hold any character.
fn labels(matchers: &str) -> (Vec<String>, &str) {
    let (mut names, mut name, mut quoted, mut escaped) = (Vec::new(), String::new(), false, false);
    for (at, c) in matchers.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '}' => return (names, &matchers[at + 1..]),
            '=' | '!' if !name.is_empty() => names.push(std::mem::take(&mut name)),
            c if c.is_ascii_alphanumeric() || c == '_' => name.push(c),
            _ => {}
        }
    }
    panic!("no end: {matchers}");
}

#[test]
fn names_of_series_and_labels_are_found_in_expressions() {
    let read = read_by(
        r#"sum by (pod, code) (rate(a_total{code=~"5..|}",x!="b"}[$i])) / max(b) > 0.5 and on (pod) c"#,
    );
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let series = [("a_total", owned(&["code", "x"])), ("b", vec![]), ("c", vec![])];
    assert_eq!(read.series, series.map(|(name, labels)| (name.to_owned(), labels)));
    assert_eq!(read.groupings, owned(&["pod", "code", "pod"]));
    assert_eq!(read.made, owned(&[]));
    let read =
        read_by(r#"label_replace(label_replace(a{b="c"}, "d", "$1", "b", "(.+)"), "e", "", "b", "c")"#);
    assert_eq!(read.made, owned(&["d", "e"]));
}
