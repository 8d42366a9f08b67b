//! The release that a HelmRelease is about, and the change to another one.

use std::fmt;

use api::HelmRelease;
use api::helm_release::{ChartNameChangeStrategy, shorten_release_name};

use crate::object::{current, status, text};

/// What is another one than before. Its text is helm-controller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetChange {
    /// The namespace of the stored revisions.
    StorageNamespace,
    /// The namespace of the release.
    ReleaseNamespace,
    /// The name of the release.
    ReleaseName,
    /// The name of the chart.
    ChartName,
}

impl fmt::Display for TargetChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StorageNamespace => "storage namespace",
            Self::ReleaseNamespace => "release namespace",
            Self::ReleaseName => "release name",
            Self::ChartName => "chart name",
        })
    }
}

/// Why the release that was made last has to be uninstalled before anything else is done, if it has to.
pub fn target_change(object: &HelmRelease, chart_name: &str) -> Option<TargetChange> {
    let storage = text(object.status.as_ref()?.storage_namespace.as_ref());
    let current = current(object)?;
    let reinstalls = object.spec.upgrade.chart_name_change_strategy() == ChartNameChangeStrategy::Reinstall;
    if storage.is_empty() {
        None
    } else if object.storage_namespace() != storage {
        Some(TargetChange::StorageNamespace)
    } else if object.release_namespace() != current.namespace {
        Some(TargetChange::ReleaseNamespace)
    } else if shorten_release_name(&object.release_name()) != current.name {
        Some(TargetChange::ReleaseName)
    } else {
        (chart_name != current.chart_name && reinstalls).then_some(TargetChange::ChartName)
    }
}

/// Forgets the release that was uninstalled because another one is wanted.
pub fn clear_target(object: &mut HelmRelease) {
    let status = status(object);
    status.history.clear();
    status.clear_failures();
    status.storage_namespace = None;
}
