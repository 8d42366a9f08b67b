//! Flags that every controller has, with upstream's names, defaults and environment variables.
//!
//! pflag's syntax: `--flag=value` or `--flag value`, and a bare boolean flag means true.

mod given;
mod help;
mod selector;

pub use help::{Description, heading};
pub use selector::{InvalidLabelSelector, label_selector};

pub(crate) use help::{one_line, reason};

use std::{
    any::TypeId,
    ffi::{OsStr, OsString},
    net::SocketAddr,
    time::Duration,
};

use clap::builder::Resettable;
use clap::{ArgAction, Args, Command, CommandFactory, FromArgMatches};
use net::Backoff;

use crate::{
    controller::Options,
    leader::Timing,
    log::{Encoding, LogLevel},
    watch::Scope,
};

/// Shared flags; flatten them into the process's own.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// Address of the metrics endpoint; 0 for none.
    #[arg(long, help_heading = heading::ENDPOINTS, env = "METRICS_ADDR", default_value = ":8080", value_parser = address_or_none)]
    pub metrics_addr: String,
    /// Address of the health endpoints; 0 for none.
    #[arg(long, help_heading = heading::ENDPOINTS, default_value = ":9440", value_parser = address_or_none)]
    pub health_addr: String,
    /// Tell at /debug/objects of the metrics endpoint what goes on with each object, and what it waits for: names, steps and reasons,
    /// no specs and no messages.
    #[arg(long, help_heading = heading::ENDPOINTS, action = ArgAction::Set, value_parser = boolean, default_value_t = true)]
    pub debug_objects: bool,
    /// URL of the events receiver; empty posts nothing.
    #[arg(long, help_heading = heading::EVENTS, env = "EVENTS_ADDR", default_value = "", value_parser = receiver)]
    pub events_addr: String,
    /// Events waiting for each of the two sinks before the newest are dropped.
    #[arg(long, help_heading = heading::EVENTS, default_value_t = 1024)]
    pub events_queue_size: usize,
    /// Log encoding.
    #[arg(long, help_heading = heading::EVENTS, value_enum, default_value = "json")]
    pub log_encoding: Encoding,
    /// Log verbosity.
    #[arg(long, help_heading = heading::EVENTS, value_enum, default_value = "info")]
    pub log_level: LogLevel,
    /// Watch all namespaces; false means RUNTIME_NAMESPACE only.
    #[arg(long, help_heading = heading::SCOPE, action = ArgAction::Set, value_parser = boolean, default_value_t = true)]
    pub watch_all_namespaces: bool,
    /// Label selector of the objects to look after (sharding).
    #[arg(long, help_heading = heading::SCOPE, default_value = "", value_parser = label_selector)]
    pub watch_label_selector: String,
    /// First delay after a failure.
    #[arg(long, help_heading = heading::INTERVALS, default_value = "750ms", value_parser = timeout)]
    pub min_retry_delay: Duration,
    /// Longest delay after failures.
    #[arg(long, help_heading = heading::INTERVALS, default_value = "15m", value_parser = timeout)]
    pub max_retry_delay: Duration,
    /// Percentage by which an interval is varied at random.
    #[arg(long, help_heading = heading::INTERVALS, default_value_t = 5, value_parser = clap::value_parser!(u8).range(0..100))]
    pub interval_jitter_percentage: u8,
    /// How long to wait before looking again at a dependency.
    #[arg(long, help_heading = heading::INTERVALS, default_value = "30s", value_parser = timeout)]
    pub requeue_dependency: Duration,
    /// Longest wait for running work at shutdown; 0 waits for none.
    #[arg(long, help_heading = heading::LEADER, default_value = "8s", value_parser = duration)]
    pub graceful_shutdown_timeout: Duration,
    /// Requests per second to the API server, if that has no priority and fairness.
    #[arg(long, help_heading = heading::API_SERVER, default_value_t = 50.0)]
    pub kube_api_qps: f32,
    /// Requests at once to the API server, if that has no priority and fairness.
    #[arg(long, help_heading = heading::API_SERVER, default_value_t = 300)]
    pub kube_api_burst: u32,
    /// Namespace that the process runs in.
    #[arg(long, env = "RUNTIME_NAMESPACE", default_value = "", hide = true)]
    pub runtime_namespace: String,
    /// Leader election.
    #[command(flatten)]
    pub leader: LeaderFlags,
}

/// Leader election flags.
#[derive(Args, Clone, Debug)]
pub struct LeaderFlags {
    /// Work only while holding a Lease.
    #[arg(long, help_heading = heading::LEADER, action = ArgAction::Set, value_parser = boolean, default_value_t = false)]
    pub enable_leader_election: bool,
    /// Give the Lease up when stopping, so that a successor starts at once.
    #[arg(long, help_heading = heading::LEADER, action = ArgAction::Set, value_parser = boolean, default_value_t = true)]
    pub leader_election_release_on_cancel: bool,
    /// How long a Lease is respected without being renewed.
    #[arg(long, help_heading = heading::LEADER, default_value = "35s", value_parser = timeout)]
    pub leader_election_lease_duration: Duration,
    /// How long the leader tries to renew before it stops.
    #[arg(long, help_heading = heading::LEADER, default_value = "30s", value_parser = timeout)]
    pub leader_election_renew_deadline: Duration,
    /// Time between two attempts to take or renew the Lease.
    #[arg(long, help_heading = heading::LEADER, default_value = "5s", value_parser = timeout)]
    pub leader_election_retry_period: Duration,
}

/// Arguments of which the first is the program's name.
///
/// # Errors
/// What is wrong with them.
pub fn try_parse_from<A: CommandFactory + FromArgMatches>(
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<A, clap::Error> {
    parse(arguments).map(|(arguments, _)| arguments)
}

/// The same, with the flags that differ from their defaults as they may be shown.
pub(crate) fn parse<A: CommandFactory + FromArgMatches>(
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<(A, Vec<String>), clap::Error> {
    let mut command = help::readable(without_empty(pflag(A::command()), |name| std::env::var_os(name)));
    let matches = command.try_get_matches_from_mut(joined(arguments))?;
    Ok((A::from_arg_matches(&matches)?, given::changed(&command, &matches)))
}

/// Flags whose values Flux joins, however often they are given (`StringSlice` and `MapStringBool`), where others have the last one count.
const JOINED: [&str; 3] = ["--feature-gates", "--ssh-kex-algos", "--ssh-hostkey-algos"];

/// Gives each of [`JOINED`] once, with all its values.
fn joined(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Vec<OsString> {
    let (mut all, mut places) = (Vec::<OsString>::new(), [None; JOINED.len()]);
    let mut arguments = arguments.into_iter().map(Into::into);
    while let Some(argument) = arguments.next() {
        let text = argument.to_str().unwrap_or_default();
        let (flag, value) = text.split_once('=').map_or((text, None), |(flag, value)| (flag, Some(value)));
        let Some(place) = JOINED.iter().position(|joined| *joined == flag).and_then(|at| places.get_mut(at))
        else {
            all.push(argument);
            continue;
        };
        let value = value.map(OsString::from).or_else(|| arguments.next());
        let earlier = place.and_then(|place: usize| all.get_mut(place));
        match (earlier, value) {
            (Some(earlier), Some(value)) => {
                earlier.push(",");
                earlier.push(value);
            }
            (None, Some(value)) => {
                *place = Some(all.len());
                let mut whole = OsString::from(format!("{flag}="));
                whole.push(value);
                all.push(whole);
            }
            // That its value is missing is for the parser to tell.
            (_, None) => all.push(argument),
        }
    }
    all
}

/// Takes an empty environment variable for one that is not set, as Go programs do.
fn without_empty(command: Command, variable: impl Fn(&OsStr) -> Option<OsString>) -> Command {
    command.mut_args(|arg| match arg.get_env().and_then(&variable) {
        Some(value) if value.is_empty() => arg.env(Resettable::Reset),
        _ => arg,
    })
}

/// Has a command read flags as pflag does: of a flag that is given twice the last one counts, a bare boolean means true, and a
/// boolean's value comes after `=`.
fn pflag(command: Command) -> Command {
    command.args_override_self(true).mut_args(|arg| {
        let boolean = arg.get_value_parser().type_id() == TypeId::of::<bool>();
        if boolean && matches!(arg.get_action(), ArgAction::Set) {
            arg.num_args(0..=1).default_missing_value("true").require_equals(true)
        } else {
            arg
        }
    })
}

/// Flags that do not go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlagsError {
    /// The first delay would never be used.
    #[error("--max-retry-delay must not be less than --min-retry-delay")]
    RetryDelays,
    /// There is no such namespace.
    #[error("--watch-all-namespaces=false needs RUNTIME_NAMESPACE, the only namespace to watch")]
    Namespace,
    /// Two could lead at once, or nobody for long.
    #[error(
        "{0} (--leader-election-lease-duration, --leader-election-renew-deadline, --leader-election-retry-period)"
    )]
    Timing(&'static str),
}

/// A text that is no boolean, in Go's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid syntax")]
pub struct InvalidSyntax;

/// A boolean as Go's `strconv.ParseBool` reads it.
///
/// # Errors
/// For any other text.
pub fn boolean(text: &str) -> Result<bool, InvalidSyntax> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(InvalidSyntax),
    }
}

/// A time that must not be zero.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseTimeoutError {
    /// Zero.
    #[error("must be longer than 0")]
    Zero,
    /// No duration.
    #[error(transparent)]
    Duration(#[from] api::duration::ParseDurationError),
}

/// A flag's duration in Go's syntax, if it is longer than zero.
///
/// # Errors
/// For any other text.
pub fn timeout(text: &str) -> Result<Duration, ParseTimeoutError> {
    Some(duration(text)?).filter(|time| !time.is_zero()).ok_or(ParseTimeoutError::Zero)
}

/// A flag that names a service account, and names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("name a service account, or leave the flag out: then objects without one act as the controller")]
pub struct EmptyAccount;

/// The name of a service account. An empty one, as of a variable that is not set, would turn off what the flag is there for.
///
/// # Errors
/// If it is empty.
pub fn service_account(text: &str) -> Result<String, EmptyAccount> {
    if text.trim().is_empty() { Err(EmptyAccount) } else { Ok(text.to_owned()) }
}

/// A flag that says where to listen, and does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it has to be host:port or :port")]
pub struct NoAddress;

/// Where to listen: `host:port`, or `:port` for every interface. An IPv6 address is in brackets.
///
/// # Errors
/// For any other text.
pub fn address(text: &str) -> Result<String, NoAddress> {
    let is_port = |port: &str| port.parse::<u16>().is_ok();
    let is_named = |(host, port): (&str, &str)| !host.contains([':', '[', ']']) && is_port(port);
    let is_address = text.parse::<SocketAddr>().is_ok() || text.rsplit_once(':').is_some_and(is_named);
    if is_address { Ok(text.to_owned()) } else { Err(NoAddress) }
}

/// The same, or [`NOWHERE`].
fn address_or_none(text: &str) -> Result<String, NoAddress> {
    if text == NOWHERE { Ok(text.to_owned()) } else { address(text) }
}

/// In the place of an address: not to listen, as in controller-runtime.
pub(crate) const NOWHERE: &str = "0";

/// A flag that is no address of an events receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it has to be a URL such as http://notification-controller.flux-system.svc.cluster.local./")]
pub struct NoReceiver;

/// Where events are posted to, or nothing.
///
/// # Errors
/// If nothing can be posted there.
fn receiver(text: &str) -> Result<String, NoReceiver> {
    let is_url =
        || url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if text.is_empty() || is_url() { Ok(text.to_owned()) } else { Err(NoReceiver) }
}

/// A flag's duration in Go's syntax.
///
/// # Errors
/// For any other text.
pub fn duration(text: &str) -> Result<Duration, api::duration::ParseDurationError> {
    api::duration::parse_go_duration(text)
}

impl Flags {
    /// Refuses what cannot work together.
    ///
    /// # Errors
    /// What that is.
    pub fn check(&self) -> Result<(), FlagsError> {
        if self.max_retry_delay < self.min_retry_delay {
            return Err(FlagsError::RetryDelays);
        }
        if !self.watch_all_namespaces && self.runtime_namespace.is_empty() {
            return Err(FlagsError::Namespace);
        }
        // As client-go, which looks at them only when they count.
        if self.leader.enable_leader_election {
            self.leader.timing().check().map_err(FlagsError::Timing)?;
        }
        Ok(())
    }

    /// The objects that this process looks after.
    pub fn scope(&self) -> Scope {
        let namespace = (!self.watch_all_namespaces).then(|| self.runtime_namespace.clone());
        let labels = Some(self.watch_label_selector.clone()).filter(|s| !s.is_empty());
        Scope { namespace, labels }
    }

    /// Where events are posted to.
    pub fn webhook(&self) -> Option<String> {
        Some(self.events_addr.clone()).filter(|url| !url.is_empty())
    }

    /// How a controller with this many workers runs.
    pub fn controller(&self, concurrent: u16) -> Options {
        Options {
            concurrent,
            retry: Backoff { first: self.min_retry_delay, longest: self.max_retry_delay },
            grace: self.graceful_shutdown_timeout,
        }
    }
}

impl LeaderFlags {
    /// When the Lease is renewed, lost and taken over.
    pub fn timing(&self) -> Timing {
        Timing {
            lease: self.leader_election_lease_duration,
            renew_deadline: self.leader_election_renew_deadline,
            retry: self.leader_election_retry_period,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        flags: Flags,
    }

    #[test]
    fn an_empty_variable_is_none() {
        // A variable that every process has; whether it is empty is made up.
        let command =
            || Command::new("p").arg(clap::Arg::new("a").long("a").env("PATH").default_value("none"));
        let value = |command: Command| {
            let matches = command.try_get_matches_from(["p"]).unwrap();
            matches.get_one::<String>("a").unwrap().clone()
        };
        assert_eq!(value(without_empty(command(), |_| Some(OsString::new()))), "none");
        let path = std::env::var("PATH").unwrap();
        assert_eq!(value(without_empty(command(), |name| std::env::var_os(name))), path);
    }

    #[test]
    fn a_service_account_has_a_name() {
        assert_eq!(service_account("tenant"), Ok("tenant".to_owned()));
        assert_eq!((service_account(""), service_account(" ")), (Err(EmptyAccount), Err(EmptyAccount)));
    }

    fn parse(args: &[&str]) -> Result<Flags, clap::Error> {
        try_parse_from::<Program>([&["program"], args].concat()).map(|p| p.flags)
    }

    #[test]
    fn one_namespace_alone_has_a_name() {
        let given = |args: &[&str], namespace: &str| {
            Flags { runtime_namespace: namespace.to_owned(), ..parse(args).unwrap() }.check()
        };
        assert_eq!(given(&["--watch-all-namespaces=false"], ""), Err(FlagsError::Namespace));
        assert_eq!(given(&["--watch-all-namespaces=false"], "apps"), Ok(()));
        assert_eq!(given(&[], ""), Ok(()));
    }

    #[test]
    fn the_arguments_of_fluxs_manifests_are_understood() {
        let flags = parse(&[
            "--events-addr=http://notification-controller.flux-system.svc.cluster.local./",
            "--watch-all-namespaces=true",
            "--log-level=info",
            "--log-encoding=json",
            "--enable-leader-election",
        ])
        .unwrap();
        assert!(flags.watch_all_namespaces && flags.leader.enable_leader_election);
        assert!(flags.scope().namespace.is_none());
    }

    #[test]
    fn defaults_are_upstreams() {
        let flags = parse(&[]).unwrap();
        assert_eq!((flags.metrics_addr.as_str(), flags.health_addr.as_str()), (":8080", ":9440"));
        assert_eq!(flags.min_retry_delay, Duration::from_millis(750));
        assert_eq!(flags.max_retry_delay, Duration::from_secs(900));
        assert_eq!(flags.interval_jitter_percentage, 5);
        assert_eq!(flags.leader.leader_election_lease_duration, Duration::from_secs(35));
    }

    #[test]
    fn booleans_are_bare_or_come_after_an_equals_sign() {
        let leads = |args: &[&str]| parse(args).map(|f| f.leader.enable_leader_election).ok();
        assert_eq!(leads(&["--enable-leader-election"]), Some(true));
        assert_eq!(leads(&["--enable-leader-election=F"]), Some(false));
        assert_eq!(leads(&["--enable-leader-election=perhaps"]), None);
        assert_eq!(leads(&["--enable-leader-election", "false"]), None, "a stray argument");
    }

    #[test]
    fn the_last_one_counts_of_a_flag_that_is_given_twice() {
        // A patch of the install manifests adds to the arguments that are there.
        let flags = parse(&["--log-level=info", "--requeue-dependency=1m", "--log-level=debug"]).unwrap();
        assert_eq!((flags.log_level, flags.requeue_dependency), (LogLevel::Debug, Duration::from_secs(60)));
        let flags = parse(&["--enable-leader-election", "--enable-leader-election=false"]).unwrap();
        assert!(!flags.leader.enable_leader_election);
    }

    #[test]
    fn all_values_count_of_a_flag_that_is_a_list() {
        #[derive(Parser)]
        struct Lists {
            #[arg(long)]
            name: Vec<String>,
            #[arg(long, value_delimiter = ',')]
            host: Vec<String>,
        }
        let Lists { name, host } =
            try_parse_from(["p", "--name=a", "--host=x,y", "--name=b", "--host=z"]).unwrap();
        assert_eq!((name.join(" "), host.join(" ")), ("a b".into(), "x y z".into()));
    }

    #[test]
    fn gates_are_joined_however_often_they_are_given() {
        let arguments =
            ["p", "--feature-gates=A=true", "-x", "--feature-gates", "B=false", "--feature-gates=C"];
        assert_eq!(joined(arguments), ["p", "--feature-gates=A=true,B=false,C", "-x"]);
        assert_eq!(joined(["p", "--ssh-kex-algos=a", "--ssh-hostkey-algos=b"]).len(), 3);
        assert_eq!(
            joined(["p", "--feature-gates=A", "--feature-gates"]),
            ["p", "--feature-gates=A", "--feature-gates"]
        );
    }

    #[test]
    fn an_address_has_a_port() {
        for text in [":8080", "host:80", "127.0.0.1:0", "[::1]:80", ":0"] {
            assert_eq!(address(text).as_deref(), Ok(text));
        }
        for text in ["nonsense", "", ":", "host:", "host:http", "host:65536", "::1:80", "[nonsense]:80", "0"]
        {
            assert_eq!(address(text), Err(NoAddress), "{text}");
        }
        assert_eq!(parse(&["--metrics-addr=0"]).unwrap().metrics_addr, NOWHERE);
        assert!(parse(&["--health-addr=abc"]).is_err());
    }

    #[test]
    fn a_timeout_is_longer_than_zero() {
        assert_eq!(timeout("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(timeout("0s"), Err(ParseTimeoutError::Zero));
        assert!(timeout("soon").is_err());
    }

    #[test]
    fn a_duration_of_zero_is_refused_unless_it_has_a_meaning() {
        let command = Program::command();
        let is_duration = |arg: &&clap::Arg| arg.get_value_parser().type_id() == TypeId::of::<Duration>();
        let flags = command.get_arguments().filter(is_duration).filter_map(clap::Arg::get_long);
        let (accepted, refused): (Vec<_>, Vec<_>) =
            flags.partition(|flag| parse(&[&format!("--{flag}=0s")]).is_ok());
        assert_eq!((accepted, refused.len()), (vec!["graceful-shutdown-timeout"], 6));
        let error = parse(&["--max-retry-delay=0s"]).err().unwrap().to_string();
        let first = error.lines().next().unwrap();
        assert_eq!(
            first,
            "error: invalid value '0s' for '--max-retry-delay <MAX_RETRY_DELAY>': must be longer than 0"
        );
    }

    #[test]
    fn durations_that_do_not_go_together_are_refused() {
        let check = |args: &[&str]| parse(args).unwrap().check().map_err(|error| error.to_string());
        let with_election = |args: &[&str]| check(&[args, &["--enable-leader-election"]].concat());
        assert_eq!((check(&[]), with_election(&[])), (Ok(()), Ok(())));
        let delays = "--max-retry-delay must not be less than --min-retry-delay";
        assert_eq!(check(&["--max-retry-delay=749ms"]), Err(delays.to_owned()));
        assert_eq!(check(&["--max-retry-delay=750ms"]), Ok(()));
        let timing = "(--leader-election-lease-duration, --leader-election-renew-deadline, --leader-election-retry-period)";
        for (arg, rule) in [
            ("--leader-election-lease-duration=30s", "leaseDuration must be greater than renewDeadline"),
            ("--leader-election-lease-duration=999ms", "leaseDuration must be greater than zero"),
            (
                "--leader-election-renew-deadline=6s",
                "renewDeadline must be greater than retryPeriod*JitterFactor",
            ),
        ] {
            assert_eq!(with_election(&[arg]), Err(format!("{rule} {timing}")));
            assert_eq!(check(&[arg]), Ok(()), "nobody is elected");
        }
    }

    #[test]
    fn bad_values_are_refused() {
        for bad in
            ["--interval-jitter-percentage=100", "--min-retry-delay=fast", "--log-level=loud", "--nonsense"]
        {
            assert!(parse(&[bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn one_namespace_is_the_one_the_process_runs_in() {
        let flags = parse(&["--watch-all-namespaces=false", "--runtime-namespace=apps"]).unwrap();
        assert_eq!(flags.scope().namespace.as_deref(), Some("apps"));
    }
}
