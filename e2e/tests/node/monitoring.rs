//! A real Prometheus reads the Pods where their annotations say, and the alert rules that ship fire.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::cluster::Cluster;
use e2e::objects::{Id, Look};
use e2e::process::{Owner, Process, free_port, output, temp_folder};
use e2e::wait::{self, Not};
use e2e::workspace;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::delivery::broken_source;
use crate::install::CONTROLLERS;
use crate::settings::Settings;
use crate::step;

/// How long a scrape and an evaluation may take.
const SEEN: Duration = Duration::from_secs(120);

/// Bytes of memory that a controller has at most.
const MOST_MEMORY: f64 = 128.0 * 1024.0 * 1024.0;

/// Prometheus, with the rules of `config/prometheus`.
struct Prometheus {
    port: u16,
    process: Process,
    _folder: TempDir,
}

/// All controllers are scraped; an object that is not ready raises an alert, which ends with it.
pub async fn watch(cluster: &Cluster, settings: &Settings) -> Result<()> {
    let mut rules = Command::new("promtool");
    output(rules.args(["test", "rules"]).arg(workspace().join("e2e/tests/node/alerts.yaml")))?;
    step("the alert rules say of series what they are for");
    let prometheus = Prometheus::start(cluster).await?;
    let up = "count(up{namespace=\"flux-system\"} == 1)";
    let number = CONTROLLERS.len().to_string();
    prometheus.shows("all controllers are up", up, |value| value == number).await?;
    let ready = "gotk_resource_info{exported_namespace=\"flux-system\",name=\"app\",ready=\"True\"}";
    prometheus.shows("all objects are ready", &format!("count({ready})"), |value| value == "3").await?;
    // A few objects and Pods: far below the limit of 1 GiB, with room for what grows.
    let memory = "max(process_resident_memory_bytes{namespace=\"flux-system\"})";
    prometheus
        .shows("memory", memory, |bytes| bytes.parse::<f64>().is_ok_and(|bytes| bytes < MOST_MEMORY))
        .await?;
    step("Prometheus reads all controllers");

    let objects = cluster.objects().await?;
    let ids = objects.apply(&broken_source(settings.address), "flux-system").await?;
    let firing = "count(ALERTS{alertname=\"FerrofluxObjectNotReady\",alertstate=\"firing\",name=\"broken\"}) or vector(0)";
    prometheus.shows("the alert fires", firing, |value| value == "1").await?;
    for id in &ids {
        objects.delete(id).await?;
    }
    prometheus.shows("the alert ends", firing, |value| value == "0").await?;
    step("an alert fired for a broken source, and ended with it");
    Ok(())
}

impl Prometheus {
    async fn start(cluster: &Cluster) -> Result<Self> {
        let (folder, port) = (temp_folder("prometheus")?, free_port()?);
        let rules = fs::read_to_string(workspace().join("config/prometheus/rules.yaml"))?;
        // Nobody waits for half an hour here.
        let rules = rules.lines().map(|line| {
            let (indent, key) = line.split_at(line.len() - line.trim_start().len());
            if key.starts_with("for: ") { format!("{indent}for: 0s\n") } else { format!("{line}\n") }
        });
        fs::write(folder.path().join("rules.yaml"), rules.collect::<String>())?;
        let config = format!(
            "
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [rules.yaml]
scrape_configs:
- job_name: pods
  static_configs: {}
",
            serde_json::to_string(&targets(cluster).await?)?
        );
        fs::write(folder.path().join("prometheus.yml"), config)?;
        let mut command = Command::new("prometheus");
        command.current_dir(folder.path()).args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"]);
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let log = folder.path().join("log");
        Ok(Self {
            port,
            process: Process::start("prometheus", &mut command, &log, Owner::Harness)?,
            _folder: folder,
        })
    }

    /// Waits until the only value of a query is as wanted.
    async fn shows(&self, what: &str, query: &str, is_wanted: impl Fn(&str) -> bool) -> Result<()> {
        let looked = wait::until(SEEN, async || {
            let answer = self.query(query).await.map_err(wait::not_yet)?;
            let value = answer.pointer("/data/result/0/value/1").and_then(Value::as_str);
            match value.filter(|value| is_wanted(value)) {
                Some(value) => Ok(value.to_owned()),
                None => Err(Not::Yet(answer.to_string())),
            }
        });
        let value =
            looked.await.with_context(|| format!("{what}: {query}\n{}", self.process.log_tail(10)))?;
        println!("    Prometheus: {query} is {value}");
        Ok(())
    }

    async fn query(&self, query: &str) -> Result<Value> {
        let url = format!("http://127.0.0.1:{}/api/v1/query", self.port);
        let url = reqwest::Url::parse_with_params(&url, [("query", query)])?;
        let answer = reqwest::get(url).await?;
        let status = answer.status();
        let answer: Value = serde_json::from_slice(&answer.bytes().await?)?;
        ensure!(status.is_success(), "{query}: {answer}");
        Ok(answer)
    }
}

/// The Pods that offer metrics. Debian's Prometheus cannot ask Kubernetes for them.
async fn targets(cluster: &Cluster) -> Result<Vec<Value>> {
    let pods = cluster.objects().await?.list(&Id::of("v1", "Pod", "flux-system", "")).await?;
    let offers = pods.iter().filter(|pod| pod.text("/metadata/annotations/prometheus.io~1scrape") == "true");
    let targets = offers.map(|pod| {
        let port = pod.text("/metadata/annotations/prometheus.io~1port");
        let labels = json!({"namespace": pod.text("/metadata/namespace"), "pod": pod.text("/metadata/name")});
        json!({"targets": [format!("{}:{port}", pod.text("/status/podIP"))], "labels": labels})
    });
    Ok(targets.collect())
}
