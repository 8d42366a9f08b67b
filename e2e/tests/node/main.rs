//! The images as Pods on a node: installed as a user installs them, under the restrictions that the manifests ask for.
//!
//! One test, since a node takes a while to start; its steps are printed, with the seconds that they took. `make e2e-node`. With
//! `E2E_KUBECONFIG` it is another cluster than that of a node of this machine, and what would harm that is left out.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod attack;
mod delivery;
mod elsewhere;
mod generator;
mod install;
mod interruptions;
mod monitoring;
mod policies;
mod settings;
mod shards;
mod storage;
mod tenants;
mod trouble;
mod user;
mod ways;

use std::path::Path;
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use e2e::node::Node;

use self::delivery::Delivery;
use self::settings::Settings;
use self::user::User;

#[tokio::test(flavor = "multi_thread")]
async fn images_run_as_they_are_installed() -> Result<()> {
    LazyLock::force(&BEGIN);
    if let Some(kubeconfig) = elsewhere::kubeconfig() {
        return elsewhere::run(Path::new(&kubeconfig)).await;
    }
    let mut node = Node::start().await?;
    step("the node is ready");
    let ran = on_node(&mut node).await;
    ran.with_context(|| node.logs())
}

async fn on_node(node: &mut Node) -> Result<()> {
    install::import(node)?;
    elsewhere::run_beside(node).await?;

    let settings = Settings::of_node();
    let mut user = User::new(&node.cluster, settings.clone()).await?;
    install::controllers(&node.cluster, &user).await?;
    step("all controllers are ready");
    let mut delivery = Delivery::start(&node.cluster, &settings).await?;
    step("a commit became Pods that are ready");
    policies::hold(node).await?;
    attack::memory_holds(node, &mut delivery).await?;
    interruptions::of_node(node, &mut delivery).await?;
    trouble::look_for_trouble(node, &user, &mut delivery).await?;
    storage::outlives_its_pod(node, &user, &mut delivery).await?;
    shards::serve_their_objects(node, &user, &mut delivery).await?;
    tenants::are_locked_down(node, &user, &mut delivery).await?;
    ways::all(node, &mut user, delivery).await
}

static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Says how far the test is, how long it runs and how long this step took.
fn step(what: &str) {
    static BEFORE: Mutex<Duration> = Mutex::new(Duration::ZERO);
    let now = BEGIN.elapsed();
    let taken = now.saturating_sub(std::mem::replace(&mut *BEFORE.lock().unwrap(), now));
    println!("==> [{:4} s, {:+3} s] {what}", now.as_secs(), taken.as_secs());
}
