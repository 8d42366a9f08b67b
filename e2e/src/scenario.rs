//! One test: a namespace of its own in the shared cluster, a Git server, and the controllers.
//!
//! Most tests share one pair of controllers. A test that kills them has its own pair, split off by label
//! the way Flux shards: the shared pair ignores every object with [`SHARD`], an own pair sees only those
//! with its value.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::api_proxy::ApiProxy;
use crate::cluster::{Cluster, User};
use crate::controller::Controller;
use crate::git_server::GitServer;
use crate::idle::idle;
use crate::objects::{Condition, Id, Look, Objects, documents};
use crate::repository::Repository;
use crate::wait::{self, Not, not_yet};

pub use crate::wait::LIMIT;

/// The label that takes an object away from the shared controllers.
pub const SHARD: &str = "sharding.fluxcd.io/key";

/// The annotation that asks for a run now.
pub const REQUESTED_AT: &str = "reconcile.fluxcd.io/requestedAt";

/// Both controllers over one cluster.
#[derive(Debug)]
pub struct Pair {
    /// The controller for sources.
    pub source: Controller,
    /// The controller for Kustomizations.
    pub kustomize: Controller,
}

/// How the controllers of one test are started, beside what all get.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings<'a> {
    /// Flags of source-controller.
    pub source: &'a [&'a str],
    /// Flags of kustomize-controller.
    pub kustomize: &'a [&'a str],
    /// Environment variables of both.
    pub environment: &'a [(&'a str, &'a str)],
}

impl Pair {
    /// Starts both, for the objects that a label selector takes.
    pub async fn start(cluster: &Cluster, selector: &str, settings: Settings<'_>) -> Result<Self> {
        Self::start_with(|user| cluster.kubeconfig(user), selector, settings).await
    }

    /// The same with other kubeconfig files.
    async fn start_with<'a>(
        kubeconfig: impl Fn(User) -> &'a Path,
        selector: &str,
        settings: Settings<'_>,
    ) -> Result<Self> {
        let selector = format!("--watch-label-selector={selector}");
        let [source, kustomize] =
            [settings.source, settings.kustomize].map(|flags| [&[&*selector], flags].concat());
        let start = |user, flags| Controller::start_with(kubeconfig(user), user, flags, settings.environment);
        let (source, kustomize) = tokio::try_join!(
            start(User::SourceController, &source),
            start(User::KustomizeController, &kustomize),
        )?;
        Ok(Self { source, kustomize })
    }

    async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<Pair> = OnceCell::const_new();
        let cluster = Cluster::shared().await?;
        let selector = format!("!{SHARD}");
        SHARED.get_or_try_init(|| Self::start(cluster, &selector, Settings::default())).await
    }
}

/// What one test works with.
pub struct Scenario {
    /// The cluster.
    pub cluster: &'static Cluster,
    /// A client with all rights.
    pub objects: Objects,
    /// The namespace of this test.
    pub namespace: String,
    /// The Git server of this test.
    pub git: GitServer,
    /// The repository `app` on it, still empty.
    pub repo: Repository,
    own: Option<Pair>,
    shared: Option<&'static Pair>,
    proxy: Option<ApiProxy>,
}

impl Scenario {
    /// A test named `name` (a DNS label) with the shared controllers.
    pub async fn new(name: &str) -> Result<Self> {
        let scenario = Self::without_controllers(name).await?;
        Ok(Self { shared: Some(Pair::shared().await?), ..scenario })
    }

    /// A test with its own controllers, which it may kill; `options` are further flags of
    /// kustomize-controller.
    pub async fn with_own_controllers(name: &str, options: &[&str]) -> Result<Self> {
        Self::with_settings(name, Settings { kustomize: options, ..Settings::default() }).await
    }

    /// The same with further settings.
    pub async fn with_settings(name: &str, settings: Settings<'_>) -> Result<Self> {
        let scenario = Self::without_controllers(name).await?;
        let selector = format!("{SHARD}={}", scenario.namespace);
        let own = Pair::start(scenario.cluster, &selector, settings).await?;
        Ok(Self { own: Some(own), ..scenario })
    }

    /// A test whose own controllers reach the API server by way of a proxy; `options` are further flags of
    /// kustomize-controller.
    pub async fn through_proxy(name: &str, options: &[&str]) -> Result<Self> {
        let scenario = Self::without_controllers(name).await?;
        let proxy = ApiProxy::start(scenario.cluster).await?;
        let selector = format!("{SHARD}={}", scenario.namespace);
        let settings = Settings { kustomize: options, ..Settings::default() };
        let own = Pair::start_with(|user| proxy.kubeconfig(user), &selector, settings).await?;
        Ok(Self { own: Some(own), proxy: Some(proxy), ..scenario })
    }

    /// A test with its own control plane and controllers, all of which it may kill.
    pub async fn with_own_cluster(name: &str) -> Result<Self> {
        // Lives as long as this program, like the shared one, and ends with it.
        let cluster: &'static Cluster = Box::leak(Box::new(Cluster::start().await?));
        cluster.install().await?;
        let scenario = Self::in_cluster(cluster, name).await?;
        let own =
            Pair::start(cluster, &format!("{SHARD}={}", scenario.namespace), Settings::default()).await?;
        Ok(Self { own: Some(own), ..scenario })
    }

    async fn without_controllers(name: &str) -> Result<Self> {
        Self::in_cluster(Cluster::shared().await?, name).await
    }

    /// A test in this cluster that starts what controllers it needs.
    pub async fn in_cluster(cluster: &'static Cluster, name: &str) -> Result<Self> {
        let objects = cluster.objects().await?;
        let namespace = format!("{name}-{:05x}", rand::random_range(0..0x10_0000));
        objects.apply(&namespace_yaml(&namespace), "").await?;
        let git = GitServer::start().await?;
        let repo = git.create("app")?;
        Ok(Self { cluster, objects, namespace, git, repo, own: None, shared: None, proxy: None })
    }

    /// Removes the namespace; what is in it goes in the background.
    pub async fn finish(self) -> Result<()> {
        self.objects.delete(&self.id(&format!("Namespace/{}", self.namespace))?).await
    }

    /// The controllers of this test, to kill and restart.
    pub fn own(&mut self) -> Result<&mut Pair> {
        self.own.as_mut().context("this test has no controllers of its own")
    }

    /// The proxy of this test.
    pub fn proxy(&self) -> Result<&ApiProxy> {
        self.proxy.as_ref().context("this test has no proxy")
    }

    /// The controllers that serve this test.
    pub fn pair(&self) -> Result<&Pair> {
        self.own.as_ref().or(self.shared).context("this test has no controllers")
    }

    /// Waits for what is no state of one object, `what` in words. The error tells what the controllers logged.
    pub async fn wait<T>(&self, what: &str, look: impl AsyncFnMut() -> Result<T, Not>) -> Result<T> {
        let waited = wait::until(LIMIT, look).await;
        waited.map_err(|error| error.context(format!("{what}\n{}", self.logs())))
    }

    /// Waits until the controllers of this test's own have nothing to do; [`crate::idle`] tells what that shows.
    pub async fn idle(&self) -> Result<()> {
        let own = self.own.as_ref().context("others' objects keep the shared controllers busy")?;
        let waited = idle(&[&own.source, &own.kustomize]).await;
        waited.map_err(|error| error.context(format!("both controllers are idle\n{}", self.logs())))
    }

    /// `Kind/name` in the namespace of this test.
    pub fn id(&self, text: &str) -> Result<Id> {
        Id::new(text, &self.namespace)
    }

    /// Applies YAML; objects without a namespace go to that of the test, toolkit objects get the label
    /// that the test's controllers watch.
    pub async fn apply(&self, yaml: &str) -> Result<()> {
        for mut object in documents(yaml)? {
            let toolkit = object.text("/apiVersion").contains(".fluxcd.io/");
            if let (true, Some(_), Some(metadata)) = (toolkit, &self.own, object.get_mut("metadata")) {
                metadata["labels"] = json!({ SHARD: self.namespace });
            }
            self.objects.apply_one(&object, &self.namespace).await?;
        }
        Ok(())
    }

    /// Applies GitRepository `app` for the repository of this test: branch main, polled every hour.
    pub async fn apply_source(&self) -> Result<()> {
        self.apply(&self.source_yaml("1h", "")).await
    }

    /// GitRepository `app` with an interval and further lines of spec, indented by two.
    pub fn source_yaml(&self, interval: &str, more: &str) -> String {
        let url = self.git.url("app");
        format!(
            "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {{name: app}}\n\
             spec:\n  interval: {interval}\n  url: {url}\n  ref: {{branch: main}}\n{more}\n"
        )
    }

    /// A Kustomization of source `app`: path, then further lines of spec, indented by two.
    pub fn kustomization_yaml(&self, name: &str, path: &str, more: &str) -> String {
        format!(
            "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {{name: {name}}}\n\
             spec:\n  interval: 1h\n  retryInterval: 2s\n  prune: true\n  path: {path}\n  targetNamespace: {}\n  \
             sourceRef: {{kind: GitRepository, name: app}}\n{more}\n",
            self.namespace
        )
    }

    /// The object, which must exist.
    pub async fn get(&self, text: &str) -> Result<Value> {
        let id = self.id(text)?;
        self.objects.get(&id).await?.with_context(|| format!("{id} does not exist"))
    }

    /// Whether the object exists.
    pub async fn exists(&self, text: &str) -> Result<bool> {
        Ok(self.objects.get(&self.id(text)?).await?.is_some())
    }

    /// Changes fields with a JSON merge patch.
    pub async fn patch(&self, text: &str, merge: &Value) -> Result<Value> {
        self.objects.patch(&self.id(text)?, merge).await
    }

    /// Asks for a run now; answers the token.
    pub async fn request(&self, text: &str) -> Result<String> {
        let token = format!("{:x}", rand::random::<u64>());
        self.patch(text, &json!({"metadata": {"annotations": { REQUESTED_AT: token }}})).await?;
        Ok(token)
    }

    /// Asks for a run now and waits until it is over, well or not.
    pub async fn run(&self, text: &str) -> Result<Value> {
        let token = self.request(text).await?;
        self.until(text, &format!("has handled request {token}"), |object| {
            object.text("/status/lastHandledReconcileAt") == token
        })
        .await
    }

    /// Waits until the object is as `is` wants it, `what` in words. The error tells the object, its events
    /// and what the controllers logged.
    pub async fn until(&self, text: &str, what: &str, is: impl Fn(&Value) -> bool) -> Result<Value> {
        let id = self.id(text)?;
        let waited = wait::until(LIMIT, async || match self.objects.get(&id).await {
            Ok(Some(object)) if is(&object) => Ok(object),
            Ok(Some(_)) => Err(Not::Yet(format!("{id} is not"))),
            Ok(None) => Err(Not::Yet(format!("{id} does not exist"))),
            Err(error) => Err(not_yet(error)),
        });
        match waited.await {
            Ok(object) => Ok(object),
            Err(error) => Err(error.context(format!("{id} {what}\n{}", self.report(&id).await))),
        }
    }

    /// Waits until the object is gone.
    pub async fn gone(&self, text: &str) -> Result<()> {
        let id = self.id(text)?;
        let waited = wait::until(LIMIT, async || match self.objects.get(&id).await {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err(Not::Yet("it still exists".into())),
            Err(error) => Err(not_yet(error)),
        });
        match waited.await {
            Ok(()) => Ok(()),
            Err(error) => Err(error.context(format!("{id} is gone\n{}", self.report(&id).await))),
        }
    }

    /// Waits until the object is ready for its newest generation.
    pub async fn ready(&self, text: &str) -> Result<Value> {
        self.until(text, "is ready", Look::is_ready).await
    }

    /// Waits until a Kustomization has applied a commit and is ready.
    pub async fn applied(&self, text: &str, commit: &str) -> Result<Value> {
        self.until(text, &format!("has applied {commit}"), |object| {
            object.is_ready() && object.text("/status/lastAppliedRevision").ends_with(commit)
        })
        .await
    }

    /// Waits for a condition with this status and reason, whose message contains `message`.
    pub async fn condition(
        &self,
        text: &str,
        kind: &str,
        status: &str,
        reason: &str,
        message: &str,
    ) -> Result<Condition> {
        let matches = |c: &Condition| c.status == status && c.reason == reason && c.message.contains(message);
        let what = format!("has condition {kind} {status}, {reason}, {message:?}");
        let object =
            self.until(text, &what, |object| object.condition(kind).as_ref().is_some_and(matches)).await?;
        object.condition(kind).context("checked above")
    }

    /// The flag with which a controller sees the objects of this test alone.
    pub fn selector(&self) -> String {
        format!("--watch-label-selector={SHARD}={}", self.namespace)
    }

    /// Waits for an event of this type and reason about the object, whose message contains `message`.
    pub async fn event(&self, text: &str, kind: &str, reason: &str, message: &str) -> Result<Value> {
        let id = self.id(text)?;
        let matches = |e: &Value| {
            e.text("/type") == kind && e.text("/reason") == reason && e.text("/message").contains(message)
        };
        let waited = wait::until(LIMIT, async || {
            let events = self.objects.events(&id).await.map_err(not_yet)?;
            events.into_iter().find(matches).ok_or_else(|| Not::Yet("no such event".into()))
        });
        match waited.await {
            Ok(event) => Ok(event),
            Err(error) => {
                let what = format!("{id} has event {kind}, {reason}, {message:?}");
                Err(error.context(format!("{what}\n{}", self.report(&id).await)))
            }
        }
    }

    /// Runs kubectl in the namespace of this test; answers what it prints, warnings included.
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        let mut command = self.cluster.kubectl();
        command.args(["-n", &self.namespace]).args(args);
        let output = tokio::task::block_in_place(|| command.output())?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "kubectl {}: {error}", args.join(" "));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned() + &error)
    }

    /// All there is to know about an object when a test fails.
    async fn report(&self, id: &Id) -> String {
        let object = match self.objects.get(id).await {
            Ok(Some(mut object)) => {
                if let Some(metadata) = object.pointer_mut("/metadata").and_then(Value::as_object_mut) {
                    metadata.remove("managedFields");
                }
                serde_yaml::to_string(&object).unwrap_or_default()
            }
            Ok(None) => "absent".into(),
            Err(error) => format!("{error:#}"),
        };
        let mut events = String::new();
        for event in self.objects.events(id).await.unwrap_or_default() {
            let field = |pointer| event.text(pointer);
            events += &format!("{} {}: {}\n", field("/type"), field("/reason"), field("/message"));
        }
        format!("--- object\n{object}--- events\n{events}{}", self.logs())
    }

    /// What both controllers logged about the namespace of this test.
    fn logs(&self) -> String {
        let Ok(pair) = self.pair() else { return String::new() };
        let log = |controller: &Controller| format!("--- {}\n", controller.log_about(&self.namespace, 15));
        [&pair.source, &pair.kustomize].map(log).concat()
    }
}

fn namespace_yaml(name: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}")
}
