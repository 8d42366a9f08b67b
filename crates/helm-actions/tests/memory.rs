//! What actions that wait keep in memory.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, dead_code)]

#[path = "cluster/bed.rs"]
mod bed;

use std::fmt::Write;
use std::fs;
use std::sync::Arc;

use anyhow::Result;
use helm_actions::Memory;
use tokio::task::JoinHandle;

use bed::*;

/// Objects of a release, and bytes of each: a manifest of 1 MB.
const OBJECTS: usize = 200;
const BYTES: usize = 5_000;
/// Releases that wait at once, the first of which is not counted: it brings what all use.
const RELEASES: usize = 9;
/// What the manifests, parsed objects and answers of such a release would take is many times this.
const MOST: usize = 6 << 20;

/// A line of `/proc/self/status`, in bytes.
fn memory(field: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// Objects that are ready at once, and a Deployment that never is.
fn objects() -> String {
    let mut text = String::new();
    for object in 0..OBJECTS {
        write!(text, "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: \"{{{{ .Release.Name }}}}-{object}\"}}\ndata:\n")
            .unwrap();
        for line in 0..BYTES / 50 {
            writeln!(text, "  key-{line:03}: value {line:03} of object {object:03} of the chart").unwrap();
        }
        text.push_str("---\n");
    }
    text.push_str(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: \"{{ .Release.Name }}\"}\nspec:\n  replicas: {{ .Values.replicas }}\n  \
         selector: {matchLabels: {app: a}}\n  template:\n    metadata: {labels: {app: a}}\n    spec: {containers: [{name: a, image: a}]}\n",
    );
    text
}

/// Begins an action, and gives it once it waits, with what it says that it keeps.
async fn waiting<F: Future<Output = ()> + Send + 'static>(
    memory: &Memory,
    action: F,
) -> (JoinHandle<()>, u64) {
    let mut waits = memory.waits();
    let action = tokio::spawn(action);
    let told = waits.wait_for(Option::is_some).await.unwrap().unwrap();
    (action, told)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_that_waits_keeps_little_more_than_its_text() -> Result<()> {
    let bed = Arc::new(Bed::new().await?);
    let objects = objects();
    let chart = bed.chart("1.0.0", &[("templates/objects.yaml", &objects)])?;
    let (mut actions, mut before, mut told) = (Vec::new(), 0, 0);
    for release in 0..RELEASES {
        if release == 1 {
            before = memory("VmRSS:");
        }
        let own = Memory::default();
        let configuration = helm_actions::Configuration { memory: own.clone(), ..bed.configuration.clone() };
        let (bed, chart) = (bed.clone(), chart.clone());
        let install = async move {
            let plan =
                configuration.plan_install(&format!("r{release}"), &bed.namespace, false).await.unwrap();
            let rendition = bed.rendition(&chart, plan.release(), r#"{"replicas": 1}"#).unwrap();
            drop(plan.run(rendition, &install()).await);
        };
        let (action, bytes) = waiting(&own, install).await;
        actions.push(action);
        told = bytes;
    }
    let each = (memory("VmRSS:") - before) / (RELEASES - 1);
    println!("a waiting release keeps {each} bytes, and says {told}; peak {}", memory("VmHWM:"));
    assert!(each < MOST, "{each} bytes");
    assert!(3 * told as usize > each && (told as usize) < MOST, "{told} of {each}");
    actions.iter().for_each(JoinHandle::abort);
    Ok(())
}
