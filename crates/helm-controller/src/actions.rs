//! Actions on a release, with what the spec says about each.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use api::helm::actions::RECONCILE;
use api::helm::reasons::{INVENTORY_BUILD_FAILED, NAMESPACE_CHECK_SKIPPED};
use api::helm_release::{CrdsPolicy, shorten_release_name};
use api::kustomization::{ResourceInventory, ResourceRef};
use futures::FutureExt;
use helm::Crd;
use helm_actions::drift::Diff;
use helm_actions::memory::of_fields;
use helm_actions::options::Wait;
use helm_actions::resources::BuildError;
use helm_actions::{ActionError, Configuration, Inventory, Log, Memory, Observer, Outcome, Write};
use helm_release::{ApplyMethod, Release};
use helm_state::{Action, Ended, Ran, Run, drift_corrected};
use jiff::Timestamp;
use net::chain;
use runtime::events::Severity;
use serde_json::{Map, Value};

use crate::chart::Chart;
use crate::flags::{CANCEL_WAITS, HELM_3_DEFAULTS};
use crate::options::{Given, crd_policy};
use crate::pass::{Pass, Prepared};
use crate::post_render::origin_labels;
use crate::target::Target;
use crate::waiting;

/// What the objects of a manifest take that are compared with those in the cluster, for each byte of their text.
const COMPARED: u64 = 16;

/// The objects of a revision, for the status.
type Listed = Result<Inventory, BuildError>;

/// Why an action did nothing that is stored.
pub struct Failed {
    text: String,
    is_not_found: bool,
}

impl From<ActionError> for Failed {
    fn from(error: ActionError) -> Self {
        Self { text: chain(&error), is_not_found: matches!(error, ActionError::NotFound) }
    }
}

impl From<String> for Failed {
    fn from(text: String) -> Self {
        Self { text, is_not_found: false }
    }
}

/// What was found of a release before an action.
pub struct Found {
    /// Its newest revision.
    pub newest: Option<Release>,
    /// What has drifted.
    pub diff: Option<Diff>,
}

/// A run that takes notice of what is stored.
pub struct Watched(Arc<Mutex<Option<Run>>>);

impl Watched {
    /// With the observer that tells it.
    pub fn new(run: Run) -> (Self, Observer) {
        let shared = Arc::new(Mutex::new(Some(run)));
        let watched = Self(shared.clone());
        let observer = Observer::new(move |write| {
            let mut run = shared.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(run) = run.as_mut() else { return };
            let noticed = match write {
                Write::Created(release) => run.created(release),
                Write::Updated(release) => run.updated(release),
                Write::Deleted { .. } => Ok(()),
            };
            if let Err(error) = noticed {
                tracing::error!(error = chain(&error), "a stored revision cannot be taken notice of");
            }
        });
        (watched, observer)
    }

    /// The run, when its action is over.
    pub fn end(self) -> Option<Run> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Pass<'_> {
    /// Runs an action, and records how it went.
    pub(crate) async fn perform(&mut self, prepared: &mut Prepared, action: Action, found: Found) -> Ended {
        let settings = self.context.arguments.settings();
        let object = &mut self.subject.object;
        let run = Run::begin(object, action.clone(), &settings, Timestamp::now());
        let (watched, observer) = Watched::new(run);
        let namespace = self.subject.object.storage_namespace();
        let configuration = self.configuration(&prepared.target, namespace, observer);
        if !self.subject.object.uses_persistent_client() {
            prepared.target.mapper.invalidate();
        }
        if let (Action::CorrectDrift, Some(diff)) = (&action, &found.diff) {
            return self.correct(&configuration, diff, found.newest.as_ref()).await;
        }
        // What an action needs not is not kept while it waits.
        let unlocked = found.newest.filter(|_| action == Action::Unlock);
        let chart = prepared.chart.take().filter(|_| matches!(action, Action::Install | Action::Upgrade));
        let (prepared, begun) = (&*prepared, Instant::now());
        let work = async {
            tokio::select! {
                biased;
                acted = self.act(prepared, chart, &configuration, &action).boxed() => acted,
                never = self.interrupt_on_new_revision(prepared) => match never {},
            }
        };
        let acted = self.without_turn(&configuration.memory, prepared.desired.values(), work).await;
        if let Ok((outcome, Some(listed))) = &acted {
            self.list_objects(&outcome.release, listed);
        }
        let (release, error, is_not_found) = told(acted.as_ref().map(|(outcome, _)| outcome));
        let error = error.map(|text| prepared.target.secrets.apply(&text));
        let release = if action == Action::Unlock { unlocked.as_ref() } else { release };
        let ran = Ran { error: error.as_deref(), is_not_found, release, took: begun.elapsed() };
        let Some(run) = watched.end() else { return Ended::default() };
        let object = &mut self.subject.object;
        let ended = run.end(object, &prepared.desired, &ran, Timestamp::now());
        with_log(ended, &configuration.log)
    }

    /// Waits for an action; others get the turn of this pass while that waits.
    pub(crate) async fn without_turn<T>(
        &self,
        memory: &Memory,
        values: &Map<String, Value>,
        work: impl Future<Output = T>,
    ) -> T {
        let (budget, namespace) = (&self.context.waiting, self.subject.namespace());
        // Those of the spec, as it was read and as it is written, and those that were composed.
        waiting::without_turn(budget, namespace, memory, 3 * of_fields(values), work).await
    }

    /// Compares or corrects the objects of a release without the turn of this pass: there may be many.
    pub(crate) async fn with_objects<T>(
        &self,
        configuration: &Configuration,
        release: &Release,
        work: impl Future<Output = T>,
    ) -> T {
        configuration.memory.wait_with(COMPARED * release.manifest.len() as u64);
        self.without_turn(&configuration.memory, &Map::new(), work).await
    }

    /// Ends waits when the source has another artifact by now, if that is asked for. Does not end itself.
    async fn interrupt_on_new_revision(&self, prepared: &Prepared) -> Infallible {
        if self.context.arguments.feature_gates.is_on(CANCEL_WAITS) {
            self.context.sources.has_other_than(&prepared.source, &prepared.content).await;
            self.interrupt.cancel();
        }
        pending().await
    }

    /// What of the spec the options of actions are made of.
    pub(crate) fn given(&self, target: &Target) -> Given<'_> {
        let helm3 = self.context.arguments.feature_gates.is_on(HELM_3_DEFAULTS);
        Given { object: &self.subject.object, helm3, rules: target.rules.clone() }
    }

    /// Boxed where it goes deep, for the futures of all actions are large.
    async fn act(
        &self,
        prepared: &Prepared,
        chart: Option<Arc<Chart>>,
        configuration: &Configuration,
        action: &Action,
    ) -> Result<(Outcome, Option<Listed>), Failed> {
        let (object, given) = (&self.subject.object, self.given(&prepared.target));
        let name = shorten_release_name(&object.release_name());
        let outcome = match (action, chart) {
            (Action::Install, Some(chart)) => {
                let (namespace, replaces) = (object.release_namespace(), object.spec.install.replace);
                let plan = configuration.plan_install(&name, &namespace, replaces).await?;
                let options = given.install();
                let method = match object.spec.install.uses_server_side_apply(given.helm3) {
                    true => ApplyMethod::ServerSide,
                    false => ApplyMethod::ClientSide,
                };
                let policy = object.spec.install.crds_policy();
                let applied =
                    self.apply_definitions(prepared, &chart, configuration, policy, method, &options.wait);
                let definitions = applied.await?;
                let rendition = self.rendition(prepared, chart, plan.release(), None).await?;
                let listed = configuration.inventory(&namespace, &rendition.manifest, &definitions).await;
                drop(definitions);
                return Ok((plan.run(rendition, &options).await?, Some(listed)));
            }
            (Action::Upgrade, Some(chart)) => {
                let plan = configuration.plan_upgrade(&name).await?;
                let options = given.upgrade();
                let (policy, method) = (object.spec.upgrade.crds_policy(), plan.method(&options));
                let applied =
                    self.apply_definitions(prepared, &chart, configuration, policy, method, &options.wait);
                let definitions = applied.await?;
                let former = object.spec.upgrade.preserve_values.then(|| plan.former());
                let rendition = self.rendition(prepared, chart, plan.release(), former).await?;
                let namespace = &plan.release().namespace;
                let listed = configuration.inventory(namespace, &rendition.manifest, &definitions).await;
                drop(definitions);
                return Ok((plan.run(rendition, &options).await?, Some(listed)));
            }
            (Action::Install | Action::Upgrade, None) => {
                return Err("the chart is not at hand".to_owned().into());
            }
            (Action::Rollback(target), _) => {
                let outcome = configuration.rollback(&name, &given.rollback(target)).boxed().await?;
                let Release { namespace, manifest, .. } = &outcome.release;
                let listed = configuration.inventory(namespace, manifest, &[]).await;
                return Ok((outcome, Some(listed)));
            }
            (Action::UninstallRemediation | Action::Uninstall, _) => {
                configuration.uninstall(&name, &given.uninstall()).boxed().await?
            }
            (Action::Test, _) => configuration.test(&name, &given.test()).boxed().await?,
            (Action::Unlock, _) => match configuration.unlock(&name).await? {
                Some((_, release)) => Outcome { release, error: None },
                None => {
                    let text = "the release is not locked any more".to_owned();
                    return Err(Failed { text, is_not_found: true });
                }
            },
            (Action::CorrectDrift, _) => return Err("it is not known what has drifted".to_owned().into()),
        };
        Ok((outcome, None))
    }

    /// Brings the definitions of the chart in order, and gives them.
    async fn apply_definitions(
        &self,
        prepared: &Prepared,
        chart: &Arc<Chart>,
        configuration: &Configuration,
        policy: CrdsPolicy,
        method: ApplyMethod,
        wait: &Wait,
    ) -> Result<Vec<Crd>, String> {
        let definitions = self.definitions(prepared, chart).await?;
        let labels = origin_labels(&self.subject.object);
        let applied = configuration.apply_crds(&definitions, crd_policy(policy), method, &labels, wait).await;
        applied.map_err(|error| chain(&error))?;
        Ok(definitions)
    }

    /// Sets objects back that have drifted. It never fails: the next look tells.
    async fn correct(
        &mut self,
        configuration: &Configuration,
        diff: &Diff,
        newest: Option<&Release>,
    ) -> Ended {
        self.progress.at("correct", None);
        let timeout = Action::CorrectDrift.timeout(&self.subject.object);
        let correction = configuration.correct(diff, timeout);
        let correction = match newest {
            Some(newest) => self.with_objects(configuration, newest, correction).await,
            None => correction.await,
        };
        let summary = correction.summary();
        let changes: Vec<String> = summary.lines().map(str::to_owned).collect();
        self.tell_repeated_drift(&correction);
        let notice = drift_corrected(&self.subject.object, &correction.failures, &changes);
        Ended { notice, error: None }
    }

    /// Notes the objects of a revision in the status.
    fn list_objects(&mut self, release: &Release, listed: &Listed) {
        let full_name = format!("{}/{}.v{}", release.namespace, release.name, release.version);
        let warn = |pass: &Self, reason, message: &str| {
            pass.subject.event(&pass.context.events, Severity::Error, RECONCILE, reason, message);
        };
        match listed {
            Ok(Inventory { entries, unknown }) => {
                if *unknown > 0 {
                    let message = format!(
                        "namespace check skipped for {unknown} object(s) of {full_name}: their kinds are not served"
                    );
                    warn(self, NAMESPACE_CHECK_SKIPPED, &message);
                }
                let entries = entries
                    .iter()
                    .map(|entry| ResourceRef { id: entry.id.inventory_id(), version: entry.version.clone() })
                    .collect();
                helm_state::status(&mut self.subject.object).inventory = Some(ResourceInventory { entries });
            }
            Err(error) => {
                let message = format!("failed to build inventory for {full_name}: {error}");
                warn(self, INVENTORY_BUILD_FAILED, &message);
            }
        }
    }
}

/// What is told of an action that failed ends with what it said last.
pub fn with_log(mut ended: Ended, log: &Log) -> Ended {
    if let Some(notice) = ended.notice.as_mut().filter(|notice| notice.has_log) {
        let text = log.text();
        if !text.is_empty() {
            notice.message.push_str("\n\nLast Helm logs:\n\n");
            notice.message.push_str(&text);
        }
    }
    ended
}

/// The revision that an action was about, why it failed, and whether because there was none.
pub fn told<'a>(acted: Result<&'a Outcome, &'a Failed>) -> (Option<&'a Release>, Option<String>, bool) {
    match acted {
        Ok(outcome) => {
            let error = outcome.error.as_ref().map(|error| chain(error));
            (Some(&outcome.release), error, matches!(outcome.error, Some(ActionError::NotFound)))
        }
        Err(failed) => (None, Some(failed.text.clone()), failed.is_not_found),
    }
}
