//! A process of distribution's registry, or of go-containerregistry's, on the loopback address.
#![allow(clippy::unwrap_used)]

mod cloud;
mod push;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::pki::{Ca, Identity};
use crate::process::{Owner, Process, free_port, temp_folder};
use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

pub use cloud::CloudRegistry;
pub use push::{CONFIG, LAYER, Pusher, descriptor, index, manifest};

/// bcrypt of [`PASSWORD`].
const HASH: &str = "$2a$04$a7acD0ykscPvYi3xSFL4teD6M8WJCh1J5qa.6PrzEemGWMfslpQy2";
/// The user with [`Setup::basic_auth`].
pub const USER: &str = "me";
/// Their password.
pub const PASSWORD: &str = "pass word";

/// How the registry is set up.
#[derive(Debug, Default)]
pub struct Setup<'a> {
    /// [`USER`] and [`PASSWORD`] are asked for.
    pub basic_auth: bool,
    /// A token server's URL, and the certificate that signs its tokens.
    pub tokens: Option<(&'a str, &'a str)>,
    /// Who signs the server's certificate.
    pub tls: Option<&'a Ca>,
    /// Clients need a certificate of the same authority.
    pub client_certificates: bool,
    /// It lists referrers, and has nothing of the above.
    pub referrers: bool,
    /// [`Registry::take_requests`] tells what it was asked.
    pub access_log: bool,
}

/// A running registry; ends when dropped.
#[derive(Debug)]
pub struct Registry {
    process: Process,
    _folder: TempDir,
    log: PathBuf,
    /// How much of the log was told of.
    told: AtomicUsize,
    port: u16,
    pusher: reqwest::Client,
    scheme: &'static str,
    basic_auth: bool,
}

impl Registry {
    /// Starts one and waits until it answers.
    pub async fn start(setup: Setup<'_>) -> Registry {
        crate::init_tls();
        let build = if setup.referrers { toolchain::referrers_registry } else { toolchain::registry };
        let program = tokio::task::spawn_blocking(build).await.unwrap().unwrap();
        let (folder, port) = (temp_folder("registry").unwrap(), free_port().unwrap());
        let path = |name: &str| folder.path().join(name).display().to_string();
        let mut config = format!(
            "version: 0.1\nlog: {{level: info, accesslog: {{disabled: {}}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp:\n  addr: 127.0.0.1:{port}\n",
            !setup.access_log,
            path("data")
        );
        let mut builder = reqwest::Client::builder().no_proxy();
        if let Some(ca) = setup.tls {
            let Identity { certificate, key } = ca.issue(&["127.0.0.1", "localhost"]).unwrap();
            fs::write(path("tls.crt"), certificate).unwrap();
            fs::write(path("tls.key"), key).unwrap();
            fs::write(path("ca.crt"), ca.pem()).unwrap();
            config.push_str(&format!(
                "  tls:\n    certificate: {}\n    key: {}\n",
                path("tls.crt"),
                path("tls.key")
            ));
            builder = builder.tls_certs_merge([reqwest::Certificate::from_pem(ca.pem().as_bytes()).unwrap()]);
            if setup.client_certificates {
                config.push_str(&format!("    clientcas: [{}]\n", path("ca.crt")));
                let Identity { certificate, key } = ca.issue(&["client"]).unwrap();
                let identity = reqwest::Identity::from_pem(format!("{certificate}\n{key}").as_bytes());
                builder = builder.identity(identity.unwrap());
            }
        }
        if setup.basic_auth {
            fs::write(path("htpasswd"), format!("{USER}:{HASH}\n")).unwrap();
            config.push_str(&format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", path("htpasswd")));
        }
        if let Some((realm, certificate)) = setup.tokens {
            fs::write(path("tokens.crt"), certificate).unwrap();
            config.push_str(&format!(
                "auth: {{token: {{realm: '{realm}', service: registry, issuer: issuer, rootcertbundle: {}}}}}\n",
                path("tokens.crt")
            ));
        }
        fs::write(path("config.yaml"), config).unwrap();
        let mut command = Command::new(program);
        match setup.referrers {
            true => command.arg(port.to_string()),
            false => command.args(["serve", &path("config.yaml")]).env("OTEL_TRACES_EXPORTER", "none"),
        };
        let log = folder.path().join("log");
        let process = Process::start("registry", &mut command, &log, Owner::Harness).unwrap();
        let scheme = if setup.tls.is_some() { "https" } else { "http" };
        let basic_auth = setup.basic_auth;
        let pusher = builder.build().unwrap();
        let told = AtomicUsize::default();
        let mut registry = Registry { process, _folder: folder, log, told, port, pusher, scheme, basic_auth };
        registry.wait().await;
        registry
    }

    async fn wait(&mut self) {
        let begin = Instant::now();
        while self.pusher.get(format!("{}/v2/", self.root())).send().await.is_err() {
            self.process.expect_running().unwrap();
            assert!(begin.elapsed() < Duration::from_secs(30), "{}", self.process.log_tail(20));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn root(&self) -> String {
        format!("{}://{}", self.scheme, self.address())
    }

    /// `host:port`
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What it was asked since the last call, such as `GET /v2/`.
    pub fn take_requests(&self) -> Result<Vec<String>> {
        let log = fs::read_to_string(&self.log)?;
        let new = log.get(self.told.swap(log.len(), Ordering::Relaxed)..).unwrap_or_default();
        let asked = new.lines().filter_map(|line| line.split('"').nth(1)?.strip_suffix(" HTTP/1.1"));
        Ok(asked.filter(|request| request.contains(" /v2/")).map(str::to_owned).collect())
    }

    /// Pushes to the repository `team/app`.
    pub fn pusher(&self) -> Pusher {
        Pusher {
            client: self.pusher.clone(),
            url: format!("{}/v2/team/app", self.root()),
            authorization: self
                .basic_auth
                .then(|| format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")))),
        }
    }
}
