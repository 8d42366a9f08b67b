//! The images as Pods on a node: installed as a user installs them, under the restrictions that the manifests ask for.
//!
//! One test, since a node takes a while to start; its steps are printed. `make e2e-node`.

#![allow(clippy::unwrap_used)]

mod install;

use anyhow::Result;
use e2e::node::Node;

#[tokio::test(flavor = "multi_thread")]
async fn images_run_as_they_are_installed() -> Result<()> {
    let node = Node::start().await?;
    step("the node is ready");
    install::controllers(&node).await?;
    step("both controllers are ready");
    Ok(())
}

/// Says how far the test is.
fn step(what: &str) {
    println!("==> {what}");
}
