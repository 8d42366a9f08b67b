use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use yaml::{JsonFields, json_string};

use crate::time::Time;

/// A revision of a release.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Release {
    /// Its name.
    pub name: String,
    /// What became of it.
    pub info: Info,
    /// The chart, as [`crate::chart_json`] makes it: what is stored stays as it is.
    pub chart: Option<Box<RawValue>>,
    /// The values that the user gave.
    pub config: Option<Map<String, Value>>,
    /// The rendered objects.
    pub manifest: String,
    /// What runs when something happens.
    pub hooks: Option<Vec<Hook>>,
    /// The revision, from 1.
    pub version: i64,
    /// Where it is installed.
    pub namespace: String,
    /// How its objects were applied; none is [`ApplyMethod::ClientSide`], too, and so is a name that is not known.
    #[serde(deserialize_with = "ApplyMethod::field")]
    pub apply_method: Option<ApplyMethod>,
    /// Labels of the user. They are those of the Secret.
    #[serde(skip)]
    pub labels: BTreeMap<String, String>,
}

/// What became of a revision.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Info {
    /// When the first revision was deployed.
    #[serde(deserialize_with = "Time::field")]
    pub first_deployed: Option<Time>,
    /// When this one was.
    #[serde(deserialize_with = "Time::field")]
    pub last_deployed: Option<Time>,
    /// When it was uninstalled.
    #[serde(deserialize_with = "Time::field")]
    pub deleted: Option<Time>,
    /// What was done last.
    pub description: String,
    /// How it is.
    pub status: Status,
    /// The revision that it goes back to; 0 if to none.
    pub rollback_revision: i64,
    /// What the chart says to the user.
    pub notes: String,
}

/// How a revision is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Cow<'_, str>")]
pub enum Status {
    /// It is the one whose objects are in the cluster.
    Deployed,
    /// It was removed, and its history kept.
    Uninstalled,
    /// A later one took its place.
    Superseded,
    /// It could not be deployed.
    Failed,
    /// It is being removed.
    Uninstalling,
    /// It is being installed.
    PendingInstall,
    /// It is being upgraded to.
    PendingUpgrade,
    /// It is being rolled back to.
    PendingRollback,
    /// Nobody knows.
    #[default]
    Unknown,
}

impl Status {
    const ALL: [Self; 9] = [
        Self::Deployed,
        Self::Uninstalled,
        Self::Superseded,
        Self::Failed,
        Self::Uninstalling,
        Self::PendingInstall,
        Self::PendingUpgrade,
        Self::PendingRollback,
        Self::Unknown,
    ];

    /// The status of a name; [`Self::Unknown`] if there is none.
    pub fn of(name: &str) -> Self {
        Self::ALL.into_iter().find(|status| status.name() == name).unwrap_or_default()
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Deployed => "deployed",
            Self::Uninstalled => "uninstalled",
            Self::Superseded => "superseded",
            Self::Failed => "failed",
            Self::Uninstalling => "uninstalling",
            Self::PendingInstall => "pending-install",
            Self::PendingUpgrade => "pending-upgrade",
            Self::PendingRollback => "pending-rollback",
        }
    }

    /// Whether a revision is being made, or that was broken off.
    pub fn is_pending(self) -> bool {
        matches!(self, Self::PendingInstall | Self::PendingUpgrade | Self::PendingRollback)
    }

    /// Whether any action is under way, or was broken off: it is pending, or being uninstalled.
    pub fn is_underway(self) -> bool {
        self.is_pending() || self == Self::Uninstalling
    }
}

impl From<Cow<'_, str>> for Status {
    fn from(name: Cow<'_, str>) -> Self {
        Self::of(&name)
    }
}

/// How objects are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApplyMethod {
    /// By patches that the client makes.
    ClientSide,
    /// By the API server.
    ServerSide,
}

impl ApplyMethod {
    fn field<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        let name = Option::<Cow<'_, str>>::deserialize(deserializer)?;
        Ok([Self::ClientSide, Self::ServerSide]
            .into_iter()
            .find(|method| Some(method.name()) == name.as_deref()))
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ClientSide => "csa",
            Self::ServerSide => "ssa",
        }
    }
}

/// A hook of a revision, with its last run.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Hook {
    /// The name of its object.
    pub name: String,
    /// The kind of its object.
    pub kind: String,
    /// The file that it is from.
    pub path: String,
    /// The text.
    pub manifest: String,
    /// When it runs.
    pub events: Option<Vec<String>>,
    /// When it ran last.
    pub last_run: Execution,
    /// Those of less weight run first.
    pub weight: i64,
    /// When its object is removed.
    pub delete_policies: Option<Vec<String>>,
    /// When its output is shown.
    pub output_log_policies: Option<Vec<String>>,
}

/// A run of a hook.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Execution {
    /// When it began.
    #[serde(deserialize_with = "Time::field")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(deserialize_with = "Time::field")]
    pub completed_at: Option<Time>,
    /// How it went.
    pub phase: Phase,
}

/// How a run of a hook goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum Phase {
    /// It has not run.
    #[default]
    #[serde(rename = "")]
    None,
    /// It runs.
    Running,
    /// It has done its work.
    Succeeded,
    /// It has failed.
    Failed,
    /// Nobody knows.
    #[serde(other)]
    Unknown,
}

impl Phase {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<&helm::Hook> for Hook {
    fn from(hook: &helm::Hook) -> Self {
        let list = |items: &[String]| (!items.is_empty()).then(|| items.to_vec());
        Self {
            name: hook.name.clone(),
            kind: hook.kind.clone(),
            path: hook.path.clone(),
            manifest: hook.manifest.clone(),
            events: Some(hook.events.iter().map(|event| event.name().to_owned()).collect()),
            last_run: Execution::default(),
            weight: hook.weight,
            delete_policies: list(&hook.delete_policies),
            output_log_policies: list(&hook.output_log_policies),
        }
    }
}

impl Release {
    /// As Go writes it.
    pub(crate) fn to_json(&self) -> String {
        let mut fields = JsonFields::default();
        fields.text("name", &self.name);
        fields.raw("info", &self.info.to_json());
        if let Some(chart) = &self.chart {
            fields.raw("chart", chart.get());
        }
        if let Some(config) = self.config.as_ref().filter(|config| !config.is_empty()) {
            fields.raw("config", &yaml::canonical_json(&config.clone().into()));
        }
        fields.text("manifest", &self.manifest);
        let hooks: Vec<String> = self.hooks.iter().flatten().map(Hook::to_json).collect();
        fields.list("hooks", &hooks);
        fields.number("version", self.version);
        fields.text("namespace", &self.namespace);
        fields.text("apply_method", self.apply_method.map(ApplyMethod::name).unwrap_or_default());
        fields.finish()
    }
}

impl Info {
    pub(crate) fn to_json(&self) -> String {
        let mut fields = JsonFields::default();
        for (name, time) in [
            ("first_deployed", &self.first_deployed),
            ("last_deployed", &self.last_deployed),
            ("deleted", &self.deleted),
        ] {
            fields.text(name, time.as_ref().map(Time::as_str).unwrap_or_default());
        }
        fields.text("description", &self.description);
        fields.text("status", self.status.name());
        fields.number("rollback_revision", self.rollback_revision);
        fields.text("notes", &self.notes);
        fields.finish()
    }
}

impl Hook {
    /// Whether it runs at an event.
    pub fn is_for(&self, event: &str) -> bool {
        self.events.iter().flatten().any(|own| own == event)
    }

    pub(crate) fn to_json(&self) -> String {
        let mut fields = JsonFields::default();
        fields.text("name", &self.name);
        fields.text("kind", &self.kind);
        fields.text("path", &self.path);
        fields.text("manifest", &self.manifest);
        let texts = |items: &Option<Vec<String>>| -> Vec<String> {
            items.iter().flatten().map(|item| json_string(item)).collect()
        };
        fields.list("events", &texts(&self.events));
        fields.raw("last_run", &self.last_run.to_json());
        fields.number("weight", self.weight);
        fields.list("delete_policies", &texts(&self.delete_policies));
        fields.list("output_log_policies", &texts(&self.output_log_policies));
        fields.finish()
    }
}

impl Execution {
    fn to_json(&self) -> String {
        let mut fields = JsonFields::default();
        for (name, time) in [("started_at", &self.started_at), ("completed_at", &self.completed_at)] {
            fields.text(name, time.as_ref().map(Time::as_str).unwrap_or_default());
        }
        fields.raw("phase", &json_string(self.phase.name()));
        fields.finish()
    }
}
