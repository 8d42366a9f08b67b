//! Arguments, with upstream's names, defaults and environment variables.

use std::path::PathBuf;
use std::time::Duration;

use artifact::digest::Algorithm;
use artifact::{cache, fetch};
use budget::Limits;
use clap::{ArgAction, Parser};
use helm_state::Settings;
use net::HostPattern;
use references::sources::{EXTERNAL_ARTIFACT, Options};
use runtime::flags::{boolean, duration, label_selector, service_account, timeout};
use runtime::gates::{Gate, GateError, Gates, OBJECT_IDENTITY};

use crate::source::Access;

/// The headings of `--help` beside those of all controllers.
mod heading {
    pub use runtime::flags::heading::*;

    pub const TENANCY: &str = "Tenants";
    pub const CHARTS: &str = "Charts";
    pub const IDENTITY: &str = "Identities and tokens";
    pub const CLUSTERS: &str = "Other clusters";
    pub const RELEASES: &str = "Releases";
}

/// Defaults of Helm 3.
pub const HELM_3_DEFAULTS: &str = "UseHelm3Defaults";
/// Failures are tried again where no strategy is given.
const RETRY_ON_FAILURE: &str = "DefaultToRetryOnFailure";
/// The built-in check of dependencies counts beside an expression, too.
pub const ADDITIVE_CEL_CHECK: &str = "AdditiveCELDependencyCheck";
/// The versions of charts from artifacts with a digest stay as they are.
pub const NO_DIGEST_TRACKING: &str = "DisableChartDigestTracking";
/// Another generation ends the waits for objects of the one before.
pub const CANCEL_WAITS: &str = "CancelHealthCheckOnNewRevision";
/// ConfigMaps and Secrets start no runs.
pub const NO_CONFIG_WATCHES: &str = "DisableConfigWatchers";
/// Sources are read from the API server, not from the watch.
const DIRECT_SOURCES: &str = "DirectSourceFetch";

/// Flux's gates. `CacheSecretsAndConfigMaps` has both values because neither makes a difference here: what many objects refer to is
/// read once for all that are due.
const GATES: [Gate; 13] = [
    Gate::new(HELM_3_DEFAULTS, false),
    Gate::new(RETRY_ON_FAILURE, false),
    Gate::new(CANCEL_WAITS, false),
    Gate::new(ADDITIVE_CEL_CHECK, false),
    Gate::new(EXTERNAL_ARTIFACT, true),
    Gate::new(DIRECT_SOURCES, false),
    Gate::new(NO_CONFIG_WATCHES, false),
    Gate::new("CacheSecretsAndConfigMaps", false),
    Gate::new(NO_DIGEST_TRACKING, false),
    OBJECT_IDENTITY,
    Gate::retired("DetectDrift", "drift is looked for where spec.driftDetection of a HelmRelease says so."),
    Gate::retired("CorrectDrift", "drift is corrected where spec.driftDetection of a HelmRelease says so."),
    Gate::retired("AdoptLegacyReleases", "the API version of such HelmReleases is not served any more."),
];
/// Gates of Flux that can only be false here.
const UNSERVED_GATES: [Gate; 2] = [Gate::new("AllowDNSLookups", false), Gate::new("OOMWatch", false)];

/// Part of the memory for charts.
const CHARTS_PART: u64 = 4;
/// Charts may always have this much.
const MIN_CHART_BYTES: u64 = 64 << 20;
/// What a chart may have at first, in bytes; most are smaller.
const FIRST_CHART_BYTES: u64 = 4 << 20;
/// What it takes to store how an action has ended that had to.
const ACTIONS_END: Duration = Duration::from_secs(8);
/// A rendering has a thread.
const MAX_RENDERINGS: i64 = 64;

impl runtime::app::Arguments for Arguments {
    fn shared(&self) -> &runtime::flags::Flags {
        &self.shared
    }

    fn gates(&self) -> &Gates {
        &self.feature_gates
    }
}

/// Keeps releases of Helm charts as HelmReleases say.
#[derive(Parser, Clone, Debug)]
#[command(
    name = "helm-controller",
    disable_version_flag = true,
    // An action may take that long, as in Flux.
    mut_arg("graceful_shutdown_timeout", |arg| arg.default_value("600s"))
)]
pub struct Arguments {
    /// Arguments that all controllers have.
    #[command(flatten)]
    pub shared: runtime::flags::Flags,
    /// HelmReleases of one namespace worked on at once, and one more of all namespaces. Waiting ones do not count.
    #[arg(long, help_heading = heading::CONCURRENCY, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    pub concurrent: u16,
    /// Charts that are rendered at once; those of one namespace get half of them.
    #[arg(long, help_heading = heading::CONCURRENCY, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=MAX_RENDERINGS))]
    pub render_concurrency: u16,
    /// Objects of one release sent to the API server at once.
    #[arg(long, help_heading = heading::CONCURRENCY, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    pub concurrent_requests: u16,
    /// Service account to act as where a HelmRelease names none.
    #[arg(long, help_heading = heading::TENANCY, value_parser = service_account)]
    pub default_service_account: Option<String>,
    /// Refuse charts of other namespaces.
    #[arg(long, help_heading = heading::TENANCY, action = ArgAction::Set, value_parser = boolean, default_value_t = false)]
    pub no_cross_namespace_refs: bool,
    /// Service account whose tokens are shown to other clusters where the ConfigMap of spec.kubeConfig names none.
    #[arg(long, help_heading = heading::TENANCY, value_parser = service_account)]
    pub default_kubeconfig_service_account: Option<String>,
    /// How many tokens for other clusters are kept; none if it is 0.
    #[arg(long, help_heading = heading::IDENTITY, default_value_t = 100)]
    pub token_cache_max_size: usize,
    /// How long such a token is kept at most, never more than 1h; none is if it is 0.
    #[arg(long, help_heading = heading::IDENTITY, default_value = "1h", value_parser = duration)]
    pub token_cache_max_duration: Duration,
    /// Let kubeconfigs turn off the verification of the API server.
    #[arg(long, help_heading = heading::CLUSTERS, action = ArgAction::Set, value_parser = boolean, default_value_t = false)]
    pub insecure_kubeconfig_tls: bool,
    /// Let kubeconfigs start programs. Only false is supported: this process starts none.
    #[arg(long, help_heading = heading::CLUSTERS, action = ArgAction::Set, value_parser = never, default_value_t = false)]
    pub insecure_kubeconfig_exec: bool,
    /// Most clusters that are connected to at once, of which one namespace gets all but an eighth.
    #[arg(long, help_heading = heading::CLUSTERS, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..))]
    pub remote_clusters_max: u64,
    /// Largest answer of another cluster's API server, and largest event of a watch there, in bytes.
    #[arg(long, help_heading = heading::CLUSTERS, default_value_t = 64 << 20)]
    pub remote_answer_max_size: usize,
    /// ConfigMaps and Secrets with this label start a run of the HelmReleases that refer to them when they change; empty means all.
    #[arg(long, help_heading = heading::SCOPE, default_value = "reconcile.fluxcd.io/watch=Enabled", value_parser = label_selector)]
    pub watch_configs_label_selector: String,
    /// Algorithm of the digests of revisions: sha256, sha384, sha512 or blake3.
    #[arg(long, help_heading = heading::RELEASES, default_value = "sha256", value_parser = algorithm)]
    pub snapshot_digest_algo: Algorithm,
    /// Look for drift where spec.driftDetection asks for it as soon as an object changes; false leaves it to the interval.
    #[arg(long, help_heading = heading::RELEASES, action = ArgAction::Set, value_parser = boolean, default_value_t = true)]
    pub watch_drift: bool,
    /// Field managers whose fields are taken from them before drift is looked for.
    #[arg(long, help_heading = heading::RELEASES)]
    pub override_manager: Vec<String>,
    /// Hosts that charts are downloaded from, separated by commas: source-controller.flux-system.svc.cluster.local.,
    /// *.example.com or example.com:8080. Empty means all that sources name. These alone get the token of --artifact-token-file.
    #[arg(long, help_heading = heading::CHARTS, value_delimiter = ',')]
    pub artifact_hosts: Vec<HostPattern>,
    /// File with the token that source-controller asks for since it has the same flag; only hosts of --artifact-hosts get it.
    #[arg(long, help_heading = heading::CHARTS, requires = "artifact_hosts")]
    pub artifact_token_file: Option<PathBuf>,
    /// Attempts to download a chart after the first.
    #[arg(long, help_heading = heading::CHARTS, default_value_t = 9)]
    pub http_retry: u32,
    /// How long a connection may take to open, or a server to send nothing.
    #[arg(long, help_heading = heading::CHARTS, default_value = "30s", value_parser = timeout)]
    pub http_timeout: Duration,
    /// Memory for charts that nobody uses at the moment, in bytes.
    #[arg(long, help_heading = heading::CHARTS, default_value_t = 16 << 20)]
    pub chart_cache_size: u64,
    /// Memory for releases whose actions wait, in bytes, of which one namespace gets half; an eighth of the memory, at least 32 MiB, if not
    /// given. Those for which there is none left count as worked on.
    #[arg(long, help_heading = heading::RELEASES, value_parser = clap::value_parser!(u64).range(1..))]
    pub wait_memory_max_size: Option<u64>,
    /// Feature gates, as Name=true,Other=false.
    #[arg(long, help_heading = heading::GATES, default_value = "", value_parser = gates)]
    pub feature_gates: Gates,
    /// Replaces the host of artifact URLs, for running outside the cluster.
    #[arg(long, env = "SOURCE_CONTROLLER_LOCALHOST", hide = true)]
    pub source_controller_localhost: Option<String>,
    /// The same for the artifacts of source-watcher.
    #[arg(long, env = "SOURCE_WATCHER_LOCALHOST", hide = true)]
    pub source_watcher_localhost: Option<String>,
}

/// A value of `--feature-gates` that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum GatesError {
    #[error(transparent)]
    Gate(#[from] GateError),
    #[error("feature-gate '{0}' can only be false: it is not served")]
    Unserved(&'static str),
}

fn gates(text: &str) -> Result<Gates, GatesError> {
    let known: Vec<Gate> = GATES.into_iter().chain(UNSERVED_GATES).collect();
    let gates = Gates::parse(text, &known)?;
    match UNSERVED_GATES.iter().find(|gate| gates.is_on(gate.name)) {
        Some(gate) => Err(GatesError::Unserved(gate.name)),
        None => Ok(gates),
    }
}

/// A flag that is only known so that its default may be given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("only false is supported")]
struct OnlyFalse;

fn never(text: &str) -> Result<bool, OnlyFalse> {
    if boolean(text) == Ok(false) { Ok(false) } else { Err(OnlyFalse) }
}

fn algorithm(text: &str) -> Result<Algorithm, artifact::digest::UnknownAlgorithm> {
    text.parse()
}

impl Arguments {
    /// What decisions about releases depend on.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            digest: self.snapshot_digest_algo,
            retry_on_failure: self.feature_gates.is_on(RETRY_ON_FAILURE),
        }
    }

    /// What may be referred to.
    pub(crate) fn access(&self) -> Access {
        Access {
            cross_namespace: !self.no_cross_namespace_refs,
            external_artifacts: self.feature_gates.is_on(EXTERNAL_ARTIFACT),
        }
    }

    /// How long actions go on that are under way when the process should end.
    pub(crate) fn actions_grace(&self) -> Duration {
        self.shared.graceful_shutdown_timeout.saturating_sub(ACTIONS_END)
    }

    /// How many renderings may be under way.
    pub(crate) fn render_limits(&self) -> Limits {
        Limits::halved(self.render_concurrency.into())
    }

    /// How charts are downloaded, without the token.
    pub(crate) fn downloads(&self) -> fetch::Options {
        fetch::Options {
            retries: self.http_retry,
            idle_timeout: self.http_timeout,
            max_bytes: helm_chart::Limits::default().archive_bytes,
            source_controller_host: self.source_controller_localhost.clone(),
            source_watcher_host: self.source_watcher_localhost.clone(),
            hosts: self.artifact_hosts.clone(),
            ..fetch::Options::default()
        }
    }

    /// How many bytes charts may have in a process with so much memory.
    pub(crate) fn charts(&self, memory: u64) -> cache::Options {
        let all = (memory / CHARTS_PART).max(MIN_CHART_BYTES);
        cache::Options {
            idle_bytes: self.chart_cache_size,
            used_bytes: all,
            value_bytes: all,
            first_bytes: FIRST_CHART_BYTES,
            ..cache::Options::default()
        }
    }

    /// Which sources there are and how they are read.
    pub(crate) fn sources(&self) -> Options {
        let kinds = vec!["HelmChart", "OCIRepository", EXTERNAL_ARTIFACT];
        Options { direct: self.feature_gates.is_on(DIRECT_SOURCES), kinds, tells_readiness: true }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Arguments, String> {
        let all = [&["helm-controller"], args].concat();
        runtime::flags::try_parse_from(all).map_err(|error| error.to_string())
    }

    #[test]
    fn the_arguments_of_fluxs_manifests_are_understood() {
        let flags = parse(&[
            "--events-addr=http://notification-controller.flux-system.svc.cluster.local./",
            "--watch-all-namespaces=true",
            "--log-level=info",
            "--log-encoding=json",
            "--enable-leader-election",
            "--concurrent=10",
            "--no-cross-namespace-refs=true",
            "--default-service-account=default",
            "--snapshot-digest-algo=sha512",
            "--override-manager=kubectl-edit",
            "--feature-gates=DefaultToRetryOnFailure=true,DetectDrift=true,OOMWatch=false",
        ])
        .unwrap();
        assert!(flags.settings().retry_on_failure && !flags.access().cross_namespace);
        assert_eq!(flags.settings().digest, Algorithm::Sha512);
        let defaults = parse(&[]).unwrap();
        assert_eq!((defaults.concurrent, defaults.http_retry), (4, 9));
        assert_eq!(defaults.shared.requeue_dependency.as_secs(), 30);
        assert_eq!(defaults.shared.graceful_shutdown_timeout.as_secs(), 600);
        assert_eq!(defaults.actions_grace().as_secs(), 592);
        assert_eq!(parse(&["--graceful-shutdown-timeout=5s"]).unwrap().actions_grace(), Duration::ZERO);
        assert!(defaults.access().cross_namespace && !defaults.settings().retry_on_failure);
    }

    #[test]
    fn what_is_not_served_is_refused_by_name() {
        for (argument, name) in [
            ("--feature-gates=OOMWatch=true", "OOMWatch"),
            ("--feature-gates=AllowDNSLookups=true", "AllowDNSLookups"),
            ("--insecure-kubeconfig-exec=true", "--insecure-kubeconfig-exec"),
            ("--oom-watch-interval=1s", "--oom-watch-interval"),
            ("--default-service-account=", "name a service account"),
            ("--default-kubeconfig-service-account=", "name a service account"),
        ] {
            let error = parse(&[argument]).unwrap_err();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn charts_get_a_part_of_the_memory_and_renderings_have_shares() {
        let used = |memory| parse(&[]).unwrap().charts(memory).used_bytes >> 20;
        assert_eq!((used(1 << 30), used(1 << 20)), (256, 64));
        let limits = parse(&["--render-concurrency=3"]).unwrap().render_limits();
        assert_eq!(limits, Limits { process: 3, tenant: 2 });
    }
}
