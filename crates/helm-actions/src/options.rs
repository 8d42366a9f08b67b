//! What an action is told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use apply::kstatus::custom::HealthRules;
use helm_release::{ApplyMethod, Hook, Release};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::resources::{Method, Propagation};

/// A rendered chart, and what is stored of it.
#[derive(Clone, Default)]
pub struct Rendition {
    /// The chart, as [`helm_release::chart_json`] makes it.
    pub chart: Option<Box<RawValue>>,
    /// The values of the user that it was rendered with.
    pub config: Option<Map<String, Value>>,
    /// The objects: [`helm::Rendered::manifest`].
    pub manifest: String,
    /// What runs when something happens.
    pub hooks: Vec<Hook>,
    /// What the chart says to the user.
    pub notes: String,
}

/// How objects are applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Apply {
    /// By the API server.
    ServerSide,
    /// By patches that the client makes.
    ClientSide,
    /// As those of the revision that it goes on from. A first one is server-side.
    #[default]
    Auto,
}

impl Apply {
    /// What it is for a release that goes on from this one.
    pub(crate) fn after(self, release: &Release) -> ApplyMethod {
        match self {
            Self::ServerSide => ApplyMethod::ServerSide,
            Self::ClientSide => ApplyMethod::ClientSide,
            Self::Auto => release.apply_method.unwrap_or(ApplyMethod::ClientSide),
        }
    }
}

/// How it is told that objects are ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WaitStrategy {
    /// By kstatus. What has failed ends the wait.
    #[default]
    Status,
    /// By the rules of Helm 3. Expressions of the user do not count.
    Legacy,
    /// Hooks are waited for, and nothing else.
    HooksOnly,
}

/// What is waited for.
#[derive(Clone, Debug)]
pub struct Wait {
    /// How it is told that objects are ready.
    pub strategy: WaitStrategy,
    /// Longest wait for the objects of a release, for each hook, and for deletions.
    pub timeout: Duration,
    /// Whether Jobs must be complete, and not begun alone.
    pub for_jobs: bool,
    /// Health by expressions of the user, before the rules of the kinds.
    pub rules: Option<Arc<HealthRules>>,
}

/// How a chart is installed.
#[derive(Clone, Debug)]
pub struct Install {
    /// How objects are applied.
    pub apply: Apply,
    /// Whether the namespace of the release is made, if it is not there.
    pub creates_namespace: bool,
    /// Whether objects that are there become those of the release, whosever they are.
    pub takes_ownership: bool,
    /// Whether hooks run.
    pub runs_hooks: bool,
    /// What is waited for.
    pub wait: Wait,
    /// Labels of the release itself.
    pub labels: BTreeMap<String, String>,
}

/// How a release is upgraded.
#[derive(Clone, Debug)]
pub struct Upgrade {
    /// How objects are applied.
    pub apply: Apply,
    /// Whether a client-side apply puts whole objects in the place of those that are there. It says nothing to a server-side one.
    pub forces: bool,
    /// Whether objects that are there become those of the release, whosever they are.
    pub takes_ownership: bool,
    /// Whether what the upgrade has created is deleted if it fails.
    pub cleans_up: bool,
    /// Revisions that are kept, this one included; 0 keeps all.
    pub max_history: usize,
    /// Whether hooks run.
    pub runs_hooks: bool,
    /// What is waited for.
    pub wait: Wait,
}

/// How a release is rolled back.
#[derive(Clone, Debug)]
pub struct Rollback {
    /// The revision that it goes back to; 0 is the one before the last.
    pub revision: i64,
    /// How objects are applied.
    pub apply: Apply,
    /// As [`Upgrade::forces`].
    pub forces: bool,
    /// Whether what the rollback has created is deleted if it fails.
    pub cleans_up: bool,
    /// Revisions that are kept, this one included; 0 keeps all.
    pub max_history: usize,
    /// Whether hooks run.
    pub runs_hooks: bool,
    /// What is waited for.
    pub wait: Wait,
}

/// How a release is uninstalled.
#[derive(Clone, Debug)]
pub struct Uninstall {
    /// Whether the revisions stay.
    pub keeps_history: bool,
    /// What becomes of what belongs to the objects.
    pub propagation: Propagation,
    /// Whether hooks run.
    pub runs_hooks: bool,
    /// What is waited for.
    pub wait: Wait,
}

/// Which tests of a release run.
#[derive(Clone, Debug)]
pub struct Test {
    /// Longest wait for each test.
    pub timeout: Duration,
    /// Health by expressions of the user, before the rules of the kinds.
    pub rules: Option<Arc<HealthRules>>,
    /// Names of hooks that run; all, if there are none.
    pub included: Vec<String>,
    /// Names of hooks that do not run.
    pub excluded: Vec<String>,
}

/// How the objects of a revision that follows another are written.
pub(crate) fn updating(method: ApplyMethod, forces: bool) -> Method {
    match method {
        ApplyMethod::ServerSide => Method::ServerSide { force: true },
        ApplyMethod::ClientSide => Method::ClientSide { replaces: forces, merges_custom: false },
    }
}

/// How objects are written that are not there.
pub(crate) fn creating(method: ApplyMethod) -> Method {
    match method {
        ApplyMethod::ServerSide => Method::ServerSide { force: false },
        ApplyMethod::ClientSide => Method::ClientSide { replaces: false, merges_custom: false },
    }
}
