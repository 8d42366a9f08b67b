//! The process's own flags; the shared ones come from `runtime`.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use apply::order::GroupKind;
use clap::{ArgAction, Parser, ValueEnum};
use net::{Denied, HostPattern};
use runtime::{
    flags::{Flags, boolean, duration, label_selector, service_account, timeout},
    gates::{Gate, GateError, Gates, OBJECT_IDENTITY},
};

/// The headings of `--help` beside those of all controllers.
mod heading {
    pub use runtime::flags::heading::*;

    pub const TENANCY: &str = "Tenants";
    pub const DOWNLOADS: &str = "Artifacts";
    pub const DECRYPTION: &str = "Decryption";
    pub const BASES: &str = "Bases outside the artifact";
    pub const BUILDS: &str = "Builds";
    pub const IDENTITY: &str = "Identities and tokens";
    pub const CLUSTERS: &str = "Other clusters";
    pub const APPLY: &str = "Apply, drift and prune";
}

impl runtime::app::Arguments for Arguments {
    fn shared(&self) -> &runtime::flags::Flags {
        &self.shared
    }

    fn gates(&self) -> &Gates {
        &self.feature_gates
    }
}

/// Builds artifacts with kustomize, applies them and keeps them applied.
#[derive(Clone, Debug, Parser)]
#[command(name = "kustomize-controller", disable_version_flag = true)]
pub struct Arguments {
    /// Arguments that all controllers have.
    #[command(flatten)]
    pub shared: Flags,
    /// Kustomizations of one namespace worked on at once, and one more of all; small builds of all. Waiting ones do not count.
    #[arg(long, help_heading = heading::CONCURRENCY, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    pub concurrent: u16,
    /// Objects of one Kustomization sent to the API server at once.
    #[arg(long, help_heading = heading::CONCURRENCY, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    pub concurrent_ssa: u16,
    /// Service account to apply as where a Kustomization names none.
    #[arg(long, help_heading = heading::TENANCY, value_parser = service_account)]
    pub default_service_account: Option<String>,
    /// Refuse sources of other namespaces.
    #[arg(long, help_heading = heading::TENANCY, action = ArgAction::Set, value_parser = boolean, default_value_t = false)]
    pub no_cross_namespace_refs: bool,
    /// Service account whose tokens are shown to other clusters where the ConfigMap of spec.kubeConfig names none.
    #[arg(long, help_heading = heading::TENANCY, value_parser = service_account)]
    pub default_kubeconfig_service_account: Option<String>,
    /// How many tokens for other clusters and key services are kept; none if it is 0.
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
    /// Most clusters that are connected to at once, of which one namespace gets all but an eighth; by default one for each 12 MiB of the
    /// memory of the container, and 16 at least.
    #[arg(long, help_heading = heading::CLUSTERS, value_parser = clap::value_parser!(u64).range(1..))]
    pub remote_clusters_max: Option<u64>,
    /// Largest answer of another cluster's API server, and largest event of a watch there, in bytes.
    #[arg(long, help_heading = heading::CLUSTERS, default_value_t = 64 << 20)]
    pub remote_answer_max_size: usize,
    /// ConfigMaps and Secrets with this label start a run of the Kustomizations that refer to them when they change; empty
    /// means all.
    #[arg(long, help_heading = heading::SCOPE, default_value = "reconcile.fluxcd.io/watch=Enabled", value_parser = label_selector)]
    pub watch_configs_label_selector: String,
    /// Secret with age identities (*.agekey) in the namespace of the controller, for Kustomizations that decrypt and name no Secret.
    #[arg(long, help_heading = heading::DECRYPTION, default_value = "")]
    pub sops_age_secret: String,
    /// ConfigMap in the namespace of the controller that says where service accounts log in at which Vault (config.yaml); only these
    /// Vaults get their tokens.
    #[arg(long, help_heading = heading::DECRYPTION, default_value = "")]
    pub sops_vault_configmap: String,
    /// Service account that key services see where a Kustomization names none; it is one of the namespace of the Kustomization.
    #[arg(long, help_heading = heading::DECRYPTION, value_parser = service_account)]
    pub default_decryption_service_account: Option<String>,
    /// Refuse bases outside the artifact.
    #[arg(long, help_heading = heading::BASES, action = ArgAction::Set, value_parser = boolean, default_value_t = false)]
    pub no_remote_bases: bool,
    /// Let bases outside the artifact be on link-local addresses and on those of cloud metadata.
    #[arg(long, help_heading = heading::BASES, action = ArgAction::Set, value_parser = boolean, default_value_t = false)]
    pub remote_bases_allow_link_local: bool,
    /// Refuse bases on these addresses: loopback, private, or networks such as 10.96.0.0/12, separated by commas.
    #[arg(long, help_heading = heading::BASES, value_delimiter = ',')]
    pub remote_bases_deny: Vec<Denied>,
    /// Where redirects may lead that answer for a file outside the artifact.
    #[arg(long, help_heading = heading::BASES, value_enum, default_value_t = Redirects::AnyHost)]
    pub remote_bases_redirects: Redirects,
    /// Hosts that artifacts are downloaded from, separated by commas: source-controller.flux-system.svc.cluster.local.,
    /// *.example.com or example.com:8080. Empty means all that sources name.
    #[arg(long, help_heading = heading::DOWNLOADS, value_delimiter = ',')]
    pub artifact_hosts: Vec<HostPattern>,
    /// File with the token that source-controller asks for since it has the same flag; only hosts of --artifact-hosts get it.
    #[arg(long, help_heading = heading::DOWNLOADS, requires = "artifact_hosts")]
    pub artifact_token_file: Option<PathBuf>,
    /// Attempts to download an artifact after the first.
    #[arg(long, help_heading = heading::DOWNLOADS, default_value_t = 9)]
    pub http_retry: u32,
    /// Field managers (by prefix) whose fields are taken over.
    #[arg(long, help_heading = heading::APPLY)]
    pub override_manager: Vec<String>,
    /// Field managers (by name) whose fields are taken over before an object is checked by a dry-run.
    #[arg(long, help_heading = heading::APPLY)]
    pub override_manager_before_dry_run: Vec<String>,
    /// Kinds applied in a stage of their own, as group/Kind or Kind, separated by commas.
    #[arg(long, help_heading = heading::APPLY, default_value = "", value_parser = stage_kinds)]
    pub custom_apply_stage_kinds: StageKinds,
    /// Feature gates, as Name=true,Other=false.
    #[arg(long, help_heading = heading::GATES, default_value = "", value_parser = gates)]
    pub feature_gates: Gates,
    /// Largest artifact to download, in bytes.
    #[arg(long, help_heading = heading::DOWNLOADS, default_value_t = 1 << 30)]
    pub artifact_max_size: u64,
    /// Largest artifact once unpacked, and most that one build fetches from elsewhere, in bytes; by default an eighth of
    /// the memory of the container, and 128 MiB at least.
    #[arg(long, help_heading = heading::DOWNLOADS)]
    pub artifact_max_unpacked_size: Option<u64>,
    /// Most YAML nodes in all files of one build; by default as many as the memory of the container has room for.
    #[arg(long, help_heading = heading::BUILDS)]
    pub build_max_nodes: Option<u64>,
    /// Most bytes in all files of one build, and in all objects that it yields; by default 64 for each node.
    #[arg(long, help_heading = heading::BUILDS)]
    pub build_max_bytes: Option<u64>,
    /// Memory for unpacked artifacts that are shared between Kustomizations, in bytes.
    #[arg(long, help_heading = heading::DOWNLOADS, default_value_t = 64 << 20)]
    pub artifact_cache_size: u64,
    /// Memory for parsed files that are shared between builds, in bytes.
    #[arg(long, help_heading = heading::BUILDS, default_value_t = 16 << 20)]
    pub build_cache_size: usize,
    /// Repair drift of applied objects when it happens; false leaves it to the interval.
    #[arg(long, help_heading = heading::APPLY, action = ArgAction::Set, value_parser = boolean, default_value_t = true)]
    pub watch_drift: bool,
    /// What is done about drift where a Kustomization does not say: repair it, or report it.
    #[arg(long, help_heading = heading::APPLY, value_enum, default_value_t = DriftMode::Repair)]
    pub drift_mode: DriftMode,
    /// Fail a run, before it applies anything, that would delete this part of an inventory of 10 objects or more, in percent; 0
    /// lets all be deleted.
    #[arg(long, help_heading = heading::APPLY, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub prune_guard_percent: u8,
    /// Longest time a build may take.
    #[arg(long, help_heading = heading::BUILDS, default_value = "2m", value_parser = timeout)]
    pub build_timeout: Duration,
    /// Replaces the host of artifact URLs, for running outside the cluster.
    #[arg(long, env = "SOURCE_CONTROLLER_LOCALHOST", hide = true)]
    pub source_controller_localhost: Option<String>,
    /// The same for the artifacts of source-watcher.
    #[arg(long, env = "SOURCE_WATCHER_LOCALHOST", hide = true)]
    pub source_watcher_localhost: Option<String>,
}

/// Where the redirect of a file outside the artifact may lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Redirects {
    /// To the same scheme, host and port.
    SameOrigin,
    /// To any host that may be connected to, but not from https to http.
    AnyHost,
}

/// What is done about applied objects that somebody else changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DriftMode {
    /// They are changed back.
    Repair,
    /// They stay as they are until Git says something new, and are reported.
    Report,
}

/// An unset variable without default fails the substitution.
pub const STRICT_SUBSTITUTION: &str = "StrictPostBuildSubstitutions";
/// A health check goes on after the first failed object.
pub const NO_FAIL_FAST: &str = "DisableFailFastBehavior";
/// managedFields in terms of a version that has gone are moved to the one that is applied.
pub const MIGRATE_API_VERSION: &str = "MigrateAPIVersion";

/// The built-in check of dependencies counts beside an expression, too.
pub const ADDITIVE_CEL_CHECK: &str = "AdditiveCELDependencyCheck";

/// Sources may be of the kind ExternalArtifact.
pub const EXTERNAL_ARTIFACT: &str = "ExternalArtifact";
/// Sources are read from the API server, not from the watch.
pub const DIRECT_SOURCES: &str = "DirectSourceFetch";
/// No event tells of the end of a run that succeeded, which commit status providers act upon.
pub const NO_COMMIT_STATUS: &str = "DisableCommitStatusEvent";
/// ConfigMaps and Secrets start no runs.
pub const NO_CONFIG_WATCHES: &str = "DisableConfigWatchers";
/// The log of an apply is by action, not by object.
pub const GROUP_CHANGES: &str = "GroupChangeLog";

/// Flux's gates. Several have both values because neither makes a difference here: nothing polls, a new revision
/// always ends a wait, and ConfigMaps and Secrets are read when they are needed.
const GATES: [Gate; 13] = [
    Gate::new(STRICT_SUBSTITUTION, true),
    Gate::new(NO_FAIL_FAST, false),
    Gate::new("DisableStatusPollerCache", true),
    Gate::new("CancelHealthCheckOnNewRevision", false),
    Gate::new("CacheSecretsAndConfigMaps", false),
    Gate::new(NO_CONFIG_WATCHES, false),
    Gate::new(DIRECT_SOURCES, false),
    Gate::new(GROUP_CHANGES, false),
    Gate::new(ADDITIVE_CEL_CHECK, false),
    Gate::new(EXTERNAL_ARTIFACT, true),
    Gate::new(MIGRATE_API_VERSION, false),
    Gate::new(NO_COMMIT_STATUS, false),
    OBJECT_IDENTITY,
];

fn gates(text: &str) -> Result<Gates, GateError> {
    Gates::parse(text, &GATES)
}

/// A flag that is only known so that its default may be given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("only false is supported")]
struct OnlyFalse;

fn never(text: &str) -> Result<bool, OnlyFalse> {
    if boolean(text) == Ok(false) { Ok(false) } else { Err(OnlyFalse) }
}

/// The value of `--custom-apply-stage-kinds`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StageKinds(pub BTreeSet<GroupKind>);

/// A value of `--custom-apply-stage-kinds` that names no kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names a group without a kind")]
struct NoKind(String);

fn stage_kinds(text: &str) -> Result<StageKinds, NoKind> {
    let kinds = text.split(',').map(str::trim).filter(|k| !k.is_empty()).map(|kind| {
        let Ok(kind) = kind.parse::<GroupKind>();
        if kind.kind.is_empty() { Err(NoKind(text.to_owned())) } else { Ok(kind) }
    });
    kinds.collect::<Result<_, _>>().map(StageKinds)
}

#[cfg(test)]
mod tests {
    use std::any::TypeId;

    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn stage_kinds_have_an_optional_group() {
        let kind = |group: &str, kind: &str| GroupKind { group: group.into(), kind: kind.into() };
        let parsed = stage_kinds("rbac.authorization.k8s.io/Role, ConfigMap").map(|k| k.0);
        assert_eq!(
            parsed,
            Ok(BTreeSet::from([kind("rbac.authorization.k8s.io", "Role"), kind("", "ConfigMap")]))
        );
        assert_eq!(stage_kinds(""), Ok(StageKinds::default()));
        assert!(stage_kinds("apps/").is_err());
    }

    #[test]
    fn a_duration_of_zero_is_refused_unless_it_has_a_meaning() {
        let command = Arguments::command();
        let is_duration = |arg: &&clap::Arg| arg.get_value_parser().type_id() == TypeId::of::<Duration>();
        let flags = command.get_arguments().filter(is_duration).filter_map(clap::Arg::get_long);
        let is_accepted = |flag: &&str| {
            let zero = format!("--{flag}=0s");
            runtime::flags::try_parse_from::<Arguments>(["kustomize-controller", &zero]).is_ok()
        };
        let (accepted, refused): (Vec<_>, Vec<_>) = flags.partition(is_accepted);
        assert_eq!(
            (accepted, refused.len()),
            (vec!["graceful-shutdown-timeout", "token-cache-max-duration"], 7)
        );
    }

    #[test]
    fn a_default_service_account_that_is_empty_is_refused() {
        let parse = |flag: &str| runtime::flags::try_parse_from::<Arguments>(["kustomize-controller", flag]);
        for flag in [
            "--default-service-account",
            "--default-kubeconfig-service-account",
            "--default-decryption-service-account",
        ] {
            let error = parse(&format!("{flag}=")).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(flag) && error.contains("name a service account"), "{error}");
            assert!(parse(&format!("{flag}=me")).is_ok(), "{flag}");
        }
        let account = parse("--concurrent=1").map(|arguments| arguments.default_service_account);
        assert_eq!(account.ok(), Some(None));
    }

    #[test]
    fn a_token_is_for_named_hosts() {
        let parse = |flags: &[&str]| {
            runtime::flags::try_parse_from::<Arguments>([&["kustomize-controller"], flags].concat())
        };
        let error = parse(&["--artifact-token-file=/token"]).map(drop).map_err(|error| error.to_string());
        assert!(error.is_err_and(|text| text.contains("--artifact-hosts")));
        let hosts = ["--artifact-hosts=a.example,*.b.example:80", "--artifact-hosts=c.example"];
        let parsed = parse(&[&hosts[..], &["--artifact-token-file=/token"]].concat());
        assert_eq!(parsed.map(|arguments| arguments.artifact_hosts.len()).ok(), Some(3));
        assert!(parse(&["--artifact-hosts=http://a.example/"]).is_err());
    }

    #[test]
    fn work_that_could_never_begin_or_end_is_refused() {
        let parse = |flag: &str| runtime::flags::try_parse_from::<Arguments>(["kustomize-controller", flag]);
        for flag in
            ["--insecure-kubeconfig-exec", "--insecure-kubeconfig-exec=true", "--remote-clusters-max=0"]
        {
            assert!(parse(flag).is_err(), "{flag}");
        }
        assert!(parse("--insecure-kubeconfig-exec=false").is_ok());
        for flag in ["--concurrent=0", "--concurrent-ssa=0", "--build-timeout=0", "--build-timeout=0s"] {
            assert!(parse(flag).is_err(), "{flag}");
        }
        for flag in ["--concurrent=1", "--concurrent=65535", "--build-timeout=1ms"] {
            assert!(parse(flag).is_ok(), "{flag}");
        }
    }
}
