//! What charts of one large index cost: source-controller over N HelmCharts, first, when nothing has changed, and when the index has
//! one more version.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use e2e::file_server::FileServer;
use e2e::helm::package;
use e2e::objects::Look;
use e2e::process::temp_folder;
use e2e::scenario::{REQUESTED_AT, Scenario};
use serde_json::json;

use super::{Cost, all, phase};

/// Charts in the index.
const CHARTS: usize = 360;
/// Versions of each.
const VERSIONS: usize = 100;
/// Characters of a description, with which the index has 30 MB.
const DESCRIPTION: usize = 600;

/// Measures and prints.
pub async fn table(count: usize) -> Result<()> {
    let folder = temp_folder("charts")?;
    let archive = fs::read(folder.path().join(package(folder.path(), "app", "1.0.0")?))?;
    for chart in 0..CHARTS {
        fs::write(folder.path().join(archive_of(chart)), &archive)?;
    }
    let size = write_index(folder.path(), VERSIONS)?;
    let server = FileServer::start(folder.path(), None).await?;
    println!(
        "{count} HelmCharts of an index of {:.1} MB, by {}",
        size as f64 / 1e6,
        super::measured("source-controller")?
    );
    let test = Scenario::with_own_controllers("bench-charts", &[]).await?;
    let process = test.pair()?.source.id().context("not running")?;
    let first = phase(process, async || {
        test.apply(&format!(
            "apiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmRepository\nmetadata: {{name: charts}}\nspec: \
             {{interval: 1h, url: '{}'}}\n",
            server.url()
        ))
        .await?;
        for number in 0..count {
            let chart = number % CHARTS;
            test.apply(&format!(
                "apiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmChart\nmetadata: {{name: c-{number}}}\nspec:\n  \
                 interval: 1h\n  chart: app-{chart}\n  version: 1.0.x\n  \
                 sourceRef: {{kind: HelmRepository, name: charts}}\n"
            ))
            .await?;
        }
        all(&test, "HelmChart", count, Look::is_ready).await
    })
    .await?;
    let of_first = asked(&server);
    println!("first             {}", told(&first, of_first));
    let no_change = phase(process, async || {
        let request = json!({"metadata": {"annotations": {REQUESTED_AT: "now"}}});
        for number in 0..count {
            test.patch(&format!("HelmChart/c-{number}"), &request).await?;
        }
        all(&test, "HelmChart", count, |object| object.text("/status/lastHandledReconcileAt") == "now").await
    })
    .await?;
    let of_no_change = asked(&server);
    println!("no change         {}", told(&no_change, since(of_first, of_no_change)));
    write_index(folder.path(), VERSIONS + 1)?;
    let newest = format!("1.0.{VERSIONS}");
    let news = phase(process, async || {
        test.request("HelmRepository/charts").await?;
        all(&test, "HelmChart", count, |object| object.text("/status/artifact/revision") == newest).await
    })
    .await?;
    println!("one more version  {}", told(&news, since(of_no_change, asked(&server))));
    println!("peak              {:>7} MiB", test.pair()?.source.usage()?.peak_kib >> 10);
    test.finish().await
}

/// An index in which all versions of a chart lead to one archive; gives its bytes.
fn write_index(folder: &Path, versions: usize) -> Result<usize> {
    let mut index = "apiVersion: v1\nentries:\n".to_owned();
    let description = "d".repeat(DESCRIPTION);
    for chart in 0..CHARTS {
        writeln!(index, "  app-{chart}:")?;
        for version in (0..versions).rev() {
            writeln!(
                index,
                "  - apiVersion: v2\n    appVersion: \"1.0\"\n    created: \"2026-01-01T00:00:00Z\"\n    \
                 description: {description}\n    digest: {:064x}\n    name: app-{chart}\n    urls:\n    - {}\n    \
                 version: 1.0.{version}",
                chart * 1_000 + version,
                archive_of(chart)
            )?;
        }
    }
    index.push_str("generated: \"2026-01-01T00:00:00Z\"\n");
    fs::write(folder.join("index.yaml"), &index)?;
    Ok(index.len())
}

fn archive_of(chart: usize) -> String {
    format!("app-{chart}.tgz")
}

/// Requests for the index, and for archives.
fn asked(server: &FileServer) -> (usize, usize) {
    let archives = (0..CHARTS).map(|chart| server.count(&format!("/{}", archive_of(chart)))).sum();
    (server.count("/index.yaml"), archives)
}

fn since(before: (usize, usize), now: (usize, usize)) -> (usize, usize) {
    (now.0 - before.0, now.1 - before.1)
}

fn told(cost: &Cost, (indexes, archives): (usize, usize)) -> String {
    format!("{:>6.2} s CPU {:>5.1} s {indexes:>4} indexes {archives:>4} archives", cost.cpu, cost.wall)
}
