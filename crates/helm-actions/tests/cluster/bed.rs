//! A namespace, charts, and both ways to install them.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use apply::manager::Manager;
use apply::mapper::{Mapper, MapperOptions};
use e2e::cluster::{Cluster, User};
use e2e::objects::{Id, Objects};
use helm::{Capabilities, Costs, HelmVersion, Input, KubeVersion, ParsedChart, World};
use helm_actions::options::{Apply, Install, Rendition, Rollback, Uninstall, Upgrade, Wait, WaitStrategy};
use helm_actions::resources::Propagation;
use helm_actions::{
    ActionError, Configuration, Former, Log, Memory, Observer, Outcome, Step, Steps, Stop, Write,
};
use helm_release::{Hook, Status, chart_json};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tempfile::TempDir;

pub const MANAGER: Manager = Manager { field_manager: "helm-controller", group: "helm.toolkit.fluxcd.io" };
/// Longer than anything here takes.
pub const LIMIT: Duration = Duration::from_secs(120);

/// A namespace of a cluster, and a folder with charts.
pub struct Bed {
    pub namespace: String,
    pub objects: Objects,
    pub configuration: Configuration,
    /// Status and revision of each write to the storage, or its deletion.
    pub writes: Arc<Mutex<Vec<String>>>,
    /// What the action was at.
    pub steps: Arc<Mutex<Vec<Step>>>,
    kubeconfig: std::path::PathBuf,
    folder: TempDir,
}

impl Bed {
    pub async fn new() -> Result<Self> {
        let cluster = Cluster::shared().await?;
        let namespace = format!("helm-{:05x}", rand::random_range(0..0x10_0000));
        let objects = cluster.objects().await?;
        objects
            .apply(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}"), "")
            .await?;
        let kubeconfig = cluster.kubeconfig(User::Admin).to_owned();
        let config = Kubeconfig::read_from(&kubeconfig)?;
        let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
        let client = Client::try_from(config)?;
        let discovery = MapperOptions { min_interval: Duration::from_millis(200), request_timeout: LIMIT };
        let writes = Arc::new(Mutex::new(Vec::new()));
        let told = writes.clone();
        let steps = Arc::new(Mutex::new(Vec::new()));
        let heard = steps.clone();
        let configuration = Configuration {
            mapper: Arc::new(Mapper::new(client.clone(), discovery)),
            client,
            manager: MANAGER,
            storage_namespace: namespace.clone(),
            limits: Default::default(),
            request_timeout: LIMIT,
            concurrency: 8,
            mask: Default::default(),
            observer: Observer::new(move |write| {
                told.lock().unwrap().push(match write {
                    Write::Created(release) => {
                        format!("create v{} {}", release.version, release.info.status.name())
                    }
                    Write::Updated(release) => {
                        format!("update v{} {}", release.version, release.info.status.name())
                    }
                    Write::Deleted { revision, .. } => format!("delete v{revision}"),
                });
            }),
            steps: Steps::new(move |step| heard.lock().unwrap().push(step)),
            log: Log::default(),
            memory: Memory::default(),
            kept: Default::default(),
            stop: Stop::default(),
        };
        Ok(Self {
            namespace,
            objects,
            configuration,
            writes,
            steps,
            kubeconfig,
            folder: tempfile::tempdir()?,
        })
    }

    /// Counts the requests from now on, by method.
    pub fn count(&mut self) -> Arc<Mutex<BTreeMap<String, usize>>> {
        let (base, counts) = (self.configuration.client.clone(), Arc::new(Mutex::new(BTreeMap::new())));
        let told = counts.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            *told.lock().unwrap().entry(request.method().to_string()).or_default() += 1;
            let base = base.clone();
            async move { base.send(request).await }
        });
        self.configuration.client = Client::new(service, "default");
        counts
    }

    /// Requests of a method for paths that end so are answered with this status from now on.
    pub fn refuse(&mut self, method: &'static str, path: &'static str, code: u16) {
        let base = self.configuration.client.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let base = base.clone();
            async move {
                if request.method() == method && request.uri().path().ends_with(path) {
                    let status = json!({
                        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": "not now",
                    });
                    let body = Body::from(status.to_string().into_bytes());
                    return Ok(http::Response::builder().status(code).body(body)?);
                }
                Ok::<_, tower::BoxError>(base.send(request).await?)
            }
        });
        self.configuration.client = Client::new(service, "default");
    }

    /// No request is answered from now on. Gives the client of before.
    pub fn hang(&mut self) -> Client {
        let service = tower::service_fn(|_: http::Request<Body>| {
            std::future::pending::<Result<http::Response<Body>, tower::BoxError>>()
        });
        std::mem::replace(&mut self.configuration.client, Client::new(service, "default"))
    }

    /// Acts in the name of a user from now on.
    pub async fn impersonate(&mut self, user: &str) -> Result<()> {
        let config = Kubeconfig::read_from(&self.kubeconfig)?;
        let mut config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
        config.auth_info.impersonate = Some(user.to_owned());
        self.configuration.client = Client::try_from(config)?;
        Ok(())
    }

    /// What was written to the storage since the last time.
    pub fn take_writes(&self) -> Vec<String> {
        std::mem::take(&mut self.writes.lock().unwrap())
    }

    /// Makes an archive of a chart of these templates; gives its path.
    pub fn chart(&self, version: &str, templates: &[(&str, &str)]) -> Result<String> {
        let source = self.folder.path().join(version).join("app");
        fs::create_dir_all(source.join("templates"))?;
        let metadata = format!("apiVersion: v2\nname: app\nversion: {version}\nappVersion: \"1\"\n");
        fs::write(source.join("Chart.yaml"), metadata)?;
        fs::write(source.join("values.yaml"), "text: default\n")?;
        for (name, text) in templates {
            let path = source.join(name);
            fs::create_dir_all(path.parent().context("a file has a folder")?)?;
            fs::write(path, text)?;
        }
        let folder = self.folder.path().to_string_lossy().into_owned();
        e2e::helm::helm(self.folder.path(), &["package", "-d", &folder, &source.to_string_lossy()])?;
        Ok(self.folder.path().join(format!("app-{version}.tgz")).to_string_lossy().into_owned())
    }

    /// Runs the real Helm; gives what it says.
    pub fn helm(&self, arguments: &[&str]) -> Result<String> {
        let mut helm = Command::new(e2e::helm::program()?);
        helm.args(arguments).args(["-n", &self.namespace]);
        helm.env("KUBECONFIG", &self.kubeconfig).env("HOME", self.folder.path()).env("HELM_NO_PLUGINS", "1");
        let output = helm.output()?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    pub fn helm_json(&self, arguments: &[&str]) -> Result<Value> {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["-o", "json"]).collect();
        Ok(serde_json::from_str(&self.helm(&arguments)?)?)
    }

    /// Renders an archive for a release, as a controller does.
    pub fn rendition(&self, archive: &str, release: &helm::Release, values: &str) -> Result<Rendition> {
        self.rendition_above(None, archive, release, values)
    }

    /// The same, going on from former values.
    fn rendition_above(
        &self,
        former: Option<&Former>,
        archive: &str,
        release: &helm::Release,
        values: &str,
    ) -> Result<Rendition> {
        let chart = helm_chart::load_archive(fs::File::open(archive)?, &helm_chart::Limits::default())?;
        let chart = ParsedChart::new(chart);
        let mut values: serde_json::Map<String, Value> = serde_json::from_str(values)?;
        let reused = former.map(|former| former.reuse(&values)).transpose()?;
        let defaults = reused.map(|reused| {
            values = reused.values;
            reused.defaults
        });
        let rendered = helm::render(
            &chart,
            &Input {
                release,
                values: &values,
                defaults: defaults.as_ref(),
                capabilities: &Capabilities {
                    kube_version: KubeVersion::discovered("v1.36.0", "1", "36"),
                    api_versions: vec!["v1".into()],
                    helm_version: HelmVersion::default(),
                },
                world: &World::default(),
                costs: &Costs::default(),
                skips_schema: false,
                post_renderer: None,
                is_stopped: &|| false,
            },
        )?;
        Ok(Rendition {
            chart: Some(RawValue::from_string(chart_json(chart.chart(), &rendered.chart))?),
            config: Some(values),
            manifest: rendered.manifest(),
            hooks: rendered.hooks.iter().map(Hook::from).collect(),
            notes: rendered.notes,
        })
    }

    pub async fn install(&self, name: &str, archive: &str, values: &str) -> Result<Outcome, ActionError> {
        self.install_as(name, archive, values, &install()).await
    }

    pub async fn install_as(
        &self,
        name: &str,
        archive: &str,
        values: &str,
        options: &Install,
    ) -> Result<Outcome, ActionError> {
        let plan = self.configuration.plan_install(name, &self.namespace, false).await?;
        let rendition = self.rendition(archive, plan.release(), values).unwrap();
        plan.run(rendition, options).await
    }

    pub async fn upgrade(&self, name: &str, archive: &str, values: &str) -> Result<Outcome, ActionError> {
        self.upgrade_as(name, archive, values, &upgrade()).await
    }

    pub async fn upgrade_as(
        &self,
        name: &str,
        archive: &str,
        values: &str,
        options: &Upgrade,
    ) -> Result<Outcome, ActionError> {
        let plan = self.configuration.plan_upgrade(name).await?;
        let rendition = self.rendition(archive, plan.release(), values).unwrap();
        plan.run(rendition, options).await
    }

    /// Upgrades with the values of the release under the new ones.
    pub async fn upgrade_reusing(
        &self,
        name: &str,
        archive: &str,
        values: &str,
    ) -> Result<Outcome, ActionError> {
        let plan = self.configuration.plan_upgrade(name).await?;
        let former = plan.former();
        let rendition = self.rendition_above(Some(&former), archive, plan.release(), values).unwrap();
        plan.run(rendition, &upgrade()).await
    }

    pub fn id(&self, kind: &str, name: &str) -> Id {
        Id::new(&format!("{kind}/{name}"), &self.namespace).unwrap()
    }

    pub async fn get(&self, kind: &str, name: &str) -> Result<Option<Value>> {
        self.objects.get(&self.id(kind, name)).await
    }

    /// A value of a ConfigMap.
    pub async fn text(&self, name: &str) -> Result<Option<String>> {
        let map = self.get("ConfigMap", name).await?;
        Ok(map.and_then(|map| Some(map.pointer("/data/text")?.as_str()?.to_owned())))
    }
}

pub fn wait() -> Wait {
    Wait { strategy: WaitStrategy::Status, timeout: LIMIT, for_jobs: true, rules: None }
}

pub fn install() -> Install {
    Install {
        apply: Apply::Auto,
        creates_namespace: false,
        takes_ownership: true,
        runs_hooks: true,
        wait: wait(),
        labels: Default::default(),
    }
}

pub fn upgrade() -> Upgrade {
    Upgrade {
        apply: Apply::Auto,
        forces: false,
        takes_ownership: true,
        cleans_up: false,
        max_history: 5,
        runs_hooks: true,
        wait: wait(),
    }
}

pub fn uninstall() -> Uninstall {
    Uninstall { keeps_history: false, propagation: Propagation::Background, runs_hooks: true, wait: wait() }
}

pub fn rollback(revision: i64) -> Rollback {
    Rollback {
        revision,
        apply: Apply::Auto,
        forces: false,
        cleans_up: false,
        max_history: 5,
        runs_hooks: true,
        wait: wait(),
    }
}

/// An outcome that went well.
pub fn good(outcome: Result<Outcome, ActionError>) -> Outcome {
    let outcome = outcome.unwrap();
    assert!(outcome.error.is_none(), "{:?}", outcome.error);
    assert_ne!(outcome.release.info.status, Status::Failed);
    outcome
}

/// What went wrong, after something was stored.
pub fn failure(outcome: Result<Outcome, ActionError>) -> String {
    let outcome = outcome.unwrap();
    net::chain(&outcome.error.expect("the action fails"))
}

/// What went wrong before.
pub fn refusal(outcome: Result<Outcome, ActionError>) -> String {
    net::chain(&outcome.expect_err("nothing is stored"))
}

pub const MAP: (&str, &str) = (
    "templates/map.yaml",
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}-map}\ndata: {text: {{ .Values.text }}, revision: \"{{ .Release.Revision }}\"}\n",
);
