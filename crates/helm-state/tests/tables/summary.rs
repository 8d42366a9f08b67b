//! Ready as a summary of the other conditions.

use api::helm::conditions::{RELEASED, REMEDIATED, TEST_SUCCESS};
use helm_state::summarize;
use runtime::conditions::Status::{False, True, Unknown};
use runtime::conditions::{READY, RECONCILING, STALLED, Status};
use serde_json::{Value, json};

use crate::common::*;

type Set = (&'static str, i64, Status, &'static str);

#[test]
fn ready_is_the_newest_and_most_important_condition() {
    let tests = json!({"enable": true});
    let ignored = json!({"enable": true, "ignoreFailures": true});
    let rows: [(&Value, &[Set], &str); 9] = [
        (&json!({}), &[(RELEASED, 1, True, "A")], "True A: before"),
        (&json!({}), &[(RELEASED, 1, False, "A"), (REMEDIATED, 1, True, "B")], "False B: before"),
        (&json!({}), &[(RELEASED, 1, False, "A"), (REMEDIATED, 1, False, "B")], "False B: before"),
        (&json!({}), &[(RELEASED, 2, True, "A"), (REMEDIATED, 1, True, "B")], "True A: before"),
        (&tests, &[(RELEASED, 1, True, "A"), (TEST_SUCCESS, 1, Unknown, "T")], "Unknown T: before"),
        (&tests, &[(RELEASED, 2, True, "A"), (TEST_SUCCESS, 1, False, "T")], "True A: before"),
        (&ignored, &[(RELEASED, 1, True, "A"), (TEST_SUCCESS, 1, False, "T")], "True A: before"),
        (
            &tests,
            &[(RELEASED, 1, True, "A"), (TEST_SUCCESS, 1, False, "T"), (REMEDIATED, 1, True, "B")],
            "False B: before",
        ),
        (&json!({}), &[(RECONCILING, 1, True, "R"), (READY, 1, Unknown, "P")], "Unknown P: before"),
    ];
    for (test, conditions, expected) in rows {
        let mut object = object(json!({"test": test}));
        for (kind, generation, status, reason) in conditions {
            object.metadata.generation = Some(*generation);
            set(&mut object, kind, *status, reason);
        }
        summarize(&mut object, now());
        assert_eq!(condition(&object, READY), expected, "{conditions:?}");
    }
}

#[test]
fn a_success_is_not_stalled_and_tests_that_are_off_say_nothing() {
    let mut object = object(json!({}));
    set(&mut object, STALLED, True, "RetriesExceeded");
    set(&mut object, TEST_SUCCESS, False, "TestFailed");
    set(&mut object, RELEASED, False, "UpgradeFailed");
    summarize(&mut object, now());
    assert_eq!(condition(&object, STALLED), "True RetriesExceeded: before");
    assert_eq!(condition(&object, TEST_SUCCESS), "");
    set(&mut object, RELEASED, True, "UpgradeSucceeded");
    summarize(&mut object, now());
    assert_eq!(condition(&object, STALLED), "");
}
