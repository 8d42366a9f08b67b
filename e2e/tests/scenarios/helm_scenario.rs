//! What scenarios of HelmReleases share: the controller that serves them, and charts.

use std::ops::Deref;

use anyhow::{Context, Result};
use e2e::cluster::{Cluster, User};
use e2e::controller::Controller;
use e2e::objects::Look;
use e2e::scenario::{SHARD, Scenario};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::helm_release::{Helm, RELEASE};

/// The controller of a test: its own, which it may kill, or that of all tests.
pub enum Running {
    Own(Box<Controller>),
    Shared(&'static Controller),
}

impl Deref for Running {
    type Target = Controller;

    fn deref(&self) -> &Controller {
        match self {
            Self::Own(controller) => controller,
            Self::Shared(controller) => controller,
        }
    }
}

impl Running {
    pub fn own(&mut self) -> Result<&mut Controller> {
        match self {
            Self::Own(controller) => Ok(controller),
            Self::Shared(_) => anyhow::bail!("others use this controller, too"),
        }
    }
}

/// The controller of the HelmReleases of all tests that have none of their own.
pub async fn shared_controller() -> Result<&'static Controller> {
    static SHARED: OnceCell<Controller> = OnceCell::const_new();
    let cluster = Cluster::shared().await?;
    let selector = format!("--watch-label-selector=!{SHARD}");
    let options = [&*selector, "--requeue-dependency=1h"];
    SHARED.get_or_try_init(|| Controller::start(cluster, User::HelmController, &options)).await
}

impl Helm {
    /// A test with the controllers of all tests.
    pub async fn shared(name: &str) -> Result<Self> {
        let test = Scenario::new(name).await?;
        Ok(Self { test, controller: Running::Shared(shared_controller().await?) })
    }

    /// A test with controllers of its own that reach the API server by way of a proxy.
    pub async fn through_proxy(name: &str) -> Result<Self> {
        let test = Scenario::through_proxy(name, &[]).await?;
        let selector = test.selector();
        let (user, kubeconfig) = (User::HelmController, test.proxy()?.kubeconfig(User::HelmController));
        let controller = Controller::start_with(kubeconfig, user, &[&selector], &[]).await?;
        Ok(Self { test, controller: Running::Own(Box::new(controller)) })
    }

    /// Commits a chart `app` of these files, with paths inside of it, to a folder of its own.
    pub fn commit_chart_in(&self, folder: &str, version: &str, files: &[(&str, &str)]) -> Result<String> {
        let repo = &self.test.repo;
        let metadata = format!("apiVersion: v2\nname: app\nversion: {version}\nappVersion: \"7\"\n");
        repo.write(&format!("{folder}/Chart.yaml"), &metadata)?;
        repo.write(&format!("{folder}/values.yaml"), "text: default\nreplicas: 0\n")?;
        for (path, text) in files {
            repo.write(&format!("{folder}/{path}"), text)?;
        }
        repo.commit("chart")
    }

    /// `spec.chart` for the chart of a folder.
    pub fn chart_in(&self, folder: &str) -> Value {
        let mut chart = json!({"spec": {
            "chart": format!("./{folder}"), "sourceRef": {"kind": "GitRepository", "name": "app"},
            "reconcileStrategy": "Revision",
        }});
        if matches!(self.controller, Running::Own(_)) {
            // As with Flux, the shard of the chart is its author's business.
            chart["metadata"] = json!({"labels": {SHARD: self.test.namespace}});
        }
        chart
    }

    /// Commits chart `app` of these templates and applies HelmRelease `app` of it.
    pub async fn begin(&self, templates: &[(&str, &str)], spec: &Value) -> Result<()> {
        self.commit_chart("1.0.0", templates)?;
        self.test.apply_source().await?;
        self.release(spec).await
    }

    /// The same, and waits until the release is installed.
    pub async fn installed(self, templates: &[(&str, &str)], spec: &Value) -> Result<Self> {
        self.begin(templates, spec).await?;
        self.ready("Helm install succeeded").await?;
        Ok(self)
    }

    /// Waits until the release has a condition of this kind, status and reason whose message contains a text.
    pub async fn says(&self, kind: &str, status: &str, reason: &str, message: &str) -> Result<Value> {
        self.until(&format!("has {kind} {status} {reason} {message:?}"), |release| {
            release.condition(kind).is_some_and(|condition| {
                condition.status == status
                    && condition.reason == reason
                    && condition.message.contains(message)
            })
        })
        .await
    }

    /// Status of each revision that Helm knows of, the oldest first.
    pub fn statuses(&self, name: &str) -> Result<Vec<String>> {
        let history = self.helm(&["history", name])?;
        let revisions = history.as_array().context("a list of revisions")?;
        Ok(revisions.iter().map(|revision| revision.text("/status").to_owned()).collect())
    }

    /// How often the releases of the test were looked at.
    pub async fn passes(&self) -> Result<f64> {
        let namespace = format!("namespace=\"{}\"", self.test.namespace);
        self.controller.metric("gotk_reconcile_duration_seconds_count", &[&namespace]).await
    }

    /// How often the release was written down in its history: the newest revision.
    pub async fn version(&self) -> Result<i64> {
        Ok(self.test.get(RELEASE).await?.number("/status/history/0/version"))
    }
}
