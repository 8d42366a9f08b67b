//! Arguments, with upstream's names, defaults and environment variables.

use std::time::Duration;

use api::ArtifactGenerator;
use artifact::{cache, fetch};
use artifact_storage::ARTIFACT_SERVER;
use budget::Limits;
use clap::{ArgAction, Parser};
use net::HostPattern;
use references::sources::{EXTERNAL_ARTIFACT, Options, SourceKey};
use runtime::flags::{boolean, timeout};
use runtime::gates::{Gate, GateError, Gates};
use runtime::readiness::{Check, LEADER_ELECTION};

/// The headings of `--help` beside those of all controllers.
mod heading {
    pub use runtime::flags::heading::*;

    pub const DOWNLOADS: &str = "Downloads of artifacts";
    pub const TENANCY: &str = "Tenancy";
}

/// Sources are read from the API server, not from the watch.
const DIRECT_SOURCES: &str = "DirectSourceFetch";
/// Flux's gates.
const GATES: [Gate; 1] = [Gate::new(DIRECT_SOURCES, false)];
/// Part of the memory for the contents of sources.
const SOURCES_PART: u64 = 4;
/// How many sources are unpacked at once while they are small.
const SOURCES_AT_ONCE: u64 = 8;
/// The contents of a source may always have this much.
const MIN_SOURCE_BYTES: u64 = 128 << 20;
/// A build has a thread.
const MAX_BUILDS: i64 = 64;

impl runtime::app::Arguments for Arguments {
    const READINESS_CHECKS: &'static [Check] = &[LEADER_ELECTION, ARTIFACT_SERVER];

    fn shared(&self) -> &runtime::flags::Flags {
        &self.shared
    }

    fn gates(&self) -> &Gates {
        &self.feature_gates
    }
}

/// Composes artifacts of the files of sources and serves them.
#[derive(Parser, Clone, Debug)]
#[command(
    name = "source-watcher",
    disable_version_flag = true,
    // It shows the token, too, and to no other hosts.
    mut_arg("artifact_token_file", |arg| arg.requires("artifact_hosts"))
)]
pub struct Arguments {
    /// Arguments that all controllers have.
    #[command(flatten)]
    pub shared: runtime::flags::Flags,
    /// ArtifactGenerators of one namespace worked on at once, and one more of all namespaces.
    #[arg(long, help_heading = heading::CONCURRENCY, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    pub concurrent: u16,
    /// The storage of artifacts.
    #[command(flatten)]
    pub storage: artifact_storage::StorageFlags,
    /// Refuse sources of other namespaces.
    #[arg(long, help_heading = heading::TENANCY, action = ArgAction::Set, value_parser = boolean, default_value_t = false)]
    pub no_cross_namespace_refs: bool,
    /// How long the artifacts of one ArtifactGenerator may be in the making, downloads of sources included.
    #[arg(long, help_heading = heading::INTERVALS, default_value = "10m", value_parser = timeout)]
    pub reconciliation_timeout: Duration,
    /// Maximum number of ArtifactGenerators whose artifacts are in the making at once; those of one namespace get half of them.
    #[arg(long, help_heading = heading::CONCURRENCY, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=MAX_BUILDS))]
    pub build_concurrency: u16,
    /// Attempts to download the artifact of a source after the first.
    #[arg(long, help_heading = heading::DOWNLOADS, default_value_t = 9)]
    pub http_retry: u32,
    /// Hosts that artifacts of sources are downloaded from, separated by commas: source-controller.flux-system.svc.cluster.local.,
    /// *.example.com or example.com:8080. Empty means all that sources name. These alone get the token of --artifact-token-file.
    #[arg(long, help_heading = heading::DOWNLOADS, value_delimiter = ',')]
    pub artifact_hosts: Vec<HostPattern>,
    /// Largest artifact of a source that is downloaded, in bytes.
    #[arg(long, help_heading = heading::DOWNLOADS, default_value_t = 1 << 30)]
    pub artifact_max_size: u64,
    /// Largest artifact of a source once unpacked, in bytes; by default a quarter of the memory of the container.
    #[arg(long, help_heading = heading::DOWNLOADS)]
    pub artifact_max_unpacked_size: Option<u64>,
    /// Memory for unpacked artifacts of sources that nobody uses at the moment, in bytes.
    #[arg(long, help_heading = heading::DOWNLOADS, default_value_t = 64 << 20)]
    pub artifact_cache_size: u64,
    /// Feature gates, as Name=true,Other=false.
    #[arg(long, help_heading = heading::GATES, default_value = "", value_parser = gates)]
    pub feature_gates: Gates,
    /// Replaces the host of artifact URLs, for running outside the cluster.
    #[arg(long, env = "SOURCE_CONTROLLER_LOCALHOST", hide = true)]
    pub source_controller_localhost: Option<String>,
    /// The same for artifacts of this controller.
    #[arg(long, env = "SOURCE_WATCHER_LOCALHOST", hide = true)]
    pub source_watcher_localhost: Option<String>,
}

fn gates(text: &str) -> Result<Gates, GateError> {
    Gates::parse(text, &GATES)
}

impl Arguments {
    /// How many builds may be under way.
    pub(crate) fn build_limits(&self) -> Limits {
        Limits::halved(self.build_concurrency.into())
    }

    /// How artifacts of sources are downloaded, without the token.
    pub(crate) fn downloads(&self) -> fetch::Options {
        fetch::Options {
            retries: self.http_retry,
            max_bytes: self.artifact_max_size,
            deadline: self.reconciliation_timeout,
            source_controller_host: self.source_controller_localhost.clone(),
            source_watcher_host: self.source_watcher_localhost.clone(),
            hosts: self.artifact_hosts.clone(),
            ..fetch::Options::default()
        }
    }

    /// How many bytes unpacked artifacts of sources may have in a process with so much memory.
    pub(crate) fn contents(&self, memory: u64) -> cache::Options {
        let all = (memory / SOURCES_PART).max(MIN_SOURCE_BYTES);
        let one = self.artifact_max_unpacked_size.unwrap_or(all);
        cache::Options {
            idle_bytes: self.artifact_cache_size,
            used_bytes: all,
            value_bytes: one,
            first_bytes: (all / SOURCES_AT_ONCE).min(one),
            wait: self.reconciliation_timeout,
        }
    }

    /// Which sources there are and how they are read.
    pub(crate) fn sources(&self) -> Options {
        let kinds = vec!["GitRepository", "OCIRepository", "Bucket", "HelmChart", EXTERNAL_ARTIFACT];
        Options { direct: self.feature_gates.is_on(DIRECT_SOURCES), kinds, ..Options::default() }
    }

    /// Why a generator may not refer to one of its sources.
    pub(crate) fn denied(&self, object: &ArtifactGenerator) -> Option<String> {
        let own = object.metadata.namespace.as_deref().unwrap_or_default();
        let foreign = |source: &SourceKey| source.namespace != own;
        let source = source_keys(object).into_iter().map(|(_, source)| source).find(foreign)?;
        self.no_cross_namespace_refs
            .then(|| format!("cross-namespace reference to source {source} is not allowed"))
    }
}

/// The sources of a generator with their aliases, in the order of its spec.
pub(crate) fn source_keys(object: &ArtifactGenerator) -> Vec<(String, SourceKey)> {
    let own = || object.metadata.namespace.clone().unwrap_or_default();
    let key = |source: &api::artifact_generator::SourceReference| SourceKey {
        kind: source.kind.clone(),
        namespace: source.namespace.clone().filter(|namespace| !namespace.is_empty()).unwrap_or_else(own),
        name: source.name.clone(),
    };
    object.spec.sources.iter().map(|source| (source.alias.clone(), key(source))).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(args: &[&str]) -> Arguments {
        runtime::flags::try_parse_from([&["source-watcher"], args].concat()).unwrap()
    }

    #[test]
    fn the_arguments_of_fluxs_manifests_are_understood() {
        let flags = parse(&[
            "--events-addr=http://notification-controller.flux-system.svc.cluster.local./",
            "--watch-all-namespaces=true",
            "--log-level=info",
            "--log-encoding=json",
            "--enable-leader-election",
            "--storage-path=/data",
            "--storage-adv-addr=source-watcher.flux-system.svc.cluster.local.",
            "--http-retry=3",
            "--reconciliation-timeout=1m",
            "--requeue-dependency=5s",
            "--no-cross-namespace-refs=true",
            "--feature-gates=DirectSourceFetch=true",
        ]);
        let advertised = flags.storage.store().unwrap().advertise;
        assert_eq!(advertised, "source-watcher.flux-system.svc.cluster.local.");
        let downloads = flags.downloads();
        assert_eq!((downloads.retries, downloads.deadline.as_secs()), (3, 60));
        assert!(flags.sources().direct && flags.no_cross_namespace_refs);
        let defaults = parse(&[]);
        assert_eq!((defaults.concurrent, defaults.http_retry, defaults.sources().direct), (10, 9, false));
        assert_eq!(defaults.reconciliation_timeout.as_secs(), 600);
    }

    #[test]
    fn contents_of_sources_get_a_part_of_the_memory() {
        let shares = |memory, args: &[&str]| {
            let options = parse(args).contents(memory);
            [options.used_bytes, options.value_bytes, options.first_bytes].map(|bytes| bytes >> 20)
        };
        assert_eq!(shares(1 << 30, &[]), [256, 256, 32]);
        assert_eq!(shares(1 << 20, &[]), [128, 128, 16]);
        assert_eq!(shares(1 << 30, &["--artifact-max-unpacked-size=8388608"]), [256, 8, 8]);
        assert_eq!(parse(&["--build-concurrency=3"]).build_limits(), Limits { process: 3, tenant: 2 });
    }

    #[test]
    fn a_source_of_another_namespace_is_denied_by_the_flag_alone() {
        let object = |namespace: Option<&str>| {
            let source = json!({"alias": "a", "kind": "Bucket", "name": "b", "namespace": namespace});
            let metadata = json!({"name": "g", "namespace": "ns"});
            serde_json::from_value(
                json!({"metadata": metadata, "spec": {"sources": [source], "artifacts": []}}),
            )
            .unwrap()
        };
        let strict = parse(&["--no-cross-namespace-refs=true"]);
        let text = "cross-namespace reference to source Bucket/other/b is not allowed";
        assert_eq!(strict.denied(&object(Some("other"))).as_deref(), Some(text));
        assert_eq!(strict.denied(&object(Some("ns"))), None);
        assert_eq!(strict.denied(&object(None)), None);
        assert_eq!(parse(&[]).denied(&object(Some("other"))), None);
    }
}
