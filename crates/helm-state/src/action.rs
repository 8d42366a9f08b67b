use std::time::Duration;

use api::HelmRelease;
use api::helm::actions;
use api::helm_release::Snapshot;

/// Something that is done to a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// A first revision is made.
    Install,
    /// A further revision is made.
    Upgrade,
    /// The tests of the newest revision are run.
    Test,
    /// A failure is remediated by a new revision that is like an older one.
    Rollback(Box<Snapshot>),
    /// A failure is remediated by removing the release.
    UninstallRemediation,
    /// The release is removed, for nobody wants it any more.
    Uninstall,
    /// A revision that is pending becomes one that has failed.
    Unlock,
    /// Objects of the release are made what they were.
    CorrectDrift,
}

/// What an action is for. A run has at most one of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "helm-controller's names")]
pub enum Kind {
    Release,
    Test,
    Remediate,
    Unlock,
    DriftCorrection,
}

impl Action {
    /// Its name in messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::Upgrade => "upgrade",
            Self::Test => "test",
            Self::Rollback(_) => "rollback",
            Self::UninstallRemediation | Self::Uninstall => "uninstall",
            Self::Unlock => "unlock",
            Self::CorrectDrift => "correct cluster drift",
        }
    }

    /// What it is for.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Install | Self::Upgrade | Self::Uninstall => Kind::Release,
            Self::Test => Kind::Test,
            Self::Rollback(_) | Self::UninstallRemediation => Kind::Remediate,
            Self::Unlock => Kind::Unlock,
            Self::CorrectDrift => Kind::DriftCorrection,
        }
    }

    /// How long each of its operations may take.
    pub fn timeout(&self, object: &HelmRelease) -> Duration {
        let spec = &object.spec;
        object.action_timeout(match self {
            Self::Install => spec.install.timeout.as_ref(),
            Self::Upgrade => spec.upgrade.timeout.as_ref(),
            Self::Test => spec.test.timeout.as_ref(),
            Self::Rollback(_) => spec.rollback.timeout.as_ref(),
            Self::UninstallRemediation | Self::Uninstall => spec.uninstall.timeout.as_ref(),
            Self::Unlock | Self::CorrectDrift => None,
        })
    }

    /// `action` of its events.
    pub fn event(&self) -> &'static str {
        match self {
            Self::Install => actions::HELM_INSTALL,
            Self::Upgrade => actions::HELM_UPGRADE,
            Self::Test => actions::HELM_TEST,
            Self::Rollback(_) => actions::HELM_ROLLBACK,
            Self::UninstallRemediation | Self::Uninstall => actions::HELM_UNINSTALL,
            Self::Unlock => actions::UNLOCK,
            Self::CorrectDrift => actions::DRIFT_DETECTION,
        }
    }
}
