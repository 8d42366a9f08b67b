//! A release is tested (`pkg/action/release_testing.go` of Helm), and one that is stuck is set free.

use helm::Event;
use helm_release::{Hook, Release, Status};

use crate::configuration::Configuration;
use crate::error::{ActionError, Outcome};
use crate::hooks;
use crate::options::{Test, Wait, WaitStrategy};

impl Configuration {
    /// Runs the tests of the last revision of a release, one after another, and stores how they went.
    ///
    /// # Errors
    /// There is no release. What failed later is in the [`Outcome`].
    pub async fn test(&self, name: &str, options: &Test) -> Result<Outcome, ActionError> {
        let storage = self.storage();
        let mut release = storage.last(name).await?.ok_or(ActionError::NotFound)?;
        let wait = Wait {
            strategy: WaitStrategy::Status,
            timeout: options.timeout,
            for_jobs: true,
            rules: options.rules.clone(),
        };
        let all = release.hooks.take().unwrap_or_default();
        let (chosen, mut skipped): (Vec<Hook>, Vec<Hook>) =
            all.into_iter().partition(|hook| options.takes(&hook.name));
        release.hooks = Some(chosen);
        // What does not run is in two parts of one release.
        self.memory.keep(&[&release], &[]);
        let (remains, ended) = hooks::execute(self, &storage, &mut release, Event::Test, &wait).await;
        skipped.extend(release.hooks.take().into_iter().flatten());
        release.hooks = (!skipped.is_empty()).then_some(skipped);
        let stored = match &ended {
            Ok(()) => storage.update(&release).await,
            Err(_) => {
                storage.record(&release).await;
                Ok(())
            }
        };
        if let Err(error) = remains.clean_up(self, &release.namespace, &wait).await {
            tracing::warn!(name, error = net::chain(&error), "tests are not cleaned up");
        }
        let ended = ended.map_err(ActionError::from).and(stored.map_err(ActionError::from));
        Ok(Outcome::of(release, ended))
    }

    /// Makes the last revision of a release failed, if it is pending: nobody works on it any more. Gives it with the status that it
    /// had.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub async fn unlock(&self, name: &str) -> Result<Option<(Status, Release)>, ActionError> {
        let storage = self.storage();
        let Some(mut release) = storage.last(name).await? else { return Ok(None) };
        let status = release.info.status;
        if !status.is_underway() {
            return Ok(None);
        }
        release.info.status = Status::Failed;
        release.info.description = format!("Release unlocked from stale '{}' state", status.name());
        storage.update(&release).await?;
        Ok(Some((status, release)))
    }
}

impl Test {
    fn takes(&self, name: &str) -> bool {
        let is_in = |names: &[String]| names.iter().any(|other| other == name);
        !is_in(&self.excluded) && (self.included.is_empty() || is_in(&self.included))
    }
}
