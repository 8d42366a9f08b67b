//! The images as Pods on a node: installed as a user installs them, under the restrictions that the manifests ask for.
//!
//! One test, since a node takes a while to start; its steps are printed. `make e2e-node`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod attack;
mod delivery;
mod generator;
mod install;
mod interruptions;
mod monitoring;
mod policies;
mod shards;
mod storage;
mod trouble;
mod user;
mod ways;

use anyhow::Result;
use e2e::node::Node;

use self::delivery::Delivery;
use self::user::User;

#[tokio::test(flavor = "multi_thread")]
async fn images_run_as_they_are_installed() -> Result<()> {
    let mut node = Node::start().await?;
    step("the node is ready");
    let mut user = User::new(&node).await?;
    install::controllers(&node, &user).await?;
    step("all controllers are ready");
    let mut delivery = Delivery::start(&node).await?;
    step("a commit became Pods that are ready");
    policies::hold(&node).await?;
    monitoring::watch(&node).await?;
    attack::memory_holds(&node, &mut delivery).await?;
    interruptions::all(&mut node, &mut delivery).await?;
    trouble::look_for_trouble(&node, &user, &mut delivery).await?;
    storage::outlives_its_pod(&node, &user, &mut delivery).await?;
    shards::serve_their_objects(&node, &user, &mut delivery).await?;
    ways::all(&node, &mut user, delivery).await
}

/// Says how far the test is.
fn step(what: &str) {
    println!("==> {what}");
}
