//! The main function of every controller process.
//!
//! ```text
//! run(NAME, start):  arguments ─▶ logs, TLS ─▶ Process ─▶ lease ─▶ start(App) ─▶ controllers until the stop ─▶ end
//! ```
//!
//! `start` is all that a process has of its own: it sets up what its kinds share and adds one controller for each.

use std::{
    collections::BTreeMap, error::Error, ffi::OsString, fmt::Debug, future::Future, process::ExitCode,
    sync::Arc, time::Duration,
};

use clap::{CommandFactory, FromArgMatches, error::ErrorKind};
use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;
use kube::{Resource, core::NamespaceResourceScope};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use crate::{
    controller::{self, Objects, Reconcile},
    diagnostics::{self, ProcessState},
    error::chain,
    flags::{self, Flags},
    gates::Gates,
    log,
    preflight::{self, Preflight, PreflightError, Right},
    process::{Process, ProcessError},
    readiness::Check,
    watch,
};

/// Longest wait at the end for threads that do not look at the time, such as builds and reads from a Git server.
const BLOCKING_TASKS_TIMEOUT: Duration = Duration::from_secs(1);

/// The version of the workspace.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit that the process was built from, where whoever builds it says so.
const REVISION: &str = match option_env!("SOURCE_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// How a process ends whose arguments cannot be used, as most programs do.
const USAGE: u8 = 2;

/// The arguments of a process.
pub trait Arguments: CommandFactory + FromArgMatches {
    /// What has to hold before the process is ready.
    const READINESS_CHECKS: &'static [Check] = &[];

    /// Those that every controller has.
    fn shared(&self) -> &Flags;

    /// `--feature-gates`.
    fn gates(&self) -> &Gates;
}

/// Why a process could not start or had to end.
#[derive(Debug, thiserror::Error)]
enum AppError {
    #[error("failed to start the runtime")]
    Tokio(#[source] std::io::Error),
    #[error("failed to set up TLS")]
    Tls,
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error(transparent)]
    Start(Box<dyn Error + Send + Sync>),
}

/// A process that leads, for the code that says what it does.
pub struct App<A> {
    /// Its arguments.
    pub arguments: A,
    /// The client, metrics, events and tasks.
    pub process: Process,
    controllers: Vec<BoxFuture<'static, ()>>,
}

impl<A: Arguments> App<A> {
    /// Adds a controller, which runs from the end of the start until the process stops. `concurrent` passes run at once.
    pub fn add_controller<K, R>(&mut self, objects: Objects<K>, reconciler: Arc<R>, concurrent: u16)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Clone + Debug + DeserializeOwned + Send + Sync + Unpin + 'static,
        R: Reconcile<K>,
    {
        let (shared, process) = (self.arguments.shared(), &self.process);
        let events = watch::watch(&process.client, &shared.scope(), &process.metrics);
        let (options, metrics, stop) =
            (shared.controller(concurrent), process.metrics.clone(), process.stop.clone());
        let diagnostics = process.diagnostics.clone();
        let work = controller::run(reconciler, objects, events, options, metrics, diagnostics, stop);
        self.controllers.push(work.boxed());
    }

    /// Runs something that goes on until the process stops.
    pub fn spawn(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.process.stop.clone();
        self.process.tasks.spawn(async move {
            stop.run_until_cancelled(work).await;
            Ok(())
        });
    }
}

/// Runs the process `name`, which is its name in events, leases and logs, until it is told to stop or fails. A mistake in the
/// arguments ends it with a message. With the verb [`preflight`] it says instead what would not work in a cluster of Flux: whether
/// that gives it its `rights`, and what `look` finds in the objects that a Deployment with such arguments would look after.
pub fn run<A, E>(
    name: &'static str,
    start: impl AsyncFnOnce(&mut App<A>) -> Result<(), E>,
    rights: &[Right],
    look: impl AsyncFn(&mut Preflight, &A) -> Result<(), PreflightError>,
) -> ExitCode
where
    A: Arguments,
    E: Error + Send + Sync + 'static,
{
    if preflight::is_asked_for() {
        return preflight::main::<A>(name, rights, look);
    }
    let (arguments, changed) = match arguments::<A>(std::env::args_os()) {
        Ok(parsed) => parsed,
        Err(help) if !help.use_stderr() => help.exit(),
        Err(error) => {
            eprintln!("{}", flags::one_line(&error));
            return ExitCode::from(USAGE);
        }
    };
    log::init(arguments.shared().log_encoding, arguments.shared().log_level);
    let started = started(name, &arguments, changed);
    arguments.gates().log_retired();
    match run_with(started, arguments, start) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(logger = "setup", error = chain(&error), "problem running manager");
            ExitCode::FAILURE
        }
    }
}

/// What the process is and was started with, which its log tells in its first line. Secrets are in files and in no flag.
fn started(name: &'static str, arguments: &impl Arguments, flags: Vec<String>) -> ProcessState {
    let gates: BTreeMap<_, _> = arguments.gates().values().collect();
    let gates_text: Vec<_> = gates.iter().map(|(gate, is_on)| format!("{gate}={is_on}")).collect();
    tracing::info!(
        logger = "setup",
        version = VERSION,
        revision = REVISION,
        flags = flags.join(" "),
        gates = gates_text.join(","),
        "starting {name}"
    );
    let started = diagnostics::text(Timestamp::now());
    ProcessState { name, version: VERSION, revision: REVISION, started, gates }
}

/// Arguments of which the first is the program's name, if they can work together, and which of them differ from the defaults.
fn arguments<A: Arguments>(
    given: impl IntoIterator<Item = OsString>,
) -> Result<(A, Vec<String>), clap::Error> {
    let (arguments, changed) = flags::parse::<A>(given)?;
    match arguments.shared().check() {
        Ok(()) => Ok((arguments, changed)),
        Err(error) => Err(A::command().error(ErrorKind::ValueValidation, error)),
    }
}

fn run_with<A, E>(
    started: ProcessState,
    arguments: A,
    start: impl AsyncFnOnce(&mut App<A>) -> Result<(), E>,
) -> Result<(), AppError>
where
    A: Arguments,
    E: Error + Send + Sync + 'static,
{
    rustls::crypto::aws_lc_rs::default_provider().install_default().map_err(|_| AppError::Tls)?;
    let tokio = tokio::runtime::Runtime::new().map_err(AppError::Tokio)?;
    let result = tokio.block_on(async {
        let mut process = Process::start(arguments.shared(), started, A::READINESS_CHECKS).await?;
        if !process.lead(arguments.shared()).await? {
            return Ok(());
        }
        let mut app = App { arguments, process, controllers: Vec::new() };
        start(&mut app).await.map_err(|error| AppError::Start(error.into()))?;
        let App { process, controllers, .. } = app;
        // Tasks of their own, so that this thread is not woken for each event.
        let work = async { drop(controllers.into_iter().collect::<JoinSet<()>>().join_all().await) };
        Ok(process.run(work).await?)
    });
    tokio.shutdown_timeout(BLOCKING_TASKS_TIMEOUT);
    result
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        shared: Flags,
        #[arg(skip)]
        gates: Gates,
    }

    impl Arguments for Program {
        fn shared(&self) -> &Flags {
            &self.shared
        }

        fn gates(&self) -> &Gates {
            &self.gates
        }
    }

    #[test]
    fn arguments_that_do_not_go_together_are_refused_in_one_line() {
        let given = |args: &[&str]| arguments::<Program>(["program"].iter().chain(args).map(OsString::from));
        assert!(given(&["--min-retry-delay=1m"]).is_ok());
        let error = given(&["--min-retry-delay=16m"]).err().unwrap().to_string();
        let expected = "error: --max-retry-delay must not be less than --min-retry-delay\n";
        assert!(error.starts_with(expected), "{error}");
    }
}
