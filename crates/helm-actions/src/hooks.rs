//! What runs when something happens (`pkg/action/hooks.go` of Helm).

use apply::error::RequestError;
use helm::Event;
use helm_release::{ApplyMethod, Execution, Hook, Phase, Release, Status, Time};
use jiff::Timestamp;

use crate::configuration::Configuration;
use crate::options::{Wait, creating};
use crate::resources::{self, BuildError, Joined, Propagation};
use crate::steps::Step;
use crate::storage::Storage;
use crate::wait::{self, WaitError};

const BEFORE_CREATION: &str = "before-hook-creation";
const SUCCEEDED: &str = "hook-succeeded";
const FAILED: &str = "hook-failed";

/// Why hooks have not done their work, in the words of Helm.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// The text of a hook is no object.
    #[error("unable to build kubernetes object for {event} hook {path}")]
    Build {
        /// When it runs.
        event: &'static str,
        /// The file that it is from.
        path: String,
        /// Why.
        #[source]
        source: BuildError,
    },
    /// The same, of one that is to be deleted.
    #[error("unable to build kubernetes object for deleting hook {path}")]
    BuildDeletion {
        /// The file that it is from.
        path: String,
        /// Why.
        #[source]
        source: BuildError,
    },
    /// Its object cannot be created.
    #[error("warning: Hook {event} {path} failed")]
    Create {
        /// When it runs.
        event: &'static str,
        /// The file that it is from.
        path: String,
        /// Why.
        #[source]
        source: Joined,
    },
    /// It has not succeeded, or an old one of it is not gone.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// Its object cannot be deleted.
    #[error(transparent)]
    Delete(RequestError),
}

/// Hooks that have run and are to be deleted by their policies.
#[derive(Default)]
pub(crate) struct Remains {
    /// With the policy for which each is deleted, in this order.
    hooks: Vec<(Hook, &'static str)>,
}

/// Runs the hooks of an event, one after another, and then deletes those that are not to stay.
///
/// # Errors
/// One fails; those behind it do not run. The phases are in the release, for the caller to store.
pub(crate) async fn run(
    configuration: &Configuration,
    storage: &Storage,
    release: &mut Release,
    event: Event,
    wait: &Wait,
) -> Result<(), HookError> {
    let (remains, ended) = execute(configuration, storage, release, event, wait).await;
    let cleaned = remains.clean_up(configuration, &release.namespace, wait).await;
    cleaned.and(ended)
}

/// Runs the hooks of an event, and leaves it to the caller to delete them.
pub(crate) async fn execute(
    configuration: &Configuration,
    storage: &Storage,
    release: &mut Release,
    event: Event,
    wait: &Wait,
) -> (Remains, Result<(), HookError>) {
    let order = in_order(release.hooks.as_deref().unwrap_or_default(), event);
    let mut done: Vec<Hook> = Vec::new();
    let count = order.len();
    for (place, number) in order.into_iter().zip(1..) {
        let step = |object| configuration.steps.tell(Step::Hook { event, number, count, object });
        let ended = execute_one(configuration, storage, release, place, event, wait, step).await;
        let Some(hook) = hook_at(release, place).map(|hook| hook.clone()) else { continue };
        match ended {
            Ok(()) => done.push(hook),
            Err(error) => {
                // What could not even be created leaves the others as they are.
                let hooks = match error {
                    HookError::Wait(_) if hook.last_run.phase == Phase::Failed => {
                        let earlier = done.into_iter().map(|hook| (hook, SUCCEEDED));
                        std::iter::once((hook, FAILED)).chain(earlier).collect()
                    }
                    _ => Vec::new(),
                };
                return (Remains { hooks }, Err(error));
            }
        }
    }
    let hooks = done.into_iter().rev().map(|hook| (hook, SUCCEEDED)).collect();
    (Remains { hooks }, Ok(()))
}

async fn execute_one(
    configuration: &Configuration,
    storage: &Storage,
    release: &mut Release,
    place: usize,
    event: Event,
    wait: &Wait,
    step: impl Fn(Option<String>),
) -> Result<(), HookError> {
    step(None);
    let namespace = release.namespace.clone();
    let Some(hook) = hook_at(release, place) else { return Ok(()) };
    if hook.delete_policies.as_ref().is_none_or(Vec::is_empty) {
        hook.delete_policies = Some(vec![BEFORE_CREATION.to_owned()]);
    }
    let hook = hook.clone();
    delete_by_policy(configuration, &namespace, &hook, BEFORE_CREATION, wait).await?;
    let (event, path) = (event.name(), hook.path.clone());
    let mut resources = resources::build(&configuration.mapper, &namespace, &hook.manifest)
        .await
        .map_err(|source| HookError::Build { event, path: path.clone(), source })?;
    let started = Execution { started_at: Some(now()), phase: Phase::Running, completed_at: None };
    set_run(release, place, started.clone());
    storage.record(release).await;
    let end = |phase| Execution { completed_at: Some(now()), phase, ..started.clone() };
    // As in Helm, those of an uninstallation are server-side, however the release was applied.
    let method = match release.info.status {
        Status::Uninstalling | Status::Uninstalled => ApplyMethod::ServerSide,
        _ => release.apply_method.unwrap_or(ApplyMethod::ClientSide),
    };
    let method = creating(method);
    if let Err(source) = resources::create_all(configuration, &mut resources, method).await {
        set_run(release, place, end(Phase::Failed));
        return Err(HookError::Create { event, path, source });
    }
    step(resources.first().map(|resource| resource.id.subject()));
    let ended = wait::for_hook(configuration, resources, wait).await;
    set_run(release, place, end(if ended.is_ok() { Phase::Succeeded } else { Phase::Failed }));
    Ok(ended?)
}

impl Remains {
    /// Deletes what is to go.
    ///
    /// # Errors
    /// Something that has succeeded cannot be deleted.
    pub(crate) async fn clean_up(
        self,
        configuration: &Configuration,
        namespace: &str,
        wait: &Wait,
    ) -> Result<(), HookError> {
        for (hook, policy) in &self.hooks {
            match delete_by_policy(configuration, namespace, hook, policy, wait).await {
                Err(error) if *policy == FAILED => {
                    let error = net::chain(&error);
                    tracing::warn!(
                        hook = hook.path,
                        error,
                        "error deleting the hook resource on hook failure"
                    );
                }
                answer => answer?,
            }
        }
        Ok(())
    }
}

/// The places of the hooks of an event, in the order in which they run.
fn in_order(hooks: &[Hook], event: Event) -> Vec<usize> {
    let is_of = |hook: &Hook| hook.events.iter().flatten().any(|name| name == event.name());
    let mut places: Vec<(&Hook, usize)> = hooks.iter().zip(0..).filter(|(hook, _)| is_of(hook)).collect();
    places.sort_by(|(a, _), (b, _)| a.weight.cmp(&b.weight).then_with(|| a.name.cmp(&b.name)));
    places.into_iter().map(|(_, place)| place).collect()
}

fn hook_at(release: &mut Release, place: usize) -> Option<&mut Hook> {
    release.hooks.as_mut()?.get_mut(place)
}

fn set_run(release: &mut Release, place: usize, run: Execution) {
    if let Some(hook) = hook_at(release, place) {
        hook.last_run = run;
    }
}

fn now() -> Time {
    Time::new(Timestamp::now())
}

/// Deletes the objects of a hook, if its policies say so, and waits until they are gone.
async fn delete_by_policy(
    configuration: &Configuration,
    namespace: &str,
    hook: &Hook,
    policy: &str,
    wait: &Wait,
) -> Result<(), HookError> {
    // With a definition would go all objects of its kind.
    let is_asked = hook.delete_policies.iter().flatten().any(|own| own == policy);
    if !is_asked || hook.kind == "CustomResourceDefinition" {
        return Ok(());
    }
    let built = resources::build(&configuration.mapper, namespace, &hook.manifest).await;
    let mut resources =
        built.map_err(|source| HookError::BuildDeletion { path: hook.path.clone(), source })?;
    let errors = resources::delete_all(configuration, &mut resources, Propagation::Background).await;
    if let Some(error) = errors.into_iter().next() {
        return Err(HookError::Delete(error));
    }
    Ok(match policy {
        BEFORE_CREATION => wait::for_end(configuration, resources, wait).await,
        _ => wait::for_deletion(configuration, resources, wait).await,
    }?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_run_by_weight_and_then_by_name() {
        let hook = |name: &str, weight, event: &str| Hook {
            name: name.into(),
            weight,
            events: Some(vec![event.into()]),
            ..Hook::default()
        };
        let hooks = [
            hook("b", 0, "pre-install"),
            hook("a", 0, "pre-install"),
            hook("z", -1, "pre-install"),
            hook("c", -5, "test"),
        ];
        assert_eq!(in_order(&hooks, Event::PreInstall), [2, 1, 0]);
        assert!(in_order(&hooks, Event::PostDelete).is_empty());
    }
}
