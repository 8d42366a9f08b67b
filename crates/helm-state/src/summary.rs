use std::cmp::Reverse;

use api::HelmRelease;
use api::helm::conditions::{RELEASED, REMEDIATED, TEST_SUCCESS};
use jiff::Timestamp;
use runtime::conditions::{READY, STALLED, Status, find};

use crate::object::{conditions, listed};

/// Makes Ready what the newest of Remediated, TestSuccess and Released says, the first of them among equals; without any it stays as
/// it is. Remediated is a failure whatever it says.
pub fn summarize(object: &mut HelmRelease, now: Timestamp) {
    let test = &object.spec.test;
    let (is_tested, counts) = (test.enable, test.enable && !test.ignore_failures);
    if !is_tested {
        conditions(object, now).remove(TEST_SUCCESS);
    }
    let order = [Some(REMEDIATED), counts.then_some(TEST_SUCCESS), Some(RELEASED)];
    let present = order.into_iter().flatten().filter_map(|kind| find(listed(object), kind));
    // The first of equal ones.
    let newest = present.min_by_key(|condition| Reverse(condition.observed_generation)).cloned();
    if let Some(newest) = newest {
        let is_remediated = newest.type_ == REMEDIATED;
        let state = if is_remediated { Status::False } else { newest.status };
        let mut conditions = conditions(object, now);
        if state == Status::True {
            conditions.remove(STALLED);
        }
        conditions.set(READY, state, &newest.reason, &newest.message);
    }
}
