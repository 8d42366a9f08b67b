//! Where the test runs: on a node of its own, or on a cluster that others run.

use std::fmt::Display;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result};
use e2e::node::{ADDRESS, POD_IMAGE};

/// What tests have to know of a cluster.
#[derive(Clone, Debug)]
pub struct Settings {
    /// An address of this machine that Pods reach: Git servers listen there.
    pub address: Ipv4Addr,
    /// The image of Pods that are delivered: its first argument is the port that it answers HTTP requests at.
    pub pod_image: String,
    /// Where the images of the controllers are; the node's own are `ferroflux/NAME`.
    pub repository: String,
}

impl Settings {
    /// Those of our own node.
    pub fn of_node() -> Self {
        Self { address: ADDRESS, pod_image: POD_IMAGE.into(), repository: "ferroflux".into() }
    }

    /// Those of a cluster that others run, from the environment.
    ///
    /// # Errors
    /// When something is missing.
    pub fn of_environment() -> Result<Self> {
        let own = Self::of_node();
        Ok(Self {
            address: variable("E2E_ADDRESS")?
                .context("E2E_ADDRESS: which address do Pods reach this machine at?")?,
            pod_image: variable("E2E_POD_IMAGE")?.unwrap_or(own.pod_image),
            repository: variable("E2E_REPOSITORY")?.unwrap_or(own.repository),
        })
    }

    /// Flags of Helm that tell the chart where images are.
    pub fn chart_flags(&self) -> String {
        if self.repository == Self::of_node().repository {
            return String::new();
        }
        let controllers = ["source", "kustomize", "helm"].map(|name| {
            format!(" --set {name}Controller.image.repository={}/{name}-controller", self.repository)
        });
        controllers.concat()
    }
}

fn variable<T: FromStr<Err: Display>>(name: &str) -> Result<Option<T>> {
    let Some(value) = std::env::var(name).ok().filter(|value| !value.is_empty()) else { return Ok(None) };
    value.parse().map(Some).map_err(|error| anyhow::anyhow!("{name}={value}: {error}"))
}

/// Where the archives of images are.
pub fn images() -> PathBuf {
    std::env::var_os("E2E_IMAGES").map_or_else(|| e2e::workspace().join("target/images"), Into::into)
}
