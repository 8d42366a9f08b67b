//! What a run did to each object, as told in events and kept in the inventory.

use std::fmt;

use crate::object::ObjectId;

/// What happened to one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// It was not there and now is.
    Created,
    /// It was there and was changed.
    Configured,
    /// It already is as desired.
    Unchanged,
    /// Its own annotations or labels kept it from being touched.
    Skipped,
    /// Its deletion was accepted, or it was gone already.
    Deleted,
}

impl Action {
    /// The word used in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
            Self::Skipped => "skipped",
            Self::Deleted => "deleted",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One object and what happened to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The object, with the namespace the server gave it.
    pub id: ObjectId,
    /// Version without group, the inventory's `v`.
    pub version: String,
    /// What happened.
    pub action: Action,
}

impl Change {
    /// Whether the cluster was changed.
    fn is_write(&self) -> bool {
        !matches!(self.action, Action::Unchanged | Action::Skipped)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id, self.action)
    }
}

/// Changes in the order in which they were made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeSet {
    /// The changes.
    pub changes: Vec<Change>,
}

impl ChangeSet {
    /// Appends the changes of a later stage.
    pub fn append(&mut self, mut later: ChangeSet) {
        self.changes.append(&mut later.changes);
    }

    /// Whether anything in the cluster was changed.
    pub fn wrote(&self) -> bool {
        self.changes.iter().any(Change::is_write)
    }

    /// Takes note that nothing was written: changes become unchanged. Gives what they were.
    pub fn take_writes(&mut self) -> ChangeSet {
        let taken = self.changes.iter_mut().filter(|c| c.is_write());
        let take = |c: &mut Change| Change {
            action: std::mem::replace(&mut c.action, Action::Unchanged),
            ..c.clone()
        };
        ChangeSet { changes: taken.map(take).collect() }
    }

    /// One line for each change that `keep` lets through, joined by newlines.
    pub fn lines(&self, keep: impl Fn(Action) -> bool) -> String {
        self.changes.iter().filter(|c| keep(c.action)).map(Change::to_string).collect::<Vec<_>>().join("\n")
    }

    /// The objects that were not skipped: those whose health counts.
    pub fn applied(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|c| c.action != Action::Skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(name: &str, action: Action) -> Change {
        let id = ObjectId {
            group: String::new(),
            kind: "ConfigMap".into(),
            namespace: "ns".into(),
            name: name.into(),
        };
        Change { id, version: "v1".into(), action }
    }

    #[test]
    fn lines_name_the_kept_changes_in_order() {
        let set = ChangeSet {
            changes: vec![
                change("b", Action::Created),
                change("c", Action::Unchanged),
                change("a", Action::Configured),
            ],
        };
        let changed = |a| matches!(a, Action::Created | Action::Configured);
        assert_eq!(set.lines(changed), "ConfigMap/ns/b created\nConfigMap/ns/a configured");
    }

    #[test]
    fn a_change_set_gives_back_its_writes() {
        let all = [Action::Created, Action::Unchanged, Action::Configured, Action::Skipped];
        let mut set = ChangeSet { changes: all.into_iter().map(|action| change("a", action)).collect() };
        assert_eq!(set.take_writes().lines(|_| true), "ConfigMap/ns/a created\nConfigMap/ns/a configured");
        assert!(!set.wrote());
        assert_eq!(set.changes.len(), 4);
        assert_eq!(set.take_writes(), ChangeSet::default());
    }

    #[test]
    fn unchanged_and_skipped_objects_are_no_write() {
        assert!(
            !ChangeSet { changes: vec![change("a", Action::Unchanged), change("b", Action::Skipped)] }
                .wrote()
        );
        assert!(ChangeSet { changes: vec![change("a", Action::Deleted)] }.wrote());
    }
}
