//! A revision that is about to be made, before anything is done for it.

use std::collections::BTreeMap;

use helm_release::{ApplyMethod, Info, Release, Status, Time};

use crate::options::Rendition;

/// What is new in a revision.
pub(crate) struct Pending {
    pub name: String,
    pub namespace: String,
    pub version: i64,
    pub first_deployed: Option<Time>,
    pub last_deployed: Time,
    pub status: Status,
    pub description: String,
    pub method: ApplyMethod,
    pub labels: BTreeMap<String, String>,
}

impl Pending {
    /// The revision with this content: what was rendered, or what an earlier revision has.
    pub(crate) fn of(self, content: Release) -> Release {
        Release {
            name: self.name,
            namespace: self.namespace,
            version: self.version,
            apply_method: Some(self.method),
            labels: self.labels,
            info: Info {
                first_deployed: self.first_deployed,
                last_deployed: Some(self.last_deployed),
                status: self.status,
                description: self.description,
                notes: content.info.notes,
                ..Info::default()
            },
            ..content
        }
    }
}

impl From<Rendition> for Release {
    /// The content of a revision.
    fn from(rendition: Rendition) -> Self {
        let Rendition { chart, config, manifest, hooks, notes } = rendition;
        let hooks = (!hooks.is_empty()).then_some(hooks);
        Self { chart, config, manifest, hooks, info: Info { notes, ..Info::default() }, ..Self::default() }
    }
}
