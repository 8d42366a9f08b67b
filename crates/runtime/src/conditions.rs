//! Conditions of a toolkit object: pure functions over `status.conditions`.
//!
//! The rules are fluxcd/pkg/runtime's, which differ from the Kubernetes helpers: a transition is a change of
//! status, reason *or* message, and the list has a fixed order.

use std::cmp::Reverse;

pub use api::meta::conditions::{READY, RECONCILING, STALLED};
pub use api::{Condition, ConditionStatus as Status};
use jiff::Timestamp;

use crate::error::truncate;

/// Longest message the CRD accepts, in bytes.
pub const MAX_MESSAGE: usize = 32_768;

/// The conditions of one object at one generation, while they are being worked on.
#[derive(Debug)]
pub struct Conditions<'a> {
    list: &'a mut Vec<Condition>,
    generation: i64,
    now: Timestamp,
}

impl<'a> Conditions<'a> {
    /// Works on `list`; what is set carries `generation` and, if it changed, the time `now`.
    pub fn new(list: &'a mut Vec<Condition>, generation: i64, now: Timestamp) -> Self {
        Self { list, generation, now }
    }

    /// The condition of this type.
    pub fn get(&self, kind: &str) -> Option<&Condition> {
        find(self.list, kind)
    }

    /// Sets a condition. Its transition time moves only if status, reason or message changed.
    pub fn set(&mut self, kind: &str, status: Status, reason: &str, message: impl AsRef<str>) {
        let message = truncate(message.as_ref(), MAX_MESSAGE);
        let same = |c: &&Condition| c.status == status && c.reason == reason && c.message == message;
        let since = match self.get(kind).filter(same) {
            Some(unchanged) => unchanged.last_transition_time.clone(),
            None => rfc3339(self.now),
        };
        self.list.retain(|c| c.type_ != kind);
        self.list.push(Condition {
            type_: kind.to_owned(),
            status,
            reason: reason.to_owned(),
            message,
            observed_generation: Some(self.generation),
            last_transition_time: since,
        });
        sort(self.list);
    }

    /// Removes a condition.
    pub fn remove(&mut self, kind: &str) {
        self.list.retain(|c| c.type_ != kind);
    }

    /// Sets Reconciling and removes Stalled: an object is never both.
    pub fn reconciling(&mut self, reason: &str, message: impl AsRef<str>) {
        self.remove(STALLED);
        self.set(RECONCILING, Status::True, reason, message);
    }

    /// Sets Stalled and removes Reconciling.
    pub fn stalled(&mut self, reason: &str, message: impl AsRef<str>) {
        self.remove(RECONCILING);
        self.set(STALLED, Status::True, reason, message);
    }

    /// Sets `Ready` to what `order` says (see [`summary`]); without any of those conditions it stays as it is.
    pub fn summarise(&mut self, order: &[&str], negative: &[&str]) {
        if let Some((status, reason, message)) = summary(self.list, order, negative) {
            self.set(READY, status, &reason, message);
        }
    }
}

/// Whole seconds, UTC, as Kubernetes writes times.
pub fn rfc3339(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The condition of a type in a list.
pub fn find<'a>(list: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    list.iter().find(|c| c.type_ == kind)
}

/// Whether a condition is there and `True`.
pub fn is_true(list: &[Condition], kind: &str) -> bool {
    find(list, kind).is_some_and(|c| c.status == Status::True)
}

/// Whether a condition is there and `False`.
pub fn is_false(list: &[Condition], kind: &str) -> bool {
    find(list, kind).is_some_and(|c| c.status == Status::False)
}

/// What `Ready` says of the conditions in `order` (most important first), of which `negative` are bad news when
/// `True`. The gravest kind decides: bad news that is true, good news that is false, good news that is true, bad
/// news that is false, unknown; within it the first in `order` gives reason and message.
pub fn summary(list: &[Condition], order: &[&str], negative: &[&str]) -> Option<(Status, String, String)> {
    let rank = |c: &Condition| match (c.status, negative.contains(&c.type_.as_str())) {
        (Status::True, true) => 0,
        (Status::False, false) => 1,
        (Status::True, false) => 2,
        (Status::False, true) => 3,
        (Status::Unknown, _) => 4,
    };
    let present = order.iter().filter_map(|kind| find(list, kind));
    let top = present.min_by_key(|c| rank(c))?;
    let status = match rank(top) {
        0 | 1 => Status::False,
        2 | 3 => Status::True,
        _ => Status::Unknown,
    };
    Some((status, top.reason.clone(), top.message.clone()))
}

/// Stalled, Reconciling, Ready, then the newest generation first, then by name.
pub fn sort(list: &mut [Condition]) {
    let place = |kind: &str| [STALLED, RECONCILING, READY].iter().position(|k| *k == kind).unwrap_or(3);
    list.sort_by(|a, b| {
        let rest = |c: &Condition| (place(&c.type_) == 3).then_some(Reverse(c.observed_generation));
        (place(&a.type_), rest(a), &a.type_).cmp(&(place(&b.type_), rest(b), &b.type_))
    });
}

/// Merges conditions that somebody else may have changed meanwhile: `owned` types are ours, whatever they look
/// like there; of the others, what we changed since `before` wins only if nobody else changed it.
pub fn merge(
    before: &[Condition],
    ours: &[Condition],
    theirs: &[Condition],
    owned: &[&str],
) -> Vec<Condition> {
    let mine = |kind: &str| owned.contains(&kind) || find(before, kind) == find(theirs, kind);
    let mut merged: Vec<_> = ours.iter().filter(|c| mine(&c.type_)).cloned().collect();
    merged.extend(theirs.iter().filter(|c| !mine(&c.type_)).cloned());
    sort(&mut merged);
    merged
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn kinds(list: &[Condition]) -> Vec<&str> {
        list.iter().map(|c| c.type_.as_str()).collect()
    }

    #[test]
    fn transition_time_moves_with_status_reason_or_message() {
        let mut list = vec![];
        Conditions::new(&mut list, 1, at(10)).set(READY, Status::True, "Succeeded", "a");
        Conditions::new(&mut list, 2, at(20)).set(READY, Status::True, "Succeeded", "a");
        assert_eq!(list[0].last_transition_time, "1970-01-01T00:00:10Z");
        assert_eq!(list[0].observed_generation, Some(2), "the generation is stamped all the same");
        Conditions::new(&mut list, 2, at(30)).set(READY, Status::True, "Succeeded", "b");
        assert_eq!(list[0].last_transition_time, "1970-01-01T00:00:30Z");
    }

    #[test]
    fn order_is_stalled_reconciling_ready_then_newest_generation_then_name() {
        let mut list = vec![];
        Conditions::new(&mut list, 1, at(0)).set("Zeta", Status::True, "R", "");
        let mut now = Conditions::new(&mut list, 2, at(0));
        now.set("Beta", Status::True, "R", "");
        now.set("Alpha", Status::True, "R", "");
        now.set(READY, Status::True, "R", "");
        now.reconciling("R", "");
        assert_eq!(kinds(&list), [RECONCILING, READY, "Alpha", "Beta", "Zeta"]);
    }

    #[test]
    fn reconciling_and_stalled_exclude_each_other() {
        let mut list = vec![];
        let mut conditions = Conditions::new(&mut list, 1, at(0));
        conditions.reconciling("Progressing", "x");
        conditions.stalled("URLInvalid", "y");
        assert!(conditions.get(RECONCILING).is_none());
        conditions.reconciling("Progressing", "x");
        assert_eq!(kinds(&list), [RECONCILING]);
    }

    #[test]
    fn long_messages_are_cut_at_a_character() {
        let mut list = vec![];
        let long = "ä".repeat(MAX_MESSAGE);
        Conditions::new(&mut list, 1, at(0)).set(READY, Status::False, "R", long);
        assert!(list[0].message.len() <= MAX_MESSAGE && list[0].message.ends_with("ä..."));
    }

    #[test]
    fn summary_prefers_the_gravest_and_then_the_first() {
        let order = ["Storage", "Fetch", "Stored", "Verified"];
        let negative = ["Storage", "Fetch"];
        let mut list = vec![];
        let mut conditions = Conditions::new(&mut list, 1, at(0));
        conditions.set("Stored", Status::True, "Succeeded", "stored");
        conditions.summarise(&order, &negative);
        assert_eq!(conditions.get(READY).unwrap().reason, "Succeeded");
        conditions.set("Fetch", Status::True, "GitOperationFailed", "no route");
        conditions.set("Verified", Status::False, "InvalidTag", "bad");
        conditions.summarise(&order, &negative);
        let ready = conditions.get(READY).unwrap().clone();
        assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "GitOperationFailed"));
        conditions.set("Storage", Status::True, "Full", "disk");
        conditions.summarise(&order, &negative);
        assert_eq!(conditions.get(READY).unwrap().reason, "Full");
    }

    #[test]
    fn summary_of_nothing_leaves_ready_alone() {
        assert_eq!(summary(&[], &["Stored"], &[]), None);
    }

    #[test]
    fn merging_keeps_foreign_conditions_and_our_own_values() {
        let make = |kind: &str, message: &str| {
            let mut list = vec![];
            Conditions::new(&mut list, 1, at(0)).set(kind, Status::True, "R", message);
            list.remove(0)
        };
        let before = vec![make(READY, "old"), make("Audit", "a"), make("Gone", "x")];
        let ours = vec![make(READY, "new"), make("Audit", "a"), make("Gone", "x")];
        let theirs = vec![make(READY, "meddled"), make("Audit", "b"), make("Extra", "e")];
        let merged = merge(&before, &ours, &theirs, &[READY]);
        let texts: Vec<_> = merged.iter().map(|c| (c.type_.as_str(), c.message.as_str())).collect();
        assert_eq!(texts, [(READY, "new"), ("Audit", "b"), ("Extra", "e")]);
    }
}
