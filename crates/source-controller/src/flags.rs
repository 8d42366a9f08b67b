//! Arguments, with upstream's names, defaults and environment variables.

use std::time::Duration;

use artifact_storage::ARTIFACT_SERVER;
use budget::{Budget, Limits};
use clap::Parser;
use git::ssh::{Algorithms, HostKeyAlgorithms, KexAlgorithms};
use runtime::flags::{duration, service_account, timeout};
use runtime::gates::{Gate, GateError, Gates, OBJECT_IDENTITY};
use runtime::readiness::{Check, LEADER_ELECTION};

use crate::NAME;
use crate::git_repository::provider::Settings;

/// The headings of `--help` beside those of all controllers.
mod heading {
    pub use runtime::flags::heading::*;

    pub const GIT: &str = "Git";
    pub const OCI: &str = "OCI registries";
    pub const HELM: &str = "Helm repositories and charts";
    pub const BUCKET: &str = "Buckets";
    pub const IDENTITY: &str = "Identities and tokens";
}

impl runtime::app::Arguments for Arguments {
    const READINESS_CHECKS: &'static [Check] = &[LEADER_ELECTION, ARTIFACT_SERVER];

    fn shared(&self) -> &runtime::flags::Flags {
        &self.shared
    }

    fn gates(&self) -> &Gates {
        &self.feature_gates
    }
}

/// Fetches sources and serves them as artifacts.
#[derive(Parser, Clone, Debug)]
#[command(name = "source-controller", disable_version_flag = true)]
pub struct Arguments {
    /// Arguments that all controllers have.
    #[command(flatten)]
    pub shared: runtime::flags::Flags,
    /// Objects of one kind and namespace worked on at once, and one more of all namespaces.
    #[arg(long, help_heading = heading::CONCURRENCY, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    pub concurrent: u16,
    /// The storage of artifacts.
    #[command(flatten)]
    pub storage: artifact_storage::StorageFlags,
    /// Bytes that the object caches of all sources may have together. They save fetching what is here already. By default a
    /// quarter of the volume of --storage-path, and at most 10 GiB.
    #[arg(long, help_heading = heading::GIT)]
    pub git_cache_max_size: Option<u64>,
    /// Bytes that one pack of a Git server may have.
    #[arg(long, help_heading = heading::GIT, default_value_t = git::Limits::default().pack_bytes)]
    pub git_pack_max_size: u64,
    /// Bytes that one object of a Git repository may have, and what is kept to make it; a part of the process's memory.
    #[arg(long, help_heading = heading::GIT, default_value_t = git::Limits::default().allocation_bytes)]
    pub git_object_max_size: usize,
    /// Bytes that all files of a commit may have together.
    #[arg(long, help_heading = heading::GIT, default_value_t = git::Limits::default().tree_bytes)]
    pub git_tree_max_size: u64,
    /// Bytes of memory that the fetches of all Git repositories may take together; those of one namespace get half of them. By
    /// default a quarter of the memory of the container.
    #[arg(long, help_heading = heading::GIT)]
    pub git_memory_max_size: Option<u64>,
    /// Maximum number of concurrent fetches from one Git host, whatever its port; half of them for one namespace.
    #[arg(long, help_heading = heading::CONCURRENCY, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pub git_host_concurrency: u16,
    /// Bytes that one layer of an OCI artifact may have.
    #[arg(long, help_heading = heading::OCI, default_value_t = oci::Limits::default().blob_bytes)]
    pub oci_layer_max_size: u64,
    /// Maximum number of concurrent fetches from one host of OCI registries, whatever its port; half of them for one namespace.
    #[arg(long, help_heading = heading::CONCURRENCY, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pub oci_host_concurrency: u16,
    /// Bytes that the temporary files of OCI layers may have together: one half for layers, the other for their contents.
    #[arg(long, help_heading = heading::OCI, default_value_t = 4 << 30)]
    pub oci_temporary_max_size: u64,
    /// Bytes that the index of a HelmRepository may have.
    #[arg(long, help_heading = heading::HELM, default_value_t = helm_repository::Limits::default().index_bytes)]
    pub helm_index_max_size: u64,
    /// Bytes that the archive of a Helm chart may have.
    #[arg(long, help_heading = heading::HELM, default_value_t = helm_chart::Limits::default().archive_bytes)]
    pub helm_chart_max_size: u64,
    /// Bytes that a file of a Helm chart may have.
    #[arg(long, help_heading = heading::HELM, default_value_t = ::helm_chart::Limits::default().file_bytes)]
    pub helm_chart_file_max_size: u64,
    /// Bytes that the unpacked sources of Helm charts may have together in temporary files.
    #[arg(long, help_heading = heading::HELM, default_value_t = 4 << 30)]
    pub helm_source_max_size: u64,
    /// Bytes of memory that the indexes of HelmRepositories may have together that charts are looked up in. Indexes that do not fit
    /// are read anew from the storage.
    #[arg(long, help_heading = heading::HELM, default_value_t = 64 << 20)]
    pub helm_index_cache_max_size: usize,
    /// Bytes that the temporary files of HelmRepositories may have together: one half for indexes as they come, the other for what
    /// is made of them.
    #[arg(long, help_heading = heading::HELM, default_value_t = 2 << 30)]
    pub helm_temporary_max_size: u64,
    /// Maximum number of concurrent fetches from one host of Helm repositories, whatever its port; half of them for one namespace.
    #[arg(long, help_heading = heading::CONCURRENCY, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pub helm_host_concurrency: u16,
    /// Objects that one list of a bucket may have, those included that are ignored.
    #[arg(long, help_heading = heading::BUCKET, default_value_t = bucket::Limits::default().objects)]
    pub bucket_max_objects: usize,
    /// Bytes that one object of a bucket may have, as it is stored and as it is unpacked.
    #[arg(long, help_heading = heading::BUCKET, default_value_t = bucket::Limits::default().object_bytes)]
    pub bucket_object_max_size: u64,
    /// Bytes that the temporary files of all buckets may have together: objects that were fetched and are not in an artifact yet. Those of
    /// one bucket that were packed may have as many together once they are unpacked.
    #[arg(long, help_heading = heading::BUCKET, default_value_t = 4 << 30)]
    pub bucket_temporary_max_size: u64,
    /// Maximum number of concurrent fetches from one host of buckets, whatever its port; half of them for one namespace.
    #[arg(long, help_heading = heading::CONCURRENCY, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pub bucket_host_concurrency: u16,
    /// Maximum number of concurrent fetches of all sources.
    #[arg(long, help_heading = heading::CONCURRENCY, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=MAX_FETCHES))]
    pub fetch_concurrency: u16,
    /// Maximum number of concurrent fetches for the sources of one namespace.
    #[arg(long, help_heading = heading::CONCURRENCY, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    pub namespace_fetch_concurrency: u16,
    /// Maximum number of artifacts of all sources in the making at once; those of one namespace get half of them.
    #[arg(long, help_heading = heading::CONCURRENCY, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=MAX_BUILDS))]
    pub build_concurrency: u16,
    /// The longest time that a source's spec.timeout may give to an operation.
    #[arg(long, help_heading = heading::INTERVALS, default_value = "10m", value_parser = timeout)]
    pub max_timeout: Duration,
    /// SSH key exchange algorithms, as a comma list, best first; empty for all but those with SHA-1.
    #[arg(long, help_heading = heading::GIT, default_value = "")]
    pub ssh_kex_algos: KexAlgorithms,
    /// SSH host key algorithms, as a comma list, best first; empty for those that known_hosts has for a host.
    #[arg(long, help_heading = heading::GIT, default_value = "")]
    pub ssh_hostkey_algos: HostKeyAlgorithms,
    /// Service account whose identity Buckets, GitRepositories and OCIRepositories have that name none.
    #[arg(long, help_heading = heading::IDENTITY, value_parser = service_account)]
    pub default_service_account: Option<String>,
    /// Hosts, as a comma list, that may get tokens for Azure DevOps beside dev.azure.com and *.visualstudio.com.
    #[arg(long, help_heading = heading::IDENTITY, value_delimiter = ',')]
    pub azure_devops_hosts: Vec<String>,
    /// How many tokens are kept; none if it is 0.
    #[arg(long, help_heading = heading::IDENTITY, default_value_t = 100)]
    pub token_cache_max_size: usize,
    /// How long a token is kept at most, never more than 1h; none is if it is 0.
    #[arg(long, help_heading = heading::IDENTITY, default_value = "1h", value_parser = duration)]
    pub token_cache_max_duration: Duration,
    /// Feature gates, as Name=true,Other=false.
    #[arg(long, help_heading = heading::GATES, default_value = "", value_parser = gates)]
    pub feature_gates: Gates,
    /// Flags without effect.
    #[command(flatten)]
    pub ignored: IgnoredHelmFlags,
}

/// Flux's flags without effect: those for the cache and the limits of Helm, whose kinds are not here yet, and one that Flux
/// does not use either. They are accepted so that the arguments of a Flux that is replaced still start the process.
#[derive(clap::Args, Clone, Debug)]
#[allow(missing_docs)]
pub struct IgnoredHelmFlags {
    #[arg(long, hide = true)]
    pub helm_cache_max_size: Option<String>,
    #[arg(long, hide = true)]
    pub helm_cache_ttl: Option<String>,
    #[arg(long, hide = true)]
    pub helm_cache_purge_interval: Option<String>,
    #[arg(long, hide = true)]
    pub watch_configs_label_selector: Option<String>,
}

impl IgnoredHelmFlags {
    /// The flags for Helm that are given.
    pub fn given(&self) -> Vec<&'static str> {
        let flags = [
            ("--helm-cache-max-size", &self.helm_cache_max_size),
            ("--helm-cache-ttl", &self.helm_cache_ttl),
            ("--helm-cache-purge-interval", &self.helm_cache_purge_interval),
        ];
        flags.into_iter().filter(|(_, value)| value.is_some()).map(|(name, _)| name).collect()
    }
}

/// A fetch has a thread, and another one that looks up names. Twice as many are half of the threads that a process has for
/// what blocks: the artifact server and the storage need some at all times.
const MAX_FETCHES: i64 = 128;

/// Part of the memory of the process that lists of buckets may take together.
const BUCKET_MEMORY_PART: u64 = 8;

/// A build has a thread.
const MAX_BUILDS: i64 = 64;

/// How long an artifact may be in the making.
const BUILD_TIMEOUT: Duration = Duration::from_secs(600);

/// Flux's gates. Secrets are read when they are needed, so the first makes no difference.
const GATES: [Gate; 2] = [Gate::new("CacheSecretsAndConfigMaps", false), OBJECT_IDENTITY];

fn gates(text: &str) -> Result<Gates, GateError> {
    Gates::parse(text, &GATES)
}

/// What the kinds of sources draw on.
pub struct Budgets {
    /// Fetches under way.
    pub fetches: Budget,
    /// Builds under way.
    pub builds: Budget,
}

impl Budgets {
    /// Those of a process, of which nothing is used.
    pub fn new(arguments: &Arguments) -> Self {
        Self { fetches: Budget::new(arguments.fetch_limits()), builds: Budget::new(arguments.build_limits()) }
    }
}

impl Arguments {
    /// What SSH servers are offered.
    pub fn ssh(&self) -> Algorithms {
        Algorithms { kex: self.ssh_kex_algos.clone(), host_keys: self.ssh_hostkey_algos.clone() }
    }

    /// What Helm repositories may cost.
    pub fn helm_limits(&self) -> helm_repository::Limits {
        helm_repository::Limits {
            index_bytes: self.helm_index_max_size,
            ..helm_repository::Limits::default()
        }
    }

    /// How many builds may be under way.
    fn build_limits(&self) -> Limits {
        Limits::halved(self.build_concurrency.into())
    }

    /// Bytes of memory that lists of buckets may take: a part of what the process has.
    pub fn bucket_memory_limits(&self) -> Limits {
        Limits::halved(budget::memory_limit() / BUCKET_MEMORY_PART)
    }

    /// What providers may do.
    pub fn providers(&self) -> Settings {
        Settings {
            default_account: self.default_service_account.clone(),
            azure_devops_hosts: self.azure_devops_hosts.clone(),
        }
    }

    /// How many fetches may be under way.
    fn fetch_limits(&self) -> Limits {
        Limits { process: self.fetch_concurrency.into(), tenant: self.namespace_fetch_concurrency.into() }
    }

    /// How the controller of one kind works, with so many fetches from one host at once.
    pub fn controller(&self, host_concurrency: u16, budgets: &Budgets) -> source::Options {
        source::Options {
            manager: NAME,
            jitter: self.shared.interval_jitter_percentage,
            requeue_dependency: self.shared.requeue_dependency,
            fetches: budgets.fetches.clone(),
            builds: budgets.builds.clone(),
            host_concurrency: host_concurrency.into(),
            max_timeout: self.max_timeout,
            build_timeout: BUILD_TIMEOUT,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::any::TypeId;

    use clap::CommandFactory as _;

    use super::*;

    fn parse(args: &[&str]) -> Arguments {
        runtime::flags::try_parse_from([&["source-controller"], args].concat()).unwrap()
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
            "--storage-adv-addr=source-controller.flux-system.svc.cluster.local.",
        ]);
        assert_eq!(
            flags.storage.store().unwrap().advertise,
            "source-controller.flux-system.svc.cluster.local."
        );
        assert_eq!(flags.concurrent, 2);
        assert_eq!(flags.storage.artifact_retention_ttl, Duration::from_secs(60));
    }

    #[test]
    fn flags_for_kinds_that_are_not_here_are_accepted_and_known() {
        let flags =
            parse(&["--helm-cache-max-size=10", "--helm-cache-ttl=1h", "--watch-configs-label-selector="]);
        assert_eq!(flags.ignored.given(), ["--helm-cache-max-size", "--helm-cache-ttl"]);
    }

    #[test]
    fn objects_have_the_identity_of_the_default_service_account() {
        let account = |flags: Arguments| flags.providers().default_account;
        assert_eq!(account(parse(&["--feature-gates=ObjectLevelWorkloadIdentity=false"])), None);
        assert_eq!(account(parse(&["--default-service-account=me"])), Some("me".to_owned()));
        let empty = ["source-controller", "--default-service-account="];
        let error = runtime::flags::try_parse_from::<Arguments>(empty).unwrap_err().to_string();
        assert!(error.contains("name a service account"), "{error}");
        let flags = parse(&["--token-cache-max-size=0", "--token-cache-max-duration=30m"]);
        assert_eq!(flags.token_cache_max_size, 0);
        assert_eq!(flags.token_cache_max_duration, Duration::from_secs(1800));
    }

    #[test]
    fn fetches_leave_threads_to_what_else_blocks() {
        let flags = parse(&["--fetch-concurrency=8", "--namespace-fetch-concurrency=2", "--max-timeout=1h"]);
        assert_eq!(flags.fetch_limits(), Limits { process: 8, tenant: 2 });
        assert_eq!(flags.build_limits(), Limits { process: 4, tenant: 2 });
        assert_eq!(parse(&["--build-concurrency=1"]).build_limits(), Limits { process: 1, tenant: 1 });
        assert_eq!(flags.max_timeout, Duration::from_secs(3600));
        assert_eq!(parse(&[]).max_timeout, Duration::from_secs(600));
        for flag in ["--fetch-concurrency=0", "--fetch-concurrency=129", "--namespace-fetch-concurrency=0"] {
            assert!(
                runtime::flags::try_parse_from::<Arguments>(["source-controller", flag]).is_err(),
                "{flag}"
            );
        }
    }

    #[test]
    fn a_duration_of_zero_is_refused_unless_it_has_a_meaning() {
        let command = Arguments::command();
        let is_duration = |arg: &&clap::Arg| arg.get_value_parser().type_id() == TypeId::of::<Duration>();
        let flags = command.get_arguments().filter(is_duration).filter_map(clap::Arg::get_long);
        let is_accepted = |flag: &&str| {
            let zero = format!("--{flag}=0s");
            runtime::flags::try_parse_from::<Arguments>(["source-controller", &zero]).is_ok()
        };
        let (accepted, refused): (Vec<_>, Vec<_>) = flags.partition(is_accepted);
        assert_eq!(
            (accepted, refused.len()),
            (vec!["graceful-shutdown-timeout", "artifact-retention-ttl", "token-cache-max-duration"], 9)
        );
    }

    #[test]
    fn an_unknown_ssh_algorithm_ends_the_process() {
        let try_parse = |flag: &str| {
            runtime::flags::try_parse_from::<Arguments>(["source-controller", flag])
                .map(drop)
                .map_err(|e| e.to_string())
        };
        assert_eq!(try_parse("--ssh-kex-algos=curve25519-sha256,ecdh-sha2-nistp384"), Ok(()));
        assert_eq!(try_parse("--ssh-hostkey-algos=rsa-sha2-512,ssh-ed25519"), Ok(()));
        let error = try_parse("--ssh-kex-algos=curve25519-sha256,x25519").unwrap_err();
        assert!(error.contains("--ssh-kex-algos") && error.contains("unknown algorithm 'x25519'"), "{error}");
        assert!(try_parse("--ssh-hostkey-algos=ssh-dss").is_err());
    }
}
